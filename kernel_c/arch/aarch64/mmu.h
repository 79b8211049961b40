/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef AARCH64_MMU_H
#define AARCH64_MMU_H

#include "context.h"
#include "lukos/frames.h"

/*
 * Translation tables: map, unmap, protect and look up ranges of a context. Ranges are multiples
 * of 4K that the context translates; what a caller outside may get wrong is checked in
 * contract.c. Blocks that an end of a range cuts are split first, with break-before-make.
 */

/*
 * Map [va, end) to pa on with the largest blocks that fit, at first_level or below; attributes
 * as in pte.h. All or nothing: -EEXIST, -ENOMEM.
 */
int mmu_map(struct uk_pagetable *context, vaddr_t va, vaddr_t end, paddr_t pa, pte_t attributes,
            unsigned first_level);

/*
 * Move the entries of a page table that no walk can reach to where live has none. Both start at
 * the same level. True: none had to stay.
 */
bool mmu_take_over(struct uk_pagetable *live, struct uk_pagetable *staging, vaddr_t va,
                   vaddr_t end);

/* Make va the start of a leaf, if any leaf covers it. -ENOMEM: a block cannot be split. */
int mmu_cut(struct uk_pagetable *context, vaddr_t va);

/*
 * No leaf shall lie across an end of the range. end may be that of the context. The leaf at va, or
 * where the walk to it ends, with its level; NULL: no memory for a table.
 */
pte_t *mmu_cut_ends(struct uk_pagetable *context, vaddr_t va, vaddr_t end, unsigned *level);

/*
 * Unmap whatever is in the range. runs, if not NULL, receives the frames that were mapped; they
 * may be released, the TLB knows. -ENOMEM: a block cannot be split.
 */
int mmu_unmap(struct uk_pagetable *context, vaddr_t va, vaddr_t end, struct frame_runs *runs);

/* Give whatever is in the range other attributes. -ENOMEM as above. */
int mmu_protect(struct uk_pagetable *context, vaddr_t va, vaddr_t end, pte_t attributes);

/* Give the leaf at va another output address, with break-before-make. */
void mmu_replace(struct uk_pagetable *context, vaddr_t va, pte_t leaf);

/* The leaf for va, whether valid or without access, and its level; 0: there is none. */
pte_t mmu_leaf(const struct uk_pagetable *context, vaddr_t va, unsigned *level);

/* Memory that leaves own: neither of a device nor of somebody else, who may map it beside them. */
static inline bool mmu_is_owned(paddr_t pa)
{
    const struct frame *frame = frame_of(pa);

    return frame != NULL && frame->purpose == FRAME_PAGE;
}

/* How many tables there are, the root included. */
size_t mmu_tables(const struct uk_pagetable *context);

/* Free every table below the root, and the root. The TLB has forgotten the context. */
void mmu_free_tables(struct uk_pagetable *context);

#endif
