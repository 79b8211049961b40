/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/assert.h"
#include "lib/bits.h"
#include "lukos/frames.h"

/* In the head of a run: prev is its length in frames, next the number of the next run's head. */

static __attribute__((noinline)) struct frame *head_of(uint32_t number)
{
    return frame_record((paddr_t)number << PAGE_SHIFT);
}

void frame_runs_add(struct frame_runs *runs, paddr_t start, size_t count)
{
    struct frame *head = frame_record(start);

    if (runs->last != NULL && head == runs->last + runs->last->prev) {
        runs->last->prev += (uint32_t)count;
        return;
    }
    head->prev = (uint32_t)count;
    head->next = 0;
    if (runs->last == NULL) {
        runs->first = head;
    } else {
        runs->last->next = (uint32_t)(start >> PAGE_SHIFT);
    }
    runs->last = head;
}

/* A frame that frames_free_pages() stopped at, to be counted if it is FRAME_PAGE; the next one. */
static struct frame *pass(struct frame *head, size_t *count)
{
    if (head->purpose == FRAME_FREE) {
        panic("release of 0x%lx: double free", frame_address(head));
    }
    if (head->purpose != FRAME_PAGE) {
        return head + 1;
    }
    __atomic_fetch_sub(&head->used, 1, __ATOMIC_ACQ_REL);
    *count += BIT(head->order);
    return head + BIT(head->order);
}

/* What is left of a run from the first frame on that frames_free_pages() stopped at. */
static __attribute__((noinline)) size_t rest_release(struct frame *head, const struct frame *end)
{
    size_t count = 0;

    while (head < end) {
        struct frame *stop = frames_free_pages(head, end);

        count += (size_t)(stop - head);
        head = stop == head ? pass(head, &count) : stop;
    }
    return count;
}

static inline size_t run_release(struct frame *head, const struct frame *end)
{
    struct frame *stop = frames_free_pages(head, end);
    size_t count = (size_t)(stop - head);

    return stop == end ? count : count + rest_release(stop, end);
}

size_t frame_runs_release(struct frame_runs *runs)
{
    struct frame *head = runs->first;
    size_t count = 0;

    *runs = (struct frame_runs){NULL, NULL};
    while (head != NULL) {
        uint32_t next = head->next;

        count += run_release(head, head + head->prev);
        head = next == 0 ? NULL : head_of(next);
    }
    return count;
}
