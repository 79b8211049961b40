/* SPDX-License-Identifier: BSD-3-Clause */
#include "tables.h"

#include "fake.h"
#include "lib/string.h"
#include "lukos/frames.h"
#include "lukos/status.h"

__pte_t *table_alloc(void)
{
    paddr_t pa = frames_alloc(1, 0, FRAME_TABLE);

    return pa == 0 ? NULL : memset(vmm_arch_ram(pa), 0xFF, PAGE_SIZE);
}

void table_free(__pte_t *table)
{
    frames_free(vmm_arch_ram_address(table), 1);
}

bool table_is_empty(const __pte_t *table)
{
    for (unsigned i = 0; i < PT_PTES_PER_LEVEL; i++) {
        if (entry_load(&table[i]) != 0) {
            return false;
        }
    }
    return true;
}

__pte_t *table_walk(const struct uk_pagetable *context, vaddr_t va, unsigned *level,
                    __pte_t **table)
{
    unsigned at = ROOT_LEVEL;
    __pte_t *entry;

    *table = context_root(context);
    entry = table_entry(*table, va, at);
    while (at > *level && pte_is_table(entry_load(entry))) {
        *table = table_below(entry_load(entry));
        at--;
        entry = table_entry(*table, va, at);
    }
    *level = at;
    return entry;
}

static void free_below(__pte_t *table)
{
    for (unsigned i = 0; i < PT_PTES_PER_LEVEL; i++) {
        if (pte_is_table(entry_load(&table[i]))) {
            free_below(table_below(entry_load(&table[i])));
        }
    }
    table_free(table);
}

void tables_free(const struct uk_pagetable *context)
{
    free_below(context_root(context));
}

static size_t count_below(const __pte_t *table)
{
    size_t count = 1;

    for (unsigned i = 0; i < PT_PTES_PER_LEVEL; i++) {
        if (pte_is_table(entry_load(&table[i]))) {
            count += count_below(table_below(entry_load(&table[i])));
        }
    }
    return count;
}

size_t vmm_arch_tables(const void *ctx)
{
    return count_below(context_root(ctx));
}

/* ---- attributes ---- */

#define ATTR_KNOWN                                                                     \
    (PAGE_ATTR_PROT_RWX | (unsigned long)PAGE_ATTR_TYPE_MASK << PAGE_ATTR_TYPE_SHIFT | \
     (unsigned long)PAGE_ATTR_SHAREABLE_MASK << PAGE_ATTR_SHAREABLE_SHIFT)
#define TYPES 6
#define TYPE_DEVICE (PAGE_ATTR_TYPE_DEVICE_nGnRnE >> PAGE_ATTR_TYPE_SHIFT)

__pte_t vmm_arch_pte(const void *ctx, unsigned long attr)
{
    unsigned long type = attr >> PAGE_ATTR_TYPE_SHIFT & PAGE_ATTR_TYPE_MASK;
    __pte_t pte = PTE_SOMETHING | field_prep(PTE_TYPE, type);

    (void)ctx;
    if ((attr & ~ATTR_KNOWN) != 0 || type >= TYPES ||
        ((attr & PAGE_ATTR_PROT_EXEC) != 0 &&
         (type >= TYPE_DEVICE || (attr & PAGE_ATTR_PROT_WRITE) != 0))) {
        return 0;
    }
    if ((attr & PAGE_ATTR_PROT_MASK) == PAGE_ATTR_PROT_NONE) {
        pte |= PTE_ABSENT | PTE_DENY_READ;
    }
    pte |= (attr & PAGE_ATTR_PROT_WRITE) != 0 ? 0 : PTE_DENY_WRITE;
    return pte | ((attr & PAGE_ATTR_PROT_EXEC) != 0 ? 0 : PTE_DENY_EXEC);
}

unsigned long attributes_decode(__pte_t pte)
{
    unsigned long attr = (unsigned long)field_get(PTE_TYPE, pte) << PAGE_ATTR_TYPE_SHIFT;

    attr |= (pte & PTE_DENY_READ) != 0 ? 0 : PAGE_ATTR_PROT_READ;
    attr |= (pte & PTE_DENY_WRITE) != 0 ? 0 : PAGE_ATTR_PROT_WRITE;
    return attr | ((pte & PTE_DENY_EXEC) != 0 ? 0 : PAGE_ATTR_PROT_EXEC);
}

/* ---- for tests ---- */

struct visit {
    fake_visit_t visit;
    void *argument;
    size_t empty; /* tables below the root */
};

static void each_below(struct visit *visit, __pte_t *table, unsigned level, vaddr_t base)
{
    visit->empty += level != ROOT_LEVEL && table_is_empty(table);
    for (size_t i = 0; i < PT_PTES_PER_LEVEL; i++) {
        struct fake_page page = {.va = base + (i << PAGE_Lx_SHIFT(level)), .level = level};
        __pte_t pte = entry_load(table_entry(table, page.va, level));

        if (pte_is_table(pte)) {
            each_below(visit, table_below(pte), level - 1, page.va);
        } else if (pte != 0) {
            page.pa = ukarch_pte_paddr(pte);
            page.attr = attributes_decode(pte);
            visit->visit(visit->argument, &page);
        }
    }
}

size_t fake_each_page(const struct uk_pagetable *context, fake_visit_t visit, void *argument)
{
    struct visit all = {visit, argument, 0};

    each_below(&all, context_root(context), ROOT_LEVEL,
               context == &kernel_context ? FAKE_WINDOW : 0);
    return all.empty;
}
