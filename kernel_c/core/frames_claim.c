/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/frames_pool.h"
#include "core/poison.h"
#include "lib/bits.h"

/* Allocating frames by their address. */

/* The block, free or in use, that a frame is part of; NULL: it was never ours. */
static struct frame *block_of(const struct frame *frame)
{
    uint64_t number = frame_address(frame) / PAGE_SIZE;

    for (unsigned order = 0; order < ORDERS; order++) {
        uint64_t start = align_down(number, BIT(order));
        struct frame *head;

        if (start < frame_records.first) {
            break;
        }
        head = &frame_records.at[start - frame_records.first];
        if (head->purpose != FRAME_NONE) {
            return head->order >= order ? head : NULL;
        }
    }
    return NULL;
}

size_t frames_run(paddr_t start, size_t count, bool free)
{
    size_t found = 0;

    while (found < count) {
        const struct frame *frame = frame_of(start + found * PAGE_SIZE);
        const struct singles *singles;
        const struct frame *block;

        if (frame == NULL) {
            return found;
        }
        singles = frames_singles_of(frame);
        if (singles != NULL) {
            found += (size_t)(singles->end - frame);
            continue;
        }
        block = block_of(frame);
        if (block == NULL || (free && block->purpose != FRAME_FREE)) {
            return found;
        }
        found += (size_t)(block + BIT(block->order) - frame);
    }
    return count;
}

/* Take free frames out of their blocks, and free again what else these have. */
static void blocks_carve(struct frame *start, struct frame *end)
{
    struct frame *frame = start;

    do {
        struct frame *block = block_of(frame);
        struct frame *behind = block + BIT(block->order);
        struct frame *from = block < start ? block : start;
        const struct frame *to = behind > end ? behind : end;

        frames_list_remove(block);
        frames_range_release(from, (size_t)(start - from));
        frames_range_release(end, (size_t)(to - end));
        frame = behind;
    } while (frame < end);
}

bool frames_claim(paddr_t start, size_t count)
{
    bool claimed;

    lock_acquire(&pool.lock);
    claimed = count != 0 && frames_run(start, count, true) == count;
    if (claimed) {
        struct frame *head = frame_record(start);

        frames_singles_release();
        blocks_carve(head, head + count);
        poison_check(head, count);
        pool.by_purpose[FRAME_PAGE] += count;
        head->purpose = FRAME_PAGE;
        head->used = 0;
        frames_split(start, count, 0);
    }
    lock_release(&pool.lock);
    return claimed;
}
