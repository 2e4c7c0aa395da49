/* SPDX-License-Identifier: Apache-2.0 */
/* Response heads that we write ourselves: for streams and for the last word on a connection. */
#include <time.h>

#include "net/server_int.h"

bool reply_add(struct reply *reply, struct str name, struct str value)
{
    if (reply->n_fields == SERVER_REPLY_MAX_FIELDS)
        return false;
    reply->fields[reply->n_fields++] = (struct http1_field){.name = name, .value = value};
    return true;
}

/* IMF-fixdate of RFC 9110 5.6.7, made once per second. */
static struct str date_text(struct server *server)
{
    struct tm tm;
    int64_t now = clock_wall_s(loop_clock(server->loop));
    if (now != server->date_s) {
        time_t seconds = (time_t)now;
        if (gmtime_r(&seconds, &tm) == NULL ||
            strftime(server->date, sizeof(server->date), "%a, %d %b %Y %H:%M:%S GMT", &tm) == 0)
            return (struct str){0};
        server->date_s = now;
    }
    return str_from_cstr(server->date);
}

void server_append_field(struct buf *out, struct str name, struct str value)
{
    (void)buf_append(out, name);
    (void)buf_append(out, STR(": "));
    (void)buf_append(out, value);
    (void)buf_append(out, STR("\r\n"));
}

void server_append_head(struct server *server, struct buf *out, unsigned status,
                        const struct http1_field *fields, size_t n_fields)
{
    const char *phrase = MHD_get_reason_phrase_for(status);
    (void)buf_append(out, STR("HTTP/1.1 "));
    (void)buf_append_u64(out, status);
    (void)buf_append_char(out, ' ');
    (void)buf_append_cstr(out, phrase);
    (void)buf_append(out, STR("\r\n"));
    server_append_field(out, STR("Date"), date_text(server));
    for (size_t i = 0; i < n_fields; i++)
        server_append_field(out, fields[i].name, fields[i].value);
}
