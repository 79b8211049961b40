/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/shared_memory.h"
#include "core/vma_cow.h"
#include "lukos/status.h"
#include "lukos/vmm_arch.h"

/* Mappings of shared memory: its pages, at their first use here. They stay when the mapping goes. */

struct vma_shared {
    struct uk_vma base;
    shared_memory_t *memory; /* a reference of its own */
    uint64_t offset;         /* in it = VA + offset, modulo 2^64: stays right when the VMA is cut */
};

_Static_assert(sizeof(struct vma_shared) <= 128, "the size class");

struct args {
    shared_memory_t *memory;
    __sz offset;
};

static struct vma_shared *mapping_of(struct uk_vma *vma)
{
    return (struct vma_shared *)vma;
}

/* NOLINTBEGIN(readability-non-const-parameter): the type of uk_vma_ops.new */
static int shared_new(struct uk_vas *vas, __vaddr_t vaddr, __sz len, void *data, unsigned long attr,
                      unsigned long *flags, struct uk_vma **vma)
{
    const struct args *args = data;
    struct vma_shared *mapping = uk_malloc(vas->a, sizeof(*mapping));

    (void)attr;
    (void)len;
    (void)flags;
    if (mapping == NULL) {
        return -ENOMEM;
    }
    shared_memory_hold(args->memory);
    mapping->memory = args->memory;
    mapping->offset = args->offset - vaddr;
    mapping->base.name = NULL;
    *vma = &mapping->base;
    return 0;
}
/* NOLINTEND(readability-non-const-parameter) */

static void shared_destroy(struct uk_vma *vma)
{
    shared_memory_release(mapping_of(vma)->memory);
}

static int shared_fault(struct uk_vma *vma, struct uk_vm_fault *fault)
{
    struct vma_shared *mapping = mapping_of(vma);
    paddr_t pa = shared_memory_page(mapping->memory, fault->vbase + mapping->offset);

    if (pa == 0) {
        return -ENOMEM;
    }
    if ((vma->attr & PAGE_ATTR_PROT_EXEC) != 0) {
        vmm_arch_sync_code(pa, fault->len);
    }
    vma->vas->counts.shared++;
    fault->paddr = pa;
    return 0;
}

static int shared_clone(struct uk_vma *vma, struct uk_vas *vas, struct uk_vma **new_vma)
{
    *new_vma = vma_copy(vma, vas, sizeof(struct vma_shared));
    if (*new_vma == NULL) {
        return -ENOMEM;
    }
    shared_memory_hold(mapping_of(vma)->memory);
    return 0;
}

static int shared_split(struct uk_vma *vma, __vaddr_t vaddr, struct uk_vma **new_vma)
{
    (void)vaddr;
    return shared_clone(vma, vma->vas, new_vma);
}

static int shared_merge(struct uk_vma *vma, struct uk_vma *next)
{
    const struct vma_shared *below = mapping_of(vma);
    const struct vma_shared *above = mapping_of(next);

    return below->memory == above->memory && below->offset == above->offset ? 0 : -EPERM;
}

/* What DONTNEED drops here is still in the memory. No page of 4K is cut for it: it cannot fail. */
static int shared_advise(struct uk_vma *vma, __vaddr_t vaddr, __sz len, unsigned long advice)
{
    if ((advice & UK_VMA_ADV_DONTNEED) != 0) {
        (void)vma_unmap_borrowed(vma, vaddr, len);
    }
    return (advice & UK_VMA_ADV_WILLNEED) != 0 ? vma_prefault(vma, vaddr, len) : 0;
}

static const struct uk_vma_ops shared_ops = {
    .new = shared_new,
    .destroy = shared_destroy,
    .fault = shared_fault,
    .unmap = vma_unmap_borrowed,
    .split = shared_split,
    .merge = shared_merge,
    .set_attr = vma_set_attr_mapped,
    .advise = shared_advise,
    .clone = shared_clone,
};

int shared_memory_map(struct uk_vas *vas, __vaddr_t *vaddr, __sz len, unsigned long attr,
                      unsigned long flags, const char *name, shared_memory_t *memory, __sz offset)
{
    unsigned order = (unsigned)UK_VMA_MAP_SIZE_TO_ORDER(flags);
    struct args args = {memory, offset};

    if (!shared_memory_is_open(memory) || (order != 0 && order != PAGE_SHIFT) ||
        !is_aligned(offset, PAGE_SIZE) ||
        len > shared_memory_size(memory) - min_u64(offset, shared_memory_size(memory))) {
        return -EINVAL;
    }
    flags = (flags & ~(unsigned long)UK_VMA_MAP_UNINITIALIZED) | UK_VMA_MAP_SIZE_4KB;
    return uk_vma_map(vas, vaddr, len, attr, flags, name, &shared_ops, &args);
}
