/* SPDX-License-Identifier: BSD-3-Clause */
#include "parts.h"

#include "lib/bits.h"
#include "lib/console.h"
#include "lib/string.h"
#include "lukos/status.h"
#include "lukos/user.h"
#include "lukos/vmm.h"

#define SPACES 2
#define PROPS 4

static const char *const prop_name[PROPS] = {"NO_ACCESS", "RO", "RW", "RX"};
static const size_t sizes[] = {PAGE_SIZE, 3 * PAGE_SIZE, (size_t)2 << 20, (size_t)1 << 30};
static const char *const size_name[] = {"4K", "3 pages", "2M", "1G"};
#define HUGE 3 /* zeroing it costs more than all the rest: once in each address space is enough */
#define HUGE_PROP AS_REGION_RW

/* What is copied to the end of each region, and the user finds there. */
static char pattern[8] = "pattern";

static bool allowed(address_space_region_prop_t prop, enum user_access access)
{
    if (access == USER_READ) {
        return prop != AS_REGION_NO_ACCESS;
    }
    return prop == (access == USER_WRITE ? AS_REGION_RW : AS_REGION_RX);
}

/*
 * Try one access at va from EL0, with the program that every executable region starts with. It
 * writes the address space's ID.
 */
static struct user_exit attempt(const char *program, const char *va, enum user_access access,
                                uint64_t id)
{
    static const size_t entry[] = {USER_PROBE_READ, USER_PROBE_WRITE, USER_PROBE_CALL};
    struct user_registers registers = {.x = {(uint64_t)va, id}};

    registers.pc = access == USER_EXECUTE ? (uint64_t)va : (uint64_t)(program + entry[access]);
    return arch_user_run(&registers);
}

/* A system call where the access is allowed, else the right fault at the right address. */
static bool outcome_is_right(struct user_exit exit, const char *va, enum user_access access,
                             address_space_region_prop_t prop)
{
    if (allowed(prop, access)) {
        return exit.stop == USER_CALL;
    }
    return exit.stop == USER_FAULT && exit.access == access && exit.address == (vaddr_t)va &&
           exit.permission == (prop != AS_REGION_NO_ACCESS);
}

static const char *outcome_name(struct user_exit exit)
{
    if (exit.stop == USER_CALL) {
        return "done";
    }
    if (exit.stop != USER_FAULT) {
        return "stopped";
    }
    return exit.permission ? "permission fault" : "translation fault";
}

static char *last_words(const address_space_region_t *region)
{
    return (char *)region->va + region->len - 2 * sizeof(pattern);
}

static void try_region(const char *program, const address_space_region_t *region, uint64_t id)
{
    static const enum user_access order[] = {USER_READ, USER_WRITE, USER_EXECUTE};

    for (unsigned i = 0; i < ARRAY_SIZE(order); i++) {
        const char *va = order[i] == USER_EXECUTE ? region->va : last_words(region);
        struct user_exit exit = attempt(program, va, order[i], id);

        console_printf(" %s%-17s", tour_mark(outcome_is_right(exit, va, order[i], region->prop)),
                       outcome_name(exit));
    }
    console_printf("\n");
}

static bool contents_are(address_space_t *as, const char *va, const void *expected)
{
    char found[sizeof(pattern)];

    return vmm_address_space_copy_out(as, found, va, sizeof(found)) == 0 &&
           memcmp(found, expected, sizeof(found)) == 0;
}

static void copy_probe(address_space_t *as, void *va)
{
    vmm_address_space_copy_in(as, (void *)(uintptr_t)arch_user_probe, va,
                              (uintptr_t)arch_user_probe_end - (uintptr_t)arch_user_probe);
}

/* The region holds zeros, then the user program at its start and the pattern at its end. */
static void fill_region(address_space_t *as, const address_space_region_t *region)
{
    static const char zeros[sizeof(pattern)];
    char *last = last_words(region);
    bool zeroed = contents_are(as, region->va, zeros) && contents_are(as, last, zeros);
    bool filled;

    copy_probe(as, region->va);
    vmm_address_space_copy_in(as, pattern, last, sizeof(pattern));
    filled = contents_are(as, region->va, arch_user_probe) && contents_are(as, last, pattern);
    console_printf("%s%-7s%s%-7s", tour_mark(zeroed), zeroed ? "zeros" : "dirty", tour_mark(filled),
                   filled ? "copied" : "lost");
}

static void visit_region(address_space_t *as, const char *program, size_t size,
                         address_space_region_prop_t prop)
{
    address_space_region_t region = {0};
    void *va = vmm_address_space_region_create(as, sizes[size], prop);

    console_printf("  %-8s %-10s", size_name[size], prop_name[prop]);
    if (va == NULL || vmm_address_space_region_next(as, va, &region) != 0) {
        console_printf("%sno region: %s\n", tour_mark(false), status_name(vmm_last_error()));
        return;
    }
    console_printf("0x%010lx ", (vaddr_t)va);
    fill_region(as, &region);
    try_region(program, &region, vmm_address_space_id(as));
    if (size == HUGE) {
        (void)vmm_address_space_region_destroy(as, va); /* two of them need not fit in RAM */
    }
}

static address_space_t *visit_space(void)
{
    address_space_t *as = vmm_address_space_create();
    char *program = vmm_address_space_region_create(as, PAGE_SIZE, AS_REGION_RX);

    console_printf("\naddress space %lu\n", vmm_address_space_id(as));
    console_printf("  %-8s %-10s%-13s%-16s %-18s %-18s %s\n", "size", "property", "VA", "kernel",
                   "EL0 read", "EL0 write", "EL0 execute");
    copy_probe(as, program);
    (void)vmm_address_space_activate(as);
    for (unsigned prop = 0; prop < PROPS; prop++) {
        for (size_t size = 0; size < (prop == HUGE_PROP ? HUGE + 1 : HUGE); size++) {
            visit_region(as, program, size, (address_space_region_prop_t)prop);
        }
    }
    (void)vmm_address_space_activate(NULL);
    return as;
}

/* Regions stand at the same VAs in each address space, and yet hold what its own user wrote. */
static bool is_private(address_space_t *as)
{
    address_space_region_t region = {0};
    uint64_t id = vmm_address_space_id(as);
    bool own = true;

    while (vmm_address_space_region_next(as, (char *)region.va + region.len, &region) == 0) {
        own = own && (region.prop != AS_REGION_RW || contents_are(as, last_words(&region), &id));
    }
    return own;
}

__attribute__((noinline)) void tour_spaces_ready(void)
{
    __asm__ volatile("" : : : "memory");
}

void tour_spaces(void)
{
    address_space_t *spaces[SPACES];

    for (unsigned i = 0; i < SPACES; i++) {
        spaces[i] = visit_space();
    }
    tour_spaces_ready();
    console_printf("\n");
    for (unsigned i = 0; i < SPACES; i++) {
        uint64_t id = vmm_address_space_id(spaces[i]);
        bool own = is_private(spaces[i]);
        bool destroyed = vmm_address_space_destroy(spaces[i]) == 0;

        console_printf("address space %lu:%s%s,%s%s\n", id, tour_mark(own),
                       own ? "its memory is its own" : "others wrote its memory",
                       tour_mark(destroyed), destroyed ? "destroyed" : "still there");
    }
}
