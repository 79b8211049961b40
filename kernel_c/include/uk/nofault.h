/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef UK_NOFAULT_H
#define UK_NOFAULT_H

#include <uk/arch/types.h>

/*
 * Access to memory that may not be there. A fault that paging cannot resolve ends the operation,
 * or skips the page, instead of ending the kernel.
 */

#define UK_NOFAULTF_CONTINUE 0x01 /* skip a page that faults and go on with the next */
#define UK_NOFAULTF_NOPAGING 0x02 /* no demand paging: what is not present faults */

/* The number of bytes that can be read; of those that can be read and written. */
__sz uk_nofault_probe_r(__vaddr_t vaddr, __sz len, unsigned long flags);
__sz uk_nofault_probe_rw(__vaddr_t vaddr, __sz len, unsigned long flags);

/* The number of bytes copied. The ranges must not overlap. */
__sz uk_nofault_memcpy(char *dst, const char *src, __sz len, unsigned long flags);

/* Non-zero when the whole value could be read from, or written to, where the pointer points. */
#define uk_nofault_try_read(v, ptr) \
    (uk_nofault_memcpy((char *)&(v), (const char *)(ptr), sizeof(v), 0) == sizeof(v))

#define uk_nofault_try_write(value, ptr)                                                        \
    __extension__({                                                                             \
        __typeof__(value) nofault_value_ = (value);                                             \
        uk_nofault_memcpy((char *)(ptr), (const char *)&nofault_value_, sizeof(nofault_value_), \
                          0) == sizeof(nofault_value_);                                         \
    })

#endif
