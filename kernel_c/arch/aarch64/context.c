/* SPDX-License-Identifier: BSD-3-Clause */
#include "context.h"

#include "cpu.h"
#include "lukos/frames.h"
#include "lukos/objects.h"
#include "lukos/status.h"
#include "mmu.h"
#include "table.h"
#include "tlb.h"

/* The life of a context: create, run with, destroy. */

_Static_assert(LUKOS_VA_BITS == 39 || LUKOS_VA_BITS == 48, "other widths need another root");
#define USER_ROOT_LEVEL (LUKOS_VA_BITS > 39 ? 0U : 1U)

/* The table behind TTBR0 when no address space is active, with ASID 0: empty for ever. */
static const pte_t no_space[PTE_ENTRIES] __attribute__((aligned(PAGE_SIZE)));

struct cpu cpus[VMM_CPUS];
static struct object_cache contexts;

unsigned vmm_arch_cpu(void)
{
    return cpu_this()->index;
}

void vmm_arch_init(void)
{
    asid_init();
    object_cache_init(&contexts, "context", align_up(sizeof(struct uk_pagetable), 8));
}

int vmm_arch_pagetable_init(struct uk_pagetable *context)
{
    pte_t *root = table_alloc();

    if (root == NULL) {
        return -ENOMEM;
    }
    *context = (struct uk_pagetable){
        .pt_vbase = (vaddr_t)root,
        .pt_pbase = vmm_arch_ram_address(root),
        .fa = frames_uk_falloc(),
        .arch = {.root_level = USER_ROOT_LEVEL},
    };
    return 0;
}

int vmm_arch_staging_init(struct uk_pagetable *staging, const struct uk_pagetable *live)
{
    int status = vmm_arch_pagetable_init(staging);

    if (status == 0) {
        staging->arch.root_level = live->arch.root_level;
        staging->arch.kernel = live->arch.kernel;
        staging->arch.tag = ASID_TAG_RETIRED;
    }
    return status;
}

void vmm_arch_pagetable_fini(struct uk_pagetable *context)
{
    vmm_arch_context_retire(context);
    mmu_free_tables(context);
}

void *vmm_arch_context_create(address_space_t *as)
{
    struct uk_pagetable *context = object_alloc(&contexts);

    if (context == NULL) {
        return NULL;
    }
    if (vmm_arch_pagetable_init(context) != 0) {
        object_free(&contexts, context);
        return NULL;
    }
    context->arch.as = as;
    return context;
}

void vmm_arch_context_retire(void *ctx)
{
    struct uk_pagetable *context = ctx;

    if (context->arch.tag == ASID_TAG_RETIRED) {
        return;
    }
    ASSERT(!vmm_arch_is_active(ctx));
    tlb_flush_asid(context->arch.tag);
    asid_release(context->arch.tag);
    context->arch.tag = ASID_TAG_RETIRED;
}

void vmm_arch_context_destroy(void *ctx)
{
    vmm_arch_pagetable_fini(ctx);
    object_free(&contexts, ctx);
}

/* Table and ASID change in one store: there is no moment with one of each (D8.16.2). */
static void ttbr0_write(paddr_t root, uint16_t asid)
{
    WRITE_SYSREG(ttbr0_el1, root | field_prep(TTBR_ASID, asid));
    isb();
}

void context_leave(void)
{
    cpu_this()->active = NULL;
    ttbr0_write(vmm_arch_ram_address(no_space), 0);
}

void vmm_arch_activate(void *ctx)
{
    struct uk_pagetable *context = ctx;

    if (context == NULL) {
        context_leave();
        return;
    }
    ttbr0_write(context->pt_pbase, asid_acquire(&context->arch.tag));
    cpu_this()->active = context;
}

struct uk_pagetable *vmm_arch_kernel_context(void)
{
    return &kernel_context;
}

struct uk_pagetable *vmm_arch_active(void)
{
    return cpu_this()->active;
}

bool vmm_arch_is_active(const void *ctx)
{
    for (unsigned i = 0; i < VMM_CPUS; i++) {
        if (cpus[i].active == ctx) {
            return true;
        }
    }
    return false;
}
