/* SPDX-License-Identifier: Apache-2.0 */
/* An intrusive doubly linked list: the node is a member of the object, linking allocates nothing
 * and unlinking is always possible. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/* Both the head of a list and a node in it. A node that is all zero is in no list. */
struct list {
    struct list *prev;
    struct list *next;
};

#define LIST_ENTRY(node, type, member) CONTAINER_OF(node, type, member)

static inline void list_init(struct list *head)
{
    head->prev = head;
    head->next = head;
}
static inline bool list_is_empty(const struct list *head)
{
    return head->next == head;
}
static inline bool list_is_linked(const struct list *node)
{
    return node->next != NULL;
}
static inline void list_append(struct list *head, struct list *node)
{
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}
static inline void list_prepend(struct list *head, struct list *node)
{
    list_append(head->next, node);
}
/* Takes the node out of its list; harmless when it is in none. */
static inline void list_unlink(struct list *node)
{
    if (node->next == NULL)
        return;
    node->prev->next = node->next;
    node->next->prev = node->prev;
    node->prev = NULL;
    node->next = NULL;
}
/* The first node, or NULL. */
static inline struct list *list_first(const struct list *head)
{
    return list_is_empty(head) ? NULL : head->next;
}

/* Safe against unlinking NODE inside the loop. */
#define LIST_FOREACH(node, head)                                                      \
    for (struct list *node = (head)->next, *node##_next = node->next; node != (head); \
         node = node##_next, node##_next = node->next)

#endif
