/* stats_permute.c - mutual information of expert and subset when the documents' subsets are
 * permuted: the null that the measured one is held against.
 *
 * Sizes: R permutations, in groups of as many tables (S,L,E) and orders (N) as TABLE_BYTES hold;
 * the counts are read once a group. Permutation r is Fisher-Yates by the stream r of the seed.
 */
#include "base/rng.h"
#include "base/text.h"
#include "probe/stats.h"
#include "probe/stats_documents.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

enum { TABLE_BYTES = 256 << 20 };
/* A permutation that gives the same table with rows in another order sums the same information
 * in another order: that is as much, whatever the last bits say. */
static const double ROUNDING = 1e-12;

typedef struct permuting {
    const gm_stats *stats;
    size_t most, n;  /* permutations of a group, of this one */
    uint64_t *table; /* (n,S,L,E) */
    uint32_t *order; /* (n,N): document i takes the subset of document order[i] */
    double *bits;    /* (L,R) */
} permuting;

static gm_status permuting_init(permuting *p, const gm_stats *s, gm_error *err)
{
    size_t LE = s->L * s->E, R = (size_t)s->n_permutations;
    assert(LE > 0 && s->S > 0); /* an open trace has layers, experts and a subset */
    size_t one = s->S * LE * sizeof(uint64_t) + s->samples->n * sizeof(uint32_t);
    size_t most = (size_t)TABLE_BYTES / one;
    *p = (permuting){.stats = s, .most = most < 1 ? 1 : most < R ? most : R};
    p->table = gm_alloc2(p->most * s->S, LE, sizeof *p->table);
    p->order = gm_alloc2(p->most, s->samples->n, sizeof *p->order);
    p->bits = gm_alloc2(s->L, R, sizeof *p->bits);
    if (p->table && p->order && p->bits) return GM_OK;
    return gm_fail(err, GM_EMEM, "no memory for %zu permutations of %zu documents", p->most,
                   s->samples->n);
}

static void permuting_clear(permuting *p)
{
    gm_free(p->table);
    gm_free(p->order);
    gm_free(p->bits);
}

/* Start permutations [first, first+n): empty tables, an order each. */
static void permute_subsets(permuting *p, size_t first, size_t n, uint64_t seed)
{
    const gm_stats *s = p->stats;
    size_t N = s->samples->n, SLE = s->S * s->L * s->E;
    p->n = n;
    for (size_t r = 0; r < n; r++) {
        gm_rng rng = gm_rng_make(seed, first + r);
        uint32_t *order = p->order + r * N; /* (N) */
        for (size_t i = 0; i < N; i++) order[i] = (uint32_t)i;
        gm_rng_shuffle(&rng, order, N);
        for (size_t j = 0; j < SLE; j++) p->table[r * SLE + j] = 0;
    }
}

/* Documents [first, first+n) to the tables of all permutations of the group. */
static void add(void *context, size_t first, size_t n, const uint32_t *counts)
{
    permuting *p = context;
    const gm_stats *s = p->stats;
    size_t N = s->samples->n, LE = s->L * s->E;
#pragma omp parallel for schedule(dynamic)
    for (size_t r = 0; r < p->n; r++)
        for (size_t d = 0; d < n; d++) {
            size_t subset = s->samples->subset[p->order[r * N + first + d]];
            uint64_t *sum = p->table + (r * s->S + subset) * LE; /* (L,E) */
            const uint32_t *one = counts + d * LE;
            for (size_t j = 0; j < LE; j++) sum[j] += one[j];
        }
}

static gm_status permute_group(permuting *p, gm_trace *trace, size_t first, size_t n, uint64_t seed,
                               gm_error *err)
{
    const gm_stats *s = p->stats;
    size_t LE = s->L * s->E, R = (size_t)s->n_permutations;
    permute_subsets(p, first, n, seed);
    gm_status status = gm_stats_for_documents(trace, add, p, err);
    for (size_t r = 0; status == GM_OK && r < n; r++)
        for (size_t l = 0; l < s->L; l++)
            p->bits[l * R + first + r] =
                gm_mutual_of(p->table + r * s->S * LE + l * s->E, s->S, s->E, LE).bits;
    return status;
}

/* bits (R) of one layer, sorted here. */
static void conclude(gm_subset_information *layer, double *bits, size_t R)
{
    size_t as_much = 0;
    double sum = 0;
    for (size_t r = 0; r < R; r++) {
        sum += bits[r];
        as_much += bits[r] >= layer->mutual.bits - ROUNDING * (1 + layer->mutual.bits);
    }
    qsort(bits, R, sizeof *bits, gm_ascending);
    layer->null_bits = sum / (double)R;
    layer->null_95_bits = bits[(95 * R + 99) / 100 - 1];
    layer->p = (1 + (double)as_much) / (1 + (double)R);
}

gm_status gm_stats_permute(gm_stats *s, gm_trace *trace, uint64_t seed, gm_error *err)
{
    gm_status status = GM_OK;
    size_t R = (size_t)s->n_permutations;
    permuting p = {0};
    for (size_t l = 0; l < s->L; l++)
        s->information[l].null_bits = s->information[l].null_95_bits = s->information[l].p = NAN;
    if (R == 0) return GM_OK;
    GM_TRY(permuting_init(&p, s, err));
    for (size_t first = 0; first < R; first += p.most)
        GM_TRY(permute_group(&p, trace, first, R - first < p.most ? R - first : p.most, seed, err));
    for (size_t l = 0; l < s->L; l++) conclude(&s->information[l], p.bits + l * R, R);
out:
    permuting_clear(&p);
    return status;
}
