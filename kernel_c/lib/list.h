/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIB_LIST_H
#define LIB_LIST_H

#include <stdbool.h>

#include "lib/bits.h"

/*
 * A doubly linked circular list whose links live in what it links.
 *
 * The head is a struct list too; an empty list is a head linked to itself, and an element that is
 * in no list is best kept that way as well.
 */
struct list {
    struct list *next;
    struct list *prev;
};

/* The initial value of a list with static storage. */
#define LIST_INIT(name) {&(name), &(name)}

/* The structure that holds these links. */
#define list_entry(links, type, member) container_of(links, type, member)

/* Each element in order. The body must not remove the one it is at. */
#define list_for_each(at, list) for (struct list *at = (list)->next; at != (list); at = at->next)

/* Each element in order. The body may remove, or release, the one it is at. */
#define list_for_each_safe(at, list)                                          \
    for (struct list *at = (list)->next, *at##_next = at->next; at != (list); \
         at = at##_next, at##_next = at->next)

static inline void list_init(struct list *list)
{
    list->next = list;
    list->prev = list;
}

static inline bool list_empty(const struct list *list)
{
    return list->next == list;
}

static inline void list_insert_between(struct list *prev, struct list *links, struct list *next)
{
    links->prev = prev;
    links->next = next;
    prev->next = links;
    next->prev = links;
}

static inline void list_push_front(struct list *list, struct list *links)
{
    list_insert_between(list, links, list->next);
}

static inline void list_push_back(struct list *list, struct list *links)
{
    list_insert_between(list->prev, links, list);
}

/* Take links out of its list and leave it linked to itself: removing it again does nothing. */
static inline void list_remove(struct list *links)
{
    links->prev->next = links->next;
    links->next->prev = links->prev;
    list_init(links);
}

#endif
