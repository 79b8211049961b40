/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/vas_limits.h"
#include "core/vma_cow.h"
#include "lukos/status.h"
#include "lukos/vmm_arch.h"

/* Splitting and merging VMAs, and what is done to a range of them. */

static int plain_split(struct uk_vma *vma, struct uk_vma **above)
{
    *above = uk_malloc(vma->vas->a, sizeof(**above));
    return *above == NULL ? -ENOMEM : 0;
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
    vma_tree_split(&vma->vas->vmas, &vma->node, &above->node);
    vma->vas->counts.vmas++;
    return 0;
}

void vma_forget(struct uk_vma *vma)
{
    if (vma->ops->destroy != NULL) {
        vma->ops->destroy(vma);
    }
    uk_free(vma->vas->a, vma);
}

void vma_drop(struct uk_vma *vma)
{
    vma_tree_remove(&vma->vas->vmas, &vma->node);
    vma->vas->counts.vmas--;
    vma_forget(vma);
}

bool vma_join(struct uk_vma *vma, struct uk_vma *above)
{
    if (vma->ops->merge != NULL && vma->ops->merge(vma, above) != 0) {
        return false;
    }
    vma->flags |= above->flags & VMA_FLAG_COW;
    vma_tree_join(&vma->vas->vmas, &vma->node);
    vma->vas->counts.vmas--;
    vma_forget(above);
    return true;
}

/* ---- ranges ---- */

/* A range that is worked on, and the VMAs that have its first and last bytes, or come next to them. */
struct range {
    struct uk_vas *vas;
    __vaddr_t start;
    __vaddr_t end;
    struct uk_vma *first; /* the first to end above start; it may start above end. NULL: none */
    struct uk_vma *last;  /* the same for the last byte */
};

static inline struct range range_of(struct uk_vas *vas, __vaddr_t vaddr, __sz len)
{
    __vaddr_t end = vaddr + len;
    struct uk_vma *first = vma_from(vas, vaddr);
    struct uk_vma *last = first == NULL || first->end >= end ? first : vma_from(vas, end - 1);

    return (struct range){vas, vaddr, end, first, last};
}

/* An address in the VMA, whose end is one at most, is handled in multiples of its page size. */
static inline bool may_cut(const struct uk_vma *vma, __vaddr_t vaddr)
{
    return vma == NULL || vma_level(vma) == PAGE_LEVEL ||
           is_aligned(max_u64(vaddr, vma->start), vma_page_size(vma));
}

static inline bool ends_are_aligned(const struct range *range)
{
    return may_cut(range->first, range->start) && may_cut(range->last, range->end);
}

bool vma_range_is_aligned(struct uk_vas *vas, __vaddr_t vaddr, __vaddr_t end)
{
    struct range range = range_of(vas, vaddr, end - vaddr);

    return ends_are_aligned(&range);
}

static __attribute__((noinline)) bool has_hole(const struct range *range)
{
    const struct uk_vma *vma = range->first;
    __vaddr_t vaddr = range->start;

    while (vma != NULL && vma->start <= vaddr && vma->end < range->end) {
        vaddr = vma->end;
        vma = vma_above(vma);
    }
    return vma == NULL || vma->start > vaddr;
}

static __attribute__((noinline)) int validate(struct uk_vas *vas, __vaddr_t vaddr, __sz len,
                                              unsigned long flags, struct range *range)
{
    __vaddr_t end;

    if (len == 0 || !is_aligned(vaddr | len, PAGE_SIZE) ||
        __builtin_add_overflow(vaddr, len, &end)) {
        return -EINVAL;
    }
    *range = range_of(vas, vaddr, len);
    if (!ends_are_aligned(range)) {
        return -EINVAL;
    }
    return (flags & UK_VMA_FLAG_STRICT_VMA_CHECK) != 0 && has_hole(range) ? -ENOENT : 0;
}

/* Let no page lie across vaddr, where the VMA below ends now. */
static __attribute__((noinline)) int cut_pages(struct uk_vma *vma, __vaddr_t vaddr)
{
    int status = 0;

    if (vma->ops->unmap != NULL) {
        vma_frames_lock(vma);
        status = vmm_arch_pages_cut(vma->vas->pt, vaddr);
        vma_frames_unlock(vma);
    }
    return status;
}

/*
 * Make vaddr an end of the VMA that it is in. Where the work on the range is not done by one call
 * it shall not be given up half-way for want of memory: then pages are cut now, too.
 */
static inline int cut(struct uk_vma *vma, __vaddr_t vaddr, bool one)
{
    int status = vma_split(vma, vaddr);

    if (status == 0 && !one) {
        status = cut_pages(vma, vaddr);
        if (status != 0) {
            (void)vma_merge_above(vma);
        }
    }
    return status;
}

/* Both ends, or neither. */
static inline int cut_ends(struct range *range)
{
    struct uk_vma *first = range->first;
    struct uk_vma *last = range->last;
    bool one = first == last;
    int status = 0;

    if (first != NULL && first->start < range->start) {
        status = cut(first, range->start, one);
        if (status != 0) {
            return status;
        }
        range->first = vma_above(first);
        vma_tree_expect(&range->vas->vmas, &range->first->node);
        last = one ? range->first : last;
    }
    if (last != NULL && last->start < range->end && last->end > range->end) {
        status = cut(last, range->end, one);
        if (status != 0) {
            vma_merge_below(range->first);
        }
    }
    return status;
}

/* Join whatever is alike from below the range to above it. */
static void merge_range(const struct range *range)
{
    struct uk_vma *vma = range->first;

    if (vma != NULL && vma_below(vma) != NULL) {
        vma = vma_below(vma);
    }
    while (vma != NULL && vma->start <= range->end) {
        if (!vma_merge_above(vma)) {
            vma = vma_above(vma);
        }
    }
}

/* Unmap all of a VMA, and drop it. */
static inline int unmap_vma(struct uk_vma *vma)
{
    int status = 0;

    if (vma->ops->unmap != NULL) {
        status = vma->ops->unmap(vma, vma->start, uk_vma_len(vma));
    }
    if (status == 0) {
        vma_drop(vma);
    }
    return status;
}

static int unmap(struct range *range)
{
    int status = cut_ends(range);

    if (status != 0) {
        return status;
    }
    while (status == 0 && range->first != NULL && range->first->start < range->end) {
        struct uk_vma *above = vma_above(range->first);

        status = unmap_vma(range->first);
        if (status == 0) {
            range->first = above;
        }
    }
    if (status != 0) {
        merge_range(range); /* what was cut at the ends */
    }
    return status;
}

int vma_range_unmap(struct uk_vas *vas, __vaddr_t vaddr, __sz len)
{
    struct range range = range_of(vas, vaddr, len);

    return unmap(&range);
}

static __attribute__((noinline)) int unmap_others(struct uk_vas *vas, __vaddr_t vaddr, __sz len,
                                                  unsigned long flags)
{
    struct range range;
    int status = validate(vas, vaddr, len, flags, &range);

    return status != 0 ? status : unmap(&range);
}

/* Mostly the range is that of one VMA: then it is in order, and nothing is to be cut. */
int uk_vma_unmap(struct uk_vas *vas, __vaddr_t vaddr, __sz len, unsigned long flags)
{
    struct uk_vma *vma;
    int status;

    lock_acquire(&vas->lock);
    vma = vma_from(vas, vaddr);
    if (vma != NULL && vma->start == vaddr && uk_vma_len(vma) == len) {
        status = unmap_vma(vma);
    } else {
        status = unmap_others(vas, vaddr, len, flags);
    }
    lock_release(&vas->lock);
    return status;
}

static int set_attr(struct range *range, unsigned long attr)
{
    int status = cut_ends(range);

    if (status != 0) {
        return status;
    }
    for (struct uk_vma *vma = range->first; vma != NULL && vma->start < range->end;
         vma = vma_above(vma)) {
        if (vma->ops->set_attr != NULL && vma->attr != attr) {
            status = vma->ops->set_attr(vma, attr);
        }
        if (status != 0) {
            break;
        }
        vma->attr = attr;
    }
    merge_range(range);
    return status;
}

int uk_vma_set_attr(struct uk_vas *vas, __vaddr_t vaddr, __sz len, unsigned long attr,
                    unsigned long flags)
{
    struct range range;
    int status = vma_attr_valid(vas, attr) ? 0 : -EINVAL;

    lock_acquire(&vas->lock);
    if (status == 0) {
        status = validate(vas, vaddr, len, flags, &range);
    }
    if (status == 0) {
        status = set_attr(&range, attr);
    }
    lock_release(&vas->lock);
    return status;
}

static int advise(const struct range *range, unsigned long advice)
{
    struct uk_vma *vma = range->first;
    int status = 0;

    while (status == 0 && vma != NULL && vma->start < range->end) {
        __vaddr_t from = max_u64(vma->start, range->start);

        if (vma->ops->advise != NULL) {
            status = vma->ops->advise(vma, from, min_u64(vma->end, range->end) - from, advice);
        }
        vma = vma_above(vma);
    }
    return status;
}

int uk_vma_advise(struct uk_vas *vas, __vaddr_t vaddr, __sz len, unsigned long advice,
                  unsigned long flags)
{
    struct range range;
    int status;

    lock_acquire(&vas->lock);
    status = validate(vas, vaddr, len, flags, &range);
    if (status == 0) {
        status = advise(&range, advice);
    }
    lock_release(&vas->lock);
    return status;
}
