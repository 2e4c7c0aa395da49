/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/build_int.h"

#include "base/err.h"
#include "base/sample.h"
#include "policy/value_int.h"

#define MIN_SECRET_BYTES 32

/* An age that can never be reached is a promise that is not kept. */
static void check_cache_age(struct reader *reader, const struct jwks_config *jwks)
{
    struct place top = {0};
    struct place place = PLACE_KEY(&top, STR("jwks"));
    struct place at = PLACE_KEY(&place, STR("cache_max_age"));
    if (jwks->cache_max_age_ms > jwks->refresh_ms + jwks->max_stale_ms && jwks->refresh_ms > 0)
        reader_error(reader, &at,
                     "is longer than jwks.refresh and jwks.max_stale together, past which no keys "
                     "are used; raise jwks.max_stale");
}

static void build_times(struct reader *reader, json_t *root, struct config_data *data)
{
    const json_t *jwks = json_object_get(root, "jwks");
    struct place top = {0};
    struct place at = PLACE_KEY(&top, STR("clock_skew"));
    int64_t skew_ms = reader_duration_ms(reader, root, "clock_skew");
    data->jwks = (struct jwks_config){
        .refresh_ms = reader_duration_ms(reader, jwks, "refresh"),
        .unknown_kid_cooldown_ms = reader_duration_ms(reader, jwks, "unknown_kid_cooldown"),
        .max_stale_ms = reader_duration_ms(reader, jwks, "max_stale"),
        .timeout_ms = reader_duration_ms(reader, jwks, "timeout"),
        .cache_max_age_ms = reader_duration_ms(reader, jwks, "cache_max_age"),
    };
    struct str cache_dir = reader_member(reader, jwks, "cache_dir");
    if (str_is_set(cache_dir) && cache_dir.len > 0)
        data->jwks.cache_dir = reader_path(reader, cache_dir);
    check_cache_age(reader, &data->jwks);
    if (skew_ms % 1000 != 0)
        reader_error(reader, &at, "must be in whole seconds, as the times in tokens are");
    data->clock_skew_s = skew_ms / 1000;
}

static void build_proxies(struct reader *reader, json_t *root, struct config_data *data)
{
    json_t *list = json_object_get(root, "trusted_proxies");
    struct cidr *cidrs = reader_alloc(reader, json_array_size(list), sizeof(*cidrs));
    data->trusted_proxies = cidrs;
    for (size_t i = 0; cidrs != NULL && i < json_array_size(list); i++)
        if (value_cidr(reader_text(reader, json_array_get(list, i)),
                       &cidrs[data->n_trusted_proxies]) == 0)
            data->n_trusted_proxies++;
}

static void build_limits(struct reader *reader, json_t *root, struct config_data *data)
{
    const json_t *limits = json_object_get(root, "limits");
    struct place top = {0};
    struct place place = PLACE_KEY(&top, STR("limits"));
    struct place at = PLACE_KEY(&place, STR("token"));
    data->limits = (struct limits_config){
        .header_bytes = reader_size_bytes(reader, limits, "header"),
        .token_bytes = reader_size_bytes(reader, limits, "token"),
        .connections = reader_number(limits, "connections"),
        .ip_connections = reader_number(limits, "ip_connections"),
        .client_timeout_ms = reader_duration_ms(reader, limits, "client_timeout"),
        .min_rate_bytes = reader_size_bytes(reader, limits, "min_rate"),
        .drain_timeout_ms = reader_duration_ms(reader, limits, "drain_timeout"),
    };
    build_store(reader, limits, &place, &data->limits.store);
    if (data->limits.token_bytes > data->limits.header_bytes && data->limits.header_bytes > 0)
        reader_error(
            reader, &at,
            "limits.token is larger than limits.header, in which a token has to fit; change "
            "one of them");
}

static void build_access(struct reader *reader, const json_t *log, struct config_data *data)
{
    const json_t *access = json_object_get(log, "access");
    const json_t *sample = json_object_get(access, "sample");
    int64_t slow_ms = reader_duration_ms(reader, access, "slow");
    data->access_threshold =
        json_is_number(sample) ? sample_threshold(json_number_value(sample)) : 0;
    data->access_slow_us = slow_ms > 0 ? slow_ms * 1000 : INT64_MAX;
}

static void build_log(struct reader *reader, json_t *root, struct config_data *data)
{
    static const struct str levels[] = {
        [LOG_LEVEL_ERROR] = STR_INIT("error"),
        [LOG_LEVEL_WARN] = STR_INIT("warn"),
        [LOG_LEVEL_INFO] = STR_INIT("info"),
        [LOG_LEVEL_DEBUG] = STR_INIT("debug"),
    };
    const json_t *log = json_object_get(root, "log");
    struct str level = reader_member(reader, log, "level");
    struct str format = reader_member(reader, log, "format");
    for (size_t i = 0; i < ARRAY_LEN(levels); i++)
        if (str_eq(levels[i], level))
            data->log_level = (enum log_level)i;
    data->log_format_set = str_is_set(format);
    data->log_format = str_eq(format, STR("text")) ? LOG_FORMAT_TEXT : LOG_FORMAT_JSON;
    struct str file = reader_member(reader, log, "file");
    if (str_is_set(file) && file.len > 0)
        data->log_file = reader_path(reader, file);
    build_access(reader, log, data);
}

/* Two writers in one file would break the chain of the audit log. */
static void check_log_file(struct reader *reader, const struct config_data *data)
{
    struct place top = {0};
    struct place place = PLACE_KEY(&top, STR("log"));
    struct place at = PLACE_KEY(&place, STR("file"));
    if (str_is_set(data->log_file) && str_eq(data->log_file, data->audit.file))
        reader_error(reader, &at, "is the same file as audit.file; write another one");
}

/* Who can guess it can make session ids of others. */
static void build_session_secret(struct reader *reader, json_t *root, struct config_data *data)
{
    struct place top = {0};
    struct place at = PLACE_KEY(&top, STR("session_secret"));
    data->session_secret = build_optional(reader, root, "session_secret");
    if (data->session_secret.len > 0 && data->session_secret.len < MIN_SECRET_BYTES)
        reader_warn(reader, &at,
                    "is shorter than %d bytes and could be guessed; make one with \"openssl rand "
                    "-hex 32\"",
                    MIN_SECRET_BYTES);
}

static void warn_unused_secret(struct reader *reader, const struct config_data *data)
{
    struct place top = {0};
    struct place at = PLACE_KEY(&top, STR("session_secret"));
    for (size_t i = 0; i < data->n_routes; i++)
        if (data->routes[i].binds_sessions || data->limits.store.on)
            return;
    if (str_is_set(data->session_secret))
        reader_warn(reader, &at, "is of no use: no route has \"sessions\": \"bind\"");
}

static void build_audit(struct reader *reader, json_t *root, struct config_data *data)
{
    const json_t *audit = json_object_get(root, "audit");
    struct str file = reader_member(reader, audit, "file");
    bool is_stdout = str_eq(file, STR("-"));
    if (str_is_set(file) && file.len > 0)
        data->audit.file = is_stdout ? STR("-") : reader_path(reader, file);
    data->audit.fail_open = str_eq(reader_member(reader, audit, "on_error"), STR("continue"));
}

/* Whether there is such a user is asked on the machine that serves. */
static void build_user(struct reader *reader, json_t *root, struct config_data *data)
{
    struct place top = {0};
    struct place at = PLACE_KEY(&top, STR("user"));
    struct str user = build_optional(reader, root, "user");
    struct str rest = user;
    struct str name = {0};
    if (!str_is_set(user))
        return;
    (void)str_split(&rest, ':', &name);
    if (name.len == 0 || (str_is_set(rest) && rest.len == 0) || str_find_char(rest, ':') >= 0)
        reader_error(reader, &at, "must be \"NAME\" or \"NAME:GROUP\"");
    data->user = user;
}

static void build_insecure(struct reader *reader, json_t *root, struct config_data *data)
{
    json_t *switches = json_object_get(root, "insecure");
    struct str *names = reader_alloc(reader, json_object_size(switches), sizeof(*names));
    const char *name;
    json_t *value;
    data->insecure = names;
    data->no_sandbox = json_is_true(json_object_get(switches, "no_sandbox"));
    if (names == NULL)
        return;
    json_object_foreach (switches, name, value)
        if (json_is_true(value))
            names[data->n_insecure++] = reader_keep(reader, str_from_cstr(name));
}

void build_document(struct reader *reader, json_t *root, struct config_data *ret_data)
{
    build_listens(reader, root, ret_data);
    build_times(reader, root, ret_data);
    build_proxies(reader, root, ret_data);
    build_limits(reader, root, ret_data);
    build_log(reader, root, ret_data);
    build_insecure(reader, root, ret_data);
    build_user(reader, root, ret_data);
    build_session_secret(reader, root, ret_data);
    build_audit(reader, root, ret_data);
    check_log_file(reader, ret_data);
    build_tracing(reader, root, ret_data);
    ret_data->workers = reader_number(root, "workers");
    build_issuers(reader, root, ret_data);
    build_routes(reader, root, ret_data);
    warn_unused_secret(reader, ret_data);
    warn_store(reader, ret_data);
    if (!diag_has_errors(reader->diag))
        build_tests(reader, root, ret_data);
}
