/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/bits.h"
#include "lukos/frames.h"
#include "lukos/status.h"
#include <uk/falloc.h>

/* uk/falloc.h over the frame allocator. What it hands out can be freed a frame at a time. */

static struct uk_falloc allocator;

static void count_memory(void)
{
    allocator.free_memory = frames_count(FRAME_FREE) * PAGE_SIZE;
    allocator.total_memory = frames_count(FRAME_NONE) * PAGE_SIZE;
}

static int allocate(struct uk_falloc *fa, __paddr_t *paddr, unsigned long frames,
                    unsigned long flags)
{
    bool aligned = (flags & FALLOC_FLAG_ALIGNED) != 0;
    paddr_t pa;

    (void)fa;
    if (frames == 0 || *paddr != __PADDR_ANY) {
        return frames == 0 ? -EINVAL : -ENOTSUP;
    }
    pa = frames_alloc(frames, aligned ? log2_ceil(frames) : 0, FRAME_PAGE);
    if (pa == 0) {
        *paddr = __PADDR_INV;
        return -ENOMEM;
    }
    frames_split(pa, frames, 0);
    count_memory();
    *paddr = pa;
    return 0;
}

static int release(struct uk_falloc *fa, __paddr_t paddr, unsigned long frames)
{
    struct frame_runs runs = {NULL, NULL};

    (void)fa;
    if (frames == 0 || !is_aligned(paddr, PAGE_SIZE) || frame_of(paddr) == NULL) {
        return -EINVAL;
    }
    frame_runs_add(&runs, paddr, frames);
    frame_runs_release(&runs);
    count_memory();
    return 0;
}

static int no_range(struct uk_falloc *fa, __paddr_t *paddr, unsigned long frames,
                    unsigned long flags, __paddr_t min, __paddr_t max)
{
    return min == 0 && max == __PADDR_MAX ? allocate(fa, paddr, frames, flags) : -ENOTSUP;
}

/* Memory comes from the device tree; nothing can be added by hand. */
static int no_addmem(struct uk_falloc *fa, void *metadata, __paddr_t paddr, unsigned long frames,
                     __vaddr_t dm_off)
{
    (void)fa;
    (void)metadata;
    (void)paddr;
    (void)frames;
    (void)dm_off;
    return -ENOTSUP;
}

static struct uk_falloc allocator = {
    .falloc = allocate,
    .falloc_from_range = no_range,
    .ffree = release,
    .addmem = no_addmem,
};

struct uk_falloc *frames_uk_falloc(void)
{
    count_memory();
    return &allocator;
}
