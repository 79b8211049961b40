/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef EXAMPLES_EXAMPLES_H
#define EXAMPLES_EXAMPLES_H

#include <uk/vmem.h>

/*
 * The seven examples of ukvmem's specification, letter for letter. What their text leaves open,
 * as <SIZE>, is an argument of that name. They work in the active VAS, and what they make there
 * stays.
 *
 * What is in this folder are programs: they use uk/ and nothing of the kernel.
 */

__vaddr_t example1(__sz SIZE);
__vaddr_t example2(__sz SIZE, __paddr_t PADDR);
__vaddr_t example3(__sz SIZE);
void example4(__vaddr_t *VADDR, __sz SIZE);

/* Called each time something has been done. */
typedef void (*example_step_t)(const char *what);

void example5(__vaddr_t HEAP_BASE, example_step_t step);
void example6(__vaddr_t HEAP_BASE, example_step_t step);

/* The buffer is of PAGES pages. Its memory, at *memory, is the caller's to free. */
__vaddr_t example7(unsigned long PAGES, __paddr_t *memory);

#endif
