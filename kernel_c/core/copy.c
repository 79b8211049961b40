/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/address_space.h"
#include "core/status.h"
#include "core/vma_cow.h"
#include "lib/string.h"
#include "lukos/vmm_arch.h"

/*
 * Copies between the kernel and an address space, through the kernel's map of RAM. What the user
 * may do there does not matter; memory that comes on demand comes first, so that a copy is all or
 * nothing.
 */
enum direction { COPY_IN, COPY_OUT };

/* The PA behind vaddr, and how many bytes go on from there; 0: there is no memory. */
static paddr_t backing(struct uk_vma *vma, vaddr_t vaddr, size_t *len)
{
    const struct region *region = region_of(vma);
    unsigned level;
    __pte_t pte;

    if (region != NULL) {
        *len = vma->end - vaddr;
        return region->pa + (vaddr - vma->start);
    }
    pte = vmm_arch_page_at(vma->vas->pt, vaddr, &level);
    *len = PAGE_Lx_SIZE(level) - (vaddr & (PAGE_Lx_SIZE(level) - 1));
    return pte == 0 ? 0 : PT_Lx_PTE_PADDR(pte, level) + (vaddr & (PAGE_Lx_SIZE(level) - 1));
}

/* Make the range, in the VMA, present; and its own, where it is to be written. */
static int supply(struct uk_vma *vma, vaddr_t vaddr, vaddr_t end, enum direction direction)
{
    vaddr_t from = align_down(vaddr, PAGE_SIZE);
    int status;

    if (region_of(vma) != NULL) {
        return 0;
    }
    status = vma_prefault(vma, from, align_up(end, PAGE_SIZE) - from);
    if (status == 0 && direction == COPY_IN && (vma->flags & VMA_FLAG_COW) != 0) {
        status = vma_cow_own(vma, from, end);
    }
    return status;
}

/* Make all of [vaddr, end) ready in VMAs without a hole. */
static int prepare(const struct uk_vas *vas, vaddr_t vaddr, vaddr_t end, enum direction direction)
{
    struct uk_vma *vma = vma_of(vma_tree_find(&vas->vmas, vaddr));
    int status = 0;

    while (status == 0 && vma != NULL && vma->start <= vaddr) {
        vaddr_t to = min_u64(vma->end, end);

        status = supply(vma, vaddr, to, direction);
        vaddr = to;
        if (to == end) {
            return status;
        }
        vma = vma_above(vma);
    }
    return status != 0 ? status : -EFAULT;
}

static void copy_chunk(const struct uk_vma *vma, paddr_t pa, char *kernel, size_t len,
                       enum direction direction)
{
    if (direction == COPY_OUT) {
        memcpy(kernel, vmm_arch_ram(pa), len);
        return;
    }
    memcpy(vmm_arch_ram(pa), kernel, len);
    if ((vma->attr & PAGE_ATTR_PROT_EXEC) != 0) {
        vmm_arch_sync_code(pa, len);
    }
}

/* False: some of it has no memory behind it. With kernel NULL nothing is copied. */
static bool walk(const struct uk_vas *vas, vaddr_t vaddr, char *kernel, size_t len,
                 enum direction direction)
{
    while (len > 0) {
        struct uk_vma *vma = vma_of(vma_tree_find(&vas->vmas, vaddr));
        size_t chunk;
        paddr_t pa = backing(vma, vaddr, &chunk);

        if (pa == 0 || frame_of(pa) == NULL) {
            return false;
        }
        chunk = min_size(chunk, len);
        if (kernel != NULL) {
            copy_chunk(vma, pa, kernel, chunk, direction);
            kernel += chunk;
        }
        vaddr += chunk;
        len -= chunk;
    }
    return true;
}

static int copy(address_space_t *as, void *kernel, vaddr_t va, size_t len, enum direction direction)
{
    int status;

    if (!address_space_is_live(as) || len == 0) {
        return -EINVAL;
    }
    if (!vmm_arch_va_valid((const void *)va, len) ||
        !vmm_arch_kernel_access(kernel, len, direction == COPY_OUT)) {
        return -EFAULT;
    }
    lock_acquire(&as->vas.lock);
    status = prepare(&as->vas, va, va + len, direction);
    if (status == 0 && !walk(&as->vas, va, NULL, len, direction)) {
        status = -EFAULT;
    }
    if (status == 0) {
        (void)walk(&as->vas, va, kernel, len, direction);
    }
    lock_release(&as->vas.lock);
    return status;
}

void vmm_address_space_copy_in(address_space_t *as, void *vakernel, void *vadest, size_t len)
{
    (void)status_record(copy(as, vakernel, (vaddr_t)vadest, len, COPY_IN));
}

int vmm_address_space_copy_out(address_space_t *as, void *vakernel, const void *vasrc, size_t len)
{
    return status_record(copy(as, vakernel, (vaddr_t)vasrc, len, COPY_OUT));
}

int vmm_address_space_translate(address_space_t *as, const void *va, void **pa)
{
    struct uk_vma *vma;
    paddr_t found = 0;
    size_t len;

    if (!address_space_is_live(as)) {
        return status_record(-EINVAL);
    }
    if (!vmm_arch_kernel_access((const void *)pa, sizeof(*pa), true)) {
        return status_record(-EFAULT);
    }
    lock_acquire(&as->vas.lock);
    vma = vma_of(vma_tree_find(&as->vas.vmas, (vaddr_t)va));
    if (vma != NULL) {
        found = backing(vma, (vaddr_t)va, &len);
    }
    if (found != 0) {
        *pa = (void *)found;
    }
    lock_release(&as->vas.lock);
    return status_record(found == 0 ? -EFAULT : 0);
}
