/* SPDX-License-Identifier: Apache-2.0 */
/* What `portcullis explain` is given: files, a credential, a moment. */
#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "base/secret.h"
#include "cli/explain_int.h"

#define SCHEME "Bearer "
#define LAST_RFC3339_S 253402300799 /* 9999-12-31T23:59:59Z */

/* ---- files ---- */

/* Room for everything is made at once, so that no copy of a secret stays behind in freed memory. */
static int read_all(int fd, size_t max_bytes, struct buf *out)
{
    const size_t end = out->len + max_bytes;
    int r = buf_reserve(out, max_bytes + 1);
    while (r == 0) {
        ssize_t n = read(fd, out->ptr + out->len, end + 1 - out->len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return 0;
        out->len += (size_t)n;
        if (out->len > end)
            return -EFBIG;
    }
    return r;
}

int explain_read_file(const char *path, size_t max_bytes, struct buf *out)
{
    if (strcmp(path, "-") == 0)
        return read_all(STDIN_FILENO, max_bytes, out);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return -errno;
    int r = read_all(fd, max_bytes, out);
    (void)close(fd);
    return r;
}

/* ---- the credential ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct str without_blanks(struct str s)
{
    while (s.len > 0 && is_blank(s.ptr[0]))
        s = str_from(s, 1);
    while (s.len > 0 && is_blank(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

/* The head of a request cannot hold it (RFC 9110 5.5), so there is no answer to foretell. */
static bool has_control(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (((unsigned char)s.ptr[i] < 0x20 && s.ptr[i] != '\t') || s.ptr[i] == 0x7f)
            return true;
    return false;
}

int explain_read_token(const char *path, size_t max_bytes, struct explain_credential *ret)
{
    /* The scheme stands in front of what is read: there is room for it in any case. */
    struct buf *value = &ret->value;
    *value = buf_make(max_bytes + sizeof(SCHEME));
    int r = buf_append(value, STR(SCHEME));
    if (r == 0)
        r = explain_read_file(path, max_bytes, value);
    if (r < 0)
        return r;
    struct str content = without_blanks(str_from(buf_str(value), sizeof(SCHEME) - 1));
    if (content.len == 0)
        return -ENODATA;
    if (has_control(content))
        return -EILSEQ;
    ret->rc = bearer_parse(content, &ret->token);
    if (ret->rc != BEARER_OTHER_SCHEME)
        return 0;
    /* Only a token: the scheme comes right before it, over blanks or over itself. */
    const size_t start = (size_t)(content.ptr - value->ptr) - (sizeof(SCHEME) - 1);
    memcpy(value->ptr + start, SCHEME, sizeof(SCHEME) - 1);
    ret->rc =
        bearer_parse(str_make(value->ptr + start, content.len + sizeof(SCHEME) - 1), &ret->token);
    return 0;
}

void explain_credential_wipe(struct explain_credential *credential)
{
    secret_wipe(credential->value.ptr, credential->value.cap);
    buf_free(&credential->value);
}

/* ---- the moment ---- */

/* Takes a number of exactly DIGITS digits, from MIN to MAX, and the byte behind it (0: none). */
static bool take_number(struct str *rest, size_t digits, char behind, int *ret_value)
{
    uint64_t value;
    if (rest->len < digits || str_to_u64(str_head(*rest, digits), INT32_MAX, &value) < 0)
        return false;
    *rest = str_from(*rest, digits);
    if (behind != '\0') {
        if (rest->len == 0 || ascii_lower(rest->ptr[0]) != behind)
            return false;
        *rest = str_from(*rest, 1);
    }
    *ret_value = (int)value;
    return true;
}

/* "Z", "+02:00" (RFC 3339 5.6), a fraction of the second before it is not looked at. */
static bool take_offset(struct str rest, int *ret_offset_s)
{
    int hours;
    int minutes;
    if (rest.len > 1 && rest.ptr[0] == '.' && ascii_is_digit(rest.ptr[1])) {
        rest = str_from(rest, 1);
        while (rest.len > 0 && ascii_is_digit(rest.ptr[0]))
            rest = str_from(rest, 1);
    }
    *ret_offset_s = 0;
    if (str_eq_nocase(rest, STR("Z")))
        return true;
    if (rest.len != 6 || (rest.ptr[0] != '+' && rest.ptr[0] != '-'))
        return false;
    const int sign = rest.ptr[0] == '-' ? -1 : 1;
    rest = str_from(rest, 1);
    if (!take_number(&rest, 2, ':', &hours) || !take_number(&rest, 2, '\0', &minutes) ||
        hours > 23 || minutes > 59)
        return false;
    *ret_offset_s = sign * (hours * 3600 + minutes * 60);
    return true;
}

static bool is_in_calendar(const struct tm *tm, const struct tm *normal)
{
    return tm->tm_year == normal->tm_year && tm->tm_mon == normal->tm_mon &&
           tm->tm_mday == normal->tm_mday && tm->tm_hour == normal->tm_hour &&
           tm->tm_min == normal->tm_min && tm->tm_sec == normal->tm_sec;
}

int explain_read_time(struct str text, int64_t *ret_s)
{
    uint64_t seconds;
    struct tm tm = {0};
    int offset_s;
    if (str_to_u64(text, LAST_RFC3339_S, &seconds) == 0) {
        *ret_s = (int64_t)seconds;
        return 0;
    }
    struct str rest = text;
    if (!take_number(&rest, 4, '-', &tm.tm_year) || !take_number(&rest, 2, '-', &tm.tm_mon) ||
        !take_number(&rest, 2, 't', &tm.tm_mday) || !take_number(&rest, 2, ':', &tm.tm_hour) ||
        !take_number(&rest, 2, ':', &tm.tm_min) || !take_number(&rest, 2, '\0', &tm.tm_sec) ||
        !take_offset(rest, &offset_s))
        return -EINVAL;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    /* timegm() makes the 2nd of March of the 30th of February. */
    struct tm normal = tm;
    time_t utc = timegm(&normal);
    if (!is_in_calendar(&tm, &normal))
        return -EINVAL;
    *ret_s = (int64_t)utc - offset_s;
    return 0;
}

void explain_append_time(int64_t seconds, struct buf *out)
{
    char text[sizeof("9999-12-31T23:59:59Z")];
    struct tm tm;
    const time_t time = (time_t)seconds;
    if (seconds < 0 || seconds > LAST_RFC3339_S || gmtime_r(&time, &tm) == NULL ||
        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        (void)buf_printf(out, "%lld", (long long)seconds);
    else
        (void)buf_append_cstr(out, text);
}
