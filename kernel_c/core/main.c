/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/files.h"
#include "core/platform.h"
#include "drivers/pl011.h"
#include "lib/assert.h"
#include "lib/bits.h"
#include "lib/console.h"
#include "lukos/frames.h"
#include "lukos/vmm.h"
#include "lukos/vmm_arch.h"
#include "tour/tour.h"

static struct platform platform;

static void console_start(void)
{
    struct range registers = platform.console;
    void *uart = arch_map_device(registers.start, registers.end - registers.start);

    if (uart != NULL) {
        pl011_init(uart);
        console_set(pl011_put);
    }
}

/* What frames there are records of: all RAM, and what this runs in if the device tree forgets that. */
static struct range managed(void)
{
    struct range span = platform_span(&platform, arch_ram_limit());

    return (struct range){min_u64(span.start, arch_boot_memory().start),
                          max_u64(span.end, arch_image().end)};
}

static struct range metadata;

/* The array of struct frame goes to the first free piece of memory that takes it. */
static void metadata_place(struct range piece)
{
    struct range span = managed();
    size_t size = frames_metadata_size(span.start, span.end);

    if (metadata.end == 0 && piece.end - piece.start >= size) {
        metadata = (struct range){piece.start, piece.start + size};
    }
}

static void frames_add_range(struct range piece)
{
    frames_add(piece.start, piece.end);
}

static void frames_start(void)
{
    paddr_t limit = arch_ram_limit();
    struct range span = managed();
    struct range boot = arch_boot_memory();

    platform_reserve(&platform, arch_image(), false);
    platform_reserve(&platform, boot, false);
    platform_each(&platform, limit, false, metadata_place);
    if (metadata.end == 0) {
        panic("no room for the frames' metadata in [0x%lx, 0x%lx)", span.start, span.end);
    }
    platform_reserve(&platform, metadata, false);
    vmm_arch_zero(metadata.start, metadata.end - metadata.start);
    frames_init(span.start, span.end, vmm_arch_ram(metadata.start));
    platform_each(&platform, limit, false, frames_add_range);
    frames_add(boot.start, boot.end);
}

/* Of a piece that is free by now, what the initrd had: its pages were in no piece before. */
static void initrd_add(struct range piece)
{
    paddr_t start = max_u64(piece.start, align_down(platform.initrd.start, PAGE_SIZE));
    paddr_t end = min_u64(piece.end, align_up(platform.initrd.end, PAGE_SIZE));

    if (start < end) {
        frames_add(start, end);
    }
}

/* Its files are copies: the archive is memory like any other when they are made. */
static void initrd_load(void)
{
    files_load(platform.initrd);
    platform_release(&platform, platform.initrd);
    platform_each(&platform, arch_ram_limit(), false, initrd_add);
}

static uint64_t memory_size(void)
{
    uint64_t size = 0;

    for (size_t i = 0; i < platform.memory_count; i++) {
        size += platform.memory[i].end - platform.memory[i].start;
    }
    return size;
}

_Noreturn void kernel_main(const void *fdt, paddr_t fdt_pa)
{
    bool with_tour;

    platform_read(&platform, fdt, fdt_pa);
    arch_firmware_init(platform.psci_method);
    console_start();
    console_printf("LuKOS VMM: %lu MiB of RAM\n", memory_size() >> 20);
    platform_each(&platform, arch_ram_limit(), true, arch_map_ram);
    frames_start();
    vmm_init();
    initrd_load();
    with_tour = platform_argument(&platform, "tour");
    arch_boot_done();
    if (with_tour) {
        tour();
        arch_power_off();
    }
    arch_idle();
}
