/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/vma_node.h"
#include "lib/bits.h"

/*
 * The subtree at node has no hole any more that is as wide as noted. Ancestors are concerned as long
 * as they had no wider one, nor another one as wide.
 */
static void settle_narrower(const struct vma_tree *tree, struct vma_node *node, uintptr_t widest)
{
    uintptr_t was = node->widest;

    do {
        node->widest = widest;
        node = vma_node_parent(node);
        if (node == NULL || node->widest != was)
            return;
        widest = vma_node_measure(tree, node);
    } while (widest < was);
}

void vma_node_settle(struct vma_tree *tree, struct vma_node *node)
{
    uintptr_t widest = vma_node_measure(tree, node);

    if (widest > node->widest)
        vma_node_widen(node, widest);
    else if (widest < node->widest)
        settle_narrower(tree, node, widest);
}

void vma_node_settle_hole(struct vma_tree *tree, struct vma_node *node)
{
    struct vma_node *widest = tree->widest;

    if (vma_node_hole(node) > vma_tree_widest_hole(tree)) {
        tree->widest = node;
        if (widest != NULL)
            vma_node_settle(tree, widest);
    }
    vma_node_settle(tree, node);
}
