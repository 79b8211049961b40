/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef AARCH64_ASID_H
#define AARCH64_ASID_H

#include "lib/bits.h"
#include "lukos/types.h"

/*
 * ASIDs, of 16 or 8 bits as the CPU has them.
 *
 * There may be more address spaces than ASIDs, so an ASID is lent for a generation. A tag is
 * generation and ASID in one number; 0: none yet. When all ASIDs of a generation are lent, the
 * next one begins: the TLBs are flushed once, and the contexts that CPUs are running keep their
 * ASIDs. ASID 0 stays with the empty table that stands for no address space.
 */
typedef uint64_t asid_tag_t;

/* Of a context that will never run again. */
#define ASID_TAG_RETIRED UINT64_MAX

/* Ask the CPU for its number of ASID bits. */
void asid_init(void);

/* The ASID to run with. *tag is brought to the current generation if it is not of it. */
uint16_t asid_acquire(asid_tag_t *tag);

/* Take back the ASID of a context whose translations the TLBs have been told to forget. */
void asid_release(asid_tag_t tag);

/* A tag is the generation, from this bit on, and the ASID. */
#define ASID_GENERATION_SHIFT 16
#define ASID_GENERATION BIT(ASID_GENERATION_SHIFT)

/* The current one. */
extern asid_tag_t asid_generation;

/* False: no TLB can hold anything of this tag. */
static inline bool asid_is_current(asid_tag_t tag)
{
    return (tag ^ asid_generation) >> ASID_GENERATION_SHIFT == 0;
}

static inline uint16_t asid_of(asid_tag_t tag)
{
    return (uint16_t)tag;
}

#endif
