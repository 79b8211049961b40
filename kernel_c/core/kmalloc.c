/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/kmalloc.h"

#include "lib/bits.h"
#include "lukos/frames.h"
#include "lukos/objects.h"
#include "lukos/vmm_arch.h"

/* Size classes 1024, 512 ... 32 over the object allocator; blocks of frames above. */
#define SMALLEST_SHIFT 5U
#define LARGEST_SHIFT 10U
#define CLASSES (LARGEST_SHIFT - SMALLEST_SHIFT + 1)
#define LARGEST_LEADING (64 - LARGEST_SHIFT) /* zeros before the first 1 of a size - 1 */

/* Each in a line of the data cache of its own: CPUs that lock one leave the others alone. */
static struct {
    _Alignas(64) struct object_cache cache;
} classes[CLASSES];

static inline struct object_cache *class_for(size_t size)
{
    size_t leading = (size_t)__builtin_clzll((size - 1) | (OBJECT_SIZE_MIN - 1));

    return &classes[leading - LARGEST_LEADING].cache;
}

static __attribute__((noinline)) void *blocks(size_t size)
{
    unsigned order = (unsigned)max_u64(log2_ceil(size), PAGE_SHIFT) - PAGE_SHIFT;
    paddr_t pa = order > FRAME_MAX_ORDER ? 0 : frames_alloc(BIT(order), order, FRAME_OBJECT);

    return pa == 0 ? NULL : vmm_arch_ram(pa);
}

static void *kmalloc(struct uk_alloc *a, size_t size)
{
    (void)a;
    if (size - 1 < (size_t)1 << LARGEST_SHIFT) {
        return object_alloc(class_for(size));
    }
    return size == 0 ? NULL : blocks(size);
}

static __attribute__((noinline)) void free_blocks(const void *ptr)
{
    paddr_t pa = vmm_arch_ram_address(ptr);

    frames_free(pa, BIT(frame_record(pa)->order));
}

/* Objects never start a frame: the head of their slab does. */
static void kfree(struct uk_alloc *a, void *ptr)
{
    (void)a;
    if (!is_aligned((uintptr_t)ptr, PAGE_SIZE)) {
        object_free(object_cache_of(ptr), ptr);
    } else if (ptr != NULL) {
        free_blocks(ptr);
    }
}

static struct uk_alloc allocator = {.malloc = kmalloc, .free = kfree};

struct uk_alloc *uk_alloc_get_default(void)
{
    return &allocator;
}

void kmalloc_init(void)
{
    for (unsigned i = 0; i < CLASSES; i++) {
        object_cache_init(&classes[i].cache, "kmalloc", (size_t)1 << (LARGEST_SHIFT - i));
    }
}
