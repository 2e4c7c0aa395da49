/* SPDX-License-Identifier: Apache-2.0 */
#include "net/inherit.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "support/cmocka_all.h"

#define FIRST 200 /* no other descriptor of a test is there */
#define SELF 42

/* Puts FD at place AT, blocking and inherited by children, as a manager hands it over. */
static void put(int at, int fd)
{
    assert_true(fd >= 0);
    assert_int_equal(dup2(fd, FIRST + at), FIRST + at);
    (void)close(fd);
}

static int tcp(int type, bool listens)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, type, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&in, sizeof(in)), 0);
    if (listens)
        assert_int_equal(listen(fd, 1), 0);
    return fd;
}

static int unix_socket(const char *path)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    memcpy(un.sun_path, path, strlen(path));
    assert_int_equal(bind(fd, (const struct sockaddr *)&un, sizeof(un)), 0);
    assert_int_equal(listen(fd, 1), 0);
    return fd;
}

static struct inherit_source source(const char *fds, const char *names)
{
    return (struct inherit_source){.pid = "42", .fds = fds, .names = names, .first_fd = FIRST};
}

static void inherit_take_looks_at_every_socket(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *flaw;
    } rows[] = {
        {"web", NULL},
        {"unknown", "is no stream socket"},
        {"idle", "does not listen (with systemd: Accept=no)"},
        {"unknown", "is no socket"},
        {"unknown", "is not open"},
    };
    struct inherited_set set;
    struct inherit_source from = source("5", "web::idle");
    put(0, tcp(SOCK_STREAM, true));
    put(1, tcp(SOCK_DGRAM, false));
    put(2, tcp(SOCK_STREAM, false));
    put(3, open("/dev/null", O_RDONLY));
    assert_int_equal(inherit_take(&from, SELF, &set), 0);
    assert_int_equal(set.n, ARRAY_LEN(rows));
    for (size_t i = 0; i < set.n; i++) {
        if (i != 1) /* an empty name is one */
            assert_string_equal(set.items[i].name, rows[i].name);
        if (rows[i].flaw == NULL)
            assert_null(set.items[i].flaw);
        else
            assert_string_equal(set.items[i].flaw, rows[i].flaw);
    }
    assert_true((fcntl(FIRST, F_GETFL) & O_NONBLOCK) != 0);
    assert_true((fcntl(FIRST, F_GETFD) & FD_CLOEXEC) != 0);
    inherit_free(&set);
    for (int i = 0; i < 4; i++)
        assert_int_equal(fcntl(FIRST + i, F_GETFD), -1);
}

static void inherit_finds_by_address_by_name_and_by_number(void **state)
{
    (void)state;
    char folder[] = "/tmp/test_inherit_XXXXXX";
    char path[64];
    char text[INHERIT_ADDRESS_BYTES];
    char want[INHERIT_ADDRESS_BYTES];
    struct inherited_set set;
    struct inherit_source from = source("3", "a:b:a");
    struct sockaddr_storage address = {0};
    struct sockaddr_un *un = (struct sockaddr_un *)&address;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/sock", folder);
    put(0, tcp(SOCK_STREAM, true));
    put(1, unix_socket(path));
    put(2, tcp(SOCK_STREAM, true));
    assert_int_equal(inherit_take(&from, SELF, &set), 0);

    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, strlen(path));
    /* with and without the NUL, as the kernel and the policy have it */
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1);
    assert_ptr_equal(inherit_find_address(&set, &address, len), &set.items[1]);
    inherit_address_text(&set.items[1], text);
    (void)snprintf(want, sizeof(want), "unix:%s", path);
    assert_string_equal(text, want);
    un->sun_path[strlen(path)] = 'x';
    assert_null(inherit_find_address(&set, &address, len + 1));

    address = set.items[2].addr;
    assert_ptr_equal(inherit_find_address(&set, &address, sizeof(struct sockaddr_in)),
                     &set.items[2]);
    (void)snprintf(want, sizeof(want), "127.0.0.1:%u",
                   ntohs(((struct sockaddr_in *)&address)->sin_port));
    inherit_address_text(&set.items[2], text);
    assert_string_equal(text, want);
    ((struct sockaddr_in *)&address)->sin_addr.s_addr = htonl(INADDR_ANY);
    assert_null(inherit_find_address(&set, &address, sizeof(struct sockaddr_in)));

    assert_ptr_equal(inherit_find_name(&set, STR("a")), &set.items[0]);
    assert_ptr_equal(inherit_find_name(&set, STR("201")), &set.items[1]);
    assert_null(inherit_find_name(&set, STR("203")));
    assert_null(inherit_find_name(&set, STR("c")));
    /* one that is given away serves nobody else, and is the taker's to close */
    int fd = inherit_give(&set.items[0]);
    assert_int_equal(fd, FIRST);
    assert_ptr_equal(inherit_find_name(&set, STR("a")), &set.items[2]);
    assert_null(inherit_find_name(&set, STR("200")));
    inherit_free(&set);
    assert_true(fcntl(fd, F_GETFD) >= 0);
    assert_int_equal(fcntl(FIRST + 1, F_GETFD), -1);
    (void)close(fd);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void inherit_take_reads_the_environment_strictly(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        const char *pid;
        const char *fds;
        int r;
    } rows[] = {
        {"nothing", NULL, NULL, 0},
        {"no process", NULL, "1", 0},
        {"no sockets", "42", NULL, 0},
        {"none at all", "42", "0", 0},
        {"for somebody else", "43", "1", 0},
        {"no process id", "4 2", "1", -EINVAL},
        {"no number", "42", "-1", -EINVAL},
        {"too many", "42", "257", -E2BIG},
        {"far too many", "42", "99999999999999999999", -E2BIG},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct inherited_set set;
        struct inherit_source from = {.pid = rows[i].pid, .fds = rows[i].fds, .first_fd = FIRST};
        int r = inherit_take(&from, SELF, &set);
        if (r != rows[i].r || set.n != 0)
            fail_msg("%s: %d, %zu sockets", rows[i].why, r, set.n);
        inherit_free(&set);
    }
}

static void inherit_free_leaves_what_came_to_a_number_that_was_not_open(void **state)
{
    (void)state;
    struct inherited_set set;
    const struct inherit_source from = source("1", NULL);
    assert_int_equal(inherit_take(&from, SELF, &set), 0);
    assert_string_equal(set.items[0].flaw, "is not open");
    put(0, open("/dev/null", O_RDONLY));
    inherit_free(&set);
    assert_int_equal(close(FIRST), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inherit_take_looks_at_every_socket),
        cmocka_unit_test(inherit_finds_by_address_by_name_and_by_number),
        cmocka_unit_test(inherit_take_reads_the_environment_strictly),
        cmocka_unit_test(inherit_free_leaves_what_came_to_a_number_that_was_not_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
