/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "cli/explain_int.h"
#include "proto/base64url.h"
#include "proto/claims.h"
#include "proto/jws.h"
#include "proto/mcp_call.h"

#define MAX_PRINTED_BYTES (64U * 1024 * 1024)

static const char help[] =
    "Says what would happen to a call with a token, and why: nothing is contacted.\n"
    "\n"
    "  --token-file FILE   the access token; \"Bearer\" may stand in front, - is standard input\n"
    "  --call CALL         METHOD or METHOD:NAME: the tool, the prompt, the URI of the resource\n"
    "  --jwks FILE         the issuer's keys; without them the signature is not checked\n"
    "  --route RESOURCE    which route; default: the only one, or the only one that the token's\n"
    "                      audience fits\n"
    "  --time TIME         as if it were then: RFC 3339, or seconds since 1970\n"
    "  --json              one JSON object for programs\n"
    "\n"
    "It asks the code that the daemon asks, and prints the very challenge that would be sent.\n"
    "What comes before and after is not looked at: Origin, sessions, limits. The token itself is\n"
    "never printed.\n"
    "\n"
    "Exit status 0: allowed; 1: denied, or it failed; 2: bad usage, or a file that is no good.\n"
    "\n"
    "Examples:\n"
    "  portcullis explain policy.json --token-file token.txt --call tools/call:echo\n"
    "  portcullis explain policy.json --token-file token.txt --call resources/read:file:///a.txt "
    "\\\n"
    "      --jwks jwks.json --time 2026-07-28T12:00:00Z\n"
    "  pbpaste | portcullis explain policy.json --token-file - --call initialize --json\n"
    "  portcullis explain policy.json --token-file token.txt \\\n"
    "      --call completion/complete:ref/prompt:greeting\n";

/* ---- arguments ---- */

struct options {
    const char *policy;
    const char *token_file;
    const char *call;
    const char *jwks;
    const char *route;
    const char *time;
    bool json;
};

/* The option that ARGUMENT names, as "--name" or "--name=VALUE"; NULL: none. */
static const char **find_option(struct options *options, const char *argument,
                                const char **ret_value)
{
    const struct {
        const char *name;
        const char **value;
    } rows[] = {
        {"--token-file", &options->token_file},
        {"--call", &options->call},
        {"--jwks", &options->jwks},
        {"--route", &options->route},
        {"--time", &options->time},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const size_t len = strlen(rows[i].name);
        if (strncmp(argument, rows[i].name, len) != 0)
            continue;
        if (argument[len] == '\0' || argument[len] == '=') {
            *ret_value = argument[len] == '=' ? argument + len + 1 : NULL;
            return rows[i].value;
        }
    }
    return NULL;
}

/* One option with its value, which may be the next argument; -1, or CLI_USAGE. */
static int read_option(struct options *options, int argc, char **argv, int *at)
{
    const char *argument = argv[*at];
    const char *value = NULL;
    const char **option = find_option(options, argument, &value);
    if (option == NULL)
        return cli_bad_usage(&command_explain, "unknown option %s", argument);
    if (*option != NULL)
        return cli_bad_usage(&command_explain, "%s is there twice", argument);
    if (value == NULL && *at + 1 < argc && strncmp(argv[*at + 1], "--", 2) != 0)
        value = argv[++*at];
    if (value == NULL || value[0] == '\0')
        return cli_bad_usage(&command_explain, "%s needs a value", argument);
    *option = value;
    return -1;
}

/* -1: go on; else the status to exit with. */
static int read_options(int argc, char **argv, struct options *ret_options)
{
    struct options options = {0};
    int status = -1;
    for (int i = 1; i < argc && status < 0; i++) {
        if (strcmp(argv[i], "--json") == 0)
            options.json = true;
        else if (argv[i][0] == '-')
            status = read_option(&options, argc, argv, &i);
        else if (options.policy != NULL)
            status = cli_bad_usage(&command_explain, "it takes one policy file");
        else
            options.policy = argv[i];
    }
    if (status >= 0)
        return status;
    if (options.policy == NULL || options.token_file == NULL || options.call == NULL)
        return cli_bad_usage(&command_explain, "%s is missing",
                             options.policy == NULL       ? "the policy file"
                             : options.token_file == NULL ? "--token-file FILE"
                                                          : "--call CALL");
    *ret_options = options;
    return -1;
}

static int read_call(const char *text, struct explain_question *question)
{
    struct str method;
    struct str name;
    mcp_call_split(str_from_cstr(text), &method, &name);
    enum mcp_call_rc rc = mcp_call_make(method, name, &question->call);
    if (rc == MCP_CALL_OK)
        return -1;
    return cli_bad_usage(&command_explain, "--call %s: %.*s %s", text, STR_ARG(method),
                         mcp_call_rc_text(rc));
}

static int read_time(const char *text, struct explain_question *question)
{
    const struct clock now = clock_read();
    question->now_s = clock_wall_s(&now);
    if (text == NULL || explain_read_time(str_from_cstr(text), &question->now_s) == 0)
        return -1;
    return cli_bad_usage(&command_explain,
                         "--time %s is neither a time such as 2026-07-28T12:00:00Z nor seconds "
                         "since 1970",
                         text);
}

/* ---- files ---- */

static int say_unreadable(const char *path, const char *why)
{
    (void)fprintf(stderr, "portcullis: %s: %s\n", path, why);
    return CLI_USAGE;
}

/* No request can carry more: the head of it has a limit of its own. */
static size_t max_token_bytes(const struct config_data *config)
{
    return size_max(config->limits.header_bytes, config->limits.token_bytes);
}

static int read_token(const char *path, struct explain_question *question,
                      struct explain_credential *credential)
{
    int r = explain_read_token(path, max_token_bytes(question->config), credential);
    question->bearer = credential->rc;
    question->token = credential->token;
    switch (r) {
    case 0:
        return -1;
    case -EFBIG:
        return say_unreadable(path, "larger than a request may be (limits.header)");
    case -ENODATA:
        return say_unreadable(path, "there is no token in it");
    case -EILSEQ:
        return say_unreadable(path, "not one token: there is a line end or a control character "
                                    "in the middle");
    default:
        return say_unreadable(path, strerror(-r));
    }
}

/* One keyset for each issuer: they may differ in the algorithms that the policy allows them. */
struct keys {
    struct keyset *sets[CONFIG_MAX_ISSUERS];
};

static void keys_clear(struct keys *keys)
{
    for (size_t i = 0; i < ARRAY_LEN(keys->sets); i++)
        keys->sets[i] = keyset_unref(keys->sets[i]);
}

static void warn_of_skipped(const char *path, struct str issuer, const struct keyset_report *report)
{
    if (report->skipped > 0)
        (void)fprintf(stderr,
                      "portcullis: %s: for %.*s: %u of %u keys cannot be used: the first one %s\n",
                      path, STR_ARG(issuer), report->skipped, report->skipped + report->usable,
                      report->first_skip_reason);
}

static int parse_keys(const char *path, struct str document, const struct config_data *config,
                      struct keys *keys)
{
    bool usable = false;
    for (size_t i = 0; i < config->n_issuers; i++) {
        const struct issuer_config *issuer = &config->issuers[i];
        struct keyset_report report = {0};
        int r = keyset_parse(document, issuer->algorithms, issuer->n_algorithms, 0, &report,
                             &keys->sets[i]);
        if (r < 0 && r != -ENOKEY)
            return say_unreadable(path, r == -EINVAL ? "not a JWKS (RFC 7517) of at most 32 keys"
                                                     : strerror(-r));
        warn_of_skipped(path, issuer->issuer, &report);
        usable = usable || r == 0;
    }
    return usable ? -1 : say_unreadable(path, "there is no usable key in it");
}

static int read_keys(const char *path, struct explain_question *question, struct keys *keys)
{
    CLEANUP(buf_free) struct buf document = buf_make(KEYSET_MAX_BYTES + 1);
    if (path == NULL)
        return -1;
    int r = explain_read_file(path, KEYSET_MAX_BYTES, &document);
    if (r < 0)
        return say_unreadable(path, r == -EFBIG ? "larger than 256 KiB" : strerror(-r));
    int status = parse_keys(path, buf_str(&document), question->config, keys);
    question->keysets = keys->sets;
    return status;
}

/* ---- the route ---- */

static bool is_for(const struct route *route, struct str aud)
{
    const struct claims_context context = {
        .audiences = route->audiences,
        .n_audiences = route->n_audiences,
    };
    return claims_check_audience(aud, &context) == CLAIMS_OK;
}

/* The text of the payload, and the value of aud in it; the absent string when there is none. */
static struct str read_audience(const struct explain_question *question, struct buf *text)
{
    struct claims_payload payload = {0};
    struct jws_parts parts;
    if (question->bearer == BEARER_OK && jws_split(question->token, &parts) == JWS_OK &&
        base64url_decode_append(parts.payload, text) == 0)
        (void)claims_read(buf_str(text), &payload);
    return payload.members[CLAIM_AUD];
}

/* The only route that the token is for, or NULL. */
static const struct route *route_of_token(const struct explain_question *question)
{
    CLEANUP(buf_free) struct buf text = buf_make(base64url_decoded_len(question->token.len));
    const struct str aud = read_audience(question, &text);
    const struct route *found = NULL;
    for (size_t i = 0; i < question->config->n_routes; i++) {
        const struct route *route = &question->config->routes[i];
        if (!is_for(route, aud))
            continue;
        if (found != NULL)
            return NULL;
        found = route;
    }
    return found;
}

static const struct route *route_named(const struct config_data *config, const char *resource)
{
    for (size_t i = 0; i < config->n_routes; i++)
        if (str_eq(config->routes[i].resource, str_from_cstr(resource)))
            return &config->routes[i];
    return NULL;
}

static int choose_route(const char *resource, struct explain_question *question)
{
    const struct config_data *config = question->config;
    if (resource == NULL && config->n_routes == 1) {
        question->route = &config->routes[0];
        return -1;
    }
    question->route = resource != NULL ? route_named(config, resource) : route_of_token(question);
    if (question->route != NULL)
        return -1;
    if (resource != NULL)
        (void)cli_bad_usage(&command_explain, "the policy has no route %s; it has", resource);
    else
        (void)cli_bad_usage(&command_explain, "which route? --route must be one of");
    for (size_t i = 0; i < config->n_routes; i++)
        (void)fprintf(stderr, "  %.*s\n", STR_ARG(config->routes[i].resource));
    return CLI_USAGE;
}

/* ---- the answer ---- */

static int say_no_memory(void)
{
    (void)fputs("portcullis: out of memory\n", stderr);
    return CLI_FAILURE;
}

static int print(const struct options *options, const json_t *report)
{
    CLEANUP(buf_free) struct buf text = buf_make(MAX_PRINTED_BYTES);
    if (options->json)
        (void)json_write(report, 2, &text);
    else
        explain_append_text(report, isatty(STDOUT_FILENO) == 1, &text);
    return buf_failed(&text) ? say_no_memory() : cli_answer(buf_str(&text));
}

static int explain(const struct options *options, const struct explain_question *question)
{
    CLEANUP(explain_finding_clear) struct explain_finding finding = {0};
    if (explain_check(question, &finding) < 0)
        return say_no_memory();
    CLEANUP(json_unref) json_t *report = explain_report(question, &finding);
    if (report == NULL)
        return say_no_memory();
    int status = print(options, report);
    return status == CLI_OK && finding.denied ? CLI_FAILURE : status;
}

/* QUESTION is a copy: it comes to borrow from what ends here. */
static int explain_policy(const struct options *options, struct explain_question question)
{
    CLEANUP(explain_credential_wipe) struct explain_credential credential = {0};
    CLEANUP(keys_clear) struct keys keys = {0};
    int status = read_token(options->token_file, &question, &credential);
    if (status < 0)
        status = read_keys(options->jwks, &question, &keys);
    if (status < 0)
        status = choose_route(options->route, &question);
    return status < 0 ? explain(options, &question) : status;
}

static int run_explain(int argc, char **argv)
{
    struct options options = {0};
    struct explain_question question = {0};
    struct config *config = NULL;
    if (cli_wants_help(argc, argv)) {
        cli_print_help(&command_explain, stdout);
        return CLI_OK;
    }
    int status = read_options(argc, argv, &options);
    if (status < 0)
        status = read_call(options.call, &question);
    if (status < 0)
        status = read_time(options.time, &question);
    if (status >= 0)
        return status;
    if (cli_load_policy(options.policy, &config) < 0)
        return CLI_USAGE;
    question.config = config_get(config);
    status = explain_policy(&options, question);
    (void)config_unref(config);
    return status;
}

const struct command command_explain = {
    .name = "explain",
    .synopsis = "explain POLICY.json --token-file FILE --call METHOD[:NAME]",
    .help = help,
    .run = run_explain,
};
