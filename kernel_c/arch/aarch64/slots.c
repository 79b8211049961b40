/* SPDX-License-Identifier: BSD-3-Clause */
#include "lukos/status.h"
#include "pte_write.h"
#include "tlb.h"
#include "walk.h"

/* The contract of lukos/vmm_arch.h on slots: pages that are mapped in steps. */

/* Free the table of this level, and those below it on the way to va; no walk knows of them. */
static void tables_drop(pte_t *table, vaddr_t va, unsigned level)
{
    pte_t pte;

    do {
        pte = table[pte_index(va, level++)];
        table_free(table);
        table = walk_next(pte);
    } while (pte != 0);
}

/* Tables above the one of this level, which goes where they do, up to level top; the highest. */
static __attribute__((noinline)) pte_t *tables_above(pte_t *table, vaddr_t va, unsigned level,
                                                     unsigned top)
{
    while (level != top) {
        pte_t *above = table_alloc();

        if (above == NULL) {
            tables_drop(table, va, level);
            return NULL;
        }
        level--;
        pte_make(&above[pte_index(va, level)], pte_table(table_address(table)));
        walk_count_made(above, 1);
        table = above;
    }
    return table;
}

/* Hang a table, complete with those below it, under an empty entry of a live one. */
static inline void table_hang(pte_t *entry, const pte_t *table)
{
    dsb_ishst();
    pte_make(entry, pte_table(table_address(table)));
    walk_count_made(entry, 1);
}

/* Hang a new table under an empty entry; *slot is the one of this index in it. */
static __attribute__((noinline)) int table_add(pte_t *entry, unsigned index, pte_t **slot)
{
    pte_t *table = table_alloc();

    if (table == NULL) {
        return -ENOMEM;
    }
    table_hang(entry, table);
    *slot = &table[index];
    return 0;
}

/*
 * The same with tables down to the level whose slot for va is wanted. The lowest is made first: no
 * walk knows of any before the last store.
 */
static __attribute__((noinline)) int tables_add(pte_t *entry, unsigned at, vaddr_t va,
                                                unsigned level, pte_t **slot)
{
    pte_t *lowest = table_alloc();
    pte_t *table = lowest == NULL ? NULL : tables_above(lowest, va, level, at + 1);

    if (table == NULL) {
        return -ENOMEM;
    }
    table_hang(entry, table);
    *slot = &lowest[pte_index(va, level)];
    return 0;
}

int vmm_arch_slot(void *ctx, vaddr_t va, unsigned level, __pte_t **slot)
{
    unsigned wanted = arm_level(level);
    unsigned at = wanted;
    pte_t *entry;

    ASSERT(level <= PT_MAP_LEVEL_MAX);
    entry = walk_down(ctx, va, &at);
    if (*entry != 0) {
        return -EEXIST;
    }
    if (at == wanted) {
        *slot = entry;
        return 0;
    }
    return at + 1 == wanted ? table_add(entry, pte_index(va, wanted), slot)
                            : tables_add(entry, at, va, wanted, slot);
}

size_t vmm_arch_slots_empty(const __pte_t *slot, vaddr_t va, unsigned level, size_t most)
{
    size_t run = 1;

    most = min_size(most, PTE_ENTRIES - pte_index(va, arm_level(level)));
    while (run < most && slot[run] == 0) {
        run++;
    }
    return run;
}

void vmm_arch_slots_fill(__pte_t *slots, size_t count, paddr_t pa, __pte_t pte, unsigned level)
{
    pte_t leaf = pte_leaf(pa, pte & ~(PTE_ADDRESS | PTE_TABLE), arm_level(level));

    walk_count_made(slots, (unsigned)count);
    pte_make(slots, leaf);
    while (--count != 0) {
        leaf += PAGE_Lx_SIZE(level);
        pte_make(++slots, leaf);
    }
}

void vmm_arch_publish(void)
{
    tlb_publish();
}
