/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef AARCH64_PTE_H
#define AARCH64_PTE_H

#include "lib/bits.h"
#include "lukos/types.h"
#include "sysreg.h"

/*
 * VMSAv8-64 stage 1 descriptors, 4K granule (Arm DDI 0487, D8.3). Pure: nothing here touches
 * memory.
 *
 *   63      59 58  55 54  53  52   51 50 48 47            12 11 10 9  8 7  6 5 4    2 1 0
 *  ┌──────────┬──────┬───┬───┬────┬───┬─────┬────────────────┬──┬──┬────┬────┬─┬──────┬─┬─┐
 *  │          │ soft │UXN│PXN│Cont│DBM│  0  │ output address │nG│AF│ SH │ AP │ │AttrIx│T│V│
 *  └──────────┴──────┴───┴───┴────┴───┴─────┴────────────────┴──┴──┴────┴────┴─┴──────┴─┴─┘
 *
 *  V T   level 0      level 1, 2    level 3
 *  0 x   invalid      invalid       invalid     hardware ignores the rest
 *  1 0   reserved     block         reserved
 *  1 1   table        table         page
 *
 * A region without access is a leaf with V clear and everything else in place: it faults like
 * an empty entry, and still holds its output address.
 */
typedef uint64_t pte_t;

#define PTE_VALID BIT(0)
#define PTE_TABLE BIT(1)                          /* at levels 0 to 2 */
#define PTE_TABLE_MASK (PTE_TABLE | PTE_VALID)    /* both set: a table */
#define PTE_PAGE BIT(1)                           /* at level 3 */
#define PTE_ATTRINDX(index) ((pte_t)(index) << 2) /* bits 4:2 */
#define PTE_AP_EL0 BIT(6)
#define PTE_AP_RO BIT(7)
#define PTE_SH_INNER ((pte_t)3 << 8) /* bits 9:8 */
#define PTE_AF BIT(10)
#define PTE_NG BIT(11)
#define PTE_ADDRESS MASK(47, 12)
#define PTE_PXN BIT(53)
#define PTE_UXN BIT(54)

/* What may change in a live entry by one store, without break-before-make (D8.16.1). */
#define PTE_PERMISSIONS (PTE_AP_EL0 | PTE_AP_RO | PTE_PXN | PTE_UXN)

#define PTE_LEVEL_LAST 3U
#define PTE_ENTRIES 512U
#define PTE_INDEX_BITS 9U

#define PTE_NORMAL (PTE_VALID | PTE_AF | PTE_SH_INNER | PTE_ATTRINDX(ATTR_NORMAL))
#define PTE_DEVICE (PTE_VALID | PTE_AF | PTE_ATTRINDX(ATTR_DEVICE))

/* User memory is tagged with an ASID and never executable at EL1. */
#define PTE_USER (PTE_NORMAL | PTE_NG | PTE_PXN | PTE_AP_EL0)
#define PTE_USER_RW (PTE_USER | PTE_UXN)
#define PTE_USER_RO (PTE_USER | PTE_UXN | PTE_AP_RO)
#define PTE_USER_RX (PTE_USER | PTE_AP_RO)
#define PTE_USER_NONE (PTE_USER_RO & ~PTE_VALID)

/* Kernel memory is global and never reachable from EL0. */
#define PTE_KERNEL_RW (PTE_NORMAL | PTE_UXN | PTE_PXN)
#define PTE_KERNEL_RO (PTE_KERNEL_RW | PTE_AP_RO)
#define PTE_KERNEL_RX (PTE_NORMAL | PTE_UXN | PTE_AP_RO)
#define PTE_KERNEL_NONE (PTE_KERNEL_RO & ~PTE_VALID)
#define PTE_KERNEL_DEVICE (PTE_DEVICE | PTE_UXN | PTE_PXN)

/* log2 of the bytes that one entry of this level covers: 39, 30, 21, 12. */
static inline unsigned pte_shift(unsigned level)
{
    return PAGE_SHIFT + PTE_INDEX_BITS * (PTE_LEVEL_LAST - level);
}

static inline size_t pte_size(unsigned level)
{
    return (size_t)1 << pte_shift(level);
}

static inline unsigned pte_index(vaddr_t va, unsigned level)
{
    return (unsigned)(va >> pte_shift(level)) % PTE_ENTRIES;
}

/* The 4K granule has blocks at levels 1 and 2 only, without FEAT_LPA2. */
#define PTE_LEVEL_LARGEST 1U

static inline pte_t pte_leaf(paddr_t pa, pte_t attributes, unsigned level)
{
    return pa | attributes | (level == PTE_LEVEL_LAST ? PTE_PAGE : 0);
}

static inline pte_t pte_table(paddr_t table)
{
    return table | PTE_TABLE_MASK;
}

static inline bool pte_is_valid(pte_t pte)
{
    return (pte & PTE_VALID) != 0;
}

static inline bool pte_is_table(pte_t pte, unsigned level)
{
    return level < PTE_LEVEL_LAST && (pte & PTE_TABLE_MASK) == PTE_TABLE_MASK;
}

static inline paddr_t pte_address(pte_t pte)
{
    return pte & PTE_ADDRESS;
}

#endif
