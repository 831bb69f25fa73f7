/* stats_tokens.c - experts by token id, and experts chosen together. */
#include "probe/stats_tokens.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "base/rng.h"
#include "engine/engine.h"

enum { IDS_AT_ONCE = 8192, LARGEST_ID = 1 << 24 };

/* ---- rows ---- */

typedef struct id_count {
    uint32_t id, n;
} id_count;

static int by_count(const void *x, const void *y)
{
    const id_count *a = x, *b = y;
    if (a->n != b->n) return a->n < b->n ? 1 : -1;
    return (a->id > b->id) - (a->id < b->id);
}

/* The list of ids, with how often each is counted; room for `id` in it. */
static gm_status reach(id_count **list, size_t *n_ids, uint32_t id, gm_error *err)
{
    if (id < *n_ids) return GM_OK;
    if (id > LARGEST_ID) return gm_fail(err, GM_EFORMAT, "token id %u is above %d", id, LARGEST_ID);
    size_t n = (size_t)id + 1 > 2 * *n_ids ? (size_t)id + 1 : 2 * *n_ids;
    id_count *more = gm_grow(*list, *n_ids, n, sizeof *more);
    if (more == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu token ids", n);
    for (size_t i = *n_ids; i < n; i++) more[i].id = (uint32_t)i;
    *list = more;
    *n_ids = n;
    return GM_OK;
}

/* Read the ids of all counted tokens: how often each stands there, and all of them in order. */
static gm_status count_ids(gm_token_counts *c, gm_trace *trace, id_count **list, gm_error *err)
{
    gm_status status = GM_OK;
    uint64_t T = gm_trace_n_tokens(trace);
    uint32_t *id = gm_alloc(IDS_AT_ONCE, sizeof *id);
    uint8_t *phase = gm_alloc(IDS_AT_ONCE, sizeof *phase);
    if (id == NULL || phase == NULL) GM_FAIL(GM_EMEM, "no memory for token ids");
    for (uint64_t first = 0; first < T; first += IDS_AT_ONCE) {
        size_t n = T - first < IDS_AT_ONCE ? (size_t)(T - first) : IDS_AT_ONCE;
        GM_TRY(gm_trace_read_tokens(trace, first, n, id, NULL, phase, NULL, err));
        for (size_t t = 0; t < n; t++) {
            if (phase[t] == GM_PHASE_TEMPLATE) continue;
            GM_TRY(reach(list, &c->n_ids, id[t], err));
            assert(*list != NULL);
            (*list)[id[t]].n++;
            c->dealt[c->n_dealt++] = id[t];
        }
    }
out:
    gm_free(id);
    gm_free(phase);
    return status;
}

/* Rows of the most frequent ids; dealt from ids to rows, shuffled. */
static gm_status choose_rows(gm_token_counts *c, id_count *list, size_t most, uint64_t seed,
                             gm_error *err)
{
    gm_rng rng = gm_rng_make(seed, UINT64_C(1) << 32);
    assert(list != NULL || c->n_ids == 0);
    c->row_of = gm_alloc(c->n_ids, sizeof *c->row_of);
    if (c->row_of == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu token ids", c->n_ids);
    if (list != NULL) qsort(list, c->n_ids, sizeof *list, by_count);
    while (c->R < c->n_ids && c->R < most && list[c->R].n > 0) c->R++;
    c->token_id = gm_alloc(c->R, sizeof *c->token_id);
    if (c->token_id == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu token ids", c->R);
    for (size_t i = 0; i < c->n_ids; i++) {
        c->row_of[list[i].id] = (uint32_t)(i < c->R ? i : c->R);
        if (i < c->R) c->token_id[i] = list[i].id;
    }
    for (uint64_t t = 0; t < c->n_dealt; t++) c->dealt[t] = c->row_of[c->dealt[t]];
    gm_rng_shuffle(&rng, c->dealt, c->n_dealt);
    c->n_dealt = 0;
    return GM_OK;
}

gm_status gm_token_counts_init(gm_token_counts *c, gm_trace *trace, size_t most, size_t batch,
                               uint64_t seed, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_trace_info *info = gm_trace_get_info(trace);
    uint64_t T = gm_trace_n_tokens(trace);
    id_count *list = NULL;
    *c = (gm_token_counts){
        .L = (size_t)info->n_layers, .E = (size_t)info->n_experts, .K = (size_t)info->n_chosen};
    if (T > UINT32_MAX)
        GM_FAIL(GM_EARG, "%llu tokens are too many to count by id", (unsigned long long)T);
    c->dealt = gm_alloc(T, sizeof *c->dealt);
    c->own = gm_alloc(batch, sizeof *c->own);
    c->other = gm_alloc(batch, sizeof *c->other);
    if (!c->dealt || !c->own || !c->other)
        GM_FAIL(GM_EMEM, "no memory for the ids of %llu tokens", (unsigned long long)T);
    GM_TRY(count_ids(c, trace, &list, err));
    GM_TRY(choose_rows(c, list, most, seed, err));
    c->count = gm_alloc2(c->L * (c->R + 1), c->E, sizeof *c->count);
    c->null_count = gm_alloc2(c->L * (c->R + 1), c->E, sizeof *c->null_count);
    c->together = gm_alloc2(c->L * c->E, c->E, sizeof *c->together);
    c->scratch = gm_alloc2(c->R + 1, c->E, sizeof *c->scratch);
    if (!c->count || !c->null_count || !c->together || !c->scratch)
        GM_FAIL(GM_EMEM, "no memory for %zu token ids of %zu layers, %zu experts", c->R, c->L,
                c->E);
out:
    gm_free(list);
    if (status != GM_OK) gm_token_counts_clear(c);
    return status;
}

void gm_token_counts_clear(gm_token_counts *c)
{
    gm_free(c->token_id);
    gm_free(c->row_of);
    gm_free(c->dealt);
    gm_free(c->count);
    gm_free(c->null_count);
    gm_free(c->together);
    gm_free(c->scratch);
    gm_free(c->own);
    gm_free(c->other);
    *c = (gm_token_counts){0};
}

/* ---- counting ---- */

/* The tables are larger than a core's cache, so that a batch is added in the order of their
 * rows: each is then met once a batch and not once a token. */
static int by_row(const void *x, const void *y)
{
    const gm_token_place *a = x, *b = y;
    if (a->row != b->row) return a->row < b->row ? -1 : 1;
    return (a->t > b->t) - (a->t < b->t);
}

/* The n places of a batch whose first row's experts at this layer are at `expert`, to a table
 * (R+1,E); with `together` (E,E), to that as well. */
static void add_places(const gm_token_counts *c, const gm_token_place *place, size_t n,
                       const uint16_t *expert, uint32_t *table, uint32_t *together)
{
    size_t E = c->E, K = c->K;
    for (size_t i = 0; i < n; i++) {
        const uint16_t *chosen = expert + place[i].t * c->L * K; /* (K) */
        uint32_t *row = table + place[i].row * E;                /* (E) */
        for (size_t k = 0; k < K; k++) {
            row[chosen[k]]++;
            for (size_t m = k; together && m < K; m++) together[chosen[k] * E + chosen[m]]++;
        }
    }
}

void gm_token_counts_add(gm_token_counts *c, const uint16_t *expert, const uint32_t *token_id,
                         const uint8_t *phase, const bool *good, size_t n)
{
    size_t n_good = 0, table = (c->R + 1) * c->E;
    for (size_t t = 0; t < n; t++) {
        if (phase[t] == GM_PHASE_TEMPLATE) continue;
        uint32_t dealt = c->dealt[c->n_dealt++];
        if (!good[t]) continue;
        c->own[n_good] = (gm_token_place){c->row_of[token_id[t]], (uint32_t)t};
        c->other[n_good++] = (gm_token_place){dealt, (uint32_t)t};
    }
    qsort(c->own, n_good, sizeof *c->own, by_row);
    qsort(c->other, n_good, sizeof *c->other, by_row);
#pragma omp parallel for schedule(static)
    for (size_t l = 0; l < c->L; l++) {
        const uint16_t *at = expert + l * c->K;
        add_places(c, c->own, n_good, at, c->count + l * table, c->together + l * c->E * c->E);
        add_places(c, c->other, n_good, at, c->null_count + l * table, NULL);
    }
}

/* ---- what they say ---- */

static const uint32_t *table_of(const gm_token_counts *c, size_t l, bool null)
{
    return (null ? c->null_count : c->count) + l * (c->R + 1) * c->E;
}

gm_mutual gm_token_information(const gm_token_counts *c, size_t l, bool null)
{
    const uint32_t *table = table_of(c, l, null);
    for (size_t i = 0; i < (c->R + 1) * c->E; i++) c->scratch[i] = table[i];
    return gm_mutual_of(c->scratch, c->R + 1, c->E, c->E);
}

double gm_token_specialisation(const gm_token_counts *c, size_t l, bool null)
{
    const uint32_t *row = table_of(c, l, null);
    uint64_t most = 0, choices = 0;
    for (size_t r = 0; r < c->R; r++, row += c->E) {
        uint32_t largest = 0;
        for (size_t e = 0; e < c->E; e++) {
            choices += row[e];
            if (row[e] > largest) largest = row[e];
        }
        most += largest; /* N_r max_e P(e|r) */
    }
    return choices ? (double)most * (double)c->K / (double)choices : NAN;
}

uint64_t gm_token_row(const gm_token_counts *c, size_t l, size_t r)
{
    const uint32_t *row = table_of(c, l, false) + r * c->E;
    uint64_t sum = 0;
    for (size_t e = 0; e < c->E; e++) sum += row[e];
    return sum / c->K;
}

/* What row r adds to the information of expert e. */
static double adds(const gm_token_counts *c, size_t l, size_t e, size_t r, double n)
{
    double both = table_of(c, l, false)[r * c->E + e];
    double chose = (double)c->together[(l * c->E + e) * c->E + e];
    return both > 0 ? both * log(both * n / ((double)gm_token_row(c, l, r) * chose)) : 0;
}

size_t gm_token_best(const gm_token_counts *c, size_t l, size_t e, size_t n, size_t *row)
{
    size_t found = 0;
    double tokens = 0;
    for (size_t i = 0; i < c->E; i++)
        tokens += (double)c->together[(l * c->E + i) * c->E + i] / (double)c->K;
    double last = INFINITY;
    size_t last_row = 0;
    while (found < n) { /* the next after the last in the order (adds down, row up) */
        double best = 0;
        size_t best_row = SIZE_MAX;
        for (size_t r = 0; r < c->R; r++) {
            double value = adds(c, l, e, r, tokens);
            bool after = value < last || (value == last && r > last_row);
            if (after && value > best) best = value, best_row = r;
        }
        if (best_row == SIZE_MAX) break;
        row[found++] = best_row;
        last = best;
        last_row = best_row;
    }
    return found;
}

/* Tokens of layer l that chose both. */
static uint64_t both_of(const gm_token_counts *c, size_t l, size_t i, size_t j)
{
    const uint32_t *together = c->together + l * c->E * c->E;
    uint64_t one = together[i * c->E + j];
    return i == j ? one : one + (uint64_t)together[j * c->E + i];
}

double gm_token_together(const gm_token_counts *c, size_t l, size_t i, size_t j)
{
    uint64_t chose = both_of(c, l, i, i);
    return chose ? (double)both_of(c, l, i, j) / (double)chose : NAN;
}

bool gm_token_pair(const gm_token_counts *c, size_t l, size_t *i, size_t *j, double *npmi)
{
    uint64_t choices = 0;
    bool found = false;
    for (size_t e = 0; e < c->E; e++) choices += both_of(c, l, e, e);
    for (size_t a = 0; a < c->E; a++)
        for (size_t b = a + 1; b < c->E; b++) {
            uint64_t both = both_of(c, l, a, b);
            if (both == 0) continue;
            double value = gm_domain_of(both, both_of(c, l, b, b), both_of(c, l, a, a),
                                        choices / c->K, c->E, c->K)
                               .npmi;
            if (found && !(value > *npmi)) continue;
            found = true;
            *i = a;
            *j = b;
            *npmi = value;
        }
    return found;
}
