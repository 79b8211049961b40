/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/string.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * The compiler must not turn these loops into calls of the functions they make up: GCC needs
 * -fno-tree-loop-distribute-patterns for this file, clang -fno-builtin.
 */

typedef uint64_t __attribute__((may_alias)) word_t;

#define WORD sizeof(word_t)
#define LINE (4 * WORD) /* what one round of the wide loops moves: two LDP, two STP */

static bool word_aligned(const void *at)
{
    return (uintptr_t)at % WORD == 0;
}

static bool aligned_alike(const void *left, const void *right)
{
    return ((uintptr_t)left ^ (uintptr_t)right) % WORD == 0;
}

/* Copy whole words upwards, both sides aligned; return how many bytes that were. */
static size_t copy_words_up(uint8_t *to, const uint8_t *from, size_t count)
{
    word_t *out = (word_t *)(void *)to;
    const word_t *in = (const word_t *)(const void *)from;
    size_t left = count;

    for (; left >= LINE; left -= LINE, out += 4, in += 4) {
        word_t first = in[0], second = in[1], third = in[2], fourth = in[3];

        out[0] = first;
        out[1] = second;
        out[2] = third;
        out[3] = fourth;
    }
    for (; left >= WORD; left -= WORD)
        *out++ = *in++;
    return count - left;
}

/* The same downwards: to and from are the ends. */
static size_t copy_words_down(uint8_t *to, const uint8_t *from, size_t count)
{
    word_t *out = (word_t *)(void *)to;
    const word_t *in = (const word_t *)(const void *)from;
    size_t left = count;

    for (; left >= LINE; left -= LINE) {
        word_t first = in[-1], second = in[-2], third = in[-3], fourth = in[-4];

        out -= 4;
        in -= 4;
        out[3] = first;
        out[2] = second;
        out[1] = third;
        out[0] = fourth;
    }
    for (; left >= WORD; left -= WORD)
        *--out = *--in;
    return count - left;
}

/* Correct for overlapping blocks when `to` is the lower one. */
static void copy_up(uint8_t *to, const uint8_t *from, size_t count)
{
    if (aligned_alike(to, from)) {
        size_t done;

        for (; count > 0 && !word_aligned(to); count--)
            *to++ = *from++;
        done = copy_words_up(to, from, count);
        to += done;
        from += done;
        count -= done;
    }
    while (count-- > 0)
        *to++ = *from++;
}

static void copy_down(uint8_t *to, const uint8_t *from, size_t count)
{
    to += count;
    from += count;
    if (aligned_alike(to, from)) {
        size_t done;

        for (; count > 0 && !word_aligned(to); count--)
            *--to = *--from;
        done = copy_words_down(to, from, count);
        to -= done;
        from -= done;
        count -= done;
    }
    while (count-- > 0)
        *--to = *--from;
}

void *memcpy(void *restrict to, const void *restrict from, size_t count)
{
    copy_up(to, from, count);
    return to;
}

void *memmove(void *to, const void *from, size_t count)
{
    /* Downwards only where `to` lies inside the source: (to - from) wraps when it lies below. */
    if ((uintptr_t)to - (uintptr_t)from >= count)
        copy_up(to, from, count);
    else
        copy_down(to, from, count);
    return to;
}

void *memset(void *to, int byte, size_t count)
{
    uint8_t *out = to;
    word_t pattern = (uint8_t)byte * UINT64_C(0x0101010101010101);

    for (; count > 0 && !word_aligned(out); count--)
        *out++ = (uint8_t)byte;
    for (; count >= LINE; count -= LINE, out += LINE) {
        word_t *word = (word_t *)(void *)out;

        word[0] = pattern;
        word[1] = pattern;
        word[2] = pattern;
        word[3] = pattern;
    }
    for (; count >= WORD; count -= WORD, out += WORD)
        *(word_t *)(void *)out = pattern;
    while (count-- > 0)
        *out++ = (uint8_t)byte;
    return to;
}

/* How many bytes of the two blocks, aligned alike, are certainly the same: up to a word's start. */
static size_t equal_words(const uint8_t *left, const uint8_t *right, size_t count)
{
    size_t done = 0;

    for (; done < count && !word_aligned(left + done); done++) {
        if (left[done] != right[done])
            return done;
    }
    for (; count - done >= WORD; done += WORD) {
        const word_t *one = (const word_t *)(const void *)(left + done);
        const word_t *other = (const word_t *)(const void *)(right + done);

        if (*one != *other)
            break;
    }
    return done;
}

int memcmp(const void *left, const void *right, size_t count)
{
    const uint8_t *one = left, *other = right;
    size_t at = aligned_alike(one, other) ? equal_words(one, other, count) : 0;

    for (; at != count; at++) {
        if (one[at] != other[at])
            return one[at] - other[at];
    }
    return 0;
}

void *memchr(const void *in, int byte, size_t count)
{
    for (const uint8_t *at = in; count > 0; at++, count--) {
        if (*at == (uint8_t)byte)
            return (void *)at;
    }
    return NULL;
}

size_t strlen(const char *text)
{
    return strnlen(text, SIZE_MAX);
}

size_t strnlen(const char *text, size_t limit)
{
    size_t length = 0;

    while (length < limit && text[length] != '\0')
        length++;
    return length;
}

int strcmp(const char *left, const char *right)
{
    return strncmp(left, right, SIZE_MAX);
}

int strncmp(const char *left, const char *right, size_t limit)
{
    for (; limit > 0; left++, right++, limit--) {
        uint8_t one = (uint8_t)*left, other = (uint8_t)*right;

        if (one != other)
            return one - other;
        if (one == 0)
            break;
    }
    return 0;
}

char *strchr(const char *text, int character)
{
    for (;; text++) {
        if (*text == (char)character)
            return (char *)text;
        if (*text == '\0')
            return NULL;
    }
}
