/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/page_index.h"

#include "lukos/frames.h"
#include "lukos/status.h"
#include "lukos/vmm_arch.h"

#define TABLE_ENTRIES ((size_t)1 << PAGE_INDEX_SHIFT)

static paddr_t new_frame(void)
{
    paddr_t pa = frames_alloc(1, 0, FRAME_FILE);

    if (pa != 0) {
        vmm_arch_zero(pa, PAGE_SIZE);
    }
    return pa;
}

static bool is_high_enough(const struct page_index *index, uint64_t page)
{
    return page >> (index->height * PAGE_INDEX_SHIFT) == 0;
}

/* The number's part that indexes a table at this level, 1 for tables of pages. */
static size_t entry_of(uint64_t page, unsigned level)
{
    return page >> ((level - 1) * PAGE_INDEX_SHIFT) & (TABLE_ENTRIES - 1);
}

static int raise(struct page_index *index, uint64_t page)
{
    while (!is_high_enough(index, page)) {
        if (index->root != 0) {
            paddr_t table = new_frame();

            if (table == 0) {
                return -ENOMEM;
            }
            *(paddr_t *)vmm_arch_ram(table) = index->root;
            index->root = table;
        }
        index->height++;
    }
    return 0;
}

paddr_t page_index_find(const struct page_index *index, uint64_t page)
{
    paddr_t at = is_high_enough(index, page) ? index->root : 0;

    for (unsigned level = index->height; level > 0 && at != 0; level--) {
        at = ((const paddr_t *)vmm_arch_ram(at))[entry_of(page, level)];
    }
    return at;
}

paddr_t page_index_make(struct page_index *index, uint64_t page)
{
    paddr_t *slot = &index->root;

    if (raise(index, page) != 0) {
        return 0;
    }
    for (unsigned level = index->height;; level--) {
        if (*slot == 0) {
            *slot = new_frame();
        }
        if (*slot == 0 || level == 0) {
            return *slot;
        }
        slot = (paddr_t *)vmm_arch_ram(*slot) + entry_of(page, level);
    }
}

/* Free a page, or a table of this height with all below it. */
static void free_tree(paddr_t root, unsigned height)
{
    const paddr_t *table = vmm_arch_ram(root);

    for (size_t i = 0; height > 0 && i < TABLE_ENTRIES; i++) {
        if (table[i] != 0) {
            free_tree(table[i], height - 1);
        }
    }
    frames_free(root, 1);
}

void page_index_clear(struct page_index *index)
{
    if (index->root != 0) {
        free_tree(index->root, index->height);
    }
    *index = (struct page_index){0, 0};
}
