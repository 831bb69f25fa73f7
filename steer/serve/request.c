/* request.c - see request.h. */
#include "steer/serve/request.h"

#include "base/cli_config.h"
#include "base/cli_nearest.h"

#include <stdio.h>
#include <string.h>

static const char BODY[] = "request"; /* its name in messages */

static gm_status wrong(const char *key, const gm_json *value, const char *expected, gm_error *err)
{
    const char *found = gm_json_kind_name(gm_json_kind_of(value));
    return gm_fail(err, GM_EFORMAT, "'%s': '%s' has type %s, expected %s", BODY, key, found,
                   expected);
}

/* The member, or NULL where it is absent or null. */
static const gm_json *member(const gm_request *a, const char *key)
{
    const gm_json *value = gm_json_find(a->body, key);
    return value && gm_json_kind_of(value) != GM_JSON_NULL ? value : NULL;
}

static void *take(gm_request *a, size_t n, size_t size)
{
    return gm_arena_alloc(&a->arena, n > 0 ? n : 1, size);
}

/* ---- which members there may be ---- */

enum { IN_COMPLETIONS = 1, IN_CHATS = 2, IN_BOTH = 3 };

/* Members whose value does not change the answer, or that may only be what changes nothing. How
 * many tokens a stream has is told at its end anyway. */
static const struct {
    const char *name;
    int where;
    const char *neutral; /* NULL: anything is; else as JSON */
} members[] = {
    {"model", IN_BOTH, NULL},           {"user", IN_BOTH, NULL},
    {"metadata", IN_BOTH, NULL},        {"stream_options", IN_BOTH, NULL},
    {"best_of", IN_COMPLETIONS, "1"},   {"suffix", IN_COMPLETIONS, "\"\""},
    {"presence_penalty", IN_BOTH, "0"}, {"frequency_penalty", IN_BOTH, "0"},
    {"logit_bias", IN_BOTH, "{}"},
};

static const struct {
    const char *name;
    int where;
} read_members[] = {
    {"prompt", IN_COMPLETIONS},
    {"echo", IN_COMPLETIONS},
    {"logprobs", IN_BOTH},
    {"top_logprobs", IN_CHATS},
    {"messages", IN_CHATS},
    {"chat_template_kwargs", IN_CHATS},
    {"max_tokens", IN_BOTH},
    {"max_completion_tokens", IN_CHATS},
    {"temperature", IN_BOTH},
    {"top_p", IN_BOTH},
    {"top_k", IN_BOTH},
    {"seed", IN_BOTH},
    {"n", IN_BOTH},
    {"repetition_penalty", IN_BOTH},
    {"stop", IN_BOTH},
    {"stream", IN_BOTH},
    {"steer", IN_BOTH},
};

static gm_status check_neutral(const gm_json *value, const char *name, const char *neutral,
                               gm_error *err)
{
    gm_json *expected = NULL;
    gm_status status = gm_json_parse(&expected, neutral, strlen(neutral), BODY, err);
    if (status == GM_OK && !gm_json_same(value, expected))
        status = gm_fail(err, GM_EARG, "'%s': '%s' can only be %s or absent", BODY, name, neutral);
    gm_json_free(expected);
    return status;
}

static gm_status refuse_member(const char *name, int where, gm_error *err)
{
    char advice[GM_ADVICE_BYTES];
    gm_nearest nearest = gm_nearest_to(name);
    for (size_t i = 0; i < sizeof read_members / sizeof *read_members; i++)
        if (read_members[i].where & where) gm_nearest_offer(&nearest, read_members[i].name);
    return gm_fail(err, GM_EARG, "'%s': '%s' is not supported%s", BODY, name,
                   gm_nearest_advice(&nearest, "", advice));
}

static gm_status check_member(const gm_request *a, const gm_json *value, gm_error *err)
{
    const int where = a->chat ? IN_CHATS : IN_COMPLETIONS;
    const char *name = gm_json_key(value);
    if (gm_json_kind_of(value) == GM_JSON_NULL) return GM_OK; /* nothing is said by it */
    for (size_t i = 0; i < sizeof read_members / sizeof *read_members; i++)
        if ((read_members[i].where & where) && strcmp(name, read_members[i].name) == 0)
            return GM_OK;
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        if (!(members[i].where & where) || strcmp(name, members[i].name) != 0) continue;
        if (members[i].neutral == NULL) return GM_OK;
        return check_neutral(value, name, members[i].neutral, err);
    }
    return refuse_member(name, where, err);
}

/* ---- prompts ---- */

static gm_status read_ids(gm_request *a, gm_request_prompt *out, const gm_json *list,
                          size_t vocabulary, gm_error *err)
{
    uint32_t *ids = take(a, gm_json_n_items(list), sizeof *ids);
    if (ids == NULL) return gm_fail(err, GM_EMEM, "no memory for a prompt");
    for (const gm_json *v = gm_json_first(list); v; v = gm_json_next(v)) {
        int64_t id;
        if (!gm_json_i64(v, &id) || id < 0 || (uint64_t)id >= vocabulary)
            return gm_fail(err, GM_EARG, "'%s': token %zu of a prompt is not an id from 0 to %zu",
                           BODY, out->n_ids + 1, vocabulary - 1);
        ids[out->n_ids++] = (uint32_t)id;
    }
    out->ids = ids;
    return GM_OK;
}

static gm_status read_prompt(gm_request *a, gm_request_prompt *out, const gm_json *value,
                             size_t vocabulary, gm_error *err)
{
    *out = (gm_request_prompt){0};
    if (gm_json_kind_of(value) == GM_JSON_ARRAY) {
        gm_status status = read_ids(a, out, value, vocabulary, err);
        if (status != GM_OK) return status;
    } else {
        out->text = gm_json_text(value, &out->n);
        if (out->text == NULL) return wrong("prompt", value, "texts or token ids", err);
    }
    if (out->n + out->n_ids == 0) return gm_fail(err, GM_EARG, "'%s': a prompt is empty", BODY);
    return GM_OK;
}

static gm_status read_prompts(gm_request *a, size_t vocabulary, gm_error *err)
{
    const gm_json *value = member(a, "prompt");
    int64_t id;
    if (value == NULL) return gm_fail(err, GM_EARG, "'%s': 'prompt' is missing", BODY);
    const gm_json *first = gm_json_kind_of(value) == GM_JSON_ARRAY ? gm_json_first(value) : NULL;
    const bool many = first && !gm_json_i64(first, &id);
    const size_t n = many ? gm_json_n_items(value) : 1;
    if (n > GM_REQUEST_MAX_CHOICES)
        return gm_fail(err, GM_EARG, "'%s': there are %zu prompts, expected at most %d", BODY, n,
                       GM_REQUEST_MAX_CHOICES);
    a->prompt = take(a, n, sizeof *a->prompt);
    if (a->prompt == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu prompts", n);
    gm_status status = GM_OK;
    const gm_json *item = many ? first : value;
    for (; status == GM_OK && a->n_prompts < n; item = many ? gm_json_next(item) : NULL)
        status = read_prompt(a, &a->prompt[a->n_prompts++], item, vocabulary, err);
    return status;
}

/* The text of a message: a string, or a list of one {"type": "text", "text": ...}. */
static const char *content_of(const gm_json *message, size_t *n)
{
    const gm_json *content = gm_json_find(message, "content");
    if (content && gm_json_kind_of(content) == GM_JSON_ARRAY && gm_json_n_items(content) == 1)
        content = gm_json_find(gm_json_first(content), "text");
    return content ? gm_json_text(content, n) : NULL;
}

static gm_status read_message(gm_request *a, const gm_json *m, gm_error *err)
{
    const gm_json *named = gm_json_find(m, "role");
    const char *role = named ? gm_json_text(named, NULL) : NULL;
    size_t n = 0;
    const char *text = content_of(m, &n);
    if (role == NULL || text == NULL)
        return gm_fail(err, GM_EARG,
                       "'%s': a message has no 'role', or its 'content' is not a string", BODY);
    if (strcmp(role, "system") == 0 && a->system == NULL && a->n_turns == 0) {
        if (strlen(text) != n)
            return gm_fail(err, GM_EARG, "'%s': the system message contains a NUL character", BODY);
        a->system = text;
        return GM_OK;
    }
    if (strcmp(role, "user") != 0 && strcmp(role, "assistant") != 0)
        return gm_fail(err, GM_EARG,
                       "'%s': a message by '%.40s' is out of place, expected at most one by "
                       "'system' first, then 'user' and 'assistant' in turn",
                       BODY, role);
    a->turn[a->n_turns++] = (gm_chat_turn){role, text, n};
    return GM_OK;
}

static gm_status read_messages(gm_request *a, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_json *list = member(a, "messages");
    if (list == NULL || gm_json_kind_of(list) != GM_JSON_ARRAY)
        return gm_fail(err, GM_EARG, "'%s': 'messages' is missing or is not a list", BODY);
    a->prompt = take(a, 1, sizeof *a->prompt);
    a->turn = take(a, gm_json_n_items(list), sizeof *a->turn);
    if (!a->prompt || !a->turn) return gm_fail(err, GM_EMEM, "no memory for a question");
    for (const gm_json *m = gm_json_first(list); m && status == GM_OK; m = gm_json_next(m))
        status = read_message(a, m, err);
    if (status != GM_OK) return status;
    if (a->n_turns == 0 || strcmp(a->turn[a->n_turns - 1].role, "user") != 0)
        return gm_fail(err, GM_EARG, "'%s': the last message is not by 'user'", BODY);
    const gm_chat_turn *question = &a->turn[--a->n_turns];
    a->prompt[a->n_prompts++] = (gm_request_prompt){.text = question->text, .n = question->n};
    return GM_OK;
}

/* "NAME=VALUE" of a variable of the template, VALUE as JSON. */
static gm_status read_setting(gm_request *a, const gm_json *value, gm_error *err)
{
    gm_json_out json = {0};
    gm_text setting = {0};
    bool yes;
    double number;
    size_t n;
    const char *name = gm_json_key(value), *text = gm_json_text(value, &n);
    gm_status status = GM_OK;
    if (text)
        gm_json_put_text(&json, NULL, text, n);
    else if (gm_json_bool(value, &yes))
        gm_json_put_bool(&json, NULL, yes);
    else if (gm_json_f64(value, &number))
        gm_json_put_f64(&json, NULL, number);
    else
        GM_FAIL(GM_EARG, "'%s': '%s' of 'chat_template_kwargs' is not a string, number or boolean",
                BODY, name);
    GM_TRY(gm_json_out_done(&json, err));
    GM_TRY(gm_text_printf(&setting, err, "%s=%s", name, json.text.at));
    a->settings[a->n_settings] = gm_arena_text(&a->arena, setting.at, setting.n);
    if (a->settings[a->n_settings++] == NULL) GM_FAIL(GM_EMEM, "no memory for '%s'", name);
out:
    gm_text_clear(&json.text);
    gm_text_clear(&setting);
    return status;
}

static gm_status read_settings(gm_request *a, gm_error *err)
{
    const gm_json *object = member(a, "chat_template_kwargs");
    if (object == NULL) return GM_OK;
    if (gm_json_kind_of(object) != GM_JSON_OBJECT)
        return wrong("chat_template_kwargs", object, "an object", err);
    a->settings = take(a, gm_json_n_items(object), sizeof *a->settings);
    if (a->settings == NULL) return gm_fail(err, GM_EMEM, "no memory for a template's variables");
    gm_status status = GM_OK;
    for (const gm_json *v = gm_json_first(object); v && status == GM_OK; v = gm_json_next(v))
        status = read_setting(a, v, err);
    return status;
}

/* ---- how to write ---- */

static gm_status read_sampling(gm_request *a, gm_error *err)
{
    gm_status status = GM_OK;
    gm_sampling *s = &a->sampling;
    int64_t top_k, seed;
    GM_TRY(gm_json_get_f64_or(a->body, "temperature", 0, 100, s->temperature, &s->temperature, BODY,
                              err));
    GM_TRY(gm_json_get_f64_or(a->body, "top_p", 0, 1, s->top_p, &s->top_p, BODY, err));
    if (!(s->top_p > 0))
        GM_FAIL(GM_EARG, "'%s': 'top_p' is 0, expected a number above 0 and at most 1", BODY);
    GM_TRY(gm_json_get_i64_or(a->body, "top_k", 0, 1 << 28, s->top_k, &top_k, BODY, err));
    GM_TRY(gm_json_get_f64_or(a->body, "repetition_penalty", 0, 100, s->repetition_penalty,
                              &s->repetition_penalty, BODY, err));
    if (!(s->repetition_penalty > 0))
        GM_FAIL(GM_EARG, "'%s': 'repetition_penalty' is 0, expected a number above 0", BODY);
    GM_TRY(gm_json_get_i64_or(a->body, "seed", 0, INT64_MAX, (int64_t)s->seed, &seed, BODY, err));
    s->top_k = (int)top_k;
    s->seed = (uint64_t)seed;
out:
    return status;
}

static gm_status read_stops(gm_request *a, gm_error *err)
{
    const gm_json *value = member(a, "stop");
    if (value == NULL) return GM_OK;
    const bool list = gm_json_kind_of(value) == GM_JSON_ARRAY;
    const size_t n = list ? gm_json_n_items(value) : 1;
    if (n > GM_REQUEST_MAX_STOPS)
        return gm_fail(err, GM_EARG, "'%s': 'stop' has %zu strings, expected at most %d", BODY, n,
                       GM_REQUEST_MAX_STOPS);
    a->stop = take(a, n, sizeof *a->stop);
    if (a->stop == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu texts", n);
    for (const gm_json *v = list ? gm_json_first(value) : value; v;
         v = list ? gm_json_next(v) : NULL) {
        size_t bytes;
        const char *text = gm_json_text(v, &bytes);
        if (text == NULL || bytes == 0 || strlen(text) != bytes)
            return gm_fail(err, GM_EARG,
                           "'%s': 'stop' contains something that is not a string, or an empty one",
                           BODY);
        a->stop[a->n_stop++] = text;
    }
    return GM_OK;
}

/* Completions say in one member how many of the likeliest tokens, chats in two whether and how
 * many. */
static gm_status read_likeliest(gm_request *a, gm_error *err)
{
    gm_status status = GM_OK;
    const char *key = a->chat ? "top_logprobs" : "logprobs";
    bool wanted = true;
    int64_t n;
    if (a->chat) GM_TRY(gm_json_get_bool_or(a->body, "logprobs", false, &wanted, BODY, err));
    GM_TRY(gm_json_get_i64_or(a->body, key, 0, GM_REQUEST_MAX_LIKELIEST, a->chat ? 0 : -1, &n, BODY,
                              err));
    if (n > 0 && !wanted) GM_FAIL(GM_EARG, "'%s': '%s' needs \"logprobs\": true", BODY, key);
    a->n_likeliest = wanted ? (int)n : -1;
out:
    return status;
}

static gm_status read_extent(gm_request *a, const gm_request_defaults *d, gm_error *err)
{
    gm_status status = GM_OK;
    int64_t n, most;
    const char *key =
        a->chat && member(a, "max_completion_tokens") ? "max_completion_tokens" : "max_tokens";
    GM_TRY(gm_json_get_i64_or(a->body, "n", 1, GM_REQUEST_MAX_CHOICES, 1, &n, BODY, err));
    GM_TRY(gm_json_get_bool_or(a->body, "stream", false, &a->stream, BODY, err));
    GM_TRY(gm_json_get_bool_or(a->body, "echo", false, &a->echo, BODY, err));
    GM_TRY(read_likeliest(a, err));
    GM_TRY(gm_json_get_i64_or(a->body, key, a->echo ? 0 : 1, (int64_t)d->max_context,
                              (int64_t)d->max_tokens, &most, BODY, err));
    if (a->stream && a->echo) GM_FAIL(GM_EARG, "'%s': 'echo' needs \"stream\": false", BODY);
    a->n_draws = (size_t)n;
    a->max_tokens = (size_t)most;
out:
    return status;
}

/* ---- plans ---- */

/* Whether an option of a plan is called by these n characters. */
static bool is_of_plan(const char *name, size_t n)
{
    gm_recipe unused = {0};
    const gm_opt opts[] = {GM_RECIPE_OPTIONS(&unused), {.kind = GM_OPT_END_}};
    for (const gm_opt *opt = opts; opt->kind != GM_OPT_END_; opt++)
        if (opt->kind != GM_OPT_GROUP && strlen(opt->name) == n && memcmp(opt->name, name, n) == 0)
            return true;
    return false;
}

void gm_request_name_members(gm_error *err)
{
    if (err == NULL) return;
    gm_error said = *err;
    const char *from = said.text, *dashes;
    char *to = err->text, *const end = err->text + sizeof err->text;
    while ((dashes = strstr(from, "--")) != NULL) {
        const size_t n = strspn(dashes + 2, "abcdefghijklmnopqrstuvwxyz-");
        const bool is_member = is_of_plan(dashes + 2, n);
        to += snprintf(to, (size_t)(end - to), is_member ? "%.*s'steer.%.*s'" : "%.*s--%.*s",
                       (int)(dashes - from), from, (int)n, dashes + 2);
        if (to >= end) return; /* cut at the end of the room, as every sentence is */
        from = dashes + 2 + n;
    }
    (void)snprintf(to, (size_t)(end - to), "%s", from);
}

static gm_status read_plan(gm_request *a, gm_request_plan *p, const gm_json *value, gm_error *err)
{
    gm_status status = GM_OK;
    *p = (gm_request_plan){.kind = GM_REQUEST_UNSTEERED, .recipe = gm_recipe_defaults()};
    if (gm_json_kind_of(value) == GM_JSON_NULL) return GM_OK;
    const gm_opt opts[] = {
        GM_RECIPE_OPTIONS(&p->recipe),
        {GM_OPT_TEXT, "plan", &p->name, 0, 0, "NAME", ""},
        {.kind = GM_OPT_END_},
    };
    GM_TRY(gm_opt_take_object(&a->arena, opts, value, "steer", err));
    p->kind = p->name ? GM_REQUEST_BY_NAME : GM_REQUEST_BY_OPTIONS;
    if (p->name && !gm_recipe_is_bare(&p->recipe))
        GM_FAIL(GM_EARG, "'steer': 'plan' can only be combined with 'weight'");
    GM_TRY(gm_recipe_check(&p->recipe, err));
out:
    if (status != GM_OK) gm_request_name_members(err);
    return status;
}

static gm_status read_plans(gm_request *a, gm_error *err)
{
    const gm_json *value = gm_json_find(a->body, "steer");
    const bool list = value && gm_json_kind_of(value) == GM_JSON_ARRAY;
    const size_t n = list ? gm_json_n_items(value) : 1;
    if (n < 1 || n > GM_REQUEST_MAX_PLANS)
        return gm_fail(err, GM_EARG, "'steer' is a list of %zu, expected 1 to %d", n,
                       GM_REQUEST_MAX_PLANS);
    a->plan = take(a, n, sizeof *a->plan);
    if (a->plan == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu plans", n);
    if (value == NULL) {
        a->plan[a->n_plans++] = (gm_request_plan){.kind = GM_REQUEST_DEFAULT};
        return GM_OK;
    }
    gm_status status = GM_OK;
    const gm_json *item = list ? gm_json_first(value) : value;
    for (; status == GM_OK && a->n_plans < n; item = list ? gm_json_next(item) : NULL)
        status = read_plan(a, &a->plan[a->n_plans++], item, err);
    return status;
}

/* ---- all of it ---- */

gm_status gm_request_read(gm_request *out, bool chat, const char *bytes, size_t n,
                          const gm_request_defaults *defaults, gm_error *err)
{
    gm_status status = GM_OK;
    *out = (gm_request){.chat = chat, .sampling = defaults->sampling};
    GM_TRY(gm_json_parse(&out->body, bytes, n, BODY, err));
    if (gm_json_kind_of(out->body) != GM_JSON_OBJECT)
        GM_FAIL(GM_EFORMAT, "'%s' is not a JSON object", BODY);
    for (const gm_json *m = gm_json_first(out->body); m; m = gm_json_next(m))
        GM_TRY(check_member(out, m, err));
    GM_TRY(chat ? read_messages(out, err) : read_prompts(out, defaults->vocabulary, err));
    GM_TRY(read_settings(out, err));
    GM_TRY(read_sampling(out, err));
    GM_TRY(read_extent(out, defaults, err));
    GM_TRY(read_stops(out, err));
    GM_TRY(read_plans(out, err));
    if (out->n_prompts * out->n_draws > GM_REQUEST_MAX_CHOICES / out->n_plans)
        GM_FAIL(GM_EARG, "'%s': %zu prompts, %zu draws and %zu plans make more than %d texts", BODY,
                out->n_prompts, out->n_draws, out->n_plans, GM_REQUEST_MAX_CHOICES);
out:
    if (status != GM_OK) gm_request_clear(out);
    return status;
}

void gm_request_clear(gm_request *request)
{
    for (size_t i = 0; i < request->n_plans; i++) gm_recipe_clear(&request->plan[i].recipe);
    gm_json_free(request->body);
    gm_arena_clear(&request->arena);
    *request = (gm_request){0};
}
