/* SPDX-License-Identifier: BSD-3-Clause */
#include "lukos/vma_tree.h"

#include "core/vma_tree_balance.h"
#include "lib/assert.h"

/* ---- search ---- */

void vma_tree_init(struct vma_tree *tree)
{
    *tree = (struct vma_tree){0};
}

static inline struct vma_node *lower_bound(const struct vma_tree *tree, uintptr_t address)
{
    struct vma_node *node = tree->root;
    struct vma_node *found = NULL;

    while (node != NULL) {
        if (node->end > address) {
            found = node;
            node = node->child[BELOW];
        } else {
            node = node->child[ABOVE];
        }
    }
    return found;
}

struct vma_node *vma_tree_lower_bound(const struct vma_tree *tree, uintptr_t address)
{
    if (tree->last == NULL || address >= tree->last->end)
        return NULL;
    return lower_bound(tree, address);
}

struct vma_node *vma_tree_seek(struct vma_tree *tree, uintptr_t address)
{
    struct vma_node *node = tree->sought;

    if (node != NULL && address >= node->start) {
        if (address < node->end)
            return node;
        node = node->next;
        if (node != NULL && address < node->end) {
            tree->sought = node;
            return node;
        }
    }
    node = tree->last;
    if (node == NULL || address >= node->end)
        return NULL;
    if (address < node->start)
        node = lower_bound(tree, address);
    tree->sought = node;
    return node;
}

struct vma_node *vma_tree_find(const struct vma_tree *tree, uintptr_t address)
{
    struct vma_node *node = tree->last;

    if (node == NULL || address >= node->end)
        return NULL;
    if (address >= node->start)
        return node;
    node = lower_bound(tree, address);
    return address >= node->start ? node : NULL;
}

/* ---- change ---- */

static struct vma_node *insertion_place(const struct vma_tree *tree, const struct vma_node *node)
{
    struct vma_node *guess = tree->found;

    if (tree->last == NULL || node->start >= tree->last->end)
        return NULL;
    if (guess != NULL && node->end <= guess->start &&
        (guess->prev == NULL || guess->prev->end <= node->start))
        return guess;
    return lower_bound(tree, node->start);
}

static void link_neighbours(struct vma_tree *tree, struct vma_node *prev, struct vma_node *node,
                            struct vma_node *next)
{
    ASSERT(node->start < node->end);
    ASSERT(prev == NULL || prev->end <= node->start);
    ASSERT(next == NULL || node->end <= next->start);
    node->prev = prev;
    node->next = next;
    if (prev != NULL)
        prev->next = node;
    else
        tree->first = node;
    if (next != NULL)
        next->prev = node;
    else
        tree->last = node;
}

/*
 * Of two neighbours one is below the other in the tree, and has no child on the other's side: there
 * the node becomes a leaf, whose hole is still to be noted. On which side of its parent.
 */
static inline unsigned link_leaf(struct vma_node *node)
{
    struct vma_node *parent = node->next;
    unsigned side = BELOW;

    if (parent == NULL || parent->child[BELOW] != NULL) {
        parent = node->prev;
        side = ABOVE;
    }
    node->child[BELOW] = NULL;
    node->child[ABOVE] = NULL;
    node->parent = (uintptr_t)parent | EVEN;
    node->widest = 0;
    parent->child[side] = node;
    return side;
}

/*
 * A leaf that has just been linked to node brings a hole of its own. If that is the widest of all,
 * the one that was so counts from now on: its node, which is still to be settled, or NULL.
 */
static inline struct vma_node *settle_leaf(struct vma_tree *tree, struct vma_node *leaf,
                                           struct vma_node *node, uintptr_t hole)
{
    struct vma_node *widest = tree->widest;

    if (hole > vma_tree_widest_hole(tree)) {
        tree->widest = leaf;
        return widest;
    }
    leaf->widest = hole;
    vma_node_widen(node, hole);
    return NULL;
}

/* Apart, as it is rare and needs a frame. */
static __attribute__((noinline)) void
settle_and_rebalance(struct vma_tree *tree, struct vma_node *widest, struct vma_node *prev)
{
    vma_node_settle(tree, widest);
    vma_rebalance_above_leaf(tree, prev, ABOVE);
}

/* The last node of all. */
static inline void append(struct vma_tree *tree, struct vma_node *node, struct vma_node *prev)
{
    uintptr_t hole = node->start - prev->end;
    struct vma_node *widest;

    ASSERT(prev->end <= node->start && node->start < node->end);
    tree->last = node;
    prev->next = node;
    prev->child[ABOVE] = node;
    node->child[BELOW] = NULL;
    node->child[ABOVE] = NULL;
    node->prev = prev;
    node->next = NULL;
    node->parent = (uintptr_t)prev | EVEN;
    node->widest = 0;
    widest = hole == 0 ? NULL : settle_leaf(tree, node, prev, hole);
    if (widest != NULL)
        settle_and_rebalance(tree, widest, prev);
    else
        vma_rebalance_above_leaf(tree, prev, ABOVE);
}

/* One with another above it, below which the hole becomes narrower. */
static inline void insert_below(struct vma_tree *tree, struct vma_node *node, struct vma_node *next)
{
    struct vma_node *parent, *widest;
    uintptr_t hole;
    unsigned side;

    link_neighbours(tree, next->prev, node, next);
    side = link_leaf(node);
    parent = vma_node_parent(node);
    hole = vma_node_hole(node);
    widest = hole == 0 ? NULL : settle_leaf(tree, node, parent, hole);
    if (widest != NULL)
        vma_node_settle(tree, widest);
    if (next != tree->widest)
        vma_node_settle_hole(tree, next);
    vma_rebalance_above_leaf(tree, parent, side);
}

/* The only node. */
static inline void insert_first(struct vma_tree *tree, struct vma_node *node)
{
    ASSERT(node->start < node->end);
    tree->root = node;
    tree->first = node;
    tree->last = node;
    node->child[BELOW] = NULL;
    node->child[ABOVE] = NULL;
    node->prev = NULL;
    node->next = NULL;
    node->parent = EVEN;
    node->widest = 0;
}

/* Apart, so that appending needs no frame. */
static __attribute__((noinline)) void insert_elsewhere(struct vma_tree *tree, struct vma_node *node,
                                                       struct vma_node *next)
{
    if (next != NULL)
        insert_below(tree, node, next);
    else
        insert_first(tree, node);
}

void vma_tree_insert_before(struct vma_tree *tree, struct vma_node *node, struct vma_node *next)
{
    if (next == NULL && tree->last != NULL)
        append(tree, node, tree->last);
    else
        insert_elsewhere(tree, node, next);
}

void vma_tree_insert(struct vma_tree *tree, struct vma_node *node)
{
    vma_tree_insert_before(tree, node, insertion_place(tree, node));
}

void vma_tree_split(struct vma_tree *tree, struct vma_node *node, struct vma_node *above)
{
    unsigned side;

    ASSERT(node->start < above->start && node->end == above->end);
    node->end = above->start;
    link_neighbours(tree, node, above, node->next);
    side = link_leaf(above); /* no hole has changed */
    vma_rebalance_above_leaf(tree, vma_node_parent(above), side);
}

/* Put `by`, which may be NULL, in the place of node below its parent. */
static inline void replace(struct vma_tree *tree, struct vma_node *node, struct vma_node *by)
{
    struct vma_node *parent = vma_node_parent(node);

    link_child(tree, parent, node, by);
    if (by != NULL)
        set_parent(by, parent);
}

static inline void unlink_neighbours(struct vma_tree *tree, const struct vma_node *node)
{
    struct vma_node *prev = node->prev;
    struct vma_node *next = node->next;

    if (prev != NULL)
        prev->next = next;
    else
        tree->first = next;
    if (next != NULL)
        next->prev = prev;
    else
        tree->last = prev;
    tree->found = next;
    if (tree->sought == node)
        tree->sought = prev;
    if (tree->widest == node)
        tree->widest = NULL;
}

/*
 * Take a node that has both children out of the tree; the next one, which has none below it, takes
 * its place, balance and all. *side of the result has become one level lower.
 */
static __attribute__((noinline, returns_nonnull)) struct vma_node *
unlink_inner(struct vma_tree *tree, struct vma_node *node, unsigned *side)
{
    struct vma_node *next = node->next;
    struct vma_node *parent = vma_node_parent(next);

    *side = parent == node ? ABOVE : BELOW;
    replace(tree, next, next->child[ABOVE]);
    next->parent = node->parent;
    next->widest = node->widest;
    replace(tree, node, next);
    for (unsigned i = BELOW; i <= ABOVE; i++) {
        next->child[i] = node->child[i];
        if (next->child[i] != NULL)
            set_parent(next->child[i], next);
    }
    return parent == node ? next : parent;
}

/* The same for a node that has one child or none; NULL when it was the root. */
static inline struct vma_node *unlink_outer(struct vma_tree *tree, struct vma_node *node,
                                            unsigned *side)
{
    struct vma_node *parent = vma_node_parent(node);
    struct vma_node *below = node->child[BELOW];

    *side = parent == NULL ? BELOW : side_of(parent, node);
    replace(tree, node, below != NULL ? below : node->child[ABOVE]);
    return parent;
}

/*
 * widens: the hole above the node takes over what the node covered, and its hole. If not, the node
 * had none, and only a node that comes to stand elsewhere changes what its old ancestors have noted.
 */
static inline __attribute__((always_inline)) void take_out(struct vma_tree *tree,
                                                           struct vma_node *node, bool widens)
{
    bool inner = node->child[BELOW] != NULL && node->child[ABOVE] != NULL;
    struct vma_node *lower;
    unsigned side;

    unlink_neighbours(tree, node);
    lower = inner ? unlink_inner(tree, node, &side) : unlink_outer(tree, node, &side);
    if (widens ? lower != NULL && (lower != node->next || lower == tree->widest) : inner)
        vma_node_settle(tree, lower);
    if (widens && node->next != NULL && (inner || node->next != tree->widest))
        vma_node_settle_hole(tree, node->next);
    vma_rebalance_shrunk(tree, lower, side);
}

void vma_tree_remove(struct vma_tree *tree, struct vma_node *node)
{
    take_out(tree, node, true);
}

void vma_tree_join(struct vma_tree *tree, struct vma_node *node)
{
    ASSERT(node->next != NULL && node->end == node->next->start);
    node->end = node->next->end;
    take_out(tree, node->next, false);
}

void vma_tree_resize(struct vma_tree *tree, struct vma_node *node, uintptr_t start, uintptr_t end)
{
    ASSERT(start < end);
    ASSERT(node->prev == NULL || node->prev->end <= start);
    ASSERT(node->next == NULL || end <= node->next->start);
    node->start = start;
    node->end = end;
    vma_node_settle_hole(tree, node);
    if (node->next != NULL)
        vma_node_settle_hole(tree, node->next);
}
