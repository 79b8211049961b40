/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/frames_pool.h"
#include "core/poison.h"
#include "lib/assert.h"
#include "lib/bits.h"

/* Releasing frames, and making several allocations of one or one of several. */

/*
 * The buddy of a block, if that is free and whole. Buddies are neighbours in frame numbers, not in
 * indices: the array may start anywhere. They differ in the bit of their order.
 */
static inline struct frame *free_buddy(const struct frame *head, unsigned order)
{
    uint64_t number = frame_records.first + (uint64_t)(head - frame_records.at);
    uint64_t index = (number ^ BIT(order)) - frame_records.first; /* huge when it is below */
    struct frame *buddy;

    if (order >= FRAME_MAX_ORDER || index >= frame_records.count) {
        return NULL;
    }
    buddy = &frame_records.at[index];
    return buddy->purpose == FRAME_FREE && buddy->order == order ? buddy : NULL;
}

/* Free a block and merge it with its buddy for as long as that is free and whole. */
static inline void block_release(struct frame *head, unsigned order)
{
    struct frame *buddy;

    head->purpose = FRAME_NONE;
    while ((buddy = free_buddy(head, order)) != NULL) {
        frames_list_remove(buddy);
        head = buddy < head ? buddy : head;
        order++;
    }
    free_list_push(head, order);
}

__attribute__((noinline)) void frames_range_release(struct frame *frame, size_t count)
{
    uint64_t number = frame_records.first + frame_index(frame);

    while (count > 0) {
        uint64_t limits = number | BIT(log2_floor(count)) | MAX_BLOCK; /* the lowest bit counts */
        unsigned order = (unsigned)__builtin_ctzll(limits);

        block_release(frame, order);
        frame += BIT(order);
        number += BIT(order);
        count -= BIT(order);
    }
}

bool frames_singles_release(void)
{
    bool some = false;

    for (unsigned purpose = 0; purpose < FRAME_PURPOSES; purpose++) {
        struct singles singles = pool.singles[purpose];

        if (singles.next != singles.end) {
            pool.singles[purpose].next = singles.end;
            frames_range_release(singles.next, (size_t)(singles.end - singles.next));
            some = true;
        }
    }
    return some;
}

/* What is wrong with releasing these frames; NULL: nothing is. */
static const char *release_fault(paddr_t start, size_t count)
{
    const struct frame *head = frame_record(start);
    uint64_t index = start / PAGE_SIZE - frame_records.first; /* huge when it is below the first */

    if (!is_aligned(start, PAGE_SIZE) || count == 0 ||
        count > frame_records.count - min_u64(index, frame_records.count)) {
        return "not managed memory";
    }
    if (head->purpose == FRAME_FREE) {
        return "double free";
    }
    if (head->purpose == FRAME_PAGE && head->used != 0) {
        return "others refer to it as well";
    }
    if (head->purpose == FRAME_NONE || head->count == 0) {
        return "not the start of an allocation, or freed already";
    }
    if (head->count > count) {
        return "shorter than the allocation";
    }
    return head->count < count ? "longer than the allocation" : NULL;
}

/* Frames are not in use any more, but not free yet either. */
static inline void retire(struct frame *head, size_t count, enum frame_purpose purpose)
{
    if (LUKOS_DEBUG) {
        poison_fill(head, count);
    }
    pool.by_purpose[purpose] -= count;
}

void frames_free(paddr_t start, size_t count)
{
    struct frame *head = frame_record(start);
    enum frame_purpose purpose;
    const char *fault;

    lock_acquire(&pool.lock);
    fault = release_fault(start, count);
    if (fault != NULL) {
        panic("frames_free(0x%lx, %zu): %s", start, count, fault);
    }
    purpose = head->purpose;
    for (size_t done = 0; done < count; done += BIT(head[done].order)) {
        head[done].purpose = FRAME_NONE;
    }
    retire(head, count, purpose);
    frames_range_release(head, count);
    lock_release(&pool.lock);
}

static inline bool is_page_of_one(const struct frame *head)
{
    return head->purpose == FRAME_PAGE && head->used == 0;
}

/* frames_free_pages() for any number of allocations, with the lock, which it releases. */
static __attribute__((noinline)) struct frame *free_several(struct frame *head,
                                                            const struct frame *end)
{
    struct frame *frame = head;

    while (frame < end && is_page_of_one(frame)) {
        frame->purpose = FRAME_NONE;
        frame += BIT(frame->order);
    }
    retire(head, (size_t)(frame - head), FRAME_PAGE);
    frames_range_release(head, (size_t)(frame - head));
    lock_release(&pool.lock);
    return frame;
}

/* Often it is one allocation: a single block, as such. */
struct frame *frames_free_pages(struct frame *head, const struct frame *end)
{
    unsigned order = head->order;
    struct frame *next = head + BIT(order);

    lock_acquire(&pool.lock);
    if (next != end || !is_page_of_one(head)) {
        return free_several(head, end);
    }
    retire(head, BIT(order), FRAME_PAGE);
    block_release(head, order);
    lock_release(&pool.lock);
    return next;
}

void frames_split(paddr_t start, size_t count, unsigned order)
{
    struct frame *head = frame_record(start);
    uint8_t purpose = head->purpose;
    uint16_t used = head->used;

    for (struct frame *frame = head; frame != head + count; frame += BIT(order)) {
        frame->count = (uint32_t)BIT(order);
        frame->used = used;
        frame->purpose = purpose;
        frame->order = (uint8_t)order;
    }
}

void frames_join(paddr_t start, size_t count)
{
    struct frame *head = frame_record(start);

    for (struct frame *frame = head + 1; frame != head + count; frame++) {
        frame->purpose = FRAME_NONE;
    }
    head->count = (uint32_t)count;
    head->order = (uint8_t)log2_floor(count);
}
