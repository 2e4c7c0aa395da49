/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/keyset.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/json.h"

#define KEYSET_MAX_DEPTH 8

struct keyset {
    atomic_uint refs;
    int64_t loaded_mono_ms;
    size_t n_keys;
    struct jwk keys[KEYSET_MAX_KEYS];
    bool ambiguous[KEYSET_MAX_KEYS]; /* while parsing: another key has the same kid */
};

static void skip_key(struct keyset_report *report, const char *reason)
{
    report->skipped++;
    if (report->first_skip_reason == NULL)
        report->first_skip_reason = reason;
}

/* Marks every key whose kid is not its own: which one signed cannot be told, so neither counts. */
static void mark_ambiguous(struct keyset *keyset)
{
    for (size_t i = 0; i < keyset->n_keys; i++)
        for (size_t j = 0; j < keyset->n_keys; j++)
            if (i != j && str_eq(keyset->keys[i].kid, keyset->keys[j].kid))
                keyset->ambiguous[i] = true;
}

static void drop_ambiguous(struct keyset *keyset, struct keyset_report *report)
{
    size_t kept = 0;
    mark_ambiguous(keyset);
    for (size_t i = 0; i < keyset->n_keys; i++) {
        if (keyset->ambiguous[i]) {
            jwk_clear(&keyset->keys[i]);
            skip_key(report, "has the same kid as another key");
        } else {
            keyset->keys[kept++] = keyset->keys[i];
        }
    }
    keyset->n_keys = kept;
}

static int add_keys(struct keyset *keyset, const json_t *keys, const struct str *algorithms,
                    size_t n_algorithms, struct keyset_report *report)
{
    for (size_t i = 0; i < json_array_size(keys); i++) {
        enum jwk_rc rc = jwk_parse(json_array_get(keys, i), algorithms, n_algorithms,
                                   &keyset->keys[keyset->n_keys]);
        if (rc == JWK_NO_MEMORY)
            return -ENOMEM;
        if (rc == JWK_OK)
            keyset->n_keys++;
        else
            skip_key(report, jwk_rc_text(rc));
    }
    drop_ambiguous(keyset, report);
    return keyset->n_keys > 0 ? 0 : -ENOKEY;
}

static struct keyset *keyset_new(int64_t loaded_mono_ms)
{
    struct keyset *keyset = calloc(1, sizeof(*keyset));
    if (keyset == NULL)
        return NULL;
    atomic_init(&keyset->refs, 1);
    keyset->loaded_mono_ms = loaded_mono_ms;
    return keyset;
}

int keyset_parse(struct str document, const struct str *algorithms, size_t n_algorithms,
                 int64_t loaded_mono_ms, struct keyset_report *ret_report,
                 struct keyset **ret_keyset)
{
    const struct json_limits limits = {KEYSET_MAX_BYTES, KEYSET_MAX_DEPTH};
    struct keyset_report report = {0};
    CLEANUP(json_unref) json_t *root = NULL;
    enum json_rc rc = json_parse(document, limits, &root, NULL);
    if (rc != JSON_RC_OK)
        return rc == JSON_RC_NO_MEMORY ? -ENOMEM : -EINVAL;
    const json_t *keys = json_object_get(root, "keys");
    if (!json_is_array(keys) || json_array_size(keys) > KEYSET_MAX_KEYS)
        return -EINVAL;
    struct keyset *keyset = keyset_new(loaded_mono_ms);
    if (keyset == NULL)
        return -ENOMEM;
    int r = add_keys(keyset, keys, algorithms, n_algorithms, &report);
    report.usable = (unsigned)keyset->n_keys;
    if (r != -ENOMEM)
        *ret_report = report;
    if (r < 0) {
        keyset_unref(keyset);
        return r;
    }
    *ret_keyset = keyset;
    return 0;
}

struct keyset *keyset_ref(struct keyset *keyset)
{
    (void)atomic_fetch_add_explicit(&keyset->refs, 1, memory_order_relaxed);
    return keyset;
}

struct keyset *keyset_unref(struct keyset *keyset)
{
    /* Release, so that what other threads read is done; acquire, before the last one frees it. */
    if (keyset == NULL || atomic_fetch_sub_explicit(&keyset->refs, 1, memory_order_acq_rel) > 1)
        return NULL;
    for (size_t i = 0; i < keyset->n_keys; i++)
        jwk_clear(&keyset->keys[i]);
    free(keyset);
    return NULL;
}

const struct jwk *keyset_find(const struct keyset *keyset, struct str kid)
{
    for (size_t i = 0; i < keyset->n_keys; i++)
        if (str_eq(keyset->keys[i].kid, kid))
            return &keyset->keys[i];
    return NULL;
}

size_t keyset_count(const struct keyset *keyset)
{
    return keyset->n_keys;
}

int64_t keyset_loaded_mono_ms(const struct keyset *keyset)
{
    return keyset->loaded_mono_ms;
}

bool keyset_contains(const struct keyset *keyset, struct str kid,
                     const uint8_t thumbprint[JWK_THUMBPRINT_LEN])
{
    const struct jwk *key = keyset != NULL ? keyset_find(keyset, kid) : NULL;
    return key != NULL && memcmp(key->thumbprint, thumbprint, JWK_THUMBPRINT_LEN) == 0;
}
