/* SPDX-License-Identifier: BSD-3-Clause */
#include "lukos/vmm_arch.h"

#include "fake.h"
#include "lukos/objects.h"
#include "lukos/status.h"
#include "tables.h"

/* Contexts, and ranges as address spaces map them. */

#define USER_LOWEST UINT64_C(0x10000)

struct uk_pagetable kernel_context;
static struct uk_pagetable *active;
static struct object_cache contexts;
static __u64 last_tag;

static const unsigned long prop_attr[] = {
    [AS_REGION_NO_ACCESS] = PAGE_ATTR_PROT_NONE,
    [AS_REGION_RO] = PAGE_ATTR_PROT_READ,
    [AS_REGION_RW] = PAGE_ATTR_PROT_RW,
    [AS_REGION_RX] = PAGE_ATTR_PROT_RX,
};

/* ---- contexts ---- */

int vmm_arch_pagetable_init(struct uk_pagetable *context)
{
    __pte_t *root = table_alloc();

    if (root == NULL) {
        return -ENOMEM;
    }
    *context = (struct uk_pagetable){
        .pt_vbase = (vaddr_t)root,
        .pt_pbase = vmm_arch_ram_address(root),
        .fa = frames_uk_falloc(),
        .arch = {.tag = ++last_tag},
    };
    return 0;
}

/* All contexts are alike here. */
int vmm_arch_staging_init(struct uk_pagetable *staging, const struct uk_pagetable *live)
{
    (void)live;
    return vmm_arch_pagetable_init(staging);
}

void vmm_arch_init(void)
{
    object_cache_init(&contexts, "context", align_up(sizeof(struct uk_pagetable), 8));
    if (vmm_arch_pagetable_init(&kernel_context) != 0) {
        panic("no frame for the kernel's root table");
    }
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

    ASSERT(context != active);
    tlb_forget_all(context->arch.tag);
    context->arch.tag = 0;
}

void vmm_arch_pagetable_fini(struct uk_pagetable *context)
{
    vmm_arch_context_retire(context);
    tables_free(context);
}

void vmm_arch_context_destroy(void *ctx)
{
    vmm_arch_pagetable_fini(ctx);
    object_free(&contexts, ctx);
}

void vmm_arch_activate(void *ctx)
{
    active = ctx;
}

struct uk_pagetable *vmm_arch_active(void)
{
    return active;
}

bool vmm_arch_is_active(const void *ctx)
{
    return active == ctx;
}

struct uk_pagetable *vmm_arch_kernel_context(void)
{
    return &kernel_context;
}

/* ---- ranges ---- */

static bool range_in(vaddr_t va, size_t len, vaddr_t low, vaddr_t high)
{
    return len != 0 && len <= high - low && va - low <= high - low - len;
}

vaddr_t vmm_arch_range_start(const void *ctx)
{
    return ctx == &kernel_context ? FAKE_WINDOW : PAGE_SIZE;
}

vaddr_t vmm_arch_range_end(const void *ctx)
{
    return ctx == &kernel_context ? FAKE_WINDOW_END : FAKE_USER_END;
}

bool vmm_arch_range_valid(const void *ctx, vaddr_t va, size_t len)
{
    return range_in(va, len, vmm_arch_range_start(ctx), vmm_arch_range_end(ctx));
}

bool vmm_arch_va_valid(const void *va, size_t len)
{
    return range_in((vaddr_t)va, len, PAGE_SIZE, FAKE_USER_END);
}

size_t vmm_arch_boundary(size_t len)
{
    unsigned level = PT_MAP_LEVEL_MAX;

    while (level > PAGE_LEVEL && len < PAGE_Lx_SIZE(level)) {
        level--;
    }
    return PAGE_Lx_SIZE(level);
}

static int validate(const struct uk_pagetable *context, vaddr_t va, size_t len)
{
    if (!is_aligned(va | len, PAGE_SIZE) || len == 0) {
        return -EINVAL;
    }
    return vmm_arch_range_valid(context, va, len) ? 0 : -ERANGE;
}

void *vmm_arch_get_free_range(void *context, size_t len)
{
    const struct uk_pagetable *user = context;

    if (user == NULL || user->arch.as == NULL || len == 0 || len > FAKE_USER_END) {
        return NULL;
    }
    len = align_up(len, PAGE_SIZE);
    return (void *)vmm_find_hole(user->arch.as, len, vmm_arch_boundary(len), USER_LOWEST,
                                 FAKE_USER_END);
}

void *vmm_arch_alloc_range(size_t len)
{
    unsigned order = log2_floor(vmm_arch_boundary(len) / PAGE_SIZE);

    return (void *)frames_alloc(align_up(len, PAGE_SIZE) / PAGE_SIZE, order, FRAME_REGION);
}

void vmm_arch_free_range(void *pa, size_t len)
{
    frames_free((paddr_t)pa, align_up(len, PAGE_SIZE) / PAGE_SIZE);
}

int vmm_arch_map(void *ctx, address_space_region_prop_t props, void *va, void *pa, size_t len)
{
    struct uk_pagetable *context = context_of(ctx);
    int status = validate(context, (vaddr_t)va, len);

    if ((unsigned)props > AS_REGION_RX || !is_aligned((paddr_t)pa, PAGE_SIZE)) {
        status = -EINVAL;
    } else if (status == 0 && !vmm_arch_pa_valid((paddr_t)pa, len)) {
        status = -ERANGE;
    }
    if (status != 0) {
        return status;
    }
    return vmm_arch_pages_map(context, (vaddr_t)va, (paddr_t)pa, len,
                              vmm_arch_pte(context, prop_attr[props]), PT_MAP_LEVEL_MAX);
}

int vmm_arch_unmap(void *ctx, void *va, size_t len)
{
    struct uk_pagetable *context = context_of(ctx);
    int status = validate(context, (vaddr_t)va, len);

    return status != 0 ? status : vmm_arch_pages_unmap(context, (vaddr_t)va, len, NULL);
}

int vmm_arch_protect(void *ctx, address_space_region_prop_t props, void *va, size_t len)
{
    struct uk_pagetable *context = context_of(ctx);
    int status = (unsigned)props > AS_REGION_RX ? -EINVAL : validate(context, (vaddr_t)va, len);

    return status != 0 ? status
                       : vmm_arch_pages_set_attr(context, (vaddr_t)va, len, prop_attr[props]);
}

void *vmm_arch_v2p(void *ctx, void *va)
{
    struct uk_pagetable *context = context_of(ctx);
    vaddr_t at = (vaddr_t)va;
    unsigned level;
    __pte_t pte;

    if (context == &kernel_context && vmm_arch_ram_address(va) != 0) {
        return (void *)vmm_arch_ram_address(va);
    }
    if (!vmm_arch_range_valid(context, at, 1)) {
        return NULL;
    }
    pte = vmm_arch_page_at(context, at, &level);
    return pte == 0 ? NULL : (void *)(ukarch_pte_paddr(pte) | (at & (PAGE_Lx_SIZE(level) - 1)));
}
