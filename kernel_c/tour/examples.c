/* SPDX-License-Identifier: BSD-3-Clause */
#include "examples/examples.h"

#include "examples/numbers.h"
#include "lib/bits.h"
#include "lib/console.h"
#include "lukos/status.h"
#include "lukos/vmm.h"
#include "parts.h"
#include <uk/nofault.h>

#define M ((__sz)1 << 20)
#define SIZE (4 * M)
#define INITRD 0x1800000000UL
#define HEAP 0x2000000000UL
#define OTHER_HEAP 0x3000000000UL
#define BOOK 0x4000000000UL
#define RING_PAGES 4

static struct uk_vas *vas;

/* ---- what there is ---- */

/* Bytes of the range that are mapped. */
static __sz present(__vaddr_t vaddr, __sz len)
{
    __vaddr_t end = vaddr + len;
    __sz found = 0;

    do {
        unsigned level = PAGE_LEVEL;
        __pte_t pte = 0;

        (void)ukplat_pt_walk(vas->pt, vaddr, &level, NULL, &pte);
        found += PT_Lx_PTE_PRESENT(pte, level) ? PAGE_Lx_SIZE(level) : 0;
        vaddr = PAGE_Lx_ALIGN_DOWN(vaddr, level) + PAGE_Lx_SIZE(level);
    } while (vaddr < end);
    return found;
}

static bool put(__vaddr_t vaddr, uint64_t value)
{
    return uk_nofault_try_write(value, vaddr);
}

static bool holds(__vaddr_t vaddr, uint64_t value)
{
    uint64_t found;

    return uk_nofault_try_read(found, vaddr) && found == value;
}

static bool is_one_vma(__vaddr_t vaddr, __sz len, const struct uk_vma_ops *ops)
{
    const struct uk_vma *vma = uk_vma_find(vas, vaddr);

    return vma != NULL && vma->start == vaddr && vma->end == vaddr + len && vma->ops == ops;
}

static void title(const char *number, const char *what)
{
    console_printf("  %-3s%-28s", number, what);
}

static void say(bool right, const char *what)
{
    console_printf("%s%s\n", tour_mark(right), what);
}

/* ---- the examples ---- */

static void try_anonymous(void)
{
    __vaddr_t vaddr = example1(SIZE);
    bool lazy = present(vaddr, SIZE) == 0;
    bool works = holds(vaddr, 0) && put(vaddr + SIZE - 8, 1);

    title("1", "memory on demand");
    say(is_one_vma(vaddr, SIZE, &uk_vma_anon_ops) && lazy && works &&
            present(vaddr, SIZE) == 2 * PAGE_SIZE,
        "nothing is present, then the two pages that were touched");
}

/* The memory of example 1's last page, seen at a second address. */
static void try_physical(void)
{
    unsigned level = PAGE_LEVEL;
    __pte_t pte = 0;
    __paddr_t paddr;
    __vaddr_t vaddr;

    (void)ukplat_pt_walk(vas->pt, vas->vma_base + SIZE - PAGE_SIZE, &level, NULL, &pte);
    paddr = PT_Lx_PTE_PADDR(pte, level);
    vaddr = example2(PAGE_SIZE, paddr);
    title("2", "physical memory that exists");
    say(is_one_vma(vaddr, PAGE_SIZE, &uk_vma_dma_ops) && present(vaddr, PAGE_SIZE) == PAGE_SIZE &&
            holds(vaddr + PAGE_SIZE - 8, 1),
        "present at once, with what was written above");
}

static void try_large_pages(void)
{
    __vaddr_t vaddr = example3(SIZE);
    bool works = put(vaddr, 1);

    title("3", "pages of 2M");
    say(is_one_vma(vaddr, SIZE, &uk_vma_anon_ops) && works && present(vaddr, SIZE) == 2 * M,
        "a write brings 2M");
}

static void try_what_is_mapped(void)
{
    __vaddr_t vaddr = INITRD;
    bool works = ukplat_page_map(vas->pt, vaddr, __PADDR_ANY, 2, PAGE_ATTR_PROT_READ, 0) == 0;

    example4(&vaddr, 2 * PAGE_SIZE);
    works = works && uk_nofault_probe_r(vaddr, 2 * PAGE_SIZE, 0) == 2 * PAGE_SIZE;
    title("4", "what is mapped already");
    say(works && is_one_vma(INITRD, 2 * PAGE_SIZE, &uk_vma_rsvd_ops), "a VMA for it, and it stays");
}

static void draw_heap(const char *what)
{
    tour_draw(vas, HEAP, what);
}

static void try_growing_heap(void)
{
    title("5", "a heap in a reservation");
    say(true, "grows and shrinks:");
    example5(HEAP, draw_heap);
    title("", "");
    say(is_one_vma(HEAP, 2 * M, &uk_vma_anon_ops) &&
            is_one_vma(HEAP + 2 * M, 1022 * M, &uk_vma_rsvd_ops) && put(HEAP + M, 1) &&
            !put(HEAP + 2 * M, 1),
        "what is heap can be written, what was its end cannot");
}

/* Use of the whole heap, then what is left of it. */
static __sz heap_present[2];
static unsigned heap_steps;

static void use_heap(const char *what)
{
    (void)what;
    if (heap_steps == 0) {
        (void)uk_nofault_probe_rw(OTHER_HEAP, 3 * M, 0);
    }
    heap_present[heap_steps++ % 2] = present(OTHER_HEAP, 3 * M);
}

static void try_releasing_heap(void)
{
    example6(OTHER_HEAP, use_heap);
    title("6", "a heap that gives back");
    say(is_one_vma(OTHER_HEAP, 3 * M, &uk_vma_anon_ops) && heap_present[0] == 3 * M &&
            heap_present[1] == 2 * M && holds(OTHER_HEAP + 2 * M, 0),
        "3M present, then 2M, and what comes back is zero");
}

static __paddr_t try_ring(void)
{
    const __sz len = RING_PAGES * PAGE_SIZE;
    __paddr_t memory;
    __vaddr_t vaddr = example7(RING_PAGES, &memory);
    bool mirrors = put(vaddr + 8, 7) && holds(vaddr + len + 8, 7) && put(vaddr + 2 * len - 8, 9) &&
                   holds(vaddr + len - 8, 9);

    title("7", "a ring buffer and its mirror");
    say(is_one_vma(vaddr, len, &uk_vma_dma_ops) && is_one_vma(vaddr + len, len, &uk_vma_dma_ops) &&
            mirrors,
        "what is written once is there twice");
    return memory;
}

/* ---- a type of one's own ---- */

/* Look at eight pages; protect the two in the middle, which cuts, and join them again. */
static void use_book(struct numbers_book *book)
{
    struct numbers_args args = {.book = book, .first = 100, .base = BOOK};
    __vaddr_t vaddr = __VADDR_ANY;
    __sz len = 8 * PAGE_SIZE;
    __sz middle = 3 * PAGE_SIZE;
    bool right = uk_vma_map_numbers(vas, &vaddr, len, PAGE_ATTR_PROT_RW, 0, &args) == 0;

    right = right && vaddr == BOOK && holds(vaddr + middle, 103) && put(vaddr + middle, 1);
    right =
        right && uk_vma_set_attr(vas, vaddr + middle, 2 * PAGE_SIZE, PAGE_ATTR_PROT_READ, 0) == 0;
    right = right && book->readers == 3 && !put(vaddr + middle, 2);
    right = right && uk_vma_set_attr(vas, vaddr + middle, 2 * PAGE_SIZE, PAGE_ATTR_PROT_RW, 0) == 0;
    right = right && book->readers == 1 && is_one_vma(vaddr, len, &numbers_ops);
    right = right && uk_vma_advise(vas, vaddr, len, UK_VMA_ADV_DONTNEED, 0) == 0;
    right = right && holds(vaddr + middle, 103) && holds(vaddr + len - PAGE_SIZE, 107);
    right = right && uk_vma_unmap(vas, vaddr + PAGE_SIZE, len - PAGE_SIZE, 0) == 0;
    say(right && book->readers == 1, "pages that know their number");
}

static void try_own_type(struct numbers_book *book)
{
    static const char *const name[NUMBERS_CALLS] = {
        [NUMBERS_GET_BASE] = "get_base", [NUMBERS_NEW] = "new",
        [NUMBERS_DESTROY] = "destroy",   [NUMBERS_FAULT] = "fault",
        [NUMBERS_UNMAP] = "unmap",       [NUMBERS_SPLIT] = "split",
        [NUMBERS_MERGE] = "merge",       [NUMBERS_SET_ATTR] = "set_attr",
        [NUMBERS_ADVISE] = "advise",
    };

    title("8", "a type of one's own");
    use_book(book);
    console_printf("    ");
    for (unsigned call = 0; call < NUMBERS_CALLS; call++) {
        console_printf("%s%s %u", tour_mark(book->calls[call] > 0), name[call], book->calls[call]);
    }
    console_printf("\n");
}

__attribute__((noinline)) void tour_examples_ready(void)
{
    __asm__ volatile("" : : : "memory");
}

void tour_examples(void)
{
    static struct numbers_book book;
    address_space_t *as = vmm_address_space_create();
    __paddr_t ring;

    console_printf("\nexamples of uk/vmem.h in address space %lu\n", vmm_address_space_id(as));
    (void)vmm_address_space_activate(as);
    vas = uk_vas_get_active();
    try_anonymous();
    try_physical();
    try_large_pages();
    try_what_is_mapped();
    try_growing_heap();
    try_releasing_heap();
    ring = try_ring();
    try_own_type(&book);
    tour_examples_ready();
    uk_ffree(vas->pt->fa, ring, RING_PAGES);
    (void)ukplat_page_unmap(vas->pt, INITRD, 2, 0);
    (void)vmm_address_space_activate(NULL);
    title("", "");
    say(vmm_address_space_destroy(as) == 0 && book.readers == 0, "all of it is gone again");
}
