/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef UK_ARCH_PAGING_H
#define UK_ARCH_PAGING_H

#include "lukos/types.h"
#include <uk/arch/types.h>
#include <uk/assert.h>
#include <uk/essentials.h>

#include <uk/asm/paging.h>

/*
 * Pages and page tables, as Unikraft counts levels: a page is of level 0, a large page (2M) of
 * level 1, a huge one (1G) of level 2. The Arm ARM counts the other way.
 */

#define PAGE_LEVEL 0
#define PAGE_MASK (~((__u64)PAGE_SIZE - 1))

#define PAGE_LARGE_LEVEL 1
#define PAGE_LARGE_SHIFT 21
#define PAGE_LARGE_SIZE 0x200000UL
#define PAGE_LARGE_MASK (~(PAGE_LARGE_SIZE - 1))

#define PAGE_HUGE_LEVEL 2
#define PAGE_HUGE_SHIFT 30
#define PAGE_HUGE_SIZE 0x40000000UL
#define PAGE_HUGE_MASK (~(PAGE_HUGE_SIZE - 1))

#define PAGE_Lx_SHIFT(lvl) (PAGE_SHIFT + PT_LEVEL_SHIFT * (lvl))
#define PAGE_SHIFT_Lx(shift) (((shift) - PAGE_SHIFT) / PT_LEVEL_SHIFT)
#define PAGE_Lx_SIZE(lvl) (1UL << PAGE_Lx_SHIFT(lvl))
#define PAGE_Lx_MASK(lvl) (~(PAGE_Lx_SIZE(lvl) - 1))
#define PAGE_Lx_ALIGN_UP(addr, lvl) ALIGN_UP(addr, PAGE_Lx_SIZE(lvl))
#define PAGE_Lx_ALIGN_DOWN(addr, lvl) ALIGN_DOWN(addr, PAGE_Lx_SIZE(lvl))
#define PAGE_Lx_ALIGNED(addr, lvl) (((addr) & (PAGE_Lx_SIZE(lvl) - 1)) == 0)
#define PAGE_Lx_HAS(lvl) ((lvl) <= PT_MAP_LEVEL_MAX)

#define PAGE_ALIGN_UP(addr) PAGE_Lx_ALIGN_UP(addr, PAGE_LEVEL)
#define PAGE_ALIGN_DOWN(addr) PAGE_Lx_ALIGN_DOWN(addr, PAGE_LEVEL)
#define PAGE_ALIGNED(addr) PAGE_Lx_ALIGNED(addr, PAGE_LEVEL)

/* What a page may be used for, and of what kind of memory it is (uk/asm/paging.h). */
#define PAGE_ATTR_PROT_RW (PAGE_ATTR_PROT_READ | PAGE_ATTR_PROT_WRITE)
#define PAGE_ATTR_PROT_RX (PAGE_ATTR_PROT_READ | PAGE_ATTR_PROT_EXEC)
#define PAGE_ATTR_PROT_RWX (PAGE_ATTR_PROT_RW | PAGE_ATTR_PROT_EXEC)

/* No address; as an argument: any. */
#define __VADDR_ANY __VADDR_INV
#define __PADDR_ANY __PADDR_INV

#endif
