/* added_load.c - reading the added tokens of a tokenizer.json. */
#include "engine/tokenizer/added.h"
#include "engine/tokenizer/component.h"

#include <string.h>

/* What loading needs besides the result. */
typedef struct loader {
    gm_added *out;
    const gm_spellings *model;
    const gm_normalizer *normalizer;
    gm_normalizer_work work;
    gm_regex_work *regex;
    bool any;         /* a token was added before */
    uint32_t largest; /* id so far */
    const char *where;
} loader;

/* The id that the reference gives a token with this spelling. */
static uint32_t expected_id(const loader *l, const char *content, size_t n)
{
    uint32_t id;
    if (gm_spellings_find(l->model, content, n, &id)) return id;
    uint32_t n_model = (uint32_t)l->model->n;
    return l->any && (l->largest >= n_model || n_model == 0) ? l->largest + 1 : n_model;
}

static gm_status read_flags(const gm_json *json, gm_added_token *token, const char *where,
                            gm_error *err)
{
    const struct {
        const char *key;
        bool *value;
    } flags[] = {{"special", &token->special},
                 {"normalized", &token->normalized},
                 {"single_word", &token->single_word},
                 {"lstrip", &token->lstrip},
                 {"rstrip", &token->rstrip}};
    gm_status status = GM_OK;
    for (size_t i = 0; i < sizeof flags / sizeof flags[0] && status == GM_OK; i++)
        status = gm_json_get_bool_or(json, flags[i].key, false, flags[i].value, where, err);
    return status;
}

static gm_status read_token(loader *l, const gm_json *json, gm_added_token *token, gm_error *err)
{
    gm_status status = GM_OK;
    int64_t id;
    size_t n = 0;
    char shown[96];
    if (gm_json_kind_of(json) != GM_JSON_OBJECT)
        GM_FAIL(GM_EFORMAT, "'%s': an added token is not an object", l->where);
    const char *content = gm_member_text(json, "content", &n);
    if (content == NULL || n == 0)
        GM_FAIL(GM_EFORMAT, "'%s': an added token has no content", l->where);
    GM_TRY(gm_json_get_i64(json, "id", 0, GM_MAX_TOKEN_ID - 1, &id, l->where, err));
    GM_TRY(read_flags(json, token, l->where, err));

    gm_text_escape(shown, sizeof shown, content, n);
    uint32_t expected = expected_id(l, content, n);
    if ((uint32_t)id != expected)
        GM_FAIL(GM_EFORMAT, "'%s': added token '%s' has id %u, expected %u", l->where, shown,
                (unsigned)id, (unsigned)expected);
    token->id = expected;
    GM_TRY(gm_spellings_add(&l->out->names, content, n, token->id, l->where, err));
    l->largest = l->any && l->largest > token->id ? l->largest : token->id;
    l->any = true;
out:
    return status;
}

/* Two tokens that normalization makes equal: the reference takes one or the other, by
 * the order of a hash table that changes from run to run. */
static gm_status refuse_twin(const loader *l, const gm_added_token *token, const gm_view *view,
                             gm_error *err)
{
    char shown[96], other[96];
    size_t start, stop;
    uint32_t twin;
    if (!gm_trie_find(&l->out->normalized, view->at, view->n, 0, &start, &stop, &twin) ||
        start != 0 || stop != view->n)
        return GM_OK;
    gm_spelling first = gm_spellings_get(&l->out->names, l->out->token[twin].id);
    gm_text_escape(other, sizeof other, first.at, first.n);
    gm_text_escape(shown, sizeof shown, token->shown.at, token->shown.n);
    return gm_fail(err, GM_EFORMAT,
                   "'%s': added tokens '%s' and '%s' are the same once they are normalized",
                   l->where, other, shown);
}

/* Put a token where it is looked for, spelt as it will be met there. */
static gm_status enter(loader *l, uint32_t place, gm_error *err)
{
    gm_added_token *token = &l->out->token[place];
    token->shown = gm_spellings_get(&l->out->names, token->id);
    if (!token->normalized)
        return gm_trie_add(&l->out->raw, token->shown.at, token->shown.n, place, err);

    gm_view view = {.at = token->shown.at, .n = token->shown.n};
    gm_status status = gm_normalizer_apply(l->normalizer, &l->work, l->regex, &view, err);
    if (status != GM_OK) return status;
    if (view.n == 0)
        return gm_fail(err, GM_EFORMAT, "'%s': added token '%s' is empty once it is normalized",
                       l->where, token->shown.at);
    status = refuse_twin(l, token, &view, err);
    if (status != GM_OK) return status;
    token->shown.at = gm_arena_text(&l->out->names.arena, view.at, view.n);
    token->shown.n = view.n;
    if (token->shown.at == NULL) return gm_fail(err, GM_EMEM, "no memory for the added tokens");
    return gm_trie_add(&l->out->normalized, view.at, view.n, place, err);
}

gm_status gm_added_load(gm_added *out, const gm_json *list, const gm_spellings *model,
                        const gm_normalizer *normalizer, const char *where, gm_error *err)
{
    gm_status status = GM_OK;
    loader l = {.out = out, .model = model, .normalizer = normalizer, .where = where};
    *out = (gm_added){0};
    if (gm_is_absent(list)) return GM_OK;
    if (gm_json_kind_of(list) != GM_JSON_ARRAY)
        GM_FAIL(GM_EFORMAT, "'%s': 'added_tokens' is not a list", where);

    GM_TRY(gm_regex_work_create(&l.regex, err));
    out->token = gm_alloc(gm_json_n_items(list), sizeof *out->token);
    if (out->token == NULL) GM_FAIL(GM_EMEM, "no memory for the added tokens");
    for (const gm_json *item = gm_json_first(list); item; item = gm_json_next(item)) {
        GM_TRY(read_token(&l, item, &out->token[out->n], err));
        out->n++;
    }
    for (size_t i = 0; i < out->n; i++) GM_TRY(enter(&l, (uint32_t)i, err));

    out->by_id = gm_alloc(out->names.n_ids, sizeof *out->by_id);
    if (out->by_id == NULL) GM_FAIL(GM_EMEM, "no memory for the added tokens");
    for (size_t i = 0; i < out->n; i++) out->by_id[out->token[i].id] = (uint32_t)i + 1;
out:
    gm_normalizer_work_clear(&l.work);
    gm_regex_work_free(l.regex);
    if (status != GM_OK) gm_added_clear(out);
    return status;
}

void gm_added_clear(gm_added *added)
{
    gm_free(added->token);
    gm_spellings_clear(&added->names);
    gm_free(added->by_id);
    gm_trie_clear(&added->raw);
    gm_trie_clear(&added->normalized);
    *added = (gm_added){0};
}
