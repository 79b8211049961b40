/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef AARCH64_CONTEXT_H
#define AARCH64_CONTEXT_H

#include "asid.h"
#include "lukos/vmm.h"
#include "pte.h"

/* What stands behind the context of lukos/vmm_arch.h. */
struct context {
    pte_t *root;
    paddr_t root_pa;
    unsigned root_level;
    asid_tag_t tag;
    address_space_t *as; /* NULL: the kernel's own half */
};

/* The kernel's half, whose root the boot made. */
extern struct context kernel_context;

/* Translate for no address space on this CPU. */
void context_leave(void);

static inline bool context_is_kernel(const struct context *context)
{
    return context == &kernel_context;
}

#endif
