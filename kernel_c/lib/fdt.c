/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/fdt.h"

#include <limits.h>
#include <stdbool.h>

#include "lib/bits.h"
#include "lib/fdt_token.h"
#include "lib/string.h"

/* The header (Devicetree Specification 0.4, 5.2), big-endian words; the offsets of those we use. */
enum header {
    HEADER_MAGIC = 0x00,
    HEADER_TOTAL_SIZE = 0x04,
    HEADER_STRUCTURE = 0x08,
    HEADER_STRINGS = 0x0c,
    HEADER_RESERVED = 0x10,
    HEADER_VERSION = 0x14,
    HEADER_LAST_COMPATIBLE = 0x18,
    HEADER_STRINGS_SIZE = 0x20,
    HEADER_STRUCTURE_SIZE = 0x24, /* from version 17 on */
    HEADER_SIZE = 0x28,
};

#define MAGIC UINT32_C(0xd00dfeed)

static bool is_inside(const struct fdt *fdt, uint32_t offset, uint32_t size)
{
    return (uint64_t)offset + size <= fdt->total_size;
}

static int check_blocks(struct fdt *fdt, uint32_t version)
{
    if (version < 17)
        fdt->structure_size =
            (uint32_t)(fdt->total_size - min_u64(fdt->structure, fdt->total_size));
    if (!is_inside(fdt, fdt->structure, fdt->structure_size) || !is_aligned(fdt->structure, 4))
        return -EINVAL;
    if (!is_inside(fdt, fdt->strings, fdt->strings_size))
        return -EINVAL;
    if (!is_inside(fdt, fdt->reserved, 0) || !is_aligned(fdt->reserved, 8))
        return -EINVAL;
    return 0;
}

/* Leave out what stands before the root, so that the root is node 0. */
static int start_at_root(struct fdt *fdt)
{
    struct fdt_token token = fdt_token_at(fdt, 0);

    while (token.kind == FDT_NOP) {
        fdt->structure += 4;
        fdt->structure_size -= 4;
        token = fdt_token_at(fdt, 0);
    }
    return token.kind == FDT_BEGIN_NODE ? 0 : -EINVAL;
}

int fdt_open(struct fdt *fdt, const void *blob, size_t limit)
{
    const uint8_t *header = blob;
    uint32_t version;
    int status;

    if (header == NULL || limit < HEADER_SIZE || fdt_load_u32(header + HEADER_MAGIC) != MAGIC)
        return -ENOENT;
    fdt->blob = header;
    fdt->total_size = fdt_load_u32(header + HEADER_TOTAL_SIZE);
    fdt->structure = fdt_load_u32(header + HEADER_STRUCTURE);
    fdt->structure_size = fdt_load_u32(header + HEADER_STRUCTURE_SIZE);
    fdt->strings = fdt_load_u32(header + HEADER_STRINGS);
    fdt->strings_size = fdt_load_u32(header + HEADER_STRINGS_SIZE);
    fdt->reserved = fdt_load_u32(header + HEADER_RESERVED);
    version = fdt_load_u32(header + HEADER_VERSION);

    /* A node's offset must fit in an int. */
    if (fdt->total_size < HEADER_SIZE || fdt->total_size > limit || fdt->total_size > INT_MAX)
        return -EINVAL;
    if (version < 16 || fdt_load_u32(header + HEADER_LAST_COMPATIBLE) > 17)
        return -EINVAL;
    status = check_blocks(fdt, version);
    return status != 0 ? status : start_at_root(fdt);
}

size_t fdt_total_size(const struct fdt *fdt)
{
    return fdt->total_size;
}

const char *fdt_name(const struct fdt *fdt, int node)
{
    struct fdt_token token = fdt_token_of_node(fdt, node);

    return token.kind == FDT_BEGIN_NODE ? (const char *)token.payload : NULL;
}

int fdt_first_child(const struct fdt *fdt, int node)
{
    struct fdt_token token = fdt_token_of_node(fdt, node);
    uint32_t offset = token.next;

    if (token.kind != FDT_BEGIN_NODE)
        return -EINVAL;
    return fdt_token_structural(fdt, &offset).kind == FDT_BEGIN_NODE ? (int)offset : -ENOENT;
}

int fdt_next_sibling(const struct fdt *fdt, int node)
{
    struct fdt_token token = fdt_token_of_node(fdt, node);
    uint32_t offset = token.next;
    unsigned depth = 1;

    if (token.kind != FDT_BEGIN_NODE)
        return -EINVAL;
    while (depth > 0) {
        token = fdt_token_structural(fdt, &offset);
        if (token.kind == FDT_END)
            return -ENOENT;
        depth = token.kind == FDT_BEGIN_NODE ? depth + 1 : depth - 1;
        offset = token.next;
    }
    return fdt_token_structural(fdt, &offset).kind == FDT_BEGIN_NODE ? (int)offset : -ENOENT;
}

/*
 * Walk the tree in order up to node and return its depth, 0 for the root; -EINVAL: the walk does
 * not meet it. *last becomes the last node met before it at the depth `wanted`.
 */
static int walk_to(const struct fdt *fdt, int node, int wanted, int *last)
{
    uint32_t offset = 0;
    int depth = 0;

    for (;;) {
        struct fdt_token token = fdt_token_structural(fdt, &offset);

        if (token.kind == FDT_BEGIN_NODE) {
            if ((int)offset == node)
                return depth;
            if (depth == wanted)
                *last = (int)offset;
            depth++;
        } else if (token.kind == FDT_END || --depth == 0) {
            return -EINVAL;
        }
        offset = token.next;
    }
}

int fdt_parent(const struct fdt *fdt, int node)
{
    int parent = -ENOENT;
    int depth = walk_to(fdt, node, -1, &parent);

    /* Twice through the tree, since the parent's depth is known only then; a stack has no bound. */
    walk_to(fdt, node, depth - 1, &parent);
    return depth < 0 ? depth : parent;
}

/* The node's name is this component of a path, or is it followed by a unit. */
static bool name_matches(const char *name, const char *component, size_t length)
{
    if (strncmp(name, component, length) != 0)
        return false;
    return name[length] == '\0' || (name[length] == '@' && memchr(component, '@', length) == NULL);
}

static int find_child(const struct fdt *fdt, int node, const char *component, size_t length)
{
    int child = fdt_first_child(fdt, node);

    while (child >= 0 && !name_matches(fdt_name(fdt, child), component, length))
        child = fdt_next_sibling(fdt, child);
    return child;
}

static bool ends_component(char character)
{
    return character == '/' || character == ':' || character == '\0';
}

int fdt_path(const struct fdt *fdt, const char *path)
{
    int node = 0;

    if (*path != '/')
        return -EINVAL;
    while (node >= 0) {
        size_t length = 0;

        while (*path == '/')
            path++;
        while (!ends_component(path[length]))
            length++;
        if (length == 0)
            break;
        node = find_child(fdt, node, path, length);
        path += length;
    }
    return node;
}

/* One of the strings in the property, each ended by NUL, is this one. */
static bool lists_string(const char *list, size_t size, const char *text)
{
    size_t length = strlen(text) + 1;

    while (size >= length) {
        size_t entry = min_u64(strnlen(list, size) + 1, size);

        if (memcmp(list, text, length) == 0)
            return true;
        list += entry;
        size -= entry;
    }
    return false;
}

static bool is_compatible(const struct fdt *fdt, int node, const char *compatible)
{
    size_t size;
    const char *list = fdt_property(fdt, node, "compatible", &size);

    return list != NULL && lists_string(list, size, compatible);
}

int fdt_next_compatible(const struct fdt *fdt, int after, const char *compatible)
{
    uint32_t offset = 0;

    if (after >= 0) {
        struct fdt_token token = fdt_token_of_node(fdt, after);

        if (token.kind != FDT_BEGIN_NODE)
            return -EINVAL;
        offset = token.next;
    }
    for (;;) {
        struct fdt_token token = fdt_token_structural(fdt, &offset);

        if (token.kind == FDT_END)
            return -ENOENT;
        if (token.kind == FDT_BEGIN_NODE && is_compatible(fdt, (int)offset, compatible))
            return (int)offset;
        offset = token.next;
    }
}
