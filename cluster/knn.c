/* knn.c - propose by float blocks, decide in double, certify. See knn.h. */
#include "cluster/knn.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cluster/dots.h"

/* Candidates kept beyond k: the wider, the rarer a query that cannot be certified. */
enum { SPARE = 32 };

/* A candidate is one integer, the bits of its approximate s (never negative, so the bits
 * order as the values do) above its index: ties go to the lower index by themselves. */
typedef uint64_t candidate;

static candidate candidate_make(float s, size_t index)
{
    uint32_t bits;
    memcpy(&bits, &s, sizeof bits);
    return (uint64_t)bits << 32 | (uint32_t)index;
}

static uint32_t candidate_index(candidate c)
{
    return (uint32_t)c;
}

static float candidate_s(candidate c)
{
    uint32_t bits = (uint32_t)(c >> 32);
    float s;
    memcpy(&s, &bits, sizeof s);
    return s;
}

typedef struct knn_search {
    const gm_points *points;
    const uint32_t *query; /* (Q) */
    size_t n_queries;
    int k;
    size_t width;       /* candidates kept a query */
    candidate *list;    /* (Q, 2 width) */
    uint32_t *n_listed; /* (Q) */
    float *limit;       /* (Q) s of the worst kept; infinity while nothing was dropped */
} knn_search;

/* Move the `keep` smallest of list[0..n) to the front (Hoare's selection). */
static void select_smallest(candidate *list, size_t n, size_t keep)
{
    size_t lo = 0, hi = n - 1;
    while (lo < hi) {
        candidate pivot = list[lo + (hi - lo) / 2];
        size_t i = lo, j = hi;
        for (;;) {
            while (list[i] < pivot) i++;
            while (list[j] > pivot) j--;
            if (i >= j) break;
            candidate c = list[i];
            list[i++] = list[j], list[j--] = c;
        }
        if (keep == j + 1) return;
        if (keep - 1 <= j)
            hi = j;
        else
            lo = j + 1;
    }
}

static void drop_worst(knn_search *s, size_t q)
{
    candidate *list = s->list + q * 2 * s->width;
    select_smallest(list, s->n_listed[q], s->width);
    candidate worst = 0;
    for (size_t i = 0; i < s->width; i++) worst = list[i] > worst ? list[i] : worst;
    s->n_listed[q] = (uint32_t)s->width;
    s->limit[q] = candidate_s(worst);
}

/* Take those of s[0..n), distances to points first.., that are below the query's limit. */
static void take_row(knn_search *search, size_t q, const float *s, size_t first, size_t n)
{
    enum { STEP = 16 };
    candidate *list = search->list + q * 2 * search->width;
    for (size_t j = 0; j < n; j += STEP) {
        size_t end = n - j < STEP ? n : j + STEP;
        float limit = search->limit[q];
        bool any = false;
        for (size_t i = j; i < end; i++) any |= s[i] <= limit;
        if (!any) continue;
        for (size_t i = j; i < end; i++) {
            if (!(s[i] <= search->limit[q])) continue;
            list[search->n_listed[q]++] = candidate_make(s[i], first + i);
            if (search->n_listed[q] == 2 * search->width) drop_worst(search, q);
        }
    }
}

/* One block of columns against all queries. `scratch` holds one area a thread. */
static void sweep_block(knn_search *search, const float *packed, size_t first, size_t n)
{
    const size_t n_blocks = (search->n_queries + GM_BLOCK_ROWS - 1) / GM_BLOCK_ROWS;
#pragma omp parallel for schedule(dynamic, 1)
    for (size_t b = 0; b < n_blocks; b++) {
        float rows[GM_BLOCK_ROWS * GM_TILE_DEPTH], s[GM_BLOCK_ROWS * GM_BLOCK_COLS];
        size_t q = b * GM_BLOCK_ROWS, left = search->n_queries - q;
        size_t n_rows = left < GM_BLOCK_ROWS ? left : GM_BLOCK_ROWS;
        gm_dots_block(search->points, search->query + q, n_rows, packed, first, n, rows, s);
        for (size_t r = 0; r < n_rows; r++)
            take_row(search, q + r, s + r * GM_BLOCK_COLS, first, n);
    }
}

static gm_status propose(knn_search *search, gm_progress *progress, gm_error *err)
{
    const gm_points *points = search->points;
    float *packed = gm_alloc2(GM_BLOCK_COLS, points->dim, sizeof *packed);
    if (packed == NULL) return gm_fail(err, GM_EMEM, "no memory for a block of columns");
    for (size_t first = 0; first < points->n; first += GM_BLOCK_COLS) {
        size_t left = points->n - first, n = left < GM_BLOCK_COLS ? left : GM_BLOCK_COLS;
        gm_dots_pack(points, first, n, packed);
        sweep_block(search, packed, first, n);
        if (progress) gm_progress_set(progress, (double)(first + n));
    }
    gm_free(packed);
    return GM_OK;
}

typedef struct neighbour {
    double s;
    uint32_t index;
} neighbour;

static int by_distance(const void *a, const void *b)
{
    const neighbour *x = a, *y = b;
    if (x->s != y->s) return x->s < y->s ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

/* Insert into the sorted best[0..*n), at most `cap`, keeping the order (s, index). */
static void insert_best(neighbour *best, size_t *n, size_t cap, neighbour it)
{
    if (*n == cap && by_distance(&it, &best[cap - 1]) >= 0) return;
    size_t at = *n < cap ? (*n)++ : cap - 1;
    for (; at > 0 && by_distance(&it, &best[at - 1]) < 0; at--) best[at] = best[at - 1];
    best[at] = it;
}

/* The k-1 nearest others of query q into best; false when they had to be found slowly. */
static bool decide(const knn_search *search, size_t q, neighbour *best)
{
    const gm_points *points = search->points;
    const candidate *list = search->list + q * 2 * search->width;
    const size_t self = search->query[q], want = (size_t)search->k - 1;
    size_t n = 0;

    if (want == 0) return true;
    for (size_t i = 0; i < search->n_listed[q]; i++) {
        uint32_t j = candidate_index(list[i]);
        if (j != self)
            insert_best(best, &n, want, (neighbour){gm_points_squared(points, self, j), j});
    }
    /* What was dropped has approximate s >= limit, so true s >= limit - error. */
    double safe = (double)search->limit[q] - gm_dots_error(points, self);
    if (!isfinite(search->limit[q]) || (n == want && best[want - 1].s < safe)) return true;
    n = 0;
    for (size_t j = 0; j < points->n; j++)
        if (j != self)
            insert_best(best, &n, want,
                        (neighbour){gm_points_squared(points, self, j), (uint32_t)j});
    return false;
}

static gm_status decide_all(gm_knn *out, const knn_search *search, gm_error *err)
{
    const size_t k = (size_t)search->k;
    neighbour *best = gm_alloc2(search->n_queries, k, sizeof *best);
    size_t slow = 0;
    if (best == NULL) return gm_fail(err, GM_EMEM, "no memory for neighbour lists");
#pragma omp parallel for schedule(dynamic, 16) reduction(+ : slow)
    for (size_t q = 0; q < search->n_queries; q++) {
        neighbour *mine = best + q * k; /* (k-1) */
        slow += !decide(search, q, mine);
        out->index[q * k] = search->query[q];
        out->distance[q * k] = 0;
        for (size_t i = 1; i < k; i++) {
            out->index[q * k + i] = mine[i - 1].index;
            out->distance[q * k + i] = gm_metric_distance(search->points->metric, mine[i - 1].s);
        }
    }
    out->n_uncertified = slow;
    gm_free(best);
    return GM_OK;
}

gm_status gm_knn_find(gm_knn *out, const gm_points *points, const uint32_t *query, size_t n_queries,
                      int k, gm_progress *progress, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t n = points->n;
    uint32_t *all = NULL;
    knn_search search = {.points = points, .k = k};
    gm_knn knn = {.k = k};
    *out = (gm_knn){0};
    if (k < 1 || (size_t)k > n)
        return gm_fail(err, GM_EARG, "%d neighbours asked of %zu points", k, n);

    if (query == NULL) {
        n_queries = n;
        query = all = gm_alloc(n, sizeof *all);
        if (all == NULL) GM_FAIL(GM_EMEM, "no memory for %zu queries", n);
        for (size_t i = 0; i < n; i++) all[i] = (uint32_t)i;
    }
    search.query = query, search.n_queries = knn.n = n_queries;
    search.width = (size_t)k + SPARE;
    search.list = gm_alloc2(n_queries, 2 * search.width, sizeof *search.list);
    search.n_listed = gm_alloc(n_queries, sizeof *search.n_listed);
    search.limit = gm_alloc(n_queries, sizeof *search.limit);
    knn.index = gm_alloc2(n_queries, (size_t)k, sizeof *knn.index);
    knn.distance = gm_alloc2(n_queries, (size_t)k, sizeof *knn.distance);
    if (!search.list || !search.n_listed || !search.limit || !knn.index || !knn.distance)
        GM_FAIL(GM_EMEM, "no memory for %d neighbours of %zu points", k, n_queries);
    for (size_t q = 0; q < n_queries; q++) search.limit[q] = INFINITY;

    GM_TRY(propose(&search, progress, err));
    GM_TRY(decide_all(&knn, &search, err));
    *out = knn;
    knn = (gm_knn){0};
out:
    gm_free(all);
    gm_free(search.list);
    gm_free(search.n_listed);
    gm_free(search.limit);
    gm_knn_clear(&knn);
    return status;
}

void gm_knn_clear(gm_knn *knn)
{
    gm_free(knn->index);
    gm_free(knn->distance);
    *knn = (gm_knn){0};
}
