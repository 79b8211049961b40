/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef AARCH64_LAYOUT_H
#define AARCH64_LAYOUT_H

/*
 * The kernel half (TTBR1, T1SZ = 25: 39 bits):
 *
 *   0xFFFFFFFFFFFFFFFF ┌───────────────────────────┐
 *                      │ boot window, 1G           │ the device tree, until RAM is mapped
 *   0xFFFFFFFFC0000000 ├───────────────────────────┤
 *                      │ kernel window, 255G       │ the kernel's own areas
 *   0xFFFFFFC000000000 ├───────────────────────────┤
 *                      │ linear map, 256G          │ VA = KERNEL_BASE + PA: RAM, devices,
 *                      │                           │ and the kernel image inside its RAM
 *   0xFFFFFF8000000000 └───────────────────────────┘
 *
 * Shared by C, assembly and the linker script: plain numbers only.
 */
#define KERNEL_BASE 0xFFFFFF8000000000
#define KERNEL_VA_BITS 39
#define LINEAR_SIZE 0x4000000000
#define KERNEL_WINDOW 0xFFFFFFC000000000
#define BOOT_WINDOW 0xFFFFFFFFC0000000

/* The image is loaded here: 2M-aligned, and clear of a device tree at the start of RAM. */
#define RAM_BASE 0x40000000
#define IMAGE_PA 0x40200000
#define IMAGE_SIZE_MAX 0x200000

/*
 * A stack is 16K, aligned to 32K, and its pages below are not mapped. So bit 14 of any SP in it
 * is clear, and set as soon as it leaves it at the low end: what vectors.S looks at.
 */
#define STACK_SHIFT 14
#define STACK_SIZE 0x4000
#define STACK_ALIGN 0x8000

#endif
