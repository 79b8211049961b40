/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORE_PAGE_INDEX_H
#define CORE_PAGE_INDEX_H

#include "lukos/types.h"

/*
 * Pages by number: memory that grows page by page where it is used, in frames of FRAME_FILE. They
 * are found through a tree of tables as high as the largest number needs. Nothing moves when it
 * grows, and no run of frames is needed.
 *
 *   height 0: root is the page 0, 4K                    height 2: up to 1G
 *   height 1: root is a table of 512 pages, up to 2M    height 3: up to 512G
 *
 * A table holds physical addresses; 0 stands for a page that is not there. The caller has a lock.
 */
struct page_index {
    paddr_t root;    /* the only page, or the top table; 0: none */
    unsigned height; /* levels of tables */
};

#define PAGE_INDEX_SHIFT 9U /* log2 of the entries of a table */
#define PAGE_INDEX_HEIGHT 3U
#define PAGE_INDEX_SIZE ((uint64_t)1 << (PAGE_SHIFT + PAGE_INDEX_HEIGHT * PAGE_INDEX_SHIFT))

/* The page of this number; 0: there is none. */
paddr_t page_index_find(const struct page_index *index, uint64_t page);

/* The same, made of zeros if there is none. 0: out of memory. */
paddr_t page_index_make(struct page_index *index, uint64_t page);

/* Free all of it. */
void page_index_clear(struct page_index *index);

#endif
