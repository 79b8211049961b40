/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>

#include "core/poison.h"
#include "fake.h"
#include "host.h"
#include "lib/assert.h"
#include "lib/string.h"
#include "lukos/objects.h"

/*
 * Between the core and its allocators. CMakeLists.txt gives the core's own functions another name
 * where they are defined, so that the core calls these: they can fail when told to, tell
 * AddressSanitizer which memory is whose, and see that what is released can no longer be reached.
 */

paddr_t core_frames_alloc(size_t count, unsigned align_order, enum frame_purpose purpose);
void *core_object_alloc(struct object_cache *cache);
void core_object_free(struct object_cache *cache, void *object);
void core_poison_fill(struct frame *head, size_t count);
void core_poison_check(struct frame *head, size_t count);
void *object_memset(void *to, int byte, size_t count);

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAVE_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define HAVE_ASAN 1
#endif

#ifdef HAVE_ASAN
void __asan_poison_memory_region(const volatile void *start, size_t size);
void __asan_unpoison_memory_region(const volatile void *start, size_t size);
#else
static void __asan_poison_memory_region(const volatile void *start, size_t size)
{
    (void)start;
    (void)size;
}

static void __asan_unpoison_memory_region(const volatile void *start, size_t size)
{
    (void)start;
    (void)size;
}
#endif

static struct {
    paddr_t first;
    bool *in_use; /* by frame */
} frames;

static struct {
    uint64_t countdown;
    const char *struck;
} failing;

static bool new_slab;

void interpose_start(paddr_t start, paddr_t end)
{
    frames.first = start;
    frames.in_use = calloc((end - start) / PAGE_SIZE, sizeof(bool));
    if (frames.in_use == NULL) {
        panic("no memory for the books of RAM");
    }
    __asan_poison_memory_region(vmm_arch_ram(start), end - start);
}

bool interpose_in_use(paddr_t pa)
{
    return pa >= frames.first && frames.in_use[(pa - frames.first) / PAGE_SIZE];
}

void interpose_fail(uint64_t n)
{
    failing.countdown = n;
    failing.struck = NULL;
}

const char *interpose_struck(void)
{
    return failing.struck;
}

static bool fails(const char *allocator)
{
    if (failing.countdown == 0) {
        return false;
    }
    failing.countdown--;
    if (failing.countdown == 0) {
        failing.struck = allocator;
    }
    return failing.countdown == 0;
}

paddr_t frames_alloc(size_t count, unsigned align_order, enum frame_purpose purpose)
{
    new_slab = purpose == FRAME_OBJECT;
    return fails("frames_alloc") ? 0 : core_frames_alloc(count, align_order, purpose);
}

static void set_in_use(const struct frame *head, size_t count, bool in_use)
{
    size_t index = (frame_address(head) - frames.first) / PAGE_SIZE;

    for (size_t i = index; i < index + count; i++) {
        if (frames.in_use[i] == in_use) {
            panic("frame at PA 0x%lx is %s twice", frames.first + i * PAGE_SIZE,
                  in_use ? "handed out" : "released");
        }
        frames.in_use[i] = in_use;
    }
}

/* The core's frames are released here, by whatever way ... */
void poison_fill(struct frame *head, size_t count)
{
    paddr_t pa = frame_address(head);

    if (fake_tlb_reaches(pa, count * PAGE_SIZE)) {
        panic("frames at PA 0x%lx are released and the TLB still knows them", pa);
    }
    set_in_use(head, count, false);
    /* Objects in it may be poisoned by now. */
    __asan_unpoison_memory_region(vmm_arch_ram(pa), count * PAGE_SIZE);
    core_poison_fill(head, count);
    __asan_poison_memory_region(vmm_arch_ram(pa), count * PAGE_SIZE);
}

/* ... and handed out here. */
void poison_check(struct frame *head, size_t count)
{
    set_in_use(head, count, true);
    __asan_unpoison_memory_region(vmm_arch_ram(frame_address(head)), count * PAGE_SIZE);
    core_poison_check(head, count);
}

/* ---- objects: those of a slab that are not live are poisoned ---- */

void *object_alloc(struct object_cache *cache)
{
    char *object;

    if (fails("object_alloc")) {
        return NULL;
    }
    new_slab = false;
    object = core_object_alloc(cache);
    if (object != NULL) {
        __asan_unpoison_memory_region(object, cache->size);
    }
    if (object != NULL && new_slab) { /* this is its first object */
        char *rest = object + cache->size;

        __asan_poison_memory_region(rest, -(uintptr_t)rest % PAGE_SIZE);
    }
    return object;
}

void object_free(struct object_cache *cache, void *object)
{
    core_object_free(cache, object);
    __asan_poison_memory_region(object, cache->size);
}

/* The memset of objects.c, which fills objects while they are unmade. */
void *object_memset(void *to, int byte, size_t count)
{
    __asan_unpoison_memory_region(to, count);
    return memset(to, byte, count);
}
