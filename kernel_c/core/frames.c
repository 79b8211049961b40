/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/frames_pool.h"
#include "core/poison.h"
#include "lib/assert.h"
#include "lib/bits.h"

/* The pool, and allocation. */

struct frame_pool pool;

struct frame_records frame_records;

extern inline struct frame *frame_record(paddr_t pa);
extern inline struct frame *frame_of(paddr_t pa);
extern inline paddr_t frame_address(const struct frame *frame);

/* Take the smallest free block that has this order; what it has more goes to lists that are empty. */
static inline struct frame *block_take(unsigned order)
{
    unsigned from = order;
    struct frame *head;

    while (pool.free[from] == NULL) {
        from++;
        if (from > ORDERS) {
            __builtin_unreachable(); /* the last one is not NULL */
        }
    }
    if (from == ORDERS) {
        return NULL;
    }
    head = pool.free[from];
    pool.free[from] = frame_at(head->next);
    if (pool.free[from] != NULL) {
        pool.free[from]->prev = NIL;
    }
    while (from > order) {
        from--;
        free_list_put(head + BIT(from), from, NIL);
    }
    return head;
}

/* The next single frame for a purpose. NULL: there is no block for it at the moment. */
static inline struct frame *single_take(enum frame_purpose purpose)
{
    struct singles *run = &pool.singles[purpose];

    if (pool.free[0] != NULL) {
        return block_take(0);
    }
    return run->next == run->end ? NULL : run->next++;
}

/* The first of another block for them: the largest of less than 2M, or else one of 2M. */
static struct frame *singles_open(enum frame_purpose purpose)
{
    unsigned order = SINGLES_ORDER - 1;
    struct frame *head;

    while (order > 0 && pool.free[order] == NULL) {
        order--;
    }
    order = order > 0 ? order : SINGLES_ORDER;
    head = block_take(order);
    if (head != NULL) {
        pool.singles[purpose] = (struct singles){head + 1, head + BIT(order)};
    }
    return head;
}

/* A block, if need be of what single frames are taken of. */
static __attribute__((noinline)) struct frame *block_take_merged(unsigned order)
{
    struct frame *head;

    do {
        head = block_take(order);
    } while (head == NULL && frames_singles_release());
    return head;
}

/* More than the largest block: the first run of whole free ones. */
static struct frame *run_take(size_t blocks)
{
    uint64_t start = align_up(frame_records.first, MAX_BLOCK) - frame_records.first;
    size_t found = 0;

    frames_singles_release();
    for (uint64_t index = start; index + MAX_BLOCK <= frame_records.count; index += MAX_BLOCK) {
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
    struct frame *head = blocks == 1 ? block_take_merged(order) : run_take(blocks);

    if (head == NULL) {
        return NULL;
    }
    for (size_t block = 0; block + 1 < blocks; block++) {
        block_use(&head[block * MAX_BLOCK], FRAME_MAX_ORDER, purpose, 0);
    }
    if (blocks != 1) {
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
        pool.free[order] = NULL;
    }
    pool.free[ORDERS] = frame_records.at;
    for (unsigned purpose = 0; purpose < FRAME_PURPOSES; purpose++) {
        pool.singles[purpose] = (struct singles){NULL, NULL};
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

/* Such a block is not to be had at once. The pool's lock is held, and released here. */
static __attribute__((noinline)) paddr_t alloc_slowly(size_t count, unsigned order,
                                                      enum frame_purpose purpose)
{
    struct frame *head = order == 0 ? singles_open(purpose) : NULL;

    if (head == NULL) {
        head = block_take_merged(order);
    }
    if (head != NULL) {
        block_use(head, order, purpose, count);
    }
    return taken(head, count, purpose);
}

__attribute__((noinline)) paddr_t frames_alloc(size_t count, unsigned align_order,
                                               enum frame_purpose purpose)
{
    struct frame *head;

    if (align_order > FRAME_MAX_ORDER || count != BIT(align_order)) {
        return alloc_trimmed(count, align_order, purpose);
    }
    lock_acquire(&pool.lock);
    head = align_order == 0 ? single_take(purpose) : block_take(align_order);
    if (head == NULL) {
        return alloc_slowly(count, align_order, purpose);
    }
    block_use(head, align_order, purpose, count);
    return taken(head, count, purpose);
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
