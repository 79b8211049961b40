/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/vma_tree_balance.h"

/* Rotations: no two subtrees of a node differ by more than one level (AVL). */

/*
 * The child on this side takes the place of top, which becomes its child on the other side. Both
 * get these balances. The holes below both together are the same as before.
 */
static inline void rotate(struct vma_tree *tree, struct vma_node *top, unsigned side,
                          unsigned top_balance, unsigned up_balance)
{
    struct vma_node *parent = vma_node_parent(top);
    struct vma_node *up = top->child[side];
    struct vma_node *inner = up->child[OTHER(side)];

    link_child(tree, parent, top, up);
    up->parent = (uintptr_t)parent | up_balance;
    up->child[OTHER(side)] = top;
    top->parent = (uintptr_t)up | top_balance;
    top->child[side] = inner;
    if (inner != NULL)
        set_parent(inner, top);
    up->widest = top->widest;
    if (top->widest != 0)
        top->widest = vma_node_measure(tree, top);
}

/*
 * The inner grandchild takes the place of top:
 *
 *      top                mid
 *     /   \              /   \
 *    a     up    ->    top    up      (side: ABOVE)
 *         /  \        /  \   /  \
 *       mid   d      a    b c    d
 *      /   \
 *     b     c
 */
static __attribute__((noinline)) void rotate_double(struct vma_tree *tree, struct vma_node *top,
                                                    unsigned side)
{
    struct vma_node *up = top->child[side];
    unsigned balance = vma_node_balance(up->child[OTHER(side)]);

    rotate(tree, up, OTHER(side), balance == HEAVY(OTHER(side)) ? HEAVY(side) : EVEN, EVEN);
    rotate(tree, top, side, balance == HEAVY(side) ? HEAVY(OTHER(side)) : EVEN, EVEN);
}

/* This side of top is two levels higher than the other. True: what stands there now is lower. */
static bool rebalance(struct vma_tree *tree, struct vma_node *top, unsigned side)
{
    unsigned balance = vma_node_balance(top->child[side]);

    if (balance == HEAVY(OTHER(side))) {
        rotate_double(tree, top, side);
        return true;
    }
    if (balance == EVEN) {
        rotate(tree, top, side, HEAVY(side), HEAVY(OTHER(side)));
        return false;
    }
    rotate(tree, top, side, EVEN, EVEN);
    return true;
}

/* This side of top is two levels higher as it has grown: then it leans to one side itself. */
static inline __attribute__((always_inline)) void raise(struct vma_tree *tree, struct vma_node *top,
                                                        unsigned side)
{
    if (vma_node_balance(top->child[side]) == HEAVY(side))
        rotate(tree, top, side, EVEN, EVEN);
    else
        rotate_double(tree, top, side);
}

void vma_rebalance_grown(struct vma_tree *tree, struct vma_node *node)
{
    struct vma_node *parent = vma_node_parent(node);

    do {
        unsigned side = side_of(parent, node);
        uintptr_t link = lean(parent, side);

        if ((link & BALANCE_MASK) == TOO_FAR) {
            if (side == ABOVE)
                raise(tree, parent, ABOVE);
            else
                raise(tree, parent, BELOW);
            return;
        }
        parent->parent = link;
        if ((link & BALANCE_MASK) == EVEN)
            return;
        node = parent;
        parent = vma_node_parent(node);
    } while (parent != NULL);
}

void vma_rebalance_shrunk(struct vma_tree *tree, struct vma_node *node, unsigned side)
{
    while (node != NULL) {
        uintptr_t link = lean(node, OTHER(side));
        struct vma_node *parent;

        if ((link & BALANCE_MASK) == TOO_FAR) {
            if (!rebalance(tree, node, OTHER(side)))
                return;
            node = vma_node_parent(node);
        } else {
            node->parent = link;
            if ((link & BALANCE_MASK) != EVEN)
                return;
        }
        parent = vma_node_parent(node);
        if (parent != NULL)
            side = side_of(parent, node);
        node = parent;
    }
}
