/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/string.h"
#include "lukos/status.h"
#include "lukos/vmm_arch.h"
#include "pte_write.h"
#include "tlb.h"
#include "walk.h"

/* A full table of pages becomes one block: the part of the contract that promotes. */

#define BLOCK_LEVEL (PTE_LEVEL_LAST - 1)

/* The entry for va at the level of blocks of 2M; NULL: the walk ends before. */
static pte_t *block_entry(const struct uk_pagetable *context, vaddr_t va)
{
    pte_t *table = context_root(context);

    for (unsigned level = context_root_level(context); level < BLOCK_LEVEL; level++) {
        pte_t entry = table[pte_index(va, level)];

        if (!pte_is_table(entry, level)) {
            return NULL;
        }
        table = walk_next(entry);
    }
    return &table[pte_index(va, BLOCK_LEVEL)];
}

static bool is_full(const pte_t *table)
{
    const struct frame *frame = table_frame(table);

    return frame != NULL && frame->used == PTE_ENTRIES;
}

static bool are_alike(const pte_t *table)
{
    for (unsigned i = 1; i < PTE_ENTRIES; i++) {
        if (((table[i] ^ table[0]) & ~PTE_ADDRESS) != 0) {
            return false;
        }
    }
    return true;
}

/* Nobody can reach the pages, so what is copied is all that was ever written. */
static void move_pages(const pte_t *table, paddr_t pa, struct frame_runs *runs)
{
    for (unsigned i = 0; i < PTE_ENTRIES; i++) {
        paddr_t from = pte_address(table[i]);

        memcpy(vmm_arch_ram(pa + i * PAGE_SIZE), vmm_arch_ram(from), PAGE_SIZE);
        frame_runs_add(runs, from, 1);
    }
    if ((table[0] & (PTE_UXN | PTE_PXN)) != (PTE_UXN | PTE_PXN)) {
        vmm_arch_sync_code(pa, pte_size(BLOCK_LEVEL));
    }
}

/*
 * A table's place taken by a block is a change of size: break-before-make (D8.16.1). The TLBs may
 * hold any of the 512 pages, and the way to the table: all of the ASID goes.
 */
int vmm_arch_pages_join(void *ctx, vaddr_t va, paddr_t pa, struct frame_runs *runs)
{
    pte_t *entry = block_entry(ctx, va);
    struct tlb_gather gather;
    pte_t *table;

    if (entry == NULL || !pte_is_table(*entry, BLOCK_LEVEL)) {
        return -ENOENT;
    }
    table = walk_next(*entry);
    if (!is_full(table) || !are_alike(table)) {
        return -ENOENT;
    }
    tlb_gather_init(&gather, ctx);
    pte_break(entry, 0);
    gather.count = TLB_GATHER_MAX + 1;
    tlb_flush(&gather);
    if (pa != pte_address(table[0])) {
        move_pages(table, pa, runs);
    }
    pte_make(entry, pte_leaf(pa, table[0] & ~(PTE_ADDRESS | PTE_PAGE), BLOCK_LEVEL));
    tlb_publish();
    table_free(table);
    return 0;
}
