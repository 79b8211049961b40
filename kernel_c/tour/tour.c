/* SPDX-License-Identifier: BSD-3-Clause */
#include "tour.h"

#include "lib/console.h"
#include "lukos/frames.h"
#include "parts.h"

static unsigned surprises;

const char *tour_mark(bool right)
{
    surprises += right ? 0 : 1;
    return right ? " " : "!";
}

void tour(void)
{
    size_t free_before = frames_count(FRAME_FREE);
    size_t missing;

    tour_spaces();
    tour_examples();
    missing = free_before - frames_count(FRAME_FREE);
    console_printf("\nframes missing:%s%lu\n", tour_mark(missing == 0 && frames_check()), missing);
    console_printf("surprises: %u\n", surprises);
}
