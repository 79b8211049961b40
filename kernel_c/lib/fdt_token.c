/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/fdt_token.h"

#include "lib/bits.h"
#include "lib/string.h"

static void read_begin_node(struct fdt_token *token, uint32_t offset, uint32_t room)
{
    size_t length = strnlen((const char *)token->payload, room);

    if (length == room)
        return;
    token->kind = FDT_BEGIN_NODE;
    token->length = (uint32_t)length;
    token->next = (uint32_t)align_up(offset + 4 + length + 1, 4);
}

static void read_property(struct fdt_token *token, uint32_t offset, uint32_t room)
{
    uint32_t length;

    if (room < 8)
        return;
    length = fdt_load_u32(token->payload);
    if (length > room - 8)
        return;
    token->kind = FDT_PROP;
    token->length = length;
    token->name = fdt_load_u32(token->payload + 4);
    token->payload += 8;
    token->next = (uint32_t)align_up(offset + UINT64_C(12) + length, 4);
}

struct fdt_token fdt_token_at(const struct fdt *fdt, uint32_t offset)
{
    struct fdt_token token = {.kind = FDT_END, .next = offset};
    const uint8_t *at;
    uint32_t room;

    if (UINT64_C(4) + offset > fdt->structure_size)
        return token;
    at = fdt->blob + fdt->structure + offset;
    token.payload = at + 4;
    room = fdt->structure_size - 4 - offset;
    switch (fdt_load_u32(at)) {
    case FDT_BEGIN_NODE:
        read_begin_node(&token, offset, room);
        break;
    case FDT_PROP:
        read_property(&token, offset, room);
        break;
    case FDT_END_NODE:
        token.kind = FDT_END_NODE;
        token.next = offset + 4;
        break;
    case FDT_NOP:
        token.kind = FDT_NOP;
        token.next = offset + 4;
        break;
    default:
        break;
    }
    return token;
}

struct fdt_token fdt_token_of_node(const struct fdt *fdt, int node)
{
    struct fdt_token none = {.kind = FDT_END};
    struct fdt_token token;

    if (node < 0 || !is_aligned((uint32_t)node, 4))
        return none;
    token = fdt_token_at(fdt, (uint32_t)node);
    return token.kind == FDT_BEGIN_NODE ? token : none;
}

struct fdt_token fdt_token_structural(const struct fdt *fdt, uint32_t *offset)
{
    struct fdt_token token = fdt_token_at(fdt, *offset);

    while (token.kind == FDT_PROP || token.kind == FDT_NOP) {
        *offset = token.next;
        token = fdt_token_at(fdt, *offset);
    }
    return token;
}
