/* record.c - see record.h. Rows arrive step by step from many continuations; they are
 * laid down per continuation at once, in the order the trace wants.
 */
#include "steer/record.h"

#include "base/sha256.h"
#include "base/version.h"
#include "formats/trace.h"

#include <stdio.h>
#include <string.h>

struct gm_recorder {
    const gm_setup *setup;
    const gm_continuation *list; /* (n) */
    size_t n, L, E, K;
    size_t *first;        /* (n) first row of each; rows are packed when it is written */
    size_t *n_rows;       /* (n) rows so far */
    uint16_t *expert;     /* (rows,L,K) */
    float *gate;          /* (rows,L,K) */
    float *mass, *margin; /* (rows,L) */
    uint32_t *token_id, *pos;
    uint8_t *phase, *bad;
    uint32_t *counts;            /* (n,L,E) */
    gm_trace_document *document; /* (n) */
};

gm_status gm_recorder_create(gm_recorder **out, const gm_setup *setup, const gm_continuation *list,
                             size_t n, gm_error *err)
{
    gm_recorder *r = gm_alloc(1, sizeof *r);
    size_t rows = 0;
    *out = NULL;
    if (r == NULL) return gm_fail(err, GM_EMEM, "no memory to record");
    *r = (gm_recorder){.setup = setup,
                       .list = list,
                       .n = n,
                       .L = (size_t)setup->info->n_moe_layers,
                       .E = (size_t)setup->info->n_experts,
                       .K = (size_t)setup->info->n_chosen};
    r->first = gm_alloc(n, sizeof *r->first);
    r->n_rows = gm_alloc(n, sizeof *r->n_rows);
    for (size_t i = 0; i < n && r->first; i++) {
        r->first[i] = rows;
        rows += list[i].prompt.n + list[i].max_tokens;
    }
    r->expert = gm_alloc2(rows, r->L * r->K, sizeof *r->expert);
    r->gate = gm_alloc2(rows, r->L * r->K, sizeof *r->gate);
    r->mass = gm_alloc2(rows, r->L, sizeof *r->mass);
    r->margin = gm_alloc2(rows, r->L, sizeof *r->margin);
    r->token_id = gm_alloc(rows, sizeof *r->token_id);
    r->pos = gm_alloc(rows, sizeof *r->pos);
    r->phase = gm_alloc(rows, sizeof *r->phase);
    r->bad = gm_alloc(rows, sizeof *r->bad);
    r->counts = gm_alloc2(n, r->L * r->E, sizeof *r->counts);
    r->document = gm_alloc(n, sizeof *r->document);
    if (!r->first || !r->n_rows || !r->expert || !r->gate || !r->mass || !r->margin ||
        !r->token_id || !r->pos || !r->phase || !r->bad || !r->counts || !r->document) {
        gm_recorder_free(r);
        return gm_fail(err, GM_EMEM, "no memory to record %zu rows", rows);
    }
    *out = r;
    return GM_OK;
}

void gm_recorder_free(gm_recorder *r)
{
    if (r == NULL) return;
    gm_free(r->first);
    gm_free(r->n_rows);
    gm_free(r->expert);
    gm_free(r->gate);
    gm_free(r->mass);
    gm_free(r->margin);
    gm_free(r->token_id);
    gm_free(r->pos);
    gm_free(r->phase);
    gm_free(r->bad);
    gm_free(r->counts);
    gm_free(r->document);
    gm_free(r);
}

/* Copy row t of a step with T rows, layer-major, to the row-major place `at`. */
static void copy_row(gm_recorder *r, size_t at, const gm_record *record, size_t t, size_t T)
{
    for (size_t l = 0; l < r->L; l++) {
        size_t from = l * T + t, to = at * r->L + l;
        memcpy(r->expert + to * r->K, record->expert + from * r->K, r->K * sizeof *r->expert);
        memcpy(r->gate + to * r->K, record->gate + from * r->K, r->K * sizeof *r->gate);
        r->mass[to] = record->mass[from];
        r->margin[to] = record->margin[from];
    }
    r->bad[at] = record->bad[t];
}

gm_status gm_recorder_on_rows(void *context, const gm_segment *segments,
                              gm_continuation *const *owner, size_t n_segments,
                              const gm_record *record, size_t n_rows, gm_error *err)
{
    gm_recorder *r = context;
    size_t t = 0;
    (void)err;
    for (size_t s = 0; s < n_segments; s++) {
        size_t i = (size_t)(owner[s] - r->list);
        for (size_t j = 0; j < segments[s].n; j++, t++) {
            size_t at = r->first[i] + r->n_rows[i];
            copy_row(r, at, record, t, n_rows);
            r->token_id[at] = segments[s].token[j];
            r->phase[at] = segments[s].phase[j];
            r->pos[at] = (uint32_t)r->n_rows[i]++;
        }
    }
    return GM_OK;
}

/* Move the rows of each continuation down so that they lie without gaps. */
static size_t pack_rows(gm_recorder *r)
{
    size_t rows = 0, LK = r->L * r->K;
    for (size_t i = 0; i < r->n; i++) {
        size_t from = r->first[i], n = r->n_rows[i];
        memmove(r->expert + rows * LK, r->expert + from * LK, n * LK * sizeof *r->expert);
        memmove(r->gate + rows * LK, r->gate + from * LK, n * LK * sizeof *r->gate);
        memmove(r->mass + rows * r->L, r->mass + from * r->L, n * r->L * sizeof *r->mass);
        memmove(r->margin + rows * r->L, r->margin + from * r->L, n * r->L * sizeof *r->margin);
        memmove(r->token_id + rows, r->token_id + from, n * sizeof *r->token_id);
        memmove(r->pos + rows, r->pos + from, n * sizeof *r->pos);
        memmove(r->phase + rows, r->phase + from, n);
        memmove(r->bad + rows, r->bad + from, n);
        r->first[i] = rows;
        rows += n;
    }
    return rows;
}

/* Count the choices of continuation i; template rows and bad rows are left out. */
static void count(gm_recorder *r, size_t i)
{
    gm_trace_document *d = &r->document[i];
    for (size_t t = r->first[i]; t < r->first[i] + r->n_rows[i]; t++) {
        if (r->phase[t] == GM_PHASE_TEMPLATE) continue;
        d->n_tokens++;
        d->bad += r->bad[t];
        for (size_t l = 0; l < r->L && !r->bad[t]; l++) {
            for (size_t k = 0; k < r->K; k++)
                r->counts[(i * r->L + l) * r->E + r->expert[(t * r->L + l) * r->K + k]]++;
        }
    }
    d->n_rows = (uint32_t)r->n_rows[i];
}

static gm_status fill_document(gm_recorder *r, size_t i, const gm_prompt *prompt, gm_arena *arena,
                               gm_error *err)
{
    const gm_continuation *c = &r->list[i];
    gm_trace_document *d = &r->document[i];
    size_t n = prompt->n + c->text.n;
    char *text = gm_arena_alloc(arena, n + 1, 1), *id = gm_arena_alloc(arena, 32, 1);
    if (text == NULL || id == NULL) return gm_fail(err, GM_EMEM, "no memory to record");
    memcpy(text, prompt->text, prompt->n);
    if (c->text.n) memcpy(text + prompt->n, c->text.at, c->text.n);
    snprintf(id, 32, "prompt:%zu", i + 1);
    *d = (gm_trace_document){.id = id, .subset = "generated", .text = text, .n_text = n};
    gm_sha256_of(text, n, d->sha);
    count(r, i);
    return GM_OK;
}

static gm_trace_info make_info(const gm_setup *s)
{
    const gm_model_info *m = s->info;
    return (gm_trace_info){.n_layers = m->n_moe_layers,
                           .n_experts = m->n_experts,
                           .n_chosen = m->n_chosen,
                           .layer_of_moe = m->layer_of_moe,
                           .level = GM_RECORD_CHOICES,
                           .has_text = true,
                           .model = gm_path_name(m->folder),
                           .architecture = m->architecture,
                           .family = m->family,
                           .model_digest = m->digest,
                           .config_digest = m->config_digest,
                           .tokenizer_digest = gm_tokenizer_digest(s->tokenizer),
                           .numerics = gm_numerics_name(m->numerics),
                           .kernels = m->kernels,
                           .device = m->device,
                           .invariance = m->invariance,
                           .scoring = m->scoring,
                           .renormalised = m->renormalised,
                           .routed_scale = m->routed_scale};
}

/* Beside model, plan and prompts: what the run was a function of. */
static gm_status write_options(const gm_setup *s, gm_json_out *json, gm_error *err)
{
    gm_json_open_object(json, NULL);
    gm_setup_put_chat(s, json);
    gm_json_put_i64(json, "max_tokens", s->options->max_tokens);
    gm_json_put_f64(json, "temperature", s->sampling.temperature);
    gm_json_put_i64(json, "top_k", s->sampling.top_k);
    gm_json_put_f64(json, "top_p", s->sampling.top_p);
    gm_json_put_f64(json, "repetition_penalty", s->sampling.repetition_penalty);
    gm_json_put_u64(json, "seed", s->sampling.seed);
    gm_json_open_array(json, "stop_ids");
    for (size_t i = 0; i < s->stop.n; i++) gm_json_put_u64(json, NULL, s->stop.at[i]);
    gm_json_close_array(json);
    gm_json_open_array(json, "stop");
    for (size_t i = 0; i < s->options->stop_strings.n; i++)
        gm_json_put_string(json, NULL, s->options->stop_strings.at[i]);
    gm_json_close_array(json);
    gm_json_close_object(json);
    return gm_json_out_done(json, err);
}

/* Of model, tokenizer, plan, options and the tokens themselves. */
static void fingerprint(const gm_recorder *r, const gm_trace_info *info, size_t rows, char hex[65])
{
    gm_sha256 hash;
    uint8_t digest[32];
    gm_sha256_init(&hash);
    gm_sha256_update(&hash, info->model_digest, strlen(info->model_digest) + 1);
    gm_sha256_update(&hash, info->config_digest, strlen(info->config_digest) + 1);
    gm_sha256_update(&hash, info->tokenizer_digest, strlen(info->tokenizer_digest) + 1);
    gm_sha256_update(&hash, info->steering, strlen(info->steering) + 1);
    gm_sha256_update(&hash, info->options, strlen(info->options) + 1);
    gm_sha256_update(&hash, r->token_id, rows * sizeof *r->token_id);
    gm_sha256_final(&hash, digest);
    gm_sha256_hex(digest, hex);
}

gm_status gm_recorder_write(gm_recorder *r, const char *path, const gm_prompts *prompts,
                            const gm_plan *plan, const char *command, bool replace, gm_error *err)
{
    gm_status status = GM_OK;
    gm_arena arena = {0};
    gm_json_out provenance = {0}, options = {0};
    char hex[65];
    size_t rows = pack_rows(r);
    gm_trace_info info = make_info(r->setup);

    for (size_t i = 0; i < r->n; i++) GM_TRY(fill_document(r, i, &prompts->at[i], &arena, err));
    gm_json_open_object(&provenance, NULL);
    gm_version_put(&provenance);
    gm_json_close_object(&provenance);
    GM_TRY(gm_json_out_done(&provenance, err));
    GM_TRY(write_options(r->setup, &options, err));
    info.command = command;
    info.options = options.text.at;
    info.steering = gm_plan_steers(plan) ? plan->source : "";
    fingerprint(r, &info, rows, hex);
    info.provenance = provenance.text.at;
    info.fingerprint = hex;

    const gm_trace_block block = {.n_documents = r->n,
                                  .n_rows = rows,
                                  .document = r->document,
                                  .counts = r->counts,
                                  .expert = r->expert,
                                  .gate = r->gate,
                                  .mass = r->mass,
                                  .margin = r->margin,
                                  .token_id = r->token_id,
                                  .pos = r->pos,
                                  .phase = r->phase};
    GM_TRY(gm_trace_write(path, &info, &block, NULL, 0, replace, err));
out:
    gm_text_clear(&provenance.text);
    gm_text_clear(&options.text);
    gm_arena_clear(&arena);
    return status;
}
