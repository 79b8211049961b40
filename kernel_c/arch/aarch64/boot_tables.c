/* SPDX-License-Identifier: BSD-3-Clause */
#include "layout.h"
#include "pte.h"

/*
 * The tables that the MMU is switched on with. Runs at its physical address with the MMU off, so
 * that all memory is Device: nothing here may be unaligned, nor touch anything but .boot and what
 * the linker script names by physical address. What it builds is of two parts:
 *
 *   TTBR0   the pages of .boot's code at their physical address, read-only and executable, for
 *           the few instructions around the switch
 *   TTBR1   the 2M that hold the kernel image, each page with its final rights
 */
#define BOOT __attribute__((section(".boot.text")))
#define BOOT_TABLE __attribute__((section(".boot.bss"), aligned(PAGE_SIZE)))

static BOOT_TABLE pte_t identity[4][PTE_ENTRIES]; /* by level */

/* From the linker script, all physical. */
extern pte_t phys_kernel_root[PTE_ENTRIES];
extern pte_t phys_kernel_level2[PTE_ENTRIES];
extern pte_t phys_kernel_level3[PTE_ENTRIES];
extern char phys_boot_start[], phys_boot_text_end[];
extern char phys_text_start[], phys_text_end[];
extern char phys_rodata_start[], phys_rodata_end[];
extern char phys_guard[], phys_overflow_guard[];

struct boot_registers {
    uint64_t tcr;
    uint64_t mair;
    uint64_t ttbr0;
    uint64_t ttbr1;
    uint64_t sctlr;
};

static BOOT void map_pages(pte_t *level3, const char *from, const char *to, pte_t attributes)
{
    for (paddr_t pa = (paddr_t)from; pa != (paddr_t)to; pa += PAGE_SIZE) {
        level3[pte_index(pa, 3)] = pte_leaf(pa, attributes, 3);
    }
}

static BOOT void build_kernel_half(void)
{
    const char *start = (const char *)IMAGE_PA;

    phys_kernel_root[pte_index(KERNEL_BASE + IMAGE_PA, 1)] = pte_table((paddr_t)phys_kernel_level2);
    phys_kernel_level2[pte_index(IMAGE_PA, 2)] = pte_table((paddr_t)phys_kernel_level3);
    map_pages(phys_kernel_level3, start, start + IMAGE_SIZE_MAX, PTE_KERNEL_RW);
    map_pages(phys_kernel_level3, phys_text_start, phys_text_end, PTE_KERNEL_RX);
    map_pages(phys_kernel_level3, phys_rodata_start, phys_rodata_end, PTE_KERNEL_RO);
    phys_kernel_level3[pte_index((vaddr_t)phys_guard, 3)] = 0;
    phys_kernel_level3[pte_index((vaddr_t)phys_overflow_guard, 3)] = 0;
}

static BOOT void build_identity(void)
{
    for (unsigned level = 0; level < PTE_LEVEL_LAST; level++) {
        identity[level][pte_index(IMAGE_PA, level)] = pte_table((paddr_t)identity[level + 1]);
    }
    map_pages(identity[3], phys_boot_start, phys_boot_text_end, PTE_KERNEL_RX | PTE_NG);
}

static BOOT uint64_t translation_control(void)
{
    uint64_t mmfr0 = READ_SYSREG(id_aa64mmfr0_el1);
    uint64_t range = field_get(MMFR0_PARANGE, mmfr0);
    bool wide_asids = field_get(MMFR0_ASIDBITS, mmfr0) == MMFR0_ASIDBITS_16;

    return field_prep(TCR_T0SZ, 64 - LUKOS_VA_BITS) | field_prep(TCR_T1SZ, 64 - KERNEL_VA_BITS) |
           field_prep(TCR_TG0, TCR_TG0_4K) | field_prep(TCR_TG1, TCR_TG1_4K) |
           field_prep(TCR_SH0, TCR_SH_INNER) | field_prep(TCR_SH1, TCR_SH_INNER) |
           field_prep(TCR_IRGN0, TCR_RGN_WBWA) | field_prep(TCR_ORGN0, TCR_RGN_WBWA) |
           field_prep(TCR_IRGN1, TCR_RGN_WBWA) | field_prep(TCR_ORGN1, TCR_RGN_WBWA) |
           field_prep(TCR_IPS, min_u64(range, PARANGE_48)) | (wide_asids ? TCR_AS : 0);
}

/* Called by boot.S, which writes the registers. The tables' memory is zero. */
BOOT void boot_build_tables(struct boot_registers *registers);

BOOT void boot_build_tables(struct boot_registers *registers)
{
    build_kernel_half();
    build_identity();
    registers->tcr = translation_control();
    registers->mair = MAIR_VALUE;
    registers->ttbr0 = (paddr_t)identity[LUKOS_VA_BITS > 39 ? 0 : 1];
    registers->ttbr1 = (paddr_t)phys_kernel_root;
    registers->sctlr = SCTLR_VALUE;
}

#define FDT_MAGIC_BIG_ENDIAN 0xEDFE0DD0U

/* The device tree: where x0 points (Linux boot protocol), or at the start of RAM. */
BOOT paddr_t boot_find_fdt(paddr_t x0);

BOOT paddr_t boot_find_fdt(paddr_t x0)
{
    bool plausible = x0 != 0 && is_aligned(x0, 8);

    return plausible && *(const uint32_t *)x0 == FDT_MAGIC_BIG_ENDIAN ? x0 : RAM_BASE;
}
