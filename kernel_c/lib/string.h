/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIB_STRING_H
#define LIB_STRING_H

#include <stddef.h>

/*
 * The part of <string.h> a freestanding kernel uses, with the standard's semantics.
 *
 * Blocks are moved 16 bytes at a time where both sides have the same alignment to 8 bytes,
 * otherwise byte by byte: the kernel also runs with the MMU off, where every access is to Device
 * memory and must be aligned.
 */

void *memcpy(void *restrict to, const void *restrict from, size_t count);
void *memmove(void *to, const void *from, size_t count);
void *memset(void *to, int byte, size_t count);
int memcmp(const void *left, const void *right, size_t count);
void *memchr(const void *in, int byte, size_t count);

size_t strlen(const char *text);
size_t strnlen(const char *text, size_t limit);
int strcmp(const char *left, const char *right);
int strncmp(const char *left, const char *right, size_t limit);
char *strchr(const char *text, int character);

#endif
