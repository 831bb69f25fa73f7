/* json.c - reading JSON: the checked text becomes a cJSON tree.
 *
 * json_scan.c has refused everything that is not JSON, so cJSON can fail for
 * lack of memory only. Fields of cJSON that its parser leaves free hold what it
 * has no place for:
 *
 *   valuedouble  of a string: its length, since it may hold NUL
 *   valuestring  of a number: its digits, when a double may not hold them
 *   valueint     of anything: the length of its key
 */
#include "base/json.h"

#include "base/folder.h"
#include "base/json_scan.h"

#include <cjson/cJSON.h>

#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* cJSON tells a short memory and a wrong text alike, by NULL; this tells them apart. */
static _Thread_local bool memory_was_short;

static void *cjson_alloc(size_t n)
{
    void *block = gm_alloc_small(n);
    if (block == NULL) memory_was_short = true;
    return block;
}

static void install_hooks(void)
{
    cJSON_InitHooks(&(cJSON_Hooks){.malloc_fn = cjson_alloc, .free_fn = gm_free});
}

/* Put NUL back where GM_JSON_NUL (0xFF) stands for it; returns the length. */
static size_t restore_text(char *text)
{
    size_t n = strlen(text);
    for (char *at = text; (at = memchr(at, 0xFF, n - (size_t)(at - text))) != NULL; at++)
        *at = '\0';
    return n;
}

/* Set the value's fields to what the head of this file says. */
static gm_status restore_value(cJSON *value, const char *where, gm_error *err)
{
    value->valueint = value->string ? (int)restore_text(value->string) : 0;

    if (value->type == cJSON_String && value->valuestring[0] == GM_JSON_DIGITS) {
        char *digits = value->valuestring;
        memmove(digits, digits + 1, strlen(digits));
        value->valuedouble = strtod(digits, NULL);
        value->type = cJSON_Number;
    } else if (value->type == cJSON_String) {
        value->valuedouble = (double)restore_text(value->valuestring);
    }
    if (value->type == cJSON_Number && !isfinite(value->valuedouble))
        return gm_fail(err, GM_EFORMAT, "'%s': number of '%s' is too large for a double", where,
                       value->string ? value->string : "an array");
    return GM_OK;
}

/* ---- duplicate keys ---- */

static int compare_keys(const void *a, const void *b)
{
    const cJSON *p = *(const cJSON *const *)a, *q = *(const cJSON *const *)b;
    if (p->valueint != q->valueint) return p->valueint < q->valueint ? -1 : 1;
    return memcmp(p->string, q->string, (size_t)p->valueint);
}

/* Refuse an object with two equal keys. A vocabulary has 150,000 of them, so
 * they are sorted; a corpus line has three, so those are compared in place. */
static gm_status check_keys(const cJSON *object, const char *where, gm_error *err)
{
    enum { FEW = 16 };
    gm_status status = GM_OK;
    const cJSON *few[FEW], **member = few;
    size_t n = gm_json_n_items(object), i = 0;

    if (n > FEW) {
        member = gm_alloc(n, sizeof *member);
        if (member == NULL) return gm_fail(err, GM_EMEM, "no memory to check %zu JSON keys", n);
    }
    for (const cJSON *at = object->child; at != NULL; at = at->next) member[i++] = at;
    qsort(member, n, sizeof *member, compare_keys);
    for (i = 1; i < n; i++)
        if (compare_keys(&member[i - 1], &member[i]) == 0)
            GM_FAIL(GM_EFORMAT, "'%s': key '%s' appears twice in one object", where,
                    member[i]->string);
out:
    if (member != few) gm_free(member);
    return status;
}

static gm_status restore_tree(cJSON *value, const char *where, gm_error *err)
{
    gm_status status = GM_OK;
    for (cJSON *at = value; at != NULL; at = at->next) {
        GM_TRY(restore_value(at, where, err));
        if (at->child != NULL) GM_TRY(restore_tree(at->child, where, err));
        if (at->type == cJSON_Object) GM_TRY(check_keys(at, where, err));
    }
out:
    return status;
}

/* ---- documents ---- */

static gm_status parse(gm_json **out, const char *bytes, size_t n, bool infinity, const char *where,
                       gm_error *err)
{
    static pthread_once_t hooks = PTHREAD_ONCE_INIT;
    gm_status status = GM_OK;
    gm_text copy = {0};
    cJSON *root = NULL;
    *out = NULL;

    if (n > INT_MAX)
        GM_FAIL(GM_EFORMAT, "'%s': %zu bytes of JSON, expected at most %d", where, n, INT_MAX);
    if (n >= 3 && memcmp(bytes, "\xEF\xBB\xBF", 3) == 0) bytes += 3, n -= 3; /* byte order mark */
    GM_TRY(gm_json_scan(&copy, bytes, n, infinity, where, err));

    pthread_once(&hooks, install_hooks);
    memory_was_short = false;
    root = copy.n > 0 ? cJSON_ParseWithLength(copy.at, copy.n) : cJSON_ParseWithLength(bytes, n);
    if (root == NULL && memory_was_short)
        GM_FAIL(GM_EMEM, "'%s': no memory for %zu bytes of JSON", where, n);
    if (root == NULL) GM_FAIL(GM_EFORMAT, "'%s': cJSON %s cannot parse it", where, cJSON_Version());
    GM_TRY(restore_tree(root, where, err));
    *out = root;
    root = NULL; /* now the caller's */
out:
    cJSON_Delete(root);
    gm_text_clear(&copy);
    return status;
}

gm_status gm_json_parse(gm_json **out, const char *bytes, size_t n, const char *where,
                        gm_error *err)
{
    return parse(out, bytes, n, false, where, err);
}

static gm_status read_file(gm_json **out, const char *path, size_t max_bytes, bool infinity,
                           gm_error *err)
{
    gm_text text;
    *out = NULL;
    gm_status status = gm_text_read_file(&text, path, max_bytes, err);
    if (status == GM_OK) status = gm_refuse_lfs_pointer(text.at, text.n, path, err);
    if (status == GM_OK) status = parse(out, text.at, text.n, infinity, path, err);
    gm_text_clear(&text);
    return status;
}

gm_status gm_json_read_file(gm_json **out, const char *path, size_t max_bytes, gm_error *err)
{
    return read_file(out, path, max_bytes, false, err);
}

gm_status gm_json_read_config(gm_json **out, const char *path, size_t max_bytes, gm_error *err)
{
    return read_file(out, path, max_bytes, true, err);
}

void gm_json_free(gm_json *root)
{
    cJSON_Delete(root);
}

const char *gm_json_library_version(void)
{
    return cJSON_Version();
}

/* ---- the tree ---- */

gm_json_kind gm_json_kind_of(const gm_json *value)
{
    switch (value->type) {
    case cJSON_True:
    case cJSON_False: return GM_JSON_BOOL;
    case cJSON_Number: return GM_JSON_NUMBER;
    case cJSON_String: return GM_JSON_TEXT;
    case cJSON_Array: return GM_JSON_ARRAY;
    case cJSON_Object: return GM_JSON_OBJECT;
    default: return GM_JSON_NULL;
    }
}

const char *gm_json_kind_name(gm_json_kind kind)
{
    static const char *const name[] = {"null", "boolean", "number", "string", "array", "object"};
    return name[kind];
}

const gm_json *gm_json_first(const gm_json *value)
{
    return value->child;
}

const gm_json *gm_json_next(const gm_json *value)
{
    return value->next;
}

const char *gm_json_key(const gm_json *value)
{
    return value->string;
}

const char *gm_json_key_text(const gm_json *value, size_t *n)
{
    if (value->string != NULL && n != NULL) *n = (size_t)value->valueint;
    return value->string;
}

size_t gm_json_n_items(const gm_json *value)
{
    size_t n = 0;
    for (const cJSON *at = value->child; at != NULL; at = at->next) n++;
    return n;
}

const gm_json *gm_json_find(const gm_json *object, const char *key)
{
    size_t n = strlen(key);
    if (object->type != cJSON_Object) return NULL;
    for (const cJSON *at = object->child; at != NULL; at = at->next)
        if ((size_t)at->valueint == n && memcmp(at->string, key, n) == 0) return at;
    return NULL;
}

const char *gm_json_text(const gm_json *value, size_t *n)
{
    if (value->type != cJSON_String) return NULL;
    if (n != NULL) *n = (size_t)value->valuedouble;
    return value->valuestring;
}

bool gm_json_bool(const gm_json *value, bool *out)
{
    if (value->type != cJSON_True && value->type != cJSON_False) return false;
    *out = value->type == cJSON_True;
    return true;
}

bool gm_json_i64(const gm_json *value, int64_t *out)
{
    if (value->type != cJSON_Number) return false;
    if (value->valuestring != NULL) return gm_parse_i64(value->valuestring, out);
    double number = value->valuedouble;
    if (!(fabs(number) < 0x1p53) || number != floor(number)) return false;
    *out = (int64_t)number;
    return true;
}

bool gm_json_f64(const gm_json *value, double *out)
{
    if (value->type != cJSON_Number) return false;
    *out = value->valuedouble;
    return true;
}
