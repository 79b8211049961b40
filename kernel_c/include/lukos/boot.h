/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LUKOS_BOOT_H
#define LUKOS_BOOT_H

#include "lukos/types.h"

/*
 * How the machine comes up: the part of the contract with the architecture that is over once
 * the VMM runs.
 *
 * The architecture enters the core once, on one CPU, with the MMU on, the kernel image mapped
 * and the device tree readable, and nothing else mapped. The core finds out what the machine has
 * and tells the architecture to map it.
 */

struct range {
    paddr_t start;
    paddr_t end; /* exclusive */
};

/* ---- the core, for the architecture to enter ---- */

/* fdt: the device tree's blob, of which at least its own total size is readable. */
_Noreturn void kernel_main(const void *fdt, paddr_t fdt_pa);

/* ---- the architecture, for the core to call ---- */

/* Where the kernel image is. Never to be handed out. */
struct range arch_image(void);

/* What only the boot needed, code and tables: memory like any other from now on. */
struct range arch_boot_memory(void);

/* Physical addresses at or above this are beyond the kernel's map of memory. */
paddr_t arch_ram_limit(void);

/* Map RAM as the kernel sees it: read-write, never executable. What is mapped stays. */
void arch_map_ram(struct range ram);

/* Map a device's registers; where the kernel sees them. NULL: not possible. */
void *arch_map_device(paddr_t start, size_t len);

/* The device tree is copied or mapped as RAM by now: drop the boot's view of it. */
void arch_boot_done(void);

/* Power off through the firmware. conduit: "hvc" or "smc", from the device tree. */
void arch_firmware_init(const char *conduit);
_Noreturn void arch_power_off(void);

/* Nothing to do, ever. */
_Noreturn void arch_idle(void);

#endif
