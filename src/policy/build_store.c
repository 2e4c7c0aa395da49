/* SPDX-License-Identifier: Apache-2.0 */
/* limits.store and what belongs to it. */
#include <errno.h>

#include "base/err.h"
#include "policy/build_int.h"
#include "policy/store_url.h"

static struct str keep_decoded(struct reader *reader, struct str text)
{
    CLEANUP(buf_free_wiped) struct buf out = buf_make(STORE_MAX_URL_BYTES);
    if (!str_is_set(text))
        return text;
    if (store_url_decode(text, &out) < 0)
        reader->fault = -ENOMEM;
    return reader_keep(reader, buf_str(&out));
}

void build_store(struct reader *reader, const json_t *limits, const struct place *place,
                 struct store_config *ret_store)
{
    static const struct str modes[] = {
        [STORE_ERROR_LOCAL] = STR_INIT("local"),
        [STORE_ERROR_ALLOW] = STR_INIT("allow"),
        [STORE_ERROR_REFUSE] = STR_INIT("refuse"),
    };
    struct str text = reader_member(reader, limits, "store");
    struct str mode = reader_member(reader, limits, "store_on_error");
    struct place at = PLACE_KEY(place, STR("store"));
    struct store_url url;
    ret_store->timeout_ms = reader_duration_ms(reader, limits, "store_timeout");
    for (size_t i = 0; i < ARRAY_LEN(modes); i++)
        if (str_eq(mode, modes[i]))
            ret_store->on_error = (enum store_on_error)i;
    if (!str_is_set(text) || text.len == 0)
        return;
    const char *fault = store_url_parse(text, &url);
    if (fault != NULL) { /* not quoted: a password may be in it */
        reader_error(reader, &at, "%s", fault);
        return;
    }
    ret_store->on = true;
    ret_store->path = str_is_set(url.path) ? reader_keep(reader, url.path) : url.path;
    ret_store->host = str_is_set(url.host) ? reader_keep(reader, url.host) : url.host;
    ret_store->port = url.port;
    ret_store->db = url.db;
    ret_store->user = keep_decoded(reader, url.user);
    ret_store->password = keep_decoded(reader, url.password);
}

bool store_config_eq(const struct store_config *a, const struct store_config *b)
{
    return a->on == b->on && str_eq(a->path, b->path) && str_eq(a->host, b->host) &&
           a->port == b->port && a->db == b->db && str_eq(a->user, b->user) &&
           str_eq(a->password, b->password) && a->timeout_ms == b->timeout_ms;
}

void warn_store(struct reader *reader, const struct config_data *data)
{
    struct place top = {0};
    struct place place = PLACE_KEY(&top, STR("limits"));
    struct place at = PLACE_KEY(&place, STR("store"));
    bool counts = false;
    if (!data->limits.store.on)
        return;
    for (size_t i = 0; i < data->n_routes; i++)
        counts = counts || data->routes[i].limits.subject_rate.interval_ns != 0 ||
                 data->routes[i].limits.ip_rate.interval_ns != 0;
    if (!counts)
        reader_warn(reader, &at, "is of no use: no route has a rate");
    else if (!str_is_set(data->session_secret))
        reader_warn(reader, &at,
                    "holds keys that whoever can read it could guess subjects and addresses from; "
                    "set session_secret, the same for all replicas");
}
