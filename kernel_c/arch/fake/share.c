/* SPDX-License-Identifier: BSD-3-Clause */
#include "lukos/frames.h"
#include "lukos/status.h"
#include "tables.h"

/* Pages that two contexts have in common: the part of the contract that copies address spaces. */

/* Make `to` map what `from` maps at va with the page `pte`. */
static int share_page(struct uk_pagetable *to, vaddr_t va, __pte_t pte, unsigned level, bool owned)
{
    paddr_t pa = ukarch_pte_paddr(pte);
    const struct frame *frame = frame_of(pa);
    __pte_t *slot;
    int status = vmm_arch_slot(to, va, level, &slot);

    if (status != 0) {
        return status;
    }
    if (owned && frame != NULL && frame->purpose == FRAME_PAGE) {
        status = frames_share(pa, PAGE_Lx_SIZE(level) / PAGE_SIZE);
    }
    if (status != 0) {
        (void)vmm_arch_pages_unmap(to, va, PAGE_Lx_SIZE(level), NULL);
        return status;
    }
    vmm_arch_slots_fill(slot, 1, pa, owned ? pte | PTE_DENY_WRITE : pte, level);
    return 0;
}

int vmm_arch_pages_share(void *to, const void *from, vaddr_t va, size_t len, bool owned)
{
    int status = 0;
    unsigned level;

    for (vaddr_t at = va; status == 0 && at < va + len; at = page_end(at, level)) {
        __pte_t pte = vmm_arch_page_at(from, at, &level);

        if (pte != 0) {
            status = share_page(to, at, pte, level, owned);
        }
    }
    return status;
}

bool vmm_arch_pages_seal(const void *ctx, vaddr_t va, size_t len)
{
    bool sealed = false;
    unsigned level;

    for (vaddr_t at = va; at < va + len; at = page_end(at, level)) {
        __pte_t *entry = leaf_entry(ctx, at, &level);
        __pte_t pte = entry_load(entry);

        if (pte_is_present(pte) && (pte & PTE_DENY_WRITE) == 0) {
            entry_store(entry, pte | PTE_DENY_WRITE);
            sealed = true;
        }
    }
    return sealed;
}

void vmm_arch_sealed(const void *ctx)
{
    tlb_forget_all(((const struct uk_pagetable *)ctx)->arch.tag);
}

void vmm_arch_page_replace(void *ctx, vaddr_t va, paddr_t pa, __pte_t pte, unsigned level)
{
    unsigned at;
    __pte_t *entry = leaf_entry(ctx, va, &at);

    ASSERT(at == level && entry_load(entry) != 0);
    entry_store(entry, pte_leaf(pa, pte, level));
    tlb_forget(ctx, va, page_end(va, level));
}

/* Entries of a table, or what is below them, to where the live one has none. */
static bool take_over(__pte_t *to, __pte_t *from)
{
    bool all = true;

    for (unsigned i = 0; i < PT_PTES_PER_LEVEL; i++) {
        __pte_t pte = entry_load(&from[i]);

        if (pte != 0 && entry_load(&to[i]) == 0) {
            entry_store(&to[i], pte);
            entry_store(&from[i], 0);
        } else if (pte_is_table(pte) && pte_is_table(entry_load(&to[i]))) {
            all &= take_over(table_below(entry_load(&to[i])), table_below(pte));
        } else {
            all &= pte == 0;
        }
    }
    return all;
}

bool vmm_arch_take_over(struct uk_pagetable *live, struct uk_pagetable *staging, vaddr_t va,
                        size_t len)
{
    (void)va;
    (void)len; /* staging has nothing else */
    return take_over(context_root(live), context_root(staging));
}
