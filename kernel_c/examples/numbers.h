/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef EXAMPLES_NUMBERS_H
#define EXAMPLES_NUMBERS_H

#include <uk/vmem.h>

/*
 * A type of VMA of one's own: an endless book whose pages are filled with their numbers, of which
 * a VMA shows some. Nothing of it is stored; a page is written when it is looked at.
 */
extern const struct uk_vma_ops numbers_ops;

enum numbers_call {
    NUMBERS_GET_BASE,
    NUMBERS_NEW,
    NUMBERS_DESTROY,
    NUMBERS_FAULT,
    NUMBERS_UNMAP,
    NUMBERS_SPLIT,
    NUMBERS_MERGE,
    NUMBERS_SET_ATTR,
    NUMBERS_ADVISE,
    NUMBERS_CALLS,
};

struct numbers_book {
    unsigned readers;              /* VMAs that refer to it */
    unsigned calls[NUMBERS_CALLS]; /* of each operation */
};

/* The args of uk_vma_map(). */
struct numbers_args {
    struct numbers_book *book;
    unsigned long first; /* the number of the first page */
    __vaddr_t base;      /* where to look for a hole from; 0: where everybody does */
};

static inline int uk_vma_map_numbers(struct uk_vas *vas, __vaddr_t *vaddr, __sz len,
                                     unsigned long attr, unsigned long flags,
                                     struct numbers_args *args)
{
    return uk_vma_map(vas, vaddr, len, attr, flags, __NULL, &numbers_ops, args);
}

#endif
