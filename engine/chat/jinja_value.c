/* jinja_value.c - values of a template that runs, and the limits of a run: see jinja_run.h. */
#include "engine/chat/jinja_run.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

enum { MAX_DEPTH = 600 }; /* expressions, statements and calls inside of each other */

gm_status gm_jrun_fail(const gm_jrun *run, gm_error *err, const char *fmt, ...)
{
    char what[400];
    va_list list;
    va_start(list, fmt);
    vsnprintf(what, sizeof what, fmt, list);
    va_end(list);
    return gm_fail(err, GM_EFORMAT, "'%s', line %d: %s", run->where, run->line, what);
}

gm_status gm_jrun_step(gm_jrun *run, int line, gm_error *err)
{
    run->line = line;
    if (run->steps_left == 0 || run->work_left == 0)
        return gm_jrun_fail(run, err, "the template takes too many steps");
    run->steps_left--;
    if (++run->depth > MAX_DEPTH)
        return gm_jrun_fail(run, err, "the template nests more than %d levels deep", MAX_DEPTH);
    return GM_OK;
}

gm_status gm_jrun_take(gm_jrun *run, void *out, size_t n, size_t size, gm_error *err)
{
    void *block = NULL;
    if (n > run->bytes_left / size)
        return gm_jrun_fail(run, err, "the template takes too much memory");
    run->bytes_left -= n * size;
    block = gm_arena_alloc(&run->arena, n, size);
    if (block == NULL) return gm_fail(err, GM_EMEM, "no memory to run '%s'", run->where);
    memcpy(out, &block, sizeof block);
    return GM_OK;
}

const char *gm_j_kind_name(gm_jkind kind)
{
    static const char *const names[] = {"undefined", "none",    "a boolean", "a number",
                                        "a string",  "a list",  "a dict",    "a namespace",
                                        "a loop",    "a macro", "a function"};
    return names[kind];
}

bool gm_j_truth(gm_jvalue v)
{
    if (gm_j_is_number(v)) return v.as.number != 0;
    if (v.kind == GM_J_TEXT || v.kind == GM_J_LIST) return v.n > 0 || v.once;
    if (v.kind == GM_J_DICT) return v.as.dict->n > 0;
    return v.kind != GM_J_UNDEFINED && v.kind != GM_J_NONE;
}

/* ---- dicts ---- */

enum { ENTRY_WORK = 16 }; /* an entry or item is as many bytes that are gone through */

gm_jentry *gm_jdict_find(gm_jrun *run, const gm_jdict *dict, const char *key, size_t n)
{
    gm_jentry *entry = dict->first;
    while (entry && !(entry->n_key == n && memcmp(entry->key, key, n) == 0)) {
        if (!gm_jrun_work(run, ENTRY_WORK)) return NULL;
        entry = entry->next;
    }
    return entry;
}

gm_status gm_jdict_put(gm_jrun *run, gm_jdict *dict, const char *key, size_t n, gm_jvalue value,
                       gm_error *err)
{
    gm_status status = GM_OK;
    gm_jentry **end = &dict->first;
    if (value.once)
        return gm_jrun_fail(run, err, "an iterator cannot be kept as '%.*s'; use the filter 'list'",
                            (int)n, key);
    while (*end && !((*end)->n_key == n && memcmp((*end)->key, key, n) == 0)) {
        if (!gm_jrun_work(run, ENTRY_WORK))
            return gm_jrun_fail(run, err, "the template takes too many steps");
        end = &(*end)->next;
    }
    if (*end == NULL) {
        GM_TRY(gm_jrun_take(run, end, 1, sizeof **end, err));
        assert(*end != NULL);
        **end = (gm_jentry){.key = key, .n_key = n};
        dict->n++;
    }
    (*end)->value = value;
out:
    return status;
}

/* ---- texts ---- */

gm_status gm_j_copy(gm_jrun *run, gm_jvalue *out, const char *text, size_t n, gm_error *err)
{
    gm_status status = GM_OK;
    char *copy = NULL;
    GM_TRY(gm_jrun_take(run, &copy, n + 1, 1, err));
    assert(copy != NULL);
    if (n > 0) memcpy(copy, text, n);
    *out = gm_j_text(copy, n);
out:
    return status;
}

gm_status gm_j_spell(gm_jrun *run, gm_jvalue *out, gm_jvalue v, gm_error *err)
{
    char digits[24];
    const char *word = v.kind == GM_J_UNDEFINED ? ""
                       : v.kind == GM_J_NONE    ? "None"
                       : v.kind != GM_J_BOOL    ? NULL
                       : v.as.number            ? "True"
                                                : "False";
    *out = v;
    if (v.kind == GM_J_TEXT) return GM_OK;
    if (word) {
        *out = gm_j_text(word, strlen(word));
        return GM_OK;
    }
    if (v.kind != GM_J_INT)
        return gm_jrun_fail(run, err, "%s cannot be converted to a string", gm_j_kind_name(v.kind));
    int n = snprintf(digits, sizeof digits, "%" PRId64, v.as.number);
    return gm_j_copy(run, out, digits, (size_t)n, err);
}

size_t gm_j_length(const char *text, size_t n)
{
    size_t length = 0;
    for (size_t i = 0; i < n; i++) length += ((unsigned char)text[i] & 0xc0) != 0x80;
    return length;
}

size_t gm_j_offset(const char *text, size_t n, size_t characters)
{
    size_t i = 0;
    for (; i < n; i++)
        if (((unsigned char)text[i] & 0xc0) != 0x80 && characters-- == 0) break;
    return i;
}

size_t gm_j_find(gm_jrun *run, gm_jvalue text, gm_jvalue part, size_t from)
{
    for (; from + part.n <= text.n && run->work_left > 0; from++) {
        size_t same = 0;
        while (same < part.n && text.as.text[from + same] == part.as.text[same]) same++;
        if (same == part.n) return from;
        (void)gm_jrun_work(run, same + 1);
    }
    return SIZE_MAX;
}

/* ---- comparing ---- */

gm_status gm_j_equal(gm_jrun *run, bool *equal, gm_jvalue a, gm_jvalue b, gm_error *err)
{
    gm_status status = GM_OK;
    *equal = false;
    if (gm_j_is_number(a) && gm_j_is_number(b)) {
        *equal = a.as.number == b.as.number;
        return GM_OK;
    }
    if (a.kind != b.kind) return GM_OK;
    if (a.kind == GM_J_UNDEFINED || a.kind == GM_J_NONE) {
        *equal = true;
    } else if (a.kind == GM_J_TEXT) {
        *equal = a.n == b.n && gm_jrun_work(run, a.n) && memcmp(a.as.text, b.as.text, a.n) == 0;
    } else if (a.kind == GM_J_LIST) {
        *equal = a.n == b.n && a.tuple == b.tuple && !a.once && !b.once;
        for (size_t i = 0; i < a.n && *equal; i++) {
            GM_TRY(gm_jrun_step(run, run->line, err));
            GM_TRY(gm_j_equal(run, equal, a.as.item[i], b.as.item[i], err));
            run->depth--;
        }
    } else {
        status =
            gm_jrun_fail(run, err, "%s cannot be compared with another", gm_j_kind_name(a.kind));
    }
out:
    return status;
}

gm_status gm_j_order(gm_jrun *run, int *order, gm_jvalue a, gm_jvalue b, gm_error *err)
{
    *order = 0;
    if (gm_j_is_number(a) && gm_j_is_number(b)) {
        *order = (a.as.number > b.as.number) - (a.as.number < b.as.number);
        return GM_OK;
    }
    if (a.kind != GM_J_TEXT || b.kind != GM_J_TEXT)
        return gm_jrun_fail(run, err, "%s and %s cannot be ordered", gm_j_kind_name(a.kind),
                            gm_j_kind_name(b.kind));
    const size_t both = a.n < b.n ? a.n : b.n;
    if (gm_jrun_work(run, both)) *order = memcmp(a.as.text, b.as.text, both);
    if (*order == 0) *order = (a.n > b.n) - (a.n < b.n);
    return GM_OK;
}

gm_status gm_j_contains(gm_jrun *run, bool *found, gm_jvalue whole, gm_jvalue part, gm_error *err)
{
    gm_status status = GM_OK;
    *found = false;
    if (whole.kind == GM_J_UNDEFINED) return GM_OK;
    if (whole.kind == GM_J_LIST) {
        for (size_t i = 0; i < whole.n && !*found && gm_jrun_work(run, ENTRY_WORK); i++)
            GM_TRY(gm_j_equal(run, found, whole.as.item[i], part, err));
    } else if (whole.kind == GM_J_DICT && part.kind != GM_J_LIST && part.kind != GM_J_DICT) {
        *found = part.kind == GM_J_TEXT && gm_jdict_find(run, whole.as.dict, part.as.text, part.n);
    } else if (whole.kind == GM_J_TEXT && part.kind == GM_J_TEXT) {
        *found = gm_j_find(run, whole, part, 0) != SIZE_MAX;
    } else {
        status = gm_jrun_fail(run, err, "%s cannot be looked for in %s", gm_j_kind_name(part.kind),
                              gm_j_kind_name(whole.kind));
    }
out:
    return status;
}

/* ---- lists ---- */

gm_status gm_j_list(gm_jrun *run, gm_jvalue *out, gm_jvalue **item, size_t n, gm_error *err)
{
    gm_status status = GM_OK;
    *item = NULL;
    GM_TRY(gm_jrun_take(run, item, n, sizeof **item, err));
    assert(*item != NULL);
    *out = (gm_jvalue){.kind = GM_J_LIST, .n = n, .as.item = *item};
out:
    return status;
}

gm_status gm_j_items(gm_jrun *run, gm_jvalue *out, gm_jvalue v, gm_error *err)
{
    gm_status status = GM_OK;
    gm_jvalue *item;
    *out = v;
    out->once = false;
    if (v.kind == GM_J_LIST) return GM_OK;
    if (v.kind == GM_J_UNDEFINED) return gm_j_list(run, out, &item, 0, err);
    if (v.kind == GM_J_DICT) {
        GM_TRY(gm_j_list(run, out, &item, v.as.dict->n, err));
        for (const gm_jentry *e = v.as.dict->first; e; e = e->next)
            *item++ = gm_j_text(e->key, e->n_key);
    } else if (v.kind == GM_J_TEXT) {
        GM_TRY(gm_j_list(run, out, &item, gm_j_length(v.as.text, v.n), err));
        for (size_t i = 0, n; i < v.n; i += n) {
            uint32_t c;
            n = gm_utf8_decode(v.as.text + i, v.n - i, &c);
            *item++ = gm_j_text(v.as.text + i, n);
        }
    } else {
        status = gm_jrun_fail(run, err, "%s has no items", gm_j_kind_name(v.kind));
    }
out:
    return status;
}

gm_status gm_j_from_json(gm_jrun *run, gm_jvalue *out, const gm_json *json, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_json_kind kind = gm_json_kind_of(json);
    const char *text = NULL;
    size_t n = 0;
    bool yes = false;
    *out = (gm_jvalue){.kind = GM_J_NONE};
    if (kind == GM_JSON_TEXT) {
        text = gm_json_text(json, &n);
        status = gm_j_copy(run, out, text, n, err);
    } else if (kind == GM_JSON_BOOL && gm_json_bool(json, &yes)) {
        *out = gm_j_number(GM_J_BOOL, yes);
    } else if (kind == GM_JSON_NUMBER) {
        *out = gm_j_number(GM_J_INT, 0);
        if (!gm_json_i64(json, &out->as.number))
            GM_TRY(gm_jrun_fail(run, err, "a variable is a number that is not an integer"));
    } else if (kind == GM_JSON_ARRAY) {
        gm_jvalue *item;
        GM_TRY(gm_j_list(run, out, &item, gm_json_n_items(json), err));
        for (const gm_json *at = gm_json_first(json); at; at = gm_json_next(at))
            GM_TRY(gm_j_from_json(run, item++, at, err));
    } else if (kind == GM_JSON_OBJECT) {
        *out = (gm_jvalue){.kind = GM_J_DICT};
        GM_TRY(gm_jrun_take(run, &out->as.dict, 1, sizeof *out->as.dict, err));
        for (const gm_json *at = gm_json_first(json); at; at = gm_json_next(at)) {
            gm_jvalue key, value;
            text = gm_json_key_text(at, &n);
            GM_TRY(gm_j_copy(run, &key, text, n, err));
            GM_TRY(gm_j_from_json(run, &value, at, err));
            GM_TRY(gm_jdict_put(run, out->as.dict, key.as.text, n, value, err));
        }
    }
out:
    return status;
}
