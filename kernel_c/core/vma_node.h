/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORE_VMA_NODE_H
#define CORE_VMA_NODE_H

#include "lib/bits.h"
#include "lukos/vma_tree.h"

/* What the nodes of a vma_tree are made of; private to vma_tree*.c. */

/* The subtrees of a node: child[BELOW], child[ABOVE]. */
enum side {
    BELOW,
    ABOVE,
};

/* The two low bits of vma_node.parent: EVEN, or which side is one level higher than the other. */
#define BALANCE_MASK ((uintptr_t)3)
#define EVEN 1u
#define HEAVY(side) (2u * (side))
#define OTHER(side) (1u - (side))

_Static_assert(sizeof(struct vma_node) <= 64, "one line of the data cache for a node");
_Static_assert(_Alignof(struct vma_node) > BALANCE_MASK, "low bits of an address are free");

static inline struct vma_node *vma_node_parent(const struct vma_node *node)
{
    return (struct vma_node *)(node->parent & ~BALANCE_MASK);
}

static inline unsigned vma_node_balance(const struct vma_node *node)
{
    return (unsigned)(node->parent & BALANCE_MASK);
}

/* The width of the hole between a node and its prev. Nothing is between the first and NULL. */
static inline uintptr_t vma_node_hole(const struct vma_node *node)
{
    return node->prev == NULL ? 0 : node->start - node->prev->end;
}

/* The widest hole of the subtree at node, of those that count, out of what its children noted. */
static inline uintptr_t vma_node_measure(const struct vma_tree *tree, const struct vma_node *node)
{
    const struct vma_node *below = node->child[BELOW];
    const struct vma_node *above = node->child[ABOVE];
    uintptr_t widest = node == tree->widest ? 0 : vma_node_hole(node);

    if (below != NULL)
        widest = max_u64(widest, below->widest);
    return above != NULL ? max_u64(widest, above->widest) : widest;
}

/* The subtree at node (NULL: none) has a hole as wide as this: it and its ancestors note it. */
static inline void vma_node_widen(struct vma_node *node, uintptr_t widest)
{
    for (; node != NULL; node = vma_node_parent(node)) {
        if (node->widest >= widest)
            break;
        node->widest = widest;
    }
}

/* The hole that does not count, as the tree knows it by name. */
static inline uintptr_t vma_tree_widest_hole(const struct vma_tree *tree)
{
    return tree->widest == NULL ? 0 : vma_node_hole(tree->widest);
}

/* Make node->widest right again, and that of its ancestors as far as this changes them. */
void vma_node_settle(struct vma_tree *tree, struct vma_node *node);

/* The same after the hole at node itself has changed. */
void vma_node_settle_hole(struct vma_tree *tree, struct vma_node *node);

#endif
