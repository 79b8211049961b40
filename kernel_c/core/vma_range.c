/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/vas_limits.h"
#include "core/vma_cow.h"
#include "lukos/status.h"
#include "lukos/vmm_arch.h"

/* Splitting and merging VMAs, and what is done to a range of them. */

static int plain_split(struct uk_vma *vma, struct uk_vma **above)
{
    *above = uk_malloc(vma->vas->a, sizeof(**above));
    if (*above == NULL) {
        return -ENOMEM;
    }
    **above = *vma;
    return 0;
}

int vma_split(struct uk_vma *vma, __vaddr_t vaddr)
{
    struct uk_vma *above = NULL;
    int status = vas_check_vmas(vma->vas);

    if (status == 0) {
        status = vma->ops->split == NULL ? plain_split(vma, &above)
                                         : vma->ops->split(vma, vaddr, &above);
    }
    if (status != 0) {
        return status;
    }
    above->start = vaddr;
    above->end = vma->end;
    above->vas = vma->vas;
    above->ops = vma->ops;
    above->attr = vma->attr;
    above->flags = vma->flags;
    above->page_lvl = vma->page_lvl;
    above->name = vma->name;
    vma_tree_resize(&vma->vas->vmas, &vma->node, vma->start, vaddr);
    vma_tree_insert(&vma->vas->vmas, &above->node);
    vma->vas->counts.vmas++;
    return 0;
}

static bool are_alike(const struct uk_vma *below, const struct uk_vma *above)
{
    return below->end == above->start && below->ops == above->ops && below->attr == above->attr &&
           ((below->flags ^ above->flags) & ~VMA_FLAG_COW) == 0 &&
           below->page_lvl == above->page_lvl && below->name == above->name;
}

void vma_drop(struct uk_vma *vma)
{
    vma_tree_remove(&vma->vas->vmas, &vma->node);
    vma->vas->counts.vmas--;
    if (vma->ops->destroy != NULL) {
        vma->ops->destroy(vma);
    }
    uk_free(vma->vas->a, vma);
}

bool vma_merge_above(struct uk_vma *vma)
{
    struct uk_vma *above = vma_above(vma);
    __vaddr_t end;

    if (above == NULL || !are_alike(vma, above) ||
        (vma->ops->merge != NULL && vma->ops->merge(vma, above) != 0)) {
        return false;
    }
    end = above->end;
    vma->flags |= above->flags & VMA_FLAG_COW;
    vma_drop(above);
    vma_tree_resize(&vma->vas->vmas, &vma->node, vma->start, end);
    return true;
}

void vma_merge_below(struct uk_vma *vma)
{
    struct uk_vma *below = vma_of(vma_tree_prev(&vma->node));

    if (below != NULL) {
        (void)vma_merge_above(below);
    }
}

/* ---- ranges ---- */

/* An end of a range: a multiple of the page size of the VMA that it falls into. */
static bool end_is_aligned(const struct uk_vas *vas, __vaddr_t vaddr)
{
    const struct uk_vma *vma = vma_of(vma_tree_find(&vas->vmas, vaddr));

    return vma == NULL || is_aligned(vaddr, vma_page_size(vma));
}

bool vma_range_is_aligned(const struct uk_vas *vas, __vaddr_t vaddr, __vaddr_t end)
{
    return end_is_aligned(vas, vaddr) && end_is_aligned(vas, end);
}

static bool has_hole(const struct uk_vas *vas, __vaddr_t vaddr, __vaddr_t end)
{
    const struct uk_vma *vma = vma_from(vas, vaddr);

    while (vma != NULL && vma->start <= vaddr && vma->end < end) {
        vaddr = vma->end;
        vma = vma_above(vma);
    }
    return vma == NULL || vma->start > vaddr;
}

static int validate(const struct uk_vas *vas, __vaddr_t vaddr, __sz len, unsigned long flags)
{
    if (len == 0 || !is_aligned(vaddr | len, PAGE_SIZE) || len > __VADDR_MAX - vaddr ||
        !vma_range_is_aligned(vas, vaddr, vaddr + len)) {
        return -EINVAL;
    }
    return (flags & UK_VMA_FLAG_STRICT_VMA_CHECK) != 0 && has_hole(vas, vaddr, vaddr + len)
               ? -ENOENT
               : 0;
}

/*
 * Make vaddr an end of a VMA, if it falls into one, and of a page of it: what is done to the
 * range needs no memory any more, and so is not given up half-way.
 */
static int cut(struct uk_vas *vas, __vaddr_t vaddr)
{
    struct uk_vma *vma = vma_of(vma_tree_find(&vas->vmas, vaddr));
    int status;

    if (vma == NULL || vma->start == vaddr) {
        return 0;
    }
    status = vma_split(vma, vaddr);
    if (status != 0 || vma->ops->unmap == NULL) {
        return status;
    }
    vma_frames_lock(vma);
    status = vmm_arch_pages_cut(vas->pt, vaddr);
    vma_frames_unlock(vma);
    if (status != 0) {
        (void)vma_merge_above(vma);
    }
    return status;
}

/* Both ends, or neither. */
static int cut_ends(struct uk_vas *vas, __vaddr_t vaddr, __vaddr_t end)
{
    int status = cut(vas, vaddr);

    if (status == 0) {
        status = cut(vas, end);
        if (status != 0) {
            struct uk_vma *vma = vma_from(vas, vaddr);

            vma_merge_below(vma);
        }
    }
    return status;
}

int vma_range_unmap(struct uk_vas *vas, __vaddr_t vaddr, __sz len)
{
    __vaddr_t end = vaddr + len;
    int status = cut_ends(vas, vaddr, end);
    struct uk_vma *vma = vma_from(vas, vaddr);

    while (status == 0 && vma != NULL && vma->start < end) {
        struct uk_vma *above = vma_above(vma);

        if (vma->ops->unmap != NULL) {
            status = vma->ops->unmap(vma, vma->start, uk_vma_len(vma));
        }
        if (status == 0) {
            vma_drop(vma);
        }
        vma = above;
    }
    return status;
}

int uk_vma_unmap(struct uk_vas *vas, __vaddr_t vaddr, __sz len, unsigned long flags)
{
    int status;

    lock_acquire(&vas->lock);
    status = validate(vas, vaddr, len, flags);
    if (status == 0) {
        status = vma_range_unmap(vas, vaddr, len);
    }
    lock_release(&vas->lock);
    return status;
}

/* Join whatever has become alike from below vaddr to above end. */
static void merge_range(struct uk_vas *vas, __vaddr_t vaddr, __vaddr_t end)
{
    struct uk_vma *vma = vma_from(vas, vaddr - 1);

    while (vma != NULL && vma->start <= end) {
        if (!vma_merge_above(vma)) {
            vma = vma_above(vma);
        }
    }
}

static int set_attr(struct uk_vas *vas, __vaddr_t vaddr, __vaddr_t end, unsigned long attr)
{
    int status = cut_ends(vas, vaddr, end);
    struct uk_vma *vma = vma_from(vas, vaddr);

    while (status == 0 && vma != NULL && vma->start < end) {
        if (vma->ops->set_attr != NULL && vma->attr != attr) {
            status = vma->ops->set_attr(vma, attr);
        }
        if (status == 0) {
            vma->attr = attr;
        }
        vma = vma_above(vma);
    }
    merge_range(vas, vaddr, end);
    return status;
}

int uk_vma_set_attr(struct uk_vas *vas, __vaddr_t vaddr, __sz len, unsigned long attr,
                    unsigned long flags)
{
    int status = vmm_arch_pte(vas->pt, attr) == 0 ? -EINVAL : 0;

    lock_acquire(&vas->lock);
    if (status == 0) {
        status = validate(vas, vaddr, len, flags);
    }
    if (status == 0) {
        status = set_attr(vas, vaddr, vaddr + len, attr);
    }
    lock_release(&vas->lock);
    return status;
}

static int advise(struct uk_vas *vas, __vaddr_t vaddr, __vaddr_t end, unsigned long advice)
{
    struct uk_vma *vma = vma_from(vas, vaddr);
    int status = 0;

    while (status == 0 && vma != NULL && vma->start < end) {
        __vaddr_t from = max_u64(vma->start, vaddr);

        if (vma->ops->advise != NULL) {
            status = vma->ops->advise(vma, from, min_u64(vma->end, end) - from, advice);
        }
        vma = vma_above(vma);
    }
    return status;
}

int uk_vma_advise(struct uk_vas *vas, __vaddr_t vaddr, __sz len, unsigned long advice,
                  unsigned long flags)
{
    int status;

    lock_acquire(&vas->lock);
    status = validate(vas, vaddr, len, flags);
    if (status == 0) {
        status = advise(vas, vaddr, vaddr + len, advice);
    }
    lock_release(&vas->lock);
    return status;
}
