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
    /* Heads of the free blocks, by index, linked through next and prev; last what ends a search. */
    uint32_t free[ORDERS + 1];
    size_t by_purpose[FRAME_PURPOSES]; /* frames in use; FRAME_NONE: all that were added */
};
extern struct frame_pool pool;

/* Take a free block off its list. Its head is none any more. */
static inline void frames_list_remove(struct frame *head)
{
    if (head->prev == NIL) {
        pool.free[head->order] = head->next;
    } else {
        frame_records.at[head->prev].next = head->next;
    }
    if (head->next != NIL) {
        frame_records.at[head->next].prev = head->prev;
    }
    head->purpose = FRAME_NONE;
}

/* Free count frames, none of which is the head of a block, as the largest blocks there can be. */
void frames_range_release(struct frame *frame, size_t count);

#endif
