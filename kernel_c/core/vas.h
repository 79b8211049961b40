/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORE_VAS_H
#define CORE_VAS_H

#include <uk/vmem.h>

/* Once, before the kernel's VAS is used. */
int vas_init_kernel(void);
struct uk_vas *vas_of_kernel(void);

#endif
