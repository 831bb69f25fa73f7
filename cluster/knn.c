/* knn.c - propose by blocks of products, decide in double, certify. See knn.h.
 *
 * Where every point is a query, a pair is multiplied once and offered to both. Blocks of columns
 * follow one another; within one, threads share the blocks of rows. A row belongs to the thread
 * that has its block, a column to nobody: what is found for columns is gathered and handed over
 * by one thread at a time.
 */
#include "cluster/knn.h"

#include "base/cli.h"
#include "cluster/candidates.h"
#include "cluster/dots.h"
#include "cluster/gpu.h"
#include "cluster/knn_bytes.h"
#include "cluster/product.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

/* Candidates kept beyond k: the wider, the rarer a query that cannot be certified. */
enum { SPARE = 32, SECOND_SPARE = 96, GATHERED = 4096 };
/* Of the rows at most one in so many left over: these alone are searched again, else all are. */
enum { A_FEW = 8 };

typedef struct knn_search {
    const gm_points *points;
    size_t among;          /* the first so many points are looked at */
    const uint32_t *query; /* (Q) */
    size_t n_queries;
    bool both; /* every point is a query: its columns are rows as well */
    int k;
    gm_gpu *gpu;  /* proposes; NULL: the CPU does, */
    gm_isa isa;   /* with what this has */
    size_t spare; /* candidates kept beyond k */
    gm_product product;
    gm_candidates candidates;
    void *packed; /* a block of columns */
    atomic_bool no_memory;
    bool interrupted;
} knn_search;

/* What a thread works with. */
typedef struct worker {
    float dot[GM_BLOCK_ROWS * GM_BLOCK_COLS];
    uint8_t scratch[GM_PRODUCT_SCRATCH];
    float norm[GM_BLOCK_COLS], limit[GM_BLOCK_COLS]; /* of the columns; of a while ago */
    uint8_t near[GM_BLOCK_PANELS];
    size_t n_found;
    struct found {
        float s;
        uint32_t query, index;
    } found[GATHERED];
} worker;

typedef struct columns {
    size_t first, n;
} columns;

/* Hand over what was found, and learn what is near enough by now. */
static void hand_over(knn_search *search, worker *w, columns at)
{
#pragma omp critical(gm_knn)
    {
        for (size_t i = 0; i < w->n_found; i++)
            gm_candidates_offer(&search->candidates, w->found[i].query, w->found[i].s,
                                w->found[i].index);
        for (size_t j = 0; j < at.n && search->both; j++)
            w->limit[j] = search->candidates.limit[at.first + j];
    }
    w->n_found = 0;
}

static void gather(knn_search *search, worker *w, columns at, size_t query, float s, size_t index)
{
    w->found[w->n_found++] = (struct found){s, (uint32_t)query, (uint32_t)index};
    if (w->n_found == GATHERED) hand_over(search, w, at);
}

static void begin_columns(knn_search *search, worker *w, columns at)
{
    for (size_t j = 0; j < GM_BLOCK_COLS; j++) {
        w->norm[j] = j < at.n ? search->product.norm[at.first + j] : 0;
        w->limit[j] = -1; /* nothing is that near */
    }
    hand_over(search, w, at);
}

/* Offer the distances of query q to the columns, and to them theirs to q. */
static void take_row(knn_search *search, worker *w, columns at, size_t q, const float *s)
{
    gm_candidates *candidates = &search->candidates;
    const size_t self = search->query[q];
    const bool shared = search->both && q >= at.first; /* it is a column of this block itself */
    for (size_t p = 0; p * 16 < at.n; p++) {
        if (!w->near[p]) continue;
        size_t end = at.n < p * 16 + 16 ? at.n : p * 16 + 16;
        for (size_t j = p * 16; j < end; j++) {
            size_t other = at.first + j;
            if (other == self || (shared && other < self)) continue;
            if (shared && s[j] <= w->limit[self - at.first])
                gather(search, w, at, self, s[j], other);
            if (!shared) gm_candidates_offer(candidates, q, s[j], other);
            if (s[j] <= w->limit[j]) gather(search, w, at, other, s[j], self);
        }
    }
}

static void sweep_rows(knn_search *search, worker *w, columns at, size_t q, size_t n_rows)
{
    const gm_dots *dots = gm_dots_of(search->points->isa);
    const size_t wide = (at.n + 15) / 16 * 16;
    gm_product_block(&search->product, search->query + q, n_rows, search->packed, at.n, w->scratch,
                     w->dot);
    for (size_t r = 0; r < n_rows; r++) {
        const bool shared = search->both && q + r >= at.first;
        float limit = shared ? w->limit[q + r - at.first] : search->candidates.limit[q + r];
        float *s = w->dot + r * GM_BLOCK_COLS; /* (n) */
        dots->distances(s, w->norm, search->product.norm[search->query[q + r]], limit, w->limit,
                        wide, w->near);
        take_row(search, w, at, q + r, s);
    }
}

/* One block of columns against all rows (up to the last column where a pair counts for both);
 * every thread of the team comes here. */
static void sweep_columns(knn_search *search, worker *w, columns at)
{
    const size_t n_rows = search->both ? at.first + at.n : search->n_queries;
    const size_t n_panels = (at.n + 31) / 32 * 2; /* AMX takes two at a time */
#pragma omp for schedule(static)
    for (size_t p = 0; p < n_panels; p++)
        gm_product_pack(&search->product, at.first, at.n, p, search->packed);
    begin_columns(search, w, at);
#pragma omp for schedule(dynamic, 1)
    for (size_t q = 0; q < n_rows; q += GM_BLOCK_ROWS)
        sweep_rows(search, w, at, q, n_rows - q < GM_BLOCK_ROWS ? n_rows - q : GM_BLOCK_ROWS);
    hand_over(search, w, at);
#pragma omp barrier
}

/* Offer all points that are looked at to every query. */
static gm_status propose(knn_search *search, gm_progress *progress, gm_error *err)
{
    const size_t n = search->among;
#pragma omp parallel
    {
        worker *w = gm_alloc(1, sizeof *w);
        if (w == NULL) atomic_store(&search->no_memory, true);
#pragma omp barrier
        for (size_t j = 0; j < n && !search->interrupted && !atomic_load(&search->no_memory);
             j += GM_BLOCK_COLS) {
            size_t end = n - j < GM_BLOCK_COLS ? n : j + GM_BLOCK_COLS;
            sweep_columns(search, w, (columns){j, end - j});
#pragma omp single
            {
                double done = (double)end / (double)n;
                search->interrupted = gm_interrupted() != 0;
                if (progress)
                    gm_progress_set(progress, (double)n * done * (search->both ? done : 1));
            }
        }
        gm_free(w);
    }
    if (search->interrupted) return gm_fail(err, GM_EINTERRUPTED, GM_KNN_INTERRUPTED);
    return atomic_load(&search->no_memory) ? gm_fail(err, GM_EMEM, "no memory to find neighbours")
                                           : GM_OK;
}

/* ---- deciding ---- */

/* The k-1 nearest others of query q into best, if its candidates can be shown to hold them. */
static bool decide(knn_search *search, size_t q, gm_neighbour *best)
{
    const gm_points *points = search->points;
    const gm_candidates *candidates = &search->candidates;
    const gm_candidate *list = candidates->list + q * 2 * candidates->width;
    const size_t self = search->query[q], want = (size_t)search->k - 1;
    size_t n = 0;
    if (want == 0) return true;
    gm_candidates_close(&search->candidates, q);
    for (size_t i = 0; i < candidates->n_listed[q]; i++) {
        /* Those that follow are at least this far. */
        double least =
            gm_product_lower_bound(&search->product, self, (double)gm_candidate_s(list[i]));
        if (n == want && best[want - 1].s < least) return true;
        uint32_t j = gm_candidate_index(list[i]);
        gm_neighbour_insert(best, &n, want, (gm_neighbour){gm_points_squared(points, self, j), j});
    }
    /* And so are those that were dropped. */
    if (!isfinite(candidates->limit[q])) return true;
    double least = gm_product_lower_bound(&search->product, self, (double)candidates->limit[q]);
    return n == want && best[want - 1].s < least;
}

/* The same by looking at every one of the first `among` points. */
static void look_at_all(const gm_points *points, size_t among, size_t self, size_t want,
                        gm_neighbour *best)
{
    size_t n = 0;
    for (size_t j = 0; j < among; j++)
        if (j != self)
            gm_neighbour_insert(best, &n, want,
                                (gm_neighbour){gm_points_squared(points, self, j), (uint32_t)j});
}

void gm_knn_write_row(gm_knn *out, size_t q, size_t self, const gm_neighbour *best,
                      gm_metric metric)
{
    const size_t k = (size_t)out->k;
    out->index[q * k] = (uint32_t)self;
    out->distance[q * k] = 0;
    for (size_t i = 1; i < k; i++) {
        out->index[q * k + i] = best[i - 1].index;
        out->distance[q * k + i] = gm_metric_distance(metric, best[i - 1].s);
    }
}

/* Search once. Rows of *out that could be certified are written; todo (Q)
 * are places in `query`, and those that could not come to its front; n_todo is how many. */
static gm_status search_once(gm_knn *out, knn_search *search, uint32_t *todo, size_t *n_todo,
                             gm_progress *progress, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_points *points = search->points;
    const size_t k = (size_t)search->k;
    gm_neighbour *best = gm_alloc2(search->n_queries, k, sizeof *best);
    bool *certain = gm_alloc(search->n_queries, sizeof *certain);
    if (!best || !certain) GM_FAIL(GM_EMEM, "no memory for neighbour lists");
    GM_TRY(gm_product_init(&search->product, points, search->gpu ? GM_ISA_AMX : search->isa, err));
    GM_TRY(gm_candidates_init(&search->candidates, search->n_queries, k + search->spare, err));
    if (search->gpu) {
        search->product.unit = GM_UNIT_GPU;
        GM_TRY(gm_gpu_propose(search->gpu, &search->product, search->query, &search->candidates,
                              search->n_queries, progress, err));
    } else {
        search->packed = gm_alloc(1, gm_product_packed_bytes(&search->product));
        if (!search->packed) GM_FAIL(GM_EMEM, "no memory for a block of columns");
        GM_TRY(propose(search, progress, err));
    }

#pragma omp parallel for schedule(dynamic, 16)
    for (size_t q = 0; q < search->n_queries; q++) {
        certain[q] = decide(search, q, best + q * k);
        if (certain[q])
            gm_knn_write_row(out, todo[q], search->query[q], best + q * k, points->metric);
    }
    *n_todo = 0;
    for (size_t q = 0; q < search->n_queries; q++)
        if (!certain[q]) todo[(*n_todo)++] = todo[q];
out:
    gm_free(best);
    gm_free(certain);
    gm_free(search->packed);
    search->packed = NULL;
    gm_candidates_clear(&search->candidates);
    gm_product_clear(&search->product);
    return status;
}

/* The rows todo[0..*n_todo) of *out with what `isa` has; those that are left come to its front. */
static gm_status search_again(gm_knn *out, const knn_search *all, gm_isa isa, uint32_t *todo,
                              size_t *n_todo, gm_error *err)
{
    gm_status status = GM_OK;
    knn_search search = {.points = all->points,
                         .among = all->among,
                         .n_queries = *n_todo,
                         .k = out->k,
                         .isa = isa,
                         .spare = isa == GM_ISA_PORTABLE ? SECOND_SPARE : SPARE};
    uint32_t *again = gm_alloc(*n_todo, sizeof *again);
    if (again == NULL) GM_FAIL(GM_EMEM, "no memory for %zu queries", *n_todo);
    for (size_t i = 0; i < *n_todo; i++) again[i] = all->query[todo[i]];
    search.query = again;
    GM_TRY(search_once(out, &search, todo, n_todo, NULL, err));
out:
    gm_free(again);
    return status;
}

/* The same one by one. */
static gm_status search_slowly(gm_knn *out, const knn_search *search, const uint32_t *todo,
                               size_t n_todo, gm_error *err)
{
    const size_t k = (size_t)out->k;
    const uint32_t *query = search->query;
    gm_neighbour *best = gm_alloc2(n_todo, k, sizeof *best);
    if (best == NULL) return gm_fail(err, GM_EMEM, "no memory for neighbour lists");
    out->n_uncertified = n_todo;
#pragma omp parallel for schedule(dynamic, 1)
    for (size_t i = 0; i < n_todo; i++) {
        if (gm_interrupted()) continue;
        look_at_all(search->points, search->among, query[todo[i]], k - 1, best + i * k);
        gm_knn_write_row(out, todo[i], query[todo[i]], best + i * k, search->points->metric);
    }
    gm_free(best);
    return gm_interrupted() ? gm_fail(err, GM_EINTERRUPTED, GM_KNN_INTERRUPTED) : GM_OK;
}

static void all_queries(const knn_search *search, uint32_t *todo)
{
    for (size_t q = 0; q < search->n_queries; q++) todo[q] = (uint32_t)q;
}

/* The GPU's way. What it fails at is left to the CPU where either may do it: hours may have gone by
 * since it was taken. */
static gm_status search_by_gpu(gm_knn *out, knn_search *search, uint32_t *todo, size_t *n_todo,
                               gm_progress *progress, gm_error *err)
{
    gm_error why = {0};
    all_queries(search, todo);
    gm_status status = search_once(out, search, todo, n_todo, progress, &why);
    if (status == GM_OK) return GM_OK;
    if (!gm_gpu_is_optional(search->gpu)) return gm_fail(err, status, "%s", why.text);
    gm_warn("%s; these neighbours are found on the CPU", why.text);
    search->gpu = NULL;
    return GM_OK;
}

/* The CPU's fast ways. */
static gm_status search_by_cpu(gm_knn *out, knn_search *search, uint32_t *todo, size_t *left,
                               gm_progress *progress, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_points *points = search->points;
    const size_t n = search->n_queries;
    size_t n_todo = n;
    if (search->both && gm_knn_bytes_can(points, out->k))
        GM_TRY(gm_knn_by_bytes(out, points, todo, &n_todo, progress, err));
    if (n_todo > n / A_FEW) {
        all_queries(search, todo);
        GM_TRY(search_once(out, search, todo, &n_todo, progress, err));
    } else if (n_todo > 0 && points->isa >= GM_ISA_AMX) {
        GM_TRY(search_again(out, search, points->isa, todo, &n_todo, err));
    }
    *left = n_todo;
out:
    return status;
}

/* From the fastest way to the surest; each leaves fewer to the next. */
static gm_status search_all_ways(gm_knn *out, knn_search *search, uint32_t *todo,
                                 gm_progress *progress, gm_error *err)
{
    gm_status status = GM_OK;
    size_t n_todo = 0;
    if (search->n_queries == 0) return GM_OK;
    if (search->gpu) GM_TRY(search_by_gpu(out, search, todo, &n_todo, progress, err));
    if (!search->gpu) GM_TRY(search_by_cpu(out, search, todo, &n_todo, progress, err));
    if (n_todo > 0) GM_TRY(search_again(out, search, GM_ISA_PORTABLE, todo, &n_todo, err));
    if (n_todo > 0) GM_TRY(search_slowly(out, search, todo, n_todo, err));
out:
    return status;
}

/* The lists of search->query, to *out. */
static gm_status find_lists(gm_knn *out, knn_search *search, gm_progress *progress, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t n = search->n_queries, k = (size_t)search->k;
    gm_knn knn = {.n = n, .k = search->k};
    uint32_t *todo = gm_alloc(n, sizeof *todo);
    search->isa = search->points->isa;
    search->spare = SPARE;
    knn.index = gm_alloc2(n, k, sizeof *knn.index);
    knn.distance = gm_alloc2(n, k, sizeof *knn.distance);
    if (!todo || !knn.index || !knn.distance)
        GM_FAIL(GM_EMEM, "no memory for %zu neighbours of %zu points", k, n);
    GM_TRY(search_all_ways(&knn, search, todo, progress, err));
    *out = knn;
    knn = (gm_knn){0};
out:
    gm_free(todo);
    gm_knn_clear(&knn);
    return status;
}

/* The points [first, end) by number; NULL: no memory. */
static uint32_t *number_points(size_t first, size_t end)
{
    uint32_t *number = gm_alloc(end - first, sizeof *number);
    for (size_t i = first; number && i < end; i++) number[i - first] = (uint32_t)i;
    return number;
}

gm_status gm_knn_find(gm_knn *out, const gm_points *points, const uint32_t *query, size_t n_queries,
                      int k, gm_progress *progress, gm_error *err)
{
    const size_t n = points->n;
    uint32_t *all = query ? NULL : number_points(0, n);
    knn_search search = {.points = points,
                         .among = n,
                         .query = query ? query : all,
                         .n_queries = query ? n_queries : n,
                         .both = query == NULL,
                         .k = k,
                         .gpu = points->gpu};
    *out = (gm_knn){0};
    gm_status status = GM_OK;
    if (k < 1 || (size_t)k > n)
        GM_FAIL(GM_EARG, "%d neighbours requested, but there are only %zu points", k, n);
    if (search.query == NULL) GM_FAIL(GM_EMEM, "no memory for %zu queries", n);
    GM_TRY(find_lists(out, &search, progress, err));
out:
    gm_free(all);
    return status;
}

gm_status gm_knn_find_across(gm_knn *out, const gm_points *points, size_t among, int k,
                             gm_progress *progress, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t n = points->n;
    uint32_t *query = NULL;
    *out = (gm_knn){0};
    if (among < 1 || among >= n || k < 1 || (size_t)k > among + 1)
        GM_FAIL(GM_EARG, "%d neighbours requested among the first %zu of %zu points", k - 1, among,
                n);
    query = number_points(among, n);
    if (query == NULL) GM_FAIL(GM_EMEM, "no memory for %zu queries", n - among);
    knn_search search = {
        .points = points, .among = among, .query = query, .n_queries = n - among, .k = k};
    GM_TRY(find_lists(out, &search, progress, err));
out:
    gm_free(query);
    return status;
}

gm_status gm_knn_narrow(gm_knn *out, const gm_knn *knn, int k, gm_error *err)
{
    const size_t to = (size_t)k, from = (size_t)knn->k;
    *out = *knn;
    out->k = k;
    out->index = gm_alloc2(knn->n, to, sizeof *out->index);
    out->distance = gm_alloc2(knn->n, to, sizeof *out->distance);
    if (!out->index || !out->distance) {
        gm_knn_clear(out);
        return gm_fail(err, GM_EMEM, "no memory for %d neighbours of %zu points", k, knn->n);
    }
    for (size_t q = 0; q < knn->n; q++) {
        memcpy(out->index + q * to, knn->index + q * from, to * sizeof *out->index);
        memcpy(out->distance + q * to, knn->distance + q * from, to * sizeof *out->distance);
    }
    return GM_OK;
}

void gm_knn_clear(gm_knn *knn)
{
    gm_free(knn->index);
    gm_free(knn->distance);
    *knn = (gm_knn){0};
}
