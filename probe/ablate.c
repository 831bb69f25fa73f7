/* ablate.c - the same documents under one knock-out after the other: see ablate.h. */
#include "probe/ablate.h"

#include "formats/plan.h"
#include "probe/false_discovery.h"

#include <math.h>
#include <string.h>

/* ---- documents through the model ---- */

static size_t width_of(const gm_ablate *a)
{
    return (size_t)gm_model_get_info(a->model)->width;
}

/* Documents that go together, and which ones they are. */
typedef struct batch {
    gm_probe_block *block;
    size_t document[GM_BLOCK_MAX_DOCUMENTS];
    float *residual[GM_BLOCK_MAX_DOCUMENTS];
} batch;

/* What is made of document `i`, which is document d of a block that has been run. */
typedef void taker(gm_ablate *a, size_t i, const gm_probe_block *block, size_t d);

static gm_status add(const gm_ablate *a, batch *b, size_t i, gm_error *err)
{
    const gm_status status = gm_held_texts_put(a->texts, i, &b->block, err);
    if (status != GM_OK) return status;
    b->document[b->block->n_documents - 1] = i;
    b->residual[b->block->n_documents - 1] =
        a->residual && i < a->n_kept ? a->residual + a->texts->begin[i] * width_of(a) : NULL;
    return GM_OK;
}

/* Documents [from, to) through model layers [first, end). */
typedef struct pass {
    size_t from, to, first, end;
    const uint8_t *wanted; /* (N) which of them; NULL: all */
    taker *take;           /* NULL: they end in the residual stream that is kept */
} pass;

static size_t n_layers_of(const gm_ablate *a)
{
    return (size_t)gm_model_get_info(a->model)->n_layers;
}

static gm_status run_batch(gm_ablate *a, batch *b, const pass *p, gm_error *err)
{
    b->block->residual = b->residual;
    gm_status status = gm_held_texts_run(a->runner, b->block, p->take ? a->progress : NULL, err);
    for (size_t d = 0; status == GM_OK && p->take && d < b->block->n_documents; d++)
        p->take(a, b->document[d], b->block, d);
    gm_probe_block_free(b->block);
    b->block = NULL;
    return status;
}

/* In blocks as a collect's. */
static gm_status run(gm_ablate *a, const pass *p, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_held_texts *t = a->texts;
    batch b = {0};
    gm_runner_layers(a->runner, p->first, p->end);
    for (size_t i = p->from; i < p->to; i++) {
        if (p->wanted && !p->wanted[i]) continue;
        if (b.block && !gm_probe_block_fits(b.block, t->begin[i + 1] - t->begin[i]))
            GM_TRY(run_batch(a, &b, p, err));
        GM_TRY(add(a, &b, i, err));
    }
    if (b.block) GM_TRY(run_batch(a, &b, p, err));
out:
    gm_runner_layers(a->runner, 0, n_layers_of(a));
    gm_probe_block_free(b.block);
    return status;
}

/* ---- untouched ---- */

/* List for every expert the knock-outs that take it out. */
static gm_status index_users(gm_ablate *a, size_t n_experts, gm_error *err)
{
    size_t n = 0;
    for (size_t x = 0; x < a->out->n; x++) n += a->out->at[x].n;
    a->user = gm_alloc(n, sizeof *a->user);
    a->user_end = gm_alloc(n_experts + 1, sizeof *a->user_end);
    a->last_row = gm_alloc(a->out->n, sizeof *a->last_row);
    if (!a->user || !a->user_end || !a->last_row)
        return gm_fail(err, GM_EMEM, "no memory for %zu knock-outs", a->out->n);
    size_t *next = a->user_end + 1; /* of expert e, first where it begins, at last where it ends */
    for (size_t x = 0; x < a->out->n; x++)
        for (size_t i = 0; i < a->out->at[x].n; i++)
            if (a->out->at[x].at[i] + 1 < n_experts) next[a->out->at[x].at[i] + 1]++;
    for (size_t e = 1; e < n_experts; e++) next[e] += next[e - 1];
    for (size_t x = 0; x < a->out->n; x++)
        for (size_t i = 0; i < a->out->at[x].n; i++)
            a->user[next[a->out->at[x].at[i]]++] = (uint32_t)x;
    return GM_OK;
}

/* Row `t` of document i: which knock-outs it would miss an expert under. */
static void note_row(gm_ablate *a, size_t i, size_t t, const uint16_t *expert, bool counts)
{
    const gm_model_info *info = gm_model_get_info(a->model);
    const size_t L = (size_t)info->n_moe_layers, K = (size_t)info->n_chosen;
    for (size_t c = 0; c < L * K; c++) {
        if (expert[c] == GM_NO_EXPERT) continue; /* a bad row, whatever its biases */
        const size_t at = c / K * (size_t)info->n_experts + expert[c];
        for (size_t u = a->user_end[at]; u < a->user_end[at + 1]; u++) {
            const size_t x = a->user[u], to = x * a->texts->n + i;
            if (a->last_row[x] == t + 1) continue; /* it chose two of them */
            a->last_row[x] = t + 1;
            a->touched[to] = 1;
            a->chosen[to] += counts;
        }
    }
}

static void take_untouched(gm_ablate *a, size_t i, const gm_probe_block *b, size_t d)
{
    const gm_model_info *info = gm_model_get_info(a->model);
    const size_t LK = (size_t)info->n_moe_layers * (size_t)info->n_chosen;
    const size_t first = b->begin[d], n = b->begin[d + 1] - first, to = a->texts->begin[i];
    memcpy(a->nll + to, b->nll + first, n * sizeof *a->nll);
    for (size_t t = 0; t < n; t++)
        note_row(a, i, to + t, b->expert + (first + t) * LK,
                 b->phase[first + t] != GM_PHASE_TEMPLATE && isfinite(b->nll[first + t]));
}

gm_status gm_ablate_begin(gm_ablate *a, gm_error *err)
{
    const gm_model_info *info = gm_model_get_info(a->model);
    const size_t N = a->texts->n, X = a->out->n;
    gm_status status = index_users(a, (size_t)info->n_moe_layers * (size_t)info->n_experts, err);
    if (status != GM_OK) return status;
    a->bias = gm_alloc2((size_t)info->n_moe_layers, (size_t)info->n_experts, sizeof *a->bias);
    a->nll = gm_alloc(a->texts->token.n, sizeof *a->nll);
    a->chosen = gm_alloc2(X, N, sizeof *a->chosen);
    a->touched = gm_alloc2(X, N, 1);
    a->loss = gm_alloc(N, sizeof *a->loss);
    a->row = gm_alloc2(X, a->texts->n_groups + 1, sizeof *a->row);
    if (!a->bias || !a->nll || !a->chosen || !a->touched || !a->loss || !a->row)
        return gm_fail(err, GM_EMEM, "no memory for %zu knock-outs of %zu documents", X, N);
    const size_t row_bytes = width_of(a) * sizeof *a->residual;
    const size_t rows = gm_runner_takes_layers(a->runner) ? a->keep_bytes / row_bytes : 0;
    while (a->n_kept < N && a->texts->begin[a->n_kept + 1] <= rows) a->n_kept++;
    return run(a, &(pass){.to = N, .end = n_layers_of(a), .take = take_untouched}, err);
}

void gm_ablate_clear(gm_ablate *a)
{
    gm_free(a->user);
    gm_free(a->user_end);
    gm_free(a->last_row);
    gm_free(a->bias);
    gm_free(a->nll);
    gm_free(a->residual);
    gm_free(a->chosen);
    gm_free(a->touched);
    gm_free(a->loss);
    gm_free(a->row);
    gm_free(a->adjusted);
    *a = (gm_ablate){0};
}

/* ---- without some experts ---- */

/* The loss of document i untouched, and with these (n) -ln p of its rows. */
static gm_document_loss compare(const gm_ablate *a, size_t i, const float *nll)
{
    gm_document_loss loss = {0};
    const size_t first = a->texts->begin[i];
    for (size_t t = first; t < a->texts->begin[i + 1]; t++)
        if (a->texts->phase[t] != GM_PHASE_TEMPLATE) gm_loss_add(&loss, a->nll[t], nll[t - first]);
    return loss;
}

static void take_without(gm_ablate *a, size_t i, const gm_probe_block *b, size_t d)
{
    a->loss[i] = compare(a, i, b->nll + b->begin[d]);
}

/* The documents that a knock-out reads again; NULL: all. */
static const uint8_t *wanted(const gm_ablate *a, size_t x)
{
    if (a->run_all || !gm_edit_is_local(a->model, a->mode)) return NULL;
    return a->touched + x * a->texts->n;
}

uint64_t gm_ablate_cost(const gm_ablate *a, size_t x)
{
    const uint8_t *again = wanted(a, x);
    uint64_t rows = 0;
    for (size_t i = 0; i < a->texts->n; i++)
        if (again == NULL || again[i]) rows += a->texts->begin[i + 1] - a->texts->begin[i];
    return rows;
}

/* ---- from the layer that a knock-out begins at ---- */

static size_t layer_of(const gm_ablate *a, size_t x)
{
    const gm_model_info *info = gm_model_get_info(a->model);
    const gm_knockout *k = &a->out->at[x];
    uint32_t least = k->at[0];
    for (size_t i = 1; i < k->n; i++) least = k->at[i] < least ? k->at[i] : least;
    return (size_t)info->layer_of_moe[least / (uint32_t)info->n_experts];
}

/* Is it less work, in rows times layers, to bring what is kept to a layer than it spares the
 * knock-outs that come now and begin there? */
static bool pays(const gm_ablate *a, size_t layer)
{
    const size_t through = layer >= a->at_layer ? layer - a->at_layer : layer;
    uint64_t spared = 0;
    for (size_t x = a->n_done; x < a->out->n && layer_of(a, x) == layer; x++)
        spared += gm_ablate_cost(a, x) * layer;
    return spared > (uint64_t)a->texts->begin[a->n_kept] * through;
}

/* Is there memory for what is to be kept? If not, everything is read from the start. */
static bool has_room(gm_ablate *a)
{
    if (a->residual == NULL)
        a->residual = gm_alloc2(a->texts->begin[a->n_kept], width_of(a), sizeof *a->residual);
    if (a->residual == NULL) {
        gm_warn("no memory to keep the residual stream of %zu documents: they are read from the "
                "first layer every time",
                a->n_kept);
        a->n_kept = 0;
    }
    return a->n_kept > 0;
}

/* Bring what is kept to a layer, untouched. */
static gm_status bring(gm_ablate *a, size_t layer, gm_error *err)
{
    gm_status status = GM_OK;
    const pass p = {.to = a->n_kept, .first = layer >= a->at_layer ? a->at_layer : 0, .end = layer};
    if (a->at_layer == layer) return GM_OK;
    a->at_layer = 0; /* until all are there */
    GM_TRY(gm_runner_steer(a->runner, NULL, err));
    GM_TRY(run(a, &p, err));
    a->at_layer = layer;
out:
    return status;
}

/* Losses without any change. */
static void as_untouched(gm_ablate *a)
{
    for (size_t i = 0; i < a->texts->n; i++)
        a->loss[i] = compare(a, i, a->nll + a->texts->begin[i]);
}

/* The rows of knock-out n_done from the losses. */
static void sum_up(gm_ablate *a)
{
    const gm_held_texts *t = a->texts;
    const gm_trace_samples samples = {.n = t->n, .subset = t->group};
    const uint32_t *chosen = a->chosen + a->n_done * t->n; /* (N) */
    gm_ablate_row *row = a->row + a->n_done * (t->n_groups + 1);
    for (size_t g = 0; g <= t->n_groups; g++) {
        row[g] = (gm_ablate_row){.loss = gm_loss_of(a->loss, &samples, (int64_t)g - 1)};
        for (size_t i = 0; i < t->n; i++)
            if (a->loss[i].n > 0 && (g == 0 || t->group[i] == g - 1)) row[g].chosen += chosen[i];
    }
}

gm_ablate_row *gm_ablate_take(gm_ablate *a)
{
    as_untouched(a);
    sum_up(a);
    return a->row + a->n_done++ * (a->texts->n_groups + 1);
}

gm_status gm_ablate_next(gm_ablate *a, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_knockout *k = &a->out->at[a->n_done];
    const size_t layer = layer_of(a, a->n_done);
    const size_t n_kept = a->n_kept > 0 && pays(a, layer) && has_room(a) ? a->n_kept : 0;
    const size_t end = n_layers_of(a);
    const uint8_t *again = wanted(a, a->n_done);
    if (n_kept > 0) GM_TRY(bring(a, layer, err));
    const gm_edit edit = {.bias = a->bias,
                          .mode = a->mode,
                          .last_layer = gm_model_get_info(a->model)->n_moe_layers - 1,
                          .phases = GM_PLAN_ALL_PHASES};
    for (size_t i = 0; i < k->n; i++) a->bias[k->at[i]] = -INFINITY;
    GM_TRY(gm_runner_steer(a->runner, &edit, err));
    as_untouched(a);
    GM_TRY(run(a, &(pass){0, n_kept, layer, end, again, take_without}, err));
    GM_TRY(run(a, &(pass){n_kept, a->texts->n, 0, end, again, take_without}, err));
    sum_up(a);
    a->n_done++;
out:
    for (size_t i = 0; i < k->n; i++) a->bias[k->at[i]] = 0;
    return status;
}

const gm_ablate_row *gm_ablate_rows(const gm_ablate *a, size_t x)
{
    return a->row + x * (a->texts->n_groups + 1);
}

gm_status gm_ablate_end(gm_ablate *a, gm_error *err)
{
    const size_t n = a->out->n * (a->texts->n_groups + 1);
    a->adjusted = gm_alloc(n, sizeof *a->adjusted);
    if (a->adjusted == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu p values", n);
    for (size_t i = 0; i < n; i++) a->adjusted[i] = a->row[i].loss.p;
    return gm_false_discovery(a->adjusted, n, err);
}
