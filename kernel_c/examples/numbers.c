/* SPDX-License-Identifier: BSD-3-Clause */
#include "numbers.h"

#include "lukos/status.h"

struct numbers {
    struct uk_vma base; /* first: a struct uk_vma * is a struct numbers * */
    struct numbers_book *book;
    unsigned long first;
};

static struct numbers *numbers_of(struct uk_vma *vma)
{
    return (struct numbers *)vma;
}

static void count(struct uk_vma *vma, enum numbers_call call)
{
    numbers_of(vma)->book->calls[call]++;
}

/* The number of the page at vaddr; at vma->end: of the one that would follow. */
static unsigned long number_at(struct uk_vma *vma, __vaddr_t vaddr)
{
    return numbers_of(vma)->first + (vaddr - vma->start) / PAGE_SIZE;
}

static int alloc_reader(struct uk_vas *vas, struct numbers_book *book, unsigned long first,
                        struct uk_vma **vma)
{
    struct numbers *made = uk_malloc(vas->a, sizeof(*made));

    if (made == NULL) {
        return -ENOMEM;
    }
    made->base.name = "numbers";
    made->book = book;
    made->first = first;
    book->readers++;
    *vma = &made->base;
    return 0;
}

static __vaddr_t numbers_get_base(struct uk_vas *vas, void *data, unsigned long flags)
{
    struct numbers_args *args = data;

    (void)flags;
    if (args == NULL) {
        return vas->vma_base; /* numbers_new() will refuse */
    }
    args->book->calls[NUMBERS_GET_BASE]++;
    return args->base != 0 ? args->base : vas->vma_base;
}

/*
 * Numbers are no code. Contents that are undefined make no sense here, and a single page is not
 * worth a fault.
 */
static int numbers_new(struct uk_vas *vas, __vaddr_t vaddr, __sz len, void *data,
                       unsigned long attr, unsigned long *flags, struct uk_vma **vma)
{
    struct numbers_args *args = data;

    (void)vaddr;
    if (args == NULL || (attr & PAGE_ATTR_PROT_EXEC) != 0) {
        return -EINVAL;
    }
    args->book->calls[NUMBERS_NEW]++;
    *flags &= ~(unsigned long)UK_VMA_MAP_UNINITIALIZED;
    if (len == PAGE_SIZE) {
        *flags |= UK_VMA_MAP_POPULATE;
    }
    return alloc_reader(vas, args->book, args->first, vma);
}

static void numbers_destroy(struct uk_vma *vma)
{
    count(vma, NUMBERS_DESTROY);
    numbers_of(vma)->book->readers--;
}

static void write_pages(unsigned long *words, unsigned long pages, unsigned long first)
{
    for (unsigned long word = 0; word < pages * PAGE_SIZE / sizeof(*words); word++) {
        words[word] = first + word * sizeof(*words) / PAGE_SIZE;
    }
}

static int numbers_fault(struct uk_vma *vma, struct uk_vm_fault *fault)
{
    struct uk_pagetable *pt = vma->vas->pt;
    unsigned long pages = fault->len / PAGE_SIZE;
    __paddr_t paddr = __PADDR_ANY;
    __vaddr_t seen;
    int status;

    count(vma, NUMBERS_FAULT);
    status = pt->fa->falloc(pt->fa, &paddr, pages, FALLOC_FLAG_ALIGNED);
    if (status != 0) {
        return status;
    }
    seen = ukplat_page_kmap(pt, paddr, pages, 0);
    if (seen == __VADDR_INV) {
        uk_ffree(pt->fa, paddr, pages);
        return -ENOMEM;
    }
    write_pages((unsigned long *)seen, pages, number_at(vma, fault->vbase));
    ukplat_page_kunmap(pt, seen, pages, 0);
    fault->paddr = paddr;
    return 0;
}

static int numbers_unmap(struct uk_vma *vma, __vaddr_t vaddr, __sz len)
{
    count(vma, NUMBERS_UNMAP);
    return ukplat_page_unmap(vma->vas->pt, vaddr, len / PAGE_SIZE, 0);
}

static int numbers_split(struct uk_vma *vma, __vaddr_t vaddr, struct uk_vma **new_vma)
{
    count(vma, NUMBERS_SPLIT);
    return alloc_reader(vma->vas, numbers_of(vma)->book, number_at(vma, vaddr), new_vma);
}

/* Only pages that follow one another in the same book. */
static int numbers_merge(struct uk_vma *vma, struct uk_vma *next)
{
    count(vma, NUMBERS_MERGE);
    return numbers_of(vma)->book == numbers_of(next)->book &&
                   number_at(vma, vma->end) == numbers_of(next)->first
               ? 0
               : -EPERM;
}

static int numbers_set_attr(struct uk_vma *vma, unsigned long attr)
{
    count(vma, NUMBERS_SET_ATTR);
    if ((attr & PAGE_ATTR_PROT_EXEC) != 0) {
        return -EINVAL;
    }
    return ukplat_page_set_attr(vma->vas->pt, vma->start, (vma->end - vma->start) / PAGE_SIZE, attr,
                                0);
}

static int numbers_advise(struct uk_vma *vma, __vaddr_t vaddr, __sz len, unsigned long advice)
{
    count(vma, NUMBERS_ADVISE);
    return (advice & UK_VMA_ADV_DONTNEED) != 0
               ? ukplat_page_unmap(vma->vas->pt, vaddr, len / PAGE_SIZE, 0)
               : 0;
}

const struct uk_vma_ops numbers_ops = {
    .get_base = numbers_get_base,
    .new = numbers_new,
    .destroy = numbers_destroy,
    .fault = numbers_fault,
    .unmap = numbers_unmap,
    .split = numbers_split,
    .merge = numbers_merge,
    .set_attr = numbers_set_attr,
    .advise = numbers_advise,
};
