/* SPDX-License-Identifier: BSD-3-Clause */
#include "attributes.h"

/*
 * By PAGE_ATTR_PROT_*, of one half, with any type of memory; 0: writable and executable. Any right
 * includes reading.
 */
#define RIGHTS(always, no_execute)                                               \
    {                                                                            \
        [PAGE_ATTR_PROT_NONE] = (always) | (no_execute) | PTE_AP_RO,             \
        [PAGE_ATTR_PROT_READ] = (always) | (no_execute) | PTE_AP_RO | PTE_VALID, \
        [PAGE_ATTR_PROT_WRITE] = (always) | (no_execute) | PTE_VALID,            \
        [PAGE_ATTR_PROT_RW] = (always) | (no_execute) | PTE_VALID,               \
        [PAGE_ATTR_PROT_EXEC] = (always) | PTE_AP_RO | PTE_VALID,                \
        [PAGE_ATTR_PROT_RX] = (always) | PTE_AP_RO | PTE_VALID,                  \
        [PAGE_ATTR_PROT_RWX] = 0,                                                \
    }

#define NORMAL(index) (PTE_AF | PTE_SH_INNER | PTE_ATTRINDX(index))
#define DEVICE(index) (PTE_AF | PTE_ATTRINDX(index))

/* Of the user's half and of the kernel's. */
static const pte_t rights[2][PAGE_ATTR_PROT_RWX + 1] = {
    RIGHTS(PTE_NG | PTE_PXN | PTE_AP_EL0, PTE_UXN),
    RIGHTS(PTE_UXN, PTE_PXN),
};

/* 0: reserved. Shareability follows the type: every CPU sees what there is of a page. */
#define TYPE(type) ((type) >> PAGE_ATTR_TYPE_SHIFT)

static const pte_t types[PAGE_ATTR_TYPE_MASK + 1] = {
    [TYPE(PAGE_ATTR_TYPE_NORMAL_WB)] = NORMAL(ATTR_NORMAL),
    [TYPE(PAGE_ATTR_TYPE_NORMAL_WT)] = NORMAL(ATTR_NORMAL_WT),
    [TYPE(PAGE_ATTR_TYPE_NORMAL_NC)] = NORMAL(ATTR_NORMAL_NC),
    [TYPE(PAGE_ATTR_TYPE_DEVICE_nGnRnE)] = DEVICE(ATTR_DEVICE_NGNRNE),
    [TYPE(PAGE_ATTR_TYPE_DEVICE_nGnRE)] = DEVICE(ATTR_DEVICE),
    [TYPE(PAGE_ATTR_TYPE_DEVICE_GRE)] = DEVICE(ATTR_DEVICE_GRE),
};

#define ATTR_KNOWN                                                                     \
    (PAGE_ATTR_PROT_RWX | (unsigned long)PAGE_ATTR_TYPE_MASK << PAGE_ATTR_TYPE_SHIFT | \
     (unsigned long)PAGE_ATTR_SHAREABLE_MASK << PAGE_ATTR_SHAREABLE_SHIFT)

pte_t attributes_encode(const struct uk_pagetable *context, unsigned long attr)
{
    pte_t right = rights[context_is_kernel(context)][attr & PAGE_ATTR_PROT_RWX];
    pte_t type = types[attr >> PAGE_ATTR_TYPE_SHIFT & PAGE_ATTR_TYPE_MASK];
    bool device = (type & PTE_SH_INNER) == 0;

    if ((attr & ~ATTR_KNOWN) != 0 || right == 0 || type == 0 ||
        (device && (attr & PAGE_ATTR_PROT_EXEC) != 0)) {
        return 0;
    }
    return right | type;
}
