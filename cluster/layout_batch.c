/* layout_batch.c - the descent that threads do not change.
 *
 * In an epoch each point i starts from where it is, goes through its own edges that are
 * due and their random points one after another, and moves; all others stay for it where
 * they were when the epoch began. In the serial descent a pair pulls i twice an epoch, as
 * (i,j) and as (j,i), so here the pull of an edge is taken twice. Which edges are due is
 * umap-learn's schedule written without state: at epoch n an edge that comes every t
 * epochs is due when floor(n/t) grew, and then draws as many random points as the
 * schedule owes it.
 */
#include <math.h>
#include <string.h>

#include "base/cli.h"
#include "base/rng.h"
#include "cluster/elementary.h"
#include "cluster/umap.h"

typedef struct point {
    float x, y;
} point;

static float clip(float v)
{
    return v > 4.0f ? 4.0f : v < -4.0f ? -4.0f : v;
}

/* Small steps of a generator that is seeded by (seed, point, epoch). Source: Steele, Lea,
 * Flood 2014, SplitMix64. */
static uint64_t split_mix(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

typedef struct epoch_of {
    const gm_layout_job *job;
    const float *every; /* (edges) epochs between two visits */
    const point *old;   /* (N) where the points are */
    gm_rng rng;
    int number; /* of the epoch */
    float a, b, alpha;
} epoch_of;

static point pull(point p, point q, const epoch_of *now)
{
    float dx = p.x - q.x, dy = p.y - q.y, d2 = dx * dx + dy * dy;
    if (!(d2 > 1e-30f)) return p;
    float power = gm_powf(d2, now->b); /* d^2b */
    float by = -2.0f * now->a * now->b * power / (d2 * (now->a * power + 1.0f));
    p.x += 2.0f * now->alpha * clip(by * dx);
    p.y += 2.0f * now->alpha * clip(by * dy);
    return p;
}

static point push(point p, point q, const epoch_of *now)
{
    float dx = p.x - q.x, dy = p.y - q.y, d2 = dx * dx + dy * dy;
    if (!(d2 > 1e-30f)) return p;
    float power = gm_powf(d2, now->b), strength = (float)now->job->repulsion;
    float by = 2.0f * strength * now->b / ((0.001f + d2) * (now->a * power + 1.0f));
    p.x += now->alpha * clip(by * dx);
    p.y += now->alpha * clip(by * dy);
    return p;
}

static point move_point(size_t i, const epoch_of *now)
{
    const gm_graph *graph = now->job->graph;
    const float epoch = (float)now->number, rate = (float)now->job->negative_rate;
    point p = now->old[i];
    uint32_t words[4];
    gm_rng_at(&now->rng, i, (uint32_t)now->number, words);
    uint64_t state = (uint64_t)words[0] << 32 | words[1];

    for (uint64_t e = graph->indptr[i]; e < graph->indptr[i + 1]; e++) {
        float every = now->every[e];
        float visits = floorf(epoch / every), before = floorf((epoch - 1.0f) / every);
        if (!(visits > before)) continue;
        p = pull(p, now->old[graph->index[e]], now);
        /* Owed by now: one every (every/rate) epochs, the first of them skipped. */
        float last = before >= 1.0f ? ceilf(before * every) : 0.0f; /* epoch of the last visit */
        int draws = (int)(floorf(epoch * rate / every) - fmaxf(1.0f, floorf(last * rate / every)));
        for (int d = 0; d < draws; d++) {
            uint64_t k = (split_mix(&state) >> 32) * graph->n >> 32;
            if (k != i) p = push(p, now->old[k], now);
        }
    }
    return p;
}

gm_status gm_layout_batch(float *xy, const gm_layout_job *job, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_graph *graph = job->graph;
    const size_t n = graph->n;
    const uint64_t n_edges = graph->indptr[n];
    const float most = gm_graph_max_weight(graph);
    float *every = gm_alloc(n_edges, sizeof *every);
    point *old = gm_alloc(n, sizeof *old), *new = gm_alloc(n, sizeof *new);
    if (!every || !old || !new) GM_FAIL(GM_EMEM, "no memory for the layout of %zu points", n);

    for (uint64_t e = 0; e < n_edges; e++) every[e] = most / graph->weight[e];
    memcpy(new, xy, n * sizeof *new);
    epoch_of now = {.job = job,
                    .every = every,
                    .rng = gm_rng_make(job->seed, 0x6c61796f),
                    .a = (float)job->a,
                    .b = (float)job->b,
                    .alpha = (float)job->learning_rate};
    for (int epoch = 1; epoch < job->n_epochs; epoch++) {
        point *swap = old;
        old = new, new = swap;
        now.old = old, now.number = epoch;
#pragma omp parallel for schedule(dynamic, 256) if (n > 2000)
        for (size_t i = 0; i < n; i++) new[i] = move_point(i, &now);
        now.alpha = (float)(job->learning_rate * (1 - (double)epoch / job->n_epochs));
        if (job->progress) gm_progress_set(job->progress, epoch + 1);
        if (gm_interrupted()) GM_FAIL(GM_EINTERRUPTED, "interrupted during the layout");
    }
    memcpy(xy, new, n * sizeof *new);
out:
    gm_free(every);
    gm_free(old);
    gm_free(new);
    return status;
}
