/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef UK_ALLOC_H
#define UK_ALLOC_H

#include <uk/arch/types.h>

/* An allocator of memory for the kernel's own use. */
struct uk_alloc {
    void *(*malloc)(struct uk_alloc *a, __sz size);
    void (*free)(struct uk_alloc *a, void *ptr);
};

/* Objects of up to 2K in size classes, whole frames above. */
struct uk_alloc *uk_alloc_get_default(void);

/* NULL: there is none left, or size is 0. */
static inline void *uk_malloc(struct uk_alloc *a, __sz size)
{
    return a->malloc(a, size);
}

/* ptr may be NULL. */
static inline void uk_free(struct uk_alloc *a, void *ptr)
{
    a->free(a, ptr);
}

#endif
