/* SPDX-License-Identifier: BSD-3-Clause */
#include "lukos/status.h"
#include "pte_write.h"
#include "tlb.h"
#include "walk.h"

/* The contract of lukos/vmm_arch.h on slots: pages that are mapped in steps. */

/*
 * Hang tables under an empty entry of a live one, down to the level whose slot is wanted; then
 * *slot is the one for va.
 */
static __attribute__((noinline)) int tables_add(pte_t *entry, unsigned at, vaddr_t va,
                                                unsigned level, pte_t **slot)
{
    struct table_stock stock = {NULL};
    pte_t *top;
    pte_t *below;

    if (*entry != 0) {
        return -EEXIST;
    }
    if (!table_stock_fill(&stock, level - at)) {
        return -ENOMEM;
    }
    top = below = table_stock_take(&stock);
    while (++at < level) {
        pte_t *next = table_stock_take(&stock);

        pte_make(&below[pte_index(va, at)], pte_table(table_address(next)));
        (void)walk_count(below, 1);
        below = next;
    }
    dsb_ishst();
    pte_make(entry, pte_table(table_address(top)));
    (void)walk_count(entry, 1);
    *slot = &below[pte_index(va, level)];
    return 0;
}

int vmm_arch_slot(void *ctx, vaddr_t va, unsigned level, __pte_t **slot)
{
    unsigned wanted = arm_level(level);
    unsigned at = wanted;
    pte_t *entry = walk_down(ctx, va, &at);

    if (at != wanted) {
        return tables_add(entry, at, va, wanted, slot);
    }
    *slot = entry;
    return *entry == 0 ? 0 : -EEXIST;
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
    const pte_t *end = slots + count;
    pte_t leaf = pte_leaf(pa, pte & ~(PTE_ADDRESS | PTE_TABLE), arm_level(level));

    (void)walk_count(slots, (int)count);
    do {
        pte_make(slots, leaf);
        leaf += PAGE_Lx_SIZE(level);
    } while (++slots != end);
}

void vmm_arch_publish(const void *ctx)
{
    tlb_publish(ctx);
}
