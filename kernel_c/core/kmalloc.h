/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORE_KMALLOC_H
#define CORE_KMALLOC_H

#include <uk/alloc.h>

/* Before uk_alloc_get_default() is used. */
void kmalloc_init(void);

#endif
