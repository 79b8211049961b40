/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/vma_cow.h"
#include "lukos/status.h"
#include "lukos/vmm_arch.h"

/* Promotion: 512 pages of 4K that are all there become one of 2M. The way back is a cut. */

#define PAGES (PAGE_LARGE_SIZE / PAGE_SIZE)

/* The PA of a page of 4K that the VMA has for itself; 0: it is not there, or not that. */
static paddr_t own_page(const struct uk_vma *vma, __vaddr_t vaddr)
{
    unsigned level;
    __pte_t pte = vmm_arch_page_at(vma->vas->pt, vaddr, &level);
    paddr_t pa = PT_Lx_PTE_PADDR(pte, level);
    const struct frame *frame = pte == 0 || level != PAGE_LEVEL ? NULL : frame_of(pa);

    return frame != NULL && frame->purpose == FRAME_PAGE && frame->order == 0 && frame->used == 0
               ? pa
               : 0;
}

/* Where the pages are: *first; *run: they are one block already. False: some are missing. */
static bool find_pages(const struct uk_vma *vma, __vaddr_t vaddr, paddr_t *first, bool *run)
{
    *first = own_page(vma, vaddr);
    *run = PAGE_Lx_ALIGNED(*first, PAGE_LARGE_LEVEL);
    for (size_t page = 0; page < PAGES; page++) {
        paddr_t pa = own_page(vma, vaddr + page * PAGE_SIZE);

        if (pa == 0) {
            return false;
        }
        *run = *run && pa == *first + page * PAGE_SIZE;
    }
    return true;
}

/* The memory is a block already: only the mapping and the frames' records have to become one. */
static int join_in_place(const struct uk_vma *vma, __vaddr_t vaddr, paddr_t first)
{
    int status = vmm_arch_pages_join(vma->vas->pt, vaddr, first, NULL);

    if (status == 0) {
        frames_join(first, PAGES);
    }
    return status;
}

static int join_by_copy(const struct uk_vma *vma, __vaddr_t vaddr)
{
    struct frame_runs runs = {NULL, NULL};
    paddr_t block = frames_alloc(PAGES, PAGE_LARGE_SHIFT - PAGE_SHIFT, FRAME_PAGE);
    int status = block == 0 ? -ENOMEM : vmm_arch_pages_join(vma->vas->pt, vaddr, block, &runs);

    if (status != 0 && block != 0) {
        frames_free(block, PAGES);
    }
    frame_runs_release(&runs);
    return status;
}

/* What cannot be promoted stays as it is; only a lack of memory is worth a word. */
static int promote(const struct uk_vma *vma, __vaddr_t vaddr)
{
    paddr_t first;
    bool run;
    int status;

    if (!find_pages(vma, vaddr, &first, &run)) {
        return 0;
    }
    status = run ? join_in_place(vma, vaddr, first) : join_by_copy(vma, vaddr);
    return status == -ENOENT ? 0 : status;
}

int vma_promote(struct uk_vma *vma, __vaddr_t vaddr, __sz len)
{
    __vaddr_t end = vaddr + len;
    int status = 0;

    if (vma->page_lvl == PAGE_LEVEL) {
        return 0;
    }
    vma_frames_lock(vma);
    vaddr = PAGE_Lx_ALIGN_UP(vaddr, PAGE_LARGE_LEVEL);
    while (status == 0 && (end - min_u64(vaddr, end)) >> PAGE_LARGE_SHIFT != 0) {
        status = promote(vma, vaddr);
        vaddr += PAGE_LARGE_SIZE;
    }
    vma_frames_unlock(vma);
    return status;
}
