/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/files.h"

#include "lib/bits.h"
#include "lukos/frames.h"
#include "lukos/status.h"
#include "lukos/vmm_arch.h"
#include <uk/nofault.h>

/*
 * Where the bytes of a file are: in frames, found through a tree of tables as high as the file is
 * large. Nothing moves when it grows, and no run of frames is needed.
 *
 *   height 0: root is the page of bytes [0, 4K)         height 2: up to 1G
 *   height 1: root is a table of 512 pages, up to 2M    height 3: up to 512G
 *
 * A table holds physical addresses; 0 stands for zeros that nobody has written to.
 */

#define TABLE_SHIFT 9U
#define TABLE_ENTRIES ((size_t)1 << TABLE_SHIFT)
#define HEIGHT_MAX 3U

_Static_assert(FILE_SIZE_MAX == (int64_t)1 << (PAGE_SHIFT + HEIGHT_MAX * TABLE_SHIFT), "all of it");

static const char zeros[PAGE_SIZE];

static paddr_t new_frame(void)
{
    paddr_t pa = frames_alloc(1, 0, FRAME_FILE);

    if (pa != 0) {
        vmm_arch_zero(pa, PAGE_SIZE);
    }
    return pa;
}

/* Make the tree high enough for the page of this number. */
static int raise(struct file *file, uint64_t page)
{
    while (page >> (file->height * TABLE_SHIFT) != 0) {
        if (file->root != 0) {
            paddr_t table = new_frame();

            if (table == 0) {
                return -ENOMEM;
            }
            *(paddr_t *)vmm_arch_ram(table) = file->root;
            file->root = table;
        }
        file->height++;
    }
    return 0;
}

/* The page of this number, within the file, so that the tree is high enough; 0: zeros. */
static paddr_t find_page(const struct file *file, uint64_t page)
{
    paddr_t at = file->root;

    for (unsigned level = file->height; level > 0 && at != 0; level--) {
        const paddr_t *table = vmm_arch_ram(at);

        at = table[page >> ((level - 1) * TABLE_SHIFT) & (TABLE_ENTRIES - 1)];
    }
    return at;
}

/* The same, made if there is none. 0: out of memory. */
static paddr_t make_page(struct file *file, uint64_t page)
{
    paddr_t *slot = &file->root;

    if (raise(file, page) != 0) {
        return 0;
    }
    for (unsigned level = file->height;; level--) {
        if (*slot == 0) {
            *slot = new_frame();
        }
        if (*slot == 0 || level == 0) {
            return *slot;
        }
        slot = (paddr_t *)vmm_arch_ram(*slot) +
               (page >> ((level - 1) * TABLE_SHIFT) & (TABLE_ENTRIES - 1));
    }
}

static size_t offset_in_page(uint64_t offset)
{
    return offset & (PAGE_SIZE - 1);
}

static size_t in_page(uint64_t offset, uint64_t len)
{
    return min_u64(PAGE_SIZE - offset_in_page(offset), len);
}

uint64_t file_length(struct file *file)
{
    return __atomic_load_n(&file->size, __ATOMIC_ACQUIRE);
}

const char *file_content(struct file *file, uint64_t offset, size_t *len)
{
    uint64_t size = file_length(file);
    paddr_t page;

    if (offset >= size) {
        *len = 0;
        return NULL;
    }
    *len = in_page(offset, min_u64(size - offset, *len));
    lock_acquire(&file->lock);
    page = find_page(file, offset >> PAGE_SHIFT);
    lock_release(&file->lock);
    return (page == 0 ? zeros : (const char *)vmm_arch_ram(page)) + offset_in_page(offset);
}

static void grow_to(struct file *file, uint64_t size)
{
    lock_acquire(&file->lock);
    if (size > file->size) {
        __atomic_store_n(&file->size, size, __ATOMIC_RELEASE);
    }
    lock_release(&file->lock);
}

/* A piece within a page. The number of bytes, fewer than len at -EFAULT, or -ENOMEM. */
static ptrdiff_t put_piece(struct file *file, uint64_t offset, const char *from, size_t len)
{
    paddr_t page;
    size_t written;

    lock_acquire(&file->lock);
    page = make_page(file, offset >> PAGE_SHIFT);
    lock_release(&file->lock);
    if (page == 0) {
        return -ENOMEM;
    }
    written = uk_nofault_memcpy((char *)vmm_arch_ram(page) + offset_in_page(offset), from, len, 0);
    if (written > 0) {
        grow_to(file, offset + written);
    }
    return (ptrdiff_t)written;
}

ptrdiff_t file_put(struct file *file, uint64_t offset, const char *from, size_t len)
{
    size_t done = 0;

    if (offset >= FILE_SIZE_MAX && len > 0) {
        return -EFBIG;
    }
    len = min_u64(len, FILE_SIZE_MAX - offset);
    while (done < len) {
        size_t piece = in_page(offset + done, len - done);
        ptrdiff_t written = put_piece(file, offset + done, from + done, piece);

        if (written < 0) {
            return done == 0 ? written : (ptrdiff_t)done;
        }
        done += (size_t)written;
        if ((size_t)written < piece) {
            break;
        }
    }
    return done == 0 && len > 0 ? -EFAULT : (ptrdiff_t)done;
}

/* Free a page, or a table of this height with all below it. */
static void free_tree(paddr_t root, unsigned height)
{
    const paddr_t *table = vmm_arch_ram(root);

    for (size_t i = 0; height > 0 && i < TABLE_ENTRIES; i++) {
        if (table[i] != 0) {
            free_tree(table[i], height - 1);
        }
    }
    frames_free(root, 1);
}

void file_clear(struct file *file)
{
    if (file->root != 0) {
        free_tree(file->root, file->height);
    }
}
