/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/files.h"

#include "lib/console.h"
#include "lib/cpio.h"
#include "lukos/status.h"
#include "lukos/vmm_arch.h"

/* The initial RAM disk: its files become files in memory. */

/* Why an entry is none of ours; NULL: it is a file. */
static const char *why_not(const struct cpio_entry *entry)
{
    if ((entry->mode & CPIO_TYPE) != CPIO_TYPE_REGULAR) {
        return "not a regular file";
    }
    return entry->links > 1 && entry->size == 0 ? "a hard link, with its data elsewhere" : NULL;
}

/* As with any unpacking, of two files with one name the later stays. */
static int open_new(const char *path)
{
    int fd = file_open(path, FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE);

    if (fd == -EEXIST) {
        (void)file_unlink(path);
        fd = file_open(path, FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE);
    }
    return fd;
}

/* All of a file, or nothing. */
static int load(const struct cpio_entry *entry)
{
    int fd = open_new(entry->name);
    bool whole;

    if (fd < 0) {
        return fd;
    }
    whole = file_write(fd, entry->data, entry->size) == (ptrdiff_t)entry->size;
    (void)file_close(fd);
    if (!whole) {
        (void)file_unlink(entry->name);
        return -ENOMEM;
    }
    return 0;
}

static bool load_if_file(const struct cpio_entry *entry)
{
    const char *reason = why_not(entry);
    int status;

    if ((entry->mode & CPIO_TYPE) == CPIO_TYPE_DIRECTORY) {
        return false;
    }
    if (reason == NULL) {
        status = load(entry);
        reason = status == 0 ? NULL : status_name(status);
    }
    if (reason != NULL) {
        console_printf("initrd: \"%s\" is left out: %s\n", entry->name, reason);
    }
    return reason == NULL;
}

void files_load(struct range initrd)
{
    struct cpio cpio = {.size = initrd.end - initrd.start};
    struct cpio_entry entry;
    size_t count = 0;
    int status;

    if (cpio.size == 0) {
        return;
    }
    cpio.archive = vmm_arch_ram(initrd.start);
    if (!vmm_arch_kernel_access(cpio.archive, cpio.size,
                                false)) { /* a device tree may say anything */
        console_printf("initrd: [0x%lx, 0x%lx) is not all memory\n", initrd.start, initrd.end);
        return;
    }
    while ((status = cpio_next(&cpio, &entry)) == 0) {
        count += load_if_file(&entry);
    }
    console_printf("initrd: %zu files\n", count);
    if (status != -ENOENT) {
        console_printf(
            "initrd: malformed at byte %zu of %zu, not a cpio archive (newc) from there\n",
            cpio.offset, cpio.size);
    }
}
