/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef AARCH64_CPU_H
#define AARCH64_CPU_H

#include "lukos/vmm_arch.h"
#include "sysreg.h"

struct uk_pagetable;

/* What each CPU has for itself; TPIDR_EL1 points to it. */
struct cpu {
    unsigned index;
    struct uk_pagetable *active; /* that TTBR0 translates for; NULL: none */
};

extern struct cpu cpus[VMM_CPUS];

static inline struct cpu *cpu_this(void)
{
    return (struct cpu *)READ_SYSREG(tpidr_el1);
}

#endif
