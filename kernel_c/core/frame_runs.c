/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/assert.h"
#include "lukos/frames.h"

/* In the head of a run: prev is its length in frames, next the number of the next run's head. */

static struct frame *next_run(const struct frame *head)
{
    return head->next == 0 ? NULL : frame_of((paddr_t)head->next << PAGE_SHIFT);
}

void frame_runs_add(struct frame_runs *runs, paddr_t start, size_t count)
{
    struct frame *head = frame_of(start);

    ASSERT(head != NULL);
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

/* The part of [head, end) up to the next block that somebody else refers to as well. */
static struct frame *unshared(struct frame *head, const struct frame *end)
{
    while (head < end && head->used == 0) {
        head += (size_t)1 << head->order;
    }
    return head;
}

static void run_release(struct frame *head, struct frame *end)
{
    while (head < end) {
        struct frame *stop = unshared(head, end);

        if (stop > head) {
            frames_free_pages(head, (size_t)(stop - head));
        }
        if (stop < end) {
            __atomic_fetch_sub(&stop->used, 1, __ATOMIC_ACQ_REL);
            stop->prev = 1U << stop->order;
            stop += stop->prev;
        }
        head = stop;
    }
}

size_t frame_runs_release(struct frame_runs *runs)
{
    struct frame *head = runs->first;
    size_t count = 0;

    while (head != NULL) {
        struct frame *next = next_run(head);

        count += head->prev;
        run_release(head, head + head->prev);
        head = next;
    }
    *runs = (struct frame_runs){NULL, NULL};
    return count;
}
