/* nearby.c - every point goes to the nearest of a few centres, which are means of points that some
 * rounds over a sample bring together (Lloyd 1982); see nearby.h. */
#include "cluster/nearby.h"

#include "cluster/product.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

enum { MAX_CENTRES = 64, BATCH = 128 /* points */, PANELS = BATCH / 16 };
enum { SAMPLE = 8192 /* the first points */, ROUNDS = 3 };

/* What a thread works with. */
typedef struct worker {
    float dot[GM_BLOCK_ROWS * GM_BLOCK_COLS];
    uint8_t scratch[GM_PRODUCT_SCRATCH];
} worker;

/* nearest[first .. first + n): which centre is, ties to the first of them. */
static void assign(uint8_t *nearest, const gm_product *product, const gm_product *centres,
                   size_t first, size_t n, worker *w, void *packed)
{
    const size_t n_centres = centres->points->n;
    uint32_t row[MAX_CENTRES];
    for (uint32_t c = 0; c < n_centres; c++) row[c] = c;
    for (size_t p = 0; p < PANELS; p++) gm_product_pack(product, first, n, p, packed);
    gm_product_block(centres, row, n_centres, packed, n, w->scratch, w->dot);
    for (size_t j = 0; j < n; j++) {
        float best = INFINITY;
        for (size_t c = 0; c < n_centres; c++) {
            const float s = centres->norm[c] - 2.0f * w->dot[c * GM_BLOCK_COLS + j];
            if (s < best) best = s, nearest[first + j] = (uint8_t)c;
        }
    }
}

/* Of the first n points. */
static gm_status assign_all(uint8_t *nearest, const gm_product *product, const gm_product *centres,
                            size_t n, gm_error *err)
{
    atomic_bool no_memory = false;
#pragma omp parallel
    {
        worker *w = gm_alloc(1, sizeof *w);
        void *packed = gm_alloc(1, gm_product_packed_bytes(product));
        if (!w || !packed) atomic_store(&no_memory, true);
#pragma omp for schedule(dynamic, 1)
        for (size_t i = 0; i < n; i += BATCH)
            if (w && packed)
                assign(nearest, product, centres, i, n - i < BATCH ? n - i : BATCH, w, packed);
        gm_free(w);
        gm_free(packed);
    }
    return atomic_load(&no_memory) ? gm_fail(err, GM_EMEM, "no memory to order points") : GM_OK;
}

/* Centre c becomes the mean of those of the first n points that it is nearest to, if any. */
static void move_centre(gm_points *centres, size_t c, const gm_points *points,
                        const uint8_t *nearest, size_t n)
{
    const size_t dim = points->dim;
    float *at = centres->at + c * dim, norm = 0;
    size_t n_own = 0;
    for (size_t i = 0; i < n; i++) {
        const float *f = points->at + i * dim; /* (dim) */
        if (nearest[i] != c) continue;
        if (n_own++ == 0) memset(at, 0, dim * sizeof *at);
        for (size_t k = 0; k < dim; k++) at[k] += f[k];
    }
    for (size_t k = 0; k < dim; k++) {
        if (n_own > 0) at[k] /= (float)n_own;
        norm += at[k] * at[k];
    }
    centres->norm[c] = norm;
}

/* Some of the points, as the first centres: at and norm the caller's. */
static gm_status make_centres(gm_points *out, const gm_points *points, gm_error *err)
{
    const size_t n = points->n < MAX_CENTRES ? points->n : MAX_CENTRES;
    *out = (gm_points){.metric = points->metric,
                       .n = n,
                       .columns = points->columns,
                       .dim = points->dim,
                       .isa = points->isa};
    out->at = gm_alloc2(n, points->dim, sizeof *out->at);
    out->norm = gm_alloc(n, sizeof *out->norm);
    if (!out->at || !out->norm) return gm_fail(err, GM_EMEM, "no memory to order points");
    for (size_t c = 0; c < n; c++) {
        const size_t i = c * points->n / n;
        memcpy(out->at + c * points->dim, points->at + i * points->dim,
               points->dim * sizeof *out->at);
        out->norm[c] = points->norm[i];
    }
    return GM_OK;
}

gm_status gm_nearby_order(uint32_t *order, const gm_points *points, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t n = points->n, n_sample = n < SAMPLE ? n : SAMPLE;
    gm_points centres = {0};
    gm_product product = {0}, of_centres = {0}; /* of floats, by any instruction set */
    size_t begin[MAX_CENTRES + 1] = {0};
    uint8_t *nearest = gm_alloc(n, sizeof *nearest);
    if (nearest == NULL) GM_FAIL(GM_EMEM, "no memory to order %zu points", n);
    GM_TRY(make_centres(&centres, points, err));
    GM_TRY(gm_product_init(&product, points, GM_ISA_PORTABLE, err));
    GM_TRY(gm_product_init(&of_centres, &centres, GM_ISA_PORTABLE, err));
    for (int round = 0; round < ROUNDS; round++) {
        GM_TRY(assign_all(nearest, &product, &of_centres, n_sample, err));
#pragma omp parallel for schedule(dynamic, 1)
        for (size_t c = 0; c < centres.n; c++) move_centre(&centres, c, points, nearest, n_sample);
    }
    GM_TRY(assign_all(nearest, &product, &of_centres, n, err));
    for (size_t i = 0; i < n; i++) begin[nearest[i] + 1]++;
    for (size_t c = 0; c < centres.n; c++) begin[c + 1] += begin[c];
    for (size_t i = 0; i < n; i++) order[begin[nearest[i]]++] = (uint32_t)i;
out:
    gm_product_clear(&product);
    gm_product_clear(&of_centres);
    gm_points_clear(&centres);
    gm_free(nearest);
    return status;
}
