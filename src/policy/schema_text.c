/* SPDX-License-Identifier: Apache-2.0 */
/* A row in words, for the key tables of docs/POLICY.md and portcullis-policy(5). */
#include "base/err.h"
#include "policy/schema.h"

static const char *unit_name(enum schema_unit unit)
{
    switch (unit) {
    case UNIT_DURATION:
        return "duration";
    case UNIT_SIZE:
        return "size";
    case UNIT_RATE:
        return "rate";
    case UNIT_ADDRESS:
        return "address";
    case UNIT_CIDR:
        return "network";
    case UNIT_DOMAIN:
        return "domain";
    case UNIT_URL:
        return "URL";
    case UNIT_PATH:
        return "path";
    case UNIT_NAME:
        return "issuer name";
    case UNIT_SCOPE:
        return "scope";
    case UNIT_ORIGIN:
        return "origin";
    case UNIT_CLAIM:
        return "claim";
    case UNIT_ALGORITHM:
        return "algorithm";
    case UNIT_GLOB:
        return "pattern";
    case UNIT_PERMISSION:
        return "permission";
    case UNIT_MODE:
        return "mode";
    case UNIT_PEM:
        return "PEM text";
    case UNIT_TEXT:
    case UNIT_CHOICE:
    case UNIT_ANY:
        return "string";
    }
    return "string";
}

int schema_write_type(const struct schema_row *row, struct buf *out)
{
    const struct {
        unsigned bit;
        const char *before, *name;
    } words[] = {
        {SCHEMA_STRING, "", unit_name(row->unit)},
        {SCHEMA_INTEGER, "", row->unit == UNIT_SIZE ? "bytes" : "number"},
        {SCHEMA_RATIO, "", "0 to 1"},
        {SCHEMA_BOOLEAN, "", "true or false"},
        {SCHEMA_OBJECT, "", "object"},
        {SCHEMA_ARRAY, "", "list"},
        {SCHEMA_STRINGS, "list of ", unit_name(row->unit)},
        {SCHEMA_SCALARS, "", "list of strings, numbers, true or false"},
    };
    const char *sep = "";
    int r = 0;
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(words); i++) {
        if ((row->types & words[i].bit) == 0)
            continue;
        r = buf_printf(out, "%s%s%s%s", sep, words[i].before, words[i].name,
                       words[i].bit == SCHEMA_STRINGS ? "s" : "");
        sep = " or ";
    }
    return r;
}

int schema_write_default(const struct schema_row *row, struct buf *out)
{
    if ((row->flags & SCHEMA_REQUIRED) != 0)
        return buf_append_cstr(out, "required");
    if (row->def != NULL)
        return buf_printf(out, "`%s`", row->def);
    return buf_append_cstr(out, row->def_text != NULL ? row->def_text : "-");
}
