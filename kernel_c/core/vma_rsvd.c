/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/vma_cow.h"
#include "lukos/status.h"

/* A reservation: it has no memory, and leaves alone what the page table holds. */

static int rsvd_clone(struct uk_vma *vma, struct uk_vas *vas, struct uk_vma **new_vma)
{
    *new_vma = vma_copy(vma, vas, sizeof(*vma));
    return *new_vma == NULL ? -ENOMEM : 0;
}

const struct uk_vma_ops uk_vma_rsvd_ops = {
    .clone = rsvd_clone,
};
