/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORE_UKPLAT_H
#define CORE_UKPLAT_H

#include "lukos/types.h"
#include <uk/plat/paging.h>

/* A range as the functions of uk/plat/paging.h are given it. */
struct pages {
    __vaddr_t vaddr;
    __vaddr_t end;
    unsigned level; /* of the page size asked for */
    bool forced;    /* no other will do */
};

/* Check the arguments of such a function. -EINVAL. */
int ukplat_pages(const struct uk_pagetable *pt, __vaddr_t vaddr, unsigned long count,
                 unsigned long flags, struct pages *pages);

#endif
