/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef FAKE_PTE_H
#define FAKE_PTE_H

#include "lib/bits.h"
#include "lukos/vmm_arch.h"

/*
 * The fake architecture's descriptors, odd on purpose: whatever in the core takes a descriptor
 * for AArch64's goes wrong here.
 *
 *  63     60 59 58      56 55   53 52  51      36 35               0
 *  ┌────────┬──┬──────────┬───────┬───┬──────────┬──────────────────┐
 *  │ level  │A │ xwr deny │ type  │ 1 │    0     │ frame, rotated   │
 *  └────────┴──┴──────────┴───────┴───┴──────────┴──────────────────┘
 *
 * - The level is in the entry: 1 for a page, 2 and 3 for larger ones; 8 more for a table.
 * - A set: absent. Rights are what is not denied.
 * - In a table an entry is inverted, so one that says nothing is all ones, and entries do not
 *   stand in the order of the addresses they are for.
 */
#define PTE_TABLE PT_TABLE
#define PTE_ABSENT PT_ABSENT
#define PTE_LEVEL MASK(62, 60)
#define PTE_DENY_EXEC BIT(58)
#define PTE_DENY_WRITE BIT(57)
#define PTE_DENY_READ BIT(56)
#define PTE_TYPE MASK(55, 53)
#define PTE_SOMETHING BIT(52)
#define PTE_FRAME PT_FRAME_MASK

static inline __pte_t pte_frame(paddr_t pa)
{
    return ukarch_pte_with_paddr(0, pa);
}

static inline bool pte_is_table(__pte_t pte)
{
    return (pte & PTE_TABLE) != 0;
}

static inline bool pte_is_present(__pte_t pte)
{
    return PT_Lx_PTE_PRESENT(pte, PAGE_LEVEL);
}

static inline __pte_t pte_leaf(paddr_t pa, __pte_t attributes, unsigned level)
{
    return field_set(PTE_LEVEL, attributes & ~PTE_FRAME, level + 1) | pte_frame(pa);
}

static inline __pte_t pte_table(paddr_t table)
{
    return PTE_TABLE | PTE_SOMETHING | pte_frame(table);
}

static inline __pte_t entry_load(const __pte_t *entry)
{
    return ~*entry;
}

static inline void entry_store(__pte_t *entry, __pte_t pte)
{
    *entry = ~pte;
}

/* From the entry for an address to that for the next one: any odd number leaves each its place. */
#define ENTRY_STEP 37

static inline __pte_t *table_entry(__pte_t *table, vaddr_t va, unsigned level)
{
    return &table[(PT_Lx_IDX(va, level) * ENTRY_STEP + 11) % PT_PTES_PER_LEVEL];
}

/* The count-th entry behind this one of a table, in the order of the addresses. */
static inline __pte_t *entry_behind(__pte_t *entry, size_t count)
{
    __pte_t *table = (__pte_t *)align_down((uintptr_t)entry, PAGE_SIZE);

    return &table[((size_t)(entry - table) + count * ENTRY_STEP) % PT_PTES_PER_LEVEL];
}

static inline __pte_t *table_below(__pte_t pte)
{
    return vmm_arch_ram(ukarch_pte_paddr(pte));
}

#endif
