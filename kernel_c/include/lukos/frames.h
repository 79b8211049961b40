/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LUKOS_FRAMES_H
#define LUKOS_FRAMES_H

#include "lukos/types.h"

/*
 * Physical memory: a binary buddy allocator over 4K frames.
 *
 * Blocks are naturally aligned powers of two, up to 1G; larger requests take consecutive 1G
 * blocks. Allocation and release are O(log n) in the size of a block (O(RAM / 1G) above 1G).
 * Each frame has one struct frame, 16 bytes of 4096: 0.4 % of RAM.
 *
 * Blocks merge when they are released. Single frames are taken one after the other from a block
 * that each purpose has for them, of 2M or, while there is any, of less: tables and objects, which
 * stay, do not break up the blocks that pages come and go in. What is left of such a block is free,
 * but in no block until an allocation needs it.
 *
 * Only the head of a block, free or in use, says what the block is; every other frame is
 * FRAME_NONE. So a release of anything but a block in use is seen at once: it is a bug of the
 * kernel, and panics.
 *
 * Debug builds fill released memory with a pattern and look at it again before it is handed out.
 */

enum frame_purpose {
    FRAME_NONE, /* not the head of a block, or not ours to give */
    FRAME_FREE,
    FRAME_TABLE,  /* a translation table */
    FRAME_OBJECT, /* a page of the object allocator */
    FRAME_REGION, /* backs a region */
    FRAME_PAGE,   /* backs pages of a VMA, one leaf for each block */
    FRAME_FILE,   /* content of a file, or a table of such */
    FRAME_PURPOSES,
};

struct frame {
    uint32_t next; /* FREE: the list of its order, by frame index */
    uint32_t prev;
    union {
        uint32_t count;  /* in use: frames of the allocation, 0 if not its start */
        uint32_t poison; /* else: what core/poison.c has to know, of each frame */
    };
    uint16_t used; /* TABLE: descriptors that are not zero. PAGE: references beyond the first */
    uint8_t purpose;
    uint8_t order;
} __attribute__((aligned(16))); /* so that next and prev are one store */

#define FRAME_MAX_ORDER 18 /* 2^18 frames of 4K: 1G */

/*
 * Manage the frames of [base, end): none of them is free until frames_add() says so. The array
 * of struct frame goes to metadata, of frames_metadata_size() bytes, zeroed.
 */
void frames_init(paddr_t base, paddr_t end, void *metadata);
size_t frames_metadata_size(paddr_t base, paddr_t end);

/* Give [start, end) to the allocator. Once for each frame. */
void frames_add(paddr_t start, paddr_t end);

/*
 * count consecutive frames, the first at a multiple of 2^align_order frames; their contents are
 * undefined. 0: there are none.
 */
paddr_t frames_alloc(size_t count, unsigned align_order, enum frame_purpose purpose);

/* Release what frames_alloc() gave: all of it at once. Panics on anything else. */
void frames_free(paddr_t start, size_t count);

/*
 * Release consecutive allocations of FRAME_PAGE together, up to the first frame that is none or
 * that has more references: that one, or end, which is above head.
 */
struct frame *frames_free_pages(struct frame *head, const struct frame *end);

/*
 * Make count frames, allocated together, allocations of 2^order frames each, so that they can be
 * released apart. Each has the references that all had.
 */
void frames_split(paddr_t start, size_t count, unsigned order);

/* The inverse: consecutive allocations without further references, aligned as one, become one. */
void frames_join(paddr_t start, size_t count);

/*
 * How many frames from start on, of count, are the allocator's: free ones, if so asked, or any.
 */
size_t frames_run(paddr_t start, size_t count, bool free);

/* Allocate these very frames, as allocations of one frame of FRAME_PAGE. False: some are not free. */
bool frames_claim(paddr_t start, size_t count);

/*
 * One reference more for each allocation of FRAME_PAGE in [start, start + count frames), which are
 * whole; frame_runs_release() takes one away. -EOVERFLOW: one of them has as many as can be
 * counted (65536), and none has got more. Whoever shares frames brings a lock: core/vma_cow.h.
 */
int frames_share(paddr_t start, size_t count);

/* True when any of these allocations has more than one reference. */
bool frames_are_shared(paddr_t start, size_t count);

/*
 * Frames to be released together, later: runs of consecutive ones, in the order they are added.
 * The records are in the frames themselves, so this never needs memory.
 */
struct frame_runs {
    struct frame *first;
    struct frame *last;
};

void frame_runs_add(struct frame_runs *runs, paddr_t start, size_t count);

/*
 * Release them all; how many there were. Frames with more references lose one; frames that are not
 * FRAME_PAGE are left alone, but for free ones: releasing those is a bug and panics.
 */
size_t frame_runs_release(struct frame_runs *runs);

/* The same allocator by the interface of uk/falloc.h. */
struct uk_falloc;
struct uk_falloc *frames_uk_falloc(void);

/* The records of all frames: that of the frame of number first + i is at[i]. */
struct frame_records {
    struct frame *at;
    uint64_t first;
    uint64_t count;
};
extern struct frame_records frame_records;

/* The record of a frame that is managed. */
inline struct frame *frame_record(paddr_t pa)
{
    struct frame *frame = &frame_records.at[pa / PAGE_SIZE - frame_records.first];

    if (frame == NULL) {
        __builtin_unreachable(); /* spares whoever asks what was found a comparison */
    }
    return frame;
}

/* The same of any frame; NULL when it is not managed. */
inline struct frame *frame_of(paddr_t pa)
{
    uint64_t index = pa / PAGE_SIZE - frame_records.first; /* huge when it is below the first */

    return index < frame_records.count ? frame_record(pa) : NULL;
}

inline paddr_t frame_address(const struct frame *frame)
{
    return (frame_records.first + (uint64_t)(frame - frame_records.at)) * PAGE_SIZE;
}

/* All frames there are records of are in [*start, *end). */
void frames_span(paddr_t *start, paddr_t *end);

/* Frames by purpose; frames_count(FRAME_NONE) is all that were added. */
size_t frames_count(enum frame_purpose purpose);

/* Every free list, every count and what counts references agrees with every frame. O(frames), for
 * tests. */
bool frames_check(void);

#endif
