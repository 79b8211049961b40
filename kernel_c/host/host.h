/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HOST_HOST_H
#define HOST_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lukos/shared_memory.h"
#include "lukos/vmm.h"
#include <uk/vmem.h>

/*
 * The core on the build host, driven by commands: calls of its interfaces with numbers as
 * arguments and results. They come as lines of text (server.c) or as bytes (fuzz.c).
 */

/* The VASes there are: the kernel's own, and those of two address spaces. */
#define HOST_VASES 3
extern struct uk_vas *host_vas[HOST_VASES];
extern address_space_t *host_space[HOST_VASES]; /* NULL for the kernel's */

/* The types of VMAs that can be mapped by number. */
#define HOST_KINDS 5
#define HOST_KIND_FILE 4
extern const struct uk_vma_ops *const host_kinds[HOST_KINDS];
extern const struct uk_vma_ops *host_shared_kind; /* of mappings of shared memory */

#define HOST_NAMES 3
extern const char *const host_names[HOST_NAMES]; /* of VMAs; the first is none */

#define HOST_FILES 3
extern const char *const host_paths[HOST_FILES];

/* Memory of the kernel: to map as dma, and to copy from and to. */
#define HOST_DMA_PAGES 2048
#define HOST_BUFFER_SIZE ((size_t)16 << 10)
extern paddr_t host_dma;
extern char *host_buffer;

/* The place of a handle to shared memory, by any number: in memory of the kernel. */
shared_memory_t **host_shared(uint64_t number);

/* Once: a machine with RAM of this size, the VMM and the VASes. */
void host_start(size_t ram_size);

/* Everything is as after host_start(), but for the numbers of address spaces; panics if not. */
void host_reset(void);

/* Panics when anything that must always be so is not. First of all: where RAM ends. */
void host_check_start(paddr_t end);
void host_check(void);

/* ---- commands ---- */

/* What an argument means: how text and bytes become one. */
enum argument {
    ARG_END,
    ARG_VAS,
    ARG_KIND,
    ARG_ADDRESS, /* of a page */
    ARG_SIZE,
    ARG_ATTR,
    ARG_MAP_FLAGS,
    ARG_FLAGS, /* UK_VMA_FLAG_STRICT_VMA_CHECK */
    ARG_NAME,
    ARG_SOURCE, /* what a VMA maps: a PA of dma, a file descriptor with its offset << 32 */
    ARG_ADVICE,
    ARG_SMALL, /* a number below 8 */
    ARG_VALUE,
};

#define HOST_ARGUMENTS 8

struct reply {
    uint64_t *values;
    size_t count;
    size_t room;
};

void reply_add(struct reply *reply, uint64_t value);

struct operation {
    const char *name;
    void (*run)(const uint64_t *arguments, struct reply *reply);
    uint8_t arguments[HOST_ARGUMENTS]; /* enum argument, the rest ARG_END */
};

/* Calls of the core, which any input may make; and those that only a test asks for. */
extern const struct operation host_calls[], host_questions[];
extern const size_t host_call_count, host_question_count;

/* ---- what stands between the core and its memory (interpose.c) ---- */

/* Before the core allocates anything. */
void interpose_start(paddr_t start, paddr_t end);

/* The n-th allocation from now on fails; 0: none. What was made to fail; NULL: nothing was. */
void interpose_fail(uint64_t n);
const char *interpose_struck(void);

/* True when the frame is handed out. */
bool interpose_in_use(paddr_t pa);

#endif
