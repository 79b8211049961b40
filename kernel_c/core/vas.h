/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORE_VAS_H
#define CORE_VAS_H

#include <uk/vmem.h>

/* Once, before the kernel's VAS is used. */
int vas_init_kernel(void);
struct uk_vas *vas_of_kernel(void);

/*
 * Make an empty VAS that nobody runs a copy of another one. -ENOTSUP: a type of VMA that cannot be
 * copied; -ENOMEM, -EOVERFLOW. Then the copy is unfinished, and the original as it was.
 */
int vas_clone(struct uk_vas *from, struct uk_vas *to);

/* The VAS that an access to vaddr goes by: the kernel's own areas are in all of them. */
struct uk_vas *vas_at(vaddr_t vaddr);

#endif
