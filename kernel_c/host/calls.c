/* SPDX-License-Identifier: BSD-3-Clause */
#include "fake.h"
#include "host.h"
#include "lib/bits.h"
#include "lukos/files.h"
#include "lukos/shared_memory.h"
#include "lukos/vas.h"
#include <uk/nofault.h>

/* Calls of the core's interfaces as commands. Arguments are as the table at the end says. */

static struct uk_vas *vas_of(uint64_t number)
{
    return host_vas[number % HOST_VASES];
}

/* An address space even where the number is that of the kernel's VAS, which is of none. */
static address_space_t *space_of(uint64_t number)
{
    return host_space[number % HOST_VASES == 0 ? 1 : number % HOST_VASES];
}

static void reply_status(struct reply *reply, int64_t status)
{
    reply_add(reply, (uint64_t)status);
}

static void run_map(const uint64_t *a, struct reply *reply)
{
    const struct uk_vma_ops *ops = host_kinds[a[1] % HOST_KINDS];
    struct uk_vma_dma_args dma = {a[7]};
    struct uk_vma_file_args file = {(int)(uint32_t)a[7], (__off)(a[7] >> 32)};
    __vaddr_t va = a[2];
    void *arguments = ops == &uk_vma_dma_ops ? (void *)&dma : NULL;

    if (ops == &uk_vma_file_ops) {
        arguments = &file;
    }
    reply_status(reply, uk_vma_map(vas_of(a[0]), &va, a[3], a[4], a[5],
                                   host_names[a[6] % HOST_NAMES], ops, arguments));
    reply_add(reply, va);
}

static void run_stack(const uint64_t *a, struct reply *reply)
{
    __vaddr_t va = a[1];

    reply_status(reply, uk_vma_map_stack(vas_of(a[0]), &va, a[2], a[3],
                                         host_names[a[4] % HOST_NAMES], a[5]));
    reply_add(reply, va);
}

static void run_unmap(const uint64_t *a, struct reply *reply)
{
    reply_status(reply, uk_vma_unmap(vas_of(a[0]), a[1], a[2], a[3]));
}

static void run_set_attr(const uint64_t *a, struct reply *reply)
{
    reply_status(reply, uk_vma_set_attr(vas_of(a[0]), a[1], a[2], a[3], a[4]));
}

static void run_advise(const uint64_t *a, struct reply *reply)
{
    reply_status(reply, uk_vma_advise(vas_of(a[0]), a[1], a[2], a[3], a[4]));
}

/* A limit of 0 is none. */
static void run_limits(const uint64_t *a, struct reply *reply)
{
    size_t resident = a[1] / PAGE_SIZE;

    reply_status(reply, vas_set_limits(vas_of(a[0]), resident == 0 ? SIZE_MAX : resident,
                                       a[2] == 0 ? SIZE_MAX : a[2]));
}

static void run_paging(const uint64_t *a, struct reply *reply)
{
    (void)reply;
    uk_vas_paging_restoref(vas_of(a[0]), a[1] != 0 ? 0 : UK_VAS_FLAG_NO_PAGING);
}

/* ---- lukos/vmm.h ---- */

static void run_region(const uint64_t *a, struct reply *reply)
{
    reply_status(reply, vmm_address_space_region_create_at(
                            space_of(a[0]), (void *)a[1], a[2],
                            (address_space_region_prop_t)(a[3] % (AS_REGION_RX + 1))));
}

static void run_region_any(const uint64_t *a, struct reply *reply)
{
    reply_add(reply,
              (uint64_t)vmm_address_space_region_create(
                  space_of(a[0]), a[1], (address_space_region_prop_t)(a[2] % (AS_REGION_RX + 1))));
}

static void run_region_destroy(const uint64_t *a, struct reply *reply)
{
    reply_status(reply, vmm_address_space_region_destroy(space_of(a[0]), (void *)a[1]));
}

static void run_region_prop(const uint64_t *a, struct reply *reply)
{
    reply_status(reply, vmm_address_space_region_set_prop(
                            space_of(a[0]), (void *)a[1],
                            (address_space_region_prop_t)(a[2] % (AS_REGION_RX + 1))));
}

static void run_copy_in(const uint64_t *a, struct reply *reply)
{
    vmm_address_space_copy_in(space_of(a[0]), host_buffer, (void *)a[1],
                              min_size(a[2], HOST_BUFFER_SIZE));
    reply_status(reply, vmm_last_error());
}

static void run_copy_out(const uint64_t *a, struct reply *reply)
{
    reply_status(reply, vmm_address_space_copy_out(space_of(a[0]), host_buffer, (void *)a[1],
                                                   min_size(a[2], HOST_BUFFER_SIZE)));
}

static void run_activate(const uint64_t *a, struct reply *reply)
{
    reply_status(reply, vmm_address_space_activate(host_space[a[0] % HOST_VASES]));
}

/* The other address space becomes a copy of this one, which is the active one then. */
static void run_clone(const uint64_t *a, struct reply *reply)
{
    unsigned from = a[0] % HOST_VASES == 2 ? 2 : 1;
    unsigned to = 3 - from;
    address_space_t *copy = vmm_address_space_clone(host_space[from]);

    reply_status(reply, vmm_last_error());
    if (copy != NULL) {
        (void)vmm_address_space_activate(copy);
        host_vas[to] = uk_vas_get_active();
        (void)vmm_address_space_destroy(host_space[to]);
        host_space[to] = copy;
    }
    (void)vmm_address_space_activate(host_space[from]);
}

/* In the place of the handle that was there. */
static void run_shared_create(const uint64_t *a, struct reply *reply)
{
    (void)shared_memory_close(*host_shared(a[0]));
    reply_status(reply, shared_memory_create(a[1], host_shared(a[0])));
}

static void run_shared_close(const uint64_t *a, struct reply *reply)
{
    reply_status(reply, shared_memory_close(*host_shared(a[0])));
}

static void run_shared_map(const uint64_t *a, struct reply *reply)
{
    __vaddr_t va = a[1];

    reply_status(reply, shared_memory_map(vas_of(a[0]), &va, a[2], a[3], a[4],
                                          host_names[a[5] % HOST_NAMES], *host_shared(a[6]),
                                          a[7] * PAGE_SIZE));
    reply_add(reply, va);
}

/* ---- accesses ---- */

/* As from EL0 in the active address space: stopped, permission, address, access, value. */
static void run_user(const uint64_t *a, struct reply *reply)
{
    uint64_t value = a[2];
    struct user_exit stopped =
        fake_user_access((enum user_access)(a[0] % 3), align_down(a[1], 8), &value);

    reply_add(reply, stopped.stop);
    reply_add(reply, stopped.permission);
    reply_add(reply, stopped.address);
    reply_add(reply, stopped.access);
    reply_add(reply, value);
}

/* The kernel's own: the bytes that could be read, or written, and the value. */
static void run_load(const uint64_t *a, struct reply *reply)
{
    uint64_t value = 0;

    reply_add(reply, uk_nofault_memcpy((char *)&value, (const char *)a[0], sizeof(value), a[1]));
    reply_add(reply, value);
}

static void run_store(const uint64_t *a, struct reply *reply)
{
    reply_add(reply, uk_nofault_memcpy((char *)a[0], (const char *)&a[2], sizeof(a[2]), a[1]));
}

static void run_probe(const uint64_t *a, struct reply *reply)
{
    reply_add(reply, (a[3] != 0 ? uk_nofault_probe_rw : uk_nofault_probe_r)(a[0], a[1], a[2]));
}

/* ---- files ---- */

static void run_open(const uint64_t *a, struct reply *reply)
{
    reply_status(reply, file_open(host_paths[a[0] % HOST_FILES],
                                  (a[1] & 1) != 0 ? FILE_RW | FILE_CREATE : FILE_READ));
}

static void run_close(const uint64_t *a, struct reply *reply)
{
    reply_status(reply, file_close((int)a[0]));
}

static void run_write(const uint64_t *a, struct reply *reply)
{
    reply_status(reply, file_seek((int)a[0], (int64_t)(a[1] * PAGE_SIZE)));
    reply_status(reply, file_write((int)a[0], host_buffer, min_size(a[2], HOST_BUFFER_SIZE)));
}

static void run_read(const uint64_t *a, struct reply *reply)
{
    reply_status(reply, file_read((int)a[0], host_buffer, min_size(a[1], HOST_BUFFER_SIZE)));
}

static void run_unlink(const uint64_t *a, struct reply *reply)
{
    reply_status(reply, file_unlink(host_paths[a[0] % HOST_FILES]));
}

/* The n-th allocation of the calls that follow fails. */
static void run_fail(const uint64_t *a, struct reply *reply)
{
    (void)reply;
    interpose_fail(a[0]);
}

const struct operation host_calls[] = {
    {"map",
     run_map,
     {ARG_VAS, ARG_KIND, ARG_ADDRESS, ARG_SIZE, ARG_ATTR, ARG_MAP_FLAGS, ARG_NAME, ARG_SOURCE}},
    {"stack", run_stack, {ARG_VAS, ARG_ADDRESS, ARG_SIZE, ARG_MAP_FLAGS, ARG_NAME, ARG_SIZE}},
    {"unmap", run_unmap, {ARG_VAS, ARG_ADDRESS, ARG_SIZE, ARG_FLAGS}},
    {"set_attr", run_set_attr, {ARG_VAS, ARG_ADDRESS, ARG_SIZE, ARG_ATTR, ARG_FLAGS}},
    {"advise", run_advise, {ARG_VAS, ARG_ADDRESS, ARG_SIZE, ARG_ADVICE, ARG_FLAGS}},
    {"paging", run_paging, {ARG_VAS, ARG_SMALL}},
    {"region", run_region, {ARG_VAS, ARG_ADDRESS, ARG_SIZE, ARG_SMALL}},
    {"region_any", run_region_any, {ARG_VAS, ARG_SIZE, ARG_SMALL}},
    {"region_destroy", run_region_destroy, {ARG_VAS, ARG_ADDRESS}},
    {"region_prop", run_region_prop, {ARG_VAS, ARG_ADDRESS, ARG_SMALL}},
    {"copy_in", run_copy_in, {ARG_VAS, ARG_ADDRESS, ARG_SIZE}},
    {"copy_out", run_copy_out, {ARG_VAS, ARG_ADDRESS, ARG_SIZE}},
    {"activate", run_activate, {ARG_VAS}},
    {"clone", run_clone, {ARG_VAS}},
    {"shared_create", run_shared_create, {ARG_SMALL, ARG_SIZE}},
    {"shared_close", run_shared_close, {ARG_SMALL}},
    {"shared_map",
     run_shared_map,
     {ARG_VAS, ARG_ADDRESS, ARG_SIZE, ARG_ATTR, ARG_MAP_FLAGS, ARG_NAME, ARG_SMALL, ARG_SMALL}},
    {"user", run_user, {ARG_SMALL, ARG_ADDRESS, ARG_VALUE}},
    {"load", run_load, {ARG_ADDRESS, ARG_SMALL}},
    {"store", run_store, {ARG_ADDRESS, ARG_SMALL, ARG_VALUE}},
    {"probe", run_probe, {ARG_ADDRESS, ARG_SIZE, ARG_SMALL, ARG_SMALL}},
    {"open", run_open, {ARG_SMALL, ARG_SMALL}},
    {"close", run_close, {ARG_SMALL}},
    {"write", run_write, {ARG_SMALL, ARG_SMALL, ARG_SIZE}},
    {"read", run_read, {ARG_SMALL, ARG_SIZE}},
    {"unlink", run_unlink, {ARG_SMALL}},
    {"fail", run_fail, {ARG_SMALL}},
    {"limits", run_limits, {ARG_VAS, ARG_SIZE, ARG_SMALL}},
};
const size_t host_call_count = ARRAY_SIZE(host_calls);
