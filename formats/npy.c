/* npy.c - see npy.h. */
#include "formats/npy.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

/* magic, version, length of the header; the data begins at a multiple of 64 */
enum { FRONT = 10, ALIGN = 64 };
static const char magic[] = "\x93NUMPY\x01"; /* and a NUL: version 1.0 */

/* ---- the header: a dictionary as Python spells it ---- */

typedef struct cursor {
    const char *at, *end;
} cursor;

typedef struct npy_header {
    bool has_descr, has_order, has_shape;
    gm_npy_front front;
} npy_header;

static void skip_blanks(cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n')) c->at++;
}

/* Take `text` after blanks; false when something else stands there. */
static bool take(cursor *c, const char *text)
{
    size_t n = strlen(text);
    skip_blanks(c);
    if ((size_t)(c->end - c->at) < n || memcmp(c->at, text, n) != 0) return false;
    c->at += n;
    return true;
}

/* Take a quoted string without escapes into out, NUL-terminated. */
static bool take_string(cursor *c, char out[16])
{
    skip_blanks(c);
    if (c->at == c->end || (*c->at != '\'' && *c->at != '"')) return false;
    const char quote = *c->at++, *close = memchr(c->at, quote, (size_t)(c->end - c->at));
    if (close == NULL || close - c->at > 15 || memchr(c->at, '\\', (size_t)(close - c->at)))
        return false;
    size_t n = (size_t)(close - c->at);
    memcpy(out, c->at, n);
    out[n] = '\0';
    c->at = close + 1;
    return true;
}

/* Take a whole number of at most nine digits. */
static bool take_number(cursor *c, size_t *out)
{
    int n_digits = 0;
    skip_blanks(c);
    for (*out = 0; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++) {
        if (++n_digits > 9) return false;
        *out = *out * 10 + (size_t)(*c->at - '0');
    }
    return n_digits > 0;
}

/* "(2, 3)", a comma after the last allowed; how many numbers are in *rank. */
static bool take_shape(cursor *c, size_t dim[GM_NPY_MAX_RANK], size_t *rank)
{
    size_t value;
    *rank = 0;
    if (!take(c, "(")) return false;
    while (!take(c, ")")) {
        if (!take_number(c, &value)) return false;
        if (*rank < GM_NPY_MAX_RANK) dim[*rank] = value;
        ++*rank;
        if (take(c, ",")) continue;
        return take(c, ")");
    }
    return true;
}

static gm_status unreadable(const char *path, gm_error *err)
{
    return gm_fail(err, GM_EFORMAT, "'%s': the header is not one of NumPy's format 1.0", path);
}

static gm_status take_entry(cursor *c, npy_header *h, const char *path, gm_error *err)
{
    char key[16];
    if (!take_string(c, key) || !take(c, ":")) return unreadable(path, err);
    if (strcmp(key, "descr") == 0 && !h->has_descr) {
        h->has_descr = true;
        if (take(c, "["))
            return gm_fail(err, GM_EFORMAT,
                           "'%s' holds records of several fields, expected numbers (array['NAME'])",
                           path);
        if (!take_string(c, h->front.type)) return unreadable(path, err);
    } else if (strcmp(key, "fortran_order") == 0 && !h->has_order) {
        h->has_order = true;
        h->front.by_column = take(c, "True");
        if (!h->front.by_column && !take(c, "False")) return unreadable(path, err);
    } else if (strcmp(key, "shape") == 0 && !h->has_shape) {
        h->has_shape = true;
        if (!take_shape(c, h->front.dim, &h->front.rank)) return unreadable(path, err);
    } else {
        return unreadable(path, err);
    }
    return GM_OK;
}

static gm_status take_header(cursor *c, npy_header *h, const char *path, gm_error *err)
{
    gm_status status = GM_OK;
    *h = (npy_header){0};
    if (c->end == c->at || c->end[-1] != '\n' || !take(c, "{")) return unreadable(path, err);
    while (!take(c, "}")) {
        GM_TRY(take_entry(c, h, path, err));
        if (take(c, ",")) continue;
        if (!take(c, "}")) return unreadable(path, err);
        break;
    }
    skip_blanks(c);
    if (c->at != c->end || !h->has_descr || !h->has_order || !h->has_shape)
        status = unreadable(path, err);
out:
    return status;
}

gm_status gm_npy_read_front(gm_npy_front *out, const char *bytes, size_t n, const char *path,
                            gm_error *err)
{
    gm_status status = GM_OK;
    npy_header h;
    *out = (gm_npy_front){0};
    if (n < FRONT || memcmp(bytes, magic, 6) != 0)
        GM_FAIL(GM_EFORMAT, "'%s' is not a .npy file", path);
    if (memcmp(bytes, magic, 8) != 0)
        GM_FAIL(GM_EFORMAT, "'%s' has NumPy's format %d.%d, expected 1.0", path,
                (unsigned char)bytes[6], (unsigned char)bytes[7]);
    size_t length = (size_t)(unsigned char)bytes[8] | (size_t)(unsigned char)bytes[9] << 8;
    if (n - FRONT < length) GM_FAIL(GM_EFORMAT, "'%s' ends within its header", path);
    cursor c = {bytes + FRONT, bytes + FRONT + length};
    GM_TRY(take_header(&c, &h, path, err));
    *out = h.front;
    out->first = FRONT + length;
out:
    return status;
}

/* ---- written ---- */

gm_status gm_npy_put_front(gm_text *out, const char *descr, const uint64_t *dim, int rank,
                           gm_error *err)
{
    assert(rank >= 1 && rank <= GM_NPY_MAX_RANK);
    gm_status status = GM_OK;
    gm_text header = {0};
    GM_TRY(
        gm_text_printf(&header, err, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr));
    for (int r = 0; r < rank; r++)
        GM_TRY(gm_text_printf(&header, err, r > 0 ? ", %" PRIu64 : "%" PRIu64, dim[r]));
    GM_TRY(gm_text_add(&header, rank == 1 ? ",), }" : "), }", err));
    while ((FRONT + header.n + 1) % ALIGN != 0) GM_TRY(gm_text_add(&header, " ", err));
    GM_TRY(gm_text_add(&header, "\n", err));
    const char length[2] = {(char)(header.n & 0xFF), (char)(header.n >> 8)};
    GM_TRY(gm_text_append(out, magic, sizeof magic, err));
    GM_TRY(gm_text_append(out, length, sizeof length, err));
    GM_TRY(gm_text_append(out, header.at, header.n, err));
out:
    gm_text_clear(&header);
    return status;
}
