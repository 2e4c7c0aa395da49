/* SPDX-License-Identifier: Apache-2.0 */
/* Where to listen, and with which certificates. */
#include <errno.h>
#include <time.h>

#include "base/err.h"
#include "base/secret.h"
#include "policy/build_int.h"
#include "policy/value_int.h"
#include "proto/tls.h"

#define DATE_LEN 32

static bool same_address(const struct listen_address *a, const struct listen_address *b)
{
    if (str_is_set(a->fd_name) || str_is_set(b->fd_name))
        return str_is_set(a->fd_name) && str_is_set(b->fd_name) && str_eq(a->fd_name, b->fd_name);
    return a->addr_len == b->addr_len && memcmp(&a->addr, &b->addr, a->addr_len) == 0;
}

static bool is_taken(const struct config_data *data, const struct listen_address *address)
{
    for (size_t i = 0; i < data->n_listens; i++)
        if (same_address(&data->listens[i], address))
            return true;
    return false;
}

/* False when the text is no address, which is reported. */
static bool read_address(struct reader *reader, const json_t *value, struct listen_address *address)
{
    struct str text = reader_text(reader, value);
    if (!str_is_set(text) || value_address(text, address) != ADDRESS_OK)
        return false;
    address->text = reader_keep(reader, text);
    if (str_is_set(address->fd_name))
        address->fd_name = str_from(address->text, text.len - address->fd_name.len);
    return true;
}

/* ---- TLS ---- */

static void print_date(int64_t seconds, char ret_text[DATE_LEN])
{
    time_t time = (time_t)seconds;
    struct tm tm;
    if (gmtime_r(&time, &tm) == NULL ||
        strftime(ret_text, DATE_LEN, "%Y-%m-%d %H:%M UTC", &tm) == 0)
        ret_text[0] = '\0';
}

/* Clients refuse it, but the gate may have other addresses, and the clock may be wrong. */
static void warn_of_dates(struct reader *reader, const struct place *at_tls,
                          const struct tls_context *tls)
{
    struct place at = PLACE_KEY(at_tls, STR("certificate"));
    struct tls_validity validity = tls_context_validity(tls);
    int64_t now = reader->sources->now_s;
    char date[DATE_LEN];
    if (now == 0)
        return;
    print_date(now < validity.from_s ? validity.from_s : validity.until_s, date);
    if (now < validity.from_s)
        reader_warn(reader, &at, "a certificate in it is not valid before %s", date);
    else if (now > validity.until_s)
        reader_warn(reader, &at, "a certificate in it has expired, at %s", date);
}

static void report_fault(struct reader *reader, json_t *object, const struct place *at_tls,
                         const struct tls_fault *fault)
{
    static const char *const keys[] = {
        [TLS_CERTIFICATE] = "certificate", [TLS_KEY] = "key", [TLS_CLIENT_CA] = "client_ca"};
    const char *key = keys[fault->part];
    struct place at = PLACE_KEY(at_tls, str_from_cstr(key));
    reader_error(reader, &at, "%s %s", reader_quote(reader, json_object_get(object, key)),
                 fault->text);
}

static struct tls_context *make_context(struct reader *reader, json_t *object,
                                        const struct place *at_tls,
                                        const struct tls_material *material)
{
    struct tls_context *tls = NULL;
    struct tls_fault fault;
    int r = tls_context_new(material, &tls, &fault);
    if (r == -EINVAL)
        report_fault(reader, object, at_tls, &fault);
    else if (r < 0)
        reader->fault = r;
    else
        warn_of_dates(reader, at_tls, tls);
    return tls;
}

static struct str content_of(struct str path, const struct buf *content)
{
    return str_is_set(path) ? buf_str(content) : path;
}

static struct tls_context *read_tls(struct reader *reader, json_t *object,
                                    const struct place *at_tls)
{
    CLEANUP(buf_free) struct buf certificate = {0};
    CLEANUP(buf_free) struct buf key = {0};
    CLEANUP(buf_free) struct buf client_ca = {0};
    bool wants_ca = json_is_string(json_object_get(object, "client_ca"));
    struct tls_context *tls = NULL;
    struct str at_certificate = build_pem_file(reader, object, "certificate", at_tls, &certificate);
    struct str at_key = build_pem_file(reader, object, "key", at_tls, &key);
    struct str at_ca = build_pem_file(reader, object, "client_ca", at_tls, &client_ca);
    if (str_is_set(at_certificate) && str_is_set(at_key) && (str_is_set(at_ca) || !wants_ca))
        tls = make_context(reader, object, at_tls,
                           &(struct tls_material){.certificate = buf_str(&certificate),
                                                  .key = buf_str(&key),
                                                  .client_ca = content_of(at_ca, &client_ca)});
    secret_wipe(certificate.ptr, certificate.len); /* a key may be in it, too */
    secret_wipe(key.ptr, key.len);
    return tls;
}

/* ---- addresses ---- */

static void read_mode(struct reader *reader, json_t *object, const struct place *place,
                      struct listen_address *address)
{
    struct place at = PLACE_KEY(place, STR("mode"));
    struct str text = reader_member(reader, object, "mode");
    address->has_mode = str_is_set(text) && value_mode(text, &address->mode) == 0;
    if (address->has_mode && address->addr.ss_family != AF_UNIX)
        reader_error(reader, &at, "is of no use here: only a unix socket is a file");
}

static void add_listen(struct reader *reader, json_t *value, const struct place *place,
                       struct listen_address *listens, struct config_data *data)
{
    struct listen_address *address = &listens[data->n_listens];
    struct place at_tls = PLACE_KEY(place, STR("tls"));
    json_t *tls = json_object_get(value, "tls");
    struct tls_context *context = json_is_object(tls) ? read_tls(reader, tls, &at_tls) : NULL;
    if (!read_address(reader, json_is_object(value) ? json_object_get(value, "address") : value,
                      address)) {
        (void)tls_context_unref(context);
        return;
    }
    address->tls = context;
    read_mode(reader, value, place, address);
    if (is_taken(data, address))
        reader_error(reader, place, "this address is listed twice");
    data->n_listens++;
}

static void build_admin(struct reader *reader, json_t *root, struct config_data *data)
{
    struct place top = {0};
    struct place at = PLACE_KEY(&top, STR("admin"));
    const json_t *value = json_object_get(root, "admin");
    data->has_admin = read_address(reader, value, &data->admin);
    if (data->has_admin && is_taken(data, &data->admin))
        reader_error(reader, &at,
                     "the admin address is the same address as \"listen\", so that clients would "
                     "reach the admin pages; write another one, or null for none");
}

void build_listens(struct reader *reader, json_t *root, struct config_data *data)
{
    json_t *value = json_object_get(root, "listen");
    size_t count = json_is_array(value) ? json_array_size(value) : 1;
    struct place top = {0};
    struct place place = PLACE_KEY(&top, STR("listen"));
    struct listen_address *listens = reader_alloc(reader, count, sizeof(*listens));
    data->listens = listens;
    if (listens == NULL)
        return;
    if (!json_is_array(value))
        add_listen(reader, value, &place, listens, data);
    for (size_t i = 0; i < json_array_size(value); i++) {
        struct place at = PLACE_AT(&place, i);
        add_listen(reader, json_array_get(value, i), &at, listens, data);
    }
    build_admin(reader, root, data);
}
