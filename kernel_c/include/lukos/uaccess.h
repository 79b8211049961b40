/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LUKOS_UACCESS_H
#define LUKOS_UACCESS_H

#include "lukos/types.h"

/* Accesses of the kernel that may fault, in the architecture. Within a page each. */

/* Copy; the number of bytes that were left. */
size_t arch_nofault_copy(char *to, const char *from, size_t len);

/* Read a byte and, if so asked, write it back. False: it faulted. */
bool arch_nofault_touch(vaddr_t at, bool write);

#endif
