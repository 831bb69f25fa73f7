/* number.c - numbers read whole, and shown as people write them. */
#include "base/text.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* strtoll and friends skip leading space and take a plus sign; we do not. */
static bool starts_number(const char *text)
{
    return isdigit((unsigned char)text[0]) || (text[0] == '-' && text[1] != '\0');
}

bool gm_parse_i64(const char *text, int64_t *out)
{
    char *end;
    if (!starts_number(text)) return false;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0') return false;
    *out = value;
    return true;
}

bool gm_parse_u64(const char *text, uint64_t *out)
{
    char *end;
    if (!isdigit((unsigned char)text[0])) return false; /* strtoull would take "-1" */
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno != 0 || *end != '\0') return false;
    *out = value;
    return true;
}

bool gm_parse_f64(const char *text, double *out)
{
    char *end;
    const char *digits = text + (text[0] == '-' || text[0] == '+');
    bool word = strcmp(digits, "nan") == 0 || strcmp(digits, "inf") == 0;
    if (!word && strspn(digits, "0123456789.eE+-") != strlen(digits)) return false;
    if (!word && !isdigit((unsigned char)digits[0]) && digits[0] != '.') return false;
    double value = strtod(text, &end);
    if (end == text || *end != '\0') return false;
    if (!word && isinf(value)) return false; /* "1e999" does not fit */
    *out = value;
    return true;
}

/* text[0..n) as a string; false: it does not fit. */
static bool copy_number(char copy[GM_NUMBER_BYTES + 1], const char *text, size_t n)
{
    if (n > GM_NUMBER_BYTES) return false;
    memcpy(copy, text, n);
    copy[n] = '\0';
    return true;
}

bool gm_parse_i64_n(const char *text, size_t n, int64_t *out)
{
    char copy[GM_NUMBER_BYTES + 1];
    return copy_number(copy, text, n) && gm_parse_i64(copy, out);
}

bool gm_parse_f64_n(const char *text, size_t n, double *out)
{
    char copy[GM_NUMBER_BYTES + 1];
    return copy_number(copy, text, n) && gm_parse_f64(copy, out);
}

int gm_hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

int gm_ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int gm_ascending_u32(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

int gm_ascending_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* value / 1000^k with its prefix; three digits where there is a fraction. */
static const char *show_scaled(char buf[24], double value, const char *const unit[], int n_units)
{
    int k = 0;
    while (k + 1 < n_units && fabs(value) >= 999.5) value /= 1000, k++;
    bool fraction = k > 0 && fabs(value) < 99.95;
    (void)snprintf(buf, 24, "%.*f%s", fraction ? 1 : 0, value, unit[k]);
    return buf;
}

const char *gm_show_bytes(char buf[24], double bytes)
{
    static const char *const unit[] = {" B", " kB", " MB", " GB", " TB", " PB"};
    return show_scaled(buf, bytes, unit, 6);
}

const char *gm_show_count(char buf[24], double count)
{
    static const char *const unit[] = {"", " k", " M", " G", " T"};
    return show_scaled(buf, count, unit, 5);
}

const char *gm_show_seconds(char buf[24], double seconds)
{
    if (!(seconds >= 0 && seconds < 1e9)) {
        (void)snprintf(buf, 24, "?");
    } else if (seconds < 9.95) {
        (void)snprintf(buf, 24, "%.1f s", seconds);
    } else if (seconds < 59.5) {
        (void)snprintf(buf, 24, "%.0f s", seconds);
    } else {
        long s = lround(seconds);
        if (s < 3600)
            (void)snprintf(buf, 24, "%ld:%02ld", s / 60, s % 60);
        else
            (void)snprintf(buf, 24, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    }
    return buf;
}

const char *gm_plural(uint64_t n)
{
    return n == 1 ? "" : "s";
}

const char *gm_show_exact(char buf[32], double value)
{
    for (int precision = 15; precision <= 17; precision++) { /* 17 always reads back */
        (void)snprintf(buf, 32, "%.*g", precision, value);
        if (strtod(buf, NULL) == value) break;
    }
    return buf;
}
