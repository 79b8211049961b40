/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdbool.h>

#include "lib/fdt_token.h"
#include "lib/string.h"

#define RESERVE_ENTRY 16u /* bytes: address, size */

/* The property's name in the strings block is this one, its NUL included. */
static bool property_named(const struct fdt *fdt, const struct fdt_token *token, const char *name)
{
    size_t length = strlen(name) + 1;

    if (token->name + length > fdt->strings_size)
        return false;
    return memcmp(fdt->blob + fdt->strings + token->name, name, length) == 0;
}

const void *fdt_property(const struct fdt *fdt, int node, const char *name, size_t *len)
{
    struct fdt_token token = fdt_token_of_node(fdt, node);

    if (token.kind != FDT_BEGIN_NODE)
        return NULL;
    for (;;) {
        token = fdt_token_at(fdt, token.next);
        if (token.kind != FDT_PROP && token.kind != FDT_NOP)
            return NULL;
        if (token.kind == FDT_PROP && property_named(fdt, &token, name))
            break;
    }
    if (len != NULL)
        *len = token.length;
    return token.payload;
}

const char *fdt_string(const struct fdt *fdt, int node, const char *name)
{
    size_t size;
    const char *text = fdt_property(fdt, node, name, &size);

    return text != NULL && strnlen(text, size) < size ? text : NULL;
}

int fdt_u32(const struct fdt *fdt, int node, const char *name, uint32_t *value)
{
    size_t size;
    const void *at = fdt_property(fdt, node, name, &size);

    if (at == NULL)
        return -ENOENT;
    if (size != sizeof(*value))
        return -EINVAL;
    *value = fdt_load_u32(at);
    return 0;
}

int fdt_u64(const struct fdt *fdt, int node, const char *name, uint64_t *value)
{
    size_t size;
    const void *at = fdt_property(fdt, node, name, &size);

    if (at == NULL)
        return -ENOENT;
    if (size != sizeof(*value))
        return -EINVAL;
    *value = fdt_load_u64(at);
    return 0;
}

int fdt_number(const struct fdt *fdt, int node, const char *name, uint64_t *value)
{
    uint32_t word;
    int status = fdt_u32(fdt, node, name, &word);

    if (status == -EINVAL)
        return fdt_u64(fdt, node, name, value);
    if (status == 0)
        *value = word;
    return status;
}

/* ---- reg and the memory reservations ---- */

/* A property of the parent that counts cells; value: what it is when it is not there. */
static int read_cells(const struct fdt *fdt, int node, const char *name, uint32_t value)
{
    int status = fdt_u32(fdt, node, name, &value);

    if (status == -EINVAL || value > 4) /* the most that the specification knows is 3 */
        return -EINVAL;
    return (int)value;
}

/* The number in so many cells; false when it needs more than 64 bits. */
static bool load_cells(const uint8_t *at, size_t cells, uint64_t *value)
{
    *value = 0;
    for (size_t i = 0; i < cells; i++) {
        if (*value >> 32 != 0)
            return false;
        *value = *value << 32 | fdt_load_u32(at + 4 * i);
    }
    return true;
}

static int load_reg(const uint8_t *at, size_t address_cells, size_t size_cells, uint64_t *address,
                    uint64_t *size)
{
    uint64_t found_address, found_size;

    if (!load_cells(at, address_cells, &found_address) ||
        !load_cells(at + 4 * address_cells, size_cells, &found_size))
        return -EINVAL;
    if (address != NULL)
        *address = found_address;
    if (size != NULL)
        *size = found_size;
    return 0;
}

int fdt_reg(const struct fdt *fdt, int node, size_t index, uint64_t *address, uint64_t *size)
{
    size_t length, entry;
    const uint8_t *reg = fdt_property(fdt, node, "reg", &length);
    int parent = fdt_parent(fdt, node);
    int address_cells, size_cells;

    if (parent < 0)
        return parent;
    if (reg == NULL)
        return -ENOENT;
    address_cells = read_cells(fdt, parent, "#address-cells", 2);
    size_cells = read_cells(fdt, parent, "#size-cells", 1);
    if (address_cells < 0 || size_cells < 0)
        return -EINVAL;
    entry = 4 * ((size_t)address_cells + (size_t)size_cells);
    if (entry == 0 || length % entry != 0)
        return -EINVAL;
    if (index >= length / entry)
        return -ENOENT;
    return load_reg(reg + index * entry, (size_t)address_cells, (size_t)size_cells, address, size);
}

int fdt_reserve_entry(const struct fdt *fdt, size_t index, uint64_t *address, uint64_t *size)
{
    const uint8_t *at = fdt->blob + fdt->reserved;
    uint64_t found_address, found_size;

    if (index >= (fdt->total_size - fdt->reserved) / RESERVE_ENTRY)
        return -ENOENT;
    at += index * RESERVE_ENTRY;
    found_address = fdt_load_u64(at);
    found_size = fdt_load_u64(at + 8);
    if (found_address == 0 && found_size == 0)
        return -ENOENT;
    *address = found_address;
    *size = found_size;
    return 0;
}
