/* SPDX-License-Identifier: BSD-3-Clause */
#include "lukos/frames.h"
#include "lukos/status.h"
#include "tables.h"

/* Pages: map, cut, unmap, set attributes. Order and cost do not matter here; results do. */

__pte_t vmm_arch_page_at(const void *ctx, vaddr_t va, unsigned *level)
{
    return entry_load(leaf_entry(ctx, va, level));
}

__pte_t vmm_arch_walk(const void *ctx, vaddr_t va, unsigned *level, vaddr_t *table)
{
    __pte_t *at;
    __pte_t *entry = table_walk(ctx, va, level, &at);

    *table = (vaddr_t)at;
    return entry_load(entry);
}

/* The empty slot for va, with the tables above it. */
int vmm_arch_slot(void *ctx, vaddr_t va, unsigned level, __pte_t **slot)
{
    for (;;) {
        unsigned at = level;
        __pte_t *table;
        __pte_t *entry = table_walk(ctx, va, &at, &table);

        if (entry_load(entry) != 0) {
            return -EEXIST;
        }
        if (at == level) {
            *slot = entry;
            return 0;
        }
        table = table_alloc();
        if (table == NULL) {
            (void)vmm_arch_pages_unmap(ctx, va, PAGE_Lx_SIZE(level), NULL); /* the other tables */
            return -ENOMEM;
        }
        entry_store(entry, pte_table(vmm_arch_ram_address(table)));
    }
}

size_t vmm_arch_slots_empty(const __pte_t *slot, vaddr_t va, unsigned level, size_t most)
{
    size_t run = 1;

    most = min_size(most, PT_PTES_PER_LEVEL - PT_Lx_IDX(va, level));
    while (run < most && entry_load(entry_behind((__pte_t *)slot, run)) == 0) {
        run++;
    }
    return run;
}

void vmm_arch_slots_fill(__pte_t *slots, size_t count, paddr_t pa, __pte_t pte, unsigned level)
{
    for (size_t i = 0; i < count; i++) {
        __pte_t *slot = entry_behind(slots, i);

        ASSERT(entry_load(slot) == 0 && is_aligned(pa, PAGE_Lx_SIZE(level)));
        entry_store(slot, pte_leaf(pa, pte, level));
        pa += PAGE_Lx_SIZE(level);
    }
}

void vmm_arch_publish(void)
{
    /* This CPU looks at its tables at every access. */
}

static bool is_empty(const struct uk_pagetable *context, vaddr_t va, vaddr_t end)
{
    unsigned level;

    for (; va < end; va = page_end(va, level)) {
        if (vmm_arch_page_at(context, va, &level) != 0) {
            return false;
        }
    }
    return true;
}

/* One page at va, as large as possible; *level says how large. */
static int map_one(struct uk_pagetable *context, vaddr_t va, vaddr_t end, paddr_t pa, __pte_t pte,
                   unsigned *level)
{
    __pte_t *slot;
    int status;

    while (*level > PAGE_LEVEL &&
           (!is_aligned(va | pa, PAGE_Lx_SIZE(*level)) || PAGE_Lx_SIZE(*level) > end - va)) {
        (*level)--;
    }
    status = vmm_arch_slot(context, va, *level, &slot);
    while (status == -EEXIST && *level > PAGE_LEVEL) { /* a table is there already */
        (*level)--;
        status = vmm_arch_slot(context, va, *level, &slot);
    }
    if (status == 0) {
        vmm_arch_slots_fill(slot, 1, pa, pte, *level);
    }
    return status;
}

int vmm_arch_pages_map(void *ctx, vaddr_t va, paddr_t pa, size_t len, __pte_t pte, unsigned largest)
{
    vaddr_t end = va + len;

    if (!is_empty(ctx, va, end)) {
        return -EEXIST;
    }
    for (vaddr_t at = va; at < end;) {
        unsigned level = largest;
        int status = map_one(ctx, at, end, pa + (at - va), pte, &level);

        if (status != 0) {
            if (at != va) {
                (void)vmm_arch_pages_unmap(ctx, va, at - va, NULL);
            }
            return status;
        }
        at += PAGE_Lx_SIZE(level);
    }
    return 0;
}

/* A table with smaller pages in the place of a page. */
static int split(struct uk_pagetable *context, __pte_t *entry, unsigned level, vaddr_t va)
{
    __pte_t pte = entry_load(entry);
    paddr_t pa = ukarch_pte_paddr(pte);
    const struct frame *frame = frame_of(pa);
    __pte_t *table = table_alloc();

    if (table == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < PT_PTES_PER_LEVEL; i++) {
        size_t offset = i << PAGE_Lx_SHIFT(level - 1);

        entry_store(table_entry(table, offset, level - 1), pte_leaf(pa + offset, pte, level - 1));
    }
    entry_store(entry, pte_table(vmm_arch_ram_address(table)));
    tlb_forget(context, va, va + 1);
    if (frame != NULL && frame->purpose == FRAME_PAGE &&
        frame->order == PAGE_Lx_SHIFT(level) - PAGE_SHIFT) {
        frames_split(pa, PAGE_Lx_SIZE(level) / PAGE_SIZE, PAGE_Lx_SHIFT(level - 1) - PAGE_SHIFT);
    }
    return 0;
}

int vmm_arch_pages_cut(void *ctx, vaddr_t va)
{
    int status = 0;

    while (status == 0) {
        unsigned level;
        __pte_t *entry = leaf_entry(ctx, va, &level);

        if (entry_load(entry) == 0 || is_aligned(va, PAGE_Lx_SIZE(level))) {
            break;
        }
        status = split(ctx, entry, level, va);
    }
    return status;
}

static int cut_ends(struct uk_pagetable *context, vaddr_t va, vaddr_t end)
{
    int status = vmm_arch_pages_cut(context, va);

    return status == 0 ? vmm_arch_pages_cut(context, end) : status;
}

struct unmap {
    struct frame_runs *runs;
    __pte_t *tables; /* empty ones, linked through their first words */
};

static bool is_releasable(paddr_t pa)
{
    const struct frame *frame = frame_of(pa);

    return frame != NULL && frame->purpose == FRAME_PAGE;
}

/* True: the table has become empty. */
static bool unmap_below(struct unmap *op, __pte_t *table, unsigned level, vaddr_t va, vaddr_t end)
{
    for (vaddr_t next; va < end; va = next) {
        __pte_t *entry = table_entry(table, va, level);
        __pte_t pte = entry_load(entry);

        next = min_u64(page_end(va, level), end);
        if (pte_is_table(pte)) {
            if (!unmap_below(op, table_below(pte), level - 1, va, next)) {
                continue;
            }
            *table_below(pte) = (__pte_t)op->tables;
            op->tables = table_below(pte);
        } else if (pte != 0 && op->runs != NULL && is_releasable(ukarch_pte_paddr(pte))) {
            frame_runs_add(op->runs, ukarch_pte_paddr(pte), PAGE_Lx_SIZE(level) / PAGE_SIZE);
        }
        entry_store(entry, 0);
    }
    return table_is_empty(table);
}

int vmm_arch_pages_unmap(void *ctx, vaddr_t va, size_t len, struct frame_runs *runs)
{
    struct unmap op = {.runs = runs};
    int status = cut_ends(ctx, va, va + len);

    if (status != 0) {
        return status;
    }
    (void)unmap_below(&op, context_root(ctx), ROOT_LEVEL, va, va + len);
    tlb_forget(ctx, va, va + len);
    while (op.tables != NULL) {
        __pte_t *table = op.tables;

        op.tables = (__pte_t *)*table;
        table_free(table);
    }
    return 0;
}

int vmm_arch_pages_set_attr(void *ctx, vaddr_t va, size_t len, unsigned long attr)
{
    vaddr_t end = va + len;
    int status = cut_ends(ctx, va, end);
    unsigned level;

    for (vaddr_t at = va; status == 0 && at < end; at = page_end(at, level)) {
        __pte_t *entry = leaf_entry(ctx, at, &level);

        if (entry_load(entry) != 0) {
            paddr_t pa = ukarch_pte_paddr(entry_load(entry));

            entry_store(entry, pte_leaf(pa, vmm_arch_pte(ctx, attr), level));
        }
    }
    tlb_forget(ctx, va, end);
    return status;
}
