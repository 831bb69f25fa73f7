/* setup.c - see setup.h. */
#include "steer/setup.h"

#include "base/device.h"
#include "base/json.h"
#include "base/progress.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

gm_setup_options gm_setup_defaults(void)
{
    return (gm_setup_options){.device = "auto",
                              .kernels = "auto",
                              .batch = 32,
                              .max_tokens = 100,
                              .top_k = -1,
                              .temperature = -1,
                              .top_p = -1,
                              .penalty = -1};
}

void gm_setup_options_clear(gm_setup_options *o)
{
    gm_opt_list_clear(&o->prompts);
    gm_opt_list_clear(&o->chat_set);
    gm_opt_list_clear(&o->stop_strings);
    gm_opt_list_clear(&o->stop_tokens);
}

/* Greedy unless the model says that it samples or a temperature was asked for. */
static gm_sampling choose_sampling(const gm_setup_options *o, const gm_model_info *info)
{
    double temperature = info->do_sample ? info->temperature : 0;
    if (o->temperature >= 0) temperature = o->temperature;
    int own_k = info->do_sample ? info->top_k : 0;
    double own_p = info->do_sample ? info->top_p : 1;
    return (gm_sampling){.temperature = temperature,
                         .top_k = o->top_k >= 0 ? (int)o->top_k : own_k,
                         .top_p = o->top_p >= 0 ? o->top_p : own_p,
                         .repetition_penalty =
                             o->penalty >= 0 ? o->penalty : info->repetition_penalty,
                         .seed = (uint64_t)o->seed};
}

/* The ids that end a text: the model's own, and those asked for by spelling or number. */
static gm_status choose_stops(gm_setup *s, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_setup_options *o = s->options;
    for (int i = 0; i < s->info->n_eos && !o->ignore_eos; i++)
        GM_TRY(gm_ids_append(&s->stop, s->info->eos[i], err));
    for (size_t i = 0; i < o->stop_tokens.n; i++) {
        const char *text = o->stop_tokens.at[i];
        uint32_t id;
        int64_t number;
        if (!gm_tokenizer_find(s->tokenizer, text, &id)) {
            if (!gm_parse_i64(text, &number) || number < 0 || number >= s->info->vocab_size)
                GM_FAIL(GM_EARG, "--stop-token '%s' is neither a token nor an id below %d", text,
                        s->info->vocab_size);
            id = (uint32_t)number;
        }
        GM_TRY(gm_ids_append(&s->stop, id, err));
    }
out:
    return status;
}

/* Say in the plan's source that it came from a file and was multiplied. */
static gm_status note_weight(gm_plan *plan, const char *path, double weight, gm_error *err)
{
    gm_json_out json = {0};
    gm_json_open_object(&json, NULL);
    gm_json_put_string(&json, "plan", path);
    gm_json_put_f64(&json, "weight", weight);
    gm_json_put_raw(&json, "source", plan->source);
    gm_json_close_object(&json);
    gm_status status = gm_json_out_done(&json, err);
    char *copy = status == GM_OK ? gm_copy_text(json.text.at, json.text.n) : NULL;
    gm_text_clear(&json.text);
    if (status != GM_OK) return status;
    if (copy == NULL) return gm_fail(err, GM_EMEM, "no memory for a plan");
    gm_free(plan->source);
    plan->source = copy;
    return GM_OK;
}

/* What moves logits further than they lie apart leaves nothing to the text: most likely a
 * weight of the article's scale. */
static void warn_of_strength(const gm_plan *plan)
{
    enum { TOO_FAR = 20 }; /* nats; notebooks-data/article.md */
    const size_t n = (size_t)plan->n_layers * (size_t)plan->n_experts;
    float most = 0;
    if (plan->mode == GM_PLAN_MASK) return;
    for (size_t i = 0; i < n; i++)
        if (isfinite(plan->bias[i])) most = fmaxf(most, fabsf(plan->bias[i]));
    if (most > TOO_FAR)
        gm_warn("the plan changes router logits by up to %.3g nats, so its experts are chosen "
                "whatever the text; weights of 1 to 3 are usual, or hundreds with --scale article",
                (double)most);
}

gm_status gm_setup_plan_quietly(gm_plan *plan, const gm_setup *s, const gm_recipe *recipe,
                                const char *path, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text what = {0};
    const gm_shape own = gm_setup_shape(s);
    *plan = (gm_plan){0};
    if (path == NULL) {
        GM_TRY(gm_recipe_build(plan, recipe, &own, s->atlas, s->options->atlas, err));
        goto out;
    }
    GM_TRY(gm_plan_read(plan, path, err));
    const gm_shape has = {plan->n_layers,     plan->n_experts,    0,
                          plan->layer_of_moe, plan->model_digest, plan->config_digest};
    GM_TRY(gm_text_printf(&what, err, "plan '%s'", path));
    GM_TRY(gm_shape_check(&has, what.at, &own, s->info->folder, s->options->any_model, err));
    if (recipe->weight != 1) {
        GM_TRY(gm_plan_scale(plan, recipe->weight, err));
        GM_TRY(note_weight(plan, path, recipe->weight, err));
    }
out:
    gm_text_clear(&what);
    if (status != GM_OK) gm_plan_clear(plan);
    return status;
}

gm_status gm_setup_plan(gm_plan *plan, const gm_setup *s, const gm_recipe *recipe, const char *path,
                        gm_error *err)
{
    gm_status status = gm_setup_plan_quietly(plan, s, recipe, path, err);
    if (status != GM_OK) return status;
    if (path == NULL) gm_recipe_warn(recipe, plan);
    warn_of_strength(plan);
    return GM_OK;
}

static gm_chat_options chat_options(const gm_setup_options *o)
{
    return (gm_chat_options){.system = o->system,
                             .answer = o->answer,
                             .date = o->chat_date,
                             .settings = o->chat_set.at,
                             .n_settings = o->chat_set.n};
}

gm_status gm_setup_check(const gm_setup_options *o, const gm_recipe *recipe, gm_error *err)
{
    if (o->model == NULL) return gm_fail(err, GM_EARG, "--model DIR is missing");
    gm_device device;
    gm_status status = gm_device_parse(&device, o->device, err);
    if (status == GM_OK) status = gm_kernels_check(o->kernels, err);
    if (status != GM_OK) return status;
    if (o->top_p == 0 || o->penalty == 0)
        return gm_fail(err, GM_EARG,
                       "--%s is 0; give 1 to turn it off, or a number below 0 for the value of "
                       "generation_config.json",
                       o->top_p == 0 ? "top-p" : "repetition-penalty");
    for (size_t i = 0; i < o->stop_strings.n; i++) {
        const char *text = o->stop_strings.at[i];
        if (*text == '\0' || gm_utf8_valid(text, strlen(text)) != strlen(text))
            return gm_fail(err, GM_EARG, "--stop '%s': expected UTF-8 text that is not empty",
                           text);
    }
    const gm_chat_options chat = chat_options(o);
    status = gm_chat_check(&chat, o->chat, err);
    if (status != GM_OK) return status;
    if (o->atlas == NULL && recipe->clusters.n + recipe->subsets.n > 0)
        return gm_fail(err, GM_EARG, "--cluster and --subset need --atlas FILE");
    return gm_recipe_check(recipe, err);
}

static gm_status open_model(gm_setup *s, bool headers_only, gm_error *err)
{
    gm_progress progress;
    const gm_setup_options *o = s->options;
    /* prompts given on the line are few, and so are the plans that each is continued under */
    const size_t batch = (size_t)o->batch, few = 8 * o->prompts.n;
    const gm_session_options planned = gm_continue_planned(
        (int)o->threads, o->prompts.n > 0 && few < batch ? few : batch, (size_t)o->max_tokens);
    const gm_model_options how = {.device = o->device,
                                  .numerics = (gm_numerics)o->numerics,
                                  .headers_only = headers_only,
                                  .threads = (int)o->threads,
                                  .kernels = o->kernels,
                                  .hold = o->map ? GM_HOLD_MAPPED : GM_HOLD_RESIDENT,
                                  .cache = (gm_cache)o->cache,
                                  .cache_folder = o->cache_dir,
                                  .strict_memory = o->strict_memory,
                                  .planned = &planned,
                                  .notice = gm_warn_sentence,
                                  .device_notice = o->quiet ? NULL : gm_tell_sentence,
                                  .progress = gm_progress_take,
                                  .progress_context = &progress};
    gm_progress_start(&progress, "load", "bytes", 0, o->quiet || headers_only);
    gm_status status = gm_model_open(&s->model, o->model, &how, err);
    gm_progress_end(&progress);
    if (status == GM_OK) s->info = gm_model_get_info(s->model);
    return status;
}

gm_status gm_setup_load(gm_setup *s, gm_error *err)
{
    gm_model_close(s->model);
    s->model = NULL;
    s->info = NULL;
    return open_model(s, false, err);
}

gm_status gm_setup_open(gm_setup *s, const gm_setup_options *options, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text what = {0};
    *s = (gm_setup){.options = options};
    if (options->atlas) GM_TRY(gm_atlas_open(&s->atlas, options->atlas, err));
    GM_TRY(open_model(s, true, err));
    if (options->max_tokens >= s->info->max_context) /* before the weights are loaded */
        GM_FAIL(GM_EARG,
                "--max-tokens is %" PRId64
                ", but the model's context of %d must hold the prompt as well",
                options->max_tokens, s->info->max_context);
    if (s->atlas) {
        const gm_shape shape = gm_shape_of_atlas(s->atlas);
        GM_TRY(gm_text_printf(&what, err, "atlas '%s'", options->atlas));
        const gm_shape own = gm_setup_shape(s);
        GM_TRY(gm_shape_check(&shape, what.at, &own, s->info->folder, options->any_model, err));
    }
    GM_TRY(gm_tokenizer_open(&s->tokenizer, options->model, err));
    if (gm_tokenizer_size(s->tokenizer) > (size_t)s->info->vocab_size)
        GM_FAIL(GM_EFORMAT,
                "'%s': the tokenizer has %zu tokens, but the model's vocabulary has %d; it belongs "
                "to another model",
                options->model, gm_tokenizer_size(s->tokenizer), s->info->vocab_size);
    if (s->info->unknown_keys[0])
        gm_warn("'%s/config.json' has unknown keys: %s", options->model, s->info->unknown_keys);
    GM_TRY(gm_encoder_create(&s->encoder, s->tokenizer, err));
    const gm_chat_options chat = chat_options(options);
    if (options->chat) GM_TRY(gm_chat_open(&s->chat, options->model, &chat, err));
    s->sampling = choose_sampling(options, s->info);
    GM_TRY(choose_stops(s, err));
out:
    gm_text_clear(&what);
    if (status != GM_OK) gm_setup_close(s);
    return status;
}

void gm_setup_close(gm_setup *s)
{
    gm_ids_clear(&s->stop);
    gm_chat_clear(&s->chat);
    gm_encoder_free(s->encoder);
    gm_tokenizer_close(s->tokenizer);
    gm_model_close(s->model);
    gm_atlas_close(s->atlas);
    *s = (gm_setup){0};
}

gm_shape gm_setup_shape(const gm_setup *s)
{
    return (gm_shape){s->info->n_moe_layers, s->info->n_experts, s->info->n_chosen,
                      s->info->layer_of_moe, s->info->digest,    s->info->config_digest};
}

void gm_setup_put(const gm_setup *s, gm_json_out *json)
{
    gm_json_put_string(json, "model", s->info->folder);
    gm_json_put_string(json, "model_digest", s->info->digest);
    gm_json_put_string(json, "config_digest", s->info->config_digest);
    gm_json_put_string(json, "numerics", gm_numerics_name(s->info->numerics));
    gm_json_put_string(json, "kernels", s->info->kernels);
    gm_setup_put_chat(s, json);
    gm_json_open_object(json, "sampling");
    gm_json_put_f64(json, "temperature", s->sampling.temperature);
    gm_json_put_i64(json, "top_k", s->sampling.top_k);
    gm_json_put_f64(json, "top_p", s->sampling.top_p);
    gm_json_put_f64(json, "repetition_penalty", s->sampling.repetition_penalty);
    gm_json_put_i64(json, "seed", s->options->seed);
    gm_json_put_i64(json, "max_tokens", s->options->max_tokens);
    gm_json_close_object(json);
}

void gm_setup_put_chat_options(const gm_setup_options *o, gm_json_out *json)
{
    const gm_chat_options options = chat_options(o);
    gm_chat_put(&options, o->chat_date, json);
}

void gm_setup_put_chat(const gm_setup *s, gm_json_out *json)
{
    if (s->chat.name[0] == '\0') return;
    const gm_chat_options options = chat_options(s->options);
    gm_json_put_string(json, "chat", s->chat.name);
    gm_chat_put(&options, s->chat.date, json);
}

gm_edit gm_setup_edit(const gm_plan *plan)
{
    gm_edit edit = {.bias = plan->bias,
                    .mode = (gm_edit_mode)plan->mode,
                    .mass_matched = plan->mass_matched,
                    .phases = plan->phases};
    gm_plan_window(plan, &edit.first_layer, &edit.last_layer);
    return edit;
}

gm_status gm_setup_prepare(const gm_setup *s, gm_continuation *c, const gm_prompt *prompt,
                           uint64_t stream, gm_error *err)
{
    gm_status status = GM_OK;
    gm_encoded about = {0};
    *c = (gm_continuation){
        .edit = -1, .sampling = s->sampling, .max_tokens = (size_t)s->options->max_tokens};
    c->sampling.stream = stream;
    if (s->chat.name[0])
        return gm_chat_encode(&s->chat, s->encoder, prompt->text, prompt->n, &c->prompt,
                              &c->n_template, &c->n_closing, err);
    GM_TRY(gm_encode(s->encoder, prompt->text, prompt->n, true, &c->prompt, &about, err));
    c->n_template = about.n_before;
    c->prompt.n -= about.n_after; /* what ends a finished text has no place before going on */
out:
    return status;
}

gm_continue_options gm_setup_continue(const gm_setup *s, const gm_edit *edits, size_t n)
{
    const gm_setup_options *o = s->options;
    return (gm_continue_options){.threads = (int)o->threads,
                                 .batch = (size_t)o->batch,
                                 .edits = edits,
                                 .n_edits = n,
                                 .stop = s->stop.at,
                                 .n_stop = s->stop.n,
                                 .stop_string = o->stop_strings.at,
                                 .n_stop_strings = o->stop_strings.n,
                                 .quiet = o->quiet};
}
