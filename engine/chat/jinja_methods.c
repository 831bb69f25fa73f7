/* jinja_methods.c - what texts and dicts of a template can be asked by name: Python's methods. */
#include "base/text.h"
#include "engine/chat/jinja_lexer.h"
#include "engine/chat/jinja_run.h"

#include <string.h>

/* ---- blanks and other characters at the ends of texts ---- */

/* Bytes of the character at at[0..n) when it is to go: one of `set`, or a blank (set NULL). */
static size_t unwanted(gm_jrun *run, const char *at, size_t n, const gm_jvalue *set)
{
    uint32_t c;
    if (n == 0) return 0;
    if (!gm_jrun_work(run, set ? set->n + 1 : 1)) return 0;
    if (set == NULL) return gm_jinja_blank(at, n);
    const size_t length = gm_utf8_decode(at, n, &c);
    for (size_t i = 0; i + length <= set->n; i++)
        if (memcmp(set->as.text + i, at, length) == 0) return length;
    return 0;
}

gm_status gm_j_strip(gm_jrun *run, gm_jvalue *out, gm_jvalue v, const gm_jvalue *set, bool left,
                     bool right, gm_error *err)
{
    const char *at = v.as.text;
    size_t n = v.n, length;
    if (set && set->kind == GM_J_NONE) set = NULL;
    if (set && set->kind != GM_J_TEXT)
        return gm_jrun_fail(run, err, "%s cannot be stripped from a string",
                            gm_j_kind_name(set->kind));
    while (left && (length = unwanted(run, at, n, set)) > 0) at += length, n -= length;
    while (right && n > 0) {
        size_t last = 1; /* bytes of the last character */
        while (last < n && ((unsigned char)at[n - last] & 0xc0) == 0x80) last++;
        if (unwanted(run, at + n - last, last, set) == 0) break;
        n -= last;
    }
    *out = gm_j_text(at, n);
    return GM_OK;
}

static gm_status strip(gm_jrun *run, gm_jvalue *out, gm_jvalue v, const gm_jnode *name,
                       const gm_jarguments *given, gm_error *err)
{
    return gm_j_strip(run, out, v, given->n > 0 ? &given->value[0] : NULL,
                      !gm_jnode_is(name, "rstrip"), !gm_jnode_is(name, "lstrip"), err);
}

/* ---- texts in texts ---- */

static gm_status starts_or_ends(gm_jrun *run, gm_jvalue *out, gm_jvalue v, const gm_jnode *name,
                                const gm_jarguments *given, gm_error *err)
{
    const bool start = gm_jnode_is(name, "startswith");
    const gm_jvalue wanted = given->value[0];
    const bool several = wanted.kind == GM_J_LIST && wanted.tuple;
    const gm_jvalue *part = several ? wanted.as.item : &wanted;
    bool yes = false;
    for (size_t i = 0, n = several ? wanted.n : 1; i < n; i++) {
        if (part[i].kind != GM_J_TEXT)
            return gm_jrun_fail(run, err, "a string cannot begin or end with %s",
                                gm_j_kind_name(part[i].kind));
        const size_t at = start || part[i].n > v.n ? 0 : v.n - part[i].n;
        yes |= part[i].n <= v.n && gm_jrun_work(run, part[i].n) &&
               memcmp(v.as.text + at, part[i].as.text, part[i].n) == 0;
    }
    *out = gm_j_number(GM_J_BOOL, yes);
    return GM_OK;
}

/* The parts between `by`, `most` + 1 of them at most; NULL item: only counted. */
static size_t split_by(gm_jrun *run, gm_jvalue v, gm_jvalue by, size_t most, gm_jvalue *item)
{
    size_t n = 0, from = 0, at;
    for (; n < most; n++, from = at + by.n) {
        at = gm_j_find(run, v, by, from);
        if (at == SIZE_MAX) break;
        if (item) item[n] = gm_j_text(v.as.text + from, at - from);
    }
    if (item) item[n] = gm_j_text(v.as.text + from, v.n - from);
    return n + 1;
}

/* The parts between blanks. */
static size_t split_at_blanks(gm_jvalue v, gm_jvalue *item)
{
    size_t n = 0;
    for (size_t i = 0; i < v.n;) {
        size_t blank = gm_jinja_blank(v.as.text + i, v.n - i);
        const size_t from = i;
        i += blank;
        if (blank > 0) continue;
        while (i < v.n && gm_jinja_blank(v.as.text + i, v.n - i) == 0) {
            uint32_t c;
            i += gm_utf8_decode(v.as.text + i, v.n - i, &c);
        }
        if (item) item[n] = gm_j_text(v.as.text + from, i - from);
        n++;
    }
    return n;
}

static gm_status split(gm_jrun *run, gm_jvalue *out, gm_jvalue v, const gm_jnode *name,
                       const gm_jarguments *given, gm_error *err)
{
    gm_status status = GM_OK;
    gm_jvalue *item;
    size_t most = SIZE_MAX;
    (void)name;
    if (given->n == 0 || given->value[0].kind == GM_J_NONE) {
        if (given->n > 1) GM_TRY(gm_jrun_fail(run, err, "splitting at white space takes no limit"));
        (void)gm_jrun_work(run, 2 * v.n);
        GM_TRY(gm_j_list(run, out, &item, split_at_blanks(v, NULL), err));
        (void)split_at_blanks(v, item);
        return GM_OK;
    }
    const gm_jvalue by = given->value[0];
    if (by.kind != GM_J_TEXT || by.n == 0 || (given->n > 1 && given->value[1].kind != GM_J_INT))
        GM_TRY(gm_jrun_fail(run, err, "a string cannot be split by %s",
                            by.kind == GM_J_TEXT ? "an empty string" : gm_j_kind_name(by.kind)));
    if (given->n > 1 && given->value[1].as.number >= 0) most = (size_t)given->value[1].as.number;
    GM_TRY(gm_j_list(run, out, &item, split_by(run, v, by, most, NULL), err));
    (void)split_by(run, v, by, most, item);
out:
    return status;
}

gm_status gm_j_join(gm_jrun *run, gm_jvalue *out, gm_jvalue list, gm_jvalue between, gm_error *err)
{
    gm_status status = GM_OK;
    size_t n = 0;
    gm_jvalue *part;
    char *to = NULL;
    GM_TRY(gm_j_items(run, &list, list, err));
    GM_TRY(gm_j_list(run, out, &part, list.n, err));
    for (size_t i = 0; i < list.n; i++) {
        GM_TRY(gm_j_spell(run, &part[i], list.as.item[i], err));
        n += part[i].n + (i > 0 ? between.n : 0);
    }
    GM_TRY(gm_jrun_take(run, &to, n + 1, 1, err));
    *out = gm_j_text(to, n);
    for (size_t i = 0; i < list.n; i++) {
        if (i > 0) memcpy(to, between.as.text, between.n), to += between.n;
        memcpy(to, part[i].as.text, part[i].n);
        to += part[i].n;
    }
out:
    return status;
}

static gm_status join(gm_jrun *run, gm_jvalue *out, gm_jvalue v, const gm_jnode *name,
                      const gm_jarguments *given, gm_error *err)
{
    const gm_jvalue list = given->value[0];
    (void)name;
    for (size_t i = 0; list.kind == GM_J_LIST && i < list.n; i++)
        if (list.as.item[i].kind != GM_J_TEXT)
            return gm_jrun_fail(run, err, "only strings can be joined, found %s",
                                gm_j_kind_name(list.as.item[i].kind));
    return gm_j_join(run, out, list, v, err);
}

gm_status gm_j_replace(gm_jrun *run, gm_jvalue *out, gm_jvalue v, const gm_jarguments *given,
                       gm_error *err)
{
    gm_status status = GM_OK;
    gm_jvalue parts, *item;
    const gm_jvalue *by = given->value;
    size_t most = SIZE_MAX;
    if (given->n < 2 || by[0].kind != GM_J_TEXT || by[1].kind != GM_J_TEXT || by[0].n == 0 ||
        (given->n > 2 && by[2].kind != GM_J_INT))
        GM_TRY(gm_jrun_fail(run, err,
                            "replacing needs a string that is not empty and another string"));
    if (given->n > 2 && by[2].as.number >= 0) most = (size_t)by[2].as.number;
    GM_TRY(gm_j_list(run, &parts, &item, split_by(run, v, by[0], most, NULL), err));
    (void)split_by(run, v, by[0], most, item);
    GM_TRY(gm_j_join(run, out, parts, by[1], err));
out:
    return status;
}

static gm_status replace(gm_jrun *run, gm_jvalue *out, gm_jvalue v, const gm_jnode *name,
                         const gm_jarguments *given, gm_error *err)
{
    (void)name;
    return gm_j_replace(run, out, v, given, err);
}

gm_status gm_j_change_case(gm_jrun *run, gm_jvalue *out, gm_jvalue v, bool upper, gm_error *err)
{
    gm_status status = GM_OK;
    char *to = NULL;
    GM_TRY(gm_jrun_take(run, &to, v.n + 1, 1, err));
    *out = gm_j_text(to, v.n);
    for (size_t i = 0; i < v.n; i++) {
        const char c = v.as.text[i];
        if ((unsigned char)c >= 0x80)
            GM_TRY(gm_jrun_fail(run, err,
                                "changing the case of letters beyond ASCII is not supported"));
        const bool turns = upper ? c >= 'a' && c <= 'z' : c >= 'A' && c <= 'Z';
        to[i] = (char)(turns ? c ^ 0x20 : c);
    }
out:
    return status;
}

static gm_status change_case(gm_jrun *run, gm_jvalue *out, gm_jvalue v, const gm_jnode *name,
                             const gm_jarguments *given, gm_error *err)
{
    (void)given;
    return gm_j_change_case(run, out, v, gm_jnode_is(name, "upper"), err);
}

/* ---- dicts ---- */

static gm_status get(gm_jrun *run, gm_jvalue *out, gm_jvalue v, const gm_jnode *name,
                     const gm_jarguments *given, gm_error *err)
{
    const gm_jvalue key = given->value[0];
    (void)name;
    if (key.kind == GM_J_LIST || key.kind == GM_J_DICT)
        return gm_jrun_fail(run, err, "%s cannot be looked for in a dict",
                            gm_j_kind_name(key.kind));
    const gm_jentry *entry =
        key.kind == GM_J_TEXT ? gm_jdict_find(run, v.as.dict, key.as.text, key.n) : NULL;
    *out = entry ? entry->value : given->n > 1 ? given->value[1] : (gm_jvalue){.kind = GM_J_NONE};
    return GM_OK;
}

gm_status gm_j_entries(gm_jrun *run, gm_jvalue *out, gm_jvalue dict, bool keys, bool values,
                       gm_error *err)
{
    gm_status status = GM_OK;
    gm_jvalue *item, *pair;
    GM_TRY(gm_j_list(run, out, &item, dict.as.dict->n, err));
    for (const gm_jentry *e = dict.as.dict->first; e; e = e->next, item++) {
        const gm_jvalue key = gm_j_text(e->key, e->n_key);
        if (keys && values) {
            GM_TRY(gm_j_list(run, item, &pair, 2, err));
            item->tuple = true;
            pair[0] = key;
            pair[1] = e->value;
        } else {
            *item = keys ? key : e->value;
        }
    }
out:
    return status;
}

static gm_status entries(gm_jrun *run, gm_jvalue *out, gm_jvalue v, const gm_jnode *name,
                         const gm_jarguments *given, gm_error *err)
{
    (void)given;
    return gm_j_entries(run, out, v, !gm_jnode_is(name, "values"), !gm_jnode_is(name, "keys"), err);
}

/* ---- all of them ---- */

static const struct {
    gm_jkind kind;
    const char *name;
    gm_status (*call)(gm_jrun *, gm_jvalue *, gm_jvalue, const gm_jnode *, const gm_jarguments *,
                      gm_error *); /* NULL: known in Python, not here */
    size_t least, most;            /* arguments */
} methods[] = {
    {GM_J_TEXT, "strip", strip, 0, 1},
    {GM_J_TEXT, "lstrip", strip, 0, 1},
    {GM_J_TEXT, "rstrip", strip, 0, 1},
    {GM_J_TEXT, "startswith", starts_or_ends, 1, 1},
    {GM_J_TEXT, "endswith", starts_or_ends, 1, 1},
    {GM_J_TEXT, "split", split, 0, 2},
    {GM_J_TEXT, "join", join, 1, 1},
    {GM_J_TEXT, "replace", replace, 2, 3},
    {GM_J_TEXT, "upper", change_case, 0, 0},
    {GM_J_TEXT, "lower", change_case, 0, 0},
    {GM_J_DICT, "get", get, 1, 2},
    {GM_J_DICT, "items", entries, 0, 0},
    {GM_J_DICT, "keys", entries, 0, 0},
    {GM_J_DICT, "values", entries, 0, 0},
    {GM_J_TEXT, "capitalize", NULL, 0, 0},
    {GM_J_TEXT, "casefold", NULL, 0, 0},
    {GM_J_TEXT, "center", NULL, 0, 0},
    {GM_J_TEXT, "count", NULL, 0, 0},
    {GM_J_TEXT, "encode", NULL, 0, 0},
    {GM_J_TEXT, "find", NULL, 0, 0},
    {GM_J_TEXT, "format", NULL, 0, 0},
    {GM_J_TEXT, "index", NULL, 0, 0},
    {GM_J_TEXT, "isalpha", NULL, 0, 0},
    {GM_J_TEXT, "isdigit", NULL, 0, 0},
    {GM_J_TEXT, "isspace", NULL, 0, 0},
    {GM_J_TEXT, "islower", NULL, 0, 0},
    {GM_J_TEXT, "isupper", NULL, 0, 0},
    {GM_J_TEXT, "ljust", NULL, 0, 0},
    {GM_J_TEXT, "partition", NULL, 0, 0},
    {GM_J_TEXT, "removeprefix", NULL, 0, 0},
    {GM_J_TEXT, "removesuffix", NULL, 0, 0},
    {GM_J_TEXT, "rfind", NULL, 0, 0},
    {GM_J_TEXT, "rjust", NULL, 0, 0},
    {GM_J_TEXT, "rpartition", NULL, 0, 0},
    {GM_J_TEXT, "rsplit", NULL, 0, 0},
    {GM_J_TEXT, "splitlines", NULL, 0, 0},
    {GM_J_TEXT, "title", NULL, 0, 0},
    {GM_J_TEXT, "zfill", NULL, 0, 0},
    {GM_J_TEXT, "expandtabs", NULL, 0, 0},
    {GM_J_TEXT, "format_map", NULL, 0, 0},
    {GM_J_TEXT, "isalnum", NULL, 0, 0},
    {GM_J_TEXT, "isascii", NULL, 0, 0},
    {GM_J_TEXT, "isdecimal", NULL, 0, 0},
    {GM_J_TEXT, "isidentifier", NULL, 0, 0},
    {GM_J_TEXT, "isnumeric", NULL, 0, 0},
    {GM_J_TEXT, "isprintable", NULL, 0, 0},
    {GM_J_TEXT, "istitle", NULL, 0, 0},
    {GM_J_TEXT, "maketrans", NULL, 0, 0},
    {GM_J_TEXT, "swapcase", NULL, 0, 0},
    {GM_J_TEXT, "translate", NULL, 0, 0},
    {GM_J_LIST, "append", NULL, 0, 0},
    {GM_J_LIST, "count", NULL, 0, 0},
    {GM_J_LIST, "extend", NULL, 0, 0},
    {GM_J_LIST, "index", NULL, 0, 0},
    {GM_J_LIST, "insert", NULL, 0, 0},
    {GM_J_LIST, "pop", NULL, 0, 0},
    {GM_J_LIST, "clear", NULL, 0, 0},
    {GM_J_LIST, "copy", NULL, 0, 0},
    {GM_J_LIST, "remove", NULL, 0, 0},
    {GM_J_LIST, "reverse", NULL, 0, 0},
    {GM_J_LIST, "sort", NULL, 0, 0},
    {GM_J_DICT, "clear", NULL, 0, 0},
    {GM_J_DICT, "fromkeys", NULL, 0, 0},
    {GM_J_DICT, "popitem", NULL, 0, 0},
    {GM_J_DICT, "copy", NULL, 0, 0},
    {GM_J_DICT, "pop", NULL, 0, 0},
    {GM_J_DICT, "setdefault", NULL, 0, 0},
    {GM_J_DICT, "update", NULL, 0, 0},
};

enum { N_METHODS = sizeof methods / sizeof *methods };

static size_t find_method(gm_jkind kind, const char *name, size_t n)
{
    for (size_t i = 0; i < N_METHODS; i++)
        if (methods[i].kind == kind && strlen(methods[i].name) == n &&
            memcmp(methods[i].name, name, n) == 0)
            return i;
    return N_METHODS;
}

bool gm_j_has_method(gm_jkind kind, const char *name, size_t n)
{
    return find_method(kind, name, n) < N_METHODS;
}

gm_status gm_j_call_method(gm_jrun *run, gm_jvalue *out, bool *known, gm_jvalue v,
                           const gm_jnode *name, const gm_jarguments *given, gm_error *err)
{
    const size_t i = find_method(v.kind, name->text, name->n_text);
    *known = i < N_METHODS;
    if (!*known) return GM_OK;
    if (methods[i].call == NULL)
        return gm_jrun_fail(run, err, "the method '%s' is not supported", methods[i].name);
    if (given->n != given->n_plain || given->n < methods[i].least || given->n > methods[i].most)
        return gm_jrun_fail(run, err, "the method '%s' has arguments that are not supported",
                            methods[i].name);
    return methods[i].call(run, out, v, name, given, err);
}
