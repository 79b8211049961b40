/* SPDX-License-Identifier: BSD-3-Clause */
#include <uk/vmem.h>

/* A reservation: it has no memory, and leaves alone what the page table holds. */
const struct uk_vma_ops uk_vma_rsvd_ops = {0};
