/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/vma_cow.h"

#include "lib/string.h"
#include "lukos/status.h"
#include "lukos/vmm_arch.h"

struct lock vma_frames;

struct uk_vma *vma_copy(const struct uk_vma *vma, struct uk_vas *vas, __sz size)
{
    struct uk_vma *copy = uk_malloc(vas->a, size);

    if (copy != NULL) {
        memcpy(copy, vma, size);
        copy->vas = vas;
    }
    return copy;
}

int vma_copy_shared(const struct uk_vma *vma, struct uk_vas *vas, __sz size, struct uk_vma **copy)
{
    int status;

    *copy = vma_copy(vma, vas, size);
    if (*copy == NULL) {
        return -ENOMEM;
    }
    (*copy)->flags |= VMA_FLAG_COW;
    vma_frames_lock(*copy);
    status = vmm_arch_pages_share(vas->pt, vma->vas->pt, vma->start, vma->end - vma->start, true);
    vma_frames_unlock(*copy);
    if (status != 0) {
        (void)vma_unmap_owned(*copy, vma->start, vma->end - vma->start);
        uk_free(vas->a, *copy);
    }
    return status;
}

int vma_clone_owned(struct uk_vma *vma, struct uk_vas *vas, struct uk_vma **new_vma)
{
    return vma_copy_shared(vma, vas, sizeof(*vma), new_vma);
}

/* A page, or a part of one. pa 0: nothing is there. */
struct piece {
    __vaddr_t vaddr;
    __sz len;
    paddr_t pa;
};

static struct piece page_at(const struct uk_vma *vma, __vaddr_t vaddr)
{
    unsigned level;
    __pte_t pte = vmm_arch_page_at(vma->vas->pt, vaddr, &level);

    return (struct piece){
        .vaddr = PAGE_Lx_ALIGN_DOWN(vaddr, level),
        .len = PAGE_Lx_SIZE(level),
        .pa = pte == 0 ? 0 : PT_Lx_PTE_PADDR(pte, level),
    };
}

static bool is_shared(struct piece piece)
{
    return frames_are_shared(piece.pa, piece.len / PAGE_SIZE);
}

/* The others have gone: as the VMA says, from now on. No page lies across an end of the piece. */
static int take_over(const struct uk_vma *vma, struct piece piece)
{
    vma->vas->counts.taken_over += piece.len / PAGE_SIZE;
    return vmm_arch_pages_set_attr(vma->vas->pt, piece.vaddr, piece.len, vma->attr);
}

/* Put a copy at pa into the place of a whole page; the others keep what was there. */
static void replace(const struct uk_vma *vma, struct piece page, paddr_t pa)
{
    struct uk_pagetable *pt = vma->vas->pt;
    struct frame_runs runs = {NULL, NULL};

    memcpy(vmm_arch_ram(pa), vmm_arch_ram(page.pa), page.len);
    if ((vma->attr & PAGE_ATTR_PROT_EXEC) != 0) {
        vmm_arch_sync_code(pa, page.len);
    }
    vmm_arch_page_replace(pt, page.vaddr, pa, vmm_arch_pte(pt, vma->attr),
                          PAGE_SHIFT_Lx(log2_floor(page.len)));
    frame_runs_add(&runs, page.pa, page.len / PAGE_SIZE);
    frame_runs_release(&runs);
}

/* Let no page lie across an end of the piece. -ENOMEM. */
static int cut(const struct uk_vma *vma, struct piece piece)
{
    int status = vmm_arch_pages_cut(vma->vas->pt, piece.vaddr);

    return status != 0 ? status : vmm_arch_pages_cut(vma->vas->pt, piece.vaddr + piece.len);
}

/* Own a piece of a shared page. What may fail comes first. */
static int own_piece(const struct uk_vma *vma, struct piece piece)
{
    size_t count = piece.len / PAGE_SIZE;
    paddr_t pa = frames_alloc(count, log2_floor(count), FRAME_PAGE);
    int status = pa == 0 ? -ENOMEM : cut(vma, piece);

    if (status == 0 && is_shared(piece)) {
        replace(vma, piece, pa);
        vma->vas->counts.copied += count;
        return 0;
    }
    if (pa != 0) {
        frames_free(pa, count);
    }
    return status != 0 ? status : take_over(vma, piece);
}

/* Own what the VMA insists on of a shared page: the part that vaddr is in. */
static int own_part(const struct uk_vma *vma, struct piece page, __vaddr_t vaddr, __vaddr_t *next)
{
    __sz unit = vma_page_size(vma);
    __vaddr_t start = align_down(vaddr, unit);

    *next = start + unit;
    return own_piece(vma, (struct piece){start, unit, page.pa + (start - page.vaddr)});
}

int vma_cow_own(struct uk_vma *vma, __vaddr_t vaddr, __vaddr_t end)
{
    int status = 0;

    vma_frames_lock(vma);
    do {
        struct piece page = page_at(vma, vaddr);

        if (is_shared(page)) {
            status = own_part(vma, page, vaddr, &vaddr);
        } else {
            vaddr = page.vaddr + page.len;
        }
    } while (status == 0 && vaddr < end);
    vma_frames_unlock(vma);
    return status;
}

int vma_cow_fault(struct uk_vma *vma, __vaddr_t vaddr, unsigned type)
{
    struct piece page;
    int status = 0;

    if ((vma->flags & VMA_FLAG_COW) == 0 || (vma->attr & PAGE_ATTR_PROT_WRITE) == 0 ||
        (type & UK_VMA_FAULT_ACCESSTYPE) != UK_VMA_FAULT_WRITE) {
        return -EFAULT;
    }
    vma_frames_lock(vma);
    page = page_at(vma, vaddr);
    if (is_shared(page)) {
        status = own_part(vma, page, vaddr, &vaddr);
    } else if (page.pa != 0) { /* else it has gone meanwhile, and the next fault says so */
        status = take_over(vma, page);
    }
    vma_frames_unlock(vma);
    return status;
}
