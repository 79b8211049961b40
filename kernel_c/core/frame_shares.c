/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/bits.h"
#include "lukos/frames.h"
#include "lukos/status.h"

/* References to frames beyond the first, counted in the head of each allocation. */

int frames_share(paddr_t start, size_t count)
{
    struct frame *head = frame_record(start);
    const struct frame *end = head + count;
    const struct frame *at = head;

    do {
        if (at->used == UINT16_MAX) {
            return -EOVERFLOW;
        }
        at += BIT(at->order);
    } while (at < end);
    do {
        head->used++;
        head += BIT(head->order);
    } while (head < end);
    return 0;
}

bool frames_are_shared(paddr_t start, size_t count)
{
    const struct frame *at = frame_of(start);
    const struct frame *end;

    if (at == NULL) {
        return false;
    }
    end = at + count;
    do {
        if (at->purpose == FRAME_PAGE && at->used != 0) {
            return true;
        }
        at += BIT(at->order);
    } while (at < end);
    return false;
}
