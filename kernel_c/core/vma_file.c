/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/files.h"
#include "core/vma_cow.h"
#include "lib/string.h"
#include "lukos/frames.h"
#include "lukos/status.h"
#include "lukos/vmm_arch.h"

/*
 * Private mappings of files: each page is a copy, made at its first use. What is written to the
 * file later is seen in pages not used before; what is written to the pages stays in the mapping.
 */

struct vma_file {
    struct uk_vma base;
    struct file *file; /* a reference of its own */
    uint64_t offset;   /* in the file = VA + offset, modulo 2^64: stays right when the VMA is cut */
};

_Static_assert(sizeof(struct vma_file) <= 128, "the size class");

static struct vma_file *mapping_of(struct uk_vma *vma)
{
    return (struct vma_file *)vma;
}

/* Takes over the reference to the file. NULL: out of memory, and it does not. */
static struct uk_vma *mapping_alloc(struct uk_vas *vas, struct file *file, uint64_t offset)
{
    struct vma_file *mapping = uk_malloc(vas->a, sizeof(*mapping));

    if (mapping == NULL) {
        return NULL;
    }
    mapping->file = file;
    mapping->offset = offset;
    mapping->base.name = file->path;
    return &mapping->base;
}

static int validate(const struct uk_vma_file_args *args, __sz len, unsigned long flags)
{
    int64_t end;

    if (args == NULL || args->offset < 0 || !is_aligned((uint64_t)args->offset, PAGE_SIZE) ||
        __builtin_add_overflow(args->offset, len, &end)) {
        return -EINVAL;
    }
    return (flags & UK_VMA_FILE_SHARED) != 0 ? -ENOTSUP : 0;
}

static int file_new(struct uk_vas *vas, __vaddr_t vaddr, __sz len, void *data, unsigned long attr,
                    unsigned long *flags, struct uk_vma **vma)
{
    const struct uk_vma_file_args *args = data;
    struct file *file;
    int status = validate(args, len, *flags);

    (void)attr;
    if (status != 0) {
        return status;
    }
    status = file_get(args->fd, &file);
    if (status < 0) {
        return status;
    }
    *vma = NULL;
    if ((status & FILE_READ) != 0) {
        *vma = mapping_alloc(vas, file, (uint64_t)args->offset - vaddr);
    }
    if (*vma == NULL) {
        file_release(file);
        return (status & FILE_READ) != 0 ? -ENOMEM : -EACCES;
    }
    *flags &= ~(unsigned long)UK_VMA_MAP_UNINITIALIZED; /* all of it comes from the file */
    return 0;
}

static void file_destroy(struct uk_vma *vma)
{
    file_release(mapping_of(vma)->file);
}

/* Fill memory from the file, and with zeros behind its end. */
static void fill(struct file *file, uint64_t offset, char *to, size_t len)
{
    while (len > 0) {
        size_t piece = len;
        const char *from = file_content(file, offset, &piece);

        if (piece == 0) {
            memset(to, 0, len);
            return;
        }
        memcpy(to, from, piece);
        offset += piece;
        to += piece;
        len -= piece;
    }
}

/*
 * A page that has nothing of the file faults. Where the size of pages is ours to choose, none is
 * so large that it covers up such a one.
 */
static int file_fault(struct uk_vma *vma, struct uk_vm_fault *fault)
{
    struct vma_file *mapping = mapping_of(vma);
    uint64_t offset = fault->vbase + mapping->offset;
    uint64_t end = align_up(file_length(mapping->file), PAGE_SIZE);
    int status;

    if (offset >= end) {
        return -EFAULT;
    }
    if (fault->len > end - offset &&
        (vma->page_lvl == VMA_LEVEL_ANY || fault->len > PAGE_Lx_SIZE(fault->level))) {
        return -ENOMEM;
    }
    status = vma_supply(vma, fault, &vma->vas->counts.file);
    if (status != 0) {
        return status;
    }
    fill(mapping->file, offset, vmm_arch_ram(fault->paddr), fault->len);
    if ((vma->attr & PAGE_ATTR_PROT_EXEC) != 0) {
        vmm_arch_sync_code(fault->paddr, fault->len);
    }
    return 0;
}

static int file_split(struct uk_vma *vma, __vaddr_t vaddr, struct uk_vma **new_vma)
{
    struct vma_file *mapping = mapping_of(vma);

    (void)vaddr;
    *new_vma = mapping_alloc(vma->vas, mapping->file, mapping->offset);
    if (*new_vma == NULL) {
        return -ENOMEM;
    }
    file_hold(mapping->file);
    return 0;
}

static int file_merge(struct uk_vma *vma, struct uk_vma *next)
{
    const struct vma_file *below = mapping_of(vma);
    const struct vma_file *above = mapping_of(next);

    return below->file == above->file && below->offset == above->offset ? 0 : -EPERM;
}

/* As for anonymous memory; what DONTNEED drops comes from the file again. */
static int file_advise(struct uk_vma *vma, __vaddr_t vaddr, __sz len, unsigned long advice)
{
    return uk_vma_anon_ops.advise(vma, vaddr, len, advice);
}

static int file_clone(struct uk_vma *vma, struct uk_vas *vas, struct uk_vma **new_vma)
{
    int status = vma_copy_shared(vma, vas, sizeof(struct vma_file), new_vma);

    if (status == 0) {
        file_hold(mapping_of(vma)->file);
    }
    return status;
}

const struct uk_vma_ops uk_vma_file_ops = {
    .new = file_new,
    .destroy = file_destroy,
    .fault = file_fault,
    .unmap = vma_unmap_owned,
    .split = file_split,
    .merge = file_merge,
    .set_attr = vma_set_attr_mapped,
    .advise = file_advise,
    .clone = file_clone,
    .fault_takes_runs = true,
};
