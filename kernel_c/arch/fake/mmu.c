/* SPDX-License-Identifier: BSD-3-Clause */
#include "fake.h"
#include "lib/assert.h"
#include "lib/string.h"
#include "lukos/fault.h"
#include "lukos/uaccess.h"
#include "tables.h"

/*
 * The CPU's accesses: translated through a TLB that keeps what it knows until it is told to
 * forget, and resolved by the core where nothing, or not enough, is mapped.
 */

#define TLB_ENTRIES 32

static struct translation {
    __u64 tag; /* 0: empty */
    vaddr_t va;
    unsigned level;
    __pte_t pte;
} tlb[TLB_ENTRIES];
static unsigned tlb_next;

/* Reads and writes of a page that maps no RAM end here: a device that swallows everything. */
static char device[PAGE_SIZE];

static bool translates(const struct translation *entry, __u64 tag, vaddr_t va)
{
    return entry->tag == tag && tag != 0 && PAGE_Lx_ALIGN_DOWN(va, entry->level) == entry->va;
}

static const struct translation *tlb_find(__u64 tag, vaddr_t va)
{
    for (unsigned i = 0; i < TLB_ENTRIES; i++) {
        if (translates(&tlb[i], tag, va)) {
            return &tlb[i];
        }
    }
    return NULL;
}

void tlb_forget(const struct uk_pagetable *context, vaddr_t va, vaddr_t end)
{
    for (unsigned i = 0; i < TLB_ENTRIES; i++) {
        if (tlb[i].tag == context->arch.tag && tlb[i].va < end &&
            tlb[i].va + PAGE_Lx_SIZE(tlb[i].level) > va) {
            tlb[i].tag = 0;
        }
    }
}

void tlb_forget_all(__u64 tag)
{
    for (unsigned i = 0; i < TLB_ENTRIES; i++) {
        if (tlb[i].tag == tag) {
            tlb[i].tag = 0;
        }
    }
}

bool fake_tlb_reaches(paddr_t pa, size_t len)
{
    for (unsigned i = 0; i < TLB_ENTRIES; i++) {
        paddr_t mapped = ukarch_pte_paddr(tlb[i].pte);

        if (tlb[i].tag != 0 && mapped < pa + len && pa < mapped + PAGE_Lx_SIZE(tlb[i].level)) {
            return true;
        }
    }
    return false;
}

bool fake_tlb_agrees(const struct uk_pagetable *context)
{
    for (unsigned i = 0; i < TLB_ENTRIES; i++) {
        unsigned level;

        if (tlb[i].tag != 0 && tlb[i].tag == context->arch.tag &&
            (vmm_arch_page_at(context, tlb[i].va, &level) != tlb[i].pte || level != tlb[i].level)) {
            return false;
        }
    }
    return true;
}

/* What the CPU translates with: 0 where there is nothing present. */
static struct translation translate(const struct uk_pagetable *context, vaddr_t va)
{
    const struct translation *known = tlb_find(context->arch.tag, va);
    struct translation found = {.tag = context->arch.tag};

    if (known != NULL) {
        return *known;
    }
    found.pte = vmm_arch_page_at(context, va, &found.level);
    found.va = PAGE_Lx_ALIGN_DOWN(va, found.level);
    if (pte_is_present(found.pte)) {
        tlb[tlb_next++ % TLB_ENTRIES] = found;
    }
    return found;
}

static char *memory_at(const struct translation *found, vaddr_t va)
{
    paddr_t pa = ukarch_pte_paddr(found->pte) + (va - found->va);

    return frame_of(pa) == NULL ? device + va % PAGE_SIZE : vmm_arch_ram(pa);
}

/* By enum user_access. */
static const unsigned long wanted[] = {PAGE_ATTR_PROT_READ, PAGE_ATTR_PROT_WRITE,
                                       PAGE_ATTR_PROT_EXEC};
static const unsigned fault_type[] = {UK_VMA_FAULT_READ, UK_VMA_FAULT_WRITE, UK_VMA_FAULT_EXEC};

/* Where the byte at va is; NULL: it may not be accessed like this, *permission says why. */
static char *reach(vaddr_t va, enum user_access access, bool *permission)
{
    const struct uk_pagetable *context = va >= FAKE_WINDOW ? &kernel_context : vmm_arch_active();

    for (unsigned attempt = 0; attempt < 2; attempt++) {
        struct translation found = {0};

        if (context != NULL && vmm_arch_range_valid(context, va, 1)) {
            found = translate(context, va);
        }
        *permission = pte_is_present(found.pte);
        if (*permission && (attributes_decode(found.pte) & wanted[access]) != 0) {
            return memory_at(&found, va);
        }
        if (fault_resolve(va, fault_type[access] | (*permission ? 0 : UK_VMA_FAULT_NONPRESENT),
                          NULL) != 0) {
            return NULL;
        }
    }
    panic("fault_resolve(0x%lx) said 0 and the access still faults", va);
}

struct user_exit fake_user_access(enum user_access access, vaddr_t va, uint64_t *value)
{
    bool permission;
    char *at = reach(va, access, &permission);

    ASSERT(va % sizeof(*value) == 0);
    if (at == NULL) {
        return (struct user_exit){USER_FAULT, access, permission, va, 0};
    }
    if (access == USER_READ) {
        memcpy(value, at, sizeof(*value));
    } else if (access == USER_WRITE) {
        memcpy(at, value, sizeof(*value));
    }
    return (struct user_exit){.stop = USER_CALL};
}

/* ---- lukos/uaccess.h ---- */

/* The kernel's own memory, which the process's addresses stand for, is always there. */
static char *kernel_reach(vaddr_t va, enum user_access access)
{
    bool permission;

    return va >= FAKE_USER_END && va < FAKE_PROCESS_END ? (char *)va
                                                        : reach(va, access, &permission);
}

size_t arch_nofault_copy(char *to, const char *from, size_t len)
{
    const char *source = len == 0 ? NULL : kernel_reach((vaddr_t)from, USER_READ);
    char *target = source == NULL ? NULL : kernel_reach((vaddr_t)to, USER_WRITE);

    if (target == NULL) {
        return len;
    }
    memcpy(target, source, len);
    return 0;
}

bool arch_nofault_touch(vaddr_t at, bool write)
{
    volatile char *byte = kernel_reach(at, USER_READ);

    if (byte != NULL && write) {
        byte = kernel_reach(at, USER_WRITE);
    }
    if (byte == NULL) {
        return false;
    }
    if (write) {
        *byte = *byte;
    }
    return true;
}
