/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/string.h"
#include "lukos/frames.h"
#include "lukos/status.h"
#include "tables.h"

/* Small pages that become a large one. */

#define PAGES PT_PTES_PER_LEVEL

static __pte_t pte_at(__pte_t *table, size_t page)
{
    return entry_load(table_entry(table, page << PAGE_SHIFT, PAGE_LEVEL));
}

static bool are_alike(__pte_t *table)
{
    for (size_t page = 0; page < PAGES; page++) {
        __pte_t pte = pte_at(table, page);

        if (!pte_is_present(pte) || ((pte ^ pte_at(table, 0)) & ~PTE_FRAME) != 0) {
            return false;
        }
    }
    return true;
}

static void move_pages(__pte_t *table, paddr_t pa, struct frame_runs *runs)
{
    for (size_t page = 0; page < PAGES; page++) {
        paddr_t from = ukarch_pte_paddr(pte_at(table, page));

        memcpy(vmm_arch_ram(pa + page * PAGE_SIZE), vmm_arch_ram(from), PAGE_SIZE);
        frame_runs_add(runs, from, 1);
    }
}

int vmm_arch_pages_join(void *ctx, vaddr_t va, paddr_t pa, struct frame_runs *runs)
{
    unsigned level = PAGE_LARGE_LEVEL;
    __pte_t *table;
    __pte_t *entry = table_walk(ctx, va, &level, &table);

    if (level != PAGE_LARGE_LEVEL || !pte_is_table(entry_load(entry))) {
        return -ENOENT;
    }
    table = table_below(entry_load(entry));
    if (!are_alike(table)) {
        return -ENOENT;
    }
    if (pa != ukarch_pte_paddr(pte_at(table, 0))) {
        move_pages(table, pa, runs);
    }
    entry_store(entry, pte_leaf(pa, pte_at(table, 0), PAGE_LARGE_LEVEL));
    tlb_forget(ctx, va, va + PAGE_LARGE_SIZE);
    table_free(table);
    return 0;
}
