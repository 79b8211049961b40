/* SPDX-License-Identifier: BSD-3-Clause */
#include "table.h"

#include "lib/assert.h"

/* For the boot: enough for every end of some banks of RAM to need a table at levels 2 and 3. */
#define BOOT_TABLES 24

static pte_t boot_tables[BOOT_TABLES][PTE_ENTRIES] __attribute__((aligned(PAGE_SIZE)));
static size_t boot_tables_used;

static pte_t *boot_table_alloc(void)
{
    if (boot_tables_used == BOOT_TABLES) {
        panic("RAM is in too many pieces: more than %d tables to map it", BOOT_TABLES);
    }
    return boot_tables[boot_tables_used++];
}

void table_free(pte_t *table)
{
    frames_free(table_address(table), 1);
}

bool table_stock_fill(struct table_stock *stock, size_t count)
{
    while (count > 0) {
        pte_t *table = frame_records.count == 0 ? boot_table_alloc() : table_alloc();

        if (table == NULL) {
            while (stock->first != NULL) {
                table_free(table_stock_take(stock));
            }
            return false;
        }
        table[0] = (pte_t)stock->first;
        stock->first = table;
        count--;
    }
    return true;
}

pte_t *table_stock_take(struct table_stock *stock)
{
    pte_t *table = stock->first;

    ASSERT(table != NULL);
    stock->first = (pte_t *)table[0];
    table[0] = 0;
    return table;
}
