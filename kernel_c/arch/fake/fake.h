/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef FAKE_FAKE_H
#define FAKE_FAKE_H

#include "lukos/user.h"
#include "lukos/vmm_arch.h"

/*
 * A machine on the build host: RAM is one piece of the process's memory, at physical addresses of
 * its own, and what stands for the CPU translates by the tables of arch/fake and through a TLB.
 *
 * Virtual addresses: those of address spaces are below FAKE_USER_END; then come those of the
 * process, which stand for the kernel; and at FAKE_WINDOW starts the kernel's window.
 */
#define FAKE_USER_END (UINT64_C(1) << 43)
#define FAKE_PROCESS_END (UINT64_C(1) << 56)
#define FAKE_WINDOW UINT64_C(0xD000000000000000)
#define FAKE_WINDOW_END (FAKE_WINDOW + (UINT64_C(1) << 40))
#define FAKE_RAM_BASE UINT64_C(0x5A12300000) /* not aligned to a large page */

/* Once: RAM of this size, given to the frames. */
void fake_start(size_t ram_size);

/*
 * One access of 8 bytes from an address space: to *value, or of *value. What it stops with is as
 * after arch_user_run(): USER_CALL when it worked.
 */
struct user_exit fake_user_access(enum user_access access, vaddr_t va, uint64_t *value);

/*
 * Each page of the context, in order of address, with attr of PAGE_ATTR_*. The number of tables that
 * hold nothing and are not the top one: none may.
 */
struct fake_page {
    vaddr_t va;
    paddr_t pa;
    unsigned level;
    unsigned long attr;
};
typedef void (*fake_visit_t)(void *argument, const struct fake_page *page);
size_t fake_each_page(const struct uk_pagetable *context, fake_visit_t visit, void *argument);

/* True when the TLB can still get to a part of [pa, pa + len). */
bool fake_tlb_reaches(paddr_t pa, size_t len);

/* True when the TLB knows nothing of the context but what its tables say. */
bool fake_tlb_agrees(const struct uk_pagetable *context);

#endif
