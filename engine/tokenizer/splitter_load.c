/* splitter_load.c - reading the pre-tokenizer of a tokenizer.json. */
#include "engine/tokenizer/codepoint.h"
#include "engine/tokenizer/component.h"
#include "engine/tokenizer/splitter.h"

#include <string.h>

enum { MAX_STEPS = 64 };

/* GPT-2's pattern, built into ByteLevel. */
static const char gpt2_pattern[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+|"
                                   " ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

gm_status gm_splitter_add(gm_splitter *splitter, gm_splitter_step **step, gm_error *err)
{
    if (splitter->n == MAX_STEPS)
        return gm_fail(err, GM_EFORMAT, "more than %d pre-tokenizers", (int)MAX_STEPS);
    gm_splitter_step *grown = gm_grow(splitter->step, splitter->n, splitter->n + 1, sizeof *grown);
    if (grown == NULL) return gm_fail(err, GM_EMEM, "no memory for a pre-tokenizer");
    splitter->step = grown;
    *step = &grown[splitter->n++];
    return GM_OK;
}

static gm_status load_behavior(const gm_json *json, const char *key, gm_behavior fallback,
                               gm_behavior *out, const char *where, gm_error *err)
{
    static const char *const names[] = {"Removed", "Isolated", "Contiguous", "MergedWithPrevious",
                                        "MergedWithNext"};
    const char *name;
    gm_status status = gm_json_get_text_or(json, key, names[fallback], &name, where, err);
    if (status != GM_OK) return status;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(name, names[i]) != 0) continue;
        *out = (gm_behavior)i;
        return GM_OK;
    }
    return gm_fail(err, GM_EFORMAT, "'%s': behavior '%s' of a pre-tokenizer is not supported",
                   where, name);
}

static gm_status load_split(gm_splitter *out, const gm_json *json, const char *where, gm_error *err)
{
    gm_status status = GM_OK;
    gm_splitter_step *step = NULL;
    size_t n;
    const gm_json *pattern = gm_member(json, "pattern");
    const char *text = gm_member_text(pattern, "String", &n);
    const char *regex = text ? NULL : gm_member_text(pattern, "Regex", &n);

    if (text == NULL && regex == NULL)
        GM_FAIL(GM_EFORMAT, "'%s': pre-tokenizer 'Split' has no String or Regex", where);
    if (n == 0) GM_FAIL(GM_EFORMAT, "'%s': pre-tokenizer 'Split' has an empty pattern", where);
    if (gm_json_find(json, "behavior") == NULL)
        GM_FAIL(GM_EFORMAT, "'%s': pre-tokenizer 'Split' has no behavior", where);

    GM_TRY(gm_splitter_add(out, &step, err));
    GM_TRY(load_behavior(json, "behavior", GM_SPLIT_ISOLATED, &step->behavior, where, err));
    GM_TRY(gm_json_get_bool_or(json, "invert", false, &step->invert, where, err));
    step->kind = text ? GM_SPLIT_TEXT : GM_SPLIT_REGEX;
    if (text)
        GM_TRY(gm_text_append(&step->text, text, n, err));
    else
        GM_TRY(gm_regex_compile(&step->regex, regex, n, where, err));
out:
    return status;
}

static gm_status load_byte_level(gm_splitter *out, const gm_json *json, const char *where,
                                 gm_error *err)
{
    gm_status status = GM_OK;
    gm_splitter_step *step = NULL;
    bool space, regex;
    GM_TRY(gm_json_get_bool_or(json, "add_prefix_space", true, &space, where, err));
    GM_TRY(gm_json_get_bool_or(json, "use_regex", true, &regex, where, err));
    if (space) {
        GM_TRY(gm_splitter_add(out, &step, err));
        step->kind = GM_SPLIT_SPACE;
    }
    if (regex) {
        GM_TRY(gm_splitter_add(out, &step, err));
        step->kind = GM_SPLIT_REGEX;
        step->behavior = GM_SPLIT_ISOLATED;
        GM_TRY(gm_regex_compile(&step->regex, gpt2_pattern, sizeof gpt2_pattern - 1, where, err));
    }
    out->byte_level = true;
out:
    return status;
}

/* `add_prefix_space` is the older spelling of `prepend_scheme`. */
static gm_status load_metaspace(gm_splitter *out, const gm_json *json, const char *where,
                                gm_error *err)
{
    static const char *const schemes[] = {"never", "first", "always"};
    gm_status status = GM_OK;
    gm_splitter_step *step = NULL;
    bool space;
    const char *scheme, *mark;
    size_t n_mark, which = 0;
    uint32_t code_point;

    GM_TRY(gm_json_get_bool_or(json, "add_prefix_space", true, &space, where, err));
    GM_TRY(gm_json_get_text_or(json, "prepend_scheme", space ? "always" : "never", &scheme, where,
                               err));
    while (which < 3 && strcmp(scheme, schemes[which]) != 0) which++;
    if (which == 3 || (!space && which != GM_PREPEND_NEVER))
        GM_FAIL(GM_EFORMAT, "'%s': prepend_scheme '%s' of 'Metaspace' is not supported", where,
                scheme);
    mark = gm_member_text(json, "replacement", &n_mark);
    if (mark == NULL || n_mark == 0 || gm_utf8_decode(mark, n_mark, &code_point) != n_mark)
        GM_FAIL(GM_EFORMAT, "'%s': replacement of 'Metaspace' is not one character", where);

    out->asks_start |= which == GM_PREPEND_FIRST;
    out->asks_start_later |= which == GM_PREPEND_FIRST && out->n > 0;
    GM_TRY(gm_splitter_add(out, &step, err));
    step->kind = GM_SPLIT_METASPACE;
    step->prepend = which == 0   ? GM_PREPEND_NEVER
                    : which == 1 ? GM_PREPEND_FIRST
                                 : GM_PREPEND_ALWAYS;
    GM_TRY(gm_text_append(&step->text, mark, n_mark, err));
    GM_TRY(gm_json_get_bool_or(json, "split", true, &step->split, where, err));
    if (!step->split) goto out;
    GM_TRY(gm_splitter_add(out, &step, err));
    step->kind = GM_SPLIT_TEXT;
    step->behavior = GM_SPLIT_WITH_NEXT;
    GM_TRY(gm_text_append(&step->text, mark, n_mark, err));
out:
    return status;
}

static gm_status load_class(gm_splitter *out, bool (*class)(uint32_t), gm_behavior behavior,
                            gm_error *err)
{
    gm_splitter_step *step = NULL;
    gm_status status = gm_splitter_add(out, &step, err);
    if (status != GM_OK) return status;
    step->kind = GM_SPLIT_CLASS;
    step->class = class;
    step->behavior = behavior;
    return GM_OK;
}

static gm_status load_sequence(gm_splitter *out, const gm_json *json, const char *where,
                               gm_error *err)
{
    const gm_json *list = gm_member_list(json, "pretokenizers");
    if (list == NULL)
        return gm_fail(err, GM_EFORMAT,
                       "'%s': pre-tokenizer 'Sequence' has no list 'pretokenizers'", where);
    gm_status status = GM_OK;
    const gm_json *item = gm_json_first(list);
    for (; item && status == GM_OK; item = gm_json_next(item))
        status = gm_splitter_load(out, item, where, err);
    return status;
}

static gm_status load_type(gm_splitter *out, const gm_json *json, const char *type,
                           const char *where, gm_error *err)
{
    gm_status status = GM_OK;
    if (strcmp(type, "Sequence") == 0) return load_sequence(out, json, where, err);
    if (out->byte_level) /* it turns characters into bytes: nothing can split after it */
        return gm_fail(err, GM_EFORMAT,
                       "'%s': pre-tokenizer '%s' after 'ByteLevel' is not supported", where, type);
    if (strcmp(type, "Split") == 0) return load_split(out, json, where, err);
    if (strcmp(type, "ByteLevel") == 0) return load_byte_level(out, json, where, err);
    if (strcmp(type, "Metaspace") == 0) return load_metaspace(out, json, where, err);
    if (strcmp(type, "WhitespaceSplit") == 0)
        return load_class(out, gm_is_white_space, GM_SPLIT_REMOVED, err);
    if (strcmp(type, "Digits") == 0) {
        bool single;
        status = gm_json_get_bool_or(json, "individual_digits", false, &single, where, err);
        gm_behavior behavior = single ? GM_SPLIT_ISOLATED : GM_SPLIT_CONTIGUOUS;
        return status != GM_OK ? status : load_class(out, gm_is_numeric, behavior, err);
    }
    if (strcmp(type, "Punctuation") == 0) {
        gm_behavior behavior = GM_SPLIT_ISOLATED;
        status = load_behavior(json, "behavior", GM_SPLIT_ISOLATED, &behavior, where, err);
        return status != GM_OK ? status : load_class(out, gm_is_punctuation, behavior, err);
    }
    return gm_fail(err, GM_EFORMAT,
                   "'%s': pre-tokenizer '%s' is not supported (known: Sequence, Split, ByteLevel, "
                   "Digits, Punctuation, WhitespaceSplit, Metaspace)",
                   where, type);
}

gm_status gm_splitter_load(gm_splitter *out, const gm_json *json, const char *where, gm_error *err)
{
    const char *type;
    if (gm_is_absent(json)) return GM_OK;
    gm_status status = gm_json_get_text(json, "type", &type, where, err);
    if (status == GM_OK) status = load_type(out, json, type, where, err);
    if (status != GM_OK) gm_splitter_clear(out);
    return status;
}

void gm_splitter_clear(gm_splitter *splitter)
{
    for (size_t i = 0; i < splitter->n; i++) {
        gm_text_clear(&splitter->step[i].text);
        gm_regex_free(splitter->step[i].regex);
    }
    gm_free(splitter->step);
    *splitter = (gm_splitter){0};
}
