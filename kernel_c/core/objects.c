/* SPDX-License-Identifier: BSD-3-Clause */
#include "lukos/objects.h"

#include "core/poison.h"
#include "lib/bits.h"
#include "lib/string.h"
#include "lukos/frames.h"
#include "lukos/vmm_arch.h"

#define BITMAP_WORDS 2

/* The head of a frame of objects. */
struct slab {
    struct object_cache *cache;
    struct list link;            /* in the cache's partial list while there is room */
    uint64_t free[BITMAP_WORDS]; /* a bit for each object that is not live */
    uint64_t used;
};

#define SLAB_HEADER 64U
_Static_assert(sizeof(struct slab) <= SLAB_HEADER, "the header must leave the objects aligned");
_Static_assert((PAGE_SIZE - SLAB_HEADER) / OBJECT_SIZE_MIN <= (size_t)64 * BITMAP_WORDS, "bitmap");

static struct slab *slab_of(const void *object)
{
    return (struct slab *)align_down((uintptr_t)object, PAGE_SIZE);
}

static inline bool is_full(const struct slab *slab)
{
    return (slab->free[0] | slab->free[1]) == 0;
}

static __attribute__((noinline)) struct slab *slab_create(struct object_cache *cache)
{
    size_t capacity = (PAGE_SIZE - SLAB_HEADER) / cache->size;
    paddr_t pa = frames_alloc(1, 0, FRAME_OBJECT);
    struct slab *slab;

    if (pa == 0) {
        return NULL;
    }
    slab = vmm_arch_ram(pa);
    slab->cache = cache;
    slab->free[0] = capacity < 64 ? BIT(capacity) - 1 : UINT64_MAX;
    slab->free[1] = capacity <= 64 ? 0 : UINT64_MAX >> (128 - capacity);
    slab->used = 0;
    list_push_front(&cache->partial, &slab->link);
    return slab;
}

void object_cache_init(struct object_cache *cache, const char *name, size_t size)
{
    ASSERT(size >= OBJECT_SIZE_MIN && size % 8 == 0 && size <= PAGE_SIZE - SLAB_HEADER);
    *cache = (struct object_cache){.name = name, .size = size};
    list_init(&cache->partial);
}

/* The lowest free object of a slab that has one. */
static inline void *slab_take(struct slab *slab)
{
    size_t word = slab->free[0] != 0 ? 0 : 1;
    size_t index = word * 64 + (size_t)__builtin_ctzll(slab->free[word]);

    slab->free[word] &= slab->free[word] - 1;
    slab->used++;
    if (is_full(slab)) {
        list_remove(&slab->link);
    }
    return (char *)slab + SLAB_HEADER + index * slab->cache->size;
}

__attribute__((noinline)) void *object_alloc(struct object_cache *cache)
{
    struct slab *slab;
    void *object = NULL;

    lock_acquire(&cache->lock);
    slab = list_empty(&cache->partial) ? slab_create(cache)
                                       : list_entry(cache->partial.next, struct slab, link);
    if (slab != NULL) {
        object = slab_take(slab);
        cache->live++;
    }
    lock_release(&cache->lock);
    return object;
}

/* The number of a live object in its slab; SIZE_MAX: it is none. */
static inline size_t index_of(const struct slab *slab, const void *object)
{
    size_t offset = (uintptr_t)object - (uintptr_t)slab - SLAB_HEADER;
    size_t index = offset / slab->cache->size;

    if (offset >= PAGE_SIZE - SLAB_HEADER || index * slab->cache->size != offset ||
        index >= (PAGE_SIZE - SLAB_HEADER) / slab->cache->size) {
        return SIZE_MAX;
    }
    return (slab->free[index / 64] & BIT(index % 64)) == 0 ? index : SIZE_MAX;
}

/* The slab that the pointer, whatever it is, points into; NULL: it is none of this cache. */
static inline struct slab *slab_in(const struct object_cache *cache, const void *object)
{
    paddr_t pa = vmm_arch_ram_address(object);
    const struct frame *frame = pa == 0 ? NULL : frame_of(pa);
    struct slab *slab = slab_of(object);

    return frame != NULL && frame->purpose == FRAME_OBJECT && slab->cache == cache ? slab : NULL;
}

bool object_is_live(const struct object_cache *cache, const void *object)
{
    const struct slab *slab = slab_in(cache, object);

    return slab != NULL && index_of(slab, object) != SIZE_MAX;
}

void object_free(struct object_cache *cache, void *object)
{
    struct slab *slab = slab_in(cache, object);
    size_t index = slab == NULL ? SIZE_MAX : index_of(slab, object);

    if (index == SIZE_MAX) {
        panic("object_free(%s, %p): not a live object of this cache", cache->name, object);
    }
    lock_acquire(&cache->lock);
    if (LUKOS_DEBUG) {
        memset(object, POISON_BYTE, cache->size);
    }
    if (is_full(slab)) {
        list_push_front(&cache->partial, &slab->link);
    }
    slab->free[index / 64] |= BIT(index % 64);
    slab->used--;
    cache->live--;
    if (slab->used == 0) {
        list_remove(&slab->link);
        frames_free(vmm_arch_ram_address(slab), 1);
    }
    lock_release(&cache->lock);
}

struct object_cache *object_cache_of(const void *object)
{
    return slab_of(object)->cache;
}
