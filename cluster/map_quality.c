/* map_quality.c - ranks of neighbours on either side. See map_quality.h. */
#include "cluster/map_quality.h"

#include "base/threads.h"
#include "cluster/dots.h"
#include "cluster/neighbour.h"
#include "cluster/product.h"
#include "cluster/quality.h"

#include <assert.h>
#include <math.h>

static const double UNKNOWN = -1; /* no square */

/* A neighbour on the map that is none in the space, whose rank there is being counted. */
typedef struct stranger {
    uint32_t point;
    float low, high; /* approximate s below: nearer; above: farther; between: look exactly */
    double s;        /* from the row's point */
    uint32_t rank;   /* others found nearer, and 1 */
} stranger;

typedef struct ranking {
    const gm_points *points;
    const uint32_t *row; /* (m) points looked at */
    size_t m, k;
    gm_product product; /* of floats */
    const gm_knn *knn;  /* of all points, or of the rows */
    stranger *list;     /* (m,k) */
    uint32_t *count;    /* (m) */
} ranking;

/* The k nearest others of row q in the space. */
static const uint32_t *space_of(const ranking *r, size_t q)
{
    const size_t at = r->knn->n == r->points->n ? r->row[q] : q;
    return r->knn->index + at * (size_t)r->knn->k + 1;
}

static bool is_among(const uint32_t *list, size_t n, uint32_t wanted)
{
    for (size_t i = 0; i < n; i++)
        if (list[i] == wanted) return true;
    return false;
}

/* ---- the map ---- */

static double map_squared(const float *xy, size_t dim, size_t i, size_t j)
{
    double sum = 0;
    for (size_t c = 0; c < dim; c++) {
        double d = (double)xy[j * dim + c] - (double)xy[i * dim + c];
        sum += d * d;
    }
    return sum;
}

/* The k nearest others by distance (N), ties to the lower number. */
static void take_nearest(uint32_t *best, size_t k, const double *distance, size_t n, size_t self)
{
    gm_neighbour near[GM_MAP_QUALITY_MAX_K];
    size_t m = 0;
    assert(k > 0 && k <= GM_MAP_QUALITY_MAX_K);
    for (size_t j = 0; j < n; j++)
        if (j != self) gm_neighbour_insert(near, &m, k, (gm_neighbour){distance[j], (uint32_t)j});
    for (size_t i = 0; i < m; i++) best[i] = near[i].index;
}

/* How far the rank of j among the others is beyond k, by distance (N) and number. */
static double beyond(const double *distance, size_t n, size_t self, size_t j, size_t k)
{
    size_t rank = 1;
    double s = distance[j];
    for (size_t o = 0; o < j; o++) rank += distance[o] <= s;
    for (size_t o = j + 1; o < n; o++) rank += distance[o] < s;
    if (self < j ? distance[self] <= s : distance[self] < s) rank--;
    return rank > k ? (double)(rank - k) : 0;
}

/* One row: its neighbours on the map into near (k), penalty for those of the space that are none;
 * distance (N) is scratch. */
static double look_at_map(uint32_t *near, const uint32_t *space, size_t k, const float *xy,
                          size_t dim, size_t n, size_t self, double *distance)
{
    double lost = 0;
    for (size_t j = 0; j < n; j++) distance[j] = map_squared(xy, dim, self, j);
    take_nearest(near, k, distance, n, self);
    for (size_t i = 0; i < k; i++)
        if (!is_among(near, k, space[i])) lost += beyond(distance, n, self, space[i], k);
    return lost;
}

/* ---- the space ---- */

static void list_strangers(ranking *r, size_t q, const uint32_t *near, const uint32_t *space)
{
    const double error = -gm_product_lower_bound(&r->product, r->row[q], 0); /* either way */
    stranger *list = r->list + q * r->k;
    for (size_t i = 0; i < r->k; i++) {
        if (is_among(space, r->k, near[i])) continue;
        double s = gm_points_squared(r->points, r->row[q], near[i]);
        list[r->count[q]++] = (stranger){
            .point = near[i],
            .low = nextafterf((float)(s - error), -INFINITY),
            .high = nextafterf((float)(s + error), INFINITY),
            .s = s,
            .rank = 1,
        };
    }
}

/* Count who of points first.. is nearer than the strangers of row q; s (n) are approximate. exact
 * (n) is scratch: where many points are equally far, every stranger asks for the same. */
static void count_nearer(ranking *r, size_t q, const float *s, double *exact, size_t first,
                         size_t n)
{
    const gm_dots *dots = gm_dots_of(r->points->isa);
    const uint32_t self = r->row[q];
    bool asked = false;
    for (size_t i = 0; i < r->count[q]; i++) {
        stranger *x = r->list + q * r->k + i;
        uint32_t nearer, unsure;
        dots->count(s, n, x->low, x->high, &nearer, &unsure);
        if (self >= first && self < first + n) nearer -= s[self - first] < x->low;
        x->rank += nearer;
        for (size_t j = 0; unsure > 0 && !asked && j < n; j++) exact[j] = UNKNOWN;
        asked |= unsure > 0;
        for (size_t j = 0; unsure > 0 && j < n; j++) {
            uint32_t o = (uint32_t)(first + j);
            if (!(s[j] >= x->low && s[j] <= x->high)) continue;
            unsure--;
            if (o == self || o == x->point) continue;
            if (exact[j] < 0) exact[j] = gm_points_squared(r->points, self, o);
            x->rank += exact[j] < x->s || (exact[j] == x->s && o < x->point);
        }
    }
}

/* What a thread works with. */
typedef struct worker {
    float s[GM_BLOCK_ROWS * GM_BLOCK_COLS], norm[GM_BLOCK_COLS], none[GM_BLOCK_COLS];
    double exact[GM_BLOCK_COLS];
    uint8_t scratch[GM_PRODUCT_SCRATCH], near[GM_BLOCK_PANELS];
} worker;

/* Rows [q, q + n_rows) against the packed block of points [first, first + n). */
static void count_block(ranking *r, worker *w, const void *packed, size_t q, size_t n_rows,
                        size_t first, size_t n)
{
    const gm_dots *dots = gm_dots_of(r->points->isa);
    const size_t wide = (n + 15) / 16 * 16;
    for (size_t j = 0; j < wide; j++) w->norm[j] = j < n ? r->product.norm[first + j] : 0;
    gm_product_block(&r->product, r->row + q, n_rows, packed, n, w->scratch, w->s);
    for (size_t i = 0; i < n_rows; i++) {
        float *s = w->s + i * GM_BLOCK_COLS; /* (n) */
        dots->distances(s, w->norm, r->product.norm[r->row[q + i]], -1, w->none, wide, w->near);
        count_nearer(r, q + i, s, w->exact, first, n);
    }
}

static gm_status count_all(ranking *r, gm_error *err)
{
    const gm_points *points = r->points;
    bool fine = true;
    void *packed = gm_alloc(1, gm_product_packed_bytes(&r->product));
    if (packed == NULL) return gm_fail(err, GM_EMEM, "no memory for a block of columns");
#pragma omp parallel reduction(&& : fine)
    {
        worker *w = gm_alloc(1, sizeof *w);
        fine = w != NULL;
        for (size_t first = 0; first < points->n; first += GM_BLOCK_COLS) {
            size_t left = points->n - first, n = left < GM_BLOCK_COLS ? left : GM_BLOCK_COLS;
#pragma omp for schedule(static)
            for (size_t p = 0; p < GM_BLOCK_PANELS; p++)
                gm_product_pack(&r->product, first, n, p, packed);
#pragma omp for schedule(dynamic, 1)
            for (size_t q = 0; q < r->m; q += GM_BLOCK_ROWS)
                if (w)
                    count_block(r, w, packed, q,
                                r->m - q < GM_BLOCK_ROWS ? r->m - q : GM_BLOCK_ROWS, first, n);
        }
        gm_free(w);
    }
    gm_free(packed);
    return fine ? GM_OK : gm_fail(err, GM_EMEM, "no memory for ranks of %zu points", points->n);
}

/* ---- figures ---- */

/* Every row against the map: strangers listed, continuity's penalties into lost (m), neighbours of
 * both sides into kept (m). */
static gm_status look_at_rows(ranking *r, const float *xy, size_t dim, double *lost, uint32_t *kept,
                              gm_error *err)
{
    const size_t n = r->points->n, k = r->k;
    double *distance = gm_alloc2(gm_max_threads(), n, sizeof *distance); /* a row for each thread */
    if (distance == NULL) return gm_fail(err, GM_EMEM, "no memory for distances on the map");
#pragma omp parallel for schedule(dynamic, 1)
    for (size_t q = 0; q < r->m; q++) {
        uint32_t near[GM_MAP_QUALITY_MAX_K];
        const uint32_t *space = space_of(r, q); /* (k) */
        double *own = distance + gm_thread_number() * n;
        lost[q] = look_at_map(near, space, k, xy, dim, n, r->row[q], own);
        list_strangers(r, q, near, space);
        kept[q] = (uint32_t)(k - r->count[q]);
    }
    gm_free(distance);
    return GM_OK;
}

/* The figures of m rows from what was counted. */
static gm_map_quality add_up(const ranking *r, const double *lost, const uint32_t *kept)
{
    double strange = 0, missing = 0, both = 0;
    for (size_t q = 0; q < r->m; q++) {
        for (size_t i = 0; i < r->count[q]; i++)
            strange += (double)r->list[q * r->k + i].rank - (double)r->k;
        missing += lost[q];
        both += kept[q];
    }
    const double m = (double)r->m, n = (double)r->points->n, K = (double)r->k;
    const double scale = 2 / (m * K * (2 * n - 3 * K - 1));
    return (gm_map_quality){.k = (int)r->k,
                            .n_rows = r->m,
                            .trustworthiness = 1 - scale * strange,
                            .continuity = 1 - scale * missing,
                            .preserved = both / (m * K)};
}

int gm_map_quality_k(int n_neighbors, size_t n)
{
    const int k = n_neighbors < GM_MAP_QUALITY_MAX_K ? n_neighbors : GM_MAP_QUALITY_MAX_K;
    return 2 * (size_t)k >= n ? (int)(n - 1) / 2 : k;
}

static gm_status check_k(const gm_points *points, int k, gm_error *err)
{
    if (k < 1 || k > GM_MAP_QUALITY_MAX_K || 2 * (size_t)k >= points->n)
        return gm_fail(err, GM_EARG,
                       "trustworthiness cannot be computed over %d neighbours of %zu points", k,
                       points->n);
    return GM_OK;
}

gm_status gm_map_quality_of(gm_map_quality *out, const gm_points *points, const gm_knn *knn,
                            const float *xy, int dim, int k, size_t n_rows, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t n = points->n, m = n_rows < n ? n_rows : n;
    uint32_t *row = gm_alloc(m, sizeof *row), *kept = gm_alloc(m, sizeof *kept);
    double *lost = gm_alloc(m, sizeof *lost);
    ranking r = {.points = points, .knn = knn, .row = row, .m = m, .k = (size_t)k};
    *out = (gm_map_quality){.k = k};
    GM_TRY(check_k(points, k, err));
    assert(knn->k > k && (knn->n == n || knn->n == m));
    r.list = gm_alloc2(m, r.k, sizeof *r.list);
    r.count = gm_alloc(m, sizeof *r.count);
    if (!row || !r.list || !r.count || !lost || !kept)
        GM_FAIL(GM_EMEM, "no memory for trustworthiness of %zu points", n);
    gm_quality_sample(row, n, n_rows);
    gm_isa isa = points->isa < GM_ISA_AVX512F ? points->isa : GM_ISA_AVX512F;
    GM_TRY(gm_product_init(&r.product, points, isa, err));
    GM_TRY(look_at_rows(&r, xy, (size_t)dim, lost, kept, err));
    GM_TRY(count_all(&r, err));
    *out = add_up(&r, lost, kept);
out:
    gm_product_clear(&r.product);
    gm_free(row);
    gm_free(kept);
    gm_free(lost);
    gm_free(r.list);
    gm_free(r.count);
    return status;
}

gm_status gm_map_quality_neighbours(gm_knn *out, const gm_points *points, int k, size_t n_rows,
                                    gm_error *err)
{
    gm_status status = GM_OK;
    const size_t m = n_rows < points->n ? n_rows : points->n;
    uint32_t *row = gm_alloc(m, sizeof *row);
    *out = (gm_knn){0};
    GM_TRY(check_k(points, k, err));
    if (row == NULL) GM_FAIL(GM_EMEM, "no memory for trustworthiness of %zu points", points->n);
    gm_quality_sample(row, points->n, n_rows);
    GM_TRY(gm_knn_find(out, points, row, m, k + 1, NULL, err));
out:
    gm_free(row);
    return status;
}

gm_status gm_map_quality_find(gm_map_quality *out, const gm_points *points, const float *xy,
                              int dim, int k, size_t n_rows, gm_error *err)
{
    gm_status status = GM_OK;
    gm_knn knn = {0};
    *out = (gm_map_quality){.k = k};
    GM_TRY(gm_map_quality_neighbours(&knn, points, k, n_rows, err));
    GM_TRY(gm_map_quality_of(out, points, &knn, xy, dim, k, n_rows, err));
out:
    gm_knn_clear(&knn);
    return status;
}
