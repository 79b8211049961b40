/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORE_FRAMES_POOL_H
#define CORE_FRAMES_POOL_H

#include "lib/lock.h"
#include "lukos/frames.h"

/* What the files of the frame allocator share. The pool's lock is held wherever one is needed. */

#define NIL UINT32_MAX
#define ORDERS (FRAME_MAX_ORDER + 1)
#define MAX_BLOCK ((size_t)1 << FRAME_MAX_ORDER)
#define SINGLES_ORDER 9U /* 2M: so much at most is kept apart from what could be merged with it */

/* The rest of a block that single frames are taken of: free, but in no block and on no list. */
struct singles {
    struct frame *next;
    struct frame *end;
};

struct frame_pool {
    struct lock lock;
    /* Heads of the free blocks, linked through next and prev; last what ends a search. */
    struct frame *free[ORDERS + 1];
    struct singles singles[FRAME_PURPOSES];
    size_t by_purpose[FRAME_PURPOSES]; /* frames in use; FRAME_NONE: all that were added */
};
extern struct frame_pool pool;

/* The frame of an index; NULL for NIL. */
static inline struct frame *frame_at(uint32_t index)
{
    return index == NIL ? NULL : &frame_records.at[index];
}

static inline uint32_t frame_index(const struct frame *frame)
{
    return (uint32_t)(frame - frame_records.at);
}

/* Make this block the first of its list, with the one of index `next` behind it. */
static inline void free_list_put(struct frame *head, unsigned order, uint32_t next)
{
    head->next = next;
    head->prev = NIL;
    head->purpose = FRAME_FREE;
    head->order = (uint8_t)order;
    pool.free[order] = head;
}

static inline void free_list_push(struct frame *head, unsigned order)
{
    struct frame *next = pool.free[order];

    if (next == NULL) {
        free_list_put(head, order, NIL);
    } else {
        free_list_put(head, order, frame_index(next));
        next->prev = frame_index(head);
    }
}

/* Take a free block off its list. Its head is none any more. */
static inline void frames_list_remove(struct frame *head)
{
    if (head->prev == NIL) {
        pool.free[head->order] = frame_at(head->next);
    } else {
        frame_records.at[head->prev].next = head->next;
    }
    if (head->next != NIL) {
        frame_records.at[head->next].prev = head->prev;
    }
    head->purpose = FRAME_NONE;
}

/* The singles that a free frame is one of; NULL: it is none. */
static inline const struct singles *frames_singles_of(const struct frame *frame)
{
    for (unsigned purpose = 0; purpose < FRAME_PURPOSES; purpose++) {
        const struct singles *run = &pool.singles[purpose];

        if (frame >= run->next && frame < run->end) {
            return run;
        }
    }
    return NULL;
}

/* Merge what single frames would be taken of with what is free beside it. False: there is nothing. */
bool frames_singles_release(void);

/* Free count frames, none of which is the head of a block, as the largest blocks there can be. */
void frames_range_release(struct frame *frame, size_t count);

#endif
