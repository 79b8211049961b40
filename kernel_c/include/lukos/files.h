/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LUKOS_FILES_H
#define LUKOS_FILES_H

#include <stddef.h>
#include <stdint.h>

/*
 * Files in memory. What the initial RAM disk holds is there from the start.
 *
 * A file has one absolute path; "a//./b" is "/a/b". There are no directories: a path is a name
 * like any other, and creating "/a/b" needs no "/a". A file lives until it has no name and nobody
 * has it open or mapped any more; then its memory is free again.
 *
 * Results are 0 or more, or a negative errno (lukos/status.h).
 */

#define FILE_PATH_MAX 256 /* bytes, with the NUL */
#define FILE_OPEN_MAX 64  /* at a time */
#define FILE_SIZE_MAX ((int64_t)1 << 39)

#define FILE_READ 0x1
#define FILE_WRITE 0x2
#define FILE_RW (FILE_READ | FILE_WRITE)
#define FILE_CREATE 0x4    /* if there is none */
#define FILE_EXCLUSIVE 0x8 /* with FILE_CREATE: there must be none */

/*
 * The lowest free file descriptor, from 3 on: 0 to 2 are consoles elsewhere. -EINVAL (path, or
 * neither read nor write), -ENAMETOOLONG, -ENOENT, -EEXIST, -EMFILE, -ENOMEM.
 */
int file_open(const char *path, unsigned flags);
int file_close(int fd);

/*
 * Read, or write, at the descriptor's position, which moves on. The number of bytes: 0 at the end
 * of the file, and less than len where the file, memory or the buffer ends. -EBADF, -EFAULT,
 * -ENOMEM, -EFBIG: not a byte.
 */
ptrdiff_t file_read(int fd, void *buffer, size_t len);
ptrdiff_t file_write(int fd, const void *buffer, size_t len);

/* Set the position, which may be beyond the end: what is never written between reads as 0. */
int file_seek(int fd, int64_t position);

/* Bytes in the file. */
int64_t file_size(int fd);

/* Take a file's name away. Whoever has it open or mapped does not notice. */
int file_unlink(const char *path);

#endif
