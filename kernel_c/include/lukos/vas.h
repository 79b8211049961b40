/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LUKOS_VAS_H
#define LUKOS_VAS_H

#include "lukos/vmm.h"
#include <uk/vmem.h>

/*
 * What virtual address spaces can do beyond uk/vmem.h. Results are 0 or a negative errno
 * (lukos/status.h).
 */

/* The VAS of an address space, for this header and uk/vmem.h; NULL: it is none. */
struct uk_vas *vmm_address_space_vas(address_space_t *as);

/*
 * From now on a fault that an access takes on a page of 4K makes its neighbours present as well:
 * those in the window of so many pages, aligned to its size, that belong to the same VMA and can be
 * had. They are supplied as by UK_VMA_ADV_WILLNEED. pages: a power of two; 1, as at first: none.
 * -EINVAL. A copy of an address space has the same window.
 */
int vas_set_fault_around(struct uk_vas *vas, size_t pages);
#define VAS_AROUND_MAX 512 /* pages: those of one table */

/*
 * Advice for uk_vma_advise(): make a block of every 2M, aligned, whose 512 pages of 4K are all
 * present, with the same rights, and nobody else's: in place where the memory is one block already,
 * else by copying it to a new one. Memory of other types than anonymous and file, and VMAs that
 * insist on 4K, are left alone; so is, without an error, what does not fit. -ENOMEM: no block left
 * to copy to.
 *
 * A block is cut again, by itself, when a part of it is unmapped, changed or copied on write.
 */
#define VAS_ADV_PROMOTE (0x1UL << UK_VMA_ADV_EXTF_SHIFT)

/*
 * What there is of a VAS, and what has happened in it since it was made.
 *
 * Resident are frames that the VAS has to itself or shares until they are written: of anonymous
 * memory, stacks, private files and regions, present by an access or by population. Shared and
 * physical memory (dma), and what types of other people's make present, are not counted.
 *
 * A frame is supplied by an access, by population or by a copy of the VMM, which need no fault; so
 * frames_* and faults_* are apart. All but the last two of frames_* cost memory; frames_shared
 * counts each mapping of a page, be it the first or not.
 */
typedef struct {
    size_t vmas;
    size_t resident; /* frames of 4K */
    size_t tables;   /* frames of translation tables, the top one too; counted by a walk */
    uint64_t faults_read;
    uint64_t faults_write;
    uint64_t faults_exec;
    uint64_t faults_refused;
    uint64_t frames_anonymous;  /* new and zeroed, or left as they were */
    uint64_t frames_file;       /* filled from a file */
    uint64_t frames_copied;     /* written while others had them, too */
    uint64_t frames_shared;     /* of shared memory */
    uint64_t frames_taken_over; /* written when the others had gone */
} vas_stats_t;

/* -EINVAL (vas), -EFAULT (out). */
int vas_stats(struct uk_vas *vas, vas_stats_t *out);

/*
 * From now on, what would make more frames resident than this is refused with -EDQUOT, as a fault
 * is then; and what would make more VMAs: mapping, and cutting one in two. -ENOMEM stays for a
 * machine without memory. What is there stays, should it be more. A new VMA counts before it is
 * merged or what it replaces is gone. SIZE_MAX: no limit, as at first. A copy of an address space
 * has its limits.
 */
int vas_set_limits(struct uk_vas *vas, size_t resident, size_t vmas);

#endif
