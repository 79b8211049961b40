/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef UK_VMEM_H
#define UK_VMEM_H

#include "lib/lock.h"
#include "lukos/vas_counts.h"
#include "lukos/vma_tree.h"
#include <uk/alloc.h>
#include <uk/arch/paging.h>
#include <uk/config.h>
#include <uk/plat/paging.h>

/*
 * Virtual address spaces (VAS) made of virtual memory areas (VMA): Unikraft's interface, over the
 * same engine as lukos/vmm.h. All functions return 0 or a negative errno unless they say
 * otherwise, and one that fails has changed nothing (but see uk_vma_advise()).
 *
 *   0 ┌───────────┐
 *     │           │
 *     ├───────────┤ vma_base: new VMAs go to the first hole from here on
 *     │   VMA 1   │
 *     ├───────────┤
 *     │   VMA 2   │ neighbours alike in type, attributes, flags and name are one VMA
 *     ├───────────┤
 *     │           │
 *     ├───────────┤ a fixed address
 *     │   VMA 3   │
 *     └───────────┘ what the hardware translates ends here
 */

struct uk_vas {
    struct lock lock;
    struct uk_alloc *a; /* for VMAs */
    struct uk_pagetable *pt;
    __vaddr_t vma_base;
    __vaddr_t low; /* what the page table may map: this address and size bytes from it on */
    __sz size;
    __pte_t protections[PAGE_ATTR_PROT_RWX + 1]; /* vmm_arch_pte() of each combination of rights */
    struct vma_tree vmas;
#define UK_VAS_FLAG_NO_PAGING 0x1 /* faults are not resolved */
    unsigned long flags;
    struct vas_limits limits; /* lukos/vas.h, here and below */
    struct vas_counts counts;
    size_t around; /* pages */
};

struct uk_vma_ops;

struct uk_vma {
    union {
        struct vma_node node;
        struct {
            __vaddr_t start;
            __vaddr_t end;
        };
    };
    struct uk_vas *vas;
    const struct uk_vma_ops *ops;
    unsigned long attr; /* PAGE_ATTR_* */
#define UK_VMA_FLAG_UNINITIALIZED 0x1
    unsigned long flags; /* and, in the high word, those that were given to uk_vma_map() */
    int page_lvl;        /* the page size asked for; -1: none */
    const char *name;    /* may be NULL */
};

static inline __sz uk_vma_len(struct uk_vma *vma)
{
    return vma->end - vma->start;
}

/* Stop demand paging in the VAS, and go back to what uk_vas_paging_savef() returned. */
static inline unsigned long uk_vas_paging_savef(struct uk_vas *vas)
{
    unsigned long saved = vas->flags & UK_VAS_FLAG_NO_PAGING;

    vas->flags |= UK_VAS_FLAG_NO_PAGING;
    return saved;
}

static inline void uk_vas_paging_restoref(struct uk_vas *vas, unsigned long flag)
{
    vas->flags = (vas->flags & ~(unsigned long)UK_VAS_FLAG_NO_PAGING) | flag;
}

struct __regs;

/* A fault that a VMA is to resolve. */
struct uk_vm_fault {
    const __vaddr_t vaddr; /* what was accessed */
    const __sz len;        /* bytes from vbase on to supply, contiguous and aligned as a page */
    const __vaddr_t vbase;
    __paddr_t paddr; /* set by the handler */

#define UK_VMA_FAULT_ACCESSTYPE 0x03
#define UK_VMA_FAULT_READ 0x00
#define UK_VMA_FAULT_WRITE 0x01
#define UK_VMA_FAULT_EXEC 0x02
#define UK_VMA_FAULT_NONPRESENT 0x04
#define UK_VMA_FAULT_MISCONFIG 0x08
#define UK_VMA_FAULT_SOFT 0x10 /* not by an access: somebody wants the memory present */
    const unsigned int type;
    __pte_t pte; /* that will be written, with paddr; the handler may change it */
    const unsigned int level;
    struct __regs *regs; /* what was interrupted; NULL in a soft fault */
};

/* What a type of VMA does. Every function may be NULL where that says so. */
struct uk_vma_ops {
    /* Where to look for a hole. NULL: vas->vma_base. data, here and below: args of uk_vma_map() */
    __vaddr_t (*get_base)(struct uk_vas *vas, void *data, unsigned long flags);

    /*
     * Allocate *vma, by vas->a, and set its name and what is the type's own. May change
     * UK_VMA_MAP_POPULATE and UK_VMA_MAP_UNINITIALIZED in *flags. NULL: a plain struct uk_vma.
     */
    int (*new)(struct uk_vas *vas, __vaddr_t vaddr, __sz len, void *data, unsigned long attr,
               unsigned long *flags, struct uk_vma **vma);

    /* Drop what the VMA refers to; its memory is freed by the caller. NULL: nothing. */
    void (*destroy)(struct uk_vma *vma);

    /* Supply memory. NULL: no access is ever resolved. */
    int (*fault)(struct uk_vma *vma, struct uk_vm_fault *fault);

    /* Unmap, and release the memory if it is the type's. NULL: there is nothing to unmap. */
    int (*unmap)(struct uk_vma *vma, __vaddr_t vaddr, __sz len);

    /* Allocate *new_vma for [vaddr, vma->end). -EPERM: never. NULL: a plain copy. */
    int (*split)(struct uk_vma *vma, __vaddr_t vaddr, struct uk_vma **new_vma);

    /* vma takes over next, which is above it and will be destroyed. -EPERM: no. NULL: always. */
    int (*merge)(struct uk_vma *vma, struct uk_vma *next);

    /* Change what is mapped to these attributes. NULL: nothing is mapped. */
    int (*set_attr)(struct uk_vma *vma, unsigned long attr);

    /* NULL: advice is ignored. */
    int (*advise)(struct uk_vma *vma, __vaddr_t vaddr, __sz len, unsigned long advice);

    /*
     * Beyond Unikraft: allocate *new_vma, by vas->a, a copy of the VMA for a VAS that is becoming a
     * copy of vma->vas, and map there what has to be present. On error nothing of it is left. NULL:
     * address spaces with such a VMA cannot be cloned.
     */
    int (*clone)(struct uk_vma *vma, struct uk_vas *vas, struct uk_vma **new_vma);

    /*
     * Beyond Unikraft: soft faults may ask fault() for many pages of the level at a time. -ENOMEM
     * or -EDQUOT: not for so many.
     */
    bool fault_takes_runs;
};

/* The VAS that runs: of the active address space, else the kernel's. */
struct uk_vas *uk_vas_get_active(void);
int uk_vas_set_active(struct uk_vas *vas);

/* An empty VAS over a page table; its VMAs come from a. */
int uk_vas_init(struct uk_vas *vas, struct uk_pagetable *pt, struct uk_alloc *a);

/* Unmap every VMA. The page table and the memory of *vas stay with the caller. */
void uk_vas_destroy(struct uk_vas *vas);

/* The VMA at vaddr, or NULL. It may be gone after any change of the VAS. */
const struct uk_vma *uk_vma_find(struct uk_vas *vas, __vaddr_t vaddr);

/* In order of address; NULL: there is none. */
static inline const struct uk_vma *uk_vma_first(struct uk_vas *vas)
{
    return (const struct uk_vma *)vma_tree_first(&vas->vmas);
}

static inline const struct uk_vma *uk_vma_last(struct uk_vas *vas)
{
    return (const struct uk_vma *)vma_tree_last(&vas->vmas);
}

static inline const struct uk_vma *uk_vma_next(const struct uk_vma *vma)
{
    return (const struct uk_vma *)vma_tree_next(&vma->node);
}

static inline const struct uk_vma *uk_vma_prev(const struct uk_vma *vma)
{
    return (const struct uk_vma *)vma_tree_prev(&vma->node);
}

/* For all that take a range: it must have no holes (-ENOENT). */
#define UK_VMA_FLAG_STRICT_VMA_CHECK 0x1000

#define UK_VMA_MAP_POPULATE 0x01      /* make all of it present */
#define UK_VMA_MAP_UNINITIALIZED 0x02 /* whatever is in the memory may stay */
#define UK_VMA_MAP_REPLACE 0x04       /* unmap what is in the way */

/* log2 of the page size wanted: then addresses and lengths are multiples of it. */
#define UK_VMA_MAP_SIZE_SHIFT 5
#define UK_VMA_MAP_SIZE_BITS 6
#define UK_VMA_MAP_SIZE_MASK ((1UL << UK_VMA_MAP_SIZE_BITS) - 1)
#define UK_VMA_MAP_SIZE(order) (((order) & UK_VMA_MAP_SIZE_MASK) << UK_VMA_MAP_SIZE_SHIFT)
#define UK_VMA_MAP_SIZE_TO_ORDER(flag) (((flag) >> UK_VMA_MAP_SIZE_SHIFT) & UK_VMA_MAP_SIZE_MASK)
#define UK_VMA_MAP_SIZE_4KB (12UL << UK_VMA_MAP_SIZE_SHIFT)
#define UK_VMA_MAP_SIZE_2MB (21UL << UK_VMA_MAP_SIZE_SHIFT)
#define UK_VMA_MAP_SIZE_1GB (30UL << UK_VMA_MAP_SIZE_SHIFT)

/* The high word is the type's. */
#define UK_VMA_MAP_EXTF_SHIFT (sizeof(unsigned long) * 4)
#define UK_VMA_MAP_EXTF_BITS UK_VMA_MAP_EXTF_SHIFT
#define UK_VMA_MAP_EXTF_MASK ((1UL << UK_VMA_MAP_EXTF_BITS) - 1)

/*
 * Create a VMA of len bytes at *vaddr, or in the first hole (__VADDR_ANY); *vaddr receives where.
 * name, if any, has to live as long as the VMA. -EINVAL (alignment, length, attributes, range),
 * -EEXIST (occupied, without UK_VMA_MAP_REPLACE), -ENOMEM (memory, or no hole).
 */
int uk_vma_map(struct uk_vas *vas, __vaddr_t *vaddr, __sz len, unsigned long attr,
               unsigned long flags, const char *name, const struct uk_vma_ops *ops, void *args);

/* Unmap whatever is in the range. */
int uk_vma_unmap(struct uk_vas *vas, __vaddr_t vaddr, __sz len, unsigned long flags);

/* Change the attributes of whatever is in the range. */
int uk_vma_set_attr(struct uk_vas *vas, __vaddr_t vaddr, __sz len, unsigned long attr,
                    unsigned long flags);

#define UK_VMA_ADV_DONTNEED 0x01 /* the contents may go; the VMA stays */
#define UK_VMA_ADV_WILLNEED 0x02 /* make it present */
#define UK_VMA_ADV_EXTF_SHIFT (sizeof(unsigned long) * 4)
#define UK_VMA_ADV_EXTF_BITS UK_VMA_ADV_EXTF_SHIFT
#define UK_VMA_ADV_EXTF_MASK ((1UL << UK_VMA_ADV_EXTF_BITS) - 1)

/*
 * Tell what will be done with the range, VMA by VMA from below. As advice may always be taken in
 * part, so may it be when this fails (-ENOMEM, -EFAULT: a file ends before): the same call makes
 * up for the rest. VMAs that have no use for it ignore it.
 */
int uk_vma_advise(struct uk_vas *vas, __vaddr_t vaddr, __sz len, unsigned long advice,
                  unsigned long flags);

#include <uk/vmem/vma_types.h>

#endif
