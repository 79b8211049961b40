/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIB_BITS_H
#define LIB_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BIT(n) (UINT64_C(1) << (n))

/* Bits high..low of a 64-bit word, both included, as the Arm ARM writes <high:low>. */
#define MASK(high, low) ((UINT64_MAX >> (63 - (high))) & (UINT64_MAX << (low)))

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

/* The structure whose member this pointer points to. */
#define container_of(pointer, type, member) \
    ((type *)(void *)((char *)(pointer) - offsetof(type, member)))

/* boundary, here and below: a power of two. */
static inline uint64_t align_down(uint64_t value, uint64_t boundary)
{
    return value & ~(boundary - 1);
}

/* Wraps to 0 when the next multiple of boundary is 2^64. */
static inline uint64_t align_up(uint64_t value, uint64_t boundary)
{
    return align_down(value + (boundary - 1), boundary);
}

static inline bool is_aligned(uint64_t value, uint64_t boundary)
{
    return (value & (boundary - 1)) == 0;
}

/* False for 0. */
static inline bool is_power_of_two(uint64_t value)
{
    return value != 0 && (value & (value - 1)) == 0;
}

/* The largest n with 2^n <= value. value: not 0. */
static inline unsigned log2_floor(uint64_t value)
{
    return 63u - (unsigned)__builtin_clzll(value);
}

/* The smallest n with 2^n >= value: 0 for 1; 64 above 2^63. value: not 0. */
static inline unsigned log2_ceil(uint64_t value)
{
    return value == 1 ? 0 : 1 + log2_floor(value - 1);
}

/* The field of value that mask, one run of ones, selects; shifted down to bit 0. */
static inline uint64_t field_get(uint64_t mask, uint64_t value)
{
    return (value & mask) / (mask & -mask);
}

/* field in the place that mask selects. Bits that do not fit are cut off. */
static inline uint64_t field_prep(uint64_t mask, uint64_t field)
{
    return (field * (mask & -mask)) & mask;
}

/* word with the field that mask selects replaced. */
static inline uint64_t field_set(uint64_t mask, uint64_t word, uint64_t field)
{
    return (word & ~mask) | field_prep(mask, field);
}

static inline uint64_t min_u64(uint64_t left, uint64_t right)
{
    return left < right ? left : right;
}

static inline uint64_t max_u64(uint64_t left, uint64_t right)
{
    return left > right ? left : right;
}

static inline size_t min_size(size_t left, size_t right)
{
    return left < right ? left : right;
}

static inline size_t max_size(size_t left, size_t right)
{
    return left > right ? left : right;
}

#endif
