/* SPDX-License-Identifier: BSD-3-Clause */
#include "pte_write.h"
#include "tlb.h"
#include "walk.h"

/* Moving what a page table maps to a live one: a table as a whole where the live one has none. */

/* True when all of it could be moved. */
static bool take_over(pte_t *to, pte_t *from, unsigned level, vaddr_t va, vaddr_t end)
{
    bool all = true;
    unsigned moved = 0;

    for (vaddr_t next; va != end; va = next) {
        unsigned index = pte_index(va, level);
        pte_t entry = from[index];

        next = walk_step(va, end, level);
        if (entry != 0 && to[index] == 0) {
            pte_break(&from[index], 0);
            pte_make(&to[index], entry);
            moved++;
        } else if (pte_is_table(entry, level) && pte_is_table(to[index], level)) {
            all &= take_over(walk_next(to[index]), walk_next(entry), level + 1, va, next);
        } else {
            all &= entry == 0;
        }
    }
    walk_count_made(to, moved);
    (void)walk_count_broken(from, moved);
    return all;
}

bool mmu_take_over(struct uk_pagetable *live, struct uk_pagetable *staging, vaddr_t va, vaddr_t end)
{
    bool all;

    ASSERT(context_root_level(live) == context_root_level(staging));
    /* The tables are visible before a walk can reach them: whoever filled them has published them. */
    all = take_over(context_root(live), context_root(staging), context_root_level(live), va, end);
    tlb_publish();
    return all;
}
