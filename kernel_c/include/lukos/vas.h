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
 * Advice for uk_vma_advise(): make a block of every 2M, aligned, whose 512 pages of 4K are all
 * present, with the same rights, and nobody else's: in place where the memory is one block already,
 * else by copying it to a new one. Memory of other types than anonymous and file, and VMAs that
 * insist on 4K, are left alone; so is, without an error, what does not fit. -ENOMEM: no block left
 * to copy to.
 *
 * A block is cut again, by itself, when a part of it is unmapped, changed or copied on write.
 */
#define VAS_ADV_PROMOTE (0x1UL << UK_VMA_ADV_EXTF_SHIFT)

#endif
