/* SPDX-License-Identifier: BSD-3-Clause */
#include "asid.h"

#include "context.h"
#include "cpu.h"
#include "lib/bits.h"
#include "lib/lock.h"
#include "lib/string.h"
#include "tlb.h"

#define ASIDS_MAX 65536U
#define NONE ASIDS_MAX

static struct {
    struct lock lock;
    unsigned count; /* 65536 or 256 */
    unsigned hint;  /* where the search goes on */
    uint64_t lent[ASIDS_MAX / 64];
} asids;

asid_tag_t asid_generation;

void asid_init(void)
{
    uint64_t bits = field_get(MMFR0_ASIDBITS, READ_SYSREG(id_aa64mmfr0_el1));

    asids.count = bits == MMFR0_ASIDBITS_16 ? ASIDS_MAX : 256;
    asid_generation = ASID_GENERATION;
    asids.lent[0] = BIT(0);
    asids.hint = 1;
}

static void lend(unsigned asid)
{
    asids.lent[asid / 64] |= BIT(asid % 64);
}

/* The first ASID in [from, count) that is not lent. */
static unsigned search(unsigned from)
{
    uint64_t skip = BIT(from % 64) - 1;

    for (unsigned word = from / 64; word < asids.count / 64; word++) {
        uint64_t free = ~asids.lent[word] & ~skip;

        if (free != 0) {
            return word * 64 + (unsigned)__builtin_ctzll(free);
        }
        skip = 0;
    }
    return NONE;
}

/* A new generation: only what runs right now keeps its ASID. */
static void roll_over(void)
{
    asid_generation += ASID_GENERATION;
    memset(asids.lent, 0, sizeof(asids.lent));
    lend(0);
    for (unsigned i = 0; i < VMM_CPUS; i++) {
        struct uk_pagetable *active = cpus[i].active;

        if (active != NULL) {
            active->arch.tag = asid_generation | asid_of(active->arch.tag);
            lend(asid_of(active->arch.tag));
        }
    }
    asids.hint = 1;
    tlb_flush_all();
}

static unsigned choose(void)
{
    unsigned asid = search(asids.hint);

    if (asid == NONE) {
        asid = search(1);
    }
    if (asid == NONE) {
        roll_over();
        asid = search(1);
    }
    ASSERT(asid != NONE);
    asids.hint = asid + 1;
    return asid;
}

uint16_t asid_acquire(asid_tag_t *tag)
{
    lock_acquire(&asids.lock);
    if (!asid_is_current(*tag)) {
        unsigned asid = choose();

        lend(asid);
        *tag = asid_generation | asid;
    }
    lock_release(&asids.lock);
    return asid_of(*tag);
}

void asid_release(asid_tag_t tag)
{
    lock_acquire(&asids.lock);
    if (asid_is_current(tag)) {
        asids.lent[asid_of(tag) / 64] &= ~BIT(asid_of(tag) % 64);
    }
    lock_release(&asids.lock);
}
