/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIB_ASSERT_H
#define LIB_ASSERT_H

/* Say what is broken and stop the machine. For bugs of the kernel, never for a caller's input. */
_Noreturn void panic(const char *fmt, ...) __attribute__((format(printf, 1, 2), noinline));

/* An invariant. Checked in Debug builds; in Release the condition is parsed and not evaluated. */
#if LUKOS_DEBUG
#define ASSERT(condition) \
    ((condition) ? (void)0 : panic("assertion failed: %s (%s:%d)", #condition, __FILE__, __LINE__))
#else
#define ASSERT(condition) ((void)sizeof(!!(condition)))
#endif

#endif
