/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/kmalloc.h"

#include "lib/bits.h"
#include "lukos/frames.h"
#include "lukos/objects.h"
#include "lukos/vmm_arch.h"

/* Size classes 32, 64 ... 1024 over the object allocator; blocks of frames above. */
#define SMALLEST_SHIFT 5U
#define LARGEST_SHIFT 10U
#define CLASSES (LARGEST_SHIFT - SMALLEST_SHIFT + 1)

static struct object_cache classes[CLASSES];

static inline struct object_cache *class_for(size_t size)
{
    return &classes[log2_floor((size - 1) | (OBJECT_SIZE_MIN - 1)) + 1 - SMALLEST_SHIFT];
}

static __attribute__((noinline)) void *blocks(size_t size)
{
    unsigned order = log2_ceil(size) <= PAGE_SHIFT ? 0 : log2_ceil(size) - PAGE_SHIFT;
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

/* Objects never start a frame: the head of their slab does. */
static void kfree(struct uk_alloc *a, void *ptr)
{
    (void)a;
    if (ptr == NULL) {
        return;
    }
    if (is_aligned((uintptr_t)ptr, PAGE_SIZE)) {
        paddr_t pa = vmm_arch_ram_address(ptr);

        frames_free(pa, BIT(frame_of(pa)->order));
    } else {
        object_free(object_cache_of(ptr), ptr);
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
        object_cache_init(&classes[i], "kmalloc", (size_t)1 << (i + SMALLEST_SHIFT));
    }
}
