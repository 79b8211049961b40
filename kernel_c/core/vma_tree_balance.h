/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORE_VMA_TREE_BALANCE_H
#define CORE_VMA_TREE_BALANCE_H

#include "core/vma_node.h"

/* Links between parent and child, and the balance that the node keeps beside its parent's address. */

static inline void set_parent(struct vma_node *node, struct vma_node *parent)
{
    node->parent = (uintptr_t)parent | (node->parent & BALANCE_MASK);
}

static inline unsigned side_of(const struct vma_node *parent, const struct vma_node *child)
{
    return parent->child[ABOVE] == child ? ABOVE : BELOW;
}

/* Below parent, or at the root, `by` stands from now on instead of node. */
static inline void link_child(struct vma_tree *tree, struct vma_node *parent,
                              const struct vma_node *node, struct vma_node *by)
{
    if (parent == NULL)
        tree->root = by;
    else
        parent->child[side_of(parent, node)] = by;
}

/*
 * node->parent with a balance that leans one level more to this side. Where that is more than a
 * balance can say both sides give TOO_FAR: HEAVY(ABOVE) + 1, and HEAVY(BELOW) - 1, which borrows.
 */
#define TOO_FAR BALANCE_MASK

static inline uintptr_t lean(const struct vma_node *node, unsigned side)
{
    return side == ABOVE ? node->parent + 1 : node->parent - 1;
}

/* The subtree at node, which is not the root, has become one level higher. */
void vma_rebalance_grown(struct vma_tree *tree, struct vma_node *node);

/* The subtree at this side of node, if there is one, has become one level lower. */
void vma_rebalance_shrunk(struct vma_tree *tree, struct vma_node *node, unsigned side);

/* Where node had no child it has a leaf: that is never too far. */
static inline void vma_rebalance_above_leaf(struct vma_tree *tree, struct vma_node *node,
                                            unsigned side)
{
    uintptr_t link = lean(node, side);

    node->parent = link;
    if ((link & BALANCE_MASK) != EVEN && vma_node_parent(node) != NULL)
        vma_rebalance_grown(tree, node);
}

#endif
