/* SPDX-License-Identifier: Apache-2.0 */
#include "base/list.h"

#include <string.h>

#include "support/cmocka_all.h"

struct item {
    char name;
    struct list node;
};

/* The names in the order of the list, and the same backwards. */
static void assert_order(struct list *head, const char *names)
{
    size_t len = strlen(names);
    size_t i = 0;
    for (struct list *node = head->next; node != head; node = node->next)
        assert_int_equal(CONTAINER_OF(node, struct item, node)->name, names[i++]);
    assert_int_equal(i, len);
    for (struct list *node = head->prev; node != head; node = node->prev)
        assert_int_equal(CONTAINER_OF(node, struct item, node)->name, names[--i]);
    assert_int_equal(i, 0);
}

static void list_keeps_the_order(void **state)
{
    (void)state;
    struct list head;
    struct item a = {.name = 'a'}, b = {.name = 'b'}, c = {.name = 'c'};
    list_init(&head);
    assert_true(list_is_empty(&head));
    assert_null(list_first(&head));
    list_append(&head, &b.node);
    list_append(&head, &c.node);
    list_prepend(&head, &a.node);
    assert_order(&head, "abc");
    assert_ptr_equal(LIST_ENTRY(list_first(&head), struct item, node), &a);
    assert_false(list_is_empty(&head));
}

static void list_unlink_works_anywhere_and_twice(void **state)
{
    (void)state;
    struct list head;
    struct item a = {.name = 'a'}, b = {.name = 'b'}, c = {.name = 'c'};
    list_init(&head);
    list_append(&head, &a.node);
    list_append(&head, &b.node);
    list_append(&head, &c.node);
    list_unlink(&b.node);
    assert_order(&head, "ac");
    assert_false(list_is_linked(&b.node));
    list_unlink(&b.node);
    assert_order(&head, "ac");
    list_append(&head, &b.node);
    assert_order(&head, "acb");
    list_unlink(&a.node);
    list_unlink(&b.node);
    list_unlink(&c.node);
    assert_true(list_is_empty(&head));
}

static void list_foreach_allows_unlinking_the_node_it_is_at(void **state)
{
    (void)state;
    struct list head;
    struct item items[] = {{.name = 'a'}, {.name = 'b'}, {.name = 'c'}, {.name = 'd'}};
    size_t seen = 0;
    list_init(&head);
    for (size_t i = 0; i < ARRAY_LEN(items); i++)
        list_append(&head, &items[i].node);
    LIST_FOREACH (node, &head) {
        assert_int_equal(LIST_ENTRY(node, struct item, node)->name, items[seen++].name);
        if (seen % 2 == 0)
            list_unlink(node);
    }
    assert_int_equal(seen, ARRAY_LEN(items));
    assert_order(&head, "ac");
    LIST_FOREACH (node, &head) {
        list_unlink(node);
    }
    assert_order(&head, "");
    LIST_FOREACH (node, &head) {
        fail();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(list_keeps_the_order),
        cmocka_unit_test(list_unlink_works_anywhere_and_twice),
        cmocka_unit_test(list_foreach_allows_unlinking_the_node_it_is_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
