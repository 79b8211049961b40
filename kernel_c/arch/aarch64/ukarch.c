/* SPDX-License-Identifier: BSD-3-Clause */
#include "layout.h"
#include "lukos/status.h"
#include "lukos/vmm_arch.h"
#include "pte_write.h"
#include "tlb.h"
#include "walk.h"

/* The functions of uk/arch/paging.h: entries and TLB by hand. */

int ukarch_vaddr_range_isvalid(__vaddr_t start, __sz len)
{
    __vaddr_t last = start + len - (len != 0);

    return last >= start && (last < BIT(LUKOS_VA_BITS) || start >= KERNEL_BASE);
}

int ukarch_vaddr_isvalid(__vaddr_t addr)
{
    return ukarch_vaddr_range_isvalid(addr, 1);
}

int ukarch_paddr_range_isvalid(__paddr_t start, __sz len)
{
    __paddr_t last = start + len - (len != 0);

    return last >= start && last < PT_PADDR_END;
}

int ukarch_paddr_isvalid(__paddr_t addr)
{
    return ukarch_paddr_range_isvalid(addr, 1);
}

static pte_t *entry_at(__vaddr_t pt_vaddr, unsigned level, unsigned index)
{
    bool is_table = is_aligned(pt_vaddr, PAGE_SIZE) && level < PT_LEVELS && index < PTE_ENTRIES &&
                    vmm_arch_ram_address((void *)pt_vaddr) != 0;

    return is_table ? &((pte_t *)pt_vaddr)[index] : NULL;
}

int ukarch_pte_read(__vaddr_t pt_vaddr, unsigned int lvl, unsigned int idx, __pte_t *pte)
{
    const pte_t *entry = entry_at(pt_vaddr, lvl, idx);

    if (entry == NULL || pte == NULL) {
        return -EINVAL;
    }
    *pte = *entry;
    return 0;
}

/* Break-before-make (D8.16.1) is the caller's, and what would need it is refused. */
int ukarch_pte_write(__vaddr_t pt_vaddr, unsigned int lvl, unsigned int idx, __pte_t pte)
{
    pte_t *entry = entry_at(pt_vaddr, lvl, idx);
    bool was_there;

    if (entry == NULL) {
        return -EINVAL;
    }
    was_there = *entry != 0;
    if (!pte_is_valid(*entry)) {
        pte_make(entry, pte);
    } else if (!pte_is_valid(pte)) {
        pte_break(entry, pte);
    } else if (((*entry ^ pte) & ~PTE_PERMISSIONS) == 0) {
        pte_permit(entry, pte);
    } else {
        return -EINVAL;
    }
    (void)walk_count_broken((const pte_t *)pt_vaddr, was_there);
    walk_count_made((const pte_t *)pt_vaddr, pte != 0);
    return 0;
}

void ukarch_tlb_flush_entry(__vaddr_t vaddr)
{
    dsb_ishst();
    tlb_flush_va(vaddr);
    isb();
}

void ukarch_tlb_flush(void)
{
    dsb_ishst();
    tlb_flush_all();
    isb();
}

__paddr_t ukarch_pt_read_base(void)
{
    return ukplat_pt_get_active()->pt_pbase;
}
