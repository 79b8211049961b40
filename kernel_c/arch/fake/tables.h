/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef FAKE_TABLES_H
#define FAKE_TABLES_H

#include "pte.h"

#define ROOT_LEVEL (PT_LEVELS - 1)

extern struct uk_pagetable kernel_context;

static inline struct uk_pagetable *context_of(void *context)
{
    return context == NULL ? &kernel_context : context;
}

static inline __pte_t *context_root(const struct uk_pagetable *context)
{
    return (__pte_t *)context->pt_vbase;
}

/* The entry for va at *level, or above it where the walk ends; *level and *table say where. */
__pte_t *table_walk(const struct uk_pagetable *context, vaddr_t va, unsigned *level,
                    __pte_t **table);

/* The same down to a page, of whatever level it is. */
static inline __pte_t *leaf_entry(const struct uk_pagetable *context, vaddr_t va, unsigned *level)
{
    __pte_t *table;

    *level = PAGE_LEVEL;
    return table_walk(context, va, level, &table);
}

static inline vaddr_t page_end(vaddr_t va, unsigned level)
{
    return PAGE_Lx_ALIGN_DOWN(va, level) + PAGE_Lx_SIZE(level);
}

/* An empty table; NULL: no frame. */
__pte_t *table_alloc(void);
void table_free(__pte_t *table);
bool table_is_empty(const __pte_t *table);

/* All tables of a context, the root too. */
void tables_free(const struct uk_pagetable *context);

/* The TLB forgets what it knows of a range; of all that has the tag. */
void tlb_forget(const struct uk_pagetable *context, vaddr_t va, vaddr_t end);
void tlb_forget_all(__u64 tag);

/* PAGE_ATTR_* of a descriptor, and whether it allows an access. */
unsigned long attributes_decode(__pte_t pte);

#endif
