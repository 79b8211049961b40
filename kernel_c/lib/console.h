/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIB_CONSOLE_H
#define LIB_CONSOLE_H

#include <stdarg.h>
#include <stddef.h>

/*
 * Formatted text, to a console and to memory.
 *
 * Conversions: %d %i %u %x %X with hh h l ll z, %c, %s, %p, %%; a width, as number or *; a
 * precision, as number or *, for %s; the flags 0 and -. %p is 0x and 16 digits. Anything else is
 * copied to the output as it stands, so that the mistake can be read.
 */

/* Puts one character out. Lines end with '\n' alone. */
typedef void (*console_put_t)(char character);

/* The console's output from now on; NULL: none. */
void console_set(console_put_t put);

void console_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
void console_vprintf(const char *format, va_list arguments) __attribute__((format(printf, 1, 0)));

/*
 * At most size - 1 characters of the text and a NUL go to buffer, nothing when size is 0. The
 * result is the length of the whole text, cut or not.
 */
int format_string(char *buffer, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
