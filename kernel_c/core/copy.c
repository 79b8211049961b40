/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/address_space.h"
#include "core/status.h"
#include "lib/string.h"
#include "lukos/vmm_arch.h"

enum direction { COPY_IN, COPY_OUT };

/* True when regions cover all of [va, va + len) without a hole. */
static bool covered(address_space_t *as, vaddr_t va, size_t len)
{
    const struct vma_node *node = vma_tree_find(&as->regions, va);

    if (len > UINTPTR_MAX - va) {
        return false;
    }
    while (node != NULL && node->end < va + len) {
        const struct vma_node *next = vma_tree_next(node);

        node = next != NULL && next->start == node->end ? next : NULL;
    }
    return node != NULL;
}

/* The part of a copy that lies in one region. */
static void copy_chunk(const struct region *region, vaddr_t va, char *kernel, size_t len,
                       enum direction direction)
{
    paddr_t pa = region->pa + (va - region->range.start);

    if (direction == COPY_OUT) {
        memcpy(kernel, vmm_arch_ram(pa), len);
        return;
    }
    memcpy(vmm_arch_ram(pa), kernel, len);
    if (region->prop == AS_REGION_RX) {
        vmm_arch_sync_code(pa, len);
    }
}

static void perform(address_space_t *as, vaddr_t va, char *kernel, size_t len,
                    enum direction direction)
{
    while (len > 0) {
        const struct region *region = region_find(as, (void *)va);
        size_t chunk = region->range.end - va;

        chunk = chunk < len ? chunk : len;
        copy_chunk(region, va, kernel, chunk, direction);
        va += chunk;
        kernel += chunk;
        len -= chunk;
    }
}

static int copy(address_space_t *as, void *kernel, vaddr_t va, size_t len, enum direction direction)
{
    int status = 0;

    if (!address_space_is_live(as) || len == 0) {
        return -EINVAL;
    }
    if (!vmm_arch_kernel_access(kernel, len, direction == COPY_OUT)) {
        return -EFAULT;
    }
    lock_acquire(&as->lock);
    if (covered(as, va, len)) {
        perform(as, va, kernel, len, direction);
    } else {
        status = -EFAULT;
    }
    lock_release(&as->lock);
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
    const struct region *region;

    if (!address_space_is_live(as)) {
        return status_record(-EINVAL);
    }
    if (!vmm_arch_kernel_access((const void *)pa, sizeof(*pa), true)) {
        return status_record(-EFAULT);
    }
    lock_acquire(&as->lock);
    region = region_find(as, va);
    if (region != NULL) {
        *pa = (void *)(region->pa + ((vaddr_t)va - region->range.start));
    }
    lock_release(&as->lock);
    return status_record(region == NULL ? -EFAULT : 0);
}
