/* response.c - see response.h. */
#include "steer/serve/response.h"

#include "steer/serve/response_likelihood.h"

#include <inttypes.h>
#include <stdio.h>

/* Take the finished JSON over into *out. */
static gm_status append_json(gm_text *out, gm_json_out *json, gm_error *err)
{
    gm_status status = gm_json_out_done(json, err);
    if (status == GM_OK) status = gm_text_append(out, json->text.at, json->text.n, err);
    gm_text_clear(&json->text);
    return status;
}

static void put_head(gm_json_out *json, const gm_response_head *h, bool chunk)
{
    char id[48];
    snprintf(id, sizeof id, "%s-%" PRIu64, h->chat ? "chatcmpl" : "cmpl", h->number);
    gm_json_put_string(json, "id", id);
    gm_json_put_string(json, "object",
                       !h->chat ? "text_completion"
                       : chunk  ? "chat.completion.chunk"
                                : "chat.completion");
    gm_json_put_i64(json, "created", h->created);
    gm_json_put_string(json, "model", h->model);
}

static void put_end(gm_json_out *json, const gm_request *request, const gm_completions *all,
                    size_t i)
{
    const gm_continuation *c = &all->text[i];
    gm_json_put_string(json, "finish_reason", c->end == GM_END_LENGTH ? "length" : "stop");
    gm_json_put_u64(json, "plan", i % request->n_plans);
    gm_json_put_f64(json, "important_share", gm_continuation_dose(c));
}

static void put_usage(gm_json_out *json, const gm_completions *all)
{
    gm_json_open_object(json, "usage");
    gm_json_put_u64(json, "prompt_tokens", all->n_prompt_tokens);
    gm_json_put_u64(json, "completion_tokens", all->n_generated);
    gm_json_put_u64(json, "total_tokens", all->n_prompt_tokens + all->n_generated);
    gm_json_close_object(json);
}

/* "logprobs" of choice i: null where not requested. */
static gm_status put_likelihood(gm_json_out *json, const gm_server *server,
                                const gm_request *request, const gm_completions *all, size_t i,
                                gm_error *err)
{
    if (all->likelihood)
        return gm_response_likelihood(json, request->chat, &all->likelihood[i], &all->text[i],
                                      server->setup->tokenizer, err);
    gm_json_put_null(json, "logprobs");
    return GM_OK;
}

/* ---- whole responses ---- */

/* Append what token ids say; ids of a padded vocabulary say nothing. */
static gm_status add_decoded(gm_text *text, const gm_tokenizer *tokenizer,
                             const gm_request_prompt *p, gm_error *err)
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

/* The text of choice i, after its prompt with "echo". */
static gm_status put_text(gm_json_out *json, const gm_server *server, const gm_request *request,
                          const gm_completions *all, size_t i, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text text = {0};
    const gm_continuation *c = &all->text[i];
    const gm_request_prompt *p = &request->prompt[i / request->n_plans / request->n_draws];
    if (request->echo && p->text) GM_TRY(gm_text_append(&text, p->text, p->n, err));
    if (request->echo && !p->text) GM_TRY(add_decoded(&text, server->setup->tokenizer, p, err));
    if (c->text.n) GM_TRY(gm_text_append(&text, c->text.at, c->text.n, err));
    gm_json_put_text(json, request->chat ? "content" : "text", text.n ? text.at : "", text.n);
out:
    gm_text_clear(&text);
    return status;
}

static gm_status put_choice(gm_json_out *json, const gm_server *server, const gm_request *request,
                            const gm_completions *all, size_t i, gm_error *err)
{
    gm_status status = GM_OK;
    gm_json_open_object(json, NULL);
    gm_json_put_u64(json, "index", i);
    if (request->chat) {
        gm_json_open_object(json, "message");
        gm_json_put_string(json, "role", "assistant");
    }
    GM_TRY(put_text(json, server, request, all, i, err));
    if (request->chat) gm_json_close_object(json);
    GM_TRY(put_likelihood(json, server, request, all, i, err));
    put_end(json, request, all, i);
    gm_json_close_object(json);
out:
    return status;
}

gm_status gm_response_whole(gm_text *out, const gm_response_head *head, const gm_server *server,
                            const gm_request *request, const gm_completions *completions,
                            gm_error *err)
{
    gm_status status = GM_OK;
    gm_json_out json = {0};
    gm_json_open_object(&json, NULL);
    put_head(&json, head, false);
    gm_json_open_array(&json, "choices");
    for (size_t i = 0; i < completions->n; i++)
        GM_TRY(put_choice(&json, server, request, completions, i, err));
    gm_json_close_array(&json);
    put_usage(&json, completions);
    gm_json_close_object(&json);
    GM_TRY(append_json(out, &json, err));
out:
    gm_text_clear(&json.text);
    return status;
}

/* ---- streams ---- */

gm_status gm_response_first_chunk(gm_text *out, const gm_response_head *head, size_t n_choices,
                                  gm_error *err)
{
    gm_json_out json = {0};
    gm_json_open_object(&json, NULL);
    put_head(&json, head, true);
    gm_json_open_array(&json, "choices");
    for (size_t i = 0; i < n_choices; i++) {
        gm_json_open_object(&json, NULL);
        gm_json_put_u64(&json, "index", i);
        gm_json_open_object(&json, "delta");
        gm_json_put_string(&json, "role", "assistant");
        gm_json_put_string(&json, "content", "");
        gm_json_close_object(&json);
        gm_json_put_null(&json, "finish_reason");
        gm_json_close_object(&json);
    }
    gm_json_close_array(&json);
    gm_json_close_object(&json);
    return append_json(out, &json, err);
}

gm_status gm_response_chunk(gm_text *out, const gm_response_head *head, size_t choice,
                            const char *bytes, size_t n, gm_error *err)
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
    return append_json(out, &json, err);
}

gm_status gm_response_last_chunk(gm_text *out, const gm_response_head *head,
                                 const gm_server *server, const gm_request *request,
                                 const gm_completions *completions, gm_error *err)
{
    gm_status status = GM_OK;
    gm_json_out json = {0};
    gm_json_open_object(&json, NULL);
    put_head(&json, head, true);
    gm_json_open_array(&json, "choices");
    for (size_t i = 0; i < completions->n; i++) {
        gm_json_open_object(&json, NULL);
        gm_json_put_u64(&json, "index", i);
        if (head->chat) {
            gm_json_open_object(&json, "delta");
            gm_json_close_object(&json);
        } else {
            gm_json_put_string(&json, "text", "");
        }
        GM_TRY(put_likelihood(&json, server, request, completions, i, err));
        put_end(&json, request, completions, i);
        gm_json_close_object(&json);
    }
    gm_json_close_array(&json);
    put_usage(&json, completions);
    gm_json_close_object(&json);
    GM_TRY(append_json(out, &json, err));
out:
    gm_text_clear(&json.text);
    return status;
}

gm_status gm_response_error(gm_text *out, const char *sentence, gm_error *err)
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
    return append_json(out, &json, err);
}

gm_status gm_response_models(gm_text *out, const gm_response_head *head, gm_error *err)
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
    return append_json(out, &json, err);
}
