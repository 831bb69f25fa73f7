/* completions.c - see completions.h. */
#include "steer/serve/completions.h"

#include <string.h>

void gm_completions_clear(gm_completions *completions)
{
    for (size_t i = 0; completions->text && i < completions->n; i++)
        gm_continuation_clear(&completions->text[i]);
    for (size_t i = 0; completions->likelihood && i < completions->n; i++)
        gm_likelihood_clear(&completions->likelihood[i]);
    for (size_t i = 0; completions->plan && i < completions->n_plans; i++)
        gm_plan_clear(&completions->plan[i]);
    gm_free(completions->text);
    gm_free(completions->likelihood);
    gm_free(completions->plan);
    gm_free(completions->edit_of);
    gm_free(completions->edit);
    gm_free(completions->schedule);
    gm_free(completions->important);
    *completions = (gm_completions){0};
}

/* ---- plans ---- */

static gm_status named_path(const char **path, const gm_server *server, const char *name,
                            gm_error *err)
{
    for (size_t i = 0; i < server->n_plans; i++)
        if (strcmp(server->plan_name[i], name) == 0) {
            *path = server->plan_path[i];
            return GM_OK;
        }
    return gm_fail(err, GM_EARG,
                   "there is no plan '%s' among the %zu that the server was started with", name,
                   server->n_plans);
}

static size_t cells_of(const gm_server *server)
{
    return (size_t)server->setup->info->n_moe_layers * (size_t)server->setup->info->n_experts;
}

/* Make plan i of the request, and the edit that it is; the server's own is borrowed. */
static gm_status make_plan(gm_completions *out, size_t i, const gm_server *server,
                           const gm_request_plan *request, gm_error *err)
{
    gm_status status = GM_OK;
    const char *path = NULL;
    const gm_plan *plan = &out->plan[i];
    out->edit_of[i] = -1;
    if (request->kind == GM_REQUEST_UNSTEERED) goto out;
    if (request->kind == GM_REQUEST_BY_NAME) GM_TRY(named_path(&path, server, request->name, err));
    if (request->recipe.clusters.n + request->recipe.subsets.n > 0 && server->setup->atlas == NULL)
        GM_FAIL(GM_EARG,
                "the server was started without --atlas, so it has no clusters or subsets");
    if (request->kind == GM_REQUEST_DEFAULT)
        plan = server->default_plan;
    else
        GM_TRY(gm_setup_plan(&out->plan[i], server->setup, &request->recipe, path, err));
    const size_t e = out->n_edits++;
    out->edit_of[i] = (int)e;
    out->edit[e] = gm_setup_edit(plan);
    out->schedule[e] = plan->schedule;
    gm_vector_important(out->important + e * cells_of(server), plan->bias, plan->n_layers,
                        plan->n_experts, server->setup->info->n_chosen);
out:
    if (status != GM_OK) gm_request_name_members(err);
    return status;
}

static gm_status make_plans(gm_completions *out, const gm_server *server, const gm_request *request,
                            gm_error *err)
{
    gm_status status = GM_OK;
    const size_t n = request->n_plans;
    out->plan = gm_alloc(n, sizeof *out->plan);
    out->edit_of = gm_alloc(n, sizeof *out->edit_of);
    out->edit = gm_alloc(n, sizeof *out->edit);
    out->schedule = gm_alloc(n, sizeof *out->schedule);
    out->important = gm_alloc2(n, cells_of(server), sizeof *out->important);
    if (!out->plan || !out->edit_of || !out->edit || !out->schedule || !out->important)
        GM_FAIL(GM_EMEM, "no memory for %zu plans", n);
    for (; out->n_plans < n; out->n_plans++)
        GM_TRY(make_plan(out, out->n_plans, server, &request->plan[out->n_plans], err));
out:
    return status;
}

/* ---- texts ---- */

static gm_status set_prompt(gm_continuation *c, const gm_server *server, const gm_request *request,
                            const gm_chat *chat, const gm_request_prompt *p, gm_error *err)
{
    gm_status status = GM_OK;
    if (p->text && gm_utf8_valid(p->text, p->n) != p->n)
        GM_FAIL(GM_EFORMAT, "a prompt is not valid UTF-8");
    if (request->chat) {
        GM_TRY(gm_chat_encode(chat, server->setup->encoder, p->text, p->n, &c->prompt,
                              &c->n_template, &c->n_closing, err));
    } else if (p->text) {
        const gm_prompt prompt = {p->text, p->n};
        GM_TRY(gm_setup_prepare(server->setup, c, &prompt, 0, err));
    }
    for (size_t t = 0; t < p->n_ids; t++) GM_TRY(gm_ids_append(&c->prompt, p->ids[t], err));
out:
    return status;
}

/* Set up choice i. */
static gm_status prepare(gm_completions *out, size_t i, const gm_server *server,
                         const gm_request *request, const gm_chat *chat, gm_error *err)
{
    gm_continuation *c = &out->text[i];
    const size_t plan = i % request->n_plans, draw = i / request->n_plans;
    gm_status status =
        set_prompt(c, server, request, chat, &request->prompt[draw / request->n_draws], err);
    if (status != GM_OK) return status;
    c->edit = out->edit_of[plan];
    c->important = c->edit < 0 ? NULL : out->important + (size_t)c->edit * cells_of(server);
    c->sampling = request->sampling;
    c->sampling.stream = draw;
    c->max_tokens = request->max_tokens;
    if (draw % request->n_draws == 0 && plan == 0) out->n_prompt_tokens += c->prompt.n;
    return GM_OK;
}

typedef struct text_forwarder {
    const gm_completions_callbacks *to;
    const gm_continuation *first;
} text_forwarder;

static void forward_text(void *context, const gm_continuation *c, const char *bytes, size_t n)
{
    const text_forwarder *t = context;
    t->to->on_text(t->to->context, (size_t)(c - t->first), bytes, n);
}

static gm_status write_texts(gm_completions *out, const gm_server *server,
                             const gm_request *request, const gm_continue_options *o, gm_error *err)
{
    gm_status status = GM_OK;
    if (request->max_tokens > 0)
        GM_TRY(
            gm_continue(out->text, out->n, server->setup->model, server->setup->tokenizer, o, err));
    for (size_t i = 0; i < out->n; i++) {
        out->n_generated += out->text[i].generated.n;
        if (request->max_tokens == 0) out->text[i].end = GM_END_LENGTH;
    }
    if (request->n_likeliest < 0) goto out;
    out->likelihood = gm_alloc(out->n, sizeof *out->likelihood);
    if (out->likelihood == NULL) GM_FAIL(GM_EMEM, "no memory for %zu texts", out->n);
    GM_TRY(gm_likelihood_all(out->likelihood, out->text, out->n, !request->echo,
                             (size_t)request->n_likeliest, server->setup->model, o, err));
out:
    return status;
}

/* A model without a template is no failure of the server's. */
static gm_status open_chat(gm_chat *chat, const gm_server *server, const gm_request *request,
                           gm_error *err)
{
    gm_error why = {0};
    const gm_chat_options options = {.system = request->system,
                                     .settings = request->settings,
                                     .n_settings = request->n_settings,
                                     .turn = request->turn,
                                     .n_turns = request->n_turns};
    gm_status status = gm_chat_open(chat, server->setup->options->model, &options, &why);
    if (status == GM_OK) return GM_OK;
    if (status == GM_EIO) status = GM_EARG;
    return gm_fail(err, status, "the chat template: %s", why.text);
}

gm_status gm_completions_generate(gm_completions *out, const gm_server *server,
                                  const gm_request *request,
                                  const gm_completions_callbacks *callbacks, gm_error *err)
{
    gm_status status = GM_OK;
    gm_chat chat = {0};
    const size_t n = request->n_prompts * request->n_draws * request->n_plans;
    *out = (gm_completions){0};
    if (request->chat) GM_TRY(open_chat(&chat, server, request, err));
    GM_TRY(make_plans(out, server, request, err));
    out->text = gm_alloc(n, sizeof *out->text);
    if (out->text == NULL) GM_FAIL(GM_EMEM, "no memory for %zu texts", n);
    for (size_t i = 0; i < n; i++) {
        out->n = i + 1; /* one that is too long is found before it is copied n times */
        GM_TRY(prepare(out, i, server, request, &chat, err));
        GM_TRY(gm_continue_fits(out->text, out->n, server->setup->info, err));
    }

    gm_continue_options o = gm_setup_continue(server->setup, out->edit, out->n_edits);
    o.schedules = out->schedule;
    if (request->n_stop > 0) {
        o.stop_string = request->stop;
        o.n_stop_strings = request->n_stop;
    }
    text_forwarder forwarder = {callbacks, out->text};
    if (callbacks->on_text) {
        o.on_text = forward_text;
        o.on_text_context = &forwarder;
    }
    o.keep_going = callbacks->keep_going;
    o.keep_going_context = callbacks->context;
    o.quiet = true;
    GM_TRY(write_texts(out, server, request, &o, err));
out:
    gm_chat_clear(&chat);
    if (status != GM_OK) gm_completions_clear(out);
    return status;
}
