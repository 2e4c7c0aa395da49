/* SPDX-License-Identifier: Apache-2.0 */
/* The plan as a value; and what a process can still do inside of it (T37), each thing in a child of
 * its own that locks itself up as `portcullis serve` does. */
#include "ops/sandbox.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "support/cmocka_all.h"

/* FOLDER/inside and FOLDER/outside with a file in each, a listener on a port, and one on another.
 */
struct world {
    char folder[64];
    char inside[96];
    char outside[96];
    int near_fd;
    int far_fd;
    uint16_t near_port; /* within the plan */
    uint16_t far_port;
    struct sandbox_plan plan;
};

static int listen_somewhere(uint16_t *ret_port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(in);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    *ret_port = ntohs(in.sin_port);
    return fd;
}

static void make_file(const char *folder)
{
    char path[128];
    assert_int_equal(mkdir(folder, 0755), 0);
    (void)snprintf(path, sizeof(path), "%s/file", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    (void)fclose(file);
}

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    (void)strcpy(w->folder, "/tmp/test_sandbox_XXXXXX");
    assert_non_null(mkdtemp(w->folder));
    assert_int_equal(chmod(w->folder, 0755), 0);
    (void)snprintf(w->inside, sizeof(w->inside), "%s/inside", w->folder);
    (void)snprintf(w->outside, sizeof(w->outside), "%s/outside", w->folder);
    make_file(w->inside);
    make_file(w->outside);
    w->near_fd = listen_somewhere(&w->near_port);
    w->far_fd = listen_somewhere(&w->far_port);
    sandbox_plan_system(&w->plan);
    sandbox_plan_tree(&w->plan, w->inside, SANDBOX_WRITE, STR("/audit/file"));
    sandbox_plan_port(&w->plan, w->near_port, STR("/routes/0/upstream"));
    assert_int_equal(w->plan.fault, 0);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    char command_path[128];
    const char *const files[] = {w->inside, w->outside};
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        (void)snprintf(command_path, sizeof(command_path), "%s/file", files[i]);
        (void)unlink(command_path);
        assert_int_equal(rmdir(files[i]), 0);
    }
    assert_int_equal(rmdir(w->folder), 0);
    (void)close(w->near_fd);
    (void)close(w->far_fd);
    sandbox_plan_free(&w->plan);
    free(w);
    return 0;
}

/* ---- attempts: 0, or -errno ---- */

static int open_at(const char *folder, const char *name, int flags)
{
    char path[160];
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    int fd = open(path, flags | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    (void)close(fd);
    return 0;
}

static int read_outside(const struct world *w)
{
    return open_at(w->outside, "file", O_RDONLY);
}

static int write_outside(const struct world *w)
{
    return open_at(w->outside, "file", O_WRONLY);
}

static int write_to_system(const struct world *w)
{
    (void)w;
    return open_at("/etc", "hosts", O_WRONLY);
}

static int execute(const struct world *w)
{
    (void)w;
    (void)execl("/bin/true", "true", (char *)NULL);
    return -errno;
}

static int execute_by_descriptor(const struct world *w)
{
    (void)w;
    char *const argv[] = {(char[]){"true"}, NULL};
    int fd = open("/bin/true", O_RDONLY | O_CLOEXEC);
    (void)syscall(SYS_execveat, fd, "", argv, environ, AT_EMPTY_PATH);
    return -errno;
}

static int bind_and_listen(const struct world *w)
{
    (void)w;
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(fd, (struct sockaddr *)&in, sizeof(in)) < 0)
        return -errno;
    return listen(fd, 1) < 0 ? -errno : 0;
}

/* Which would bind to a port by itself. */
static int listen_unbound(const struct world *w)
{
    (void)w;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return listen(fd, 1) < 0 ? -errno : 0;
}

static int connect_to(uint16_t port)
{
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return connect(fd, (struct sockaddr *)&in, sizeof(in)) < 0 ? -errno : 0;
}

static int connect_elsewhere(const struct world *w)
{
    return connect_to(w->far_port);
}

/* Which Landlock does not take for TCP. */
static int connect_elsewhere_by_mptcp(const struct world *w)
{
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_port = htons(w->far_port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_MPTCP);
    return fd < 0 || connect(fd, (struct sockaddr *)&in, sizeof(in)) < 0 ? -errno : 0;
}

enum send_call { SENDTO, SENDMSG, SENDMMSG };

/* A connection that no connect() makes. */
static int connect_by_sending(uint16_t port, enum send_call call)
{
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct iovec iov = {.iov_base = (char[]){"x"}, .iov_len = 1};
    struct mmsghdr message = {
        .msg_hdr = {.msg_name = &in, .msg_namelen = sizeof(in), .msg_iov = &iov, .msg_iovlen = 1}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ssize_t n = -1;
    if (call == SENDTO)
        n = sendto(fd, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&in, sizeof(in));
    else if (call == SENDMSG)
        n = sendmsg(fd, &message.msg_hdr, MSG_FASTOPEN);
    else
        n = sendmmsg(fd, &message, 1, MSG_FASTOPEN);
    return n < 0 ? -errno : 0;
}

static int connect_elsewhere_by_sendto(const struct world *w)
{
    return connect_by_sending(w->far_port, SENDTO);
}

static int connect_elsewhere_by_sendmsg(const struct world *w)
{
    return connect_by_sending(w->far_port, SENDMSG);
}

static int connect_elsewhere_by_sendmmsg(const struct world *w)
{
    return connect_by_sending(w->far_port, SENDMMSG);
}

static int trace_parent(const struct world *w)
{
    (void)w;
    return ptrace(PTRACE_SEIZE, getppid(), NULL, NULL) < 0 ? -errno : 0;
}

static int fork_process(const struct world *w)
{
    (void)w;
    long child = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (child == 0)
        _exit(0);
    return child < 0 ? -errno : 0;
}

static int open_raw_socket(const struct world *w)
{
    (void)w;
    return socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP) < 0 ? -errno : 0;
}

static int open_packet_socket(const struct world *w)
{
    (void)w;
    return socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0) < 0 ? -errno : 0;
}

static int open_netlink(int protocol)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
    return fd < 0 ? -errno : close(fd);
}

static int ask_for_addresses(const struct world *w)
{
    (void)w;
    return open_netlink(NETLINK_ROUTE);
}

static int watch_devices(const struct world *w)
{
    (void)w;
    return open_netlink(NETLINK_KOBJECT_UEVENT);
}

static int unshare_mounts(const struct world *w)
{
    (void)w;
    return unshare(CLONE_NEWNS) < 0 ? -errno : 0;
}

static int become_another(const struct world *w)
{
    (void)w;
    return setresuid(1, 1, 1) < 0 ? -errno : 0;
}

static int signal_another(const struct world *w)
{
    (void)w;
    return kill(getppid(), 0) < 0 ? -errno : 0;
}

static int make_memory_executable(const struct world *w)
{
    (void)w;
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return mprotect(page, 4096, PROT_READ | PROT_EXEC) < 0 ? -errno : 0;
}

static int map_executable(const struct world *w)
{
    (void)w;
    void *page = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return page == MAP_FAILED ? -errno : 0;
}

static int raise_core_limit(const struct world *w)
{
    (void)w;
    const struct rlimit one = {.rlim_cur = 0, .rlim_max = 0};
    return setrlimit(RLIMIT_CORE, &one) < 0 ? -errno : 0;
}

static int call_abstract_socket(const struct world *w)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    size_t len = strlen(w->folder);
    memcpy(un.sun_path + 1, w->folder, len);
    return connect(fd, (struct sockaddr *)&un,
                   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len)) < 0
             ? -errno
             : 0;
}

/* ---- children ---- */

enum outcome { DONE, DENIED, KILLED, OTHER };

static void lock_up(const struct world *w)
{
    struct sandbox_report report;
    struct sandbox_user user = {0};
    /* At once, so that the outcome of a child that does not get there is not mistaken for one. */
    if (sandbox_apply(&w->plan, &user, &report) < 0 || !report.seccomp || !report.files ||
        !report.tcp || !report.scopes || !report.no_capabilities || !report.no_dumps)
        _exit(100);
}

static enum outcome in_child(const struct world *w, int (*attempt)(const struct world *w),
                             bool locked_up)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        if (locked_up)
            lock_up(w);
        int r = attempt(w);
        _exit(r == 0 ? 10 : r == -EPERM || r == -EACCES ? 11 : 12);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status))
        return WTERMSIG(status) == SIGSYS ? KILLED : OTHER;
    /* what execl() started */
    if (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 10)
        return DONE;
    return WEXITSTATUS(status) == 11 ? DENIED : OTHER;
}

/* The Landlock of this machine is new enough for all of it; without that there is nothing to test.
 */
static void need_landlock(void)
{
#ifdef PORTCULLIS_INSTRUMENTED
    skip();
#endif
    if (syscall(SYS_landlock_create_ruleset, NULL, 0, 1) < 6)
        skip();
}

static void sandbox_denies_what_the_daemon_never_does(void **state)
{
    const struct world *w = *state;
    static const struct {
        const char *what;
        int (*attempt)(const struct world *w);
        enum outcome outcome;
    } rows[] = {
        {"open a file outside", read_outside, DENIED},
        {"write a file outside", write_outside, DENIED},
        {"write a file of the system", write_to_system, DENIED},
        {"execute a program", execute, KILLED},
        {"execute a descriptor", execute_by_descriptor, KILLED},
        {"bind to a port", bind_and_listen, DENIED},
        {"listen without binding", listen_unbound, DENIED},
        {"connect elsewhere", connect_elsewhere, DENIED},
        {"trace a process", trace_parent, KILLED},
        {"start a process", fork_process, DENIED},
        {"open a raw socket", open_raw_socket, DENIED},
        {"open a packet socket", open_packet_socket, DENIED},
        {"ask for addresses", ask_for_addresses, DENIED},
        {"watch devices come and go", watch_devices, DENIED},
        {"leave its name space", unshare_mounts, KILLED},
        {"become somebody else", become_another, DENIED},
        {"signal another process", signal_another, DENIED},
        {"make memory executable", make_memory_executable, DENIED},
        {"map executable memory", map_executable, DENIED},
        {"change its limits", raise_core_limit, DENIED},
        {"call an abstract socket of others", call_abstract_socket, DENIED},
    };
    need_landlock();
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int abstract = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memcpy(un.sun_path + 1, w->folder, strlen(w->folder));
    assert_int_equal(
        bind(abstract, (struct sockaddr *)&un,
             (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(w->folder))),
        0);
    assert_int_equal(listen(abstract, 1), 0);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        /* Who may do none of it anyhow proves nothing: root's children do it without the sandbox.
         */
        if (geteuid() == 0 && in_child(w, rows[i].attempt, false) != DONE)
            fail_msg("without a sandbox a process cannot %s either", rows[i].what);
        enum outcome outcome = in_child(w, rows[i].attempt, true);
        if (outcome != rows[i].outcome)
            fail_msg("%s: %d", rows[i].what, (int)outcome);
    }
    (void)close(abstract);
}

/* Not every kernel has these, so that some prove nothing there; none works inside. */
static void sandbox_denies_ways_to_a_port_that_landlock_does_not_see(void **state)
{
    const struct world *w = *state;
    static const struct {
        const char *what;
        int (*attempt)(const struct world *w);
    } rows[] = {
        {"connect elsewhere by MPTCP", connect_elsewhere_by_mptcp},
        {"connect elsewhere by sendto()", connect_elsewhere_by_sendto},
        {"connect elsewhere by sendmsg()", connect_elsewhere_by_sendmsg},
        {"connect elsewhere by sendmmsg()", connect_elsewhere_by_sendmmsg},
    };
    need_landlock();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        enum outcome outcome = in_child(w, rows[i].attempt, true);
        if (outcome != DENIED)
            fail_msg("%s: %d", rows[i].what, (int)outcome);
    }
}

/* ---- what the kernel's log says ---- */

/* The thing that is expected first, so that its line is not the one that a limit suppresses. */
static int expected_and_unexpected(const struct world *w)
{
    (void)ask_for_addresses(w);
    return open_packet_socket(w);
}

static pid_t run_child(const struct world *w, int (*attempt)(const struct world *w))
{
    pid_t child = fork();
    if (child == 0) {
        lock_up(w);
        (void)attempt(w);
        _exit(0);
    }
    assert_int_equal(waitpid(child, NULL, 0), child);
    return child;
}

/* What it says of the system calls of two processes from now on: once it has named the second one,
 * or a while has passed. */
static void count_lines(int log_fd, const pid_t pids[2], unsigned ret_counts[2])
{
    char line[2048];
    char wanted[2][32];
    ret_counts[0] = ret_counts[1] = 0;
    for (size_t i = 0; i < 2; i++)
        (void)snprintf(wanted[i], sizeof(wanted[i]), " pid=%d ", (int)pids[i]);
    for (unsigned waits = 0; waits < 20 && ret_counts[1] == 0;) {
        ssize_t n = read(log_fd, line, sizeof(line) - 1);
        if (n < 0 && errno == EAGAIN) {
            waits++;
            (void)poll(NULL, 0, 20);
        }
        line[n > 0 ? n : 0] = '\0';
        for (size_t i = 0; i < 2; i++)
            ret_counts[i] += strstr(line, "type=1326") != NULL && strstr(line, wanted[i]) != NULL;
    }
}

static void sandbox_logs_what_is_not_expected_alone(void **state)
{
    const struct world *w = *state;
    need_landlock();
    int log_fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (log_fd < 0)
        skip();
    unsigned not_told = 0;
    /* The kernel suppresses lines when there are many; a process that it ends is told always. */
    for (unsigned i = 0; i < 12 && not_told < 3; i++) {
        unsigned counts[2];
        (void)lseek(log_fd, 0, SEEK_END);
        const pid_t pids[2] = {run_child(w, expected_and_unexpected), run_child(w, execute)};
        count_lines(log_fd, pids, counts);
        assert_true(counts[0] <= 1);
        if (counts[0] == 1) {
            (void)close(log_fd);
            return;
        }
        not_told += counts[1] > 0;
        (void)poll(NULL, 0, 500);
    }
    (void)close(log_fd);
    assert_true(not_told < 3);
    skip(); /* no log here */
}

/* ---- what goes on ---- */

static int work_with_files(const struct world *w)
{
    int r = open_at(w->inside, "new", O_RDWR | O_CREAT | O_EXCL | O_TRUNC);
    char from[160];
    char to[160];
    (void)snprintf(from, sizeof(from), "%s/new", w->inside);
    (void)snprintf(to, sizeof(to), "%s/newer", w->inside);
    if (r == 0 && (rename(from, to) < 0 || unlink(to) < 0))
        r = -errno;
    return r;
}

static int read_system_files(const struct world *w)
{
    (void)w;
    return open_at("/etc", "hosts", O_RDONLY);
}

static int connect_as_planned(const struct world *w)
{
    return connect_to(w->near_port);
}

static int accept_on_what_listens(const struct world *w)
{
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_port = htons(w->near_port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(client, (struct sockaddr *)&in, sizeof(in)) < 0)
        return -errno;
    int fd = accept4(w->near_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return -errno;
    return send(client, "x", 1, MSG_NOSIGNAL) == 1 && recv(fd, (char[1]){0}, 1, 0) == 1 ? 0 : -EIO;
}

/* As the resolver does, and as libraries make sockets: with the protocol, and without. */
static int open_tcp_and_udp(const struct world *w)
{
    static const int kinds[][3] = {
        {AF_INET, SOCK_STREAM, 0},  {AF_INET, SOCK_STREAM, IPPROTO_TCP},
        {AF_INET, SOCK_DGRAM, 0},   {AF_INET, SOCK_DGRAM, IPPROTO_UDP},
        {AF_INET6, SOCK_STREAM, 0}, {AF_INET6, SOCK_STREAM, IPPROTO_TCP},
        {AF_INET6, SOCK_DGRAM, 0},  {AF_INET6, SOCK_DGRAM, IPPROTO_UDP},
    };
    (void)w;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        int fd = socket(kinds[i][0], kinds[i][1] | SOCK_CLOEXEC | SOCK_NONBLOCK, kinds[i][2]);
        if (fd < 0 && errno != EAFNOSUPPORT) /* a machine without IPv6 */
            return -errno;
        if (fd >= 0)
            (void)close(fd);
    }
    return 0;
}

static int send_datagram(const struct world *w)
{
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    (void)w;
    return sendto(fd, "x", 1, MSG_NOSIGNAL, (struct sockaddr *)&in, sizeof(in)) == 1 ? 0 : -errno;
}

static void *try_from_thread(void *arg)
{
    *(int *)arg = open_at("/root", "..", O_RDONLY | O_DIRECTORY);
    return NULL;
}

/* A thread is made, and it is locked up as well. */
static int make_thread(const struct world *w)
{
    (void)w;
    pthread_t thread;
    int result = 0;
    int r = pthread_create(&thread, NULL, try_from_thread, &result);
    if (r != 0)
        return -r;
    (void)pthread_join(thread, NULL);
    return result == -EACCES ? 0 : -EIO;
}

static int abort_itself(const struct world *w)
{
    (void)w;
    (void)signal(SIGABRT, SIG_DFL);
    abort();
}

static void sandbox_allows_what_the_daemon_does(void **state)
{
    const struct world *w = *state;
    static const struct {
        const char *what;
        int (*attempt)(const struct world *w);
    } rows[] = {
        {"write, rename and remove files inside", work_with_files},
        {"read the files of the resolver", read_system_files},
        {"accept on a socket that listens", accept_on_what_listens},
        {"connect to a port of the policy", connect_as_planned},
        {"make sockets of TCP and UDP", open_tcp_and_udp},
        {"send to a name server", send_datagram},
        {"make threads", make_thread},
    };
    int status;
    need_landlock();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (in_child(w, rows[i].attempt, true) != DONE)
            fail_msg("a process inside cannot %s", rows[i].what);
    pid_t child = fork();
    if (child == 0) {
        lock_up(w);
        _exit(abort_itself(w));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

/* ---- users ---- */

static void sandbox_gives_up_root_and_all_groups(void **state)
{
    const struct world *w = *state;
    struct sandbox_user user;
    int status;
    if (geteuid() != 0)
        skip();
    need_landlock();
    assert_int_equal(sandbox_user_find("nobody", &user), 0);
    pid_t child = fork();
    if (child == 0) {
        struct sandbox_report report;
        uid_t uids[3];
        gid_t gids[3];
        if (sandbox_apply(&w->plan, &user, &report) < 0)
            _exit(1);
        if (getresuid(&uids[0], &uids[1], &uids[2]) < 0 ||
            getresgid(&gids[0], &gids[1], &gids[2]) < 0)
            _exit(2);
        for (int i = 0; i < 3; i++)
            if (uids[i] != user.uid || gids[i] != user.gid)
                _exit(3);
        _exit(getgroups(0, NULL) == 0 && report.no_capabilities ? 0 : 4);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void sandbox_user_find_reads_user_and_group(void **state)
{
    (void)state;
    struct sandbox_user user;
    struct sandbox_user same;
    const struct group *group = getgrgid(0);
    char text[64];
    assert_int_equal(sandbox_user_find("nobody", &user), 0);
    assert_true(user.is_set && user.uid != 0 && user.gid != 0);
    (void)snprintf(text, sizeof(text), "nobody:%s", group->gr_name);
    assert_int_equal(sandbox_user_find(text, &same), 0);
    assert_int_equal(same.uid, user.uid);
    assert_int_equal(same.gid, 0);
    assert_int_equal(sandbox_user_find("no-such-user", &user), -ENOENT);
    assert_int_equal(sandbox_user_find("nobody:no-such-group", &user), -ENOENT);
    assert_int_equal(sandbox_user_find("", &user), -ENOENT);
}

/* ---- plans ---- */

static const struct sandbox_report all = {.files = true, .tcp = true};

static void plan_outside_names_what_a_plan_does_not_have(void **state)
{
    const struct world *w = *state;
    char file[128];
    (void)snprintf(file, sizeof(file), "%s/file", w->outside);
    const struct {
        const char *why;
        const char *path;
        enum sandbox_access access;
        uint16_t port;
        bool outside;
    } rows[] = {
        {"the folder itself", w->inside, SANDBOX_WRITE, 0, false},
        {"for less", w->inside, SANDBOX_READ, 0, false},
        {"a folder that is only read", "/etc", SANDBOX_WRITE, 0, true},
        {"another folder", w->outside, SANDBOX_READ, 0, true},
        {"the folder above", w->folder, SANDBOX_READ, 0, true},
        {"a file in another folder", file, SANDBOX_READ, 0, true},
        {"a folder below", "/etc/ssl", SANDBOX_READ, 0, false},
        {"what is not there", "/no/such/folder", SANDBOX_READ, 0, false},
        {"a port", NULL, SANDBOX_READ, w->near_port, false},
        {"the port of name servers", NULL, SANDBOX_READ, 53, false},
        {"another port", NULL, SANDBOX_READ, w->far_port, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct sandbox_plan fresh = {0};
        if (rows[i].path != NULL)
            sandbox_plan_tree(&fresh, rows[i].path, rows[i].access, STR("/here"));
        else
            sandbox_plan_port(&fresh, rows[i].port, STR("/here"));
        const char *pointer = sandbox_plan_outside(&w->plan, &all, &fresh);
        if ((pointer != NULL) != rows[i].outside)
            fail_msg("%s: %s", rows[i].why, pointer != NULL ? pointer : "inside");
        if (pointer != NULL)
            assert_string_equal(pointer, "/here");
        /* an old kernel is in nobody's way */
        const struct sandbox_report part = {.files = rows[i].path == NULL,
                                            .tcp = rows[i].path != NULL};
        assert_null(sandbox_plan_outside(&w->plan, &part, &fresh));
        sandbox_plan_free(&fresh);
    }
}

/* A name that begins like a folder of the plan is not in it. */
static void plan_paths_end_at_a_slash(void **state)
{
    const struct world *w = *state;
    char beside[128];
    struct sandbox_plan fresh = {0};
    (void)snprintf(beside, sizeof(beside), "%s-too", w->inside);
    assert_int_equal(mkdir(beside, 0700), 0);
    sandbox_plan_tree(&fresh, beside, SANDBOX_READ, STR("/here"));
    assert_non_null(sandbox_plan_outside(&w->plan, &all, &fresh));
    sandbox_plan_free(&fresh);
    assert_int_equal(rmdir(beside), 0);
}

/* As Kubernetes mounts secrets: FOLDER/file -> ..data/file -> ..1/file. */
static void plan_file_has_the_folders_of_the_name_and_of_the_link(void **state)
{
    const struct world *w = *state;
    struct sandbox_plan plan = {0};
    struct sandbox_plan want = {0};
    char link[128];
    char target[128];
    (void)snprintf(link, sizeof(link), "%s/link", w->inside);
    (void)snprintf(target, sizeof(target), "%s/file", w->outside);
    assert_int_equal(symlink(target, link), 0);
    sandbox_plan_file(&plan, link, SANDBOX_READ, STR("/here"));
    sandbox_plan_tree(&want, w->inside, SANDBOX_READ, STR("/inside"));
    sandbox_plan_tree(&want, w->outside, SANDBOX_READ, STR("/outside"));
    assert_null(sandbox_plan_outside(&plan, &all, &want));
    assert_int_equal(plan.n_paths, 2);
    sandbox_plan_free(&plan);
    sandbox_plan_free(&want);
    assert_int_equal(unlink(link), 0);

    /* what it links to is made later, as a local resolver does */
    for (size_t i = 0; i < 2; i++) {
        if (i == 0)
            (void)snprintf(target, sizeof(target), "%s/later", w->outside);
        else
            (void)snprintf(target, sizeof(target), "../outside/later");
        assert_int_equal(symlink(target, link), 0);
        sandbox_plan_file(&plan, link, SANDBOX_READ, STR("/here"));
        sandbox_plan_tree(&want, w->inside, SANDBOX_READ, STR("/inside"));
        sandbox_plan_tree(&want, w->outside, SANDBOX_READ, STR("/outside"));
        assert_null(sandbox_plan_outside(&plan, &all, &want));
        assert_int_equal(plan.n_paths, 2);
        sandbox_plan_free(&plan);
        sandbox_plan_free(&want);
        assert_int_equal(unlink(link), 0);
    }

    /* a device is not a reason to allow all others */
    sandbox_plan_file(&plan, "/dev/full", SANDBOX_WRITE, STR("/here"));
    assert_int_equal(plan.n_paths, 1);
    assert_string_equal(plan.paths[0].path, "/dev/full");
    sandbox_plan_free(&plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sandbox_denies_what_the_daemon_never_does),
        cmocka_unit_test(sandbox_denies_ways_to_a_port_that_landlock_does_not_see),
        cmocka_unit_test(sandbox_logs_what_is_not_expected_alone),
        cmocka_unit_test(sandbox_allows_what_the_daemon_does),
        cmocka_unit_test(sandbox_gives_up_root_and_all_groups),
        cmocka_unit_test(sandbox_user_find_reads_user_and_group),
        cmocka_unit_test(plan_outside_names_what_a_plan_does_not_have),
        cmocka_unit_test(plan_paths_end_at_a_slash),
        cmocka_unit_test(plan_file_has_the_folders_of_the_name_and_of_the_link),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
