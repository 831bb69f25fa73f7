/* bench_speed.c - a model beside the machine's ceilings: probing, prefill and decoding at
 * several contexts. */
#include "engine/bench/bench.h"

#include "base/progress.h"
#include "base/rng.h"
#include "base/text.h"
#include "engine/session.h"
#include "engine/weights.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FEW_TOKENS = 16 };

typedef struct bench {
    const gm_model *model;
    const gm_bench_plan *plan;
    gm_session *session;
    gm_team *team;
    gm_buf memory;
    uint32_t *token; /* (step) */
    gm_record record;
    float *bias; /* (L,E), on a GPU */
    double read_rates[GM_BENCH_MAX_CONTEXTS * GM_BENCH_MAX_PAIRS];
    size_t n_reads;
} bench;

/* ---- the model's own counts ---- */

/* Bytes of weights that decoding one token reads, the head included. */
static double bytes_of_token(const gm_model *model)
{
    const gm_weights *w = model->weights;
    double bytes = (double)gm_buf_bytes(&w->head);
    for (size_t l = 0; l < w->n_layers; l++) {
        const gm_layer *layer = &w->layer[l];
        bytes += (double)(gm_buf_bytes(&layer->qkv) + gm_buf_bytes(&layer->o));
        bytes += (double)(gm_buf_bytes(&layer->q_up) + gm_buf_bytes(&layer->key_up));
        bytes += (double)gm_buf_bytes(&layer->value_up);
        bytes += (double)(gm_buf_bytes(&layer->router) + gm_buf_bytes(&layer->always.gate_up));
        bytes += (double)gm_buf_bytes(&layer->always.down);
        if (layer->moe >= 0)
            bytes += (double)(layer->expert.gate_up.item_bytes + layer->expert.down.item_bytes) *
                     (double)model->arch.n_chosen;
    }
    return bytes;
}

static double size_of(const gm_buf *matrix)
{
    return (double)matrix->rows * (double)matrix->cols;
}

/* Positions that all tokens before `to` attend to, in chunks. */
static double positions_in_chunks(double chunk, double to)
{
    const double last = fmod(to, chunk);
    return 0.5 * ((to - last) * chunk + last * last);
}

/* Positions that a token of [from, to) attends to, the mean: a window's, where the layer has one.
 */
static double positions_seen(const gm_layer *layer, bool chunked, double from, double to)
{
    const double window = (double)layer->window;
    if (window == 0 || to <= window) return 0.5 * (from + to);
    if (chunked && from == to) return fmod(from, window);
    if (chunked)
        return (positions_in_chunks(window, to) - positions_in_chunks(window, from)) / (to - from);
    if (from >= window) return window;
    return (0.5 * (window - from) * (from + window) + (to - window) * window) / (to - from);
}

/* Bytes of keys and values, and of states, that decoding the token after `context` reads. */
static double cache_of_token(const gm_model *model, double context)
{
    const gm_weights *w = model->weights;
    const gm_model_info *info = gm_model_get_info(model);
    const bool gpu = w->ops->accelerator != NULL;
    const double each = (double)(gpu ? info->gpu_kv_bytes_per_token : info->kv_bytes_per_token);
    double read = 0, all = 0;
    for (size_t l = 0; l < w->n_layers; l++) {
        const gm_heads heads = gm_arch_heads(&model->arch, w->layer[l].global);
        const double numbers = (double)(heads.kv * (heads.key + heads.value));
        read += positions_seen(&w->layer[l], model->arch.chunked, context, context) * numbers;
        all += numbers;
    }
    return read / all * each + (double)info->state_bytes_per_sequence;
}

/* Products of one token of [from, to), the mean, with what was before it: keys and values, or a
 * state, which is read by its key (not in Mamba2), corrected and read by its query. */
static double products_of_mixing(const gm_arch *arch, const gm_layer *layer, double from, double to)
{
    const gm_delta *d = &arch->delta;
    const gm_heads heads = gm_arch_heads(arch, layer->global);
    if (layer->delta)
        return (arch->mamba ? 2.0 : 3.0) * (double)d->value_heads * (double)d->key *
               (double)d->value;
    return (double)arch->n_heads * positions_seen(layer, arch->chunked, from, to) *
           (double)(heads.key + heads.value);
}

/* Operations of one token of [from, to), the mean, in all layers, without the head. */
static double operations_of_token(const gm_model *model, double from, double to)
{
    const gm_weights *w = model->weights;
    double products = 0;
    for (size_t l = 0; l < w->n_layers; l++) {
        const gm_layer *layer = &w->layer[l];
        products += size_of(&layer->qkv) + size_of(&layer->o) + size_of(&layer->router);
        products += size_of(&layer->q_up);
        products += size_of(&layer->delta_up) * (double)layer->delta_up.count;
        products += size_of(&layer->key_up) * (double)layer->key_up.count;
        products += size_of(&layer->value_up) * (double)layer->value_up.count;
        products += size_of(&layer->always.gate_up) + size_of(&layer->always.down);
        if (layer->moe >= 0)
            products += (size_of(&layer->expert.gate_up) + size_of(&layer->expert.down)) *
                        (double)model->arch.n_chosen;
        products += products_of_mixing(&model->arch, layer, from, to);
    }
    return 2.0 * products;
}

/* ---- measuring ---- */

static double median(double *x, size_t n)
{
    if (n == 0) return NAN;
    qsort(x, n, sizeof *x, gm_ascending);
    return n % 2 ? x[n / 2] : 0.5 * (x[n / 2 - 1] + x[n / 2]);
}

/* Documents through the model as gm-probe collect sends them; tokens a second, the best. */
static gm_status probe(bench *b, double *tok_s, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t n = b->plan->document, documents = b->plan->step / n;
    gm_segment *segment = gm_alloc(documents, sizeof *segment);
    if (segment == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu documents", documents);
    *tok_s = 0;
    for (int i = 0; i < b->plan->repeats; i++) {
        for (size_t d = 0; d < documents; d++) {
            segment[d] = (gm_segment){.n = n, .token = b->token + d * n, .edit = -1};
            GM_TRY(gm_sequence_open(b->session, n, &segment[d].sequence, err));
        }
        double start = gm_now();
        GM_TRY(gm_session_step(b->session, segment, documents, &b->record, NULL, err));
        double rate = (double)(n * documents) / (gm_now() - start);
        if (rate > *tok_s) *tok_s = rate;
        for (size_t d = 0; d < documents; d++) gm_sequence_close(b->session, segment[d].sequence);
    }
out:
    gm_free(segment);
    return status;
}

/* The tokens from `from` to `to` of one sequence, nothing wanted. */
static gm_status feed(bench *b, int sequence, size_t from, size_t to, gm_error *err)
{
    gm_status status = GM_OK;
    for (size_t n; from < to && status == GM_OK; from += n) {
        n = to - from < b->plan->step ? to - from : b->plan->step;
        gm_segment g = {
            .sequence = sequence, .n = n, .token = b->token + from % b->plan->step, .edit = -1};
        if (from % b->plan->step + n > b->plan->step) g.token = b->token;
        status = gm_session_step(b->session, &g, 1, NULL, NULL, err);
    }
    return status;
}

static bool go_on(void *context, size_t step, const uint32_t *sampled)
{
    (void)context, (void)step, (void)sampled;
    return true;
}

/* On a GPU steps are started ahead of the host; `edit` -1, or 0 for the session's edit with the
 * choices recorded. */
static gm_status decode_ahead(bench *b, int sequence, int edit, double *tok_s, gm_error *err)
{
    uint32_t sampled;
    const gm_result result = {.sampled = &sampled};
    const gm_segment g = {.sequence = sequence,
                          .n = 1,
                          .token = b->token,
                          .edit = edit,
                          .sampling = &b->plan->sampling};
    const gm_decoding how = {.n_steps = (size_t)b->plan->tokens, .each = go_on};
    double start = gm_now();
    gm_status status =
        gm_session_decode(b->session, &g, 1, &how, edit < 0 ? NULL : &b->record, &result, err);
    *tok_s = (double)how.n_steps / (gm_now() - start);
    return status;
}

static gm_status decode(bench *b, int sequence, double *tok_s, gm_error *err)
{
    gm_status status = GM_OK;
    uint32_t token = b->token[0];
    const gm_result result = {.sampled = &token};
    double start = gm_now();
    for (int i = 0; i < b->plan->tokens; i++) {
        uint32_t last = token;
        gm_segment g = {.sequence = sequence,
                        .n = 1,
                        .token = &last,
                        .edit = -1,
                        .sampling = &b->plan->sampling};
        GM_TRY(gm_session_step(b->session, &g, 1, NULL, &result, err));
    }
    *tok_s = (double)b->plan->tokens / (gm_now() - start);
out:
    return status;
}

void gm_bench_again(gm_session *session, int id, size_t n)
{
    session->kv.sequence[id].length = n;
}

/* Decoding in turn without and with steering; the ceiling of memory was measured before. */
static gm_status measure_gpu_at(bench *b, const gm_bench_speed *out, struct gm_bench_at *at,
                                int sequence, double bytes, gm_error *err)
{
    gm_status status = GM_OK;
    double plain[GM_BENCH_MAX_PAIRS], steered[GM_BENCH_MAX_PAIRS];
    for (int i = -1; i < b->plan->pairs; i++) { /* the first round captures graphs */
        const size_t to = i < 0 ? 0 : (size_t)i;
        GM_TRY(decode_ahead(b, sequence, 0, &steered[to], err));
        gm_bench_again(b->session, sequence, at->context);
        GM_TRY(decode_ahead(b, sequence, -1, &plain[to], err));
        gm_bench_again(b->session, sequence, at->context);
    }
    at->launches = b->session->accelerator->launches(b->session->own);
    at->decode_tok_s = median(plain, (size_t)b->plan->pairs);
    at->steered_tok_s = median(steered, (size_t)b->plan->pairs);
    at->decode_share = at->decode_tok_s * bytes / out->read_rate;
    at->gap_s = (1.0 / at->decode_tok_s - bytes / out->read_rate) / (double)at->launches;
out:
    return status;
}

/* Keys and values of noise up to the context: what decoding reads, without the minutes that
 * computing a long one takes. */
static gm_status make_up(bench *b, int sequence, size_t to, gm_error *err)
{
    gm_kv *kv = &b->session->kv;
    gm_buf *const all[] = {&kv->of[0].k, &kv->of[0].v, &kv->of[1].k, &kv->of[1].v};
    gm_rng rng = gm_rng_make(1, 4);
    if (b->session->accelerator)
        return gm_fail(err, GM_EABSENT, "contexts can be made up on the CPU only");
    for (size_t i = 0; i < 4; i++) {
        uint16_t *first = all[i]->address; /* halves of f32 are small f32 as well */
        for (size_t j = 0; j < all[i]->item_bytes / sizeof *first; j++)
            first[j] = (uint16_t)(0x3c00 + (gm_rng_next(&rng) & 0x80ff));
        for (size_t j = 1; j < all[i]->count; j++)
            memcpy((char *)all[i]->address + j * all[i]->item_bytes, first, all[i]->item_bytes);
    }
    for (size_t p = 0; p < to; p++) *gm_kv_token(kv, sequence, p) = b->token[0];
    kv->sequence[sequence].length = to;
    return GM_OK;
}

/* Tokens a second of prefill up to the context. On a GPU the first time is told apart: libraries
 * load their kernels when these are first needed. In several steps that is little of the time. */
static gm_status prefill(bench *b, struct gm_bench_at *at, int sequence, size_t from, bool gpu,
                         gm_error *err)
{
    gm_status status = GM_OK;
    const bool counts = at->context - from >= FEW_TOKENS;
    const int times = gpu && counts && at->context - from <= b->plan->step ? 2 : 1;
    for (int again = 0; again < times; again++) {
        gm_bench_again(b->session, sequence, from);
        double start = gm_now();
        GM_TRY(feed(b, sequence, from, at->context, err));
        double tok_s = (double)(at->context - from) / (gm_now() - start);
        if (!counts) break;
        if (!again) at->first_prefill_tok_s = tok_s;
        at->prefill_tok_s = tok_s;
    }
out:
    return status;
}

/* Prefill up to the context, then pairs of decoding and reading memory. */
static gm_status measure_at(bench *b, gm_bench_speed *out, struct gm_bench_at *at, int sequence,
                            size_t from, gm_error *err)
{
    gm_status status = GM_OK;
    double tok_s[GM_BENCH_MAX_PAIRS], share[GM_BENCH_MAX_PAIRS];
    const double bytes = out->bytes_per_token + cache_of_token(b->model, (double)at->context);

    at->prefill_tok_s = at->prefill_share = at->first_prefill_tok_s = NAN;
    if (b->plan->noise)
        GM_TRY(make_up(b, sequence, at->context, err));
    else
        GM_TRY(prefill(b, at, sequence, from, out->gpu, err));
    if (!isnan(at->prefill_tok_s))
        at->prefill_share = at->prefill_tok_s / out->product_rate *
                            operations_of_token(b->model, (double)from, (double)at->context);
    if (out->gpu) return measure_gpu_at(b, out, at, sequence, bytes, err);
    for (int i = 0; i < b->plan->pairs; i++) {
        double read = gm_bench_read_rate(b->team, &b->memory);
        GM_TRY(decode(b, sequence, &tok_s[i], err));
        gm_bench_again(b->session, sequence, at->context);
        share[i] = tok_s[i] * bytes / read;
        b->read_rates[b->n_reads++] = read;
    }
    at->decode_tok_s = median(tok_s, (size_t)b->plan->pairs);
    at->decode_share = median(share, (size_t)b->plan->pairs);
out:
    return status;
}

static gm_status measure_contexts(bench *b, gm_bench_speed *out, gm_error *err)
{
    gm_status status = GM_OK;
    int sequence;
    if (b->plan->n_contexts == 0) return GM_OK;
    const size_t last = (size_t)b->plan->context[b->plan->n_contexts - 1];
    GM_TRY(gm_sequence_open(b->session, last + (size_t)b->plan->tokens, &sequence, err));
    for (size_t i = 0, from = 0; i < b->plan->n_contexts; from = out->at[i++].context) {
        out->at[i].context = (size_t)b->plan->context[i];
        GM_TRY(measure_at(b, out, &out->at[i], sequence, from, err));
        out->n = i + 1;
    }
out:
    return status;
}

/* ---- the whole ---- */

/* A bias on every expert of every layer. */
static gm_status set_up_steering(bench *b, gm_error *err)
{
    const gm_model_info *info = gm_model_get_info(b->model);
    const size_t n = (size_t)info->n_moe_layers * (size_t)info->n_experts;
    b->bias = gm_alloc(n, sizeof *b->bias);
    if (b->bias == NULL) return gm_fail(err, GM_EMEM, "no memory for an edit");
    gm_rng rng = gm_rng_make(1, 3);
    for (size_t i = 0; i < n; i++) b->bias[i] = (float)(0.1 * gm_rng_normal(&rng));
    const gm_edit edit = {.bias = b->bias, .last_layer = info->n_moe_layers - 1, .phases = 7};
    return gm_session_set_edits(b->session, &edit, 1, err);
}

/* What the machine can do at best. */
static gm_status measure_ceilings(bench *b, gm_bench_speed *out, gm_error *err)
{
    const gm_weights *w = b->model->weights;
    out->gpu = w->ops->accelerator != NULL;
    if (!out->gpu)
        return gm_bench_product_rate(
            &out->product_rate, b->team, w->kernels, w->numerics,
            &(gm_bench_product){.m = 512, .n = 2048, .k = 2048, .repeats = 20}, err);
    gm_status status = w->ops->accelerator->measure(w, &out->ceilings, err);
    /* one product of that size does not fill a GPU, and an expert's may be larger */
    out->product_rate = fmax(out->ceilings.product_rate, out->ceilings.expert_rate);
    out->read_rate = out->ceilings.read_rate;
    return status;
}

gm_session_options gm_bench_speed_session(const gm_bench_plan *plan)
{
    size_t rows = plan->step + 1;
    for (size_t i = 0; i < plan->n_contexts; i++)
        if (rows < (size_t)plan->context[i]) rows = (size_t)plan->context[i];
    return (gm_session_options){.threads = plan->threads,
                                .max_rows = plan->step,
                                .kv_rows = rows + (size_t)plan->tokens,
                                .max_sequences = (int)(plan->step / plan->document) + 1};
}

static gm_status set_up(bench *b, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_model_info *info = gm_model_get_info(b->model);
    const gm_bench_plan *plan = b->plan;
    const size_t step = plan->step, places = (size_t)info->n_moe_layers * step;
    const gm_session_options options = gm_bench_speed_session(plan);
    GM_TRY(gm_session_create(&b->session, b->model, &options, err));
    if (b->session->accelerator) {
        GM_TRY(set_up_steering(b, err));
    } else {
        GM_TRY(gm_team_create(&b->team, plan->threads, err));
        GM_TRY(gm_bench_memory_create(&b->memory, plan->memory_bytes, err));
    }
    b->token = gm_alloc(step, sizeof *b->token);
    b->record = (gm_record){
        .expert = gm_alloc2(places, (size_t)info->n_chosen, sizeof(uint16_t)),
        .gate = gm_alloc2(places, (size_t)info->n_chosen, sizeof(float)),
        .margin = gm_alloc(places, sizeof(float)),
        .bad = gm_alloc(step, 1),
    };
    if (!b->token || !b->record.expert || !b->record.gate || !b->record.margin || !b->record.bad)
        GM_FAIL(GM_EMEM, "no memory for the record of %zu tokens", step);
    gm_rng rng = gm_rng_make(1, 2);
    for (size_t i = 0; i < step; i++)
        b->token[i] = (uint32_t)gm_rng_below(&rng, (uint64_t)info->vocab_size);
out:
    return status;
}

gm_status gm_bench_run_speed(gm_bench_speed *out, const gm_model *model, const gm_bench_plan *plan,
                             gm_error *err)
{
    gm_status status = GM_OK;
    bench *b = gm_alloc(1, sizeof *b);
    *out = (gm_bench_speed){.bytes_per_token = bytes_of_token(model),
                            .flop_per_token = operations_of_token(model, 0, (double)plan->document),
                            .weight_bytes = gm_model_get_info(model)->resident_bytes};
    if (b == NULL) return gm_fail(err, GM_EMEM, "no memory to measure with");
    b->model = model;
    b->plan = plan;
    GM_TRY(set_up(b, err));
    GM_TRY(measure_ceilings(b, out, err));
    if (plan->repeats > 0) GM_TRY(probe(b, &out->probe_tok_s, err));
    out->probe_share = out->probe_tok_s * out->flop_per_token / out->product_rate;
    GM_TRY(measure_contexts(b, out, err));
    if (!out->gpu) /* no context, no pairs: one reading */
        out->read_rate = b->n_reads ? median(b->read_rates, b->n_reads)
                                    : gm_bench_read_rate(b->team, &b->memory);
    for (int global = 0; global < 2; global++) {
        const gm_cached *cached = &b->session->kv.of[global];
        out->kv_bytes += gm_buf_bytes(&cached->k);
        if (!out->gpu || model->arch.latent.kv == 0) out->kv_bytes += gm_buf_bytes(&cached->v);
    }
    out->peak_bytes = gm_bench_peak_bytes() - gm_buf_bytes(&b->memory);
out:
    gm_session_free(b->session);
    gm_team_free(b->team);
    gm_buf_free(&b->memory);
    gm_free(b->token), gm_free(b->bias), gm_free(b->record.expert), gm_free(b->record.gate);
    gm_free(b->record.margin), gm_free(b->record.bad);
    gm_free(b);
    return status;
}
