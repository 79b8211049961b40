/* SPDX-License-Identifier: BSD-3-Clause */
#include "lukos/status.h"
#include "pte_write.h"
#include "sysreg.h"
#include "tlb.h"
#include "walk.h"

/* Mapping: prepare what may fail, then commit what cannot. */

struct map_op {
    pte_t attributes;
    unsigned first_level; /* of leaves: 1 for up to 1G, 3 for pages alone */
    size_t tables;        /* needed */
    struct table_stock stock;
};

/* True when [va, next) is exactly one entry of this level and pa is aligned to it. */
static bool leaf_fits(const struct map_op *op, vaddr_t va, vaddr_t next, paddr_t pa, unsigned level)
{
    return level >= op->first_level && next - va == pte_size(level) &&
           is_aligned(pa, pte_size(level));
}

/* Count the tables that the range needs. table NULL: one that is still to be made. */
static int map_prepare(struct map_op *op, const pte_t *table, unsigned level, vaddr_t va,
                       vaddr_t end, paddr_t pa)
{
    for (vaddr_t next; va != end; pa += next - va, va = next) {
        pte_t pte = table == NULL ? 0 : table[pte_index(va, level)];
        const pte_t *below = NULL;
        int status;

        next = walk_step(va, end, level);
        if (pte_is_table(pte, level)) {
            below = walk_next(pte);
        } else if (pte != 0) {
            return -EEXIST;
        } else if (leaf_fits(op, va, next, pa, level)) {
            continue;
        } else {
            op->tables++;
        }
        if (below == NULL && level + 1 == PTE_LEVEL_LAST) {
            continue;
        }
        status = map_prepare(op, below, level + 1, va, next, pa);
        if (status != 0) {
            return status;
        }
    }
    return 0;
}

static void map_commit(struct map_op *op, pte_t *table, unsigned level, vaddr_t va, vaddr_t end,
                       paddr_t pa, bool live);

/* Fill a table that no walk can reach, then link it: one barrier for all that is below. */
static void map_link(struct map_op *op, pte_t *entry, unsigned level, vaddr_t va, vaddr_t end,
                     paddr_t pa, bool live)
{
    pte_t *table = table_stock_take(&op->stock);

    map_commit(op, table, level + 1, va, end, pa, false);
    if (live) {
        dsb_ishst();
    }
    pte_make(entry, pte_table(table_address(table)));
}

static void map_commit(struct map_op *op, pte_t *table, unsigned level, vaddr_t va, vaddr_t end,
                       paddr_t pa, bool live)
{
    unsigned made = 0;

    for (vaddr_t next; va != end; pa += next - va, va = next) {
        pte_t *entry = &table[pte_index(va, level)];

        next = walk_step(va, end, level);
        if (pte_is_table(*entry, level)) {
            map_commit(op, walk_next(*entry), level + 1, va, next, pa, live);
            continue;
        }
        if (leaf_fits(op, va, next, pa, level)) {
            pte_make(entry, pte_leaf(pa, op->attributes, level));
        } else {
            map_link(op, entry, level, va, next, pa, live);
        }
        made++;
    }
    walk_count_made(table, made);
}

int mmu_map(struct uk_pagetable *context, vaddr_t va, vaddr_t end, paddr_t pa, pte_t attributes,
            unsigned first_level)
{
    struct map_op op = {.attributes = attributes, .first_level = first_level};
    int status = map_prepare(&op, context_root(context), context_root_level(context), va, end, pa);

    if (status != 0) {
        return status;
    }
    if (!table_stock_fill(&op.stock, op.tables)) {
        return -ENOMEM;
    }
    map_commit(&op, context_root(context), context_root_level(context), va, end, pa, true);
    tlb_publish();
    return 0;
}
