/* SPDX-License-Identifier: BSD-3-Clause */
#include "attributes.h"

/* By PAGE_ATTR_TYPE_*; the attribute index of MAIR_EL1, plus 1; 0: reserved. */
static const uint8_t type_index[] = {
    [0] = ATTR_NORMAL + 1,        /* PAGE_ATTR_TYPE_NORMAL_WB */
    [1] = ATTR_NORMAL_WT + 1,     /* PAGE_ATTR_TYPE_NORMAL_WT */
    [2] = ATTR_NORMAL_NC + 1,     /* PAGE_ATTR_TYPE_NORMAL_NC */
    [3] = ATTR_DEVICE_NGNRNE + 1, /* PAGE_ATTR_TYPE_DEVICE_nGnRnE */
    [4] = ATTR_DEVICE + 1,        /* PAGE_ATTR_TYPE_DEVICE_nGnRE */
    [5] = ATTR_DEVICE_GRE + 1,    /* PAGE_ATTR_TYPE_DEVICE_GRE */
    [6] = 0,
    [7] = 0,
};

/* Shareability follows the type: every CPU sees what there is of a page. */
#define ATTR_KNOWN                                                                     \
    (PAGE_ATTR_PROT_RWX | (unsigned long)PAGE_ATTR_TYPE_MASK << PAGE_ATTR_TYPE_SHIFT | \
     (unsigned long)PAGE_ATTR_SHAREABLE_MASK << PAGE_ATTR_SHAREABLE_SHIFT)

static pte_t rights(bool kernel, unsigned long attr)
{
    bool execute = (attr & PAGE_ATTR_PROT_EXEC) != 0;
    pte_t pte = kernel ? PTE_UXN : PTE_PXN | PTE_NG | PTE_AP_EL0;

    if ((attr & PAGE_ATTR_PROT_MASK) != PAGE_ATTR_PROT_NONE) {
        pte |= PTE_VALID;
    }
    if ((attr & PAGE_ATTR_PROT_WRITE) == 0) {
        pte |= PTE_AP_RO;
    }
    if (!execute) {
        pte |= kernel ? PTE_PXN : PTE_UXN;
    }
    return pte;
}

pte_t attributes_encode(const struct uk_pagetable *context, unsigned long attr)
{
    unsigned type = (unsigned)(attr >> PAGE_ATTR_TYPE_SHIFT) & PAGE_ATTR_TYPE_MASK;
    unsigned index = type_index[type];
    bool device = type >= PAGE_ATTR_TYPE_DEVICE_nGnRnE >> PAGE_ATTR_TYPE_SHIFT;
    bool execute = (attr & PAGE_ATTR_PROT_EXEC) != 0;

    if ((attr & ~ATTR_KNOWN) != 0 || index == 0 ||
        (execute && (device || (attr & PAGE_ATTR_PROT_WRITE) != 0))) {
        return 0;
    }
    return rights(context_is_kernel(context), attr) | PTE_AF | PTE_ATTRINDX(index - 1) |
           (device ? 0 : PTE_SH_INNER);
}
