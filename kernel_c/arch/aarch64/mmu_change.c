/* SPDX-License-Identifier: BSD-3-Clause */
#include "lukos/status.h"
#include "pte_write.h"
#include "tlb.h"
#include "walk.h"

/* Looking up, splitting and protecting what is mapped. */

/* The entry that translates va: a leaf, or the empty entry where the walk ends. */
static inline pte_t *leaf_entry(const struct uk_pagetable *context, vaddr_t va, unsigned *level)
{
    *level = PTE_LEVEL_LAST;
    return walk_down(context, va, level);
}

pte_t mmu_leaf(const struct uk_pagetable *context, vaddr_t va, unsigned *level)
{
    return *leaf_entry(context, va, level);
}

/* Fill a table with what the block maps, a level down. Blocks of the boot are not split. */
static void table_from_block(pte_t *table, pte_t block, unsigned level)
{
    pte_t attributes = block & ~(PTE_ADDRESS | PTE_TABLE);

    for (unsigned i = 0; i < PTE_ENTRIES; i++) {
        paddr_t pa = pte_address(block) + i * pte_size(level + 1);

        table[i] = pte_leaf(pa, attributes, level + 1);
    }
    table_frame(table)->used = PTE_ENTRIES;
}

/*
 * What the block maps may be released in parts from now on, if it is one allocation. It is not
 * where somebody maps memory of others.
 */
static void frames_follow(paddr_t pa, unsigned level)
{
    const struct frame *frame = frame_of(pa);

    if (frame != NULL && frame->purpose == FRAME_PAGE &&
        frame->order == pte_shift(level) - PAGE_SHIFT) {
        frames_split(pa, pte_size(level) / PAGE_SIZE, pte_shift(level + 1) - PAGE_SHIFT);
    }
}

/* Put a table in the place of a live block: break-before-make (D8.16.1). */
static int split_block(struct uk_pagetable *context, pte_t *entry, unsigned level, vaddr_t va)
{
    pte_t *table = table_alloc();
    pte_t block = *entry;
    struct tlb_gather gather;

    if (table == NULL) {
        return -ENOMEM;
    }
    table_from_block(table, block, level);
    tlb_gather_init(&gather, context);
    if (pte_is_valid(block)) {
        pte_break(entry, 0);
        tlb_gather_add(&gather, va);
    }
    tlb_flush(&gather);
    dsb_ishst();
    pte_make(entry, pte_table(table_address(table)));
    frames_follow(pte_address(block), level);
    tlb_publish();
    return 0;
}

int mmu_cut(struct uk_pagetable *context, vaddr_t va)
{
    for (;;) {
        unsigned level;
        pte_t *entry = leaf_entry(context, va, &level);
        int status;

        if (*entry == 0 || is_aligned(va, pte_size(level))) {
            return 0;
        }
        status = split_block(context, entry, level, va);
        if (status != 0) {
            return status;
        }
    }
}

static __attribute__((noinline)) pte_t *cut_blocks(struct uk_pagetable *context, vaddr_t va,
                                                   vaddr_t end, unsigned *level)
{
    unsigned other;

    if (mmu_cut(context, va) != 0) {
        return NULL;
    }
    /* The end may be that of the context, where nothing can be looked up. */
    if (*leaf_entry(context, end - PAGE_SIZE, &other) != 0 && !is_aligned(end, pte_size(other)) &&
        mmu_cut(context, end) != 0) {
        return NULL;
    }
    return leaf_entry(context, va, level);
}

__attribute__((noinline)) pte_t *mmu_cut_ends(struct uk_pagetable *context, vaddr_t va, vaddr_t end,
                                              unsigned *level)
{
    pte_t *first = leaf_entry(context, va, level);

    if (*level == PTE_LEVEL_LAST &&
        (va ^ (end - PAGE_SIZE)) >> pte_shift(PTE_LEVEL_LAST - 1) == 0) {
        return first; /* one table of pages holds it all */
    }
    return cut_blocks(context, va, end, level);
}

static void leaf_break(struct tlb_gather *gather, pte_t *entry, pte_t value, vaddr_t va)
{
    bool was_valid = pte_is_valid(*entry);

    pte_break(entry, value);
    if (was_valid) {
        tlb_gather_add(gather, va);
    }
}

/* Another output address, memory type or block size: break, tell the TLB, make. */
static __attribute__((noinline)) void leaf_replace(struct uk_pagetable *context, pte_t *entry,
                                                   pte_t value, vaddr_t va)
{
    struct tlb_gather gather;

    tlb_gather_init(&gather, context);
    leaf_break(&gather, entry, 0, va);
    tlb_flush(&gather);
    pte_make(entry, value);
}

void mmu_replace(struct uk_pagetable *context, vaddr_t va, pte_t leaf)
{
    unsigned level;

    leaf_replace(context, leaf_entry(context, va, &level), leaf, va);
    tlb_publish();
}

/* True when the leaf became valid and so has to be published. */
static __attribute__((noinline)) bool leaf_change(struct tlb_gather *gather,
                                                  struct uk_pagetable *context, pte_t *entry,
                                                  pte_t value, vaddr_t va)
{
    if (!pte_is_valid(value)) {
        leaf_break(gather, entry, value, va);
        return false;
    }
    if (!pte_is_valid(*entry)) {
        pte_make(entry, value);
    } else {
        leaf_replace(context, entry, value, va);
    }
    return true;
}

/* Mostly permissions change, and nothing else. True as above. */
static inline bool leaf_protect(struct tlb_gather *gather, struct uk_pagetable *context,
                                pte_t *entry, pte_t value, vaddr_t va)
{
    pte_t difference = *entry ^ value;

    if ((difference & ~PTE_PERMISSIONS) != 0 || !pte_is_valid(value)) {
        return leaf_change(gather, context, entry, value, va);
    }
    if (difference != 0) {
        pte_permit(entry, value);
        tlb_gather_add(gather, va);
    }
    return false;
}

/* The leaf at va, if any. True as above. */
static inline bool protect_one(struct tlb_gather *gather, struct uk_pagetable *context,
                               pte_t *entry, unsigned level, vaddr_t va, pte_t attributes)
{
    return *entry != 0 && leaf_protect(gather, context, entry,
                                       pte_leaf(pte_address(*entry), attributes, level), va);
}

/* Pages from va on, up to the end of the range or of their table; where that is. True as above. */
static inline bool protect_pages(struct tlb_gather *gather, struct uk_pagetable *context,
                                 pte_t *entry, vaddr_t va, vaddr_t next, pte_t attributes)
{
    bool made = false;

    for (; va != next; va += PAGE_SIZE) {
        made |= protect_one(gather, context, entry++, PTE_LEVEL_LAST, va, attributes);
    }
    return made;
}

int mmu_protect(struct uk_pagetable *context, vaddr_t va, vaddr_t end, pte_t attributes)
{
    struct tlb_gather gather;
    bool made = false;
    unsigned level;
    pte_t *entry = mmu_cut_ends(context, va, end, &level);

    if (entry == NULL) {
        return -ENOMEM;
    }
    tlb_gather_init(&gather, context);
    for (;;) {
        vaddr_t next;

        if (level == PTE_LEVEL_LAST) {
            next = walk_step(va, end, PTE_LEVEL_LAST - 1);
            made |= protect_pages(&gather, context, entry, va, next, attributes);
        } else {
            next = walk_step(va, end, level);
            made |= protect_one(&gather, context, entry, level, va, attributes);
        }
        if (next == end) {
            break;
        }
        va = next;
        entry = leaf_entry(context, va, &level);
    }
    tlb_flush(&gather);
    if (made) {
        tlb_publish();
    }
    return 0;
}

static size_t tables_below(const pte_t *table, unsigned level)
{
    size_t count = 1;

    for (unsigned i = 0; level < PTE_LEVEL_LAST && i < PTE_ENTRIES; i++) {
        if (pte_is_table(table[i], level)) {
            count += tables_below(walk_next(table[i]), level + 1);
        }
    }
    return count;
}

size_t mmu_tables(const struct uk_pagetable *context)
{
    return tables_below(context_root(context), context_root_level(context));
}

static void free_below(pte_t *table, unsigned level)
{
    for (unsigned i = 0; level < PTE_LEVEL_LAST && i < PTE_ENTRIES; i++) {
        if (pte_is_table(table[i], level)) {
            free_below(walk_next(table[i]), level + 1);
        }
    }
    table_free(table);
}

void mmu_free_tables(struct uk_pagetable *context)
{
    free_below(context_root(context), context_root_level(context));
}
