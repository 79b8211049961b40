/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/vma_node.h"
#include "lib/bits.h"

/* AVL trees of this many levels have more nodes than there are addresses. */
#define MAX_LEVELS 92

/* How far the walk in order has come. */
struct walk {
    const struct vma_node *prev;
    const struct vma_node *next; /* the node the list says is next */
    bool widest;                 /* tree->widest was met, or there is none */
    bool sought;                 /* the same for tree->sought */
};

/* The node's range and its links to its neighbours. */
static bool check_range(struct walk *walk, const struct vma_node *node)
{
    if (node != walk->next || node->prev != walk->prev || node->start >= node->end)
        return false;
    if (node->prev != NULL && node->prev->end > node->start)
        return false;
    walk->prev = node;
    walk->next = node->next;
    return true;
}

/* The levels of the subtree; -1: something in it is wrong. */
static int check_subtree(struct walk *walk, const struct vma_tree *tree,
                         const struct vma_node *node, const struct vma_node *parent, int depth)
{
    int below, above;

    if (node == NULL)
        return 0;
    /* A node has one parent, so nodes linked into a ring are found out before they are followed. */
    if (vma_node_parent(node) != parent || depth > MAX_LEVELS)
        return -1;
    below = check_subtree(walk, tree, node->child[BELOW], node, depth + 1);
    if (below < 0 || !check_range(walk, node))
        return -1;
    above = check_subtree(walk, tree, node->child[ABOVE], node, depth + 1);
    if (above < 0 || above - below + (int)EVEN != (int)vma_node_balance(node))
        return -1;
    if (node->widest != vma_node_measure(tree, node))
        return -1;
    walk->widest |= node == tree->widest;
    walk->sought |= node == tree->sought;
    return 1 + (int)max_size((size_t)above, (size_t)below);
}

bool vma_tree_check(const struct vma_tree *tree)
{
    struct walk walk = {
        .prev = NULL,
        .next = tree->first,
        .widest = tree->widest == NULL,
        .sought = tree->sought == NULL,
    };

    if (check_subtree(&walk, tree, tree->root, NULL, 0) < 0)
        return false;
    return walk.next == NULL && walk.prev == tree->last && walk.widest && walk.sought;
}
