/* SPDX-License-Identifier: Apache-2.0 */
/* Claims that a rule asks for: top-level names, or RFC 6901 pointers into the payload. */
#include "base/err.h"
#include "policy/rules_int.h"

/* Takes the next reference token, still escaped, of a pointer behind its '/'. */
static bool take_token(struct str *pointer, struct str *ret_token)
{
    if (pointer->len == 0)
        return false;
    struct str rest = str_from(*pointer, 1);
    ptrdiff_t slash = str_find_char(rest, '/');
    *ret_token = slash < 0 ? rest : str_head(rest, (size_t)slash);
    *pointer = str_from(*pointer, 1 + ret_token->len);
    return true;
}

/* RFC 6901 4: "~1" is '/', "~0" is '~'. */
static bool is_unescaped(struct str token, struct str key)
{
    size_t k = 0;
    for (size_t i = 0; i < token.len; i++, k++) {
        char c = token.ptr[i];
        if (c == '~' && i + 1 < token.len)
            c = token.ptr[++i] == '1' ? '/' : '~';
        if (k >= key.len || key.ptr[k] != c)
            return false;
    }
    return k == key.len;
}

static const json_t *find_escaped(const json_t *object, struct str token)
{
    const char *key;
    size_t len;
    json_t *value;
    json_object_keylen_foreach ((json_t *)(uintptr_t)object, key, len, value)
        if (is_unescaped(token, str_make(key, len)))
            return value;
    return NULL;
}

static const json_t *find_element(const json_t *array, struct str token)
{
    uint64_t index;
    bool leading_zero = token.len > 1 && token.ptr[0] == '0';
    if (leading_zero || str_to_u64(token, json_array_size(array), &index) < 0)
        return NULL;
    return json_array_get(array, (size_t)index);
}

static const json_t *find_child(const json_t *value, struct str token)
{
    if (json_is_array(value))
        return find_element(value, token);
    if (str_find_char(token, '~') >= 0)
        return find_escaped(value, token);
    return json_object_getn(value, token.ptr, token.len);
}

const json_t *rules_claim_value(const struct rule_claim *claim, const json_t *claims)
{
    struct str name = claim->name;
    struct str token;
    if (!str_has_prefix(name, STR("/")))
        return json_object_getn(claims, name.ptr, name.len);
    while (claims != NULL && take_token(&name, &token))
        claims = find_child(claims, token);
    return claims;
}

/* An integer and a real number that are equal. Below 2^53 a double is exact; from there on it does
 * not tell which integer it was. */
static bool is_same_number(const json_t *a, const json_t *b)
{
    const double exact = 9007199254740992.0;
    double value = json_number_value(a);
    return json_is_number(a) && json_is_number(b) && value == json_number_value(b) &&
           value < exact && value > -exact;
}

static bool is_one_of(const json_t *value, const json_t *values)
{
    for (size_t i = 0; i < json_array_size(values); i++) {
        const json_t *wanted = json_array_get(values, i);
        if (json_equal(value, wanted) || is_same_number(value, wanted))
            return true;
    }
    return false;
}

bool rules_claim_holds(const struct rule_claim *claim, const json_t *claims)
{
    const json_t *value = rules_claim_value(claim, claims);
    if (!json_is_array(value))
        return value != NULL && is_one_of(value, claim->values);
    for (size_t i = 0; i < json_array_size(value); i++)
        if (is_one_of(json_array_get(value, i), claim->values))
            return true;
    return false;
}
