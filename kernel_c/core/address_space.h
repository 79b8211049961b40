/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORE_ADDRESS_SPACE_H
#define CORE_ADDRESS_SPACE_H

#include "lukos/vma_tree.h"
#include "lib/list.h"
#include "lib/lock.h"
#include "lukos/vmm.h"

/* What stands behind the handle of lukos/vmm.h. Only core includes this. */
struct address_space {
    uint64_t id;
    void *context; /* vmm_arch_context_create() */
    struct vma_tree regions;
    size_t region_count;
    struct lock lock;
    struct list link; /* among the live address spaces, in order of creation */
};

struct region {
    struct vma_node range;
    paddr_t pa;
    address_space_region_prop_t prop;
};

/* True for a live address space; any other pointer is safe to ask about. */
bool address_space_is_live(const address_space_t *as);

size_t address_space_count(void);

static inline size_t region_size(const struct region *region)
{
    return region->range.end - region->range.start;
}

void regions_init(void);
size_t regions_count(void);

/* Return the memory of every region of an address space whose context is gone already. */
void regions_release(address_space_t *as);

/* The region containing va; NULL: none. */
struct region *region_find(address_space_t *as, const void *va);

#endif
