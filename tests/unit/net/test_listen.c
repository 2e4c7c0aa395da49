/* SPDX-License-Identifier: Apache-2.0 */
#include "net/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "support/cmocka_all.h"

/* A folder of its own, removed with the group. */
struct place {
    char folder[64];
    struct sockaddr_storage addr; /* FOLDER/sock */
    const char *path;             /* in ADDR */
};

static int make_place(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    struct sockaddr_un *un = (struct sockaddr_un *)&place->addr;
    (void)strcpy(place->folder, "/tmp/test_listen_XXXXXX");
    assert_non_null(mkdtemp(place->folder));
    un->sun_family = AF_UNIX;
    (void)snprintf(un->sun_path, sizeof(un->sun_path), "%s/sock", place->folder);
    place->path = un->sun_path;
    *state = place;
    return 0;
}

static int remove_place(void **state)
{
    struct place *place = *state;
    (void)unlink(place->path);
    assert_int_equal(rmdir(place->folder), 0);
    free(place);
    return 0;
}

static int open_at(const struct sockaddr_storage *addr, int *ret_fd)
{
    socklen_t len = addr->ss_family == AF_UNIX  ? sizeof(struct sockaddr_un)
                  : addr->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                                : sizeof(struct sockaddr_in);
    return listen_open(addr, len, NULL, ret_fd);
}

static bool answers(const struct sockaddr_storage *addr, socklen_t len)
{
    int fd = socket(addr->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    bool ok = connect(fd, (const struct sockaddr *)addr, len) == 0;
    (void)close(fd);
    return ok;
}

static void assert_flags(int fd)
{
    assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
}

static void listen_open_listens_on_tcp(void **state)
{
    (void)state;
    struct sockaddr_storage addr = {.ss_family = AF_INET};
    struct sockaddr_storage bound;
    socklen_t len = sizeof(bound);
    int fd = -1;
    int second = -1;
    ((struct sockaddr_in *)&addr)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(open_at(&addr, &fd), 0);
    assert_flags(fd);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&bound, &len), 0);
    assert_true(answers(&bound, len));
    assert_int_equal(open_at(&bound, &second), -EADDRINUSE);
    assert_int_equal(second, -1);
    listen_close(fd, &bound);
    assert_false(answers(&bound, len));
    /* Connections of the past do not keep the port. */
    assert_int_equal(open_at(&bound, &fd), 0);
    listen_close(fd, &bound);
}

/* [::] on a free port and then 0.0.0.0 on the same one; what the first or the second one said. */
static int open_both(void)
{
    struct sockaddr_storage six = {.ss_family = AF_INET6};
    struct sockaddr_storage four = {.ss_family = AF_INET};
    socklen_t len = sizeof(six);
    int fd6 = -1;
    int fd4 = -1;
    int r = open_at(&six, &fd6);
    if (r < 0)
        return r;
    assert_int_equal(getsockname(fd6, (struct sockaddr *)&six, &len), 0);
    ((struct sockaddr_in *)&four)->sin_port = ((struct sockaddr_in6 *)&six)->sin6_port;
    r = open_at(&four, &fd4);
    listen_close(fd6, &six);
    listen_close(fd4, &four);
    return r;
}

static void listen_open_keeps_ipv6_and_ipv4_apart(void **state)
{
    (void)state;
    /* A port that is free for IPv6 may be in use for IPv4, by somebody else on this machine. */
    int r = -EADDRINUSE;
    for (int i = 0; i < 50 && r == -EADDRINUSE; i++)
        r = open_both();
    if (r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL)
        skip(); /* a machine without IPv6 */
    assert_int_equal(r, 0);
}

static void listen_open_says_why_it_cannot(void **state)
{
    (void)state;
    struct sockaddr_storage foreign = {.ss_family = AF_INET};
    struct sockaddr_storage nowhere = {.ss_family = AF_UNIX};
    int fd = -1;
    ((struct sockaddr_in *)&foreign)->sin_addr.s_addr = htonl(0xc0000201); /* 192.0.2.1 */
    assert_int_equal(open_at(&foreign, &fd), -EADDRNOTAVAIL);
    (void)strcpy(((struct sockaddr_un *)&nowhere)->sun_path, "/no/such/folder/sock");
    assert_int_equal(open_at(&nowhere, &fd), -ENOENT);
    assert_int_equal(fd, -1);
}

static void listen_close_removes_the_file_of_a_unix_socket(void **state)
{
    const struct place *place = *state;
    int fd = -1;
    assert_int_equal(open_at(&place->addr, &fd), 0);
    assert_flags(fd);
    assert_true(answers(&place->addr, sizeof(struct sockaddr_un)));
    listen_close(fd, &place->addr);
    assert_int_equal(access(place->path, F_OK), -1);
    listen_close(-1, &place->addr);
}

static void listen_open_replaces_the_socket_of_a_dead_process(void **state)
{
    const struct place *place = *state;
    int dead = -1;
    int fd = -1;
    assert_int_equal(open_at(&place->addr, &dead), 0);
    (void)close(dead); /* as a crash does: the file stays */
    assert_int_equal(access(place->path, F_OK), 0);
    assert_int_equal(open_at(&place->addr, &fd), 0);
    assert_true(answers(&place->addr, sizeof(struct sockaddr_un)));
    listen_close(fd, &place->addr);
}

static void listen_open_leaves_a_socket_that_answers(void **state)
{
    const struct place *place = *state;
    int alive = -1;
    int fd = -1;
    assert_int_equal(open_at(&place->addr, &alive), 0);
    assert_int_equal(open_at(&place->addr, &fd), -EADDRINUSE);
    assert_int_equal(fd, -1);
    assert_true(answers(&place->addr, sizeof(struct sockaddr_un)));
    listen_close(alive, &place->addr);
}

/* A slip in the policy ("unix:/etc/portcullis/policy.json") must not cost a file. */
static void listen_open_never_removes_what_is_no_socket(void **state)
{
    const struct place *place = *state;
    int fd = -1;
    FILE *file = fopen(place->path, "w");
    assert_non_null(file);
    (void)fputs("precious", file);
    (void)fclose(file);
    assert_int_equal(open_at(&place->addr, &fd), -EADDRINUSE);
    assert_int_equal(fd, -1);
    struct stat st;
    assert_int_equal(stat(place->path, &st), 0);
    assert_int_equal(st.st_size, 8);
    assert_int_equal(unlink(place->path), 0);

    assert_int_equal(symlink("/dev/null", place->path), 0);
    assert_int_equal(open_at(&place->addr, &fd), -EADDRINUSE);
    assert_int_equal(access(place->path, F_OK), 0);
    assert_int_equal(unlink(place->path), 0);
}

static void listen_raise_nofile_reaches_the_hard_limit(void **state)
{
    (void)state;
    struct rlimit before;
    struct rlimit after;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit low = {.rlim_cur = 64, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    assert_true(listen_raise_nofile() == before.rlim_max);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &after), 0);
    assert_true(after.rlim_cur == before.rlim_max);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

static void listen_open_gives_a_socket_its_mode(void **state)
{
    struct place *place = *state;
    static const struct {
        mode_t umask;
        struct listen_options options;
        mode_t mode;
    } rows[] = {
        {022, {.has_mode = true, .mode = 0660}, 0660}, /* wider than the umask lets */
        {0, {.has_mode = true, .mode = 0600}, 0600},
        {077, {.has_mode = true, .mode = 0}, 0},
        {027, {.has_mode = false}, 0750},
    };
    mode_t before = umask(0);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct stat st;
        int fd = -1;
        (void)umask(rows[i].umask);
        assert_int_equal(
            listen_open(&place->addr, sizeof(struct sockaddr_un), &rows[i].options, &fd), 0);
        assert_int_equal(stat(place->path, &st), 0);
        assert_int_equal(st.st_mode & 07777, rows[i].mode);
        assert_int_equal(umask(0), rows[i].umask); /* as it was */
        listen_close(fd, &place->addr);
    }
    (void)umask(before);
}

static void listen_check_mode_sees_who_is_let_in(void **state)
{
    struct place *place = *state;
    static const struct {
        const char *why;
        mode_t has;
        unsigned mode;
        int r;
    } rows[] = {
        {"the same", 0660, 0660, 0},
        {"narrower", 0600, 0660, 0},
        {"of a socket unit without SocketMode=", 0666, 0660, -EPERM},
        {"neither", 0606, 0660, -EPERM},
        {"nobody", 0200, 0, -EPERM},
    };
    int fd = -1;
    assert_int_equal(listen_open(&place->addr, sizeof(struct sockaddr_un), NULL, &fd), 0);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_int_equal(chmod(place->path, rows[i].has), 0);
        if (listen_check_mode(&place->addr, rows[i].mode) != rows[i].r)
            fail_msg("%s", rows[i].why);
    }
    listen_close(fd, &place->addr);
    assert_int_equal(listen_check_mode(&place->addr, 0777), -ENOENT);
    fd = open(place->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600); /* not the socket any more */
    assert_true(fd >= 0 && close(fd) == 0);
    assert_int_equal(listen_check_mode(&place->addr, 0777), -ENOTSOCK);
    assert_int_equal(unlink(place->path), 0);
}

static int option_of(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof(value);
    assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
    return value;
}

static void listen_tune_ends_connections_whose_peers_vanish(void **state)
{
    const struct place *place = *state;
    static const int on = 1;
    static const int hour_s = 3600;
    static const struct {
        const char *why;
        int64_t patience_ms;
        bool unit_has_keepalive; /* of an hour */
        int idle_s, give_up_ms;
    } rows[] = {
        {"ordinary", 30000, false, 60, 120000},
        {"patient", 600000, false, 60, 600000},
        {"more patient than a number can say", INT64_MAX, false, 60, INT32_MAX},
        {"its times come from a socket unit", 30000, true, 3600, 120000},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (rows[i].unit_has_keepalive) {
            assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)), 0);
            assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &hour_s, sizeof(hour_s)), 0);
        }
        listen_tune(fd, rows[i].patience_ms);
        if (option_of(fd, SOL_SOCKET, SO_KEEPALIVE) != 1 ||
            option_of(fd, IPPROTO_TCP, TCP_NODELAY) != 1 ||
            option_of(fd, IPPROTO_TCP, TCP_KEEPIDLE) != rows[i].idle_s ||
            option_of(fd, IPPROTO_TCP, TCP_USER_TIMEOUT) != rows[i].give_up_ms)
            fail_msg("%s", rows[i].why);
        (void)close(fd);
    }
    int fd = -1;
    assert_int_equal(open_at(&place->addr, &fd), 0);
    listen_tune(fd, 30000);
    assert_int_equal(option_of(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
    listen_close(fd, &place->addr);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(listen_open_listens_on_tcp),
        cmocka_unit_test(listen_open_keeps_ipv6_and_ipv4_apart),
        cmocka_unit_test(listen_open_says_why_it_cannot),
        cmocka_unit_test(listen_close_removes_the_file_of_a_unix_socket),
        cmocka_unit_test(listen_open_replaces_the_socket_of_a_dead_process),
        cmocka_unit_test(listen_open_leaves_a_socket_that_answers),
        cmocka_unit_test(listen_open_never_removes_what_is_no_socket),
        cmocka_unit_test(listen_open_gives_a_socket_its_mode),
        cmocka_unit_test(listen_check_mode_sees_who_is_let_in),
        cmocka_unit_test(listen_tune_ends_connections_whose_peers_vanish),
        cmocka_unit_test(listen_raise_nofile_reaches_the_hard_limit),
    };
    return cmocka_run_group_tests(tests, make_place, remove_place);
}
