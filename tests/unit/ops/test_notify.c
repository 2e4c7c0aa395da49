/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/notify.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "support/cmocka_all.h"

/* A manager: a datagram socket in the file system, or in the abstract name space. */
struct manager {
    int fd;
    char folder[64];
    char name[96]; /* as in $NOTIFY_SOCKET */
};

static void bind_to(struct manager *manager)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    size_t len = strlen(manager->name);
    memcpy(un.sun_path, manager->name, len);
    if (manager->name[0] == '@')
        un.sun_path[0] = '\0';
    manager->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(manager->fd >= 0);
    assert_int_equal(bind(manager->fd, (const struct sockaddr *)&un,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)),
                     0);
}

static struct manager make_manager(bool abstract)
{
    struct manager manager = {.folder = "/tmp/test_notify_XXXXXX"};
    assert_non_null(mkdtemp(manager.folder));
    (void)snprintf(manager.name, sizeof(manager.name), "%s%s/sock", abstract ? "@" : "",
                   manager.folder);
    bind_to(&manager);
    return manager;
}

static void close_manager(struct manager *manager)
{
    (void)close(manager->fd);
    (void)unlink(manager->name);
    assert_int_equal(rmdir(manager->folder), 0);
}

/* The next message, "" when there is none. */
static const char *heard(const struct manager *manager, char text[4096])
{
    ssize_t n = recv(manager->fd, text, 4095, MSG_DONTWAIT);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

static void notify_sends_the_lines_that_systemd_knows(void **state)
{
    (void)state;
    for (int abstract = 0; abstract < 2; abstract++) {
        char text[4096];
        struct notify notify;
        struct manager manager = make_manager(abstract == 1);
        struct service service = {.notify_socket = manager.name};
        assert_int_equal(notify_open(&service, 1, &notify), 0);
        assert_true(notify_is_on(&notify));
        assert_true(notify.watchdog_ms == 0);
        notify_ready(&notify, STR("Serving 3 routes"));
        assert_string_equal(heard(&manager, text), "READY=1\nSTATUS=Serving 3 routes\n");
        notify_reloading(&notify, 1234567);
        assert_string_equal(
            heard(&manager, text),
            "RELOADING=1\nMONOTONIC_USEC=1234567\nSTATUS=Reading the policy again\n");
        notify_stopping(&notify, STR("Draining"), 5000000);
        assert_string_equal(heard(&manager, text),
                            "STOPPING=1\nEXTEND_TIMEOUT_USEC=5000000\nSTATUS=Draining\n");
        notify_extend(&notify, STR("Still"), 1);
        assert_string_equal(heard(&manager, text), "EXTEND_TIMEOUT_USEC=1\nSTATUS=Still\n");
        notify_beat(&notify);
        assert_string_equal(heard(&manager, text), "WATCHDOG=1\n");
        notify_close(&notify);
        assert_false(notify_is_on(&notify));
        notify_beat(&notify);
        assert_string_equal(heard(&manager, text), "");
        close_manager(&manager);
    }
}

/* Somebody who names an issuer must not be able to send a line of his own. */
static void notify_status_is_one_line_of_limited_length(void **state)
{
    (void)state;
    char text[4096];
    char longest[3 * NOTIFY_MAX_BYTES];
    struct notify notify;
    struct manager manager = make_manager(false);
    struct service service = {.notify_socket = manager.name};
    assert_int_equal(notify_open(&service, 1, &notify), 0);
    notify_status(&notify, STR("a\nSTOPPING=1\r\x7f\0b"));
    assert_string_equal(heard(&manager, text), "STATUS=a STOPPING=1   b\n");
    memset(longest, 'x', sizeof(longest));
    notify_status(&notify, str_make(longest, sizeof(longest)));
    size_t len = strlen(heard(&manager, text));
    assert_int_equal(len, NOTIFY_MAX_BYTES + 1);
    assert_int_equal(text[len - 1], '\n');
    notify_close(&notify);
    close_manager(&manager);
}

static void notify_does_nothing_without_a_manager(void **state)
{
    (void)state;
    struct notify notify;
    assert_int_equal(notify_open(&(struct service){0}, 1, &notify), 0);
    assert_false(notify_is_on(&notify));
    notify_ready(&notify, STR("x"));
    notify_close(&notify);
}

static void notify_open_refuses_names_that_are_none(void **state)
{
    (void)state;
    char longest[200] = "/";
    memset(longest + 1, 'x', sizeof(longest) - 2);
    const struct {
        const char *name;
        int r;
    } rows[] = {
        {"relative", -EINVAL},
        {"/", -EINVAL},
        {"@", -EINVAL},
        {"vsock:2:1", -EINVAL},
        {longest, -EINVAL},
        {"/no/such/socket", -ENOENT},
        {"@no such name", -ECONNREFUSED},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct notify notify;
        struct service service = {.notify_socket = rows[i].name};
        assert_int_equal(notify_open(&service, 1, &notify), rows[i].r);
        assert_false(notify_is_on(&notify));
    }
}

static void notify_reaches_a_manager_that_bound_its_socket_again(void **state)
{
    (void)state;
    char text[4096];
    struct notify notify;
    struct manager manager = make_manager(false);
    struct service service = {.notify_socket = manager.name};
    assert_int_equal(notify_open(&service, 1, &notify), 0);
    (void)close(manager.fd);
    (void)unlink(manager.name);
    notify_beat(&notify); /* reaches nobody */
    bind_to(&manager);
    notify_ready(&notify, STR("again"));
    assert_string_equal(heard(&manager, text), "READY=1\nSTATUS=again\n");
    notify_close(&notify);
    close_manager(&manager);
}

static void notify_gives_up_on_a_manager_that_does_not_read(void **state)
{
    (void)state;
    struct notify notify;
    struct manager manager = make_manager(false);
    struct service service = {.notify_socket = manager.name};
    assert_int_equal(notify_open(&service, 1, &notify), 0);
    for (int i = 0; i < 100000; i++) /* would wait for ever, if it did */
        notify_beat(&notify);
    notify_close(&notify);
    close_manager(&manager);
}

static void watchdog_is_for_the_process_it_names(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        const char *usec;
        const char *pid;
        int64_t ms;
    } rows[] = {
        {"for anybody", "30000000", NULL, 30000},
        {"for us", "30000000", "42", 30000},
        {"for somebody else", "30000000", "43", 0},
        {"for nobody", "30000000", "me", 0},
        {"none", NULL, "42", 0},
        {"no number", "30s", NULL, 0},
        {"zero", "0", NULL, 0},
        {"too short to keep", "9999", NULL, 0},
        {"negative", "-1", NULL, 0},
        {"too long to count", "99999999999999999999", NULL, 0},
    };
    struct manager manager = make_manager(false);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct notify notify;
        struct service service = {.notify_socket = manager.name,
                                  .watchdog_usec = rows[i].usec,
                                  .watchdog_pid = rows[i].pid};
        assert_int_equal(notify_open(&service, 42, &notify), 0);
        if (notify.watchdog_ms != rows[i].ms)
            fail_msg("%s: %lld", rows[i].why, (long long)notify.watchdog_ms);
        notify_close(&notify);
    }
    close_manager(&manager);
}

static void service_take_leaves_nothing_for_others(void **state)
{
    (void)state;
    static const char *const names[] = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID",
                                        "LISTEN_PID",    "LISTEN_FDS",    "LISTEN_FDNAMES"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        assert_int_equal(setenv(names[i], names[i], 1), 0);
    assert_int_equal(setenv("JOURNAL_STREAM", "8:9", 1), 0);
    struct service service = service_take();
    assert_string_equal(service.notify_socket, "NOTIFY_SOCKET");
    assert_string_equal(service.watchdog_usec, "WATCHDOG_USEC");
    assert_string_equal(service.watchdog_pid, "WATCHDOG_PID");
    assert_string_equal(service.listen_pid, "LISTEN_PID");
    assert_string_equal(service.listen_fds, "LISTEN_FDS");
    assert_string_equal(service.listen_names, "LISTEN_FDNAMES");
    assert_string_equal(service.journal, "8:9");
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        assert_null(getenv(names[i]));
    assert_null(service_take().notify_socket);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(notify_sends_the_lines_that_systemd_knows),
        cmocka_unit_test(notify_status_is_one_line_of_limited_length),
        cmocka_unit_test(notify_does_nothing_without_a_manager),
        cmocka_unit_test(notify_open_refuses_names_that_are_none),
        cmocka_unit_test(notify_reaches_a_manager_that_bound_its_socket_again),
        cmocka_unit_test(notify_gives_up_on_a_manager_that_does_not_read),
        cmocka_unit_test(watchdog_is_for_the_process_it_names),
        cmocka_unit_test(service_take_leaves_nothing_for_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
