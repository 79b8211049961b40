/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/address_space.h"
#include "core/status.h"
#include "core/vas_limits.h"
#include "core/vma_cow.h"
#include "lib/bits.h"
#include "lib/string.h"
#include "lukos/status.h"
#include "lukos/vmm_arch.h"

static size_t live;

size_t regions_count(void)
{
    return live;
}

static const unsigned long prop_attr[] = {
    [AS_REGION_NO_ACCESS] = PAGE_ATTR_PROT_NONE,
    [AS_REGION_RO] = PAGE_ATTR_PROT_READ,
    [AS_REGION_RW] = PAGE_ATTR_PROT_RW,
    [AS_REGION_RX] = PAGE_ATTR_PROT_RX,
};

/* By what the user may do: uk_vma_set_attr() may have given it attributes that no property has. */
static address_space_region_prop_t prop_of(const struct uk_vma *vma)
{
    if ((vma->attr & PAGE_ATTR_PROT_EXEC) != 0) {
        return AS_REGION_RX;
    }
    if ((vma->attr & PAGE_ATTR_PROT_WRITE) != 0) {
        return AS_REGION_RW;
    }
    return (vma->attr & PAGE_ATTR_PROT_MASK) != PAGE_ATTR_PROT_NONE ? AS_REGION_RO
                                                                    : AS_REGION_NO_ACCESS;
}

/* ---- a region as a type of VMA: all of it or nothing ---- */

static int region_unmap(struct uk_vma *vma, __vaddr_t vaddr, __sz len)
{
    int status = vmm_arch_pages_unmap(vma->vas->pt, vaddr, len, NULL);

    if (status == 0) {
        vmm_arch_free_range((void *)((struct region *)vma)->pa, len);
        vma->vas->counts.resident -= len / PAGE_SIZE;
        live--;
    }
    return status;
}

static int region_split(struct uk_vma *vma, __vaddr_t vaddr, struct uk_vma **new_vma)
{
    (void)vma;
    (void)vaddr;
    (void)new_vma;
    return -EPERM;
}

static int region_merge(struct uk_vma *vma, struct uk_vma *next)
{
    (void)vma;
    (void)next;
    return -EPERM;
}

/* Copied at once: a region goes on being one physical range, which sharing page by page would end. */
static int region_clone(struct uk_vma *vma, struct uk_vas *vas, struct uk_vma **new_vma)
{
    size_t len = uk_vma_len(vma);
    struct region *copy = (struct region *)vma_copy(vma, vas, sizeof(*copy));
    int status = -ENOMEM;

    if (copy == NULL) {
        return -ENOMEM;
    }
    copy->pa = (paddr_t)vmm_arch_alloc_range(len);
    if (copy->pa != 0) {
        memcpy(vmm_arch_ram(copy->pa), vmm_arch_ram(((struct region *)vma)->pa), len);
        if ((vma->attr & PAGE_ATTR_PROT_EXEC) != 0) {
            vmm_arch_sync_code(copy->pa, len);
        }
        status = vmm_arch_pages_map(vas->pt, vma->start, copy->pa, len,
                                    vmm_arch_pte(vas->pt, vma->attr), PT_MAP_LEVEL_MAX);
        if (status != 0) {
            vmm_arch_free_range((void *)copy->pa, len);
        }
    }
    if (status != 0) {
        uk_free(vas->a, copy);
        return status;
    }
    live++;
    *new_vma = &copy->vma;
    return 0;
}

static const struct uk_vma_ops region_ops = {
    .unmap = region_unmap,
    .split = region_split,
    .merge = region_merge,
    .set_attr = vma_set_attr_mapped,
    .clone = region_clone,
};

struct region *region_of(struct uk_vma *vma)
{
    return vma != NULL && vma->ops == &region_ops ? (struct region *)vma : NULL;
}

/* ---- lukos/vmm.h ---- */

static struct region *region_starting_at(address_space_t *as, const void *va)
{
    struct region *region = region_of(vma_of(vma_tree_find(&as->vas.vmas, (vaddr_t)va)));

    return region != NULL && region->vma.start == (vaddr_t)va ? region : NULL;
}

static bool prop_is_known(address_space_region_prop_t prop)
{
    return (unsigned)prop <= AS_REGION_RX;
}

/* What no state of the address space could make valid. Rounds the length up to 4K. */
static int validate(const address_space_t *as, size_t *len, address_space_region_prop_t prop)
{
    if (!address_space_is_live(as) || *len == 0 || !prop_is_known(prop)) {
        return -EINVAL;
    }
    *len = align_up(*len, PAGE_SIZE);
    return *len == 0 ? -ERANGE : 0; /* it has wrapped */
}

static int validate_va(address_space_t *as, const void *va, size_t len)
{
    const struct uk_vma *next;

    if (!is_aligned((vaddr_t)va, vmm_arch_boundary(len)) || va == NULL) {
        return -EINVAL;
    }
    if (!vmm_arch_va_valid(va, len)) {
        return -ERANGE;
    }
    next = vma_from(&as->vas, (vaddr_t)va);
    return next != NULL && next->start < (vaddr_t)va + len ? -EEXIST : 0;
}

/* The lowest VA for len bytes, or why there is none. */
static int choose_va(address_space_t *as, size_t len, void **va)
{
    if (!vmm_arch_va_valid((void *)vmm_arch_boundary(len), len)) {
        return -ERANGE;
    }
    *va = vmm_arch_get_free_range(as->vas.pt, len);
    return *va == NULL ? -ENOSPC : 0;
}

/* Zeroed memory for a region; executable memory holds no stale instructions either. */
static paddr_t backing_alloc(size_t len, address_space_region_prop_t prop)
{
    paddr_t pa = (paddr_t)vmm_arch_alloc_range(len);

    if (pa != 0) {
        vmm_arch_zero(pa, len);
        if (prop == AS_REGION_RX) {
            vmm_arch_sync_code(pa, len);
        }
    }
    return pa;
}

static int check_limits(const struct uk_vas *vas, size_t len)
{
    int status = vas_check_vmas(vas);

    return status != 0 ? status : vas_check_resident(vas, len / PAGE_SIZE);
}

/* Put a region into the address space at a valid, free va. */
static int region_add(address_space_t *as, void *va, size_t len, address_space_region_prop_t prop)
{
    struct region *region;
    int status = check_limits(&as->vas, len);

    if (status != 0) {
        return status;
    }
    region = uk_malloc(as->vas.a, sizeof(*region));
    if (region == NULL) {
        return -ENOMEM;
    }
    status = -ENOMEM;
    region->pa = backing_alloc(len, prop);
    if (region->pa != 0) {
        status = vmm_arch_map(as->vas.pt, prop, va, (void *)region->pa, len);
        if (status != 0) {
            vmm_arch_free_range((void *)region->pa, len);
        }
    }
    if (status != 0) {
        uk_free(as->vas.a, region);
        return status;
    }
    region->vma.start = (vaddr_t)va;
    region->vma.end = (vaddr_t)va + len;
    region->vma.vas = &as->vas;
    region->vma.ops = &region_ops;
    region->vma.attr = prop_attr[prop];
    region->vma.flags = 0;
    region->vma.page_lvl = VMA_LEVEL_ANY;
    region->vma.name = NULL;
    vma_tree_insert(&as->vas.vmas, &region->vma.node);
    as->vas.counts.vmas++;
    as->vas.counts.resident += len / PAGE_SIZE;
    live++;
    return 0;
}

void *vmm_address_space_region_create(address_space_t *as, size_t len,
                                      address_space_region_prop_t prop)
{
    void *va = NULL;
    int status = validate(as, &len, prop);

    if (status == 0) {
        lock_acquire(&as->vas.lock);
        status = choose_va(as, len, &va);
        if (status == 0) {
            status = region_add(as, va, len, prop);
        }
        lock_release(&as->vas.lock);
    }
    return status_record(status) == 0 ? va : NULL;
}

int vmm_address_space_region_create_at(address_space_t *as, void *va, size_t len,
                                       address_space_region_prop_t prop)
{
    int status = validate(as, &len, prop);

    if (status == 0) {
        lock_acquire(&as->vas.lock);
        status = validate_va(as, va, len);
        if (status == 0) {
            status = region_add(as, va, len, prop);
        }
        lock_release(&as->vas.lock);
    }
    return status_record(status);
}

int vmm_address_space_region_destroy(address_space_t *as, void *va)
{
    struct region *region;
    int status;

    if (!address_space_is_live(as)) {
        return status_record(-EINVAL);
    }
    lock_acquire(&as->vas.lock);
    region = region_starting_at(as, va);
    if (region != NULL) {
        status = region_unmap(&region->vma, region->vma.start, uk_vma_len(&region->vma));
        ASSERT(status == 0);
        vma_drop(&region->vma);
    }
    lock_release(&as->vas.lock);
    return status_record(region == NULL ? -ENOENT : 0);
}

int vmm_address_space_region_set_prop(address_space_t *as, void *va,
                                      address_space_region_prop_t prop)
{
    struct region *region;
    int status = -ENOENT;

    if (!address_space_is_live(as) || !prop_is_known(prop)) {
        return status_record(-EINVAL);
    }
    lock_acquire(&as->vas.lock);
    region = region_starting_at(as, va);
    if (region != NULL) {
        status = region->vma.attr == prop_attr[prop]
                     ? 0
                     : vma_set_attr_mapped(&region->vma, prop_attr[prop]);
        ASSERT(status == 0);
        region->vma.attr = prop_attr[prop];
    }
    lock_release(&as->vas.lock);
    return status_record(status);
}

int vmm_address_space_region_next(address_space_t *as, const void *va, address_space_region_t *out)
{
    struct uk_vma *vma;

    if (!address_space_is_live(as)) {
        return status_record(-EINVAL);
    }
    if (!vmm_arch_kernel_access(out, sizeof(*out), true)) {
        return status_record(-EFAULT);
    }
    lock_acquire(&as->vas.lock);
    vma = vma_from(&as->vas, (vaddr_t)va);
    while (vma != NULL && region_of(vma) == NULL) {
        vma = vma_above(vma);
    }
    if (vma != NULL) {
        *out = (address_space_region_t){
            .va = (void *)vma->start,
            .pa = (void *)region_of(vma)->pa,
            .len = uk_vma_len(vma),
            .prop = prop_of(vma),
        };
    }
    lock_release(&as->vas.lock);
    return status_record(vma == NULL ? -ENOENT : 0);
}
