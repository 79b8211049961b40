/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/assert.h"
#include "lukos/status.h"
#include "lukos/vmm_arch.h"
#include "pte_write.h"
#include "tlb.h"
#include "walk.h"

/* Leaves that two contexts have in common: the part of the contract that copies address spaces. */

static int share_leaf(pte_t *to, pte_t leaf, unsigned level, bool owned)
{
    int status = 0;

    if (owned && mmu_is_owned(pte_address(leaf))) {
        status = frames_share(pte_address(leaf), pte_size(level) / PAGE_SIZE);
    }
    if (status == 0) {
        pte_make(to, owned ? leaf | PTE_AP_RO : leaf);
    }
    return status;
}

static int share_range(pte_t *to, const pte_t *from, unsigned level, vaddr_t va, vaddr_t end,
                       bool owned);

/*
 * What is in the table `from`, in a table below the entry. Nobody runs `to` yet, so a new table
 * that stays empty, as others have what is in the other one, can go again at once.
 */
static int share_below(pte_t *entry, const pte_t *from, unsigned level, vaddr_t va, vaddr_t end,
                       bool owned)
{
    pte_t *below = *entry == 0 ? table_alloc() : walk_next(*entry);
    int status;

    if (below == NULL) {
        return -ENOMEM;
    }
    status = share_range(below, from, level + 1, va, end, owned);
    if (*entry != 0) {
        return status;
    }
    if (table_frame(below)->used == 0) {
        table_free(below);
    } else {
        pte_make(entry, pte_table(vmm_arch_ram_address(below)));
    }
    return status;
}

static int share_range(pte_t *to, const pte_t *from, unsigned level, vaddr_t va, vaddr_t end,
                       bool owned)
{
    int status = 0;
    unsigned made = 0;

    for (vaddr_t next; status == 0 && va != end; va = next) {
        unsigned index = pte_index(va, level);
        bool was_there = to[index] != 0;

        next = walk_step(va, end, level);
        if (pte_is_table(from[index], level)) {
            status = share_below(&to[index], walk_next(from[index]), level, va, next, owned);
        } else if (from[index] != 0) {
            status = share_leaf(&to[index], from[index], level, owned);
        }
        made += !was_there && to[index] != 0;
    }
    walk_count_made(to, made);
    return status;
}

int vmm_arch_pages_share(void *to, const void *from, vaddr_t va, size_t len, bool owned)
{
    const struct uk_pagetable *source = from;
    struct uk_pagetable *target = to;
    int status = share_range(context_root(target), context_root(source), context_root_level(source),
                             va, va + len, owned);

    dsb_ishst(); /* the target does not run yet: that it will is an ISB's work */
    return status;
}

static bool seal_range(pte_t *table, unsigned level, vaddr_t va, vaddr_t end)
{
    bool sealed = false;

    for (vaddr_t next; va != end; va = next) {
        pte_t *entry = &table[pte_index(va, level)];

        next = walk_step(va, end, level);
        if (pte_is_table(*entry, level)) {
            sealed |= seal_range(walk_next(*entry), level + 1, va, next);
        } else if (pte_is_valid(*entry) && (*entry & PTE_AP_RO) == 0) {
            pte_permit(entry, *entry | PTE_AP_RO);
            sealed = true;
        }
    }
    return sealed;
}

bool vmm_arch_pages_seal(const void *ctx, vaddr_t va, size_t len)
{
    const struct uk_pagetable *context = ctx;

    return seal_range(context_root(context), context_root_level(context), va, va + len);
}

void vmm_arch_sealed(const void *ctx)
{
    struct tlb_gather gather;

    tlb_gather_init(&gather, ctx);
    gather.count = TLB_GATHER_MAX + 1; /* many: all of the ASID */
    tlb_flush(&gather);
}
