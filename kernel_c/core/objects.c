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
    struct list link; /* in the cache's partial list while there is room */
    uint64_t live[BITMAP_WORDS];
    uint64_t used;
};

#define SLAB_HEADER 64U
_Static_assert(sizeof(struct slab) <= SLAB_HEADER, "the header must leave the objects aligned");
_Static_assert((PAGE_SIZE - SLAB_HEADER) / OBJECT_SIZE_MIN <= (size_t)64 * BITMAP_WORDS, "bitmap");

static size_t capacity(const struct object_cache *cache)
{
    return (PAGE_SIZE - SLAB_HEADER) / cache->size;
}

static struct slab *slab_of(const void *object)
{
    return (struct slab *)align_down((uintptr_t)object, PAGE_SIZE);
}

static void *slab_object(struct slab *slab, size_t index)
{
    return (char *)slab + SLAB_HEADER + index * slab->cache->size;
}

static size_t slab_index(const struct slab *slab, const void *object)
{
    return ((uintptr_t)object - (uintptr_t)slab - SLAB_HEADER) / slab->cache->size;
}

static struct slab *slab_create(struct object_cache *cache)
{
    paddr_t pa = frames_alloc(1, 0, FRAME_OBJECT);
    struct slab *slab;

    if (pa == 0) {
        return NULL;
    }
    slab = vmm_arch_ram(pa);
    memset(slab, 0, SLAB_HEADER);
    slab->cache = cache;
    list_push_front(&cache->partial, &slab->link);
    return slab;
}

static size_t first_free(const struct slab *slab)
{
    for (size_t word = 0; word < BITMAP_WORDS; word++) {
        if (slab->live[word] != UINT64_MAX) {
            return word * 64 + (size_t)__builtin_ctzll(~slab->live[word]);
        }
    }
    panic("object cache %s: a full slab is on the partial list", slab->cache->name);
}

void object_cache_init(struct object_cache *cache, const char *name, size_t size)
{
    ASSERT(size >= OBJECT_SIZE_MIN && size % 8 == 0 && size <= PAGE_SIZE - SLAB_HEADER);
    *cache = (struct object_cache){.name = name, .size = size};
    list_init(&cache->partial);
}

__attribute__((noinline)) void *object_alloc(struct object_cache *cache)
{
    struct slab *slab;
    void *object = NULL;

    lock_acquire(&cache->lock);
    slab = list_empty(&cache->partial) ? slab_create(cache)
                                       : list_entry(cache->partial.next, struct slab, link);
    if (slab != NULL) {
        size_t index = first_free(slab);

        object = slab_object(slab, index);
        slab->live[index / 64] |= BIT(index % 64);
        slab->used++;
        cache->live++;
        if (slab->used == capacity(cache)) {
            list_remove(&slab->link);
        }
    }
    lock_release(&cache->lock);
    return object == NULL ? NULL : memset(object, 0, cache->size);
}

void object_free(struct object_cache *cache, void *object)
{
    struct slab *slab = slab_of(object);
    size_t index;

    if (!object_is_live(cache, object)) {
        panic("object_free(%s, %p): not a live object of this cache", cache->name, object);
    }
    lock_acquire(&cache->lock);
    index = slab_index(slab, object);
    if (LUKOS_DEBUG) {
        memset(object, POISON_BYTE, cache->size);
    }
    if (slab->used == capacity(cache)) {
        list_push_front(&cache->partial, &slab->link);
    }
    slab->live[index / 64] &= ~BIT(index % 64);
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

bool object_is_live(const struct object_cache *cache, const void *object)
{
    paddr_t pa = vmm_arch_ram_address(object);
    const struct frame *frame = pa == 0 ? NULL : frame_of(pa);
    const struct slab *slab = slab_of(object);
    size_t offset = (uintptr_t)object - (uintptr_t)slab;
    size_t index;

    if (frame == NULL || frame->purpose != FRAME_OBJECT || slab->cache != cache ||
        offset < SLAB_HEADER || (offset - SLAB_HEADER) % cache->size != 0) {
        return false;
    }
    index = slab_index(slab, object);
    return index < capacity(cache) && (slab->live[index / 64] & BIT(index % 64)) != 0;
}
