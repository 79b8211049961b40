/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/platform.h"

#include "lib/assert.h"
#include "lib/bits.h"
#include "lib/fdt.h"
#include "lib/string.h"

static __attribute__((noinline)) void range_add(struct range *ranges, size_t *count,
                                                struct range range)
{
    if (range.end < range.start || *count == PLATFORM_RANGES) {
        panic("device tree: memory range [0x%lx, 0x%lx) wraps, or is one of more than %d",
              range.start, range.end, PLATFORM_RANGES);
    }
    if (range.start != range.end) {
        ranges[(*count)++] = range;
    }
}

void platform_reserve(struct platform *platform, struct range range, bool unmapped)
{
    platform->unmapped[platform->reserved_count % PLATFORM_RANGES] = unmapped;
    range_add(platform->reserved, &platform->reserved_count, range);
}

void platform_release(struct platform *platform, struct range range)
{
    for (size_t i = 0; i < platform->reserved_count; i++) {
        if (platform->reserved[i].start == range.start && platform->reserved[i].end == range.end) {
            platform->reserved_count--;
            platform->reserved[i] = platform->reserved[platform->reserved_count];
            platform->unmapped[i] = platform->unmapped[platform->reserved_count];
            return;
        }
    }
}

static bool is_memory(const struct fdt *fdt, int node)
{
    const char *type = fdt_string(fdt, node, "device_type");

    return type != NULL && strcmp(type, "memory") == 0;
}

static struct range range_of(uint64_t start, uint64_t size)
{
    return (struct range){start, start + size};
}

static void read_memory(struct platform *platform, const struct fdt *fdt)
{
    uint64_t start;
    uint64_t size;

    for (int node = fdt_first_child(fdt, 0); node >= 0; node = fdt_next_sibling(fdt, node)) {
        for (size_t i = 0; is_memory(fdt, node) && fdt_reg(fdt, node, i, &start, &size) == 0; i++) {
            range_add(platform->memory, &platform->memory_count, range_of(start, size));
        }
    }
    if (platform->memory_count == 0) {
        panic("device tree: no memory node");
    }
}

/* Both ways to reserve: the header's list, and the children of /reserved-memory. */
static void read_reserved(struct platform *platform, const struct fdt *fdt)
{
    uint64_t start;
    uint64_t size;
    int parent = fdt_path(fdt, "/reserved-memory");

    for (size_t i = 0; fdt_reserve_entry(fdt, i, &start, &size) == 0; i++) {
        platform_reserve(platform, range_of(start, size), false);
    }
    if (parent < 0) {
        return;
    }
    for (int node = fdt_first_child(fdt, parent); node >= 0; node = fdt_next_sibling(fdt, node)) {
        bool unmapped = fdt_property(fdt, node, "no-map", NULL) != NULL;

        for (size_t i = 0; fdt_reg(fdt, node, i, &start, &size) == 0; i++) {
            platform_reserve(platform, range_of(start, size), unmapped);
        }
    }
}

static void read_chosen(struct platform *platform, const struct fdt *fdt)
{
    int chosen = fdt_path(fdt, "/chosen");
    const char *arguments = chosen < 0 ? NULL : fdt_string(fdt, chosen, "bootargs");
    uint64_t start;
    uint64_t end;

    platform->arguments = arguments == NULL ? "" : arguments;
    if (chosen >= 0 && fdt_number(fdt, chosen, "linux,initrd-start", &start) == 0 &&
        fdt_number(fdt, chosen, "linux,initrd-end", &end) == 0) {
        platform->initrd = (struct range){start, end};
        platform_reserve(platform, platform->initrd, false);
    }
}

static void read_devices(struct platform *platform, const struct fdt *fdt)
{
    int console = fdt_next_compatible(fdt, -1, "arm,pl011");
    int psci = fdt_path(fdt, "/psci");
    uint64_t start;
    uint64_t size;

    if (console >= 0 && fdt_reg(fdt, console, 0, &start, &size) == 0) {
        platform->console = range_of(start, size);
    }
    platform->psci_method = psci < 0 ? NULL : fdt_string(fdt, psci, "method");
}

void platform_read(struct platform *platform, const void *fdt_blob, paddr_t fdt_pa)
{
    struct fdt fdt;

    if (fdt_open(&fdt, fdt_blob, SIZE_MAX) != 0) {
        panic("no device tree at PA 0x%lx", fdt_pa);
    }
    platform_reserve(platform, range_of(fdt_pa, fdt_total_size(&fdt)), false);
    read_memory(platform, &fdt);
    read_reserved(platform, &fdt);
    read_chosen(platform, &fdt);
    read_devices(platform, &fdt);
}

/* The first reserved range, by address, that counts and ends above start. */
static struct range next_reserved(const struct platform *platform, paddr_t start,
                                  bool only_unmapped)
{
    struct range next = {UINT64_MAX, UINT64_MAX};

    for (size_t i = 0; i < platform->reserved_count; i++) {
        struct range range = platform->reserved[i];

        if (range.end > start && range.start < next.start &&
            (platform->unmapped[i] || !only_unmapped)) {
            next = range;
        }
    }
    return next;
}

void platform_each(const struct platform *platform, paddr_t limit, bool only_unmapped,
                   void (*each)(struct range))
{
    for (size_t i = 0; i < platform->memory_count; i++) {
        paddr_t start = platform->memory[i].start;
        paddr_t end = min_u64(platform->memory[i].end, limit);

        do {
            struct range hole = next_reserved(platform, start, only_unmapped);
            struct range piece = {align_up(start, PAGE_SIZE),
                                  align_down(min_u64(hole.start, end), PAGE_SIZE)};

            if (piece.start < piece.end) {
                each(piece);
            }
            start = hole.end;
        } while (start < end);
    }
}

struct range platform_span(const struct platform *platform, paddr_t limit)
{
    struct range span = {UINT64_MAX, 0};

    for (size_t i = 0; i < platform->memory_count; i++) {
        span.start = min_u64(span.start, align_down(platform->memory[i].start, PAGE_SIZE));
        span.end = max_u64(span.end, min_u64(platform->memory[i].end, limit));
    }
    span.end = align_down(span.end, PAGE_SIZE);
    return span;
}

bool platform_argument(const struct platform *platform, const char *word)
{
    size_t length = strlen(word);

    for (const char *at = platform->arguments; *at != '\0';) {
        size_t token = 0;

        while (at[token] != '\0' && at[token] != ' ') {
            token++;
        }
        if (token == length && strncmp(at, word, length) == 0) {
            return true;
        }
        at += token;
        at += *at == ' ';
    }
    return false;
}
