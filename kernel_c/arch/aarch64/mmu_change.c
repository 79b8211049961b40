/* SPDX-License-Identifier: BSD-3-Clause */
#include "lukos/status.h"
#include "pte_write.h"
#include "tlb.h"
#include "walk.h"

/* Looking up, unmapping and protecting what is mapped. */

/* The entry that translates va: a leaf, or the empty entry where the walk ends. */
static pte_t *leaf_entry(const struct context *context, vaddr_t va, unsigned *level)
{
    pte_t *table = context->root;

    *level = context->root_level;
    while (pte_is_table(table[pte_index(va, *level)], *level)) {
        table = walk_next(table[pte_index(va, *level)]);
        (*level)++;
    }
    return &table[pte_index(va, *level)];
}

pte_t mmu_leaf(const struct context *context, vaddr_t va, unsigned *level)
{
    return *leaf_entry(context, va, level);
}

/* True when neither end of the range lies inside a block. */
static bool range_is_whole(const struct context *context, vaddr_t va, vaddr_t end)
{
    unsigned level;
    pte_t first = mmu_leaf(context, va, &level);
    bool whole = first == 0 || is_aligned(va, pte_size(level));
    pte_t last = mmu_leaf(context, end - PAGE_SIZE, &level);

    return whole && (last == 0 || is_aligned(end, pte_size(level)));
}

static bool range_is_mapped(const struct context *context, vaddr_t va, vaddr_t end)
{
    while (va != end) {
        unsigned level;

        if (mmu_leaf(context, va, &level) == 0) {
            return false;
        }
        va = walk_step(va, end, level);
    }
    return true;
}

/*
 * Unlinked tables wait, linked through their frames, until the TLB was told: a walk may still be
 * in them, so their contents stay as they are.
 */
static void table_unlink(struct tlb_gather *gather, pte_t *entry)
{
    paddr_t table = pte_address(*entry);

    pte_break(entry, 0);
    frame_of(table)->next = (uint32_t)(gather->unlinked >> PAGE_SHIFT);
    gather->unlinked = table;
}

static void unlinked_free(struct tlb_gather *gather)
{
    while (gather->unlinked != 0) {
        paddr_t table = gather->unlinked;

        gather->unlinked = (paddr_t)frame_of(table)->next << PAGE_SHIFT;
        table_free(table_at(table));
    }
}

static void unmap_range(struct tlb_gather *gather, pte_t *table, unsigned level, vaddr_t va,
                        vaddr_t end);

/* Unmap in the table below an entry; true when that became empty and the entry with it. */
static bool unmap_below(struct tlb_gather *gather, pte_t *entry, unsigned level, vaddr_t va,
                        vaddr_t end)
{
    pte_t *below = walk_next(*entry);
    const struct frame *frame = table_frame(below);
    unsigned count = gather->count;

    unmap_range(gather, below, level + 1, va, end);
    if (frame == NULL || frame->used != 0) {
        return false;
    }
    table_unlink(gather, entry);
    if (gather->count == count) {
        tlb_gather_add(gather, va);
    }
    return true;
}

static void leaf_break(struct tlb_gather *gather, pte_t *entry, pte_t value, vaddr_t va)
{
    bool was_valid = pte_is_valid(*entry);

    pte_break(entry, value);
    if (was_valid) {
        tlb_gather_add(gather, va);
    }
}

static void unmap_range(struct tlb_gather *gather, pte_t *table, unsigned level, vaddr_t va,
                        vaddr_t end)
{
    int broken = 0;

    for (vaddr_t next; va != end; va = next) {
        pte_t *entry = &table[pte_index(va, level)];

        next = walk_step(va, end, level);
        if (pte_is_table(*entry, level)) {
            broken += unmap_below(gather, entry, level, va, next);
        } else if (*entry != 0) {
            leaf_break(gather, entry, 0, va);
            broken++;
        }
    }
    walk_count(table, -broken);
}

int mmu_unmap(struct context *context, vaddr_t va, vaddr_t end)
{
    struct tlb_gather gather;

    if (!range_is_whole(context, va, end)) {
        return -EINVAL;
    }
    tlb_gather_init(&gather, context);
    unmap_range(&gather, context->root, context->root_level, va, end);
    tlb_flush(&gather);
    unlinked_free(&gather);
    return 0;
}

/* True when the leaf became valid and so has to be published. */
static bool leaf_protect(struct tlb_gather *gather, pte_t *entry, pte_t value, vaddr_t va)
{
    if (!pte_is_valid(value)) {
        leaf_break(gather, entry, value, va);
        return false;
    }
    if (!pte_is_valid(*entry)) {
        pte_make(entry, value);
        return true;
    }
    pte_permit(entry, value);
    tlb_gather_add(gather, va);
    return false;
}

int mmu_protect(struct context *context, vaddr_t va, vaddr_t end, pte_t attributes)
{
    struct tlb_gather gather;
    bool made = false;

    if (!range_is_whole(context, va, end)) {
        return -EINVAL;
    }
    if (!range_is_mapped(context, va, end)) {
        return -EFAULT;
    }
    tlb_gather_init(&gather, context);
    while (va != end) {
        unsigned level;
        pte_t *entry = leaf_entry(context, va, &level);

        made |= leaf_protect(&gather, entry, pte_leaf(pte_address(*entry), attributes, level), va);
        va = walk_step(va, end, level);
    }
    tlb_flush(&gather);
    if (made) {
        tlb_publish(context);
    }
    return 0;
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

void mmu_free_tables(struct context *context)
{
    free_below(context->root, context->root_level);
}
