/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORE_ADDRESS_SPACE_H
#define CORE_ADDRESS_SPACE_H

#include "core/vma.h"
#include "lib/list.h"
#include "lukos/vmm.h"

/* What stands behind the handle of lukos/vmm.h. Only core includes this. */
struct address_space {
    struct uk_vas vas; /* its page table is the context of lukos/vmm_arch.h */
    uint64_t id;
    struct list link; /* among the live address spaces, in order of creation */
};

/* A region is a VMA whose memory is one contiguous range. */
struct region {
    struct uk_vma vma;
    paddr_t pa;
};

/* True for a live address space; any other pointer is safe to ask about. */
bool address_space_is_live(const address_space_t *as);

size_t address_space_count(void);
size_t regions_count(void);

/* The VMA as a region; NULL: it is of another type. */
struct region *region_of(struct uk_vma *vma);

#endif
