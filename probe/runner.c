/* runner.c - a block through the model: see runner.h. */
#include "probe/runner.h"

#include "base/cli.h"
#include "base/rng.h"

#include <math.h>
#include <string.h>

enum { KV_BLOCK = 32 }; /* rows of a sequence are rounded up to it */

/* Consecutive rows of one document in a step. */
typedef struct piece {
    size_t document, begin, n; /* rows of the document */
} piece;

struct gm_runner {
    const gm_model_info *info;
    gm_runner_options options;
    gm_session *session;
    bool steered;
    size_t L, E, K;
    size_t first, end; /* model layers that are computed */
    gm_record record;  /* staging, layer-major, step_tokens rows */
    float *nll;        /* (step_tokens) */
    uint32_t *target;  /* (step_tokens) */
    gm_segment *segment;
    piece *piece;
    size_t n_pieces, most_pieces; /* of a step */
    gm_runner_progress *progress; /* of the run in progress, may be NULL */
    void *context;
    size_t done, rows; /* before this step, of this step */
    int sequence;      /* of the document that a piece left unfinished; -1: none */
};

/* Most rows of a step. */
static size_t step_rows(const gm_runner_options *o)
{
    if (!o->stream) return o->step_tokens;
    return o->max_document > GM_BLOCK_MAX_TOKENS ? o->max_document : GM_BLOCK_MAX_TOKENS;
}

gm_session_options gm_runner_session(const gm_runner_options *o)
{
    /* A step holds at most so many documents, each rounded up, and the end of a long one. */
    const size_t rows = step_rows(o), shortest = o->min_document > 0 ? o->min_document : 1;
    size_t most = rows / shortest + 1;
    if (most > GM_BLOCK_MAX_DOCUMENTS) most = GM_BLOCK_MAX_DOCUMENTS;
    size_t pad = KV_BLOCK * most, longest = o->stream ? 0 : o->max_document + KV_BLOCK;
    return (gm_session_options){.threads = o->threads,
                                .max_rows = rows,
                                .kv_rows = rows + pad + longest,
                                .max_sequences = (int)most + 1,
                                .fewer_do = true,
                                .piece_rows = o->stream ? o->step_tokens : 0,
                                .norms = o->norms || o->sums};
}

/* After every layer of a streamed block: minutes pass until its end. */
static bool after_layer(void *context, size_t layers, size_t n_layers)
{
    gm_runner *r = context;
    if (r->progress) r->progress(r->context, r->done + r->rows * layers / n_layers);
    return gm_interrupted();
}

gm_status gm_runner_create(gm_runner **out, const gm_model *model, const gm_runner_options *options,
                           gm_error *err)
{
    gm_status status = GM_OK;
    const gm_model_info *info = gm_model_get_info(model);
    gm_session_options so = gm_runner_session(options);
    size_t S = so.max_rows;
    *out = NULL;
    gm_runner *r = gm_alloc(1, sizeof *r);
    if (r == NULL) return gm_fail(err, GM_EMEM, "no memory to run the model");
    if (options->stream) so.after_layer = after_layer, so.context = r;
    *r = (gm_runner){.info = info, .options = *options, .sequence = -1};
    r->L = (size_t)info->n_moe_layers;
    r->E = (size_t)info->n_experts;
    r->K = (size_t)info->n_chosen;
    r->end = (size_t)info->n_layers;
    r->record.expert = gm_alloc2(r->L * S, r->K, sizeof *r->record.expert);
    r->record.bad = gm_alloc(S, 1);
    r->nll = gm_alloc(S, sizeof *r->nll);
    r->target = gm_alloc(S, sizeof *r->target);
    r->segment = gm_alloc(S, sizeof *r->segment);
    r->piece = gm_alloc(S, sizeof *r->piece);
    bool fine = r->record.expert && r->record.bad && r->nll && r->target && r->segment && r->piece;
    if (options->level >= GM_RECORD_CHOICES) {
        r->record.gate = gm_alloc2(r->L * S, r->K, sizeof *r->record.gate);
        r->record.mass = gm_alloc2(r->L, S, sizeof *r->record.mass);
        r->record.margin = gm_alloc2(r->L, S, sizeof *r->record.margin);
        fine = fine && r->record.gate && r->record.mass && r->record.margin;
    }
    if (options->norms) {
        r->record.norm = gm_alloc2(r->L * S, r->K, sizeof *r->record.norm);
        fine = fine && r->record.norm;
    }
    if (options->sums) {
        r->record.scale = gm_alloc(S, sizeof *r->record.scale);
        fine = fine && r->record.scale;
    }
    if (options->level >= GM_RECORD_LOGITS) {
        r->record.logits = gm_alloc2(r->L * S, r->E, sizeof *r->record.logits);
        fine = fine && r->record.logits;
    }
    if (!fine) GM_FAIL(GM_EMEM, "no memory for steps of %zu tokens", S);
    GM_TRY(gm_session_create(&r->session, model, &so, err));
    r->most_pieces = gm_session_sequences(r->session) - 1; /* one for a document left unfinished */
    if (options->edit) GM_TRY(gm_runner_steer(r, options->edit, err));
    *out = r;
    r = NULL;
out:
    gm_runner_free(r);
    return status;
}

gm_status gm_runner_steer(gm_runner *r, const gm_edit *edit, gm_error *err)
{
    r->steered = edit != NULL;
    return gm_session_set_edits(r->session, edit, r->steered, err);
}

void gm_runner_layers(gm_runner *r, size_t first, size_t end)
{
    r->first = first;
    r->end = end;
}

bool gm_runner_takes_layers(const gm_runner *r)
{
    return gm_session_takes_layers(r->session);
}

static bool runs_whole(const gm_runner *r)
{
    return r->first == 0 && r->end == (size_t)r->info->n_layers;
}

static bool gives_nll(const gm_runner *r)
{
    return r->options.nll && r->end == (size_t)r->info->n_layers;
}

void gm_runner_free(gm_runner *r)
{
    if (r == NULL) return;
    gm_session_free(r->session);
    gm_free(r->record.expert);
    gm_free(r->record.gate);
    gm_free(r->record.norm);
    gm_free(r->record.scale);
    gm_free(r->record.mass);
    gm_free(r->record.margin);
    gm_free(r->record.logits);
    gm_free(r->record.bad);
    gm_free(r->nll);
    gm_free(r->target);
    gm_free(r->segment);
    gm_free(r->piece);
    gm_free(r);
}

gm_runner_memory gm_runner_bytes(const gm_model *model, const gm_runner_options *options)
{
    const gm_model_info *info = gm_model_get_info(model);
    gm_session_options so = gm_runner_session(options);
    uint64_t L = (uint64_t)info->n_moe_layers, E = (uint64_t)info->n_experts;
    uint64_t row = L * (uint64_t)info->n_chosen * 2;
    if (options->level >= GM_RECORD_CHOICES) row += L * ((uint64_t)info->n_chosen * 4 + 8) + 20;
    if (options->norms) row += L * (uint64_t)info->n_chosen * 4;
    uint64_t logits = options->level >= GM_RECORD_LOGITS ? L * E * 4 : 0;
    uint64_t kept = (uint64_t)(options->logits_rate * (double)logits);
    uint64_t layers = options->stream ? (uint64_t)info->n_layers : 1; /* one of them is kept */
    gm_runner_memory m = {
        .hidden = options->stream ? so.max_rows * (uint64_t)info->width * sizeof(float) : 0,
        .kv = so.kv_rows * info->kv_bytes_per_token / layers,
        .blocks = 2 * (GM_BLOCK_MAX_TOKENS * (row + kept) + GM_BLOCK_MAX_DOCUMENTS * L * E * 4)};
    m.rest = gm_session_bytes(model, &so) + so.max_rows * (row + logits + 100) - m.hidden - m.kv;
    return m;
}

/* ---- where a block's results go ---- */

/* A function of seed, document and position, so that it survives any cutting. */
static bool keeps_logits(const gm_runner *r, const gm_trace_document *d, size_t position)
{
    uint64_t half;
    uint32_t word[4];
    memcpy(&half, d->sha, sizeof half);
    gm_rng rng = gm_rng_make(r->options.seed, half);
    gm_rng_at(&rng, position, 1, word);
    return (double)word[0] < r->options.logits_rate * 4294967296.0;
}

static gm_status choose_logit_rows(const gm_runner *r, gm_probe_block *b, gm_error *err)
{
    b->logit_row = gm_alloc(b->token.n, sizeof *b->logit_row);
    if (b->logit_row == NULL) return gm_fail(err, GM_EMEM, "no memory for a block");
    for (size_t d = 0; d < b->n_documents; d++)
        for (size_t t = b->begin[d]; t < b->begin[d + 1]; t++)
            if (keeps_logits(r, &b->document[d], t - b->begin[d]))
                b->logit_row[b->n_logit_rows++] = t;
    b->logits = gm_alloc2(b->n_logit_rows, r->L * r->E, sizeof *b->logits);
    return b->logits ? GM_OK : gm_fail(err, GM_EMEM, "no memory for a block's logits");
}

static gm_status make_room(const gm_runner *r, gm_probe_block *b, gm_error *err)
{
    size_t T = b->token.n;
    b->counts = gm_alloc2(b->n_documents, r->L * r->E, sizeof *b->counts);
    bool fine = b->counts != NULL;
    if (r->options.level >= GM_RECORD_CHOICES) {
        b->expert = gm_alloc2(T, r->L * r->K, sizeof *b->expert);
        b->gate = gm_alloc2(T, r->L * r->K, sizeof *b->gate);
        b->mass = gm_alloc2(T, r->L, sizeof *b->mass);
        b->margin = gm_alloc2(T, r->L, sizeof *b->margin);
        b->pos = gm_alloc(T, sizeof *b->pos);
        fine = fine && b->expert && b->gate && b->mass && b->margin && b->pos;
    }
    if (r->options.norms) {
        b->norm = gm_alloc2(T, r->L * r->K, sizeof *b->norm);
        fine = fine && b->norm;
    }
    if (r->options.sums) {
        b->scale = gm_alloc(T, sizeof *b->scale);
        fine = fine && b->scale;
    }
    if (gives_nll(r)) {
        b->nll = gm_alloc(T, sizeof *b->nll);
        fine = fine && b->nll;
    }
    if (!fine) return gm_fail(err, GM_EMEM, "no memory for a block of %zu tokens", T);
    for (size_t d = 0; d < b->n_documents; d++) {
        for (size_t t = b->begin[d]; b->pos && t < b->begin[d + 1]; t++)
            b->pos[t] = (uint32_t)(t - b->begin[d]);
        if (b->nll) b->nll[b->begin[d]] = NAN;
    }
    return r->options.level >= GM_RECORD_LOGITS ? choose_logit_rows(r, b, err) : GM_OK;
}

static void count_row(const gm_runner *r, gm_probe_block *b, size_t d, size_t from, size_t rows)
{
    for (size_t l = 0; l < r->L; l++) {
        uint32_t *counts = b->counts + (d * r->L + l) * r->E; /* (E) */
        const uint16_t *chosen = r->record.expert + (l * rows + from) * r->K;
        for (size_t k = 0; k < r->K; k++) counts[chosen[k]]++;
    }
}

/* Everything of one piece; its first row in the step is `from`, of `rows`. */
static void store_piece(gm_runner *r, gm_probe_block *b, const piece *p, size_t from, size_t rows)
{
    size_t first = b->begin[p->document] + p->begin;
    for (size_t i = 0; b->nll && i < p->n; i++)
        if (first + i + 1 < b->begin[p->document + 1]) b->nll[first + i + 1] = r->nll[from + i];
    if (!runs_whole(r)) return;
    if (b->scale) memcpy(b->scale + first, r->record.scale + from, p->n * sizeof *b->scale);
    for (size_t i = 0; i < p->n; i++) {
        if (b->phase[first + i] == GM_PHASE_TEMPLATE) continue;
        if (r->record.bad[from + i])
            b->document[p->document].bad++;
        else
            count_row(r, b, p->document, from + i, rows);
    }
    if (r->options.level < GM_RECORD_CHOICES) return;
    /* from staging, layer-major (L,rows), to the block, token-major (T,L) */
    for (size_t l = 0; l < r->L; l++)
        for (size_t i = 0; i < p->n; i++) {
            size_t in = l * rows + from + i, out = (first + i) * r->L + l, K = r->K;
            memcpy(b->expert + out * K, r->record.expert + in * K, K * sizeof *b->expert);
            memcpy(b->gate + out * K, r->record.gate + in * K, K * sizeof *b->gate);
            if (b->norm) memcpy(b->norm + out * K, r->record.norm + in * K, K * sizeof *b->norm);
            b->mass[out] = r->record.mass[in];
            b->margin[out] = r->record.margin[in];
        }
}

/* The sampled logits of a piece; *next walks through the block's ascending rows. */
static void store_logits(gm_runner *r, gm_probe_block *b, const piece *p, size_t from, size_t rows,
                         size_t *next)
{
    size_t first = b->begin[p->document] + p->begin;
    for (; *next < b->n_logit_rows && b->logit_row[*next] < first + p->n; ++*next)
        for (size_t l = 0; l < r->L; l++) {
            size_t row = from + (size_t)b->logit_row[*next] - first;
            memcpy(b->logits + (*next * r->L + l) * r->E,
                   r->record.logits + (l * rows + row) * r->E, r->E * sizeof *b->logits);
        }
}

/* ---- steps ---- */

/* The pieces of the next step, from document *d, row *at on; returns its rows. */
static size_t cut_step(gm_runner *r, const gm_probe_block *b, size_t *d, size_t *at)
{
    size_t rows = 0, limit = step_rows(&r->options);
    for (r->n_pieces = 0; *d < b->n_documents && r->n_pieces < r->most_pieces;) {
        size_t left = b->document[*d].n_rows - *at, n = left < limit ? left : limit;
        if (rows + n > limit) break;
        r->piece[r->n_pieces++] = (piece){*d, *at, n};
        rows += n;
        *at += n;
        if (*at < b->document[*d].n_rows) break; /* its sequence stays open */
        ++*d;
        *at = 0;
    }
    return rows;
}

static gm_status fill_segments(gm_runner *r, const gm_probe_block *b, gm_error *err)
{
    gm_status status = GM_OK;
    for (size_t i = 0, row = 0; i < r->n_pieces; row += r->piece[i++].n) {
        const piece *p = &r->piece[i];
        size_t first = b->begin[p->document] + p->begin, end = b->begin[p->document + 1];
        gm_segment *s = &r->segment[i];
        *s = (gm_segment){.sequence = r->sequence,
                          .n = p->n,
                          .token = b->token.at + first,
                          .phase = b->phase + first,
                          .edit = r->steered ? 0 : -1,
                          .target = gives_nll(r) ? r->target + row : NULL};
        if (b->residual && b->residual[p->document])
            s->residual = b->residual[p->document] + p->begin * (size_t)r->info->width;
        if (p->begin == 0)
            GM_TRY(
                gm_sequence_open(r->session, b->document[p->document].n_rows, &s->sequence, err));
        for (size_t k = 0; k < p->n; k++)
            r->target[row + k] = first + k + 1 < end ? b->token.at[first + k + 1] : GM_NO_TARGET;
        r->sequence = -1;
    }
out:
    return status;
}

static void close_finished(gm_runner *r, const gm_probe_block *b)
{
    for (size_t i = 0; i < r->n_pieces; i++) {
        const piece *p = &r->piece[i];
        if (p->begin + p->n == b->document[p->document].n_rows)
            gm_sequence_close(r->session, r->segment[i].sequence);
        else
            r->sequence = r->segment[i].sequence;
    }
}

gm_status gm_runner_run(gm_runner *r, gm_probe_block *b, gm_runner_progress *progress,
                        void *context, gm_error *err)
{
    gm_status status = GM_OK;
    size_t d = 0, at = 0, next_logit = 0;
    r->progress = progress;
    r->context = context;
    r->done = 0;
    r->record.sums = b->sums;
    GM_TRY(make_room(r, b, err));
    while (d < b->n_documents) {
        if (gm_interrupted()) GM_FAIL(GM_EINTERRUPTED, "interrupted");
        const size_t rows = r->rows = cut_step(r, b, &d, &at);
        GM_TRY(fill_segments(r, b, err));
        gm_result result = {.nll = gives_nll(r) ? r->nll : NULL};
        GM_TRY(gm_session_step_layers(r->session, r->first, r->end, r->segment, r->n_pieces,
                                      runs_whole(r) ? &r->record : NULL, &result, err));
        close_finished(r, b);
        for (size_t i = 0, row = 0; i < r->n_pieces; row += r->piece[i++].n) {
            store_piece(r, b, &r->piece[i], row, rows);
            if (b->logits) store_logits(r, b, &r->piece[i], row, rows, &next_logit);
        }
        r->done += rows;
        if (progress) progress(context, r->done);
    }
out:
    return status;
}
