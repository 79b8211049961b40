/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORE_PLATFORM_H
#define CORE_PLATFORM_H

#include "lukos/boot.h"

#define PLATFORM_RANGES 32

/* What the device tree says of the machine. */
struct platform {
    struct range memory[PLATFORM_RANGES];
    size_t memory_count;
    struct range reserved[PLATFORM_RANGES]; /* never handed out */
    bool unmapped[PLATFORM_RANGES];         /* nor even mapped: no-map */
    size_t reserved_count;
    struct range initrd;  /* empty: none */
    struct range console; /* a PL011; empty: none */
    const char *psci_method;
    const char *arguments; /* /chosen/bootargs, never NULL */
};

/*
 * Read the device tree at fdt_blob, which lies at fdt_pa. Panics when there is no memory, or more
 * ranges than fit: a range that is forgotten would be handed out.
 */
void platform_read(struct platform *platform, const void *fdt_blob, paddr_t fdt_pa);

void platform_reserve(struct platform *platform, struct range range, bool unmapped);

/* Take back one platform_reserve() of this range, if there was one. */
void platform_release(struct platform *platform, struct range range);

/*
 * Call each() for every whole-page piece of memory below limit that no reserved range touches;
 * with only_unmapped, reserved ranges that are mapped all the same do not count.
 */
void platform_each(const struct platform *platform, paddr_t limit, bool only_unmapped,
                   void (*each)(struct range));

/* The smallest range that holds all memory below limit. */
struct range platform_span(const struct platform *platform, paddr_t limit);

/* True when word is one of the blank-separated boot arguments. */
bool platform_argument(const struct platform *platform, const char *word);

#endif
