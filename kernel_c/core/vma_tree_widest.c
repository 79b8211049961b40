/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/vma_node.h"
#include "lib/bits.h"

/* The wider of `widest` and what is the widest hole of the subtree at parent without this child. */
static inline uintptr_t widen_beside(uintptr_t widest, const struct vma_node *parent,
                                     const struct vma_node *child)
{
    const struct vma_node *below = parent->child[BELOW];
    const struct vma_node *sibling = below == child ? parent->child[ABOVE] : below;

    widest = max_u64(widest, vma_node_hole(parent));
    return sibling != NULL ? max_u64(widest, sibling->widest) : widest;
}

/* The subtree at node has a hole wider than noted. */
static void settle_wider(struct vma_node *node, uintptr_t widest)
{
    for (; node != NULL && node->widest < widest; node = vma_node_parent(node))
        node->widest = widest;
}

/*
 * The subtree at node had a hole of node->widest and has none now; `others` is the widest of it
 * without the hole at node. Ancestors are concerned as long as they had no wider one, nor another
 * one as wide. When all were, that hole was the widest of the tree, and all others have been seen.
 */
static void settle_narrower(struct vma_tree *tree, struct vma_node *node, uintptr_t others)
{
    uintptr_t hole = vma_node_hole(node);
    uintptr_t was = node->widest;
    struct vma_node *at = node;

    while (others < was) {
        struct vma_node *parent = vma_node_parent(at);

        at->widest = max_u64(hole, others);
        if (parent == NULL) {
            tree->widest = node;
            tree->others = others;
            return;
        }
        if (parent->widest != was)
            return;
        others = widen_beside(others, parent, at);
        at = parent;
    }
}

void vma_node_settle(struct vma_tree *tree, struct vma_node *node)
{
    uintptr_t others = vma_node_measure_below(node);
    uintptr_t widest = max_u64(vma_node_hole(node), others);

    if (widest > node->widest)
        settle_wider(node, widest);
    else if (widest < node->widest)
        settle_narrower(tree, node, others);
}

void vma_node_settle_hole(struct vma_tree *tree, struct vma_node *node)
{
    uintptr_t hole = vma_node_hole(node);

    if (hole > tree->root->widest) {
        tree->widest = node;
        tree->others = tree->root->widest;
    }
    if (node == tree->widest && hole >= tree->others) {
        for (; node != NULL && node->widest != hole; node = vma_node_parent(node))
            node->widest = hole;
        return;
    }
    if (node != tree->widest)
        tree->others = max_u64(tree->others, hole);
    vma_node_settle(tree, node);
}
