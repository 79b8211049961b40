/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef AARCH64_ATTRIBUTES_H
#define AARCH64_ATTRIBUTES_H

#include "context.h"

/*
 * What a descriptor says beside its address, from PAGE_ATTR_* (uk/arch/paging.h). 0: there is no
 * such memory: writable and executable, executable device memory, or bits that mean nothing.
 *
 * Any right includes reading. No rights: the descriptor is not valid.
 */
pte_t attributes_encode(const struct uk_pagetable *context, unsigned long attr);

#endif
