/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/vas_limits.h"
#include "core/vma.h"
#include "lukos/status.h"
#include "lukos/vmm_arch.h"

/* uk_vma_map(): validate, find the place, make the VMA, and make room for it. */

/* Whether there is a wish for a page size; then, log2 of it. */
static inline bool has_page_order(const struct vma_request *request)
{
    return (request->flags & UK_VMA_MAP_SIZE(UK_VMA_MAP_SIZE_MASK)) != 0;
}

static inline unsigned page_order(const struct vma_request *request)
{
    return (unsigned)UK_VMA_MAP_SIZE_TO_ORDER(request->flags);
}

static inline __sz page_size(const struct vma_request *request)
{
    return has_page_order(request) ? BIT(page_order(request)) : PAGE_SIZE;
}

/* Its level, -1 for any: an eighth of the order, or of 0, less 1. */
static inline int page_level(const struct vma_request *request)
{
    _Static_assert(PAGE_SHIFT / 8 == PAGE_LEVEL + 1, "4K");
    _Static_assert(PAGE_LARGE_SHIFT / 8 == PAGE_LARGE_LEVEL + 1, "2M");
    _Static_assert(PAGE_HUGE_SHIFT / 8 == PAGE_HUGE_LEVEL + 1, "1G");
    return (int)(page_order(request) / 8) - 1;
}

/* True when there are pages of the size wanted and address and length are multiples of it. */
static inline bool are_pages(const struct vma_request *request)
{
    static const uint64_t orders = BIT(PAGE_SHIFT) | BIT(PAGE_LARGE_SHIFT) | BIT(PAGE_HUGE_SHIFT);

    if (!has_page_order(request)) {
        return is_aligned(request->vaddr | request->len, PAGE_SIZE);
    }
    return (orders >> page_order(request) & 1) != 0 &&
           is_aligned(request->vaddr | request->len, page_size(request));
}

_Static_assert(__VADDR_ANY % PAGE_HUGE_SIZE == 0, "a multiple of every page size");

/* All but whether the place is free, or in the VAS at all. */
static inline int validate(struct vma_request *request)
{
    return request->ops != NULL && request->len != 0 && are_pages(request) &&
                   vma_attr_valid(request->vas, request->attr)
               ? 0
               : -EINVAL;
}

/* *next, here and below: the VMA above the place, if any. */
static inline int choose(struct vma_request *request, struct uk_vma **next)
{
    struct uk_vas *vas = request->vas;
    __vaddr_t base = vas->vma_base;

    if (request->ops->get_base != NULL) {
        base = request->ops->get_base(vas, request->args, request->flags);
    }
    request->vaddr = vma_tree_find_hole(&vas->vmas, request->len, page_size(request), base,
                                        vas->low + vas->size);
    *next = vma_of(vas->vmas.found);
    return request->vaddr == 0 ? -ENOMEM : 0;
}

/* True when nobody has the place: next is the first VMA that ends above its start. */
static inline bool is_free(const struct vma_request *request, const struct uk_vma *next)
{
    return next == NULL || next->start >= request->vaddr + request->len;
}

/* Whether what is in the way may go. */
static __attribute__((noinline)) int may_replace(struct uk_vas *vas, __vaddr_t vaddr, __sz len,
                                                 unsigned long flags)
{
    if ((flags & UK_VMA_MAP_REPLACE) == 0) {
        return -EEXIST;
    }
    return vma_range_is_aligned(vas, vaddr, vaddr + len) ? 0 : -EINVAL;
}

/* A VMA of its type, not yet in the VAS. The type may change the flags. */
static inline int new_vma(struct vma_request *request, struct uk_vma **new)
{
    struct uk_vas *vas = request->vas;

    if (request->ops->new != NULL) {
        unsigned long flags = request->flags;
        struct uk_vma *vma = NULL;
        int status = request->ops->new(vas, request->vaddr, request->len, request->args,
                                       request->attr, &flags, &vma);

        if (status == 0 && request->name != NULL) {
            vma->name = request->name;
        }
        request->flags = flags;
        *new = vma;
        return status;
    }
    *new = uk_malloc(vas->a, sizeof(**new));
    if (*new == NULL) {
        return -ENOMEM;
    }
    (*new)->name = request->name;
    return 0;
}

static inline void fill_in(struct uk_vma *vma, const struct vma_request *request)
{
    vma->start = request->vaddr;
    vma->end = request->vaddr + request->len;
    vma->vas = request->vas;
    vma->ops = request->ops;
    vma->attr = request->attr;
    vma->flags = (request->flags & ~UK_VMA_MAP_EXTF_MASK) |
                 field_get(UK_VMA_MAP_UNINITIALIZED, request->flags) * UK_VMA_FLAG_UNINITIALIZED;
    vma->page_lvl = page_level(request);
}

/* Put a new VMA into the books of its VAS, below next. */
static inline void enter(struct uk_vas *vas, struct uk_vma *vma, struct uk_vma *next)
{
    vas->counts.vmas++;
    vma_tree_insert_before(&vas->vmas, &vma->node, next == NULL ? NULL : &next->node);
}

/* Unmap and drop a new VMA. */
static __attribute__((noinline)) void discard(struct uk_vma *vma)
{
    if (vma->ops->unmap != NULL) {
        (void)vma->ops->unmap(vma, vma->start, uk_vma_len(vma));
    }
    vma_drop(vma);
}

/* Prefault these offsets of a new VMA; when that fails nothing of it stays. */
static inline int populate(struct uk_vma *vma, __sz from, __sz to)
{
    int status = vma_prefault(vma, vma->start + from, to - from);

    if (status != 0) {
        discard(vma);
    }
    return status;
}

static __attribute__((noinline)) int replace(struct uk_vma *vma)
{
    int status = vma_range_unmap(vma->vas, vma->start, uk_vma_len(vma));

    if (status != 0) {
        vma_forget(vma);
        return status;
    }
    enter(vma->vas, vma, vma_from(vma->vas, vma->start));
    return 0;
}

/* The VMA and all that could be mapped of it move to the VAS, where nothing is in their way. */
static void move(struct uk_vma *vma, struct uk_vas *vas)
{
    __sz len = uk_vma_len(vma);

    if (!vmm_arch_take_over(vas->pt, vma->vas->pt, vma->start, len) && vma->ops->unmap != NULL) {
        (void)vma->ops->unmap(vma, vma->start, len); /* a reservation has left pages there */
    }
    vas_take_counts(vas, vma->vas);
    vma_tree_remove(&vma->vas->vmas, &vma->node);
    vma->vas = vas;
    enter(vas, vma, vma_from(vas, vma->start));
}

/* Make the VMA present in a VAS of its own first: only when all is there must others go. */
static __attribute__((noinline)) int replace_populated(struct uk_vma *vma, __sz from, __sz to)
{
    struct uk_vas *vas = vma->vas;
    struct uk_pagetable pt;
    struct uk_vas staging;
    int status = vmm_arch_staging_init(&pt, vas->pt);

    if (status != 0) {
        vma_forget(vma);
        return status;
    }
    (void)uk_vas_init(&staging, &pt, vas->a);
    staging.limits.resident = vas_resident_left(vas);
    vma->vas = &staging;
    enter(&staging, vma, NULL);
    status = populate(vma, from, to);
    if (status == 0) {
        status = vma_range_unmap(vas, vma->start, uk_vma_len(vma));
        if (status == 0) {
            move(vma, vas);
        } else {
            discard(vma);
        }
    }
    vmm_arch_pagetable_fini(&pt);
    return status;
}

/* Put a new VMA into its VAS. */
static inline int place(struct uk_vma *vma, const struct vma_request *request, struct uk_vma *next)
{
    __sz from = request->present_from;
    __sz to = request->present_to;

    if ((request->flags & UK_VMA_MAP_REPLACE) != 0 && !is_free(request, next)) {
        return from != to ? replace_populated(vma, from, to) : replace(vma);
    }
    enter(request->vas, vma, next);
    return from != to ? populate(vma, from, to) : 0;
}

/* *next may have the place itself, and may go. */
static inline int look_up(struct vma_request *request, struct uk_vma **next)
{
    struct uk_vas *vas = request->vas;
    const struct vma_node *last = vma_tree_last(&vas->vmas);

    if (last == NULL || request->vaddr >= last->end) {
        *next = NULL;
        return 0;
    }
    *next = vma_from(vas, request->vaddr);
    return is_free(request, *next) ? 0
                                   : may_replace(vas, request->vaddr, request->len, request->flags);
}

/* Whether the page table translates the range asked for; __VADDR_ANY it never does. */
static inline bool is_in_vas(const struct vma_request *request)
{
    const struct uk_vas *vas = request->vas;

    return request->len <= vas->size && request->vaddr - vas->low <= vas->size - request->len;
}

static inline __attribute__((always_inline)) int find_place(struct vma_request *request,
                                                            struct uk_vma **next)
{
    if (is_in_vas(request)) {
        return look_up(request, next);
    }
    return request->vaddr == __VADDR_ANY ? choose(request, next) : -EINVAL;
}

static inline __attribute__((always_inline)) int perform(struct vma_request *request)
{
    struct uk_vma *next;
    struct uk_vma *vma;
    int status = find_place(request, &next);

    if (status == 0) {
        status = vas_check_vmas(request->vas);
    }
    if (status == 0) {
        status = new_vma(request, &vma);
    }
    if (status != 0) {
        return status;
    }
    fill_in(vma, request);
    if ((request->flags & UK_VMA_MAP_POPULATE) != 0) {
        request->present_from = 0;
        request->present_to = request->len;
    }
    status = place(vma, request, next);
    if (status == 0) {
        (void)vma_merge_above(vma);
        vma_merge_below(vma);
    }
    return status;
}

static inline __attribute__((always_inline)) int map(struct vma_request *request)
{
    int status = validate(request);

    if (status == 0) {
        lock_acquire(&request->vas->lock);
        status = perform(request);
        lock_release(&request->vas->lock);
    }
    return status;
}

int vma_map(struct vma_request *request)
{
    return map(request);
}

/* Inline, as the compiler can keep the request in registers then. */
int uk_vma_map(struct uk_vas *vas, __vaddr_t *vaddr, __sz len, unsigned long attr,
               unsigned long flags, const char *name, const struct uk_vma_ops *ops, void *args)
{
    struct vma_request request = {
        .vas = vas,
        .vaddr = *vaddr,
        .len = len,
        .attr = attr,
        .flags = flags,
        .name = name,
        .ops = ops,
        .args = args,
    };
    int status = map(&request);

    if (status == 0) {
        *vaddr = request.vaddr;
    }
    return status;
}
