/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef AARCH64_WALK_H
#define AARCH64_WALK_H

#include "mmu.h"
#include "table.h"

/*
 * A virtual address, 4K granule:
 *
 *    47     39 38     30 29     21 20     12 11          0
 *   ┌─────────┬─────────┬─────────┬─────────┬─────────────┐
 *   │ level 0 │ level 1 │ level 2 │ level 3 │   offset    │    9 bits index a table
 *   └─────────┴─────────┴─────────┴─────────┴─────────────┘
 *
 * Walks start at the context's root level: 0 for 48 bits, 1 for 39. Ranges are [va, end), and
 * end may be 0 where the kernel half ends.
 */

/* A level of uk/arch/paging.h, which counts from the page up, as the Arm ARM counts. */
static inline unsigned arm_level(unsigned level)
{
    return PTE_LEVEL_LAST - level;
}

static inline pte_t *walk_next(pte_t pte)
{
    return table_at(pte_address(pte));
}

/* From the entry of a level above the last to the one for va below it. False: the walk ends. */
static inline bool walk_on(pte_t **entry, vaddr_t va, unsigned at, unsigned last)
{
    if (at == last || !pte_is_table(**entry, at)) {
        return false;
    }
    *entry = &walk_next(**entry)[pte_index(va, at + 1)];
    return true;
}

/*
 * Follow tables from the root, down to *level, which is not above it: the entry for va there, or
 * where the walk ends before that. *level receives which. Step by step, as shifts are constants
 * then.
 */
static inline pte_t *walk_down(const struct uk_pagetable *context, vaddr_t va, unsigned *level)
{
    unsigned at = context_root_level(context);
    pte_t *entry = &context_root(context)[pte_index(va, at)];

    if (at == 0 && walk_on(&entry, va, 0, *level)) {
        at = 1;
    }
    if (at == 1 && walk_on(&entry, va, 1, *level)) {
        at = 2;
    }
    if (at == 2 && walk_on(&entry, va, 2, *level)) {
        at = 3;
    }
    *level = at;
    return entry;
}

/* The end of what the entry for va covers. */
static inline vaddr_t walk_entry_end(vaddr_t va, unsigned level)
{
    return align_down(va, pte_size(level)) + pte_size(level);
}

/* The same, or the end of the range if that comes first. */
static inline vaddr_t walk_step(vaddr_t va, vaddr_t end, unsigned level)
{
    return min_u64(walk_entry_end(va, level) - 1, end - 1) + 1;
}

/*
 * The frame of a table, of which this is any entry, keeps count of descriptors that are not zero:
 * so many more.
 */
static inline void walk_count_made(const pte_t *entry, unsigned made)
{
    struct frame *frame = table_frame(entry);

    if (frame != NULL) {
        frame->used = (uint16_t)(frame->used + made);
        ASSERT(frame->used <= PTE_ENTRIES);
    }
}

/* So many less. True: there are none left. */
static inline bool walk_count_broken(const pte_t *entry, unsigned broken)
{
    struct frame *frame = table_frame(entry);

    if (frame == NULL) {
        return false;
    }
    ASSERT(frame->used >= broken);
    frame->used = (uint16_t)(frame->used - broken);
    return frame->used == 0;
}

#endif
