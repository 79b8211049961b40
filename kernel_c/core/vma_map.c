/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/vas_limits.h"
#include "core/vma.h"
#include "lukos/status.h"
#include "lukos/vmm_arch.h"

/* uk_vma_map(): validate, find the place, make the VMA, and make room for it. */

/* The level of the page size asked for: -1: none; -2: no such page size. */
static int page_level(unsigned long flags)
{
    switch (UK_VMA_MAP_SIZE_TO_ORDER(flags)) {
    case 0:
        return -1;
    case PAGE_SHIFT:
        return PAGE_LEVEL;
    case PAGE_LARGE_SHIFT:
        return PAGE_LARGE_LEVEL;
    case PAGE_HUGE_SHIFT:
        return PAGE_HUGE_LEVEL;
    default:
        return -2;
    }
}

static __sz page_size(const struct vma_request *request)
{
    return PAGE_Lx_SIZE(request->page_lvl < 0 ? PAGE_LEVEL : request->page_lvl);
}

static int validate(struct vma_request *request)
{
    request->page_lvl = page_level(request->flags);
    if (request->page_lvl < -1 || request->len == 0 || request->ops == NULL ||
        !is_aligned(request->len, page_size(request)) ||
        vmm_arch_pte(request->vas->pt, request->attr) == 0) {
        return -EINVAL;
    }
    if (request->vaddr == __VADDR_ANY) {
        return 0;
    }
    if (!is_aligned(request->vaddr, page_size(request)) ||
        !vmm_arch_range_valid(request->vas->pt, request->vaddr, request->len)) {
        return -EINVAL;
    }
    return 0;
}

static int choose(struct vma_request *request)
{
    struct uk_vas *vas = request->vas;
    __vaddr_t base = vas->vma_base;

    if (request->ops->get_base != NULL) {
        base = request->ops->get_base(vas, request->args, request->flags);
    }
    request->vaddr = vma_tree_find_hole(&vas->vmas, request->len, page_size(request), base,
                                        vmm_arch_range_end(vas->pt));
    return request->vaddr == 0 ? -ENOMEM : 0;
}

/* Whether what is in the way, if anything, may go. */
static int may_replace(const struct vma_request *request)
{
    if ((request->flags & UK_VMA_MAP_REPLACE) == 0) {
        return -EEXIST;
    }
    return vma_range_is_aligned(request->vas, request->vaddr, request->vaddr + request->len)
               ? 0
               : -EINVAL;
}

/* A VMA of its type, not yet in the VAS. The type may change the flags. */
static int new_vma(struct vma_request *request, struct uk_vma **new)
{
    struct uk_vas *vas = request->vas;
    struct uk_vma *vma = NULL;

    if (request->ops->new != NULL) {
        unsigned long flags = request->flags;
        int status = request->ops->new(vas, request->vaddr, request->len, request->args,
                                       request->attr, &flags, &vma);

        if (status != 0) {
            return status;
        }
        request->flags = flags;
    } else {
        vma = uk_malloc(vas->a, sizeof(*vma));
        if (vma == NULL) {
            return -ENOMEM;
        }
        vma->name = NULL;
    }
    *new = vma;
    return 0;
}

static void fill_in(struct uk_vma *vma, const struct vma_request *request)
{
    vma->start = request->vaddr;
    vma->end = request->vaddr + request->len;
    vma->vas = request->vas;
    vma->ops = request->ops;
    vma->attr = request->attr;
    vma->flags = request->flags & ~UK_VMA_MAP_EXTF_MASK;
    if ((request->flags & UK_VMA_MAP_UNINITIALIZED) != 0) {
        vma->flags |= UK_VMA_FLAG_UNINITIALIZED;
    }
    vma->page_lvl = request->page_lvl;
    if (request->name != NULL) {
        vma->name = request->name;
    }
}

/* Put a new VMA into the books of its VAS. */
static inline void enter(struct uk_vma *vma)
{
    vma_tree_insert(&vma->vas->vmas, &vma->node);
    vma->vas->counts.vmas++;
}

/* Unmap and drop a new VMA. */
static void discard(struct uk_vma *vma)
{
    if (vma->ops->unmap != NULL) {
        (void)vma->ops->unmap(vma, vma->start, uk_vma_len(vma));
    }
    vma_drop(vma);
}

/* Prefault what is wanted of a new VMA; when that fails nothing of it stays. */
static __attribute__((noinline)) int populate(struct uk_vma *vma, const struct vma_request *request)
{
    int status = vma_prefault(vma, vma->start + request->present_from,
                              request->present_to - request->present_from);

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
    enter(vma);
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
    enter(vma);
}

/* Make the VMA present in a VAS of its own first: only when all is there must others go. */
static __attribute__((noinline)) int replace_populated(struct uk_vma *vma,
                                                       const struct vma_request *request)
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
    enter(vma);
    status = populate(vma, request);
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
static inline int place(struct uk_vma *vma, const struct vma_request *request, bool occupied)
{
    bool present = request->present_from != request->present_to;

    if (occupied) {
        return present ? replace_populated(vma, request) : replace(vma);
    }
    enter(vma);
    return present ? populate(vma, request) : 0;
}

static int perform(struct vma_request *request)
{
    struct uk_vma *vma;
    bool occupied = false;
    int status;

    if (request->vaddr == __VADDR_ANY) {
        status = choose(request);
    } else {
        const struct uk_vma *next = vma_from(request->vas, request->vaddr);

        occupied = next != NULL && next->start < request->vaddr + request->len;
        status = occupied ? may_replace(request) : 0;
    }
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
    status = place(vma, request, occupied);
    if (status != 0) {
        return status;
    }
    (void)vma_merge_above(vma);
    vma_merge_below(vma);
    return 0;
}

int vma_map(struct vma_request *request)
{
    int status = validate(request);

    if (status != 0) {
        return status;
    }
    lock_acquire(&request->vas->lock);
    status = perform(request);
    lock_release(&request->vas->lock);
    return status;
}

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
    int status = vma_map(&request);

    if (status == 0) {
        *vaddr = request.vaddr;
    }
    return status;
}
