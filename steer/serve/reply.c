/* reply.c - see reply.h. */
#include "steer/serve/reply.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Take the finished JSON over into *out. */
static gm_status hand_over(gm_text *out, gm_json_out *json, gm_error *err)
{
    gm_status status = gm_json_out_done(json, err);
    if (status == GM_OK) status = gm_text_append(out, json->text.at, json->text.n, err);
    gm_text_clear(&json->text);
    return status;
}

static void put_head(gm_json_out *json, const gm_reply_head *h, bool piece)
{
    char id[48];
    snprintf(id, sizeof id, "%s-%" PRIu64, h->chat ? "chatcmpl" : "cmpl", h->number);
    gm_json_put_string(json, "id", id);
    gm_json_put_string(json, "object",
                       !h->chat ? "text_completion"
                       : piece  ? "chat.completion.chunk"
                                : "chat.completion");
    gm_json_put_i64(json, "created", h->created);
    gm_json_put_string(json, "model", h->model);
}

static void put_end(gm_json_out *json, const gm_ask *ask, const gm_answer *a, size_t i)
{
    const gm_continuation *c = &a->text[i];
    gm_json_put_string(json, "finish_reason", c->end == GM_END_LENGTH ? "length" : "stop");
    gm_json_put_u64(json, "plan", i % ask->n_plans);
    gm_json_put_f64(json, "important_share", gm_continuation_dose(c));
}

static void put_usage(gm_json_out *json, const gm_answer *a)
{
    gm_json_open_object(json, "usage");
    gm_json_put_u64(json, "prompt_tokens", a->n_prompt_tokens);
    gm_json_put_u64(json, "completion_tokens", a->n_generated);
    gm_json_put_u64(json, "total_tokens", a->n_prompt_tokens + a->n_generated);
    gm_json_close_object(json);
}

/* ---- log-probabilities ---- */

/* The token's bytes as a text of JSON, in *word. NULs end a key, and so are spelt out. */
static gm_status spell(gm_text *word, const gm_tokenizer *tokenizer, uint32_t id, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text bytes = {0};
    word->n = 0;
    if (id < gm_tokenizer_size(tokenizer)) /* the model's vocabulary may be padded */
        GM_TRY(gm_tokenizer_piece(tokenizer, id, &bytes, err));
    const char *at = bytes.n ? bytes.at : "";
    if (gm_utf8_valid(at, bytes.n) == bytes.n && memchr(at, '\0', bytes.n) == NULL) {
        GM_TRY(gm_text_append(word, at, bytes.n, err));
        goto out;
    }
    GM_TRY(gm_text_add(word, "bytes:", err));
    for (size_t i = 0; i < bytes.n; i++)
        GM_TRY(gm_text_printf(word, err, "\\x%02x", (unsigned)(unsigned char)at[i]));
out:
    gm_text_clear(&bytes);
    return status;
}

/* The likeliest tokens in place i, and the text's own where it is none of them. Of two that are
 * spelt alike the first counts: keys of an object are different. */
static gm_status put_likeliest(gm_json_out *json, const gm_likelihood *l, size_t i, uint32_t own,
                               const gm_tokenizer *tokenizer, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text word = {0};
    char *seen[GM_ASK_MOST_LIKELIEST + 1];
    size_t n_seen = 0;
    gm_json_open_object(json, NULL);
    for (size_t k = 0; k <= l->most; k++) {
        const uint32_t id = k < l->most ? l->top[i * l->most + k] : own;
        const float log_p = k < l->most ? l->top_log_p[i * l->most + k] : l->log_p[i];
        bool known = false;
        GM_TRY(spell(&word, tokenizer, id, err));
        const char *key = word.n ? word.at : "";
        for (size_t s = 0; s < n_seen; s++) known = known || strcmp(seen[s], key) == 0;
        if (known) continue;
        if ((seen[n_seen] = gm_copy_text(key, word.n)) == NULL) GM_FAIL(GM_EMEM, "no memory");
        n_seen++;
        gm_json_put_f64(json, key, (double)log_p);
    }
    gm_json_close_object(json);
out:
    for (size_t s = 0; s < n_seen; s++) gm_free(seen[s]);
    gm_text_clear(&word);
    return status;
}

static gm_status put_likelihood(gm_json_out *json, const gm_likelihood *l, const gm_continuation *c,
                                const gm_tokenizer *tokenizer, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text word = {0};
    gm_json_open_object(json, "logprobs");
    gm_json_open_array(json, "tokens");
    for (size_t i = 0; i < l->n; i++) {
        GM_TRY(spell(&word, tokenizer, gm_continuation_token(c, l->first + i), err));
        gm_json_put_text(json, NULL, word.n ? word.at : "", word.n);
    }
    gm_json_close_array(json);
    gm_json_open_array(json, "token_ids");
    for (size_t i = 0; i < l->n; i++)
        gm_json_put_u64(json, NULL, gm_continuation_token(c, l->first + i));
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
    gm_json_close_object(json);
out:
    gm_text_clear(&word);
    return status;
}

/* ---- answers ---- */

/* Append what token ids say; ids of a padded vocabulary say nothing. */
static gm_status add_decoded(gm_text *text, const gm_tokenizer *tokenizer, const gm_ask_prompt *p,
                             gm_error *err)
{
    gm_status status = GM_OK;
    gm_stream stream;
    gm_stream_init(&stream, tokenizer, false);
    for (size_t t = 0; t < p->n_ids; t++)
        if (p->ids[t] < gm_tokenizer_size(tokenizer))
            GM_TRY(gm_stream_add(&stream, p->ids[t], text, err));
    GM_TRY(gm_stream_end(&stream, text, err));
out:
    gm_stream_clear(&stream);
    return status;
}

/* The text of choice i, its prompt in front where that is asked for. */
static gm_status put_text(gm_json_out *json, const gm_host *host, const gm_ask *ask,
                          const gm_answer *a, size_t i, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text text = {0};
    const gm_continuation *c = &a->text[i];
    const gm_ask_prompt *p = &ask->prompt[i / ask->n_plans / ask->n_draws];
    if (ask->echo && p->text) GM_TRY(gm_text_append(&text, p->text, p->n, err));
    if (ask->echo && !p->text) GM_TRY(add_decoded(&text, host->stage->tokenizer, p, err));
    if (c->text.n) GM_TRY(gm_text_append(&text, c->text.at, c->text.n, err));
    gm_json_put_text(json, ask->chat ? "content" : "text", text.n ? text.at : "", text.n);
out:
    gm_text_clear(&text);
    return status;
}

static gm_status put_choice(gm_json_out *json, const gm_host *host, const gm_ask *ask,
                            const gm_answer *a, size_t i, gm_error *err)
{
    gm_status status = GM_OK;
    gm_json_open_object(json, NULL);
    gm_json_put_u64(json, "index", i);
    if (ask->chat) {
        gm_json_open_object(json, "message");
        gm_json_put_string(json, "role", "assistant");
    }
    GM_TRY(put_text(json, host, ask, a, i, err));
    if (ask->chat) gm_json_close_object(json);
    if (a->likelihood)
        GM_TRY(put_likelihood(json, &a->likelihood[i], &a->text[i], host->stage->tokenizer, err));
    else
        gm_json_put_null(json, "logprobs");
    put_end(json, ask, a, i);
    gm_json_close_object(json);
out:
    return status;
}

gm_status gm_reply_whole(gm_text *out, const gm_reply_head *head, const gm_host *host,
                         const gm_ask *ask, const gm_answer *answer, gm_error *err)
{
    gm_status status = GM_OK;
    gm_json_out json = {0};
    gm_json_open_object(&json, NULL);
    put_head(&json, head, false);
    gm_json_open_array(&json, "choices");
    for (size_t i = 0; i < answer->n; i++) GM_TRY(put_choice(&json, host, ask, answer, i, err));
    gm_json_close_array(&json);
    put_usage(&json, answer);
    gm_json_close_object(&json);
    GM_TRY(hand_over(out, &json, err));
out:
    gm_text_clear(&json.text);
    return status;
}

/* ---- streams ---- */

gm_status gm_reply_piece(gm_text *out, const gm_reply_head *head, size_t choice, const char *bytes,
                         size_t n, gm_error *err)
{
    gm_json_out json = {0};
    gm_json_open_object(&json, NULL);
    put_head(&json, head, true);
    gm_json_open_array(&json, "choices");
    gm_json_open_object(&json, NULL);
    gm_json_put_u64(&json, "index", choice);
    if (head->chat) gm_json_open_object(&json, "delta");
    gm_json_put_text(&json, head->chat ? "content" : "text", bytes, n);
    if (head->chat) gm_json_close_object(&json);
    gm_json_put_null(&json, "finish_reason");
    gm_json_close_object(&json);
    gm_json_close_array(&json);
    gm_json_close_object(&json);
    return hand_over(out, &json, err);
}

gm_status gm_reply_end(gm_text *out, const gm_reply_head *head, const gm_ask *ask,
                       const gm_answer *answer, gm_error *err)
{
    gm_json_out json = {0};
    gm_json_open_object(&json, NULL);
    put_head(&json, head, true);
    gm_json_open_array(&json, "choices");
    for (size_t i = 0; i < answer->n; i++) {
        gm_json_open_object(&json, NULL);
        gm_json_put_u64(&json, "index", i);
        if (head->chat) {
            gm_json_open_object(&json, "delta");
            gm_json_close_object(&json);
        } else {
            gm_json_put_string(&json, "text", "");
        }
        put_end(&json, ask, answer, i);
        gm_json_close_object(&json);
    }
    gm_json_close_array(&json);
    put_usage(&json, answer);
    gm_json_close_object(&json);
    return hand_over(out, &json, err);
}

gm_status gm_reply_error(gm_text *out, const char *sentence, gm_error *err)
{
    gm_json_out json = {0};
    gm_json_open_object(&json, NULL);
    gm_json_open_object(&json, "error");
    gm_json_put_string(&json, "message", sentence);
    gm_json_put_string(&json, "type", "invalid_request_error");
    gm_json_put_null(&json, "param");
    gm_json_put_null(&json, "code");
    gm_json_close_object(&json);
    gm_json_close_object(&json);
    return hand_over(out, &json, err);
}

gm_status gm_reply_models(gm_text *out, const gm_reply_head *head, gm_error *err)
{
    gm_json_out json = {0};
    gm_json_open_object(&json, NULL);
    gm_json_put_string(&json, "object", "list");
    gm_json_open_array(&json, "data");
    gm_json_open_object(&json, NULL);
    gm_json_put_string(&json, "id", head->model);
    gm_json_put_string(&json, "object", "model");
    gm_json_put_i64(&json, "created", head->created);
    gm_json_put_string(&json, "owned_by", "gm-steer");
    gm_json_close_object(&json);
    gm_json_close_array(&json);
    gm_json_close_object(&json);
    return hand_over(out, &json, err);
}
