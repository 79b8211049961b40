/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORE_VMA_COW_H
#define CORE_VMA_COW_H

#include "core/vma.h"

/*
 * Copy on write: private memory that address spaces have in common until one of them writes.
 *
 * The frames say who shares: one with references beyond the first is mapped read-only by all,
 * whatever their VMAs allow. A write is a permission fault then, which copies the page, or takes it
 * over where the others have gone.
 *
 * The unit is the page size that the VMA insists on. A larger page that was merely possible is cut
 * down to it first: copying 4K costs less than 2M, and leaves the rest shared.
 */

/* The attributes that pages of the VMA may be given at once, when these are wanted. */
static inline unsigned long vma_cow_attr(const struct uk_vma *vma, unsigned long attr)
{
    return (vma->flags & VMA_FLAG_COW) == 0 || (attr & PAGE_ATTR_PROT_WRITE) == 0
               ? attr
               : (attr & ~(unsigned long)PAGE_ATTR_PROT_WRITE) | PAGE_ATTR_PROT_READ;
}

/*
 * Held while records of frames are changed, or relied upon, that somebody in another address space
 * may have a reference to. VMAs without VMA_FLAG_COW have their frames for themselves.
 */
extern struct lock vma_frames;

static inline void vma_frames_lock(const struct uk_vma *vma)
{
    if ((vma->flags & VMA_FLAG_COW) != 0) {
        lock_acquire(&vma_frames);
    }
}

static inline void vma_frames_unlock(const struct uk_vma *vma)
{
    if ((vma->flags & VMA_FLAG_COW) != 0) {
        lock_release(&vma_frames);
    }
}

/*
 * A copy of the VMA for vas, in memory of `size` bytes as its type has it, without a place in the
 * tree and with nothing mapped. NULL: out of memory.
 */
struct uk_vma *vma_copy(const struct uk_vma *vma, struct uk_vas *vas, __sz size);

/* The same with all that is present in the VMA shared. -ENOMEM, -EOVERFLOW. */
int vma_copy_shared(const struct uk_vma *vma, struct uk_vas *vas, __sz size, struct uk_vma **copy);

/* The clone operation of types that own their memory and have nothing of their own to copy. */
int vma_clone_owned(struct uk_vma *vma, struct uk_vas *vas, struct uk_vma **new_vma);

/* Resolve an access to a page that is present, but not for this. -EFAULT: it never will be. */
int vma_cow_fault(struct uk_vma *vma, __vaddr_t vaddr, unsigned type);

/*
 * Let the VMA have what is present in the range for itself, so that it may be written to. -ENOMEM:
 * a part is.
 */
int vma_cow_own(struct uk_vma *vma, __vaddr_t vaddr, __vaddr_t end);

#endif
