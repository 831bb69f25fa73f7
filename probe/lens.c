/* lens.c - what experts add, added up over documents and compared: see lens.h. */
#include "probe/lens.h"

#include "base/cli.h"

#include <math.h>
#include <string.h>

static size_t n_experts(const gm_lens *lens)
{
    return (size_t)gm_model_get_info(lens->model)->n_experts;
}

static size_t width(const gm_lens *lens)
{
    return (size_t)gm_model_get_info(lens->model)->width;
}

/* ---- sums ---- */

/* The layers from the first to the last that has an expert. */
static gm_expert_sums layers_of(const gm_knockouts *asked, int E)
{
    gm_expert_sums sums = {.first = INT32_MAX};
    for (size_t i = 0; i < asked->n; i++) {
        const int l = (int)asked->at[i].at[0] / E;
        if (l < sums.first) sums.first = l;
        if (l >= sums.end) sums.end = l + 1;
    }
    return sums;
}

uint64_t gm_lens_bytes(const gm_model_info *info, const gm_knockouts *asked)
{
    const gm_expert_sums of = layers_of(asked, info->n_experts);
    const uint64_t each = sizeof *of.of + (uint64_t)info->width * sizeof *of.added;
    return 2 * (uint64_t)(of.end - of.first) * (uint64_t)info->n_experts * each;
}

static gm_status create_sums(gm_lens *lens, gm_error *err)
{
    for (int h = 0; h < 2; h++) {
        gm_expert_sums *sums = &lens->half[h];
        *sums = layers_of(lens->asked, (int)n_experts(lens));
        const size_t n = (size_t)(sums->end - sums->first) * n_experts(lens);
        sums->of = gm_alloc(n, sizeof *sums->of);
        sums->added = gm_alloc2(n, width(lens), sizeof *sums->added);
        if (!sums->of || !sums->added)
            return gm_fail(err, GM_EMEM, "no memory for what %zu experts add", n);
    }
    return GM_OK;
}

void gm_lens_clear(gm_lens *lens)
{
    for (int h = 0; h < 2; h++) {
        gm_free(lens->half[h].of);
        gm_free(lens->half[h].added);
    }
    gm_free(lens->expert);
    gm_free(lens->seen);
    *lens = (gm_lens){0};
}

/* ---- documents through the model ---- */

/* A block of one half; it is freed. */
static gm_status run(gm_lens *lens, gm_runner *runner, gm_probe_block **block, gm_expert_sums *sums,
                     gm_progress *progress, gm_error *err)
{
    gm_probe_block *b = *block;
    b->sums = sums;
    const gm_status status = gm_held_texts_run(runner, b, progress, err);
    for (size_t t = 0; status == GM_OK && t < b->token.n; t++) {
        if (b->phase[t] == GM_PHASE_TEMPLATE) continue;
        if (isfinite(b->scale[t]))
            lens->inverse += 1.0 / (double)b->scale[t], lens->n_tokens++;
        else
            lens->n_bad++;
    }
    gm_probe_block_free(b);
    *block = NULL;
    return status;
}

gm_status gm_lens_read(gm_lens *lens, gm_runner *runner, const gm_held_texts *texts,
                       gm_progress *progress, gm_error *err)
{
    gm_status status = GM_OK;
    gm_probe_block *block = NULL;
    const size_t n_ids = (size_t)gm_model_get_info(lens->model)->vocab_size;
    lens->n_documents = texts->n;
    lens->seen = gm_alloc(n_ids, sizeof *lens->seen);
    if (lens->seen == NULL) GM_FAIL(GM_EMEM, "no memory for a vocabulary of %zu", n_ids);
    for (size_t t = 0; t < texts->token.n; t++)
        if (texts->phase[t] != GM_PHASE_TEMPLATE) lens->seen[texts->token.at[t]] = true;
    GM_TRY(create_sums(lens, err));
    for (unsigned h = 0; h < 2; h++) {
        for (size_t i = 0; i < texts->n; i++) {
            if ((texts->sha[32 * i] & 1u) != h) continue;
            if (block && !gm_probe_block_fits(block, texts->begin[i + 1] - texts->begin[i]))
                GM_TRY(run(lens, runner, &block, &lens->half[h], progress, err));
            GM_TRY(gm_held_texts_put(texts, i, &block, err));
        }
        if (block) GM_TRY(run(lens, runner, &block, &lens->half[h], progress, err));
    }
    if (lens->n_tokens == 0)
        GM_FAIL(GM_ENUMERIC, "no token of the documents has routers that are finite");
out:
    gm_probe_block_free(block);
    return status;
}

/* ---- vectors ---- */

/* Halves of a gm_lens_layer's v. */
static bool has_half(int which, int h)
{
    return which == 0 || which == h + 1;
}

/* What layer l, expert e adds, in all, to out (D), and over how many tokens. */
static uint64_t add_up(const gm_lens *lens, int which, int l, size_t e, double *out)
{
    uint64_t n = 0;
    const size_t D = width(lens), at = (size_t)(l - lens->half[0].first) * n_experts(lens) + e;
    for (int h = 0; h < 2; h++) {
        if (!has_half(which, h)) continue;
        n += lens->half[h].of[at].n;
        for (size_t i = 0; i < D; i++) out[i] += lens->half[h].added[at * D + i];
    }
    return n;
}

void gm_lens_mean(const gm_lens *lens, int l, int e, double *out)
{
    const size_t D = width(lens);
    const bool there = l >= lens->half[0].first && l < lens->half[0].end;
    memset(out, 0, D * sizeof *out);
    const uint64_t n = there ? add_up(lens, 0, l, (size_t)e, out) : 0;
    for (size_t i = 0; i < D; i++) out[i] = n > 0 ? out[i] / (double)n : NAN;
}

/* Eight sums, one after the other. */
static double dot(const double *a, const double *b, size_t n)
{
    double lane[8] = {0}, sum = 0;
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (size_t j = 0; j < 8; j++) lane[j] += a[i + j] * b[i + j];
    for (; i < n; i++) sum += a[i] * b[i];
    for (size_t j = 0; j < 8; j++) sum += lane[j];
    return sum;
}

/* v of all experts, of both halves or one; mean: room for D. */
static void find_vectors(const gm_lens *lens, gm_lens_layer *layer, int which, double *mean)
{
    const size_t D = width(lens), E = n_experts(lens);
    uint64_t all = 0;
    memset(mean, 0, D * sizeof *mean);
    for (size_t e = 0; e < E; e++) all += add_up(lens, which, layer->l, e, mean);
    for (size_t e = 0; e < E; e++) {
        double *v = layer->v[which] + e * D; /* (D) */
        memset(v, 0, D * sizeof *v);
        const uint64_t n = add_up(lens, which, layer->l, e, v);
        for (size_t i = 0; n > 0 && i < D; i++)
            v[i] = v[i] / (double)n - (lens->plain ? 0 : mean[i] / (double)all);
        layer->length[which][e] = sqrt(dot(v, v, D));
    }
}

static double cosine(const gm_lens_layer *layer, int a, size_t i, int b, size_t j, size_t D)
{
    const double both = layer->length[a][i] * layer->length[b][j];
    return both > 0 ? dot(layer->v[a] + i * D, layer->v[b] + j * D, D) / both : NAN;
}

double gm_lens_alone(const gm_lens *lens, int l)
{
    uint64_t n = 0;
    double sum = 0;
    for (size_t e = 0; e < n_experts(lens); e++)
        for (int h = 0; h < 2; h++) {
            const size_t at = (size_t)(l - lens->half[h].first) * n_experts(lens) + e;
            n += lens->half[h].of[at].n_first;
            sum += lens->half[h].of[at].cosines;
        }
    return n > 0 ? sum / (double)n : NAN;
}

/* ---- experts ---- */

/* All but the lists of tokens. */
static gm_lens_expert describe(const gm_lens *lens, const gm_lens_layer *layer, size_t e)
{
    const size_t D = width(lens),
                 at = (size_t)(layer->l - lens->half[0].first) * n_experts(lens) + e;
    const gm_expert_sum *a = &lens->half[0].of[at], *b = &lens->half[1].of[at];
    gm_lens_expert x = {.l = layer->l, .e = (int)e, .sum = *a, .nearest = -1, .cosine = NAN};
    if (b->largest > a->largest) x.sum = *b;
    x.sum.n = a->n + b->n;
    x.sum.n_first = a->n_first + b->n_first;
    x.sum.norms = a->norms + b->norms;
    x.sum.cosines = a->cosines + b->cosines;
    x.halves = cosine(layer, 1, e, 2, e, D);
    for (size_t other = 0; other < n_experts(lens); other++) {
        const double c = other == e ? NAN : cosine(layer, 0, e, 0, other, D);
        if (isnan(c) || (x.nearest >= 0 && c <= x.cosine)) continue;
        x.nearest = (int)other;
        x.cosine = c;
    }
    return x;
}

/* Experts [from, to) of those asked for; row: room for (n,3,D). */
static gm_status look_at(gm_lens *lens, gm_lens_head *head, gm_lens_layer *layer, size_t from,
                         size_t to, float *row, double *mean, gm_error *err)
{
    const size_t D = width(lens), E = n_experts(lens);
    for (size_t x = from; x < to; x++) {
        const int l = (int)(lens->asked->at[x].at[0] / E);
        const size_t e = lens->asked->at[x].at[0] % E;
        if (l != layer->l) {
            layer->l = l;
            for (int which = 0; which < 3; which++) find_vectors(lens, layer, which, mean);
        }
        lens->expert[x] = describe(lens, layer, e);
        for (size_t i = 0; i < 3 * D; i++)
            row[(x - from) * 3 * D + i] = (float)layer->v[i / D][e * D + i % D];
    }
    return gm_lens_head_list(head, row, lens->expert + from, to - from, err);
}

gm_status gm_lens_look(gm_lens *lens, int threads, gm_progress *progress, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t D = width(lens), E = n_experts(lens), n = lens->asked->n;
    gm_lens_head *head = NULL;
    gm_lens_layer layer = {.l = -1};
    double *all = gm_alloc2(3 * E, D + 1, sizeof *all), *mean = gm_alloc(D, sizeof *mean);
    float *row = gm_alloc2((size_t)3 * GM_LENS_AT_ONCE, D, sizeof *row);
    lens->expert = gm_alloc(n, sizeof *lens->expert);
    if (!all || !mean || !row || !lens->expert)
        GM_FAIL(GM_EMEM, "no memory for %zu experts' vectors", E);
    for (size_t which = 0; which < 3; which++) {
        layer.v[which] = all + which * E * D;
        layer.length[which] = all + 3 * E * D + which * E;
    }
    GM_TRY(gm_lens_head_create(&head, lens, threads, err));
    for (size_t x = 0; x < n; x += GM_LENS_AT_ONCE) {
        if (gm_interrupted()) GM_FAIL(GM_EINTERRUPTED, "interrupted");
        const size_t to = n - x < GM_LENS_AT_ONCE ? n : x + GM_LENS_AT_ONCE;
        GM_TRY(look_at(lens, head, &layer, x, to, row, mean, err));
        gm_progress_set(progress, (double)to);
    }
out:
    gm_lens_head_free(head);
    gm_free(all);
    gm_free(mean);
    gm_free(row);
    return status;
}
