/* SPDX-License-Identifier: BSD-3-Clause */
#include "fake.h"
#include "host.h"
#include "lib/assert.h"
#include "lukos/files.h"
#include "lukos/vas.h"

/* The VASes that commands are about: made, and emptied again. */

struct uk_vas *host_vas[HOST_VASES];
address_space_t *host_space[HOST_VASES];
const char *const host_names[HOST_NAMES] = {NULL, "one", "two"};
const struct uk_vma_ops *const host_kinds[HOST_KINDS] = {
    &uk_vma_anon_ops, &uk_vma_stack_ops, &uk_vma_dma_ops, &uk_vma_rsvd_ops, &uk_vma_file_ops,
};
const struct uk_vma_ops *host_shared_kind;
const char *const host_paths[HOST_FILES] = {"/one", "/two", "/three"};
paddr_t host_dma;
char *host_buffer;

static size_t books[FRAME_PURPOSES]; /* frames by purpose when nothing is mapped */

static void spaces_create(void)
{
    for (unsigned i = 1; i < HOST_VASES; i++) {
        host_space[i] = vmm_address_space_create();
        if (host_space[i] == NULL) {
            panic("no memory for an address space");
        }
        (void)vmm_address_space_activate(host_space[i]);
        host_vas[i] = uk_vas_get_active();
    }
    (void)vmm_address_space_activate(host_space[1]);
}

#define SHARED 2

shared_memory_t **host_shared(uint64_t number)
{
    shared_memory_t **handles = (shared_memory_t **)(void *)(host_buffer + HOST_BUFFER_SIZE);

    return &handles[number % SHARED];
}

/* The type is shared memory's own: seen in a mapping. */
static void learn_shared_kind(struct uk_vas *vas)
{
    shared_memory_t **memory = host_shared(0);
    __vaddr_t va = __VADDR_ANY;

    if (shared_memory_create(PAGE_SIZE, memory) != 0 ||
        shared_memory_map(vas, &va, PAGE_SIZE, PAGE_ATTR_PROT_RW, 0, NULL, *memory, 0) != 0) {
        panic("no memory for shared memory");
    }
    host_shared_kind = uk_vma_find(vas, va)->ops;
    (void)uk_vma_unmap(vas, va, PAGE_SIZE, 0);
    (void)shared_memory_close(*memory);
    *memory = NULL;
}

void host_start(size_t ram_size)
{
    size_t metadata = frames_metadata_size(FAKE_RAM_BASE, FAKE_RAM_BASE + ram_size);

    fake_start(ram_size);
    interpose_start(FAKE_RAM_BASE + metadata, FAKE_RAM_BASE + ram_size);
    host_check_start(FAKE_RAM_BASE + ram_size);
    vmm_init();
    host_dma = frames_alloc(HOST_DMA_PAGES, 9, FRAME_REGION);
    host_buffer = vmm_arch_ram(frames_alloc(HOST_BUFFER_SIZE / PAGE_SIZE + 1, 0, FRAME_REGION));
    vmm_arch_zero(host_dma, HOST_DMA_PAGES * PAGE_SIZE);
    vmm_arch_zero(vmm_arch_ram_address(host_buffer), HOST_BUFFER_SIZE + PAGE_SIZE);
    (void)vmm_address_space_activate(NULL);
    host_vas[0] = uk_vas_get_active();
    learn_shared_kind(host_vas[0]);
    spaces_create();
    for (unsigned purpose = 0; purpose < FRAME_PURPOSES; purpose++) {
        books[purpose] = frames_count(purpose);
    }
}

static void shared_drop(void)
{
    for (unsigned i = 0; i < SHARED; i++) {
        (void)shared_memory_close(*host_shared(i));
        *host_shared(i) = NULL;
    }
}

static void files_drop(void)
{
    for (int fd = 0; fd < FILE_OPEN_MAX + 3; fd++) {
        (void)file_close(fd);
    }
    for (unsigned i = 0; i < HOST_FILES; i++) {
        (void)file_unlink(host_paths[i]);
    }
}

void host_reset(void)
{
    address_space_t *space;

    interpose_fail(0);
    (void)vmm_address_space_activate(NULL);
    uk_vas_destroy(host_vas[0]);
    uk_vas_paging_restoref(host_vas[0], 0);
    (void)vas_set_limits(host_vas[0], SIZE_MAX, SIZE_MAX);
    while ((space = vmm_address_space_next(NULL)) != NULL) {
        if (vmm_address_space_destroy(space) != 0) {
            panic("an address space cannot be destroyed: %d", vmm_last_error());
        }
    }
    files_drop();
    shared_drop();
    spaces_create();
    vmm_arch_zero(host_dma, HOST_DMA_PAGES * PAGE_SIZE);
    for (unsigned purpose = 0; purpose < FRAME_PURPOSES; purpose++) {
        if (frames_count(purpose) != books[purpose]) {
            panic("all is unmapped, and of frames with purpose %u there are %zu instead of %zu",
                  purpose, frames_count(purpose), books[purpose]);
        }
    }
}
