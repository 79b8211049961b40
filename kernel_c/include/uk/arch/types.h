/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef UK_ARCH_TYPES_H
#define UK_ARCH_TYPES_H

#include <stddef.h>
#include <stdint.h>

/* The types of Unikraft's interfaces. */
typedef int8_t __s8;
typedef uint8_t __u8;
typedef int16_t __s16;
typedef uint16_t __u16;
typedef int32_t __s32;
typedef uint32_t __u32;
typedef int64_t __s64;
typedef uint64_t __u64;
typedef size_t __sz;
typedef ptrdiff_t __ssz;
typedef uintptr_t __uptr;
typedef int64_t __off;
typedef uintptr_t __vaddr_t;
typedef uint64_t __paddr_t;

#ifndef __NULL
#define __NULL NULL
#endif
#define __PADDR_MIN 0
#define __PADDR_MAX UINT64_MAX
#define __VADDR_MIN 0
#define __VADDR_MAX UINTPTR_MAX

#endif
