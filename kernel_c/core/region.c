/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/address_space.h"
#include "core/status.h"
#include "lib/bits.h"
#include "lukos/objects.h"
#include "lukos/vmm_arch.h"

static struct object_cache regions;

void regions_init(void)
{
    object_cache_init(&regions, "region", align_up(sizeof(struct region), 8));
}

size_t regions_count(void)
{
    return regions.live;
}

struct region *region_find(address_space_t *as, const void *va)
{
    struct vma_node *node = vma_tree_find(&as->regions, (vaddr_t)va);

    return node == NULL ? NULL : container_of(node, struct region, range);
}

static struct region *region_starting_at(address_space_t *as, const void *va)
{
    struct region *region = region_find(as, va);

    return region != NULL && region->range.start == (vaddr_t)va ? region : NULL;
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
    if (*len > SIZE_MAX - PAGE_SIZE) {
        return -ERANGE;
    }
    *len = align_up(*len, PAGE_SIZE);
    return 0;
}

static int validate_va(address_space_t *as, const void *va, size_t len)
{
    const struct vma_node *next;

    if (!is_aligned((vaddr_t)va, vmm_arch_boundary(len)) || va == NULL) {
        return -EINVAL;
    }
    if (!vmm_arch_va_valid(va, len)) {
        return -ERANGE;
    }
    next = vma_tree_lower_bound(&as->regions, (vaddr_t)va);
    return next != NULL && next->start < (vaddr_t)va + len ? -EEXIST : 0;
}

/* The lowest VA for len bytes, or why there is none. */
static int choose_va(address_space_t *as, size_t len, void **va)
{
    if (!vmm_arch_va_valid((void *)vmm_arch_boundary(len), len)) {
        return -ERANGE;
    }
    *va = vmm_arch_get_free_range(as->context, len);
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

/* Put a region into the address space at a valid, free va. */
static int region_add(address_space_t *as, void *va, size_t len, address_space_region_prop_t prop)
{
    struct region *region = object_alloc(&regions);
    int status = -ENOMEM;

    if (region == NULL) {
        return -ENOMEM;
    }
    region->range.start = (vaddr_t)va;
    region->range.end = (vaddr_t)va + len;
    region->prop = prop;
    region->pa = backing_alloc(len, prop);
    if (region->pa != 0) {
        status = vmm_arch_map(as->context, prop, va, (void *)region->pa, len);
        if (status != 0) {
            vmm_arch_free_range((void *)region->pa, len);
        }
    }
    if (status != 0) {
        object_free(&regions, region);
        return status;
    }
    vma_tree_insert(&as->regions, &region->range);
    as->region_count++;
    return 0;
}

static void region_free(struct region *region)
{
    vmm_arch_free_range((void *)region->pa, region_size(region));
    object_free(&regions, region);
}

void *vmm_address_space_region_create(address_space_t *as, size_t len,
                                      address_space_region_prop_t prop)
{
    void *va = NULL;
    int status = validate(as, &len, prop);

    if (status == 0) {
        lock_acquire(&as->lock);
        status = choose_va(as, len, &va);
        if (status == 0) {
            status = region_add(as, va, len, prop);
        }
        lock_release(&as->lock);
    }
    return status_record(status) == 0 ? va : NULL;
}

int vmm_address_space_region_create_at(address_space_t *as, void *va, size_t len,
                                       address_space_region_prop_t prop)
{
    int status = validate(as, &len, prop);

    if (status == 0) {
        lock_acquire(&as->lock);
        status = validate_va(as, va, len);
        if (status == 0) {
            status = region_add(as, va, len, prop);
        }
        lock_release(&as->lock);
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
    lock_acquire(&as->lock);
    region = region_starting_at(as, va);
    if (region != NULL) {
        status = vmm_arch_unmap(as->context, va, region_size(region));
        ASSERT(status == 0);
        vma_tree_remove(&as->regions, &region->range);
        as->region_count--;
        region_free(region);
    }
    lock_release(&as->lock);
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
    lock_acquire(&as->lock);
    region = region_starting_at(as, va);
    if (region != NULL) {
        status = 0;
        if (region->prop != prop) {
            if (prop == AS_REGION_RX) {
                vmm_arch_sync_code(region->pa, region_size(region));
            }
            status = vmm_arch_protect(as->context, prop, va, region_size(region));
            ASSERT(status == 0);
            region->prop = prop;
        }
    }
    lock_release(&as->lock);
    return status_record(status);
}

int vmm_address_space_region_next(address_space_t *as, const void *va, address_space_region_t *out)
{
    const struct vma_node *node;

    if (!address_space_is_live(as)) {
        return status_record(-EINVAL);
    }
    if (!vmm_arch_kernel_access(out, sizeof(*out), true)) {
        return status_record(-EFAULT);
    }
    lock_acquire(&as->lock);
    node = vma_tree_lower_bound(&as->regions, (vaddr_t)va);
    if (node != NULL) {
        const struct region *region = container_of(node, struct region, range);

        *out = (address_space_region_t){
            .va = (void *)node->start,
            .pa = (void *)region->pa,
            .len = region_size(region),
            .prop = region->prop,
        };
    }
    lock_release(&as->lock);
    return status_record(node == NULL ? -ENOENT : 0);
}

void regions_release(address_space_t *as)
{
    struct vma_node *node;

    while ((node = vma_tree_first(&as->regions)) != NULL) {
        vma_tree_remove(&as->regions, node);
        region_free(container_of(node, struct region, range));
    }
}
