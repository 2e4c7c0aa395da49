/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of the load. */
#include <getopt.h>
#include <string.h>

#include "load.h"
#include "request.h"
#include "tool.h"

static const char usage[] =
    "usage: load --port PORT --tokens FILE [OPTION VALUE]...\n"
    "  --connections N   keep-alive connections, one call in flight on each (0)\n"
    "  --rate N          calls per second in all, instead of as fast as answers come\n"
    "  --requests N      end the window after N calls\n"
    "  --window-ms N     length of the window (2000)\n"
    "  --warmup-ms N     the same load before it (500)\n"
    "  --rest-ms N       look at memory once more, so long after closing all connections\n"
    "  --size BYTES      size of the answers\n"
    "  --idle N          GET streams that stay open beside\n"
    "  --active N        GET streams with events\n"
    "  --every-ms N      an event on each of them (100)\n"
    "  --slow N          connections that read 1 KiB per second of a large answer\n"
    "  --slow-size BYTES size of that answer (1048576)\n"
    "  --flood N         connections with calls that are refused with 401, as fast as that goes\n"
    "  --flood-tokens FILE   what they send\n"
    "  --call NAME       what is sent: small, search, deploy or list (small)\n"
    "  --path PATH       where to (/mcp)\n"
    "  --query TEXT      behind it, for the upstream, see upstream.c\n"
    "  --answer BYTES    length of each answer, when --size does not say it\n"
    "  --save FILE       write the bodies of all answers there, of whatever length\n"
    "  --expect STATUS   of each answer (200); anything else ends the run\n"
    "  --once            take each token once\n"
    "  --take N          take only the first N tokens\n"
    "  --tls             speak TLS with the contender\n"
    "  --pids PID,...    processes whose CPU time and memory are measured\n"
    "Prints one `key value` in a line.";

/* Options with a number: name, limits and where it goes. */
struct number_option {
    const char *name;
    uint32_t min;
    uint32_t max;
    size_t offset;
};

#define MAX_ANSWER (16U * 1024 * 1024) /* as in upstream.c */

#define NUMBER(text, low, high, member)                 \
    {                                                   \
        .name = (text), .min = (low), .max = (high),    \
        .offset = offsetof(struct load_options, member) \
    }

static const struct number_option number_options[] = {
    NUMBER("connections", 0, 4096, connections),
    NUMBER("rate", 0, 1000000, rate),
    NUMBER("requests", 0, 10000000, requests),
    NUMBER("window-ms", 1, 600000, window_ms),
    NUMBER("warmup-ms", 0, 60000, warmup_ms),
    NUMBER("rest-ms", 0, 60000, rest_ms),
    NUMBER("size", 0, MAX_ANSWER, size),
    NUMBER("answer", 0, MAX_ANSWER, answer),
    NUMBER("idle", 0, 20000, idle),
    NUMBER("active", 0, 1000, active),
    NUMBER("every-ms", 1, 60000, every_ms),
    NUMBER("take", 1, 10000000, take),
    NUMBER("slow", 0, 4096, slow),
    NUMBER("slow-size", 1024, MAX_ANSWER, slow_size),
    NUMBER("flood", 0, 4096, flood),
};
#define N_NUMBERS ((int)(sizeof(number_options) / sizeof(*number_options)))

/* Options with a text: name and where it goes. */
static const struct {
    const char *name;
    size_t offset;
} text_options[] = {
    {"tokens", offsetof(struct load_options, tokens)},
    {"flood-tokens", offsetof(struct load_options, flood_tokens)},
    {"path", offsetof(struct load_options, path)},
    {"query", offsetof(struct load_options, query)},
    {"save", offsetof(struct load_options, save)},
};
#define N_TEXTS ((int)(sizeof(text_options) / sizeof(*text_options)))

/* The tables' options come first, in their order. */
enum {
    OPTION_PORT = N_NUMBERS + N_TEXTS,
    OPTION_EXPECT,
    OPTION_ONCE,
    OPTION_TLS,
    OPTION_PIDS,
    OPTION_CALL,
    N_OPTIONS
};

static void take_number(struct load_options *options, const struct number_option *number)
{
    uint32_t value = (uint32_t)tool_parse_number(optarg, number->min, number->max);
    memcpy((char *)options + number->offset, &value, sizeof(value));
}

static void take_option(struct load_options *options, int option)
{
    switch (option) {
    case OPTION_PORT:
        options->port = (uint16_t)tool_parse_number(optarg, 1, UINT16_MAX);
        break;
    case OPTION_EXPECT:
        options->expect = (int)tool_parse_number(optarg, 100, 599);
        break;
    case OPTION_ONCE:
        options->is_once = true;
        break;
    case OPTION_TLS:
        options->is_tls = true;
        break;
    case OPTION_PIDS:
        if (process_set_parse(optarg, &options->contender) < 0)
            tool_die("%s is not a list of processes", optarg);
        break;
    case OPTION_CALL:
        options->request = request_find(optarg);
        break;
    default:
        tool_die("%s", usage);
    }
}

struct load_options load_options_parse(int argc, char **argv)
{
    struct load_options options = {
        .window_ms = 2000,
        .warmup_ms = 500,
        .every_ms = 100,
        .slow_size = 1024 * 1024,
        .expect = 200,
        .path = "/mcp",
        .request = request_find("small"),
    };
    struct option names[N_OPTIONS + 1] = {
        [OPTION_PORT] = {"port", required_argument, NULL, OPTION_PORT},
        [OPTION_EXPECT] = {"expect", required_argument, NULL, OPTION_EXPECT},
        [OPTION_ONCE] = {"once", no_argument, NULL, OPTION_ONCE},
        [OPTION_TLS] = {"tls", no_argument, NULL, OPTION_TLS},
        [OPTION_PIDS] = {"pids", required_argument, NULL, OPTION_PIDS},
        [OPTION_CALL] = {"call", required_argument, NULL, OPTION_CALL},
    };
    for (int i = 0; i < N_NUMBERS; i++)
        names[i] = (struct option){number_options[i].name, required_argument, NULL, i};

    for (int i = 0; i < N_TEXTS; i++)
        names[N_NUMBERS + i] =
            (struct option){text_options[i].name, required_argument, NULL, N_NUMBERS + i};

    for (int o = getopt_long(argc, argv, "", names, NULL); o != -1;
         o = getopt_long(argc, argv, "", names, NULL)) {
        if (o < 0 || o >= N_NUMBERS + N_TEXTS)
            take_option(&options, o);
        else if (o < N_NUMBERS)
            take_number(&options, &number_options[o]);
        else
            memcpy((char *)&options + text_options[o - N_NUMBERS].offset, &optarg, sizeof(optarg));
    }
    if (optind != argc || options.port == 0 || options.tokens == NULL ||
        (options.flood > 0 && options.flood_tokens == NULL))
        tool_die("%s", usage);
    return options;
}
