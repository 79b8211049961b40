/* SPDX-License-Identifier: BSD-3-Clause */
#include "lukos/status.h"
#include "pte_write.h"
#include "tlb.h"
#include "walk.h"

/* Unmapping: break entries, tell the TLBs, then give back what nobody can reach any more. */

#define NO_RUN UINT64_C(1) /* no page ends there */

struct unmap_op {
    struct tlb_gather *gather;
    struct frame_runs *runs; /* for the frames that were mapped; NULL: they are not the caller's */
    paddr_t run;             /* pages of consecutive frames, not in runs yet */
    paddr_t run_end;
};

/*
 * Unlinked tables wait, linked through their frames, until the TLB was told: a walk may still be
 * in them, so their contents stay as they are.
 */
static void table_unlink(struct tlb_gather *gather, pte_t *entry)
{
    paddr_t table = pte_address(*entry);

    pte_break(entry, 0);
    frame_record(table)->next = (uint32_t)(gather->unlinked >> PAGE_SHIFT);
    gather->unlinked = table;
}

static void unlinked_free(struct tlb_gather *gather)
{
    while (gather->unlinked != 0) {
        paddr_t table = gather->unlinked;

        gather->unlinked = (paddr_t)frame_record(table)->next << PAGE_SHIFT;
        table_free(table_at(table));
    }
}

static inline void run_close(struct unmap_op *op)
{
    if (op->run_end != NO_RUN) {
        frame_runs_add(op->runs, op->run, (op->run_end - op->run) / PAGE_SIZE);
        op->run_end = NO_RUN;
    }
}

/* Pages that go on where the last one ended need no look at their frames: that is for later. */
static inline void release_page(struct unmap_op *op, paddr_t pa)
{
    if (pa != op->run_end) {
        run_close(op);
        if (op->runs == NULL || !mmu_is_owned(pa)) {
            return;
        }
        op->run = pa;
    }
    op->run_end = pa + PAGE_SIZE;
}

static inline void release_block(struct unmap_op *op, paddr_t pa, size_t size)
{
    run_close(op);
    if (op->runs != NULL && mmu_is_owned(pa)) {
        frame_runs_add(op->runs, pa, size / PAGE_SIZE);
    }
}

static inline void leaf_break(struct unmap_op *op, pte_t *entry, vaddr_t va)
{
    bool was_valid = pte_is_valid(*entry);

    pte_break(entry, 0);
    if (was_valid) {
        tlb_gather_add(op->gather, va);
    }
}

/* The pages of [va, end), entries of one table; how many there were. */
static inline unsigned unmap_pages(struct unmap_op *op, pte_t *entry, vaddr_t va, vaddr_t end)
{
    unsigned broken = 0;

    for (; va != end; va += PAGE_SIZE, entry++) {
        if (*entry != 0) {
            release_page(op, pte_address(*entry));
            leaf_break(op, entry, va);
            broken++;
        }
    }
    return broken;
}

/*
 * The table of this level that va is in holds nothing any more: it goes, and what that leaves
 * empty above it, but for the root. The TLBs hear of it by what was broken in it, since `before`,
 * or else by an address of its own.
 */
static __attribute__((noinline)) void unlink_empty(struct tlb_gather *gather, vaddr_t va,
                                                   unsigned level, unsigned before)
{
    const struct uk_pagetable *context = gather->context;
    bool empty = level > context_root_level(context);

    ASSERT(level <= PTE_LEVEL_LAST);
    if (empty && gather->count == before) {
        tlb_gather_add(gather, va);
    }
    while (empty) {
        pte_t *entry;

        level--;
        entry = walk_down(context, va, &level);
        table_unlink(gather, entry);
        empty = walk_count_broken(entry, 1) && level > context_root_level(context);
    }
}

/* Unmap what this entry for va covers, or one table of pages from it on; where that ends. */
static inline vaddr_t unmap_some(struct unmap_op *op, pte_t *entry, unsigned level, vaddr_t va,
                                 vaddr_t end)
{
    vaddr_t next = walk_step(va, end, level == PTE_LEVEL_LAST ? level - 1 : level);
    unsigned before = op->gather->count;
    unsigned broken = 0;

    if (level == PTE_LEVEL_LAST) {
        broken = unmap_pages(op, entry, va, next);
    } else if (*entry != 0) {
        release_block(op, pte_address(*entry), pte_size(level));
        leaf_break(op, entry, va);
        broken = 1;
    }
    if (walk_count_broken(entry, broken)) {
        unlink_empty(op->gather, va, level, before);
    }
    return next;
}

int mmu_unmap(struct uk_pagetable *context, vaddr_t va, vaddr_t end, struct frame_runs *runs)
{
    struct tlb_gather gather;
    struct unmap_op op = {.gather = &gather, .runs = runs, .run_end = NO_RUN};
    unsigned level;
    pte_t *entry = mmu_cut_ends(context, va, end, &level);

    if (entry == NULL) {
        return -ENOMEM;
    }
    tlb_gather_init(&gather, context);
    for (;;) {
        va = unmap_some(&op, entry, level, va, end);
        if (va == end) {
            break;
        }
        level = PTE_LEVEL_LAST;
        entry = walk_down(context, va, &level);
    }
    run_close(&op);
    tlb_flush(&gather);
    unlinked_free(&gather);
    return 0;
}
