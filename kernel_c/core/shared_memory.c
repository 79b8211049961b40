/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/shared_memory.h"

#include "core/page_index.h"
#include "lib/bits.h"
#include "lukos/objects.h"
#include "lukos/status.h"
#include "lukos/vmm_arch.h"

struct shared_memory {
    size_t references; /* of the handle and of mappings */
    size_t len;        /* bytes, a multiple of 4K */
    struct page_index pages;
    struct lock lock; /* for pages */
    bool open;        /* there is a handle */
};

_Static_assert(SHARED_MEMORY_MAX == PAGE_INDEX_SIZE, "all of it");

static struct object_cache cache;

void shared_memory_init(void)
{
    object_cache_init(&cache, "shared memory", sizeof(struct shared_memory));
}

bool shared_memory_is_open(const shared_memory_t *memory)
{
    return object_is_live(&cache, memory) && memory->open;
}

size_t shared_memory_size(const shared_memory_t *memory)
{
    return memory->len;
}

int shared_memory_create(size_t len, shared_memory_t **memory)
{
    shared_memory_t *made;

    if (len == 0 || len > SHARED_MEMORY_MAX) {
        return -EINVAL;
    }
    if (!vmm_arch_kernel_access((const void *)memory, sizeof(*memory), true)) {
        return -EFAULT;
    }
    made = object_alloc(&cache);
    if (made == NULL) {
        return -ENOMEM;
    }
    *made = (shared_memory_t){.references = 1, .len = align_up(len, PAGE_SIZE), .open = true};
    *memory = made;
    return 0;
}

int shared_memory_close(shared_memory_t *memory)
{
    if (!shared_memory_is_open(memory)) {
        return -EINVAL;
    }
    memory->open = false;
    shared_memory_release(memory);
    return 0;
}

void shared_memory_hold(shared_memory_t *memory)
{
    __atomic_fetch_add(&memory->references, 1, __ATOMIC_RELAXED);
}

void shared_memory_release(shared_memory_t *memory)
{
    if (__atomic_fetch_sub(&memory->references, 1, __ATOMIC_ACQ_REL) == 1) {
        page_index_clear(&memory->pages);
        object_free(&cache, memory);
    }
}

paddr_t shared_memory_page(shared_memory_t *memory, uint64_t offset)
{
    paddr_t pa;

    lock_acquire(&memory->lock);
    pa = page_index_make(&memory->pages, offset >> PAGE_SHIFT);
    lock_release(&memory->lock);
    return pa;
}
