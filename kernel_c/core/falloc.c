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

/* At this address and no other. */
static int allocate_at(__paddr_t paddr, unsigned long frames)
{
    if (!is_aligned(paddr, PAGE_SIZE) || frames_run(paddr, frames, false) != frames) {
        return -EINVAL;
    }
    return frames_claim(paddr, frames) ? 0 : -ENOMEM;
}

static int allocate(struct uk_falloc *fa, __paddr_t *paddr, unsigned long frames,
                    unsigned long flags)
{
    bool aligned = (flags & FALLOC_FLAG_ALIGNED) != 0;
    int status = 0;

    (void)fa;
    if (frames == 0) {
        return -EINVAL;
    }
    if (*paddr != __PADDR_ANY) {
        status = allocate_at(*paddr, frames);
    } else {
        paddr_t pa = frames_alloc(frames, aligned ? log2_ceil(frames) : 0, FRAME_PAGE);

        status = pa == 0 ? -ENOMEM : 0;
        *paddr = pa == 0 ? __PADDR_INV : pa;
        if (pa != 0) {
            frames_split(pa, frames, 0);
        }
    }
    count_memory();
    return status;
}

/* The first place in [min, max), which is RAM, at a multiple of step. 0: there is none. */
static paddr_t find_place(unsigned long frames, size_t step, __paddr_t min, __paddr_t max)
{
    paddr_t paddr = align_up(min, step);

    while (frames <= (max - min_u64(paddr, max)) / PAGE_SIZE) {
        size_t run = frames_run(paddr, frames, true);

        if (run == frames) {
            return paddr;
        }
        paddr = align_up(paddr + (run + 1) * PAGE_SIZE, step);
    }
    return 0;
}

static int allocate_in(struct uk_falloc *fa, __paddr_t *paddr, unsigned long frames,
                       unsigned long flags, __paddr_t min, __paddr_t max)
{
    bool aligned = (flags & FALLOC_FLAG_ALIGNED) != 0;
    paddr_t start;
    paddr_t end;
    paddr_t found;

    frames_span(&start, &end);
    if (frames == 0 || min >= max) {
        return -EINVAL;
    }
    if (frames > (end - start) / PAGE_SIZE) {
        return -ENOMEM;
    }
    found = find_place(frames, PAGE_SIZE << (aligned ? log2_ceil(frames) : 0), max_u64(min, start),
                       min_u64(max, end));
    if (found == 0) {
        return -ENOMEM;
    }
    *paddr = found;
    return allocate(fa, paddr, frames, 0);
}

/* Frames that are handed out, all of them. */
static bool are_ours(__paddr_t paddr, unsigned long frames)
{
    for (unsigned long i = 0; i < frames; i++) {
        const struct frame *frame = frame_of(paddr + i * PAGE_SIZE);

        if (frame == NULL || frame->purpose != FRAME_PAGE) {
            return false;
        }
    }
    return true;
}

static int release(struct uk_falloc *fa, __paddr_t paddr, unsigned long frames)
{
    struct frame_runs runs = {NULL, NULL};

    (void)fa;
    if (frames == 0 || !is_aligned(paddr, PAGE_SIZE) || !are_ours(paddr, frames)) {
        return -EINVAL;
    }
    frame_runs_add(&runs, paddr, frames);
    frame_runs_release(&runs);
    count_memory();
    return 0;
}

/* All memory of the machine is the allocator's since the boot: what is not can never be. */
static int add_memory(struct uk_falloc *fa, void *metadata, __paddr_t paddr, unsigned long frames,
                      __vaddr_t dm_off)
{
    (void)fa;
    (void)metadata;
    (void)dm_off;
    if (!is_aligned(paddr, PAGE_SIZE)) {
        return -EINVAL;
    }
    return frames_run(paddr, frames, false) == frames ? 0 : -ENOTSUP;
}

static struct uk_falloc allocator = {
    .falloc = allocate,
    .falloc_from_range = allocate_in,
    .ffree = release,
    .addmem = add_memory,
};

struct uk_falloc *frames_uk_falloc(void)
{
    count_memory();
    return &allocator;
}
