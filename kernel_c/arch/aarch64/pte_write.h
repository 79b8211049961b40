/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef AARCH64_PTE_WRITE_H
#define AARCH64_PTE_WRITE_H

#include "lib/assert.h"
#include "pte.h"

/*
 * The only stores to descriptors. There is one for each transition that the architecture allows
 * by a single store, so that no caller can leave out break-before-make (D8.16.1):
 *
 *   empty or reserved -> valid       pte_make     DSB ISHST and ISB before it is relied upon
 *   valid -> empty or reserved       pte_break    DSB ISHST, TLBI, DSB ISH before the next make
 *   valid -> valid, permissions      pte_permit   DSB ISHST, TLBI, DSB ISH before relied upon
 *
 * Descriptors are written by single-copy atomic 64-bit stores: a walk sees all of one or nothing.
 */
static inline void pte_store_(pte_t *entry, pte_t value)
{
    *(volatile pte_t *)entry = value;
}

static inline void pte_make(pte_t *entry, pte_t value)
{
    ASSERT(!pte_is_valid(*entry));
    pte_store_(entry, value);
}

static inline void pte_break(pte_t *entry, pte_t value)
{
    ASSERT(!pte_is_valid(value));
    pte_store_(entry, value);
}

static inline void pte_permit(pte_t *entry, pte_t value)
{
    ASSERT(((*entry ^ value) & ~PTE_PERMISSIONS) == 0);
    pte_store_(entry, value);
}

#endif
