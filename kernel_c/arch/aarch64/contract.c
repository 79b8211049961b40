/* SPDX-License-Identifier: BSD-3-Clause */
#include "lukos/vmm_arch.h"

#include "attributes.h"
#include "context.h"
#include "layout.h"
#include "lukos/frames.h"
#include "lukos/status.h"
#include "mmu.h"
#include "tlb.h"
#include "walk.h"

/* The contract of lukos/vmm_arch.h on ranges: checks what a caller may get wrong, then acts. */

#define USER_END BIT(LUKOS_VA_BITS)
#define USER_LOWEST UINT64_C(0x10000) /* what we choose is above: a NULL with an offset faults */

static const unsigned long prop_attr[] = {
    [AS_REGION_NO_ACCESS] = PAGE_ATTR_PROT_NONE,
    [AS_REGION_RO] = PAGE_ATTR_PROT_READ,
    [AS_REGION_RW] = PAGE_ATTR_PROT_RW,
    [AS_REGION_RX] = PAGE_ATTR_PROT_RX,
};

static struct uk_pagetable *context_of(void *ctx)
{
    return ctx == NULL ? &kernel_context : ctx;
}

/* True when [va, va + len) is not empty and lies in [low, high). */
static bool range_in(vaddr_t va, size_t len, vaddr_t low, vaddr_t high)
{
    return len != 0 && len <= high - low && va - low <= high - low - len;
}

bool vmm_arch_va_valid(const void *va, size_t len)
{
    return range_in((vaddr_t)va, len, PAGE_SIZE, USER_END);
}

/* What vmm_arch_map() and its kind may be asked for in this context. */
static int validate(const struct uk_pagetable *context, vaddr_t va, size_t len)
{
    bool kernel = context_is_kernel(context);

    if (!is_aligned(va | len, PAGE_SIZE) || len == 0) {
        return -EINVAL;
    }
    if (!range_in(va, len, kernel ? KERNEL_WINDOW : PAGE_SIZE, kernel ? BOOT_WINDOW : USER_END)) {
        return -ERANGE;
    }
    return 0;
}

__attribute__((noinline)) size_t vmm_arch_boundary(size_t len)
{
    if (len >= pte_size(PTE_LEVEL_LARGEST)) {
        return pte_size(PTE_LEVEL_LARGEST);
    }
    return len >= pte_size(2) ? pte_size(2) : PAGE_SIZE;
}

void *vmm_arch_get_free_range(void *context, size_t len)
{
    const struct uk_pagetable *user = context;

    len = align_up(len, PAGE_SIZE);
    if (user == NULL || user->arch.as == NULL || len == 0) {
        return NULL;
    }
    return (void *)vmm_find_hole(user->arch.as, len, vmm_arch_boundary(len), USER_LOWEST, USER_END);
}

void *vmm_arch_alloc_range(size_t len)
{
    size_t count = len / PAGE_SIZE + (len % PAGE_SIZE != 0);
    unsigned order = log2_floor(vmm_arch_boundary(len) / PAGE_SIZE);

    return (void *)frames_alloc(count, order, FRAME_REGION);
}

void vmm_arch_free_range(void *pa, size_t len)
{
    frames_free((paddr_t)pa, len / PAGE_SIZE + (len % PAGE_SIZE != 0));
}

int vmm_arch_map(void *ctx, address_space_region_prop_t props, void *va, void *pa, size_t len)
{
    struct uk_pagetable *context = context_of(ctx);
    vaddr_t start = (vaddr_t)va;
    int status = validate(context, start, len);

    if ((unsigned)props > AS_REGION_RX || !is_aligned((paddr_t)pa, PAGE_SIZE)) {
        status = -EINVAL;
    } else if (status == 0 && !vmm_arch_pa_valid((paddr_t)pa, len)) {
        status = -ERANGE;
    }
    if (status != 0) {
        return status;
    }
    return mmu_map(context, start, start + len, (paddr_t)pa,
                   attributes_encode(context, prop_attr[props]), PTE_LEVEL_LARGEST);
}

int vmm_arch_unmap(void *ctx, void *va, size_t len)
{
    struct uk_pagetable *context = context_of(ctx);
    vaddr_t start = (vaddr_t)va;
    int status = validate(context, start, len);

    return status != 0 ? status : mmu_unmap(context, start, start + len, NULL);
}

int vmm_arch_protect(void *ctx, address_space_region_prop_t props, void *va, size_t len)
{
    struct uk_pagetable *context = context_of(ctx);
    vaddr_t start = (vaddr_t)va;
    int status = (unsigned)props > AS_REGION_RX ? -EINVAL : validate(context, start, len);

    if (status != 0) {
        return status;
    }
    return mmu_protect(context, start, start + len, attributes_encode(context, prop_attr[props]));
}

void *vmm_arch_v2p(void *ctx, void *va)
{
    struct uk_pagetable *context = context_of(ctx);
    vaddr_t at = (vaddr_t)va;
    unsigned level;
    pte_t leaf;

    if (!context_translates(context, at)) {
        return NULL;
    }
    leaf = mmu_leaf(context, at, &level);
    return leaf == 0 ? NULL : (void *)(pte_address(leaf) | (at & (pte_size(level) - 1)));
}

/* Memory, not device registers: reading those may change them. */
static bool is_accessible(vaddr_t va, bool write, unsigned *level)
{
    pte_t leaf = va_is_kernel(va) ? mmu_leaf(&kernel_context, va, level) : 0;

    return pte_is_valid(leaf) && (leaf & PTE_ATTRINDX(7)) == PTE_ATTRINDX(ATTR_NORMAL) &&
           (!write || (leaf & PTE_AP_RO) == 0);
}

bool vmm_arch_kernel_access(const void *va, size_t len, bool write)
{
    vaddr_t at = (vaddr_t)va;

    size_t done = 0;

    if (len == 0) {
        return false;
    }
    do {
        unsigned level;

        if (!is_accessible(at + done, write, &level)) {
            return false;
        }
        done += pte_size(level) - ((at + done) & (pte_size(level) - 1));
    } while (done < len);
    return true;
}

void *vmm_arch_ram(paddr_t pa)
{
    return (void *)(KERNEL_BASE | pa);
}

paddr_t vmm_arch_ram_address(const void *va)
{
    vaddr_t at = (vaddr_t)va;

    return align_down(at, LINEAR_SIZE) == KERNEL_BASE ? at - KERNEL_BASE : 0;
}

/* ---- pages ---- */

__pte_t vmm_arch_pte(const void *ctx, unsigned long attr)
{
    return attributes_encode(ctx, attr);
}

int vmm_arch_pages_map(void *ctx, vaddr_t va, paddr_t pa, size_t len, __pte_t pte, unsigned largest)
{
    return mmu_map(ctx, va, va + len, pa, pte & ~(PTE_ADDRESS | PTE_TABLE), arm_level(largest));
}

bool vmm_arch_take_over(struct uk_pagetable *live, struct uk_pagetable *staging, vaddr_t va,
                        size_t len)
{
    return mmu_take_over(live, staging, va, va + len);
}

int vmm_arch_pages_cut(void *ctx, vaddr_t va)
{
    return mmu_cut(ctx, va);
}

int vmm_arch_pages_unmap(void *ctx, vaddr_t va, size_t len, struct frame_runs *runs)
{
    return mmu_unmap(ctx, va, va + len, runs);
}

int vmm_arch_pages_set_attr(void *ctx, vaddr_t va, size_t len, unsigned long attr)
{
    return mmu_protect(ctx, va, va + len, attributes_encode(ctx, attr));
}

void vmm_arch_page_replace(void *ctx, vaddr_t va, paddr_t pa, __pte_t pte, unsigned level)
{
    mmu_replace(ctx, va, pte_leaf(pa, pte & ~(PTE_ADDRESS | PTE_TABLE), arm_level(level)));
}

__pte_t vmm_arch_page_at(const void *ctx, vaddr_t va, unsigned *level)
{
    unsigned arm;
    pte_t leaf = mmu_leaf(ctx, va, &arm);

    *level = PTE_LEVEL_LAST - arm;
    return leaf;
}

__pte_t vmm_arch_walk(const void *ctx, vaddr_t va, unsigned *level, vaddr_t *table)
{
    const struct uk_pagetable *context = ctx;
    unsigned arm = context_root_level(context);
    const pte_t *at = context_root(context);
    pte_t entry = at[pte_index(va, arm)];

    while (arm < arm_level(*level) && pte_is_table(entry, arm)) {
        at = walk_next(entry);
        arm++;
        entry = at[pte_index(va, arm)];
    }
    *level = PTE_LEVEL_LAST - arm;
    *table = (vaddr_t)at;
    return entry;
}

size_t vmm_arch_tables(const void *ctx)
{
    return mmu_tables(ctx);
}

bool vmm_arch_range_valid(const void *ctx, vaddr_t va, size_t len)
{
    return context_is_kernel(ctx) ? range_in(va, len, KERNEL_WINDOW, BOOT_WINDOW)
                                  : range_in(va, len, PAGE_SIZE, USER_END);
}

vaddr_t vmm_arch_range_start(const void *ctx)
{
    return context_is_kernel(ctx) ? KERNEL_WINDOW : PAGE_SIZE;
}

vaddr_t vmm_arch_range_end(const void *ctx)
{
    return context_is_kernel(ctx) ? BOOT_WINDOW : USER_END;
}
