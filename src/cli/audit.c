/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "cli/cli.h"

#define PIECE_BYTES 65536
#define MAX_ANSWER_BYTES 4096

static const char help[] =
    "Checks the chain of an audit log.\n"
    "\n"
    "Every line names the hash of the line before it, so that a line that was changed, removed,\n"
    "inserted or moved breaks the chain. Of a log in several files, name all in their order, the\n"
    "oldest first; - is standard input. Lines that a crash cut off are counted as torn and do not\n"
    "break the chain. What the last line says is held by nothing but its own hash, and who can\n"
    "write the file can write another chain: keep the head that is printed elsewhere.\n"
    "\n"
    "  --head HASH   in front of the files: fails unless a line of the chain has this hash, the\n"
    "                head that an earlier run printed. All up to that line is then as it was.\n"
    "\n"
    "Prints the number of lines, the first and the last number, the hash before the first line,\n"
    "the records that the log says were lost, torn lines, and the head: the last line's hash.\n"
    "\n"
    "Exit status 0: the chain holds; 1: it does not, and stderr says where and why; 2: bad usage,\n"
    "or a file could not be read.\n"
    "\n"
    "Examples:\n"
    "  portcullis audit verify /var/log/portcullis/audit.log\n"
    "  zcat audit.log.2.gz | portcullis audit verify - audit.log.1 audit.log\n"
    "  portcullis audit verify --head \"$(cat head.kept)\" audit.log\n";

struct verification {
    struct audit_verifier verifier;
    struct audit_check check;
    const char *head; /* what --head asks for, or NULL */
    char **paths;
    int n_paths;
    uint64_t *lines_before; /* each of them */
};

/* Says where the chain breaks, with the line as its file counts it. */
static int say_broken(const struct verification *v, int n_read)
{
    int i = n_read - 1; /* a line that seemed torn may be at the end of a file before */
    while (i > 0 && v->check.bad_line <= v->lines_before[i])
        i--;
    (void)fprintf(stderr, "portcullis audit: %s:%" PRIu64 ": the chain breaks here: %s\n",
                  v->paths[i], v->check.bad_line - v->lines_before[i], v->check.why);
    return CLI_FAILURE;
}

static int read_through(int fd, struct audit_verifier *verifier)
{
    static char piece[PIECE_BYTES];
    for (;;) {
        ssize_t n = read(fd, piece, sizeof(piece));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : 0;
        audit_verify_bytes(verifier, str_make(piece, (size_t)n));
        if (verifier->check.bad_line != 0)
            return 0;
    }
}

static int verify_file(struct verification *v, int i)
{
    const char *path = v->paths[i];
    bool is_stdin = strcmp(path, "-") == 0;
    v->lines_before[i] = v->verifier.check.lines;
    int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    int r = fd < 0 ? -errno : read_through(fd, &v->verifier);
    if (fd >= 0 && !is_stdin)
        (void)close(fd);
    if (r < 0) {
        (void)fprintf(stderr, "portcullis audit: %s: %s\n", path, strerror(-r));
        return CLI_USAGE;
    }
    audit_verify_end(&v->verifier, &v->check);
    return v->check.bad_line == 0 ? CLI_OK : say_broken(v, i + 1);
}

static int answer(const struct verification *v)
{
    const struct audit_check *check = &v->check;
    CLEANUP(buf_free) struct buf text = buf_make(MAX_ANSWER_BYTES);
    if (v->head != NULL && check->anchor_line == 0) {
        (void)fprintf(stderr,
                      "portcullis audit: no line has the hash %s: lines are missing, or "
                      "this is another chain\n",
                      v->head);
        return CLI_FAILURE;
    }
    (void)buf_printf(&text,
                     "lines  %" PRIu64 "\nfirst  %" PRIu64 "\nlast   %" PRIu64 "\nprev   %s\n"
                     "lost   %" PRIu64 "\ntorn   %" PRIu64 "\nhead   %s",
                     check->lines, check->first_seq, check->last_seq, check->first_prev,
                     check->lost, check->torn, check->head);
    return cli_answer(buf_str(&text));
}

static int verify(struct verification *v)
{
    int status = CLI_OK;
    v->lines_before = calloc((size_t)v->n_paths, sizeof(*v->lines_before));
    if (v->lines_before == NULL) {
        (void)fputs("portcullis: out of memory\n", stderr);
        return CLI_USAGE;
    }
    for (int i = 0; i < v->n_paths && status == CLI_OK; i++)
        status = verify_file(v, i);
    free(v->lines_before);
    return status == CLI_OK ? answer(v) : status;
}

/* ARGV[2] and behind: options, then files. Returns the index of the first file, or -1. */
static int read_options(int argc, char **argv, struct verification *v)
{
    int i = 2;
    while (i < argc && argv[i][0] == '-' && argv[i][1] != '\0') {
        if (strcmp(argv[i], "--") == 0)
            return i + 1;
        if (strcmp(argv[i], "--head") != 0) {
            (void)cli_bad_usage(&command_audit, "unknown option %s", argv[i]);
            return -1;
        }
        v->head = i + 1 < argc ? argv[i + 1] : "";
        if (!audit_verifier_expect(&v->verifier, str_from_cstr(v->head))) {
            (void)cli_bad_usage(&command_audit, "--head takes a hash: 64 of 0-9 and a-f");
            return -1;
        }
        i += 2;
    }
    return i;
}

static int run(int argc, char **argv)
{
    if (cli_wants_help(argc, argv)) {
        cli_print_help(&command_audit, stdout);
        return CLI_OK;
    }
    if (argc < 2 || strcmp(argv[1], "verify") != 0)
        return cli_bad_usage(&command_audit, "what it can do is 'verify'");
    struct verification v = {.verifier = audit_verifier_make()};
    int first = read_options(argc, argv, &v);
    int status = CLI_USAGE;
    if (first >= argc)
        status = cli_bad_usage(&command_audit, "which files?");
    if (first > 0 && first < argc) {
        v.paths = argv + first;
        v.n_paths = argc - first;
        status = verify(&v);
    }
    audit_verifier_free(&v.verifier);
    return status;
}

const struct command command_audit = {
    .name = "audit",
    .synopsis = "audit verify FILE...",
    .help = help,
    .run = run,
};
