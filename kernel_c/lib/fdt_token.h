/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIB_FDT_TOKEN_H
#define LIB_FDT_TOKEN_H

#include "lib/fdt.h"

/* The structure block of a device tree as a sequence of tokens; private to fdt*.c. */

/* Devicetree Specification 0.4, 5.4.1. */
enum fdt_token_kind {
    FDT_BEGIN_NODE = 1, /* name, NUL, padding to 4 */
    FDT_END_NODE = 2,
    FDT_PROP = 3, /* length, offset of the name in the strings block, value, padding to 4 */
    FDT_NOP = 4,
    FDT_END = 9, /* also whatever cannot be read */
};

struct fdt_token {
    enum fdt_token_kind kind;
    uint32_t next; /* offset of the token behind this one */
    const uint8_t *payload;
    uint32_t length;
    uint32_t name; /* of a property, in the strings block */
};

/* The token at this offset of the structure block; FDT_END for whatever is not whole there. */
struct fdt_token fdt_token_at(const struct fdt *fdt, uint32_t offset);

/* The FDT_BEGIN_NODE token of a node; FDT_END when node is not the offset of one. */
struct fdt_token fdt_token_of_node(const struct fdt *fdt, int node);

/* The next token from *offset on that is neither property nor NOP; *offset becomes its own. */
struct fdt_token fdt_token_structural(const struct fdt *fdt, uint32_t *offset);

#endif
