/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/vma_node.h"
#include "lib/bits.h"

/* What is looked for: len bytes at a multiple of align in [low, high). */
struct wish {
    uintptr_t len;
    uintptr_t align;
    uintptr_t low;
    uintptr_t high;
};

/* The lowest place for it in [start, end); 0: none. */
static inline uintptr_t place_in(const struct wish *wish, uintptr_t start, uintptr_t end)
{
    uintptr_t from = max_u64(start, wish->low);
    uintptr_t to = min_u64(end, wish->high);
    uintptr_t at = align_up(from, wish->align);

    /* align_up() gives 0 where the next multiple is 2^64: that is none too. */
    return to - min_u64(at, to) >= wish->len ? at : 0;
}

/* The lowest node of the subtree that has a hole of len below it; the subtree has one. */
static inline struct vma_node *first_wide(struct vma_node *node, uintptr_t len)
{
    for (;;) {
        struct vma_node *below = node->child[BELOW];

        if (below != NULL && below->widest >= len)
            node = below;
        else if (vma_node_hole(node) >= len)
            return node;
        else
            node = node->child[ABOVE];
    }
}

/* The next one above node that has a hole of len below it; NULL: none. */
static struct vma_node *next_wide(struct vma_node *node, uintptr_t len)
{
    for (;;) {
        struct vma_node *above = node->child[ABOVE];
        struct vma_node *child;

        if (above != NULL && above->widest >= len)
            return first_wide(above, len);
        do {
            child = node;
            node = vma_node_parent(child);
            if (node == NULL)
                return NULL;
        } while (node->child[ABOVE] == child);
        if (vma_node_hole(node) >= len)
            return node;
    }
}

/* The lowest node worth a look: its hole is wide enough, or is the one that wish->low is in. */
static struct vma_node *first_candidate(const struct vma_tree *tree, const struct wish *wish)
{
    if (wish->low < tree->first->end)
        return first_wide(tree->root, wish->len);
    return vma_tree_lower_bound(tree, wish->low);
}

/* In the hole between node, which has a neighbour below, and that one. */
static uintptr_t place_below(struct vma_tree *tree, const struct wish *wish, struct vma_node *node)
{
    uintptr_t at = place_in(wish, node->prev->end, node->start);

    if (at != 0)
        tree->found = node;
    return at;
}

/* Among the holes that count, of which one at least is wide enough. */
static uintptr_t find_counted(struct vma_tree *tree, const struct wish *wish)
{
    struct vma_node *node;

    for (node = first_candidate(tree, wish); node != NULL && node->prev->end < wish->high;
         node = next_wide(node, wish->len)) {
        uintptr_t at = place_below(tree, wish, node);

        if (at != 0)
            return at;
    }
    return 0;
}

/* In the hole that does not count; 0: it is not wide enough either. */
static inline uintptr_t place_in_widest(struct vma_tree *tree, const struct wish *wish)
{
    return vma_tree_widest_hole(tree) < wish->len ? 0 : place_below(tree, wish, tree->widest);
}

/* There, or else above all nodes. */
static inline uintptr_t find_uncounted(struct vma_tree *tree, const struct wish *wish)
{
    uintptr_t at = place_in_widest(tree, wish);

    return at != 0 ? at : place_in(wish, tree->last->end, wish->high);
}

/* Wherever it is lowest, when among the holes that count one is wide enough. */
static __attribute__((noinline)) uintptr_t find_anywhere(struct vma_tree *tree, size_t len,
                                                         size_t align, uintptr_t low,
                                                         uintptr_t high)
{
    struct wish wish = {.len = len, .align = align, .low = low, .high = high};
    uintptr_t at = find_counted(tree, &wish);

    if (at == 0)
        return find_uncounted(tree, &wish);
    if (tree->widest != NULL && tree->widest->start <= at) {
        uintptr_t below = place_in_widest(tree, &wish);

        return below != 0 ? below : at;
    }
    return at;
}

/* Mostly no hole that counts is wide enough, which takes no search to see. */
uintptr_t vma_tree_find_hole(struct vma_tree *tree, size_t len, size_t align, uintptr_t low,
                             uintptr_t high)
{
    struct wish wish = {.len = len, .align = align, .low = low, .high = high};

    if (len == 0)
        return 0;
    tree->found = NULL;
    if (tree->root == NULL)
        return place_in(&wish, 1, high);
    if (low < tree->first->start) {
        uintptr_t at = place_in(&wish, 1, tree->first->start);

        if (at != 0) {
            tree->found = tree->first;
            return at;
        }
    }
    return tree->root->widest >= len ? find_anywhere(tree, len, align, low, high)
                                     : find_uncounted(tree, &wish);
}
