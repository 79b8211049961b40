/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef AARCH64_MMU_H
#define AARCH64_MMU_H

#include "context.h"

/*
 * Translation tables: map, unmap, protect and look up ranges of a context. Ranges are multiples
 * of 4K that the context translates; what a caller outside may get wrong is checked in
 * contract.c.
 */

/*
 * Map [va, end) to pa on with the largest blocks that fit; attributes as in pte.h. All or
 * nothing: -EEXIST, -ENOMEM.
 */
int mmu_map(struct context *context, vaddr_t va, vaddr_t end, paddr_t pa, pte_t attributes);

/* -EINVAL: an end lies inside a block. */
int mmu_unmap(struct context *context, vaddr_t va, vaddr_t end);

/* As mmu_unmap(), and -EFAULT: something in the range is not mapped. */
int mmu_protect(struct context *context, vaddr_t va, vaddr_t end, pte_t attributes);

/* The leaf for va, whether valid or without access, and its level; 0: there is none. */
pte_t mmu_leaf(const struct context *context, vaddr_t va, unsigned *level);

/* Free every table below the root, and the root. The TLB has forgotten the context. */
void mmu_free_tables(struct context *context);

#endif
