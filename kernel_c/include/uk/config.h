/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef UK_CONFIG_H
#define UK_CONFIG_H

/* What Unikraft's configuration would say: paging is there, with statistics. */
#define CONFIG_PAGING 1
#define CONFIG_HAVE_PAGING 1
#define CONFIG_LIBUKVMEM 1
#define CONFIG_LIBUKVMEM_DEFAULT_BASE 0x1000000000
#define CONFIG_LIBUKVMEM_STACK_GUARD_PAGES_TOP 4
#define CONFIG_LIBUKVMEM_STACK_GUARD_PAGES_BOTTOM 1

#endif
