/* SPDX-License-Identifier: Apache-2.0 */
#include "net/resolve.h"

#include <dlfcn.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "support/cmocka_all.h"

#define LOOK_UPS 20
#define SLOW_US 5000
#define MANY_ABANDONED 64

/* The thread of a look-up that is slow to let a lock go, and what becomes of locks. */
static struct {
    pthread_t owner;
    atomic_bool slow;
    atomic_uint destroyed_while_held;
    pthread_mutex_t hang; /* held: the system's resolver gives no answer */
    atomic_bool hangs;
} locks = {.hang = PTHREAD_MUTEX_INITIALIZER};

/* Stand in for the C library's. */
int our_unlock(pthread_mutex_t *mutex) __asm__("pthread_mutex_unlock");
int our_destroy(pthread_mutex_t *mutex) __asm__("pthread_mutex_destroy");
int our_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                    struct addrinfo **ret) __asm__("getaddrinfo");

__attribute__((visibility("default"))) int our_unlock(pthread_mutex_t *mutex)
{
    static _Atomic(void *) next;
    int (*fn)(pthread_mutex_t *);
    if (atomic_load(&next) == NULL)
        atomic_store(&next, dlsym(RTLD_NEXT, "pthread_mutex_unlock"));
    *(void **)&fn = atomic_load(&next);
    if (atomic_load(&locks.slow) && !pthread_equal(pthread_self(), locks.owner))
        (void)usleep(SLOW_US);
    return fn(mutex);
}

__attribute__((visibility("default"))) int our_destroy(pthread_mutex_t *mutex)
{
    static _Atomic(void *) next;
    int (*fn)(pthread_mutex_t *);
    if (atomic_load(&next) == NULL)
        atomic_store(&next, dlsym(RTLD_NEXT, "pthread_mutex_destroy"));
    *(void **)&fn = atomic_load(&next);
    int r = fn(mutex);
    if (r != 0)
        (void)atomic_fetch_add(&locks.destroyed_while_held, 1);
    return r;
}

__attribute__((visibility("default"))) int our_getaddrinfo(const char *host, const char *port,
                                                           const struct addrinfo *hints,
                                                           struct addrinfo **ret)
{
    static _Atomic(void *) next;
    int (*fn)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    if (atomic_load(&next) == NULL)
        atomic_store(&next, dlsym(RTLD_NEXT, "getaddrinfo"));
    *(void **)&fn = atomic_load(&next);
    if (atomic_load(&locks.hangs)) {
        (void)pthread_mutex_lock(&locks.hang);
        (void)pthread_mutex_unlock(&locks.hang);
    }
    return fn(host, port, hints, ret);
}

struct world {
    struct loop *loop;
    struct mailbox *mailbox;
    int n_answers;
    char text[64];
};

static void on_answer(void *ctx, const char *text)
{
    struct world *world = ctx;
    world->n_answers++;
    (void)snprintf(world->text, sizeof(world->text), "%s", text != NULL ? text : "none");
}

static int set_up(void **state)
{
    static struct world world;
    world = (struct world){.loop = loop_new()};
    world.mailbox = mailbox_new(world.loop);
    assert_non_null(world.mailbox);
    atomic_store(&locks.slow, false);
    *state = &world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;
    atomic_store(&locks.slow, false);
    (void)mailbox_free(world->mailbox);
    (void)loop_free(world->loop);
    return 0;
}

static void await(struct world *world, int n)
{
    for (int i = 0; world->n_answers < n && i < 1000; i++)
        loop_turn(world->loop, 10);
    assert_int_equal(world->n_answers, n);
}

static void an_address_comes_by_letter(void **state)
{
    struct world *world = *state;
    assert_non_null(resolve_start(world->mailbox, "127.0.0.1", 7, on_answer, world));
    await(world, 1);
    assert_string_equal(world->text, "127.0.0.1");
    assert_non_null(resolve_start(world->mailbox, "no host is called so", 0, on_answer, world));
    await(world, 2);
    assert_string_equal(world->text, "none");
}

static void a_letter_that_is_read_early_frees_nothing_that_the_thread_still_holds(void **state)
{
    struct world *world = *state;
    atomic_store(&locks.slow, true);
    for (int i = 1; i <= LOOK_UPS; i++) {
        assert_non_null(resolve_start(world->mailbox, "127.0.0.1", 0, on_answer, world));
        await(world, i);
    }
    (void)usleep(4 * SLOW_US);
    assert_int_equal(atomic_load(&locks.destroyed_while_held), 0);
}

static void who_cancels_hears_nothing(void **state)
{
    struct world *world = *state;
    for (int i = 0; i < LOOK_UPS; i++) {
        struct resolve *resolve = resolve_start(world->mailbox, "127.0.0.1", 0, on_answer, world);
        assert_non_null(resolve);
        if (i % 2 == 0)
            (void)usleep(SLOW_US); /* the letter is there already */
        assert_null(resolve_cancel(resolve));
    }
    for (int i = 0; i < 10; i++)
        loop_turn(world->loop, 5);
    assert_int_equal(world->n_answers, 0);
}

static void a_resolver_that_hangs_does_not_fill_the_process_with_threads(void **state)
{
    struct world *world = *state;
    (void)pthread_mutex_lock(&locks.hang);
    atomic_store(&locks.hangs, true);
    for (int i = 0; i < MANY_ABANDONED; i++) {
        struct resolve *resolve = resolve_start(world->mailbox, "127.0.0.1", 0, on_answer, world);
        assert_non_null(resolve);
        (void)resolve_cancel(resolve);
    }
    assert_null(resolve_start(world->mailbox, "127.0.0.1", 0, on_answer, world));
    atomic_store(&locks.hangs, false);
    (void)pthread_mutex_unlock(&locks.hang);
    struct resolve *resolve = NULL;
    for (int i = 0; resolve == NULL && i < 1000; i++) {
        (void)usleep(SLOW_US);
        resolve = resolve_start(world->mailbox, "127.0.0.1", 0, on_answer, world);
    }
    assert_non_null(resolve);
    await(world, 1);
    (void)usleep(20 * SLOW_US); /* the others end */
}

int main(void)
{
    locks.owner = pthread_self();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_address_comes_by_letter, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_letter_that_is_read_early_frees_nothing_that_the_thread_still_holds, set_up,
            tear_down),
        cmocka_unit_test_setup_teardown(who_cancels_hears_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_resolver_that_hangs_does_not_fill_the_process_with_threads, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
