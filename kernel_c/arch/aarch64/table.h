/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef AARCH64_TABLE_H
#define AARCH64_TABLE_H

#include "layout.h"
#include "lukos/frames.h"
#include "lukos/vmm_arch.h"
#include "pte.h"

/*
 * Table pages. Each is a frame of its own, which counts the table's descriptors that are not
 * zero: a table is empty, and goes back, when that is 0. While the kernel maps RAM there are no
 * frames yet; the tables of that time come from the image, are not counted and stay for ever.
 */

/* Only after the TLB was told to forget the way to it. */
void table_free(pte_t *table);

static inline pte_t *table_at(paddr_t pa)
{
    return (pte_t *)(KERNEL_BASE | pa);
}

static inline paddr_t table_address(const pte_t *table)
{
    return (vaddr_t)table & ~KERNEL_BASE;
}

/* A zeroed table; NULL: no frame left. */
static inline pte_t *table_alloc(void)
{
    paddr_t pa = frames_alloc(1, 0, FRAME_TABLE);

    if (pa == 0) {
        return NULL;
    }
    vmm_arch_zero(pa, PAGE_SIZE);
    return table_at(pa);
}

/* The frame that counts for the table this is an entry of; NULL: it stays whatever it holds. */
static inline struct frame *table_frame(const pte_t *entry)
{
    struct frame *frame;

    if (frame_records.count == 0) {
        return NULL;
    }
    frame = frame_record(table_address(entry));
    return frame->purpose == FRAME_TABLE ? frame : NULL;
}

/*
 * Tables put aside while a mapping is prepared, so that making it cannot fail. Linked through
 * their own first entries: no walk can reach them yet.
 */
struct table_stock {
    pte_t *first;
};

/* Add count tables, or none; for as long as there are no frames, of the image. */
bool table_stock_fill(struct table_stock *stock, size_t count);
pte_t *table_stock_take(struct table_stock *stock);

#endif
