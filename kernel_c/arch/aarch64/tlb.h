/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef AARCH64_TLB_H
#define AARCH64_TLB_H

#include "context.h"
#include "cpu.h"

/*
 * TLB maintenance (D8.17), for all CPUs of the Inner Shareable domain.
 *
 * Invalidations are gathered while entries are broken, then done at once: one DSB ISHST, the
 * TLBIs, one DSB ISH. Only after that may tables and frames be given back.
 */
#define TLB_GATHER_MAX 32U /* more than this: by ASID */

struct tlb_gather {
    const struct uk_pagetable *context;
    unsigned count;   /* of entries changed; above TLB_GATHER_MAX they are not listed */
    paddr_t unlinked; /* the first of the tables that hang nowhere now; 0: none */
    vaddr_t va[TLB_GATHER_MAX];
};

static inline void tlb_gather_init(struct tlb_gather *gather, const struct uk_pagetable *context)
{
    gather->context = context;
    gather->count = 0;
    gather->unlinked = 0;
}

/* An entry that translated va, valid until now, was broken or given other permissions. */
static inline void tlb_gather_add(struct tlb_gather *gather, vaddr_t va)
{
    if (gather->count < TLB_GATHER_MAX) {
        gather->va[gather->count] = va;
    }
    gather->count++;
}

/* When it returns, no CPU uses what was gathered any more. */
void tlb_flush(const struct tlb_gather *gather);

/*
 * Forget everything of a tag, or of all tags and the kernel; complete on return. For tags that
 * no CPU runs with: nothing was stored before that would have to be waited for, and whoever
 * takes the ASID next writes TTBR0, with an ISB.
 */
void tlb_flush_asid(asid_tag_t tag);
void tlb_flush_all(void);

/* The same for one address, of all tags; whoever calls waits for his stores. */
void tlb_flush_va(vaddr_t va);

/*
 * New entries become usable: after this a walk, by any CPU, sees what pte_make() stored. An
 * invalid entry is never cached, so no TLBI is needed. Whoever makes entries mostly uses them: to
 * find out whether this CPU translates for the context at all would cost more than the ISB.
 */
static inline void tlb_publish(void)
{
    dsb_ishst();
    isb();
}

#endif
