/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef UK_ESSENTIALS_H
#define UK_ESSENTIALS_H

#ifndef likely
#define likely(condition) __builtin_expect(!!(condition), 1)
#endif
#ifndef unlikely
#define unlikely(condition) __builtin_expect(!!(condition), 0)
#endif
#ifndef __maybe_unused
#define __maybe_unused __attribute__((unused))
#endif
#ifndef ALIGN_UP
#define ALIGN_UP(value, boundary) (((value) + ((boundary) - 1)) & ~((boundary) - 1))
#endif
#ifndef ALIGN_DOWN
#define ALIGN_DOWN(value, boundary) ((value) & ~((boundary) - 1))
#endif
#ifndef DIV_ROUND_UP
#define DIV_ROUND_UP(value, divisor) (((value) + (divisor) - 1) / (divisor))
#endif

#endif
