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
    struct slab *next; /* among those of the cache that have room */
    struct slab *prev;
    uint64_t free[BITMAP_WORDS]; /* a bit for each object that is not live */
    uint64_t all[BITMAP_WORDS];  /* the same when none is */
};

#define SLAB_HEADER 64U
_Static_assert(offsetof(struct slab, cache) == 0, "object_cache_of() looks there");
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

static inline bool is_empty(const struct slab *slab)
{
    return slab->free[0] == slab->all[0] && slab->free[1] == slab->all[1];
}

static void slab_link(struct slab *slab)
{
    struct slab *next = slab->cache->partial;

    slab->next = next;
    slab->prev = NULL;
    if (next != NULL) {
        next->prev = slab;
    }
    slab->cache->partial = slab;
}

static void slab_unlink(const struct slab *slab)
{
    if (slab->prev != NULL) {
        slab->prev->next = slab->next;
    } else {
        slab->cache->partial = slab->next;
    }
    if (slab->next != NULL) {
        slab->next->prev = slab->prev;
    }
}

static struct slab *slab_create(struct object_cache *cache)
{
    size_t capacity = cache->room / cache->size;
    size_t first = min_size(capacity, 64);
    paddr_t pa = frames_alloc(1, 0, FRAME_OBJECT);
    struct slab *slab;

    if (pa == 0) {
        return NULL;
    }
    slab = vmm_arch_ram(pa);
    slab->cache = cache;
    slab->all[0] = UINT64_MAX >> (64 - first);
    slab->all[1] = first == capacity ? 0 : UINT64_MAX >> (128 - capacity);
    slab->free[0] = slab->all[0];
    slab->free[1] = slab->all[1];
    slab_link(slab);
    return slab;
}

void object_cache_init(struct object_cache *cache, const char *name, size_t size)
{
    ASSERT(size >= OBJECT_SIZE_MIN && size % 8 == 0 && size <= PAGE_SIZE - SLAB_HEADER);
    *cache = (struct object_cache){
        .name = name,
        .size = size,
        .room = (PAGE_SIZE - SLAB_HEADER) / size * size,
    };
}

/* The lowest free object of this word of a slab of the cache, which has one. */
static inline void *slab_take(struct object_cache *cache, struct slab *slab, size_t word)
{
    uint64_t free = slab->free[word];
    size_t index = word * 64 + (size_t)__builtin_ctzll(free);

    slab->free[word] = free & (free - 1);
    return (char *)slab + SLAB_HEADER + index * cache->size;
}

/* The same for any word, of a slab that may be still to be made; NULL: there is no frame for it. */
static __attribute__((noinline)) void *take_slowly(struct object_cache *cache)
{
    struct slab *slab = cache->partial == NULL ? slab_create(cache) : cache->partial;
    void *object = NULL;

    if (slab != NULL) {
        object = slab_take(cache, slab, slab->free[0] != 0 ? 0 : 1);
        if (is_full(slab)) {
            slab_unlink(slab);
        }
    }
    lock_release(&cache->lock);
    return object;
}

/* Nearly always a slab has several free objects in its first word. */
__attribute__((noinline)) void *object_alloc(struct object_cache *cache)
{
    struct slab *slab;
    void *object;

    lock_acquire(&cache->lock);
    slab = cache->partial;
    if (slab == NULL || (slab->free[0] & (slab->free[0] - 1)) == 0) {
        return take_slowly(cache);
    }
    object = slab_take(cache, slab, 0);
    lock_release(&cache->lock);
    return object;
}

/* The number of a live object in its slab of the cache; SIZE_MAX: it is none. */
static inline size_t index_of(const struct object_cache *cache, const struct slab *slab,
                              const void *object)
{
    size_t offset = (uintptr_t)object - (uintptr_t)slab - SLAB_HEADER;
    size_t index = offset / cache->size;

    if (offset >= cache->room || index * cache->size != offset) {
        return SIZE_MAX;
    }
    return (slab->free[index / 64] >> index % 64 & 1) == 0 ? index : SIZE_MAX;
}

/* True when the pointer, whatever it is, points into a slab of this cache. */
static bool is_in_slab(const struct object_cache *cache, const void *object)
{
    paddr_t pa = vmm_arch_ram_address(object);
    const struct frame *frame = pa == 0 ? NULL : frame_of(pa);

    return frame != NULL && frame->purpose == FRAME_OBJECT && slab_of(object)->cache == cache;
}

bool object_is_live(const struct object_cache *cache, const void *object)
{
    return is_in_slab(cache, object) && index_of(cache, slab_of(object), object) != SIZE_MAX;
}

static __attribute__((noinline, noreturn)) void refuse(const struct object_cache *cache,
                                                       const void *object)
{
    panic("object_free(%s, %p): not a live object of this cache", cache->name, object);
}

static __attribute__((noinline)) void slab_destroy(struct slab *slab)
{
    slab_unlink(slab);
    frames_free(vmm_arch_ram_address(slab), 1);
}

/* The first object that comes back to a full slab, or the last one. */
static __attribute__((noinline)) void put_slowly(struct object_cache *cache, struct slab *slab,
                                                 size_t index)
{
    if (is_full(slab)) {
        slab_link(slab);
    }
    slab->free[index / 64] |= BIT(index % 64);
    if (is_empty(slab)) {
        slab_destroy(slab);
    }
    lock_release(&cache->lock);
}

/*
 * Release builds take it that the pointer is to an object of the cache, live or not. Nearly always
 * others of its slab, in the same word, are free, and others are not.
 */
void object_free(struct object_cache *cache, void *object)
{
    struct slab *slab = slab_of(object);
    uint64_t *free;
    size_t index;

    if (LUKOS_DEBUG && !is_in_slab(cache, object)) {
        refuse(cache, object);
    }
    index = index_of(cache, slab, object);
    if (index == SIZE_MAX) {
        refuse(cache, object);
    }
    lock_acquire(&cache->lock);
    if (LUKOS_DEBUG) {
        memset(object, POISON_BYTE, cache->size);
    }
    free = &slab->free[index / 64];
    if (*free == 0 || (*free | BIT(index % 64)) == slab->all[index / 64]) {
        put_slowly(cache, slab, index);
        return;
    }
    *free |= BIT(index % 64);
    lock_release(&cache->lock);
}
