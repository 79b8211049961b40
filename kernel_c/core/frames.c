/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/frames_pool.h"
#include "core/poison.h"
#include "lib/assert.h"
#include "lib/bits.h"

#define MAX_BLOCK ((size_t)1 << FRAME_MAX_ORDER)

struct frame_pool pool;

struct frame_records frame_records;

extern inline struct frame *frame_of(paddr_t pa);
extern inline paddr_t frame_address(const struct frame *frame);

static uint32_t index_of(const struct frame *frame)
{
    return (uint32_t)(frame - frame_records.at);
}

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

/* Make this block the first of its list, with `next` behind it. */
static inline void free_list_put(struct frame *head, unsigned order, uint32_t next)
{
    head->next = next;
    head->prev = NIL;
    pool.free[order] = index_of(head);
    head->purpose = FRAME_FREE;
    head->order = (uint8_t)order;
}

static void free_list_push(struct frame *head, unsigned order)
{
    uint32_t next = pool.free[order];

    free_list_put(head, order, next);
    if (next != NIL) {
        frame_records.at[next].prev = index_of(head);
    }
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
    uint64_t number = frame_records.first + index_of(frame);

    while (count > 0) {
        uint64_t limits = number | BIT(log2_floor(count)) | MAX_BLOCK; /* the lowest bit counts */
        unsigned order = (unsigned)__builtin_ctzll(limits);

        block_release(frame, order);
        frame += BIT(order);
        number += BIT(order);
        count -= BIT(order);
    }
}

/* Take the smallest free block that has this order; what it has more goes to lists that are empty. */
static inline struct frame *block_take(unsigned order)
{
    unsigned from = order;
    struct frame *head;

    while (pool.free[from] == NIL) {
        from++;
    }
    if (from == ORDERS) {
        return NULL;
    }
    head = &frame_records.at[pool.free[from]];
    pool.free[from] = head->next;
    if (head->next != NIL) {
        frame_records.at[head->next].prev = NIL;
    }
    while (from > order) {
        from--;
        free_list_put(head + BIT(from), from, NIL);
    }
    return head;
}

/* More than the largest block: the first run of whole free ones. */
static struct frame *run_take(size_t blocks)
{
    uint64_t start = align_up(frame_records.first, MAX_BLOCK) - frame_records.first;
    size_t found = 0;

    for (uint64_t index = start; index < frame_records.count; index += MAX_BLOCK) {
        const struct frame *head = &frame_records.at[index];
        bool whole = head->purpose == FRAME_FREE && head->order == FRAME_MAX_ORDER;

        found = whole ? found + 1 : 0;
        if (found == blocks) {
            struct frame *first = &frame_records.at[index - (blocks - 1) * MAX_BLOCK];

            for (size_t block = 0; block < blocks; block++) {
                frames_list_remove(first + block * MAX_BLOCK);
            }
            return first;
        }
    }
    return NULL;
}

/* count: of the allocation, in its first block. */
static inline void block_use(struct frame *head, unsigned order, enum frame_purpose purpose,
                             size_t count)
{
    if (LUKOS_DEBUG) {
        poison_check(head, BIT(order));
    }
    head->count = (uint32_t)count;
    head->used = 0;
    head->purpose = (uint8_t)purpose;
    head->order = (uint8_t)order;
}

/* Keep the first count frames of a block in use, free the rest. */
static void block_trim(struct frame *head, unsigned order, size_t count, enum frame_purpose purpose)
{
    while (count < BIT(order)) {
        order--;
        if (count <= BIT(order)) {
            free_list_push(head + BIT(order), order);
            continue;
        }
        block_use(head, order, purpose, 0);
        head += BIT(order);
        count -= BIT(order);
    }
    block_use(head, order, purpose, 0);
}

/* What is not one block: more than the largest one, or a part of one. */
static struct frame *take_trimmed(size_t count, unsigned align_order, enum frame_purpose purpose)
{
    unsigned order = (unsigned)max_size(log2_ceil(count), align_order);
    size_t blocks = (count + MAX_BLOCK - 1) / MAX_BLOCK;
    struct frame *head = blocks > 1 ? run_take(blocks) : block_take(order);

    if (head == NULL) {
        return NULL;
    }
    for (size_t block = 0; block + 1 < blocks; block++) {
        block_use(&head[block * MAX_BLOCK], FRAME_MAX_ORDER, purpose, 0);
    }
    if (blocks > 1) {
        order = FRAME_MAX_ORDER;
    }
    block_trim(head + (blocks - 1) * MAX_BLOCK, order, count - (blocks - 1) * MAX_BLOCK, purpose);
    head->count = (uint32_t)count;
    return head;
}

size_t frames_metadata_size(paddr_t base, paddr_t end)
{
    return align_up((end - base) / PAGE_SIZE * sizeof(struct frame), PAGE_SIZE);
}

void frames_init(paddr_t base, paddr_t end, void *metadata)
{
    frame_records.at = metadata;
    frame_records.first = base / PAGE_SIZE;
    frame_records.count = (uint32_t)((end - base) / PAGE_SIZE);
    for (unsigned order = 0; order < ORDERS; order++) {
        pool.free[order] = NIL;
    }
}

void frames_add(paddr_t start, paddr_t end)
{
    struct frame *frame = frame_of(start);
    uint64_t number = start / PAGE_SIZE;
    uint64_t last = end / PAGE_SIZE;

    ASSERT(frame != NULL && frame_of(end - PAGE_SIZE) != NULL);
    lock_acquire(&pool.lock);
    pool.by_purpose[FRAME_NONE] += last - number;
    frames_range_release(frame, last - number);
    lock_release(&pool.lock);
}

/* Let go of the pool, which these frames have been taken from; their address. */
static inline paddr_t taken(struct frame *head, size_t count, enum frame_purpose purpose)
{
    paddr_t pa = 0;

    if (head != NULL) {
        pool.by_purpose[purpose] += count;
        pa = frame_address(head);
    }
    lock_release(&pool.lock);
    return pa;
}

static __attribute__((noinline)) paddr_t alloc_trimmed(size_t count, unsigned align_order,
                                                       enum frame_purpose purpose)
{
    if (count - 1 >= frame_records.count || align_order > FRAME_MAX_ORDER) {
        return 0;
    }
    lock_acquire(&pool.lock);
    return taken(take_trimmed(count, align_order, purpose), count, purpose);
}

__attribute__((noinline)) paddr_t frames_alloc(size_t count, unsigned align_order,
                                               enum frame_purpose purpose)
{
    struct frame *head;

    if (align_order > FRAME_MAX_ORDER || count != BIT(align_order)) {
        return alloc_trimmed(count, align_order, purpose);
    }
    lock_acquire(&pool.lock);
    head = block_take(align_order);
    if (head != NULL) {
        block_use(head, align_order, purpose, count);
    }
    return taken(head, count, purpose);
}

/* What is wrong with releasing [head, head + count); NULL: nothing is. */
static const char *release_fault(const struct frame *head, size_t count)
{
    if (head == NULL || count == 0 || count > frame_records.count - index_of(head)) {
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
    if (head->count != count) {
        return head->count > count ? "shorter than the allocation" : "longer than the allocation";
    }
    return NULL;
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
    struct frame *head = is_aligned(start, PAGE_SIZE) ? frame_of(start) : NULL;
    enum frame_purpose purpose;
    const char *fault;

    lock_acquire(&pool.lock);
    fault = release_fault(head, count);
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
    struct frame *head = frame_of(start);
    uint8_t purpose = head->purpose;
    uint16_t used = head->used;

    for (struct frame *frame = head; frame < head + count; frame += BIT(order)) {
        frame->count = (uint32_t)BIT(order);
        frame->used = used;
        frame->purpose = purpose;
        frame->order = (uint8_t)order;
    }
}

void frames_join(paddr_t start, size_t count)
{
    struct frame *head = frame_of(start);

    for (struct frame *frame = head + 1; frame < head + count; frame++) {
        frame->purpose = FRAME_NONE;
    }
    head->count = (uint32_t)count;
    head->order = (uint8_t)log2_floor(count);
}

void frames_span(paddr_t *start, paddr_t *end)
{
    *start = frame_records.first * PAGE_SIZE;
    *end = (frame_records.first + frame_records.count) * PAGE_SIZE;
}

size_t frames_count(enum frame_purpose purpose)
{
    size_t others = 0;

    if (purpose != FRAME_FREE) {
        return pool.by_purpose[purpose];
    }
    for (unsigned other = FRAME_FREE + 1; other < FRAME_PURPOSES; other++) {
        others += pool.by_purpose[other];
    }
    return pool.by_purpose[FRAME_NONE] - others;
}

/* A free list is whole when each block on it is marked so, linked both ways and aligned. */
static bool free_list_check(unsigned order, size_t *frames)
{
    uint32_t prev = NIL;

    for (uint32_t index = pool.free[order]; index != NIL; index = frame_records.at[index].next) {
        const struct frame *head = &frame_records.at[index];

        if (head->purpose != FRAME_FREE || head->order != order || head->prev != prev ||
            !is_aligned(frame_records.first + index, BIT(order))) {
            return false;
        }
        *frames += BIT(order);
        prev = index;
    }
    return true;
}

/* Only the start of an allocation counts; what is shared is one allocation for one leaf. */
static bool used_check(const struct frame *head)
{
    if (head->purpose == FRAME_FREE || head->count == 0) {
        return true;
    }
    if (head->purpose == FRAME_PAGE) {
        return head->used == 0 || head->count == BIT(head->order);
    }
    return head->purpose == FRAME_TABLE || head->used == 0;
}

bool frames_check(void)
{
    size_t listed = 0;
    size_t counted[FRAME_PURPOSES] = {0};
    uint32_t index = 0;

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
