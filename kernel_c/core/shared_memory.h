/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORE_SHARED_MEMORY_H
#define CORE_SHARED_MEMORY_H

#include "lukos/shared_memory.h"

/* What mappings of shared memory need of it. They hold references, so it is there. */

/* Once, before the first is created. */
void shared_memory_init(void);

/* True for a handle that is open; any other pointer is safe to ask about. */
bool shared_memory_is_open(const shared_memory_t *memory);

size_t shared_memory_size(const shared_memory_t *memory);

/* A reference more, or one less: with the last one the memory goes. */
void shared_memory_hold(shared_memory_t *memory);
void shared_memory_release(shared_memory_t *memory);

/* The page at this offset, made if there is none. 0: out of memory. */
paddr_t shared_memory_page(shared_memory_t *memory, uint64_t offset);

#endif
