/* SPDX-License-Identifier: Apache-2.0 */
#include "net/mailbox.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/err.h"
#include "support/cmocka_all.h"

#define POSTERS 4
#define LETTERS 1000

struct world {
    struct loop *loop;
    struct mailbox *mailbox;
    pthread_t owner;
    int last[POSTERS]; /* number of the last letter of each poster */
    int delivered;
};

struct letter {
    int poster;
    int number;
};

static void deliver(void *ctx, void *arg)
{
    struct world *world = ctx;
    struct letter *letter = arg;
    assert_true(pthread_equal(pthread_self(), world->owner));
    assert_int_equal(letter->number, world->last[letter->poster] + 1);
    world->last[letter->poster] = letter->number;
    world->delivered++;
    free(letter);
}

static struct letter *letter_new(int poster, int number)
{
    struct letter *letter = malloc(sizeof(*letter));
    assert_non_null(letter);
    *letter = (struct letter){.poster = poster, .number = number};
    return letter;
}

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    assert_non_null(world);
    world->owner = pthread_self();
    world->loop = loop_new();
    world->mailbox = mailbox_new(world->loop);
    assert_non_null(world->mailbox);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;
    world->mailbox = mailbox_free(world->mailbox);
    assert_null(world->mailbox);
    loop_free(world->loop);
    free(world);
    return 0;
}

static void mailbox_delivers_in_order_inside_a_turn_and_not_before(void **state)
{
    struct world *world = *state;
    for (int i = 1; i <= 3; i++)
        assert_int_equal(mailbox_post(world->mailbox, deliver, world, letter_new(0, i)), 0);
    assert_int_equal(world->delivered, 0);
    loop_turn(world->loop, -1);
    assert_int_equal(world->delivered, 3);
    loop_turn(world->loop, 0);
    assert_int_equal(world->delivered, 3);
}

struct poster {
    struct world *world;
    int name;
};

static void *post_many(void *ctx)
{
    const struct poster *poster = ctx;
    for (int i = 1; i <= LETTERS; i++)
        (void)mailbox_post(poster->world->mailbox, deliver, poster->world,
                           letter_new(poster->name, i));
    return NULL;
}

static void mailbox_loses_nothing_of_many_threads_and_keeps_the_order_of_each(void **state)
{
    struct world *world = *state;
    pthread_t threads[POSTERS];
    struct poster posters[POSTERS];
    for (int i = 0; i < POSTERS; i++) {
        posters[i] = (struct poster){.world = world, .name = i};
        assert_int_equal(pthread_create(&threads[i], NULL, post_many, &posters[i]), 0);
    }
    for (int turns = 0; world->delivered < POSTERS * LETTERS && turns < 100000; turns++)
        loop_turn(world->loop, 1000);
    for (int i = 0; i < POSTERS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(world->delivered, POSTERS * LETTERS);
}

static void deliver_and_post(void *ctx, void *arg)
{
    struct world *world = ctx;
    struct letter *letter = arg;
    if (letter->number < 3)
        assert_int_equal(mailbox_post(world->mailbox, deliver_and_post, world,
                                      letter_new(letter->poster, letter->number + 1)),
                         0);
    deliver(ctx, arg);
}

static void mailbox_letters_may_post_letters_which_come_in_a_later_turn(void **state)
{
    struct world *world = *state;
    assert_int_equal(mailbox_post(world->mailbox, deliver_and_post, world, letter_new(0, 1)), 0);
    for (int turn = 1; turn <= 3; turn++) {
        loop_turn(world->loop, -1);
        assert_int_equal(world->delivered, turn);
    }
}

static void mailbox_free_delivers_what_is_left(void **state)
{
    struct world *world = *state;
    assert_int_equal(mailbox_post(world->mailbox, deliver, world, letter_new(1, 1)), 0);
    assert_int_equal(mailbox_post(world->mailbox, deliver, world, letter_new(1, 2)), 0);
    world->mailbox = mailbox_free(world->mailbox);
    assert_int_equal(world->delivered, 2);
    assert_null(mailbox_free(NULL));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(mailbox_delivers_in_order_inside_a_turn_and_not_before),
        TEST(mailbox_loses_nothing_of_many_threads_and_keeps_the_order_of_each),
        TEST(mailbox_letters_may_post_letters_which_come_in_a_later_turn),
        TEST(mailbox_free_delivers_what_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
