/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORE_VMA_H
#define CORE_VMA_H

#include "core/vas_limits.h"
#include "lib/bits.h"
#include "lukos/frames.h"
#include "lukos/vmm_arch.h"
#include <uk/vmem.h>

/* What the files of the VMA engine share. The VAS's lock is held wherever one is needed. */

static inline struct uk_vma *vma_of(struct vma_node *node)
{
    return (struct uk_vma *)node; /* the node is the first member; NULL stays NULL */
}

/* The first VMA that ends above vaddr, or NULL. */
static inline struct uk_vma *vma_from(struct uk_vas *vas, __vaddr_t vaddr)
{
    return vma_of(vma_tree_seek(&vas->vmas, vaddr));
}

static inline struct uk_vma *vma_above(const struct uk_vma *vma)
{
    return vma_of(vma_tree_next(&vma->node));
}

static inline struct uk_vma *vma_below(const struct uk_vma *vma)
{
    return vma_of(vma_tree_prev(&vma->node));
}

/* In uk_vma.page_lvl: no size of pages was asked for. */
#define VMA_LEVEL_ANY (-1)

/* The level of the smallest pages that the VMA may have. */
static inline unsigned vma_level(const struct uk_vma *vma)
{
    return vma->page_lvl == VMA_LEVEL_ANY ? PAGE_LEVEL : (unsigned)vma->page_lvl;
}

/* Bytes of the pages that the VMA insists on: addresses in it are handled in multiples of it. */
static inline __sz vma_page_size(const struct uk_vma *vma)
{
    return PAGE_Lx_SIZE(vma_level(vma));
}

/* A VMA to be made: the arguments of uk_vma_map(), and what of it shall be present at once. */
struct vma_request {
    struct uk_vas *vas;
    __vaddr_t vaddr; /* __VADDR_ANY becomes the address */
    __sz len;
    unsigned long attr;
    unsigned long flags;
    const char *name;
    const struct uk_vma_ops *ops;
    void *args;
    __sz present_from; /* offsets into the VMA; UK_VMA_MAP_POPULATE: all of it */
    __sz present_to;
};

/* uk_vma_map(): all of it, or nothing has changed. */
int vma_map(struct vma_request *request);

/* Cut the VMA in two at vaddr, inside it, if its type allows. */
int vma_split(struct uk_vma *vma, __vaddr_t vaddr);

/*
 * In uk_vma.flags: pages may be shared (core/vma_cow.h), so a page that is read-only may be so for
 * that reason.
 */
#define VMA_FLAG_COW 0x2UL

/* vmm_arch_pte() in the page table of the VAS: 0 for what that cannot express. */
static inline __pte_t vma_pte(const struct uk_vas *vas, unsigned long attr)
{
    return (attr & ~(unsigned long)PAGE_ATTR_PROT_RWX) == 0 ? vas->protections[attr]
                                                            : vmm_arch_pte(vas->pt, attr);
}

static inline bool vma_attr_valid(const struct uk_vas *vas, unsigned long attr)
{
    return vma_pte(vas, attr) != 0;
}

/* True when two VMAs differ in their addresses alone, as far as can be told from outside. */
static inline bool vma_are_alike(const struct uk_vma *below, const struct uk_vma *above)
{
    return below->attr == above->attr && below->name == above->name && below->ops == above->ops &&
           ((below->flags ^ above->flags) & ~VMA_FLAG_COW) == 0 &&
           below->page_lvl == above->page_lvl;
}

/* Join the VMA with the one above, which touches it and is like it, unless their type minds. */
bool vma_join(struct uk_vma *vma, struct uk_vma *above);

/* Join the VMA with the one above if they touch and are alike. True: the one above is gone. */
static inline bool vma_merge_above(struct uk_vma *vma)
{
    struct uk_vma *above = vma_above(vma);

    return above != NULL && above->start == vma->end && vma_are_alike(vma, above) &&
           vma_join(vma, above);
}

/* The same with the one below it; then the VMA is gone. */
static inline void vma_merge_below(struct uk_vma *vma)
{
    struct uk_vma *below = vma_below(vma);

    if (below != NULL && below->end == vma->start && vma_are_alike(below, vma)) {
        (void)vma_join(below, vma);
    }
}

/* True when neither end of the range cuts a page of a VMA that insists on large ones. */
bool vma_range_is_aligned(struct uk_vas *vas, __vaddr_t vaddr, __vaddr_t end);

/* Unmap and drop every VMA in the range, cutting those at its ends. */
int vma_range_unmap(struct uk_vas *vas, __vaddr_t vaddr, __sz len);

/* Free a VMA that is in no VAS. */
void vma_forget(struct uk_vma *vma);

/* Take the VMA out of its VAS and free it. Nothing of it is mapped any more. */
void vma_drop(struct uk_vma *vma);

/*
 * Make the range, inside the VMA, present by soft faults. -ENOMEM and whatever the type says;
 * what was made present until then stays.
 */
int vma_prefault(struct uk_vma *vma, __vaddr_t vaddr, __sz len);

/* Make blocks of what is complete in the range: VAS_ADV_PROMOTE. */
int vma_promote(struct uk_vma *vma, __vaddr_t vaddr, __sz len);

/* count frames for pages of 2^order, of an allocation each; 0: there are none. */
paddr_t vma_frames_alloc(size_t count, unsigned order);

/*
 * New frames for a fault, of an allocation for each page, which the VAS counts as resident and as
 * supplied by this kind. 0, or -ENOMEM, -EDQUOT.
 */
static inline int vma_supply(const struct uk_vma *vma, struct uk_vm_fault *fault, size_t *kind)
{
    struct uk_vas *vas = vma->vas;
    unsigned order = PAGE_Lx_SHIFT(fault->level) - PAGE_SHIFT;
    size_t count = fault->len / PAGE_SIZE;
    int status = vas_check_resident(vas, count);

    if (status != 0) {
        return status;
    }
    fault->paddr = count == BIT(order) ? frames_alloc(count, order, FRAME_PAGE)
                                       : vma_frames_alloc(count, order);
    if (fault->paddr == 0) {
        return -ENOMEM;
    }
    vas->counts.resident += count;
    *kind += count;
    return 0;
}

/* Make neighbours of a page present that an access has just got: vas_set_fault_around(). */
void vma_fault_around(struct uk_vma *vma, __vaddr_t vaddr);

/* Unmap a range, and release what was mapped: the unmap operation of types that own it. */
int vma_unmap_owned(struct uk_vma *vma, __vaddr_t vaddr, __sz len);

/* The same for types whose memory is somebody else's: nothing is released. */
int vma_unmap_borrowed(struct uk_vma *vma, __vaddr_t vaddr, __sz len);

/* The set_attr operation of types that map pages. */
int vma_set_attr_mapped(struct uk_vma *vma, unsigned long attr);

#endif
