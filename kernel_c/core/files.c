/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/files.h"

#include "lib/string.h"
#include "lukos/status.h"
#include <uk/alloc.h>
#include <uk/nofault.h>

/* Names of files, descriptors, and who refers to what. */

#define FIRST_FD 3
#define BUCKETS 256U

struct descriptor {
    struct file *file; /* NULL: free */
    uint64_t position;
    unsigned flags;
};

static struct {
    struct lock lock; /* for all of this, and for the references of each file */
    struct file *buckets[BUCKETS];
    struct descriptor opened[FILE_OPEN_MAX];
} files;

/* ---- names ---- */

/* FNV-1a */
static unsigned bucket_of(const char *path)
{
    uint32_t hash = 2166136261U;

    for (; *path != '\0'; path++) {
        hash = (hash ^ (uint8_t)*path) * 16777619U;
    }
    return hash % BUCKETS;
}

/* The link to the file of this name, or to NULL at the end of its bucket. */
static struct file **find(const char *path)
{
    struct file **link = &files.buckets[bucket_of(path)];

    while (*link != NULL && strcmp((*link)->path, path) != 0) {
        link = &(*link)->next;
    }
    return link;
}

/* ---- references ---- */

void file_hold(struct file *file)
{
    lock_acquire(&files.lock);
    file->references++;
    lock_release(&files.lock);
}

void file_release(struct file *file)
{
    bool last;

    lock_acquire(&files.lock);
    last = --file->references == 0;
    lock_release(&files.lock);
    if (last) {
        file_clear(file);
        uk_free(uk_alloc_get_default(), file);
    }
}

/* An empty file with a name, which is its only reference. NULL: out of memory. */
static struct file *create(struct file **link, const char *path)
{
    size_t size = strlen(path) + 1;
    struct file *file = uk_malloc(uk_alloc_get_default(), sizeof(*file) + size);

    if (file != NULL) {
        *file = (struct file){.references = 1};
        memcpy(file->path, path, size);
        *link = file;
    }
    return file;
}

int file_unlink(const char *path)
{
    char name[FILE_PATH_MAX];
    struct file **link;
    struct file *file;
    int status = file_normalise(path, name);

    if (status != 0) {
        return status;
    }
    lock_acquire(&files.lock);
    link = find(name);
    file = *link;
    if (file != NULL) {
        *link = file->next;
    }
    lock_release(&files.lock);
    if (file == NULL) {
        return -ENOENT;
    }
    file_release(file);
    return 0;
}

/* ---- descriptors ---- */

/* The descriptor, if it is open. */
static struct descriptor *descriptor_of(int fd)
{
    if (fd < FIRST_FD || fd >= FIRST_FD + FILE_OPEN_MAX) {
        return NULL;
    }
    return files.opened[fd - FIRST_FD].file == NULL ? NULL : &files.opened[fd - FIRST_FD];
}

static int open_name(const char *path, unsigned flags)
{
    struct file **link = find(path);
    struct file *file = *link;
    int i = 0;

    if (file == NULL && (flags & FILE_CREATE) == 0) {
        return -ENOENT;
    }
    if (file != NULL && (flags & FILE_EXCLUSIVE) != 0) {
        return -EEXIST;
    }
    while (i < FILE_OPEN_MAX && files.opened[i].file != NULL) {
        i++;
    }
    if (i == FILE_OPEN_MAX) {
        return -EMFILE;
    }
    file = file != NULL ? file : create(link, path);
    if (file == NULL) {
        return -ENOMEM;
    }
    file->references++;
    files.opened[i] = (struct descriptor){.file = file, .flags = flags & FILE_RW};
    return FIRST_FD + i;
}

int file_open(const char *path, unsigned flags)
{
    const unsigned all = FILE_RW | FILE_CREATE | FILE_EXCLUSIVE;
    char name[FILE_PATH_MAX];
    int status = file_normalise(path, name);

    if (status == 0 && ((flags & ~all) != 0 || (flags & FILE_RW) == 0 ||
                        (flags & (FILE_CREATE | FILE_EXCLUSIVE)) == FILE_EXCLUSIVE)) {
        status = -EINVAL;
    }
    if (status == 0) {
        lock_acquire(&files.lock);
        status = open_name(name, flags);
        lock_release(&files.lock);
    }
    return status;
}

int file_close(int fd)
{
    struct descriptor *descriptor;
    struct file *file = NULL;

    lock_acquire(&files.lock);
    descriptor = descriptor_of(fd);
    if (descriptor != NULL) {
        file = descriptor->file;
        descriptor->file = NULL;
    }
    lock_release(&files.lock);
    if (file == NULL) {
        return -EBADF;
    }
    file_release(file);
    return 0;
}

/* A copy of the descriptor, with a reference of its own, if it is open for this. */
static int descriptor_get(int fd, unsigned flags, struct descriptor *copy)
{
    const struct descriptor *descriptor;
    int status = -EBADF;

    lock_acquire(&files.lock);
    descriptor = descriptor_of(fd);
    if (descriptor != NULL && (descriptor->flags & flags) == flags) {
        *copy = *descriptor;
        copy->file->references++;
        status = 0;
    }
    lock_release(&files.lock);
    return status;
}

/* Give the reference back; what was done may have moved the position. */
static void descriptor_put(int fd, const struct descriptor *copy, ptrdiff_t moved)
{
    struct descriptor *descriptor;

    lock_acquire(&files.lock);
    descriptor = descriptor_of(fd);
    if (moved > 0 && descriptor != NULL && descriptor->file == copy->file) {
        descriptor->position = copy->position + (uint64_t)moved;
    }
    lock_release(&files.lock);
    file_release(copy->file);
}

int file_get(int fd, struct file **file)
{
    struct descriptor descriptor;
    int status = descriptor_get(fd, 0, &descriptor);

    if (status != 0) {
        return status;
    }
    *file = descriptor.file;
    return (int)descriptor.flags;
}

/* ---- reading and writing ---- */

static ptrdiff_t read_at(struct file *file, uint64_t offset, char *to, size_t len)
{
    size_t done = 0;
    size_t piece;
    size_t copied;

    do {
        const char *from;

        piece = len - done;
        from = file_content(file, offset + done, &piece);
        copied = uk_nofault_memcpy(to + done, from, piece, 0);
        done += copied;
    } while (piece != 0 && copied == piece);
    return done == 0 && copied != piece ? -EFAULT : (ptrdiff_t)done;
}

ptrdiff_t file_read(int fd, void *buffer, size_t len)
{
    struct descriptor descriptor;
    ptrdiff_t done = descriptor_get(fd, FILE_READ, &descriptor);

    if (done == 0) {
        done = read_at(descriptor.file, descriptor.position, buffer, len);
        descriptor_put(fd, &descriptor, done);
    }
    return done;
}

ptrdiff_t file_write(int fd, const void *buffer, size_t len)
{
    struct descriptor descriptor;
    ptrdiff_t done = descriptor_get(fd, FILE_WRITE, &descriptor);

    if (done == 0) {
        done = file_put(descriptor.file, descriptor.position, buffer, len);
        descriptor_put(fd, &descriptor, done);
    }
    return done;
}

int file_seek(int fd, int64_t position)
{
    struct descriptor *descriptor;
    int status = position < 0 ? -EINVAL : -EBADF;

    lock_acquire(&files.lock);
    descriptor = descriptor_of(fd);
    if (descriptor != NULL && position >= 0) {
        descriptor->position = (uint64_t)position;
        status = 0;
    }
    lock_release(&files.lock);
    return status;
}

int64_t file_size(int fd)
{
    struct file *file = NULL;
    int64_t size = file_get(fd, &file);

    if (size >= 0) {
        size = (int64_t)file_length(file);
        file_release(file);
    }
    return size;
}
