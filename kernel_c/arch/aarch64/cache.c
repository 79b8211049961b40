/* SPDX-License-Identifier: BSD-3-Clause */
#include "layout.h"
#include "lukos/vmm_arch.h"
#include "sysreg.h"

/* Cache maintenance: zeroing by cache block, and instruction memory (B2.7.4, D7.5). */

static void zero_by_words(const char *at, const char *end)
{
    while (at != end) {
        __asm__ volatile("stp xzr, xzr, [%0]" : : "r"(at) : "memory");
        at += 16;
    }
}

#define ZVA_AT_ONCE 32

/* DCZID_EL0 for blocks of 128 bytes: nearly all CPUs have 64. With DZP it is more, too. */
#define ZVA_LARGEST 5

static void zero_by_blocks(const char *at, const char *end, size_t block)
{
    do {
        __asm__ volatile(".rept %c2\n"
                         "dc zva, %0\n"
                         "add %0, %0, %1\n"
                         ".endr"
                         : "+r"(at)
                         : "r"(block), "i"(ZVA_AT_ONCE)
                         : "memory");
    } while (at != end);
}

void vmm_arch_zero(paddr_t pa, size_t len)
{
    const char *at = (const char *)(KERNEL_BASE | pa);
    uint64_t dczid = READ_SYSREG(dczid_el0) & (DCZID_DZP | DCZID_BS);

    if (dczid <= ZVA_LARGEST) {
        zero_by_blocks(at, at + len, (size_t)4 << dczid);
    } else {
        zero_by_words(at, at + len);
    }
}

static size_t line(uint64_t ctr, uint64_t field)
{
    return (size_t)4 << field_get(field, ctr);
}

static void clean_to_unification(uintptr_t at, uintptr_t end, uint64_t ctr)
{
    size_t step = line(ctr, CTR_DMINLINE);

    at = align_down(at, step);
    do {
        __asm__ volatile("dc cvau, %0" : : "r"(at) : "memory");
        at += step;
    } while (at < end);
}

/*
 * By address this reaches only instruction caches that are looked up by physical address: we
 * write through the linear map, the program fetches through its own VA. For any other kind, and
 * where it is the shorter way, everything goes.
 */
static void invalidate_instructions(uintptr_t at, uintptr_t end, uint64_t ctr)
{
    size_t step = line(ctr, CTR_IMINLINE);

    if (field_get(CTR_L1IP, ctr) != CTR_L1IP_PIPT || end - at > 64 * PAGE_SIZE) {
        __asm__ volatile("ic ialluis" : : : "memory");
        return;
    }
    at = align_down(at, step);
    do {
        __asm__ volatile("ic ivau, %0" : : "r"(at) : "memory");
        at += step;
    } while (at < end);
}

void vmm_arch_sync_code(paddr_t pa, size_t len)
{
    uintptr_t at = (uintptr_t)vmm_arch_ram(pa);
    uint64_t ctr = READ_SYSREG(ctr_el0);

    if ((ctr & CTR_IDC) == 0) {
        clean_to_unification(at, at + len, ctr);
    }
    dsb_ish();
    if ((ctr & CTR_DIC) == 0) {
        invalidate_instructions(at, at + len, ctr);
        dsb_ish();
    }
    isb();
}
