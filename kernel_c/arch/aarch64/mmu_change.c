/* SPDX-License-Identifier: BSD-3-Clause */
#include "lukos/status.h"
#include "pte_write.h"
#include "tlb.h"
#include "walk.h"

/* Looking up, unmapping and protecting what is mapped. */

/* The entry that translates va: a leaf, or the empty entry where the walk ends. */
static pte_t *leaf_entry(const struct uk_pagetable *context, vaddr_t va, unsigned *level)
{
    pte_t *table = context_root(context);

    *level = context->arch.root_level;
    while (pte_is_table(table[pte_index(va, *level)], *level)) {
        table = walk_next(table[pte_index(va, *level)]);
        (*level)++;
    }
    return &table[pte_index(va, *level)];
}

pte_t mmu_leaf(const struct uk_pagetable *context, vaddr_t va, unsigned *level)
{
    return *leaf_entry(context, va, level);
}

/* Fill a table with what the block maps, a level down. */
static void table_from_block(pte_t *table, pte_t block, unsigned level)
{
    pte_t attributes = block & ~(PTE_ADDRESS | PTE_TABLE);
    struct frame *frame = table_frame(table);

    for (unsigned i = 0; i < PTE_ENTRIES; i++) {
        paddr_t pa = pte_address(block) + i * pte_size(level + 1);

        table[i] = pte_leaf(pa, attributes, level + 1);
    }
    if (frame != NULL) {
        frame->used = PTE_ENTRIES;
    }
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
    pte_make(entry, pte_table(vmm_arch_ram_address(table)));
    frames_follow(pte_address(block), level);
    tlb_publish(context);
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

/* No leaf shall lie across an end of the range. The second end may be that of the context. */
static int split_ends(struct uk_pagetable *context, vaddr_t va, vaddr_t end)
{
    unsigned level;
    int status = mmu_cut(context, va);

    if (status != 0 || mmu_leaf(context, end - PAGE_SIZE, &level) == 0 ||
        is_aligned(end, pte_size(level))) {
        return status;
    }
    return mmu_cut(context, end);
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

struct unmap_op {
    struct tlb_gather gather;
    struct frame_runs *runs;
};

static void unmap_range(struct unmap_op *op, pte_t *table, unsigned level, vaddr_t va, vaddr_t end);

/* Unmap in the table below an entry; true when that became empty and the entry with it. */
static bool unmap_below(struct unmap_op *op, pte_t *entry, unsigned level, vaddr_t va, vaddr_t end)
{
    pte_t *below = walk_next(*entry);
    const struct frame *frame = table_frame(below);
    unsigned count = op->gather.count;

    unmap_range(op, below, level + 1, va, end);
    if (frame == NULL || frame->used != 0) {
        return false;
    }
    table_unlink(&op->gather, entry);
    if (op->gather.count == count) {
        tlb_gather_add(&op->gather, va);
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

bool mmu_is_owned(paddr_t pa)
{
    const struct frame *frame = frame_of(pa);

    return frame != NULL && frame->purpose == FRAME_PAGE;
}

static void unmap_range(struct unmap_op *op, pte_t *table, unsigned level, vaddr_t va, vaddr_t end)
{
    int broken = 0;

    for (vaddr_t next; va != end; va = next) {
        pte_t *entry = &table[pte_index(va, level)];

        next = walk_step(va, end, level);
        if (pte_is_table(*entry, level)) {
            broken += unmap_below(op, entry, level, va, next);
        } else if (*entry != 0) {
            if (op->runs != NULL && mmu_is_owned(pte_address(*entry))) {
                frame_runs_add(op->runs, pte_address(*entry), pte_size(level) / PAGE_SIZE);
            }
            leaf_break(&op->gather, entry, 0, va);
            broken++;
        }
    }
    walk_count(table, -broken);
}

int mmu_unmap(struct uk_pagetable *context, vaddr_t va, vaddr_t end, struct frame_runs *runs)
{
    struct unmap_op op;
    int status = split_ends(context, va, end);

    if (status != 0) {
        return status;
    }
    tlb_gather_init(&op.gather, context);
    op.runs = runs;
    unmap_range(&op, context_root(context), context->arch.root_level, va, end);
    tlb_flush(&op.gather);
    unlinked_free(&op.gather);
    return 0;
}

/* Another output address, memory type or block size: break, tell the TLB, make. */
static void leaf_replace(struct uk_pagetable *context, pte_t *entry, pte_t value, vaddr_t va)
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
    tlb_publish(context);
}

/* True when the leaf became valid and so has to be published. */
static bool leaf_protect(struct tlb_gather *gather, struct uk_pagetable *context, pte_t *entry,
                         pte_t value, vaddr_t va)
{
    if (!pte_is_valid(value)) {
        leaf_break(gather, entry, value, va);
        return false;
    }
    if (!pte_is_valid(*entry)) {
        pte_make(entry, value);
        return true;
    }
    if (((*entry ^ value) & ~PTE_PERMISSIONS) != 0) {
        leaf_replace(context, entry, value, va);
        return true;
    }
    if (*entry != value) {
        pte_permit(entry, value);
        tlb_gather_add(gather, va);
    }
    return false;
}

int mmu_protect(struct uk_pagetable *context, vaddr_t va, vaddr_t end, pte_t attributes)
{
    struct tlb_gather gather;
    bool made = false;
    int status = split_ends(context, va, end);

    if (status != 0) {
        return status;
    }
    tlb_gather_init(&gather, context);
    while (va != end) {
        unsigned level;
        pte_t *entry = leaf_entry(context, va, &level);

        if (*entry != 0) {
            pte_t value = pte_leaf(pte_address(*entry), attributes, level);

            made |= leaf_protect(&gather, context, entry, value, va);
        }
        va = walk_step(va, end, level);
    }
    tlb_flush(&gather);
    if (made) {
        tlb_publish(context);
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
    return tables_below(context_root(context), context->arch.root_level);
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
    free_below(context_root(context), context->arch.root_level);
}
