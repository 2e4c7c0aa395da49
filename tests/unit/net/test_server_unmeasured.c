/* SPDX-License-Identifier: Apache-2.0 */
/* A kernel that does not say what a reader has taken: another one, or a filter of system calls. */
#include <dlfcn.h>
#include <linux/sockios.h>
#include <stdarg.h>
#include <sys/ioctl.h>

#include "support/server_fixture.h"
#include "support/test_clock.h"

static struct {
    bool silent;    /* it does not say what is unread */
    unsigned asked; /* for it */
} kernel;

/* Stands in for the C library's ioctl(). */
int our_ioctl(int fd, unsigned long request, ...) __asm__("ioctl");

__attribute__((visibility("default"))) int our_ioctl(int fd, unsigned long request, ...)
{
    static int (*next)(int, unsigned long, ...);
    va_list args;
    va_start(args, request);
    void *arg = va_arg(args, void *);
    va_end(args);
    if (next == NULL)
        *(void **)&next = dlsym(RTLD_NEXT, "ioctl");
    kernel.asked += request == SIOCOUTQ;
    if (request == SIOCOUTQ && kernel.silent) {
        errno = EPERM;
        return -1;
    }
    return next(fd, request, arg);
}

static void a_reader_has_the_doubt_when_the_kernel_does_not_say_what_it_took(void **state)
{
    struct world *w = *state;
    static char bytes[64 * 1024];
    static const struct {
        bool silent_at_first, silent_at_deadline, stays;
    } rows[] = {
        {true, true, true}, {false, true, true}, {true, false, true}, {false, false, false}};
    test_clock_stop();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int gone = w->n_gone;
        int fd = wire_connect(w->port);
        wire_send_text(&w->spin, fd, GET("/parked"));
        struct exchange *exchange = take_parked(w);
        assert_int_equal(exchange_stream(exchange, 200, NULL, 0, -1), 0);
        kernel.silent = rows[i].silent_at_first;
        while (exchange_stream_write(exchange, str_make(bytes, sizeof(bytes))))
            ;
        kernel.silent = rows[i].silent_at_deadline;
        /* What the peer's kernel still takes may save a reader once more. */
        for (unsigned left = rows[i].stays ? 1 : 3; left > 0 && w->n_gone == gone; left--) {
            kernel.asked = 0;
            test_clock_skip_ms(30000);
            SPIN_UNTIL(&w->spin, kernel.asked > 0 || w->n_gone > gone);
            spin_for(&w->spin, 5);
        }
        assert_int_equal(w->n_gone == gone, rows[i].stays);
        assert_true(server_stats(w->server).readers_unmeasured);
        if (rows[i].stays)
            exchange_stream_end(exchange, false);
        (void)close(fd);
        SPIN_UNTIL(&w->spin, server_is_idle(w->server));
    }
    kernel.silent = false;
    test_clock_run();
}

static void no_kernel_is_asked_without_need(void **state)
{
    struct world *w = *state;
    kernel.asked = 0;
    int fd = wire_connect(w->port);
    wire_send_text(&w->spin, fd, GET("/parked"));
    struct exchange *exchange = take_parked(w);
    assert_int_equal(exchange_stream(exchange, 200, NULL, 0, -1), 0);
    assert_true(exchange_stream_write(exchange, STR("data: quick\n\n")));
    expect_and_forget(w, fd, "quick");
    exchange_stream_end(exchange, true);
    SPIN_UNTIL(&w->spin, server_stats(w->server).streams == 0);
    assert_int_equal(kernel.asked, 0);
    assert_false(server_stats(w->server).readers_unmeasured);
    (void)close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVER_TEST(a_reader_has_the_doubt_when_the_kernel_does_not_say_what_it_took),
        SERVER_TEST(no_kernel_is_asked_without_need),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
