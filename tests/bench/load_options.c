/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of the load. */
#include <getopt.h>
#include <string.h>

#include "load.h"
#include "tool.h"

static const char usage[] =
    "usage: load --port PORT --tokens FILE [OPTION VALUE]...\n"
    "  --connections N   keep-alive connections, one call in flight on each (0)\n"
    "  --rate N          calls per second in all, instead of as fast as answers come\n"
    "  --requests N      end the window after N calls\n"
    "  --window-ms N     length of the window (2000)\n"
    "  --warmup-ms N     the same load before it (500)\n"
    "  --rest-ms N       look at memory once more, so long after closing all connections\n"
    "  --size BYTES      size of the answers: 65536 or 1048576\n"
    "  --idle N          GET streams that stay open beside\n"
    "  --active N        GET streams with events\n"
    "  --every-ms N      an event on each of them (100)\n"
    "  --expect STATUS   of each answer (200); anything else ends the run\n"
    "  --once            take each token once\n"
    "  --pids PID,...    processes whose CPU time and memory are measured\n"
    "Prints one `key value` in a line.";

/* Options with a number: name, limits and where it goes. */
struct number_option {
    const char *name;
    uint32_t min;
    uint32_t max;
    size_t offset;
};

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
    NUMBER("size", 0, 1048576, size),
    NUMBER("idle", 0, 20000, idle),
    NUMBER("active", 0, 1000, active),
    NUMBER("every-ms", 1, 60000, every_ms),
};
#define N_NUMBERS ((int)(sizeof(number_options) / sizeof(*number_options)))

enum { OPTION_PORT = N_NUMBERS, OPTION_EXPECT, OPTION_ONCE, OPTION_TOKENS, OPTION_PIDS, N_OPTIONS };

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
    case OPTION_TOKENS:
        options->tokens = optarg;
        break;
    case OPTION_PIDS:
        if (process_set_parse(optarg, &options->contender) < 0)
            tool_die("%s is not a list of processes", optarg);
        break;
    default:
        tool_die("%s", usage);
    }
}

struct load_options load_options_parse(int argc, char **argv)
{
    struct load_options options = {
        .window_ms = 2000, .warmup_ms = 500, .every_ms = 100, .expect = 200};
    struct option names[N_OPTIONS + 1] = {
        [OPTION_PORT] = {"port", required_argument, NULL, OPTION_PORT},
        [OPTION_EXPECT] = {"expect", required_argument, NULL, OPTION_EXPECT},
        [OPTION_ONCE] = {"once", no_argument, NULL, OPTION_ONCE},
        [OPTION_TOKENS] = {"tokens", required_argument, NULL, OPTION_TOKENS},
        [OPTION_PIDS] = {"pids", required_argument, NULL, OPTION_PIDS},
    };
    for (int i = 0; i < N_NUMBERS; i++)
        names[i] = (struct option){number_options[i].name, required_argument, NULL, i};

    for (int o = getopt_long(argc, argv, "", names, NULL); o != -1;
         o = getopt_long(argc, argv, "", names, NULL)) {
        if (o >= N_NUMBERS) {
            take_option(&options, o);
            continue;
        }
        const struct number_option *number = &number_options[o];
        uint32_t value = (uint32_t)tool_parse_number(optarg, number->min, number->max);
        memcpy((char *)&options + number->offset, &value, sizeof(value));
    }
    if (optind != argc || options.port == 0 || options.tokens == NULL)
        tool_die("%s", usage);
    return options;
}
