/* stats_tokens.c - experts by token id, and experts chosen together. */
#include "probe/stats_tokens.h"

#include "base/rng.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

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
    if (id > LARGEST_ID)
        return gm_fail(err, GM_EFORMAT, "token id %u is greater than %d", id, LARGEST_ID);
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
            if (phase[t] == GM_TRACE_TEMPLATE) continue;
            GM_TRY(reach(list, &c->n_ids, id[t], err));
            assert(*list != NULL);
            (*list)[id[t]].n++;
            c->shuffled[c->n_shuffled++] = id[t];
        }
    }
out:
    gm_free(id);
    gm_free(phase);
    return status;
}

/* Rows of the most frequent ids; turned from ids to rows, shuffled. */
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
    for (uint64_t t = 0; t < c->n_shuffled; t++) c->shuffled[t] = c->row_of[c->shuffled[t]];
    gm_rng_shuffle(&rng, c->shuffled, c->n_shuffled);
    c->n_shuffled = 0;
    return GM_OK;
}

/* The tables, empty. */
static gm_status make_tables(gm_token_counts *c, bool olmoe, gm_error *err)
{
    size_t by_row = c->L * (c->R + 1);
    c->count = gm_alloc2(by_row, c->E, sizeof *c->count);
    c->null_count = gm_alloc2(by_row, c->E, sizeof *c->null_count);
    c->together = gm_alloc2(c->L * c->E, c->E, sizeof *c->together);
    c->scratch = gm_alloc2(c->R + 1, c->E, sizeof *c->scratch);
    c->layer = gm_alloc(c->L, sizeof *c->layer);
    bool whole = c->count && c->null_count && c->together && c->scratch && c->layer;
    if (whole && olmoe) {
        c->first = gm_alloc2(by_row, c->E, sizeof *c->first);
        c->neighbour = gm_alloc2(c->L * c->E, c->E, sizeof *c->neighbour);
        whole = c->first && c->neighbour;
    }
    if (whole) return GM_OK;
    return gm_fail(err, GM_EMEM, "no memory for %zu token ids of %zu layers, %zu experts", c->R,
                   c->L, c->E);
}

gm_status gm_token_counts_init(gm_token_counts *c, gm_trace *trace, const gm_token_options *o,
                               gm_error *err)
{
    gm_status status = GM_OK;
    const gm_trace_info *info = gm_trace_get_info(trace);
    uint64_t T = gm_trace_n_tokens(trace);
    id_count *list = NULL;
    *c = (gm_token_counts){.L = (size_t)info->n_layers,
                           .E = (size_t)info->n_experts,
                           .K = (size_t)info->n_chosen,
                           .next = o->next};
    if (T > UINT32_MAX) GM_FAIL(GM_EARG, "%" PRIu64 " tokens are too many to count by id", T);
    c->shuffled = gm_alloc(T, sizeof *c->shuffled);
    c->place = gm_alloc2(2, o->batch, sizeof *c->place);
    c->unsorted = gm_alloc2(2, o->batch, sizeof *c->unsorted);
    if (!c->shuffled || !c->place || !c->unsorted)
        GM_FAIL(GM_EMEM, "no memory for the ids of %" PRIu64 " tokens", T);
    GM_TRY(count_ids(c, trace, &list, err));
    GM_TRY(choose_rows(c, list, o->most, o->seed, err));
    GM_TRY(make_tables(c, o->olmoe, err));
out:
    gm_free(list);
    if (status != GM_OK) gm_token_counts_clear(c);
    return status;
}

void gm_token_counts_clear(gm_token_counts *c)
{
    gm_free(c->token_id);
    gm_free(c->row_of);
    gm_free(c->shuffled);
    gm_free(c->count);
    gm_free(c->null_count);
    gm_free(c->together);
    gm_free(c->first);
    gm_free(c->neighbour);
    gm_free(c->scratch);
    gm_free(c->layer);
    gm_free(c->place);
    gm_free(c->unsorted);
    *c = (gm_token_counts){0};
}

/* ---- counting ---- */

/* The tables are larger than a core's cache, so that a batch is added in the order of their
 * rows: each is then met once a batch and not once a token. Radix sort, which keeps the order of
 * tokens of one row; `from` (n) is written. */
static void sort_by_row(gm_token_place *to, gm_token_place *from, size_t n, size_t R)
{
    enum { BITS = 10, BUCKETS = 1 << BITS };
    int shift = 0;
    for (bool more = true; more; shift += BITS) {
        uint32_t start[BUCKETS + 1] = {0};
        for (size_t i = 0; i < n; i++) start[(from[i].row >> shift) % BUCKETS + 1]++;
        for (size_t b = 0; b < BUCKETS; b++) start[b + 1] += start[b];
        for (size_t i = 0; i < n; i++) to[start[(from[i].row >> shift) % BUCKETS]++] = from[i];
        more = R >> (shift + BITS) > 0;
        if (more) memcpy(from, to, n * sizeof *from);
    }
}

/* The n places of a batch, their rows' experts in one layer (batch,K), to a table (R+1,E). */
static inline void add_rows(uint32_t *table, const gm_token_place *place, size_t n,
                            const uint16_t *expert, size_t E, size_t K)
{
    for (size_t i = 0; i < n; i++) {
        const uint16_t *chosen = expert + place[i].t * K; /* (K) */
        uint32_t *row = table + place[i].row * E;         /* (E) */
        for (size_t k = 0; k < K; k++) row[chosen[k]]++;
    }
}

/* Pairs of the K of one layer to a table (E,E). */
static inline void add_pairs(uint32_t *together, const gm_token_place *place, size_t n,
                             const uint16_t *expert, size_t E, size_t K)
{
    for (size_t i = 0; i < n; i++) {
        const uint16_t *chosen = expert + place[i].t * K; /* (K) */
        for (size_t k = 0; k < K; k++)
            for (size_t m = k; m < K; m++) together[chosen[k] * E + chosen[m]]++;
    }
}

/* What OLMoE's script counts. */
static void add_script(uint32_t *first, uint32_t *neighbour, const gm_token_place *place, size_t n,
                       const uint16_t *expert, size_t E, size_t K)
{
    for (size_t i = 0; i < n; i++) {
        const uint16_t *chosen = expert + place[i].t * K; /* (K) */
        first[place[i].row * E + chosen[0]]++;
        for (size_t k = 0; k + 1 < K; k++) neighbour[chosen[k] * E + chosen[k + 1]]++;
    }
}

/* One layer of n good tokens; `batch` places between those of own rows and those shuffled. */
static void add_layer(const gm_token_counts *c, size_t l, const uint16_t *expert, size_t batch,
                      size_t n)
{
    size_t E = c->E, K = c->K, table = l * (c->R + 1) * E;
    const uint16_t *here = expert + l * batch * K;
    const gm_token_place *own = c->place, *shuffled = c->place + batch;
    uint32_t *together = c->together + l * E * E;
    switch (K) { /* loops of a known length */
#define GM_WITH(k)                                                \
    case k:                                                       \
        add_rows(c->count + table, own, n, here, E, k);           \
        add_rows(c->null_count + table, shuffled, n, here, E, k); \
        add_pairs(together, own, n, here, E, k);                  \
        break;
        GM_WITH(2)
        GM_WITH(4)
        GM_WITH(6)
        GM_WITH(8)
#undef GM_WITH
    default:
        add_rows(c->count + table, own, n, here, E, K);
        add_rows(c->null_count + table, shuffled, n, here, E, K);
        add_pairs(together, own, n, here, E, K);
    }
    if (c->first) add_script(c->first + table, c->neighbour + l * E * E, own, n, here, E, K);
}

void gm_token_counts_add(gm_token_counts *c, const uint16_t *expert, size_t batch,
                         const uint32_t *token_id, const uint8_t *phase, const bool *good, size_t n)
{
    size_t n_good = 0;
    gm_token_place *own = c->unsorted, *other = c->unsorted + batch;
    for (size_t t = 0; t < n; t++) {
        if (phase[t] == GM_TRACE_TEMPLATE) continue;
        uint32_t shuffled = c->shuffled[c->n_shuffled++];
        if (!good[t]) continue;
        own[n_good] = (gm_token_place){c->row_of[token_id[t]], (uint32_t)t};
        other[n_good++] = (gm_token_place){shuffled, (uint32_t)t};
    }
#pragma omp parallel
    {
#pragma omp for schedule(dynamic)
        for (size_t i = 0; i < 2; i++)
            sort_by_row(c->place + i * batch, c->unsorted + i * batch, n_good, c->R);
#pragma omp for schedule(dynamic)
        for (size_t l = 0; l < c->L; l++) add_layer(c, l, expert, batch, n_good);
    }
}
