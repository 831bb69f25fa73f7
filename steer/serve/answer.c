/* answer.c - see answer.h. */
#include "steer/serve/answer.h"

#include <string.h>

void gm_answer_clear(gm_answer *a)
{
    for (size_t i = 0; a->text && i < a->n; i++) gm_continuation_clear(&a->text[i]);
    for (size_t i = 0; a->likelihood && i < a->n; i++) gm_likelihood_clear(&a->likelihood[i]);
    for (size_t i = 0; a->plan && i < a->n_plans; i++) gm_plan_clear(&a->plan[i]);
    gm_free(a->text);
    gm_free(a->likelihood);
    gm_free(a->plan);
    gm_free(a->edit_of);
    gm_free(a->edit);
    gm_free(a->schedule);
    gm_free(a->important);
    *a = (gm_answer){0};
}

/* ---- plans ---- */

static gm_status named_path(const char **path, const gm_host *host, const char *name, gm_error *err)
{
    for (size_t i = 0; i < host->n_plans; i++)
        if (strcmp(host->plan_name[i], name) == 0) {
            *path = host->plan_path[i];
            return GM_OK;
        }
    return gm_fail(err, GM_EARG,
                   "there is no plan '%s' among the %zu that the server was started with", name,
                   host->n_plans);
}

static size_t cells_of(const gm_host *host)
{
    return (size_t)host->stage->info->n_moe_layers * (size_t)host->stage->info->n_experts;
}

/* Make plan i of the request, and the edit that it is; the server's own is borrowed. */
static gm_status make_plan(gm_answer *a, size_t i, const gm_host *host, const gm_ask_plan *asked,
                           gm_error *err)
{
    gm_status status = GM_OK;
    const char *path = NULL;
    const gm_plan *plan = &a->plan[i];
    a->edit_of[i] = -1;
    if (asked->kind == GM_ASK_UNSTEERED) goto out;
    if (asked->kind == GM_ASK_BY_NAME) GM_TRY(named_path(&path, host, asked->name, err));
    if (asked->recipe.clusters.n + asked->recipe.subsets.n > 0 && host->stage->atlas == NULL)
        GM_FAIL(GM_EARG,
                "the server was started without --atlas, so it has no clusters or subsets");
    if (asked->kind == GM_ASK_OWN)
        plan = host->own;
    else
        GM_TRY(gm_stage_plan(&a->plan[i], host->stage, &asked->recipe, path, err));
    const size_t e = a->n_edits++;
    a->edit_of[i] = (int)e;
    a->edit[e] = gm_stage_edit(plan);
    a->schedule[e] = plan->schedule;
    gm_vector_important(a->important + e * cells_of(host), plan->bias, plan->n_layers,
                        plan->n_experts, host->stage->info->n_chosen);
out:
    return status;
}

static gm_status make_plans(gm_answer *a, const gm_host *host, const gm_ask *ask, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t n = ask->n_plans;
    a->plan = gm_alloc(n, sizeof *a->plan);
    a->edit_of = gm_alloc(n, sizeof *a->edit_of);
    a->edit = gm_alloc(n, sizeof *a->edit);
    a->schedule = gm_alloc(n, sizeof *a->schedule);
    a->important = gm_alloc2(n, cells_of(host), sizeof *a->important);
    if (!a->plan || !a->edit_of || !a->edit || !a->schedule || !a->important)
        GM_FAIL(GM_EMEM, "no memory for %zu plans", n);
    for (; a->n_plans < n; a->n_plans++)
        GM_TRY(make_plan(a, a->n_plans, host, &ask->plan[a->n_plans], err));
out:
    return status;
}

/* ---- texts ---- */

static gm_status take_prompt(gm_continuation *c, const gm_host *host, const gm_ask *ask,
                             const gm_chat *chat, const gm_ask_prompt *p, gm_error *err)
{
    gm_status status = GM_OK;
    if (p->text && gm_utf8_valid(p->text, p->n) != p->n)
        GM_FAIL(GM_EFORMAT, "a prompt is not valid UTF-8");
    if (ask->chat) {
        GM_TRY(gm_chat_encode(chat, host->stage->encoder, p->text, p->n, &c->prompt, &c->n_template,
                              &c->n_closing, err));
    } else if (p->text) {
        const gm_prompt prompt = {p->text, p->n};
        GM_TRY(gm_stage_prepare(host->stage, c, &prompt, 0, err));
    }
    for (size_t t = 0; t < p->n_ids; t++) GM_TRY(gm_ids_append(&c->prompt, p->ids[t], err));
out:
    return status;
}

/* Set up choice i. */
static gm_status prepare(gm_answer *a, size_t i, const gm_host *host, const gm_ask *ask,
                         const gm_chat *chat, gm_error *err)
{
    gm_continuation *c = &a->text[i];
    const size_t plan = i % ask->n_plans, draw = i / ask->n_plans;
    gm_status status = take_prompt(c, host, ask, chat, &ask->prompt[draw / ask->n_draws], err);
    if (status != GM_OK) return status;
    c->edit = a->edit_of[plan];
    c->important = c->edit < 0 ? NULL : a->important + (size_t)c->edit * cells_of(host);
    c->sampling = ask->sampling;
    c->sampling.stream = draw;
    c->max_tokens = ask->max_tokens;
    if (draw % ask->n_draws == 0 && plan == 0) a->n_prompt_tokens += c->prompt.n;
    return GM_OK;
}

typedef struct telling {
    const gm_listener *to;
    const gm_continuation *first;
} telling;

static void tell(void *context, const gm_continuation *c, const char *bytes, size_t n)
{
    const telling *t = context;
    t->to->say(t->to->context, (size_t)(c - t->first), bytes, n);
}

static gm_status write_texts(gm_answer *a, const gm_host *host, const gm_ask *ask,
                             const gm_continue_options *o, gm_error *err)
{
    gm_status status = GM_OK;
    if (ask->max_tokens > 0)
        GM_TRY(gm_continue(a->text, a->n, host->stage->model, host->stage->tokenizer, o, err));
    for (size_t i = 0; i < a->n; i++) {
        a->n_generated += a->text[i].generated.n;
        if (ask->max_tokens == 0) a->text[i].end = GM_END_LENGTH;
    }
    if (ask->n_likeliest < 0) goto out;
    a->likelihood = gm_alloc(a->n, sizeof *a->likelihood);
    if (a->likelihood == NULL) GM_FAIL(GM_EMEM, "no memory for %zu texts", a->n);
    GM_TRY(gm_likelihood_all(a->likelihood, a->text, a->n, !ask->echo, (size_t)ask->n_likeliest,
                             host->stage->model, o, err));
out:
    return status;
}

/* A model without a template is no failure of the server's. */
static gm_status open_chat(gm_chat *chat, const gm_host *host, const gm_ask *ask, gm_error *err)
{
    gm_error why = {0};
    const gm_chat_options options = {.system = ask->system,
                                     .settings = ask->settings,
                                     .n_settings = ask->n_settings,
                                     .turn = ask->turn,
                                     .n_turns = ask->n_turns};
    gm_status status = gm_chat_open(chat, host->stage->options->model, &options, &why);
    if (status == GM_OK) return GM_OK;
    if (status == GM_EIO) status = GM_EARG;
    return gm_fail(err, status, "the chat template: %s", why.text);
}

gm_status gm_answer_make(gm_answer *out, const gm_host *host, const gm_ask *ask,
                         const gm_listener *listener, gm_error *err)
{
    gm_status status = GM_OK;
    gm_chat chat = {0};
    const size_t n = ask->n_prompts * ask->n_draws * ask->n_plans;
    *out = (gm_answer){0};
    if (ask->chat) GM_TRY(open_chat(&chat, host, ask, err));
    GM_TRY(make_plans(out, host, ask, err));
    out->text = gm_alloc(n, sizeof *out->text);
    if (out->text == NULL) GM_FAIL(GM_EMEM, "no memory for %zu texts", n);
    for (; out->n < n; out->n++) GM_TRY(prepare(out, out->n, host, ask, &chat, err));

    gm_continue_options o = gm_stage_continue(host->stage, out->edit, out->n_edits);
    o.schedules = out->schedule;
    if (ask->n_stop > 0) {
        o.stop_string = ask->stop;
        o.n_stop_strings = ask->n_stop;
    }
    telling told = {listener, out->text};
    if (listener->say) {
        o.said = tell;
        o.said_context = &told;
    }
    o.wanted = listener->wanted;
    o.wanted_context = listener->context;
    o.quiet = true;
    GM_TRY(write_texts(out, host, ask, &o, err));
out:
    gm_chat_clear(&chat);
    if (status != GM_OK) gm_answer_clear(out);
    return status;
}
