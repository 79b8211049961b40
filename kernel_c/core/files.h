/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORE_FILES_H
#define CORE_FILES_H

#include "core/page_index.h"
#include "lib/lock.h"
#include "lukos/boot.h"
#include "lukos/files.h"

/*
 * What the files of the file layer share, and what mappings of files need of it.
 *
 * A file only grows, and its pages stay where they are until the last reference goes. So whoever
 * holds a reference may copy from and to a page without the lock, which must not be held there:
 * the other side of the copy may be demand-paged, from a file even.
 */
struct file {
    struct file *next; /* of the same hash; without meaning when it has no name any more */
    size_t references; /* the name, descriptors, mappings */
    uint64_t size;     /* bytes */
    struct page_index pages;
    struct lock lock; /* for size and pages */
    char path[];
};

/*
 * The one form of a path, in FILE_PATH_MAX bytes. -ENAMETOOLONG; -EINVAL: NULL, or it names no
 * file; ".." has no meaning without directories.
 */
int file_normalise(const char *from, char *path);

/* Another reference to what the descriptor stands for; its FILE_READ and FILE_WRITE, or -EBADF. */
int file_get(int fd, struct file **file);

/* A reference more, or one less: with the last one the file goes. */
void file_hold(struct file *file);
void file_release(struct file *file);

/*
 * Where the content from offset on is; *len is cut to what is there in one piece, 0: the end of
 * the file.
 */
const char *file_content(struct file *file, uint64_t offset, size_t *len);

/* The number of bytes written, or -EFAULT, -ENOMEM, -EFBIG: none. */
ptrdiff_t file_put(struct file *file, uint64_t offset, const char *from, size_t len);

uint64_t file_length(struct file *file);

/* Free all its memory. */
void file_clear(struct file *file);

/* Make files of a cpio archive in memory, as far as it is one. An empty range: nothing. */
void files_load(struct range initrd);

#endif
