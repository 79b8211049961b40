/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One function for each way that AAPCS64 passes something. */

enum colour { RED, GREEN = 5, BLUE = -3 };
struct pair {
    int32_t first;
    int32_t second;
};
struct clash {
    uint64_t address;
    int type;
};
struct two {
    uint64_t low;
    uint64_t high;
};
struct big {
    uint64_t words[5];
    enum colour colour;
    bool flag;
    unsigned int bits : 3;
    int signed_bits : 4;
    struct pair inner;
    struct big *next;
    const char *name;
};
union either {
    uint32_t number;
    uint8_t bytes[4];
};

int64_t add_narrow(int8_t a, uint8_t b, int16_t c, uint16_t d, int32_t e, uint32_t f, int64_t g,
                   uint64_t h)
{
    return (int64_t)((uint64_t)a + b + (uint64_t)c + d + (uint64_t)e + f + (uint64_t)g + h);
}

uint64_t tenth(int a, int b, int c, int d, int e, int f, int g, int h, uint8_t ninth, uint64_t last)
{
    (void)a, (void)b, (void)c, (void)d, (void)e, (void)f, (void)g, (void)h;
    return ninth * 1000u + last;
}

struct clash clash(uint64_t address)
{
    return (struct clash){address, 3};
}

struct pair swap(struct pair pair)
{
    return (struct pair){pair.second, pair.first};
}

struct two swap_two(int ignored, struct two two)
{
    return (struct two){two.high, two.low + (uint64_t)ignored};
}

struct big make_big(struct big from, uint64_t add)
{
    for (int i = 0; i < 5; i++) {
        from.words[i] += add;
    }
    from.inner.first++;
    return from;
}

void fill(struct big *big, enum colour colour)
{
    big->words[2] = 42;
    big->colour = colour;
    big->flag = true;
    big->bits = 6;
    big->signed_bits = -2;
    big->next = big;
}

enum colour next_colour(enum colour colour)
{
    return colour == RED ? GREEN : BLUE;
}

bool is_odd(bool a, uint32_t n)
{
    return a && (n & 1) != 0;
}

size_t length(const char *text)
{
    size_t n = 0;
    while (text[n] != '\0') {
        n++;
    }
    return n;
}

const char *greeting(void)
{
    return "hello";
}

void reverse(uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size / 2; i++) {
        uint8_t byte = bytes[i];
        bytes[i] = bytes[size - 1 - i];
        bytes[size - 1 - i] = byte;
    }
}

int64_t sum(int count, ...)
{
    int64_t total = 0;
    va_list arguments;
    va_start(arguments, count);
    while (count-- > 0) {
        total += va_arg(arguments, int64_t);
    }
    va_end(arguments);
    return total;
}

uint64_t apply(uint64_t (*function)(uint64_t), uint64_t value)
{
    return function(value);
}

uint64_t twice(uint64_t value)
{
    return value * 2;
}

uint32_t number_of(union either either)
{
    return either.number;
}

__attribute__((noinline)) uint64_t fault_at(volatile uint64_t *address)
{
    return *address;
}

uint64_t outer_fault(uint64_t address)
{
    return fault_at((volatile uint64_t *)address) + 1;
}

void loop(void)
{
    for (;;) {
        __asm__ volatile("");
    }
}

__attribute__((noinline)) void die(const char *format, ...)
{
    __asm__ volatile("" : : "r"(format));
    for (;;) {
        __asm__ volatile("wfi");
    }
}

void check(uint32_t value)
{
    if (value > 10) {
        die("value %u of %s is %#lx, 100%%", value, "check", (uint64_t)value << 32);
    }
}

struct big global_big = {.colour = GREEN, .inner = {1, 2}};
int counter = 7;
#define ANSWER (40 + 2)

/* Takes the address of everything, so that nothing is thrown away. */
void *const keep[] = {
    (void *)clash,       (void *)add_narrow,  (void *)tenth,    (void *)swap,
    (void *)swap_two,    (void *)make_big,    (void *)fill,     (void *)is_odd,
    (void *)next_colour, (void *)length,      (void *)greeting, (void *)reverse,
    (void *)sum,         (void *)apply,       (void *)twice,    (void *)number_of,
    (void *)fault_at,    (void *)outer_fault, (void *)loop,     (void *)check,
    (void *)&global_big,
};

void *memcpy(void *to, const void *from, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        ((volatile char *)to)[i] = ((const char *)from)[i];
    }
    return to;
}

void start(void);
void start(void)
{
    counter++;
}
