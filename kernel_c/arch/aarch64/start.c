/* SPDX-License-Identifier: BSD-3-Clause */
#include "context.h"
#include "cpu.h"
#include "layout.h"
#include "lib/assert.h"
#include "lib/bits.h"
#include "lib/fdt.h"
#include "lib/string.h"
#include "lukos/boot.h"
#include "mmu.h"
#include "tlb.h"

/* The architecture's side of lukos/boot.h, in the upper half. */

#define BLOCK_2M (PAGE_SIZE << PTE_INDEX_BITS)
#define FDT_SIZE_MAX (64 * BLOCK_2M / 2)
#define FDT_HEADER 40U

/* Filled by boot_tables.c before the MMU was on. */
pte_t kernel_root[PTE_ENTRIES] __attribute__((aligned(PAGE_SIZE)));
pte_t kernel_level2[PTE_ENTRIES] __attribute__((aligned(PAGE_SIZE)));
pte_t kernel_level3[PTE_ENTRIES] __attribute__((aligned(PAGE_SIZE)));

struct uk_pagetable kernel_context = {
    .pt_vbase = (vaddr_t)kernel_root,
    .arch = {.root_level = 1, .kernel = true},
};

/* From the linker script. */
extern const char boot_end[], image_end[];

static bool conduit_is_hvc;
static bool firmware_known;

void arch_main(paddr_t fdt);

static void map_or_panic(vaddr_t va, struct range range, pte_t attributes)
{
    int status = mmu_map(&kernel_context, va, va + (range.end - range.start), range.start,
                         attributes, PTE_LEVEL_LARGEST);

    if (status != 0) {
        panic("boot: PA [0x%lx, 0x%lx) cannot be mapped: %s", range.start, range.end,
              status_name(status));
    }
}

/* Make the device tree readable in the boot window, in whole 2M blocks: first its header. */
static const void *map_fdt(paddr_t pa)
{
    struct range blocks = {align_down(pa, BLOCK_2M), align_up(pa + FDT_HEADER, BLOCK_2M)};
    const char *fdt = (const char *)BOOT_WINDOW + (pa - blocks.start);
    size_t mapped = blocks.end - blocks.start;
    uint32_t size;

    map_or_panic(BOOT_WINDOW, blocks, PTE_KERNEL_RO);
    size = fdt_load_u32(fdt + 4);
    if (size > FDT_SIZE_MAX) {
        panic("no device tree at PA 0x%lx: a size of %u bytes", pa, size);
    }
    blocks = (struct range){blocks.end, max_u64(blocks.end, align_up(pa + size, BLOCK_2M))};
    map_or_panic(BOOT_WINDOW + mapped, blocks, PTE_KERNEL_RO);
    return fdt;
}

void arch_main(paddr_t fdt)
{
    WRITE_SYSREG(tpidr_el1, (uintptr_t)&cpus[0]);
    context_leave(); /* the identity map, which has ASID 0 too, is gone: */
    tlb_flush_all(); /* the next access to that half comes after the ISB of an activation */
    kernel_context.pt_pbase = vmm_arch_ram_address(kernel_root);
    kernel_main(map_fdt(fdt), fdt);
}

void arch_boot_done(void)
{
    vaddr_t va = BOOT_WINDOW;
    unsigned level;

    while (mmu_leaf(&kernel_context, va, &level) != 0) {
        va += BLOCK_2M;
    }
    (void)mmu_unmap(&kernel_context, BOOT_WINDOW, va, NULL);
}

struct range arch_image(void)
{
    return (struct range){vmm_arch_ram_address(boot_end), vmm_arch_ram_address(image_end)};
}

struct range arch_boot_memory(void)
{
    return (struct range){IMAGE_PA, vmm_arch_ram_address(boot_end)};
}

paddr_t arch_ram_limit(void)
{
    return LINEAR_SIZE;
}

/* The 2M around the image are mapped already, page by page. Either side may be empty. */
void arch_map_ram(struct range ram)
{
    struct range below = {ram.start, max_u64(ram.start, min_u64(ram.end, IMAGE_PA))};
    struct range above = {min_u64(ram.end, max_u64(ram.start, IMAGE_PA + IMAGE_SIZE_MAX)), ram.end};

    map_or_panic(KERNEL_BASE + below.start, below, PTE_KERNEL_RW);
    map_or_panic(KERNEL_BASE + above.start, above, PTE_KERNEL_RW);
}

void *arch_map_device(paddr_t start, size_t len)
{
    struct range pages = {align_down(start, PAGE_SIZE), align_up(start + len, PAGE_SIZE)};

    if (len == 0 || len > LINEAR_SIZE - min_u64(start, LINEAR_SIZE)) {
        return NULL;
    }
    map_or_panic(KERNEL_BASE + pages.start, pages, PTE_KERNEL_DEVICE);
    return (void *)(KERNEL_BASE + start);
}

void arch_firmware_init(const char *conduit)
{
    firmware_known = conduit != NULL;
    conduit_is_hvc = conduit != NULL && strcmp(conduit, "hvc") == 0;
}

#define PSCI_SYSTEM_OFF 0x84000008U /* Arm DEN 0022, 5.1.9 */

_Noreturn void arch_power_off(void)
{
    register uint64_t x0 __asm__("x0") = PSCI_SYSTEM_OFF;

    if (firmware_known && conduit_is_hvc) {
        __asm__ volatile("hvc #0" : "+r"(x0) : : "memory");
    } else if (firmware_known) {
        __asm__ volatile("smc #0" : "+r"(x0) : : "memory");
    }
    arch_idle();
}

_Noreturn void arch_idle(void)
{
    for (;;) {
        __asm__ volatile("wfi" : : : "memory");
    }
}
