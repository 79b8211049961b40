/* SPDX-License-Identifier: BSD-3-Clause */
#include "examples.h"

// clang-format off

/* Anonymous writable memory on demand. */
__vaddr_t example1(__sz SIZE)
{
    __vaddr_t vaddr = __VADDR_ANY;
    uk_vma_map_anon(uk_vas_get_active(), &vaddr, SIZE, PAGE_ATTR_PROT_RW,
                    0, NULL);

    return vaddr;
}

/* Physical memory that exists, present at once. */
__vaddr_t example2(__sz SIZE, __paddr_t PADDR)
{
    __vaddr_t vaddr = __VADDR_ANY;
    uk_vma_map_dma(uk_vas_get_active(), &vaddr, SIZE, PAGE_ATTR_PROT_RW,
                   UK_VMA_MAP_POPULATE, NULL, PADDR);

    return vaddr;
}

/* New memory by pages of 2M. */
__vaddr_t example3(__sz SIZE)
{
    __vaddr_t vaddr = __VADDR_ANY;
    uk_vma_map_anon(uk_vas_get_active(), &vaddr, SIZE, PAGE_ATTR_PROT_RW,
                    UK_VMA_MAP_SIZE_2MB, NULL);

    return vaddr;
}

/* A VMA for what the page table maps already. */
void example4(__vaddr_t *VADDR, __sz SIZE)
{
    uk_vma_reserve_ex(uk_vas_get_active(), VADDR, SIZE,
                      PAGE_ATTR_PROT_READ, 0, ".initrd");
}

/* A heap that grows and shrinks in a reservation. */
void example5(__vaddr_t HEAP_BASE, example_step_t step)
{
    __vaddr_t vaddr = HEAP_BASE;
    uk_vma_reserve(uk_vas_get_active(),
                   &vaddr, 0x40000000);

    step("Reserve 1GB");

    // Initial 1MB mapping
    vaddr = HEAP_BASE;
    uk_vma_map_anon(uk_vas_get_active(),
               &vaddr, 0x100000, PAGE_ATTR_PROT_RW,
               UK_VMA_MAP_REPLACE, "HEAP");

    step("Initial 1MB mapping");

    // Grow mapping by 2MB
    vaddr += 0x100000;
    uk_vma_map_anon(uk_vas_get_active(),
               &vaddr, 0x200000, PAGE_ATTR_PROT_RW,
               UK_VMA_MAP_REPLACE, "HEAP");

    step("Grow mapping by 2MB");

    // Shrink mapping by 1MB
    vaddr += 0x100000;
    uk_vma_reserve_ex(uk_vas_get_active(),
                 &vaddr, 0x100000, 0,
                 UK_VMA_MAP_REPLACE, NULL);

    step("Shrink mapping by 1MB");
}

/* A heap of fixed size that gives memory back. */
void example6(__vaddr_t HEAP_BASE, example_step_t step)
{
    __vaddr_t vaddr;

    vaddr = HEAP_BASE;
    uk_vma_map_anon(uk_vas_get_active(), &vaddr, 0x300000, PAGE_ATTR_PROT_RW, 0,
                    "HEAP");

    step("the heap is in use");

    /* ... heap manager decides to release some physical memory in an unused area */
    vaddr = HEAP_BASE + 0x200000;
    uk_vma_advise(uk_vas_get_active(), vaddr, 0x100000, UK_VMA_ADV_DONTNEED, 0);

    step("a part of it is not needed");
}

/* A ring buffer that is followed by itself: what wraps around can be read in one piece. */
__vaddr_t example7(unsigned long PAGES, __paddr_t *memory)
{
    struct uk_vas *vas = uk_vas_get_active();
    __paddr_t paddr = uk_falloc(vas->pt->fa, PAGES);
    __vaddr_t vaddr = __VADDR_ANY;
    uk_vma_map_dma(vas, &vaddr, PAGE_SIZE * PAGES, PAGE_ATTR_PROT_RW,
                   UK_VMA_MAP_POPULATE, NULL, paddr);
    vaddr += PAGE_SIZE * PAGES;
    uk_vma_map_dma(vas, &vaddr, PAGE_SIZE * PAGES, PAGE_ATTR_PROT_RW,
                   UK_VMA_MAP_POPULATE, NULL, paddr);

    *memory = paddr;
    return vaddr - PAGE_SIZE * PAGES;
}
