/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>

#include "fake.h"
#include "host.h"
#include "lib/assert.h"
#include "lib/bits.h"
#include "lib/string.h"

/* What is so after every call, whatever it was. */

static uint32_t *leaves; /* that map each frame */
static paddr_t ram_end;

void host_check_start(paddr_t end)
{
    ram_end = end;
    leaves = calloc((end - FAKE_RAM_BASE) / PAGE_SIZE, sizeof(*leaves));
    if (leaves == NULL) {
        panic("no memory to count pages");
    }
}

static uint32_t *leaves_of(paddr_t pa)
{
    return &leaves[(pa - FAKE_RAM_BASE) / PAGE_SIZE];
}

/* What an access may do: any right includes reading. */
static unsigned long rights(unsigned long attr)
{
    unsigned long prot = attr & PAGE_ATTR_PROT_MASK;

    return prot == PAGE_ATTR_PROT_NONE ? prot : prot | PAGE_ATTR_PROT_READ;
}

static bool is_guard(const struct uk_vma *vma, vaddr_t va)
{
    return vma->ops == &uk_vma_stack_ops && (va < vma->start + UK_VMA_STACK_BOTTOM_GUARD_SIZE ||
                                             va >= vma->end - UK_VMA_STACK_TOP_GUARD_SIZE);
}

/* Frames of the VAS in hand that count as resident (lukos/vas.h). */
static size_t resident;

/* Neither somebody else's memory nor shared memory, which has the frames of a file. */
static bool is_resident(const struct uk_vma *vma, paddr_t pa)
{
    return vma->ops != &uk_vma_dma_ops && frame_of(pa)->purpose != FRAME_FILE;
}

static void page_check(void *argument, const struct fake_page *page)
{
    const unsigned long type = (unsigned long)PAGE_ATTR_TYPE_MASK << PAGE_ATTR_TYPE_SHIFT;
    struct uk_vas *vas = argument;
    const struct uk_vma *vma = uk_vma_find(vas, page->va);

    if (vma == NULL || page->va + PAGE_Lx_SIZE(page->level) > vma->end) {
        panic("page at 0x%lx, level %u, is in no VMA", page->va, page->level);
    }
    if ((rights(page->attr) & ~rights(vma->attr)) != 0 || ((page->attr ^ vma->attr) & type) != 0) {
        panic("page at 0x%lx has attributes 0x%lx, its VMA 0x%lx", page->va, page->attr, vma->attr);
    }
    if (is_guard(vma, page->va)) {
        panic("page at 0x%lx in the guard of a stack", page->va);
    }
    for (size_t offset = 0; offset < PAGE_Lx_SIZE(page->level); offset += PAGE_SIZE) {
        if (!interpose_in_use(page->pa + offset)) {
            panic("page at 0x%lx maps the free frame at PA 0x%lx", page->va, page->pa + offset);
        }
        (*leaves_of(page->pa + offset))++;
    }
    resident += is_resident(vma, page->pa) ? PAGE_Lx_SIZE(page->level) / PAGE_SIZE : 0;
}

/* Frames of VMAs: each has a reference for each page that maps it, and none has no page. */
static void references_check(void)
{
    size_t frames;

    for (paddr_t pa = FAKE_RAM_BASE; pa < ram_end; pa += frames * PAGE_SIZE) {
        const struct frame *frame = frame_of(pa);

        frames = frame->purpose == FRAME_NONE ? 1 : BIT(frame->order);
        for (size_t i = 0; frame->purpose == FRAME_PAGE && i < frames; i++) {
            if (*leaves_of(pa + i * PAGE_SIZE) != frame->used + 1U) {
                panic("frame at PA 0x%lx has %u references and %u pages", pa + i * PAGE_SIZE,
                      frame->used + 1U, *leaves_of(pa + i * PAGE_SIZE));
            }
        }
    }
}

/* Whether these neighbours have to be one VMA; types that have a say of their own are left out. */
static bool should_be_one(const struct uk_vma *below, const struct uk_vma *above)
{
    return above != NULL && below->end == above->start && below->ops == above->ops &&
           below->ops->merge == NULL && below->attr == above->attr &&
           below->flags == above->flags && below->page_lvl == above->page_lvl &&
           below->name == above->name;
}

static size_t vmas_of(struct uk_vas *vas)
{
    size_t count = 0;

    for (const struct uk_vma *vma = uk_vma_first(vas); vma != NULL; vma = uk_vma_next(vma)) {
        if (should_be_one(vma, uk_vma_next(vma))) {
            panic("VMAs that meet at 0x%lx are not merged", vma->end);
        }
        count++;
    }
    return count;
}

static void vas_check(struct uk_vas *vas)
{
    if (!vma_tree_check(&vas->vmas)) {
        panic("the tree of a VAS is broken");
    }
    if (!fake_tlb_agrees(vas->pt)) {
        panic("the TLB has an old translation");
    }
    resident = 0;
    if (fake_each_page(vas->pt, page_check, vas) != 0) {
        panic("a VAS has tables that hold nothing");
    }
    if (vas->counts.resident != resident || vas->counts.vmas != vmas_of(vas)) {
        panic("a VAS has %zu resident frames and %zu VMAs, and counts %zu and %zu", resident,
              vmas_of(vas), vas->counts.resident, vas->counts.vmas);
    }
}

void host_check(void)
{
    memset(leaves, 0, (ram_end - FAKE_RAM_BASE) / PAGE_SIZE * sizeof(*leaves));
    for (unsigned i = 0; i < HOST_VASES; i++) {
        vas_check(host_vas[i]);
    }
    references_check();
    if (!frames_check()) {
        panic("the frame allocator is broken");
    }
}
