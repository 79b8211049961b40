/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef UK_FALLOC_H
#define UK_FALLOC_H

#include <uk/arch/paging.h>

/* A frame allocator. Results are 0 or a negative errno; a frame is PAGE_SIZE bytes. */
struct uk_falloc {
#define FALLOC_FLAG_ALIGNED 0x01 /* align the frames to their size */

    /*
     * Allocate frames at *paddr (-EINVAL: not all of it is RAM), or anywhere (__PADDR_ANY): then
     * *paddr receives where, or __PADDR_INV.
     */
    int (*falloc)(struct uk_falloc *fa, __paddr_t *paddr, unsigned long frames,
                  unsigned long flags);

    /* The same, in [min, max). *paddr is not touched on error. */
    int (*falloc_from_range)(struct uk_falloc *fa, __paddr_t *paddr, unsigned long frames,
                             unsigned long flags, __paddr_t min, __paddr_t max);

    /* Free frames: parts of allocations, or several that lie together. */
    int (*ffree)(struct uk_falloc *fa, __paddr_t paddr, unsigned long frames);

    /*
     * Give memory to the allocator; metadata and dm_off are for allocators that need them. This one
     * has all of RAM since the boot: 0 for what it has, -ENOTSUP for anything else.
     */
    int (*addmem)(struct uk_falloc *fa, void *metadata, __paddr_t paddr, unsigned long frames,
                  __vaddr_t dm_off);

    __sz free_memory; /* bytes */
    __sz total_memory;
};

/* The first of so many new frames; __PADDR_INV: there are none. */
static inline __paddr_t uk_falloc(struct uk_falloc *fa, unsigned long frames)
{
    __paddr_t paddr = __PADDR_ANY;

    UK_ASSERT(fa != NULL && fa->falloc != NULL);
    return fa->falloc(fa, &paddr, frames, 0) == 0 ? paddr : __PADDR_INV;
}

static inline void uk_ffree(struct uk_falloc *fa, __paddr_t paddr, unsigned long frames)
{
    int status __maybe_unused;

    UK_ASSERT(fa != NULL && fa->ffree != NULL);
    status = fa->ffree(fa, paddr, frames);
    UK_ASSERT(status == 0);
}

#endif
