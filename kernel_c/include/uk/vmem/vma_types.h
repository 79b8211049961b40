/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef UK_VMEM_VMA_TYPES_H
#define UK_VMEM_VMA_TYPES_H

#ifndef UK_VMEM_H
#error "include uk/vmem.h, which includes this"
#endif

/* ---- a reservation: nothing is mapped or unmapped, but the range is not given to others ---- */

extern const struct uk_vma_ops uk_vma_rsvd_ops;

static inline int uk_vma_reserve(struct uk_vas *vas, __vaddr_t *vaddr, __sz len)
{
    return uk_vma_map(vas, vaddr, len, 0, 0, __NULL, &uk_vma_rsvd_ops, __NULL);
}

/* For what the page table maps already, attr telling how; or in place of VMAs (REPLACE). */
static inline int uk_vma_reserve_ex(struct uk_vas *vas, __vaddr_t *vaddr, __sz len,
                                    unsigned long attr, unsigned long flags, const char *name)
{
    return uk_vma_map(vas, vaddr, len, attr, flags, name, &uk_vma_rsvd_ops, __NULL);
}

/* ---- anonymous memory ---- */

extern const struct uk_vma_ops uk_vma_anon_ops;

static inline int uk_vma_map_anon(struct uk_vas *vas, __vaddr_t *vaddr, __sz len,
                                  unsigned long attr, unsigned long flags, const char *name)
{
    return uk_vma_map(vas, vaddr, len, attr, flags, name, &uk_vma_anon_ops, __NULL);
}

/*
 * ---- a stack ----
 *
 *   *vaddr - bottom  ┌────────────┐
 *                    │   guard    │ UK_VMA_STACK_BOTTOM_GUARD_SIZE
 *   *vaddr           ├────────────┤
 *                    │  on demand │ len
 *                    │ premapped  │
 *   *vaddr + len     ├────────────┤ where it starts, unless UK_VMA_STACK_GROWS_UP
 *                    │   guard    │ UK_VMA_STACK_TOP_GUARD_SIZE
 *                    └────────────┘
 *
 * Never split and never merged, so that the guards stay where they are.
 */
extern const struct uk_vma_ops uk_vma_stack_ops;

#define UK_VMA_STACK_GROWS_UP (0x1UL << UK_VMA_MAP_EXTF_SHIFT)
#define UK_VMA_STACK_TOP_GUARD_SIZE (CONFIG_LIBUKVMEM_STACK_GUARD_PAGES_TOP * PAGE_SIZE)
#define UK_VMA_STACK_BOTTOM_GUARD_SIZE (CONFIG_LIBUKVMEM_STACK_GUARD_PAGES_BOTTOM * PAGE_SIZE)
#define UK_VMA_STACK_GUARDS_SIZE (UK_VMA_STACK_TOP_GUARD_SIZE + UK_VMA_STACK_BOTTOM_GUARD_SIZE)

/* len is without the guards, of which premapped_len are present at once. */
int uk_vma_map_stack(struct uk_vas *vas, __vaddr_t *vaddr, __sz len, unsigned long flags,
                     const char *name, __sz premapped_len);

/* ---- physical memory that belongs to somebody else: devices, frames of one's own ---- */

extern const struct uk_vma_ops uk_vma_dma_ops;

struct uk_vma_dma_args {
    __paddr_t paddr;
};

static inline int uk_vma_map_dma(struct uk_vas *vas, __vaddr_t *vaddr, __sz len, unsigned long attr,
                                 unsigned long flags, const char *name, __paddr_t paddr)
{
    struct uk_vma_dma_args args = {.paddr = paddr};

    return uk_vma_map(vas, vaddr, len, attr, flags, name, &uk_vma_dma_ops, &args);
}

/* ---- a file ---- */

extern const struct uk_vma_ops uk_vma_file_ops;

#define UK_VMA_FILE_SHARED (0x1UL << UK_VMA_MAP_EXTF_SHIFT)

struct uk_vma_file_args {
    int fd;
    __off offset;
};

static inline int uk_vma_map_file(struct uk_vas *vas, __vaddr_t *vaddr, __sz len,
                                  unsigned long attr, unsigned long flags, int fd, __off offset)
{
    struct uk_vma_file_args args = {.fd = fd, .offset = offset};

    return uk_vma_map(vas, vaddr, len, attr, flags, __NULL, &uk_vma_file_ops, &args);
}

#endif
