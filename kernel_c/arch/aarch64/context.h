/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef AARCH64_CONTEXT_H
#define AARCH64_CONTEXT_H

#include "asid.h"
#include "layout.h"
#include "lukos/vmm.h"
#include "pte.h"
#include <uk/plat/paging.h>

/* The context of lukos/vmm_arch.h is a page table of uk/plat/paging.h, with its ASID. */

/* The kernel's half, whose root the boot made. */
extern struct uk_pagetable kernel_context;

/* Translate for no address space on this CPU. */
void context_leave(void);

static inline pte_t *context_root(const struct uk_pagetable *context)
{
    return (pte_t *)context->pt_vbase;
}

/* 1 for 39 bits of VA, which the kernel's half always has; 0 for 48. */
static inline unsigned context_root_level(const struct uk_pagetable *context)
{
    return LUKOS_VA_BITS > 39 ? context->arch.root_level : 1;
}

static inline bool context_is_kernel(const struct uk_pagetable *context)
{
    return context->arch.kernel;
}

/* All bits above those that are translated are set (D8.2). */
static inline bool va_is_kernel(vaddr_t va)
{
    return (va & KERNEL_BASE) == KERNEL_BASE;
}

/* True when the context is for the half that va is in; there is none for what is in neither. */
static inline bool context_translates(const struct uk_pagetable *context, vaddr_t va)
{
    return context_is_kernel(context) ? va_is_kernel(va) : va >> LUKOS_VA_BITS == 0;
}

#endif
