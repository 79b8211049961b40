/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdint.h>

/*
 * A kernel that is not ours: 64K pages, 48 bits, everything in TTBR0, nothing in TTBR1. It runs where
 * it is loaded; pages at WINDOW are for its callers.
 *
 *   VA  47:42 level 1   41:29 level 2   28:16 level 3
 *
 * map(), unmap() and release() are right. remap(), unmap_unshifted() and release_early() are not.
 */
#define PAGE 0x10000ul
#define WINDOW 0x100000000ul
#define TABLE 3ul
#define ADDRESS 0xFFFFFFFFF000ul
#define PAGE_RW (3ul | 3ul << 8 | 1ul << 10 | 1ul << 53 | 1ul << 54)
#define PAGE_RX (3ul | 3ul << 8 | 1ul << 10 | 1ul << 7 | 1ul << 54)
#define TCR (16ul | 3ul << 12 | 1ul << 14 | 1ul << 23 | 2ul << 32 | 1ul << 36)

typedef volatile uint64_t table_t[8192] __attribute__((aligned(0x10000)));

static volatile uint64_t level1[64] __attribute__((aligned(512)));
static table_t level2, kernel_pages, window_pages;

/* From the linker script. */
extern char data_start[], end[];

void start(void);
void map(uint64_t va, uint64_t pa);
void unmap(uint64_t va);
void release(void);
void remap(uint64_t va, uint64_t pa);
void unmap_unshifted(uint64_t va);
void release_early(void);
uint64_t peek(uint64_t va);
void remap_and_fail(uint64_t va, uint64_t pa, uint64_t how);
void die(const char *why);
void give_up(uint64_t va);
void fill(uint64_t va, const uint64_t *values, uint64_t count);
void move_block(uint64_t va, uint64_t pa);
void move_block_at_once(uint64_t va, uint64_t pa);

static volatile uint64_t *entry(uint64_t va)
{
    return &window_pages[va >> 16 & 8191];
}

static void invalidate(uint64_t operand)
{
    __asm__ volatile("dsb ishst\n\ttlbi vaae1is, %0\n\tdsb ish\n\tisb" : : "r"(operand) : "memory");
}

static void publish(void)
{
    __asm__ volatile("dsb ishst\n\tisb" : : : "memory");
}

void map(uint64_t va, uint64_t pa)
{
    *entry(va) = pa | PAGE_RW;
    publish();
}

void unmap(uint64_t va)
{
    *entry(va) = 0;
    invalidate(va >> 12);
}

void release(void)
{
    level2[WINDOW >> 29 & 8191] = 0;
    invalidate(WINDOW >> 12);
    window_pages[1] = ~0ul;
}

/* Defect 1: no break before make. */
void remap(uint64_t va, uint64_t pa)
{
    *entry(va) = pa | PAGE_RW;
    invalidate(va >> 12);
}

/* Defect 2: the operand is a page number. */
__attribute__((noinline)) void unmap_unshifted(uint64_t va)
{
    *entry(va) = 0;
    invalidate(va);
}

/* Defect 3: the table is used for something else before the TLBI is complete. */
void release_early(void)
{
    level2[WINDOW >> 29 & 8191] = 0;
    __asm__ volatile("dsb ishst\n\ttlbi vaae1is, %0" : : "r"(WINDOW >> 12) : "memory");
    window_pages[1] = ~0ul;
    __asm__ volatile("dsb ish\n\tisb" : : : "memory");
}

__attribute__((noinline)) uint64_t peek(uint64_t va)
{
    return *(volatile uint64_t *)va;
}

__attribute__((noinline)) void die(const char *why)
{
    for (;;) {
        __asm__ volatile("" : : "r"(why));
    }
}

/* Defect 2 by way of another function. */
void give_up(uint64_t va)
{
    unmap_unshifted(va);
    peek((uint64_t)level1);
    publish();
}

/* One store instruction for any number of entries. */
void fill(uint64_t va, const uint64_t *values, uint64_t count)
{
    for (uint64_t at = 0; at < count; at++) {
        *entry(va + at * PAGE) = values[at];
    }
}

/* The entry of a 2M block in whatever tables of 4K pages and 48 bits are in use. */
static volatile uint64_t *live_block(uint64_t va)
{
    uint64_t table;
    __asm__ volatile("mrs %0, ttbr0_el1" : "=r"(table));
    for (unsigned shift = 39; shift > 21; shift -= 9) {
        table = ((volatile uint64_t *)(table & ADDRESS))[va >> shift & 511];
    }
    return (volatile uint64_t *)(table & ADDRESS) + (va >> 21 & 511);
}

void move_block(uint64_t va, uint64_t pa)
{
    volatile uint64_t *live = live_block(va);
    uint64_t attributes = *live & ~ADDRESS;

    *live = 0;
    invalidate(va >> 12);
    *live = pa | attributes;
    publish();
}

/* Defect 1 in the tables of others. */
void move_block_at_once(uint64_t va, uint64_t pa)
{
    volatile uint64_t *live = live_block(va);

    *live = pa | (*live & ~ADDRESS);
    invalidate(va >> 12);
}

/* Defect 1 on the way to a failure of another kind: a panic, an abort, a loop. */
void remap_and_fail(uint64_t va, uint64_t pa, uint64_t how)
{
    map(va, pa + PAGE);
    remap(va, pa);
    if (how == 0) {
        die("for good reasons");
    } else if (how == 1) {
        peek(WINDOW - 8);
    }
    for (;;) {
    }
}

void start(void)
{
    uint64_t first = (uint64_t)start & -PAGE;

    for (uint64_t pa = first; pa < (uint64_t)end; pa += PAGE) {
        kernel_pages[pa >> 16 & 8191] = pa | (pa < (uint64_t)data_start ? PAGE_RX : PAGE_RW);
    }
    level2[first >> 29 & 8191] = (uint64_t)kernel_pages | TABLE;
    level2[WINDOW >> 29 & 8191] = (uint64_t)window_pages | TABLE;
    level1[0] = (uint64_t)level2 | TABLE;
    __asm__ volatile("dsb sy\n\tmsr mair_el1, %0\n\tmsr tcr_el1, %1\n\tmsr ttbr0_el1, %2\n\tisb\n\t"
                     "tlbi vmalle1\n\tdsb nsh\n\tisb"
                     :
                     : "r"(0xFFul), "r"(TCR), "r"(level1)
                     : "memory");
    uint64_t sctlr;
    __asm__ volatile("mrs %0, sctlr_el1" : "=r"(sctlr));
    __asm__ volatile("msr sctlr_el1, %0\n\tisb" : : "r"(sctlr | 1) : "memory");
}

void *const keep[] = {
    (void *)map,   (void *)unmap,           (void *)release,
    (void *)remap, (void *)unmap_unshifted, (void *)release_early,
    (void *)peek,  (void *)remap_and_fail,  (void *)give_up,
    (void *)fill,  (void *)move_block,      (void *)move_block_at_once,
};
