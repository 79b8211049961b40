// SPDX-License-Identifier: BSD-3-Clause
// Shares the header with main.c and a static name with it, so that units repeat definitions.
#include "sample.h"
#define ONLY_IN_OTHER (ONLY_BELOW + 1)
#define ONLY_BELOW 6
#undef PAGE_SHIFT
#define PAGE_SHIFT 12

struct opaque {
    int secret;
};

int other_value;
extern volatile uint64_t sink;

static ATTRIBUTE long quiet(struct opaque *opaque, pair_t *pair)
{
    return sink + opaque->secret + pair->a;
}

long other(struct opaque *opaque, pair_t *pair)
{
    other_value = MAX_OF(ONLY_IN_OTHER, 2);
    return quiet(opaque, pair) + 1;
}
