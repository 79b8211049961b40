/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORE_FRAMES_POOL_H
#define CORE_FRAMES_POOL_H

#include "lib/lock.h"
#include "lukos/frames.h"

/* What the files of the frame allocator share. The pool's lock is held wherever one is needed. */

#define NIL UINT32_MAX
#define ORDERS (FRAME_MAX_ORDER + 1)

struct frame_pool {
    struct lock lock;
    uint32_t free[ORDERS]; /* heads of the free blocks, by index, linked through next and prev */
    size_t by_purpose[FRAME_PURPOSES]; /* frames in use; FRAME_NONE: all that were added */
};
extern struct frame_pool pool;

/* Take a free block off its list. Its head is none any more. */
void frames_list_remove(struct frame *head);

/* Free count frames, none of which is the head of a block, as the largest blocks there can be. */
void frames_range_release(struct frame *frame, size_t count);

#endif
