/* SPDX-License-Identifier: Apache-2.0 */
/* "auth0": "DOMAIN" is short for an issuer named auth0: issuer https://DOMAIN/ (the slash at the
 * end is part of it) and its keys at https://DOMAIN/.well-known/jwks.json. */
#include <errno.h>

#include "base/err.h"
#include "policy/reader_int.h"
#include "policy/value_int.h"

/* "https://DOMAIN" PATH, with the domain as written in the file, references and all. */
static json_t *url_of(struct reader *reader, const json_t *domain, const char *path,
                      const struct place *place)
{
    json_t *url = json_sprintf("https://%s%s", json_string_value(domain), path);
    if (url == NULL)
        reader->fault = -ENOMEM;
    else
        refs_resolve_value(reader, url, place);
    return url;
}

void expand_auth0(struct reader *reader, json_t *root)
{
    json_t *issuers = json_object_get(root, "issuers");
    const json_t *domain = json_object_get(root, "auth0");
    struct place top = {0};
    struct place at = PLACE_KEY(&top, STR("auth0"));
    if (json_is_object(domain))
        domain = json_object_get(domain, "domain");
    if (!json_is_string(domain) || !json_is_object(issuers) ||
        !value_is_domain(reader_text(reader, domain)))
        return; /* reported */
    if (json_object_get(issuers, "auth0") != NULL) {
        reader_error(reader, &at,
                     "is short for an issuer named auth0, and \"issuers\" has one of that name "
                     "too; keep one of them");
        return;
    }
    json_t *issuer = url_of(reader, domain, "/", &at);
    json_t *jwks_uri = url_of(reader, domain, "/.well-known/jwks.json", &at);
    if (json_object_set_new(issuers, "auth0",
                            json_pack("{s:o, s:o}", "issuer", issuer, "jwks_uri", jwks_uri)) < 0)
        reader->fault = -ENOMEM;
}
