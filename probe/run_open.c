/* run_open.c - opens what a run needs, tokenizer, model and corpus, and closes it: see run.h. */
#include "engine/engine.h"
#include "probe/run.h"
#include "probe/same_run.h"

#include <string.h>

enum { TEMPLATE_TOKENS = 64 }; /* of a document, at most */

/* A document has at least the shorter of --min-tokens and --doc-tokens, at most the latter and what
 * a template adds, and no more than the model's context. */
static gm_runner_options runner_options(const gm_run *r, size_t context)
{
    const gm_collect_options *o = &r->o;
    const size_t most = (size_t)o->doc_tokens + TEMPLATE_TOKENS;
    const size_t least = (size_t)(o->min_tokens < o->doc_tokens ? o->min_tokens : o->doc_tokens);
    return (gm_runner_options){.level = o->level,
                               .nll = o->nll,
                               .norms = o->norms,
                               .logits_rate = o->logits_rate,
                               .seed = (uint64_t)o->seed,
                               .step_tokens = (size_t)o->step_tokens,
                               .min_document = least < context ? least : context,
                               .max_document = most < context ? most : context,
                               .threads = (int)o->threads,
                               .edit = o->plan ? &r->edit : NULL,
                               .stream = o->stream};
}

/* A dry run writes no packed weights, and where they do not fit it goes without. */
static gm_status load(gm_run *r, gm_model_options *how, gm_error *err)
{
    gm_progress *progress = how->progress_context;
    const gm_collect_options *o = &r->o;
    if (o->dry_run) {
        how->cache = o->stream && o->cache != GM_CACHE_OFF ? GM_CACHE_USE : GM_CACHE_OFF;
        how->headers_only = o->map;
    }
    gm_progress_start(progress, "load", "bytes", 0, o->quiet || how->headers_only);
    gm_status status = gm_model_open(&r->model, o->model, how, err);
    gm_progress_end(progress);
    if (!o->dry_run || o->strict_memory || status != GM_EMEM) return status;
    gm_warn("%s", err->text);
    how->headers_only = true;
    return gm_model_open(&r->model, o->model, how, err);
}

/* On the device that the run has, or that it was begun on. */
static gm_status open_model(gm_run *r, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_collect_options *o = &r->o;
    gm_progress progress;
    gm_gpu_info gpu;
    const gm_session_options planned = gm_runner_session(&r->runner_options);
    const char *device;
    gm_text begun = {0}; /* the file that says where the run was begun */
    GM_TRY(gm_run_device(r, &device, &begun, err));
    gm_model_options mo = {.device = device,
                           .numerics = (gm_numerics)o->numerics,
                           .threads = (int)o->threads,
                           .kernels = o->kernels,
                           .hold = o->stream ? GM_HOLD_STREAMED
                                   : o->map  ? GM_HOLD_MAPPED
                                             : GM_HOLD_RESIDENT,
                           .cache = (gm_cache)o->cache,
                           .cache_folder = o->cache_dir,
                           .strict_memory = o->strict_memory,
                           .planned = &planned,
                           .notice = gm_warn_sentence,
                           .device_notice = o->quiet ? NULL : gm_tell_sentence,
                           .no_head = !o->nll,
                           .progress = gm_progress_take,
                           .progress_context = &progress};
    status = load(r, &mo, err);
    if ((status == GM_EABSENT || status == GM_EMEM) && begun.n > 0 && strcmp(device, "cuda") == 0)
        GM_FAIL(status, "'%s' was computed on a GPU; continue it on one, or start over: %s",
                begun.at, err->text);
    if (status == GM_OK && begun.n > 0 && strcmp(device, "cpu") == 0 && !o->quiet &&
        gm_gpu_find(&gpu))
        gm_tell("computing on the CPU, where the run of '%s' began", begun.at);
out:
    gm_text_clear(&begun);
    return status;
}

/* What can be known without the weights: the plan that the run is under, and how long documents can
 * be, for which memory is planned. */
static gm_status read_headers(gm_run *r, gm_error *err)
{
    gm_status status = GM_OK;
    gm_model *model = NULL;
    const gm_model_options headers = {.numerics = (gm_numerics)r->o.numerics, .headers_only = true};
    GM_TRY(gm_model_open(&model, r->o.model, &headers, err));
    const gm_model_info *info = gm_model_get_info(model);
    if (r->o.plan) GM_TRY(gm_run_open_plan(r, info, err));
    r->runner_options = runner_options(r, (size_t)info->max_context);
out:
    gm_model_close(model);
    return status;
}

gm_status gm_run_open(gm_run *r, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_collect_options *o = &r->o;
    GM_TRY(gm_tokenizer_open(&r->tokenizer, o->model, err));
    GM_TRY(read_headers(r, err));
    GM_TRY(open_model(r, err));
    const gm_model_info *m = gm_model_get_info(r->model);
    if (gm_tokenizer_size(r->tokenizer) > (size_t)m->vocab_size)
        GM_FAIL(GM_EFORMAT,
                "'%s': the tokenizer has %zu tokens, but the model's vocabulary has %d; it belongs "
                "to another model",
                o->model, gm_tokenizer_size(r->tokenizer), m->vocab_size);
    if (m->unknown_keys[0])
        gm_warn("'%s/config.json' has unknown keys: %s", o->model, m->unknown_keys);
    r->blocks_options =
        (gm_blocks_options){.paths = o->corpus.at,
                            .n_paths = o->corpus.n,
                            .corpus = {.text_field = o->text_field,
                                       .subset_field = o->subset_field,
                                       .language_field = o->language_field,
                                       .strict = o->strict},
                            .subset_asked = strcmp(o->subset_field, GM_SUBSET_FIELD) != 0,
                            .tokenizer = r->tokenizer,
                            .doc_tokens = (size_t)o->doc_tokens,
                            .max_context = (size_t)m->max_context,
                            .min_tokens = (size_t)o->min_tokens,
                            .limit = (uint64_t)o->limit,
                            .sample = (uint64_t)(o->sample > 0 ? o->sample : o->per_subset),
                            .per_subset = o->per_subset > 0,
                            .seed = (uint64_t)o->seed,
                            .keep_text = o->text,
                            .spell = o->spelling};
    GM_TRY(gm_blocks_create(&r->blocks, &r->blocks_options, err));
out:
    return status;
}

void gm_run_close(gm_run *r)
{
    gm_runner_free(r->runner);
    gm_blocks_free(r->blocks);
    gm_tokenizer_close(r->tokenizer);
    gm_model_close(r->model);
    gm_plan_clear(&r->plan);
    gm_text_clear(&r->folder);
    gm_text_clear(&r->command);
    gm_text_clear(&r->options);
    gm_text_clear(&r->fingerprint_of);
    gm_text_clear(&r->provenance.text);
    gm_collect_options_clear(&r->o);
}
