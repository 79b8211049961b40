/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LUKOS_VMA_TREE_H
#define LUKOS_VMA_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Ranges of addresses [start, end) that do not overlap, in order: the engine under every address
 * space. The nodes live in what they describe; the tree allocates nothing and so cannot fail.
 *
 * An AVL tree: page faults search it more often than anything changes it, and of the balanced
 * trees with constant work to link a node it is the lowest (at 100 000 nodes 17 levels, 24 in the
 * worst case; a red-black tree may have 33). An insertion rotates once at most.
 *
 * Each node knows the widest hole that its subtree has between two neighbours, so that the lowest
 * hole of a wanted length is found on one path. The holes below the first node and above the last
 * stand apart: they are the ones used most, and cost nothing to keep.
 *
 * Mostly one hole is far wider than all others, say the one below the stacks, and it is the one that
 * changes with each node put into it or taken from beside it. The tree knows this hole by name, and no
 * node counts it, so that however wide it becomes nothing has to be noted on a path to the root.
 *
 * A list through the nodes gives every node its neighbours at once.
 */
struct vma_node {
    uintptr_t start;
    uintptr_t end;
    struct vma_node *child[2]; /* roots of the subtrees below and above */
    struct vma_node *prev;     /* the neighbour below, NULL for the first */
    struct vma_node *next;     /* the neighbour above, NULL for the last */
    uintptr_t parent;          /* its address; bits 1:0: height of child[1] - of child[0], + 1 */
    uintptr_t widest;          /* hole that counts, between a node of this subtree and its prev */
};

struct vma_tree {
    struct vma_node *root;
    struct vma_node *first;
    struct vma_node *last;
    struct vma_node *found;  /* the node above the hole found, or made, last, NULL: none */
    struct vma_node *widest; /* the node above the hole that does not count, or NULL */
    struct vma_node *sought; /* what vma_tree_seek() answered last, or its neighbour, or NULL */
};

void vma_tree_init(struct vma_tree *tree);

/* The node that contains address, or NULL. O(log n); O(1) in the last node. */
struct vma_node *vma_tree_find(const struct vma_tree *tree, uintptr_t address);

/* The first node with end > address, or NULL. */
struct vma_node *vma_tree_lower_bound(const struct vma_tree *tree, uintptr_t address);

/*
 * The same, for those who may change the tree: O(1) again where the answer is as last time, or the
 * next above, as it is when memory is touched page by page, and in the last node.
 */
struct vma_node *vma_tree_seek(struct vma_tree *tree, uintptr_t address);

/* What that is likely to be asked for next: a node of the tree. */
static inline void vma_tree_expect(struct vma_tree *tree, struct vma_node *node)
{
    tree->sought = node;
}

static inline struct vma_node *vma_tree_first(const struct vma_tree *tree)
{
    return tree->first;
}

static inline struct vma_node *vma_tree_last(const struct vma_tree *tree)
{
    return tree->last;
}

/* The neighbours of a node in its tree, or NULL. */
static inline struct vma_node *vma_tree_next(const struct vma_node *node)
{
    return node->next;
}

static inline struct vma_node *vma_tree_prev(const struct vma_node *node)
{
    return node->prev;
}

/*
 * Insert a node whose start and end are set, start < end, and that overlaps no other. O(log n); at
 * either end, and into the hole that vma_tree_find_hole() found or vma_tree_remove() made last,
 * without a search.
 */
void vma_tree_insert(struct vma_tree *tree, struct vma_node *node);

/* The same where the place is known: next is vma_tree_lower_bound(tree, node->start). */
void vma_tree_insert_before(struct vma_tree *tree, struct vma_node *node, struct vma_node *next);

/* above, with its start and end set, takes over what node has from there on. */
void vma_tree_split(struct vma_tree *tree, struct vma_node *node, struct vma_node *above);

/* node takes over its upper neighbour, which it touches and which is in the tree no more. */
void vma_tree_join(struct vma_tree *tree, struct vma_node *node);

/* The node's own memory is not written: it still tells its start and end. */
void vma_tree_remove(struct vma_tree *tree, struct vma_node *node);

/* Move the ends of a node, start < end, into the holes beside it at most. */
void vma_tree_resize(struct vma_tree *tree, struct vma_node *node, uintptr_t start, uintptr_t end);

/*
 * The lowest s >= low, a multiple of align (a power of two), with [s, s + len) free and s + len <=
 * high. 0: there is none, or len is 0; 0 is never the answer, nor is any range that wraps. O(log n)
 * and one step more for each hole that is wide enough but for its alignment.
 */
uintptr_t vma_tree_find_hole(struct vma_tree *tree, size_t len, size_t align, uintptr_t low,
                             uintptr_t high);

/* Order, links, balance and hole widths are as they must be. O(n), for tests. */
bool vma_tree_check(const struct vma_tree *tree);

#endif
