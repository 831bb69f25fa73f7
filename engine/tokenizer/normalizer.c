/* normalizer.c - what a tokenizer.json does to text before splitting it. */
#define _GNU_SOURCE /* memmem */
#include "engine/tokenizer/normalizer.h"

#include "engine/tokenizer/codepoint.h"
#include "engine/tokenizer/component.h"

#include <string.h>

enum { MAX_STEPS = 64 };

typedef enum step_kind { FORM, LOWERCASE, REPLACE_TEXT, REPLACE_REGEX, PREPEND, STRIP } step_kind;

typedef struct gm_normalizer_step {
    step_kind kind;
    gm_form form;
    gm_text pattern, content; /* Replace with a String; Prepend has its text in `content` */
    gm_regex *regex;
    bool left, right; /* Strip */
} step;

/* ---- loading ---- */

static gm_status load_replace(step *s, const gm_json *json, const char *where, gm_error *err)
{
    size_t n_pattern, n_content;
    const gm_json *given = gm_member(json, "pattern");
    const char *text = gm_member_text(given, "String", &n_pattern);
    const char *regex = text ? NULL : gm_member_text(given, "Regex", &n_pattern);
    const char *content = gm_member_text(json, "content", &n_content);

    if (content == NULL || (text == NULL && regex == NULL))
        return gm_fail(err, GM_EFORMAT,
                       "'%s': normalizer 'Replace' has no content, or no String or Regex", where);
    if (n_pattern == 0)
        return gm_fail(err, GM_EFORMAT, "'%s': normalizer 'Replace' has an empty pattern", where);
    gm_status status = gm_text_append(&s->content, content, n_content, err);
    if (status != GM_OK) return status;
    if (text) {
        s->kind = REPLACE_TEXT;
        return gm_text_append(&s->pattern, text, n_pattern, err);
    }
    if (memchr(content, '$', n_content) != NULL)
        return gm_fail(
            err, GM_EFORMAT,
            "'%s': normalizer 'Replace' refers to groups with '%s', which is not supported", where,
            content);
    s->kind = REPLACE_REGEX;
    status = gm_regex_compile(&s->regex, regex, n_pattern, where, err);
    if (status == GM_OK && gm_regex_may_be_empty(s->regex)) /* the reference fails on some texts */
        return gm_fail(err, GM_EFORMAT,
                       "'%s': normalizer 'Replace' with a pattern that may match nothing, '%s', is "
                       "not supported",
                       where, regex);
    return status;
}

static gm_status load_step(step *s, const gm_json *json, const char *type, const char *where,
                           gm_error *err)
{
    static const struct {
        const char *name;
        gm_form form;
    } forms[] = {
        {"NFC", GM_FORM_NFC}, {"NFD", GM_FORM_NFD}, {"NFKC", GM_FORM_NFKC}, {"NFKD", GM_FORM_NFKD}};
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (strcmp(type, forms[i].name) != 0) continue;
        *s = (step){.kind = FORM, .form = forms[i].form};
        return GM_OK;
    }
    if (strcmp(type, "Lowercase") == 0) {
        s->kind = LOWERCASE;
        return GM_OK;
    }
    if (strcmp(type, "Replace") == 0) return load_replace(s, json, where, err);
    if (strcmp(type, "Prepend") == 0) {
        const char *text;
        s->kind = PREPEND;
        gm_status status = gm_json_get_text(json, "prepend", &text, where, err);
        return status != GM_OK ? status : gm_text_add(&s->content, text, err);
    }
    if (strcmp(type, "Strip") == 0) {
        s->kind = STRIP;
        gm_status status = gm_json_get_bool_or(json, "strip_left", true, &s->left, where, err);
        return status != GM_OK
                   ? status
                   : gm_json_get_bool_or(json, "strip_right", true, &s->right, where, err);
    }
    return gm_fail(err, GM_EFORMAT,
                   "'%s': normalizer '%s' is not supported (known: Sequence, NFC, NFD, NFKC, NFKD, "
                   "Lowercase, Replace, Prepend, Strip)",
                   where, type);
}

gm_status gm_normalizer_load(gm_normalizer *out, const gm_json *json, const char *where,
                             gm_error *err)
{
    gm_status status = GM_OK;
    const char *type;
    if (gm_is_absent(json)) return GM_OK;
    GM_TRY(gm_json_get_text(json, "type", &type, where, err));
    if (strcmp(type, "Sequence") == 0) {
        const gm_json *list = gm_member_list(json, "normalizers");
        if (list == NULL)
            GM_FAIL(GM_EFORMAT, "'%s': normalizer 'Sequence' has no list 'normalizers'", where);
        for (const gm_json *item = gm_json_first(list); item; item = gm_json_next(item))
            GM_TRY(gm_normalizer_load(out, item, where, err));
        return GM_OK;
    }
    if (out->n == MAX_STEPS)
        GM_FAIL(GM_EFORMAT, "'%s': more than %d normalizers", where, (int)MAX_STEPS);
    step *grown = gm_grow(out->step, out->n, out->n + 1, sizeof *grown);
    if (grown == NULL) GM_FAIL(GM_EMEM, "no memory for a normalizer");
    out->step = grown;
    out->n++;
    GM_TRY(load_step(&out->step[out->n - 1], json, type, where, err));
    step_kind kind = out->step[out->n - 1].kind;
    out->moves_start |= kind == REPLACE_TEXT || kind == REPLACE_REGEX || kind == PREPEND;
out:
    if (status != GM_OK) gm_normalizer_clear(out);
    return status;
}

void gm_normalizer_clear(gm_normalizer *normalizer)
{
    for (size_t i = 0; i < normalizer->n; i++) {
        gm_text_clear(&normalizer->step[i].pattern);
        gm_text_clear(&normalizer->step[i].content);
        gm_regex_free(normalizer->step[i].regex);
    }
    gm_free(normalizer->step);
    *normalizer = (gm_normalizer){0};
}

/* ---- applying ---- */

/* Lower case character by character, without context, as Rust's to_lowercase. */
static gm_status lowercase(const gm_view *view, gm_marked *out, bool *changed, gm_error *err)
{
    gm_status status = GM_OK;
    size_t kept = 0;
    for (size_t at = 0; at < view->n;) {
        uint32_t c;
        size_t stop = at + gm_utf8_decode(view->at + at, view->n - at, &c);
        uint32_t lower = gm_lower_of(c);
        if (lower != c) {
            char bytes[6];
            size_t n = gm_utf8_encode(lower, bytes);
            if (c == 0x130) { /* I with dot: the one character that becomes two */
                memcpy(bytes, "i\xCC\x87", 3);
                n = 3;
            }
            GM_TRY(gm_marked_copy(out, view, kept, at, err));
            GM_TRY(gm_marked_append(out, bytes, n, gm_view_end(view, stop), err));
            kept = stop;
            *changed = true;
        }
        at = stop;
    }
    if (*changed) status = gm_marked_copy(out, view, kept, view->n, err);
out:
    return status;
}

/* The next place to replace, from `from` on. */
static gm_status next_match(const step *s, gm_regex_work *regex, gm_regex_walk *walk, size_t *start,
                            size_t *stop, bool *found, gm_error *err)
{
    if (s->kind == REPLACE_REGEX)
        return gm_regex_next(s->regex, regex, walk, start, stop, found, err);

    const char *hit = walk->from < walk->n ? memmem(walk->at + walk->from, walk->n - walk->from,
                                                    s->pattern.at, s->pattern.n)
                                           : NULL;
    *found = hit != NULL;
    if (hit == NULL) return GM_OK;
    *start = (size_t)(hit - walk->at);
    *stop = *start + s->pattern.n;
    walk->from = *stop;
    return GM_OK;
}

static gm_status replace(const step *s, gm_regex_work *regex, const gm_view *view, gm_marked *out,
                         bool *changed, gm_error *err)
{
    gm_status status = GM_OK;
    gm_regex_walk walk = {.at = view->at, .n = view->n};
    size_t kept = 0;
    for (;;) {
        size_t start, stop;
        bool found;
        GM_TRY(next_match(s, regex, &walk, &start, &stop, &found, err));
        if (!found) break;
        GM_TRY(gm_marked_copy(out, view, kept, start, err));
        GM_TRY(gm_marked_append(out, s->content.at, s->content.n, gm_view_end(view, stop), err));
        kept = stop;
        *changed = true;
    }
    if (*changed) status = gm_marked_copy(out, view, kept, view->n, err);
out:
    return status;
}

static void strip(const step *s, gm_view *view)
{
    size_t start = 0, stop = view->n;
    uint32_t c;
    while (s->left && start < stop) {
        size_t len = gm_utf8_decode(view->at + start, stop - start, &c);
        if (!gm_is_white_space(c)) break;
        start += len;
    }
    while (s->right && start < stop) {
        size_t last = stop - 1;
        while (gm_is_tail_byte(view->at[last])) last--;
        (void)gm_utf8_decode(view->at + last, stop - last, &c);
        if (!gm_is_white_space(c)) break;
        stop = last;
    }
    *view = gm_view_slice(view, start, stop);
}

static gm_status prepend(const step *s, const gm_view *view, gm_marked *out, bool *changed,
                         gm_error *err)
{
    *changed = true;
    gm_status status = gm_marked_append(out, s->content.at, s->content.n, view->origin, err);
    return status != GM_OK ? status : gm_marked_copy(out, view, 0, view->n, err);
}

gm_status gm_normalizer_apply(const gm_normalizer *normalizer, gm_normalizer_work *work,
                              gm_regex_work *regex, gm_view *view, gm_error *err)
{
    gm_marked *out = &work->text[0];
    for (size_t i = 0; i < normalizer->n && view->n > 0; i++) {
        const step *s = &normalizer->step[i];
        gm_status status = GM_OK;
        bool changed = false;

        gm_marked_reset(out);
        switch (s->kind) {
        case FORM: status = gm_normalize_form(s->form, work, view, out, &changed, err); break;
        case LOWERCASE: status = lowercase(view, out, &changed, err); break;
        case REPLACE_TEXT:
        case REPLACE_REGEX: status = replace(s, regex, view, out, &changed, err); break;
        case PREPEND: status = prepend(s, view, out, &changed, err); break;
        case STRIP: strip(s, view); break;
        }
        if (status != GM_OK) return status;
        if (!changed) continue;
        *view = gm_marked_view(out, view->origin);
        out = out == &work->text[0] ? &work->text[1] : &work->text[0];
    }
    return GM_OK;
}

void gm_normalizer_work_clear(gm_normalizer_work *work)
{
    gm_marked_clear(&work->text[0]);
    gm_marked_clear(&work->text[1]);
    gm_free(work->code);
    gm_free(work->key);
    *work = (gm_normalizer_work){0};
}
