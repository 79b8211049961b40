/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/frames_pool.h"
#include "lib/bits.h"

/* The allocator's books, looked at as a whole. */

/* A free list is whole when each block on it is marked so, linked both ways and aligned. */
static bool free_list_check(unsigned order, size_t *frames)
{
    uint32_t prev = NIL;

    for (const struct frame *head = pool.free[order]; head != NULL; head = frame_at(head->next)) {
        uint32_t index = frame_index(head);

        if (head->purpose != FRAME_FREE || head->order != order || head->prev != prev ||
            !is_aligned(frame_records.first + index, BIT(order))) {
            return false;
        }
        *frames += BIT(order);
        prev = index;
    }
    return true;
}

/*
 * Only the start of an allocation counts; what is shared is one allocation for one leaf. A table may
 * be freed as it is: its count stays in a record that nobody looks at until it is in use again.
 */
static bool used_check(const struct frame *head)
{
    if (head->purpose == FRAME_NONE || head->purpose == FRAME_FREE || head->count == 0) {
        return true;
    }
    if (head->purpose == FRAME_PAGE) {
        return head->used == 0 || head->count == BIT(head->order);
    }
    return head->purpose == FRAME_TABLE || head->used == 0;
}

/* What single frames are taken of is in no block. */
static bool singles_check(size_t *frames)
{
    for (unsigned purpose = 0; purpose < FRAME_PURPOSES; purpose++) {
        const struct singles *run = &pool.singles[purpose];

        for (const struct frame *frame = run->next; frame != run->end; frame++) {
            if (frame->purpose != FRAME_NONE) {
                return false;
            }
            *frames += 1;
        }
    }
    return true;
}

bool frames_check(void)
{
    size_t listed = 0;
    size_t counted[FRAME_PURPOSES] = {0};
    uint32_t index = 0;

    if (!singles_check(&listed)) {
        return false;
    }
    counted[FRAME_FREE] = listed;

    for (unsigned order = 0; order < ORDERS; order++) {
        if (!free_list_check(order, &listed)) {
            return false;
        }
    }
    while (index < frame_records.count) {
        const struct frame *head = &frame_records.at[index];

        if (!used_check(head)) {
            return false;
        }
        if (head->purpose != FRAME_NONE) {
            counted[head->purpose] += BIT(head->order);
        }
        index += head->purpose == FRAME_NONE ? 1U : (uint32_t)BIT(head->order);
    }
    for (unsigned purpose = FRAME_FREE; purpose < FRAME_PURPOSES; purpose++) {
        if (counted[purpose] != frames_count(purpose)) {
            return false;
        }
    }
    return listed == counted[FRAME_FREE];
}
