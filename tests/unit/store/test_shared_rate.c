/* SPDX-License-Identifier: Apache-2.0 */
/* The store's connection against a store that the test plays: which answer reaches whom, and whose
 * delay is whose. With a real Redis: tests/integration/shared-rates.test.mjs. */
#include "store/shared_rate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "support/cmocka_all.h"
#include "support/no_memory.h"
#include "support/test_clock.h"

#define TIMEOUT_MS 50
#define QUESTIONS 4
#define SHA "0123456789012345678901234567890123456789"

struct world {
    struct loop *loop;
    struct mailbox *mailbox;
    struct shared_rate *store;
    char path[64];
    int listen_fd;
    int fd; /* the store's end; -1: none */
    char in[64 * 1024];
    size_t in_len, in_done;
    unsigned n_asked; /* questions that the store has seen */
    bool mute;        /* it answers nothing any more */
    unsigned n_down;
};

struct question {
    struct shared_rate_ask ask;
    unsigned n_answers;
    enum shared_rate_rc rc;
    int64_t wait_ns;
};

static void on_done(struct shared_rate_ask *ask, enum shared_rate_rc rc, int64_t wait_ns)
{
    struct question *question = CONTAINER_OF(ask, struct question, ask);
    question->n_answers++;
    question->rc = rc;
    question->wait_ns = wait_ns;
}

static void on_changed(void *ctx, bool works, const char *reason)
{
    struct world *w = ctx;
    (void)reason;
    w->n_down += !works;
}

/* The next WORD among what came, and what is behind it. */
static bool take_word(struct world *w, const char *word)
{
    const char *at = strstr(w->in + w->in_done, word);
    if (at == NULL)
        return false;
    w->in_done = (size_t)(at - w->in) + strlen(word);
    return true;
}

static void say(struct world *w, const char *text)
{
    assert_int_equal(send(w->fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Question number N has the answer N microseconds; the first is the trial, which is granted. */
static void play(struct world *w)
{
    char text[32];
    if (w->fd < 0)
        w->fd = accept4(w->listen_fd, NULL, NULL, SOCK_NONBLOCK);
    if (w->fd < 0)
        return;
    ssize_t n = recv(w->fd, w->in + w->in_len, sizeof(w->in) - 1 - w->in_len, 0);
    w->in_len += n > 0 ? (size_t)n : 0;
    w->in[w->in_len] = '\0';
    if (w->mute)
        return;
    if (take_word(w, "SCRIPT\r\n"))
        say(w, "$40\r\n" SHA "\r\n");
    while (take_word(w, "EVALSHA\r\n")) {
        (void)snprintf(text, sizeof(text), ":%u\r\n", w->n_asked++);
        say(w, text);
    }
}

static void lose_connection(struct world *w)
{
    (void)close(w->fd);
    w->fd = -1;
    w->in_len = 0;
    w->in_done = 0;
    w->mute = false;
}

static void spin(struct world *w, int turns)
{
    for (int i = 0; i < turns; i++) {
        loop_turn(w->loop, 1);
        play(w);
    }
}

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    assert_non_null(w);
    test_clock_run();
    (void)snprintf(w->path, sizeof(w->path), "/tmp/unit-shared-rate-%ld", (long)getpid());
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", w->path);
    (void)unlink(w->path);
    w->fd = -1;
    w->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(w->listen_fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(w->listen_fd, 8), 0);
    w->loop = loop_new();
    w->mailbox = mailbox_new(w->loop);
    w->store = shared_rate_new(&(struct shared_rate_options){.loop = w->loop,
                                                             .mailbox = w->mailbox,
                                                             .path = str_from_cstr(w->path),
                                                             .timeout_ms = TIMEOUT_MS,
                                                             .changed = on_changed,
                                                             .ctx = w});
    assert_non_null(w->store);
    for (int i = 0; i < 1000 && !shared_rate_stats(w->store).works; i++)
        spin(w, 1);
    assert_true(shared_rate_stats(w->store).works);
    assert_int_equal(w->n_down, 0);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    (void)shared_rate_free(w->store);
    (void)mailbox_free(w->mailbox);
    (void)loop_free(w->loop);
    if (w->fd >= 0)
        (void)close(w->fd);
    (void)close(w->listen_fd);
    (void)unlink(w->path);
    free(w);
    test_clock_run();
    return 0;
}

static bool ask(struct world *w, struct question *question)
{
    const struct gcra gcra = {.interval_ns = 1000000, .burst = 10};
    *question = (struct question){.ask = {.done = on_done}};
    return shared_rate_ask(w->store, STR("key"), &gcra, 1, &question->ask);
}

static void every_answer_reaches_its_own_question(void **state)
{
    struct world *w = *state;
    struct question questions[QUESTIONS];
    for (int i = 0; i < QUESTIONS; i++)
        assert_true(ask(w, &questions[i]));
    spin(w, 20);
    for (int i = 0; i < QUESTIONS; i++) {
        assert_int_equal(questions[i].n_answers, 1);
        assert_int_equal(questions[i].rc, SHARED_RATE_REFUSED);
        assert_int_equal(questions[i].wait_ns, (i + 1) * 1000);
    }
}

/* Each allocation of one question fails once, between others that do not. */
static void no_answer_reaches_another_question_when_memory_is_short(void **state)
{
#if NO_MEMORY_WORKS
    bool failed = true;
    (void)state;
    for (long n = 0; failed; n++) {
        void *each;
        struct question questions[3];
        bool asked[3];
        assert_int_equal(set_up(&each), 0);
        struct world *w = each;
        for (size_t i = 0; i < ARRAY_LEN(questions); i++) {
            if (i == 1)
                no_memory_begin(n, false);
            asked[i] = ask(w, &questions[i]);
            if (i == 1)
                failed = no_memory_end();
        }
        spin(w, 20);
        int64_t number = 0;
        for (size_t i = 0; i < ARRAY_LEN(questions); i++) {
            number += asked[i];
            assert_int_equal(questions[i].n_answers, asked[i]);
            if (asked[i] && questions[i].rc != SHARED_RATE_FAILED)
                assert_int_equal(questions[i].wait_ns, number * 1000);
        }
        assert_true(!failed || !asked[1] || questions[1].rc == SHARED_RATE_FAILED);
        assert_int_equal(tear_down(&each), 0);
    }
#else
    (void)state;
    skip();
#endif
}

/* This thread does something else for longer than the store may take. */
static void what_this_loop_was_away_is_not_the_delay_of_the_store(void **state)
{
    struct world *w = *state;
    struct question questions[2];
    test_clock_stop();
    spin(w, 2);
    test_clock_skip_ms(3 * TIMEOUT_MS); /* the turn was long before it asks ... */
    assert_true(ask(w, &questions[0]));
    test_clock_skip_ms(3 * TIMEOUT_MS); /* ... and behind that, unwritten */
    spin(w, 5);
    assert_int_equal(questions[0].rc, SHARED_RATE_REFUSED);
    assert_int_equal(questions[0].n_answers, 1);

    assert_true(ask(w, &questions[1]));
    loop_turn(w->loop, 1); /* it is written, and the answer comes */
    play(w);
    test_clock_skip_ms(3 * TIMEOUT_MS);
    spin(w, 5);
    assert_int_equal(questions[1].n_answers, 1);
    assert_int_equal(questions[1].rc, SHARED_RATE_REFUSED);
    assert_int_equal(w->n_down, 0);
}

static void a_store_that_is_silent_has_its_time_and_no_more(void **state)
{
    struct world *w = *state;
    struct question question;
    test_clock_stop();
    spin(w, 2);
    w->mute = true;
    assert_true(ask(w, &question));
    spin(w, 2);
    test_clock_ahead_us += INT64_C(1000) * (TIMEOUT_MS - 1);
    spin(w, 2);
    assert_int_equal(question.n_answers, 0);
    test_clock_ahead_us += 2000;
    spin(w, 2);
    assert_int_equal(question.n_answers, 1);
    assert_int_equal(question.rc, SHARED_RATE_FAILED);
    assert_int_equal(w->n_down, 1);
    assert_false(ask(w, &question));
}

/* Each answer that proves it is followed by silence: that is no reason to come back at once. */
static void a_store_that_works_for_moments_only_is_tried_less_and_less(void **state)
{
    struct world *w = *state;
    test_clock_stop();
    int64_t last_us = 0;
    for (int round = 0; round < 5; round++) {
        struct question question;
        int64_t from_us = test_clock_ahead_us;
        while (!shared_rate_stats(w->store).works) {
            test_clock_ahead_us += 50000;
            spin(w, 5);
        }
        assert_true(round == 0 || test_clock_ahead_us - from_us >= last_us);
        last_us = test_clock_ahead_us - from_us;
        w->mute = true;
        assert_true(ask(w, &question));
        spin(w, 2);
        test_clock_ahead_us += INT64_C(2000) * TIMEOUT_MS;
        spin(w, 2);
        assert_int_equal(question.rc, SHARED_RATE_FAILED);
        assert_false(shared_rate_stats(w->store).works);
        lose_connection(w);
    }
    assert_true(last_us >= 800000);
}

/* No letter comes, as when there was no memory for it. */
static void a_name_whose_address_never_comes_is_looked_up_again(void **state)
{
    struct world *w = *state;
    struct loop *other = loop_new();
    struct mailbox *unread = mailbox_new(other);
    test_clock_stop();
    struct shared_rate *store =
        shared_rate_new(&(struct shared_rate_options){.loop = w->loop,
                                                      .mailbox = unread,
                                                      .host = STR("localhost"),
                                                      .port = 1,
                                                      .timeout_ms = TIMEOUT_MS,
                                                      .changed = on_changed,
                                                      .ctx = w});
    assert_non_null(store);
    spin(w, 3);
    test_clock_ahead_us += INT64_C(29000000);
    spin(w, 3);
    assert_int_equal(w->n_down, 0);
    test_clock_ahead_us += INT64_C(2000000);
    spin(w, 3);
    assert_int_equal(w->n_down, 1);
    (void)shared_rate_free(store);
    (void)mailbox_free(unread);
    (void)loop_free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_answer_reaches_its_own_question, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_this_loop_was_away_is_not_the_delay_of_the_store,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_store_that_is_silent_has_its_time_and_no_more, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_store_that_works_for_moments_only_is_tried_less_and_less,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_name_whose_address_never_comes_is_looked_up_again, set_up,
                                        tear_down),
        cmocka_unit_test(no_answer_reaches_another_question_when_memory_is_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
