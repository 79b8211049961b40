/* SPDX-License-Identifier: BSD-3-Clause */
#include "tlb.h"

#include "cpu.h"

/* TLBI by VA: bits 43:0 are VA[55:12], bits 63:48 the ASID (C5.5). */
#define OPERAND_VA MASK(43, 0)

static uint64_t operand(vaddr_t va, asid_tag_t tag)
{
    return ((va >> PAGE_SHIFT) & OPERAND_VA) | (uint64_t)asid_of(tag) << 48;
}

#define TLBI(operation, value) \
    __asm__ volatile("tlbi " #operation ", %0" : : "r"((uint64_t)(value)) : "memory")

/* The last-level forms leave walk caches alone: enough while every table stays linked. */
static inline void invalidate_user(const struct tlb_gather *gather, unsigned count, asid_tag_t tag)
{
    bool last_level = gather->unlinked == 0;

    for (unsigned i = 0; i < count; i++) {
        if (last_level) {
            TLBI(vale1is, operand(gather->va[i], tag));
        } else {
            TLBI(vae1is, operand(gather->va[i], tag));
        }
    }
}

static inline void invalidate_kernel(const struct tlb_gather *gather, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        TLBI(vaae1is, operand(gather->va[i], 0));
    }
}

static inline void invalidate(const struct tlb_gather *gather, unsigned count, bool kernel,
                              asid_tag_t tag)
{
    if (count <= TLB_GATHER_MAX) {
        if (kernel) {
            invalidate_kernel(gather, count);
        } else {
            invalidate_user(gather, count, tag);
        }
    } else if (kernel) {
        __asm__ volatile("tlbi vmalle1is" : : : "memory");
    } else {
        TLBI(aside1is, operand(0, tag));
    }
}

/*
 * Instructions behind this one, on this CPU, that are already fetched or whose addresses are
 * translated must be so again (D8.17.6). For an address space that is not active the change of
 * TTBR0, and for EL0 the exception return, would do; the kernel may use both at once.
 */
static inline void synchronize(const struct uk_pagetable *context)
{
    if (cpu_this()->active == context || context_is_kernel(context)) {
        isb();
    }
}

void tlb_flush(const struct tlb_gather *gather)
{
    const struct uk_pagetable *context = gather->context;
    bool kernel = context_is_kernel(context);
    unsigned count = gather->count;
    asid_tag_t tag;

    if (count == 0 || context->arch.tag == ASID_TAG_RETIRED) {
        return; /* nothing changed, or nobody will ever walk there */
    }
    dsb_ishst();
    /* Only now: no TLB knows a tag that is not current, but whoever makes it so walks after that. */
    tag = context->arch.tag;
    if (!kernel && !asid_is_current(tag)) {
        return;
    }
    invalidate(gather, count, kernel, tag);
    dsb_ish();
    synchronize(context);
}

void tlb_flush_asid(asid_tag_t tag)
{
    if (asid_is_current(tag)) {
        TLBI(aside1is, operand(0, tag));
        dsb_ish();
    }
}

void tlb_flush_va(vaddr_t va)
{
    TLBI(vaae1is, operand(va, 0));
    dsb_ish();
}

void tlb_flush_all(void)
{
    __asm__ volatile("tlbi vmalle1is" : : : "memory");
    dsb_ish();
}
