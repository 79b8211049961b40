/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIB_FDT_H
#define LIB_FDT_H

#include <stddef.h>
#include <stdint.h>

#include "lukos/status.h"

/*
 * A reader of flattened device trees (Devicetree Specification 0.4, chapter 5), versions 16 and 17.
 *
 * The blob comes from outside and is not trusted: every offset is checked, nothing is read outside
 * [blob, blob + total size), and a tree that breaks off simply ends there.
 *
 * A node is named by the offset of its FDT_BEGIN_NODE token in the structure block: 0 or more, the
 * root is 0. Negative results are an errno: -ENOENT, not there; -EINVAL, there but malformed, or
 * the offset is not one of a node.
 */
struct fdt {
    const uint8_t *blob;
    uint32_t total_size;
    uint32_t structure; /* offset of the structure block in the blob; its size */
    uint32_t structure_size;
    uint32_t strings; /* the same for the block of property names */
    uint32_t strings_size;
    uint32_t reserved; /* offset of the memory reservation block */
};

/*
 * Check the header of the blob, of which at most limit bytes may be read. blob may have any
 * alignment. 0; -ENOENT: no device tree is there (NULL, or the magic number is another); -EINVAL.
 */
int fdt_open(struct fdt *fdt, const void *blob, size_t limit);

/* Bytes from the start of the blob to its end. */
size_t fdt_total_size(const struct fdt *fdt);

/* ---- nodes ---- */

/*
 * The node at an absolute path: "/memory", "/cpus/cpu@0". A component without "@unit" matches the
 * first child whose name without its unit is the same.
 */
int fdt_path(const struct fdt *fdt, const char *path);

/* The next node after `after` (-1: the first of all) that lists compatible, in tree order. */
int fdt_next_compatible(const struct fdt *fdt, int after, const char *compatible);

int fdt_first_child(const struct fdt *fdt, int node);
int fdt_next_sibling(const struct fdt *fdt, int node);
int fdt_parent(const struct fdt *fdt, int node);

/* The node's name with its unit, "" for the root; NULL: not a node. */
const char *fdt_name(const struct fdt *fdt, int node);

/* ---- properties ---- */

/* The property's value, its size in *len; NULL: the node has none of this name. len may be NULL. */
const void *fdt_property(const struct fdt *fdt, int node, const char *name, size_t *len);

/* The property as text, the first one of a list; NULL: there is none, or no NUL in it. */
const char *fdt_string(const struct fdt *fdt, int node, const char *name);

/* The property as one number. -EINVAL: its size is not 4 (8) bytes. */
int fdt_u32(const struct fdt *fdt, int node, const char *name, uint32_t *value);
int fdt_u64(const struct fdt *fdt, int node, const char *name, uint64_t *value);

/* The property as one number of 4 or of 8 bytes, as "linux,initrd-start" may be either. */
int fdt_number(const struct fdt *fdt, int node, const char *name, uint64_t *value);

/*
 * The index-th (address, size) of the node's "reg", in the cells that its parent's #address-cells
 * (2 by default) and #size-cells (1) tell. address and size may be NULL. -EINVAL also where a
 * number does not fit in 64 bits.
 */
int fdt_reg(const struct fdt *fdt, int node, size_t index, uint64_t *address, uint64_t *size);

/* The index-th entry of the memory reservation block. -ENOENT: after the last. */
int fdt_reserve_entry(const struct fdt *fdt, size_t index, uint64_t *address, uint64_t *size);

/* ---- big-endian numbers at any alignment ---- */

static inline uint32_t fdt_load_u32(const void *at)
{
    const uint8_t *byte = at;

    return (uint32_t)byte[0] << 24 | (uint32_t)byte[1] << 16 | (uint32_t)byte[2] << 8 | byte[3];
}

static inline uint64_t fdt_load_u64(const void *at)
{
    return (uint64_t)fdt_load_u32(at) << 32 | fdt_load_u32((const uint8_t *)at + 4);
}

#endif
