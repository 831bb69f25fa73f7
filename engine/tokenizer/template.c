/* template.c - the tokens put before and after those of a text. */
#include "engine/tokenizer/template.h"

#include "engine/tokenizer/component.h"
#include "engine/tokenizer/spellings.h"

#include <string.h>

static gm_status read_id(const gm_json *json, uint32_t *out, const char *where, gm_error *err)
{
    int64_t id;
    if (json == NULL || !gm_json_i64(json, &id) || id < 0 || id >= (int64_t)GM_MAX_TOKEN_ID)
        return gm_fail(err, GM_EFORMAT, "'%s': an id of the post-processor belongs to no token",
                       where);
    *out = (uint32_t)id;
    return GM_OK;
}

/* One post-processor adds outside of what those before it have added. */
static gm_status wrap(gm_template *out, const gm_ids *before, const gm_ids *after, gm_error *err)
{
    gm_status status = GM_OK;
    gm_ids front = {0};
    for (size_t i = 0; i < before->n; i++) GM_TRY(gm_ids_append(&front, before->at[i], err));
    for (size_t i = 0; i < out->before.n; i++)
        GM_TRY(gm_ids_append(&front, out->before.at[i], err));
    for (size_t i = 0; i < after->n; i++) GM_TRY(gm_ids_append(&out->after, after->at[i], err));
    gm_ids_clear(&out->before);
    out->before = front;
    front = (gm_ids){0};
out:
    gm_ids_clear(&front);
    return status;
}

/* Append the ids of special token `name` of a TemplateProcessing. */
static gm_status append_special(gm_ids *ids, const gm_json *json, const char *name,
                                const char *where, gm_error *err)
{
    const gm_json *entry = gm_member(gm_member(json, "special_tokens"), name);
    const gm_json *list = gm_member_list(entry, "ids");
    if (list == NULL)
        return gm_fail(err, GM_EFORMAT, "'%s': 'TemplateProcessing' has no ids for '%s'", where,
                       name);
    gm_status status = GM_OK;
    for (const gm_json *item = gm_json_first(list); item && status == GM_OK;
         item = gm_json_next(item)) {
        uint32_t id = 0;
        status = read_id(item, &id, where, err);
        if (status == GM_OK) status = gm_ids_append(ids, id, err);
    }
    return status;
}

/* The list `single`: special tokens, and once the sequence A. */
static gm_status load_single(gm_template *out, const gm_json *json, const char *where,
                             gm_error *err)
{
    gm_status status = GM_OK;
    gm_ids before = {0}, after = {0};
    int n_texts = 0;
    const gm_json *list = gm_member_list(json, "single");
    if (list == NULL) GM_FAIL(GM_EFORMAT, "'%s': 'TemplateProcessing' has no list 'single'", where);

    for (const gm_json *item = gm_json_first(list); item; item = gm_json_next(item)) {
        const char *special = gm_member_text(gm_member(item, "SpecialToken"), "id", NULL);
        const char *text = gm_member_text(gm_member(item, "Sequence"), "id", NULL);
        if (special)
            GM_TRY(append_special(n_texts ? &after : &before, json, special, where, err));
        else if (text && strcmp(text, "A") == 0)
            n_texts++;
        else
            GM_FAIL(GM_EFORMAT, "'%s': an item of 'single' is not supported", where);
    }
    if (n_texts != 1)
        GM_FAIL(GM_EFORMAT, "'%s': 'single' holds the text %d times, expected once", where,
                n_texts);
    GM_TRY(wrap(out, &before, &after, err));
out:
    gm_ids_clear(&before);
    gm_ids_clear(&after);
    return status;
}

/* "cls": ["<s>", 0] before, "sep": ["</s>", 2] after. */
static gm_status load_bert(gm_template *out, const gm_json *json, const char *where, gm_error *err)
{
    static const char *const keys[] = {"cls", "sep"};
    uint32_t id[2];
    for (int i = 0; i < 2; i++) {
        const gm_json *pair = gm_member_list(json, keys[i]);
        const gm_json *first = pair ? gm_json_first(pair) : NULL;
        gm_status status = read_id(first ? gm_json_next(first) : NULL, &id[i], where, err);
        if (status != GM_OK) return status;
    }
    const gm_ids before = {.at = &id[0], .n = 1}, after = {.at = &id[1], .n = 1};
    return wrap(out, &before, &after, err);
}

static gm_status load_sequence(gm_template *out, const gm_json *json, const char *where,
                               gm_error *err)
{
    const gm_json *list = gm_member_list(json, "processors");
    if (list == NULL)
        return gm_fail(err, GM_EFORMAT, "'%s': post-processor 'Sequence' has no list 'processors'",
                       where);
    gm_status status = GM_OK;
    const gm_json *item = gm_json_first(list);
    for (; item && status == GM_OK; item = gm_json_next(item))
        status = gm_template_load(out, item, where, err);
    return status;
}

gm_status gm_template_load(gm_template *out, const gm_json *json, const char *where, gm_error *err)
{
    gm_status status = GM_OK;
    const char *type;
    if (gm_is_absent(json)) return GM_OK;
    GM_TRY(gm_json_get_text(json, "type", &type, where, err));
    if (strcmp(type, "Sequence") == 0)
        GM_TRY(load_sequence(out, json, where, err));
    else if (strcmp(type, "TemplateProcessing") == 0)
        GM_TRY(load_single(out, json, where, err));
    else if (strcmp(type, "RobertaProcessing") == 0 || strcmp(type, "BertProcessing") == 0)
        GM_TRY(load_bert(out, json, where, err));
    else if (strcmp(type, "ByteLevel") != 0)
        GM_FAIL(GM_EFORMAT,
                "'%s': post-processor '%s' is not supported (known: Sequence, TemplateProcessing, "
                "ByteLevel, RobertaProcessing, BertProcessing)",
                where, type);
out:
    if (status != GM_OK) gm_template_clear(out);
    return status;
}

void gm_template_clear(gm_template *template)
{
    gm_ids_clear(&template->before);
    gm_ids_clear(&template->after);
}
