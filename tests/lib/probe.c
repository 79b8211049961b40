/* SPDX-License-Identifier: BSD-3-Clause */

/* What the tests need in the guest beside kernel_c/lib: headers' inline functions, a panic. */

#include "lib/assert.h"
#include "lib/bits.h"
#include "lib/list.h"

#define PROBE(type, name, parameters, ...) \
    type probe_##name parameters;          \
    type probe_##name parameters           \
    {                                      \
        return __VA_ARGS__;                \
    }

PROBE(uint64_t, align_up, (uint64_t value, uint64_t boundary), align_up(value, boundary))
PROBE(uint64_t, align_down, (uint64_t value, uint64_t boundary), align_down(value, boundary))
PROBE(uint64_t, is_aligned, (uint64_t value, uint64_t boundary), is_aligned(value, boundary))
PROBE(uint64_t, is_power_of_two, (uint64_t value), is_power_of_two(value))
PROBE(uint64_t, log2_floor, (uint64_t value), log2_floor(value))
PROBE(uint64_t, log2_ceil, (uint64_t value), log2_ceil(value))
PROBE(uint64_t, bit, (uint64_t n), BIT(n))
PROBE(uint64_t, mask, (uint64_t high, uint64_t low), MASK(high, low))
PROBE(uint64_t, field_get, (uint64_t mask, uint64_t value), field_get(mask, value))
PROBE(uint64_t, field_set, (uint64_t mask, uint64_t word, uint64_t field),
      field_set(mask, word, field))
PROBE(uint64_t, list_empty, (const struct list *list), list_empty(list))

#define PROBE_VOID(name, parameters, ...) \
    void probe_##name parameters;         \
    void probe_##name parameters          \
    {                                     \
        __VA_ARGS__;                      \
    }

PROBE_VOID(list_init, (struct list * list), list_init(list))
PROBE_VOID(list_push_front, (struct list * list, struct list *links), list_push_front(list, links))
PROBE_VOID(list_push_back, (struct list * list, struct list *links), list_push_back(list, links))
PROBE_VOID(list_remove, (struct list * links), list_remove(links))

/* Write the address of each element to out, removing it where bit i of removed is set. */
size_t probe_list_walk(struct list *list, struct list **out, uint64_t removed);
size_t probe_list_walk(struct list *list, struct list **out, uint64_t removed)
{
    size_t count = 0;

    list_for_each_safe(at, list)
    {
        if ((removed >> count & 1) != 0)
            list_remove(at);
        out[count++] = at;
    }
    return count;
}

/* The tests stop at this symbol. */
void panic(const char *format, ...)
{
    (void)format;
    for (;;)
        __asm__ volatile("brk #0");
}
