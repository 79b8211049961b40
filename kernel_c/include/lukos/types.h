/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LUKOS_TYPES_H
#define LUKOS_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A physical address. 0 means "none": no RAM is ever managed there. */
typedef uint64_t paddr_t;

/* A virtual address as a number, to compute with. */
typedef uintptr_t vaddr_t;

/* The smallest unit of translation and of allocation, the same for every architecture we know. */
#define PAGE_SHIFT 12
#define PAGE_SIZE ((size_t)1 << PAGE_SHIFT)

#endif
