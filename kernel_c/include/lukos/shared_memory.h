/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LUKOS_SHARED_MEMORY_H
#define LUKOS_SHARED_MEMORY_H

#include <uk/vmem.h>

/*
 * Anonymous memory that address spaces have in common: what one writes all see. It is zero at
 * first, and takes a frame for each page that somebody has used, when it is used.
 *
 * Its creator has a handle, to map it with. It lives until handle and mappings are gone. A copy of
 * an address space maps the same memory.
 *
 * Results are 0 or a negative errno (lukos/status.h); a call that fails has changed nothing.
 */
typedef struct shared_memory shared_memory_t;

#define SHARED_MEMORY_MAX ((size_t)1 << 39) /* bytes */

/*
 * Memory of len bytes, rounded up to 4K, in *memory. -EINVAL: 0 or more than SHARED_MEMORY_MAX;
 * -EFAULT: memory is no place to write to; -ENOMEM.
 */
int shared_memory_create(size_t len, shared_memory_t **memory);

/* Give up the handle. -EINVAL: it is none. */
int shared_memory_close(shared_memory_t *memory);

/*
 * Map [offset, offset + len) of it, as uk_vma_map() does with all arguments before. Pages are of
 * 4K: -EINVAL with a wish for others, if it is no handle, or the range is not in the memory.
 */
int shared_memory_map(struct uk_vas *vas, __vaddr_t *vaddr, __sz len, unsigned long attr,
                      unsigned long flags, const char *name, shared_memory_t *memory, __sz offset);

#endif
