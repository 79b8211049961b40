/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LUKOS_FAULT_H
#define LUKOS_FAULT_H

#include <uk/vmem.h>

/*
 * For the architecture's exception handler: resolve an access that translation refused, if the
 * VMA at vaddr says so. type: UK_VMA_FAULT_READ, _WRITE or _EXEC, with _NONPRESENT where nothing
 * was mapped; else only a write to a page that is shared until it is written can be resolved.
 * 0: the access may be tried again.
 */
int fault_resolve(vaddr_t vaddr, unsigned type, struct __regs *regs);

#endif
