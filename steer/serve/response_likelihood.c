/* response_likelihood.c - see response_likelihood.h. */
#include "steer/serve/response_likelihood.h"

#include "steer/serve/request.h"

#include <string.h>

/* One token: its bytes, and as a text of JSON. */
typedef struct word {
    gm_text bytes, spelt;
} word;

static void word_clear(word *w)
{
    gm_text_clear(&w->bytes);
    gm_text_clear(&w->spelt);
}

/* NULs end a key of an object, and so are spelt out. */
static gm_status spell(word *w, const gm_tokenizer *tokenizer, uint32_t id, gm_error *err)
{
    gm_status status = GM_OK;
    w->bytes.n = w->spelt.n = 0;
    if (id < gm_tokenizer_size(tokenizer)) /* the model's vocabulary may be padded */
        GM_TRY(gm_tokenizer_piece(tokenizer, id, &w->bytes, err));
    const char *at = w->bytes.n ? w->bytes.at : "";
    if (gm_utf8_valid(at, w->bytes.n) == w->bytes.n && memchr(at, '\0', w->bytes.n) == NULL)
        return gm_text_append(&w->spelt, at, w->bytes.n, err);
    GM_TRY(gm_text_add(&w->spelt, "bytes:", err));
    for (size_t i = 0; i < w->bytes.n; i++)
        GM_TRY(gm_text_printf(&w->spelt, err, "\\x%02x", (unsigned)(unsigned char)at[i]));
out:
    return status;
}

static const char *spelling(const word *w)
{
    return w->spelt.n ? w->spelt.at : "";
}

static void put_ids(gm_json_out *json, const gm_likelihood *l, const gm_continuation *c)
{
    gm_json_open_array(json, "token_ids");
    for (size_t i = 0; i < l->n; i++)
        gm_json_put_u64(json, NULL, gm_continuation_token(c, l->first + i));
    gm_json_close_array(json);
}

/* ---- completions ---- */

/* The likeliest tokens in place i, and the text's own where it is none of them. Of two that are
 * spelt alike the first counts: keys of an object are different. */
static gm_status put_likeliest(gm_json_out *json, const gm_likelihood *l, size_t i, uint32_t own,
                               const gm_tokenizer *tokenizer, gm_error *err)
{
    gm_status status = GM_OK;
    word w = {0};
    char *seen[GM_REQUEST_MAX_LIKELIEST + 1];
    size_t n_seen = 0;
    gm_json_open_object(json, NULL);
    for (size_t k = 0; k <= l->most; k++) {
        const uint32_t id = k < l->most ? l->top[i * l->most + k] : own;
        const float log_p = k < l->most ? l->top_log_p[i * l->most + k] : l->log_p[i];
        bool known = false;
        GM_TRY(spell(&w, tokenizer, id, err));
        const char *key = spelling(&w);
        for (size_t s = 0; s < n_seen; s++) known = known || strcmp(seen[s], key) == 0;
        if (known) continue;
        if ((seen[n_seen] = gm_copy_text(key, w.spelt.n)) == NULL) GM_FAIL(GM_EMEM, "no memory");
        n_seen++;
        gm_json_put_f64(json, key, (double)log_p);
    }
    gm_json_close_object(json);
out:
    for (size_t s = 0; s < n_seen; s++) gm_free(seen[s]);
    word_clear(&w);
    return status;
}

static gm_status put_lists(gm_json_out *json, const gm_likelihood *l, const gm_continuation *c,
                           const gm_tokenizer *tokenizer, gm_error *err)
{
    gm_status status = GM_OK;
    word w = {0};
    gm_json_open_array(json, "tokens");
    for (size_t i = 0; i < l->n; i++) {
        GM_TRY(spell(&w, tokenizer, gm_continuation_token(c, l->first + i), err));
        gm_json_put_text(json, NULL, spelling(&w), w.spelt.n);
    }
    gm_json_close_array(json);
    gm_json_open_array(json, "token_logprobs");
    for (size_t i = 0; i < l->n; i++) gm_json_put_f64(json, NULL, (double)l->log_p[i]);
    gm_json_close_array(json);
    gm_json_open_array(json, "top_logprobs");
    for (size_t i = 0; i < l->n; i++) {
        if (l->first + i == 0)
            gm_json_put_null(json, NULL);
        else
            GM_TRY(
                put_likeliest(json, l, i, gm_continuation_token(c, l->first + i), tokenizer, err));
    }
    gm_json_close_array(json);
out:
    word_clear(&w);
    return status;
}

/* ---- chats ---- */

/* Members of an open object. */
static gm_status put_token(gm_json_out *json, const gm_tokenizer *tokenizer, uint32_t id,
                           float log_p, gm_error *err)
{
    gm_status status = GM_OK;
    word w = {0};
    GM_TRY(spell(&w, tokenizer, id, err));
    gm_json_put_text(json, "token", spelling(&w), w.spelt.n);
    gm_json_put_f64(json, "logprob", (double)log_p);
    gm_json_open_array(json, "bytes");
    for (size_t i = 0; i < w.bytes.n; i++)
        gm_json_put_u64(json, NULL, (unsigned char)w.bytes.at[i]);
    gm_json_close_array(json);
out:
    word_clear(&w);
    return status;
}

static gm_status put_content(gm_json_out *json, const gm_likelihood *l, const gm_continuation *c,
                             const gm_tokenizer *tokenizer, gm_error *err)
{
    gm_status status = GM_OK;
    gm_json_open_array(json, "content");
    for (size_t i = 0; i < l->n; i++) {
        gm_json_open_object(json, NULL);
        GM_TRY(
            put_token(json, tokenizer, gm_continuation_token(c, l->first + i), l->log_p[i], err));
        gm_json_open_array(json, "top_logprobs");
        for (size_t k = i * l->most; k < (i + 1) * l->most; k++) {
            gm_json_open_object(json, NULL);
            GM_TRY(put_token(json, tokenizer, l->top[k], l->top_log_p[k], err));
            gm_json_close_object(json);
        }
        gm_json_close_array(json);
        gm_json_close_object(json);
    }
    gm_json_close_array(json);
out:
    return status;
}

gm_status gm_response_likelihood(gm_json_out *json, bool chat, const gm_likelihood *likelihood,
                                 const gm_continuation *c, const gm_tokenizer *tokenizer,
                                 gm_error *err)
{
    gm_status status = GM_OK;
    gm_json_open_object(json, "logprobs");
    GM_TRY((chat ? put_content : put_lists)(json, likelihood, c, tokenizer, err));
    put_ids(json, likelihood, c);
    gm_json_close_object(json);
out:
    return status;
}
