// SPDX-License-Identifier: BSD-3-Clause
// One of everything that C headers of a kernel have.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define _AC(x, suffix) x##suffix
#define UL(x) _AC(x, UL)
#define BIT(n) (UL(1) << (n))
#define PAGE_SHIFT 12
#define PAGE_SIZE BIT(PAGE_SHIFT)
#define PAGE_MASK (~(PAGE_SIZE - 1))
#define ALL_ONES ((uint64_t)-1)
#define TRUNCATED ((uint8_t)0x1ff)
#define NEGATIVE (-3)
#define COMPARED (-1 < 1U)
#define CHOSEN (PAGE_SHIFT == 12 ? 'A' : '\n')
#define LETTERS \
    "lukos"     \
    " vmm"
#define HOLDER_SIZE sizeof(struct holder)
#define POINTER_SIZE sizeof(void *)
#define COLOUR_PLUS (BLUE + 1)
#define ATTRIBUTE __attribute__((noinline))
#define SELF SELF
#define DIVIDED (1 / 0)
#define TEXT_OF(x) #x
#define QUOTED TEXT_OF(a + "b")
#define MAX_OF(a, b) ((a) > (b) ? (a) : (b))
#define LARGEST MAX_OF(MAX_OF(1, 5), 3)

enum colour { RED, GREEN = 5, BLUE };
enum signed_one { MINUS = -2, PLUS = 2 };
typedef enum { PROP_RO = 1, PROP_RW } prop_t;

struct holder;
typedef int (*callback_t)(struct holder *, const char *);

struct holder {
    uint64_t id;
    uint32_t low : 3, middle : 12, : 0, high : 7;
    struct holder *next;
    char name[5];
    bool ready;
    union {
        int number;
        struct {
            uint16_t left;
            uint16_t right : 4, top : 12;
        };
    };
    enum colour colour;
    callback_t call;
    uint8_t grid[2][3];
    uint8_t tail[];
};

struct opaque;
typedef struct {
    uint32_t a, b;
} pair_t;
typedef uint64_t *restrict words_t;

int outer(struct holder *holder, unsigned count);
int64_t deep(struct holder *holder, int64_t depth);
int variadic(const char *format, ...);
pair_t by_value(pair_t pair, prop_t prop);
long other(struct opaque *opaque, pair_t *pair);
void nothing(void);
void handle(uint64_t *saved);
void assembled(uint64_t value, struct opaque *opaque);
