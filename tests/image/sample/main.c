// SPDX-License-Identifier: BSD-3-Clause
#include "sample.h"
#define ONLY_IN_MAIN 41

struct holder the_holder;
static volatile unsigned char counter;
const pair_t *const pairs[4];
extern char linker_made[];
enum signed_one signed_one = MINUS;
volatile uint64_t sink;

struct opaque *hidden;

static ATTRIBUTE int quiet(int value)
{
    counter++;
    return value * 3 + counter;
}

static inline int twice(struct holder *holder, int value)
{
    holder->number = quiet(value); // line of the inlined body
    return 2 * holder->number;
}

static inline int wrapped(struct holder *holder, int value)
{
    if (holder->ready)
        value = twice(holder, value + 1); // call within a call
    return value;
}

int outer(struct holder *holder, unsigned count)
{
    int sum = 0;
    for (unsigned i = 0; i < count; i++)
        sum += wrapped(holder, (int)i); // the inlined call
    return sum;
}

ATTRIBUTE int64_t deep(struct holder *holder, int64_t depth)
{
    volatile int64_t frame[4] = {depth};
    if (depth == 0) {
        nothing(); // the deepest call
        return sink;
    }
    return deep(holder->next, depth - 1) + frame[0];
}

ATTRIBUTE void nothing(void)
{
    sink++;
}

ATTRIBUTE int variadic(const char *format, ...)
{
    return format[0];
}

ATTRIBUTE pair_t by_value(pair_t pair, prop_t prop)
{
    pair.a += prop;
    return pair;
}

void vector(void);

ATTRIBUTE void handle(uint64_t *saved)
{
    sink += saved[0];
    nothing();
    sink++;
}

void _start(void)
{
    words_t words = (words_t)&sink;
    *words = PAGE_SIZE;
    nothing();
    assembled(1, hidden);
    sink += outer(&the_holder, 3) + deep(&the_holder, 2) + variadic("x") + pairs[0]->a;
    by_value(*pairs[1], PROP_RW);
    other(hidden, NULL);
    vector();
    sink += signed_one + (uintptr_t)linker_made;
    for (;;)
        ;
}
