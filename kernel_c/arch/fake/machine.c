/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "fake.h"
#include "lib/assert.h"
#include "lib/bits.h"
#include "lib/console.h"
#include "lib/string.h"
#include "lukos/boot.h"
#include "lukos/frames.h"
#include "tables.h"

/* RAM, the one CPU, and the end of it all. */

static struct {
    char *start;
    size_t size;
} ram;

static void put(char character)
{
    (void)fputc(character, stderr);
}

void fake_start(size_t ram_size)
{
    size_t metadata = frames_metadata_size(FAKE_RAM_BASE, FAKE_RAM_BASE + ram_size);

    console_set(put);
    ram.start = mmap(NULL, ram_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (ram.start == MAP_FAILED) {
        panic("no memory for RAM of %zu bytes", ram_size);
    }
    ram.size = ram_size;
    frames_init(FAKE_RAM_BASE, FAKE_RAM_BASE + ram_size, ram.start);
    frames_add(FAKE_RAM_BASE + metadata, FAKE_RAM_BASE + ram_size);
}

_Noreturn void arch_power_off(void)
{
    abort(); /* nobody but panic() asks for it here */
}

unsigned vmm_arch_cpu(void)
{
    return 0;
}

void *vmm_arch_ram(paddr_t pa)
{
    if (pa - FAKE_RAM_BASE >= ram.size) {
        panic("PA 0x%lx is not RAM", pa);
    }
    return ram.start + (pa - FAKE_RAM_BASE);
}

paddr_t vmm_arch_ram_address(const void *va)
{
    uintptr_t offset = (uintptr_t)va - (uintptr_t)ram.start;

    return offset < ram.size ? FAKE_RAM_BASE + offset : 0;
}

bool vmm_arch_kernel_access(const void *va, size_t len, bool write)
{
    uintptr_t offset = (uintptr_t)va - (uintptr_t)ram.start;

    (void)write;
    return len != 0 && offset < ram.size && len <= ram.size - offset;
}

void vmm_arch_zero(paddr_t pa, size_t len)
{
    ASSERT(is_aligned(pa | len, PAGE_SIZE));
    memset(vmm_arch_ram(pa), 0, len);
}

void vmm_arch_sync_code(paddr_t pa, size_t len)
{
    ASSERT(frame_of(pa) != NULL && frame_of(pa + len - 1) != NULL);
}
