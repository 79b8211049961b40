/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/vas.h"
#include "core/vma_cow.h"
#include "lukos/status.h"
#include "lukos/vmm_arch.h"

/* A VAS like another one, VMA by VMA: each type says what a copy of it is. */

static int can_clone(struct uk_vas *vas)
{
    for (const struct uk_vma *vma = uk_vma_first(vas); vma != NULL; vma = uk_vma_next(vma)) {
        if (vma->ops->clone == NULL) {
            return -ENOTSUP;
        }
    }
    return 0;
}

static int copy_vmas(struct uk_vas *from, struct uk_vas *to)
{
    int status = 0;

    for (struct uk_vma *vma = vma_of(vma_tree_first(&from->vmas)); status == 0 && vma != NULL;
         vma = vma_above(vma)) {
        struct uk_vma *copy;

        status = vma->ops->clone(vma, to, &copy);
        if (status == 0) {
            vma_tree_insert_before(&to->vmas, &copy->node, NULL);
            to->counts.vmas++;
        }
    }
    return status;
}

/*
 * From now on nobody writes to what both have: the last step, as only it changes the original. The
 * TLBs are told once.
 */
static void seal(struct uk_vas *from, const struct uk_vas *to)
{
    const struct uk_vma *copy = vma_of(vma_tree_first(&to->vmas));
    bool sealed = false;

    for (struct uk_vma *vma = vma_of(vma_tree_first(&from->vmas)); vma != NULL;
         vma = vma_above(vma)) {
        if ((copy->flags & VMA_FLAG_COW) != 0) {
            vma->flags |= VMA_FLAG_COW;
            sealed |= vmm_arch_pages_seal(from->pt, vma->start, uk_vma_len(vma));
        }
        copy = vma_above(copy);
    }
    if (sealed) {
        vmm_arch_sealed(from->pt);
    }
}

int vas_clone(struct uk_vas *from, struct uk_vas *to)
{
    int status;

    lock_acquire(&from->lock);
    status = can_clone(from);
    if (status == 0) {
        status = copy_vmas(from, to);
    }
    if (status == 0) {
        seal(from, to);
        to->vma_base = from->vma_base;
        to->flags = from->flags;
        to->limits = from->limits;
        to->around = from->around;
        to->counts.resident = from->counts.resident; /* all of it is there as well */
    }
    lock_release(&from->lock);
    return status;
}
