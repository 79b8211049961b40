/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/bits.h"
#include "lukos/frames.h"
#include "lukos/status.h"

/* References to frames beyond the first, counted in the head of each allocation. */

int frames_share(paddr_t start, size_t count)
{
    struct frame *head = frame_record(start);
    const struct frame *end = head + count;

    for (const struct frame *at = head; at < end; at += BIT(at->order)) {
        if (at->used == UINT16_MAX) {
            return -EOVERFLOW;
        }
    }
    for (struct frame *at = head; at < end; at += BIT(at->order)) {
        at->used++;
    }
    return 0;
}

bool frames_are_shared(paddr_t start, size_t count)
{
    const struct frame *head = frame_of(start);

    if (head == NULL) {
        return false;
    }
    for (const struct frame *at = head; at < head + count; at += BIT(at->order)) {
        if (at->purpose == FRAME_PAGE && at->used != 0) {
            return true;
        }
    }
    return false;
}
