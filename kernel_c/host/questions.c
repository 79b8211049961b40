/* SPDX-License-Identifier: BSD-3-Clause */
#include <limits.h>
#include <stdlib.h>

#include "core/files.h"
#include "fake.h"
#include "host.h"
#include "lib/assert.h"
#include "lib/bits.h"
#include "lib/string.h"
#include "lukos/frames.h"
#include "lukos/objects.h"
#include "lukos/vas.h"

/* What a test asks about the state; and bugs to be made on purpose, for the sanitizers to see. */

void reply_add(struct reply *reply, uint64_t value)
{
    if (reply->count == reply->room) {
        size_t room = reply->room == 0 ? 64 : 2 * reply->room;
        uint64_t *values = realloc(reply->values, room * sizeof(*values));

        if (values == NULL) {
            panic("no memory for a reply of %zu numbers", room);
        }
        reply->values = values;
        reply->room = room;
    }
    reply->values[reply->count++] = value;
}

/* The position in host_kinds; behind them all: a region, and shared memory. */
static uint64_t kind_of(const struct uk_vma *vma)
{
    uint64_t kind = 0;

    while (kind < HOST_KINDS && host_kinds[kind] != vma->ops) {
        kind++;
    }
    return vma->ops == host_shared_kind ? HOST_KINDS + 1 : kind;
}

/* The position in host_names; behind them all: the address. */
static uint64_t name_of(const struct uk_vma *vma)
{
    uint64_t name = 0;

    while (name < HOST_NAMES && host_names[name] != vma->name) {
        name++;
    }
    return name < HOST_NAMES ? name : (uint64_t)vma->name;
}

static void ask_layout(const uint64_t *a, struct reply *reply)
{
    const struct uk_vas *vas = host_vas[a[0] % HOST_VASES];

    reply_add(reply, vas->vma_base);
    reply_add(reply, vmm_arch_range_start(vas->pt));
    reply_add(reply, vmm_arch_range_end(vas->pt));
    reply_add(reply, host_dma);
}

/* Seven numbers each. */
static void ask_vmas(const uint64_t *a, struct reply *reply)
{
    const struct uk_vma *vma = uk_vma_first(host_vas[a[0] % HOST_VASES]);

    for (; vma != NULL; vma = uk_vma_next(vma)) {
        reply_add(reply, vma->start);
        reply_add(reply, vma->end);
        reply_add(reply, kind_of(vma));
        reply_add(reply, vma->attr);
        reply_add(reply, vma->flags);
        reply_add(reply, (uint64_t)(int64_t)vma->page_lvl);
        reply_add(reply, name_of(vma));
    }
}

static void add_page(void *argument, const struct fake_page *page)
{
    struct reply *reply = argument;

    reply_add(reply, page->va);
    reply_add(reply, page->pa);
    reply_add(reply, PAGE_Lx_SIZE(page->level));
    reply_add(reply, page->attr);
}

/* Four numbers each, and last the number of tables. */
static void ask_pages(const uint64_t *a, struct reply *reply)
{
    const struct uk_pagetable *pt = host_vas[a[0] % HOST_VASES]->pt;

    (void)fake_each_page(pt, add_page, reply);
    reply_add(reply, vmm_arch_tables(pt));
}

static void ask_peek(const uint64_t *a, struct reply *reply)
{
    uint64_t value;

    memcpy(&value, vmm_arch_ram(a[0]), sizeof(value));
    reply_add(reply, value);
}

static void ask_frames(const uint64_t *a, struct reply *reply)
{
    (void)a;
    for (unsigned purpose = 0; purpose < FRAME_PURPOSES; purpose++) {
        reply_add(reply, frames_count(purpose));
    }
}

/* Of a VAS: pages that are resident, and VMAs. */
static void ask_stats(const uint64_t *a, struct reply *reply)
{
    vas_stats_t *stats = (vas_stats_t *)(void *)host_buffer; /* where the kernel may write */

    if (vas_stats(host_vas[a[0] % HOST_VASES], stats) != 0) {
        panic("no counts of VAS %lu", (unsigned long)a[0]);
    }
    reply_add(reply, stats->resident);
    reply_add(reply, stats->vmas);
}

static void ask_check(const uint64_t *a, struct reply *reply)
{
    (void)a;
    (void)reply;
    host_check();
}

/* Where the path of an open file is. */
static void ask_file_name(const uint64_t *a, struct reply *reply)
{
    struct file *file;

    if (file_get((int)a[0], &file) < 0) {
        panic("%d is no open file", (int)a[0]);
    }
    reply_add(reply, (uint64_t)file->path);
    file_release(file);
}

/* Fill a page of the buffer: a number, and a byte over and over. */
static void run_fill(const uint64_t *a, struct reply *reply)
{
    (void)reply;
    memset(host_buffer, (int)(a[1] & 0xFF), PAGE_SIZE);
    memcpy(host_buffer, &a[0], sizeof(a[0]));
}

static void ask_agrees(const uint64_t *a, struct reply *reply)
{
    reply_add(reply, fake_tlb_agrees(host_vas[a[0] % HOST_VASES]->pt));
}

/* 0: no allocation was made to fail; 1, 2: one of frames, of an object. */
static void ask_struck(const uint64_t *a, struct reply *reply)
{
    const char *struck = interpose_struck();

    (void)a;
    interpose_fail(0);
    reply_add(reply, struck == NULL ? 0 : 1 + (strcmp(struck, "object_alloc") == 0));
}

static void run_destroy(const uint64_t *a, struct reply *reply)
{
    (void)reply;
    uk_vas_destroy(host_vas[a[0] % HOST_VASES]);
}

static void run_reset(const uint64_t *a, struct reply *reply)
{
    (void)a;
    (void)reply;
    host_reset();
}

/* ---- bugs ---- */

static void plant_object(const uint64_t *a, struct reply *reply)
{
    struct object_cache cache;
    char *object;

    object_cache_init(&cache, "planted", 64);
    object = object_alloc(&cache);
    (void)object_alloc(&cache);
    reply_add(reply, (uint64_t)object[128 + a[0] % 8]); /* of the third object, which is free */
}

static void plant_frame(const uint64_t *a, struct reply *reply)
{
    paddr_t pa = frames_alloc(1, 0, FRAME_PAGE);
    volatile char *memory = vmm_arch_ram(pa);

    frames_free(pa, 1);
    memory[a[0] % PAGE_SIZE] = 1;
    (void)reply;
}

static void plant_overflow(const uint64_t *a, struct reply *reply)
{
    volatile int most = INT_MAX;

    most = most + 1 + (int)(a[0] % 8);
    reply_add(reply, (uint64_t)(int64_t)most);
}

/* A frame goes while the CPU still translates to it. */
static void plant_stale(const uint64_t *a, struct reply *reply)
{
    __vaddr_t va = __VADDR_ANY;
    uint64_t value = a[0];
    unsigned level;

    (void)reply;
    (void)uk_vma_map_anon(host_vas[1], &va, PAGE_SIZE, PAGE_ATTR_PROT_RW, 0, NULL);
    (void)fake_user_access(USER_WRITE, va, &value);
    frames_free(PT_Lx_PTE_PADDR(vmm_arch_page_at(host_vas[1]->pt, va, &level), PAGE_LEVEL), 1);
}

const struct operation host_questions[] = {
    {"layout", ask_layout, {ARG_VAS}},         {"vmas", ask_vmas, {ARG_VAS}},
    {"pages", ask_pages, {ARG_VAS}},           {"peek", ask_peek, {ARG_VALUE}},
    {"frames", ask_frames, {ARG_END}},         {"stats", ask_stats, {ARG_VAS}},
    {"check", ask_check, {ARG_END}},           {"agrees", ask_agrees, {ARG_VAS}},
    {"file_name", ask_file_name, {ARG_SMALL}}, {"fill", run_fill, {ARG_VALUE, ARG_VALUE}},
    {"struck", ask_struck, {ARG_END}},         {"destroy", run_destroy, {ARG_VAS}},
    {"restart", run_reset, {ARG_END}},         {"plant_object", plant_object, {ARG_VALUE}},
    {"plant_frame", plant_frame, {ARG_VALUE}}, {"plant_overflow", plant_overflow, {ARG_VALUE}},
    {"plant_stale", plant_stale, {ARG_VALUE}},
};
const size_t host_question_count = ARRAY_SIZE(host_questions);
