/* layout_reference.c - umap-learn's serial descent, move by move.
 *
 * Every stored edge (i,j) is visited when its time has come; visits move both ends at
 * once, then `floor` random points push i away. Epoch 0 moves nothing, epochs 0 and 1
 * both have the full rate: so it is in the original. densMAP's pull comes with the visits of its
 * epochs.
 *
 * Source: umap-learn, layouts.py, optimize_layout_euclidean.
 */
#include "base/cli.h"
#include "base/rng.h"
#include "cluster/umap.h"

#include <math.h>
#include <string.h>

/* The state is signed and shifted arithmetically: an unsigned tau88 agrees for
 * non-negative seeds only. Left shifts are done unsigned, where overflow is defined. */
static int64_t tau_step(int64_t s, uint32_t mask, int up, int down, int mix)
{
    int64_t high = (int64_t)(((uint64_t)s & mask) << up & 0xffffffffu);
    int64_t mixed = (int64_t)((uint64_t)s << mix & 0xffffffffu) ^ s;
    return high ^ (mixed >> down);
}

int32_t gm_tau88_next(int64_t state[3])
{
    state[0] = tau_step(state[0], 4294967294u, 12, 19, 13);
    state[1] = tau_step(state[1], 4294967288u, 4, 25, 2);
    state[2] = tau_step(state[2], 4294967280u, 17, 11, 3);
    return (int32_t)(uint32_t)(uint64_t)(state[0] ^ state[1] ^ state[2]);
}

static double clip(double v)
{
    return v > 4 ? 4 : v < -4 ? -4 : v;
}

static double squared_distance(const float *p, const float *q, int dim)
{
    float sum = 0;
    for (int c = 0; c < dim; c++) sum += (p[c] - q[c]) * (p[c] - q[c]);
    return (double)sum;
}

/* The ends of edge e of point i towards each other; `density`: by densMAP's pull too. */
static void attract(float *xy, size_t i, uint64_t e, const gm_layout_job *job, double alpha,
                    bool density)
{
    const size_t k = job->graph->index[e];
    float *p = xy + (size_t)job->dim * i, *q = xy + (size_t)job->dim * k;
    double d2 = squared_distance(p, q, job->dim), a = job->a, b = job->b;
    double pull = d2 > 0 ? -2 * a * b * pow(d2, b - 1) / (a * pow(d2, b) + 1) : 0;
    double mu = (double)job->graph->weight[e];
    double more = density ? gm_density_pull(job->density, i, k, mu, d2) : 0;
    for (int c = 0; c < job->dim; c++) {
        double d = (double)(p[c] - q[c]), move = (clip(pull * d) + clip(more * d)) * alpha;
        p[c] = (float)((double)p[c] + move);
        q[c] = (float)((double)q[c] - move);
    }
}

static void repel(float *p, const float *q, const gm_layout_job *job, double alpha)
{
    double d2 = squared_distance(p, q, job->dim), a = job->a, b = job->b;
    if (!(d2 > 0)) return; /* the point itself, or one that coincides */
    double push = 2 * job->repulsion * b / ((0.001 + d2) * (a * pow(d2, b) + 1));
    for (int c = 0; c < job->dim; c++)
        p[c] = (float)((double)p[c] + clip(push * (double)(p[c] - q[c])) * alpha);
}

typedef struct descent {
    const gm_layout_job *job;
    float *xy;                            /* (N,d) the caller's */
    double *every, *next, *next_negative; /* (edges) epochs between visits, time of the next */
    int64_t *tau;                         /* (N,3) each point's random numbers */
    int epoch;
    double alpha; /* the rate of the epoch */
} descent;

static void visit_edge(descent *d, size_t i, uint64_t e)
{
    const gm_layout_job *job = d->job;
    const double every_negative = d->every[e] / job->negative_rate;
    const size_t dim = (size_t)job->dim;
    attract(d->xy, i, e, job, d->alpha, gm_density_acts(job->density, d->epoch + 1, job->n_epochs));
    d->next[e] += d->every[e];

    int draws = (int)((d->epoch - d->next_negative[e]) / every_negative);
    for (int n = 0; n < draws; n++) {
        int64_t n_points = (int64_t)job->graph->n, k = gm_tau88_next(d->tau + 3 * i) % n_points;
        if (k < 0) k += n_points; /* Python's modulus */
        repel(d->xy + dim * i, d->xy + dim * (size_t)k, job, d->alpha);
    }
    d->next_negative[e] += draws * every_negative;
}

/* Three numbers for all points, and for each the bits of its first coordinate. */
static void seed_points(int64_t *tau, const float *xy, size_t n, size_t dim, uint64_t seed)
{
    gm_rng rng = gm_rng_make(seed, 0x74617538); /* "tau8" */
    int64_t base[3];
    for (int c = 0; c < 3; c++)
        base[c] = (int64_t)INT32_MIN + 1 + (int64_t)gm_rng_below(&rng, 2 * (uint64_t)INT32_MAX - 1);
    for (size_t i = 0; i < n; i++) {
        double first = (double)xy[dim * i];
        int64_t bits;
        memcpy(&bits, &first, sizeof bits);
        for (int c = 0; c < 3; c++)
            tau[3 * i + (size_t)c] = (int64_t)((uint64_t)base[c] + (uint64_t)bits);
    }
}

gm_status gm_layout_reference(float *xy, const gm_layout_job *job, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_graph *graph = job->graph;
    const uint64_t n_edges = graph->indptr[graph->n];
    const double most = (double)gm_graph_max_weight(graph);
    descent d = {.job = job,
                 .xy = xy,
                 .every = gm_alloc(n_edges, sizeof *d.every),
                 .next = gm_alloc(n_edges, sizeof *d.next),
                 .next_negative = gm_alloc(n_edges, sizeof *d.next_negative),
                 .tau = gm_alloc2(graph->n, 3, sizeof *d.tau),
                 .alpha = job->learning_rate};
    if (!d.every || !d.next || !d.next_negative || !d.tau)
        GM_FAIL(GM_EMEM, "no memory for the layout of %zu points", graph->n);

    for (uint64_t e = 0; e < n_edges; e++) {
        d.every[e] = d.next[e] = most / (double)graph->weight[e];
        d.next_negative[e] = d.every[e] / job->negative_rate;
    }
    seed_points(d.tau, xy, graph->n, (size_t)job->dim, job->seed);
    for (; d.epoch < job->n_epochs; d.epoch++) {
        if (gm_density_acts(job->density, d.epoch + 1, job->n_epochs))
            gm_density_measure(job->density, xy, job->dim, graph);
        for (size_t i = 0; i < graph->n; i++)
            for (uint64_t e = graph->indptr[i]; e < graph->indptr[i + 1]; e++)
                if (d.next[e] <= d.epoch) visit_edge(&d, i, e);
        d.alpha = job->learning_rate * (1 - (double)d.epoch / job->n_epochs);
        if (job->progress) gm_progress_set(job->progress, d.epoch + 1);
        if (gm_interrupted()) GM_FAIL(GM_EINTERRUPTED, "interrupted during the layout");
    }
out:
    gm_free(d.every);
    gm_free(d.next);
    gm_free(d.next_negative);
    gm_free(d.tau);
    return status;
}
