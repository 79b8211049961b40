/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/files.h"

#include "lib/bits.h"
#include "lukos/frames.h"
#include "lukos/status.h"
#include "lukos/vmm_arch.h"
#include <uk/nofault.h>

/* Where the bytes of a file are: a page that nobody has written to stands for zeros. */

_Static_assert(FILE_SIZE_MAX == PAGE_INDEX_SIZE, "all of it");

static const char zeros[PAGE_SIZE];

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

    *len = in_page(offset, min_u64(size - min_u64(offset, size), *len));
    lock_acquire(&file->lock);
    page = page_index_find(&file->pages, offset >> PAGE_SHIFT);
    lock_release(&file->lock);
    return (page == 0 ? zeros : (const char *)vmm_arch_ram(page)) + offset_in_page(offset);
}

static void grow_to(struct file *file, uint64_t size)
{
    lock_acquire(&file->lock);
    __atomic_store_n(&file->size, max_u64(size, file->size), __ATOMIC_RELEASE);
    lock_release(&file->lock);
}

/* A piece within a page. The number of bytes, fewer than len at -EFAULT, or -ENOMEM. */
static ptrdiff_t put_piece(struct file *file, uint64_t offset, const char *from, size_t len)
{
    paddr_t page;
    size_t written;

    lock_acquire(&file->lock);
    page = page_index_make(&file->pages, offset >> PAGE_SHIFT);
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

void file_clear(struct file *file)
{
    page_index_clear(&file->pages);
}
