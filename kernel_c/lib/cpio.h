/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIB_CPIO_H
#define LIB_CPIO_H

#include <stddef.h>
#include <stdint.h>

#include "lukos/status.h"

/*
 * A reader of cpio archives in the "newc" format, as initial RAM disks have it:
 *
 *   0    ┌──────────────┐
 *        │ "070701"     │ magic number
 *   6    │ 13 fields    │ 8 hexadecimal digits each
 *   110  │ name         │ with its NUL; then zeros up to a multiple of 4
 *        │ data         │ again with zeros up to a multiple of 4
 *        └──────────────┘ the next entry; the one named "TRAILER!!!" is the last
 *
 * The archive comes from outside and is not trusted: nothing is read outside [archive, archive +
 * size), and what is malformed ends the walk.
 */
struct cpio {
    const uint8_t *archive;
    size_t size;
    size_t offset; /* of the next entry */
};

struct cpio_entry {
    const char *name; /* in the archive, never empty */
    const uint8_t *data;
    size_t size;    /* of data, in bytes */
    uint32_t mode;  /* as st_mode */
    uint32_t links; /* names of the same file; the data may be with any of them */
};

#define CPIO_TYPE 0170000U
#define CPIO_TYPE_REGULAR 0100000U
#define CPIO_TYPE_DIRECTORY 0040000U

/*
 * The entry at cpio->offset, which moves on to the next. -ENOENT: it is the last; -EINVAL: it is
 * malformed, or breaks off. Then offset and *entry stay.
 */
int cpio_next(struct cpio *cpio, struct cpio_entry *entry);

#endif
