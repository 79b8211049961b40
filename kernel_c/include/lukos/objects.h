/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LUKOS_OBJECTS_H
#define LUKOS_OBJECTS_H

#include "lib/bits.h"
#include "lib/lock.h"
#include "lukos/types.h"

/*
 * Objects of one size, packed into frames. Allocation and release are O(1). A frame whose last
 * object goes is returned, so an idle VMM holds no memory.
 *
 * A bitmap in each frame says which objects are live, so that a dangling pointer handed in by a
 * caller is told from a live one.
 */
struct object_cache {
    struct lock lock;
    struct slab *partial; /* the first of those with room; NULL: none */
    size_t size;          /* bytes, a multiple of 8, at least OBJECT_SIZE_MIN */
    size_t room;          /* bytes of a frame that objects take */
    const char *name;
};

#define OBJECT_SIZE_MIN 32

void object_cache_init(struct object_cache *cache, const char *name, size_t size);

/* An object whose contents are undefined; NULL: no frame left. */
void *object_alloc(struct object_cache *cache);
void object_free(struct object_cache *cache, void *object);

/* The cache that a live object is from: its frame begins with that. */
static inline struct object_cache *object_cache_of(const void *object)
{
    return *(struct object_cache *const *)align_down((uintptr_t)object, PAGE_SIZE);
}

/* True when the pointer, whatever it is, is a live object of this cache. */
bool object_is_live(const struct object_cache *cache, const void *object);

#endif
