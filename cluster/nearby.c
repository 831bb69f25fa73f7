/* nearby.c - every point goes to the nearest of a few; see nearby.h. */
#include "cluster/nearby.h"

#include <math.h>
#include <stdatomic.h>

#include "cluster/product.h"

enum { MOST_CENTRES = 64, AT_ONCE = 128 /* points */, PANELS = AT_ONCE / 16 };

/* What a thread works with. */
typedef struct worker {
    float dot[GM_BLOCK_ROWS * GM_BLOCK_COLS];
    uint8_t scratch[GM_PRODUCT_SCRATCH];
} worker;

/* nearest[first .. first + n): which centre is, ties to the first of them. */
static void assign(uint8_t *nearest, const gm_product *product, const uint32_t *centre,
                   size_t n_centres, size_t first, size_t n, worker *w, void *packed)
{
    for (size_t p = 0; p < PANELS; p++) gm_product_pack(product, first, n, p, packed);
    gm_product_block(product, centre, n_centres, packed, n, w->scratch, w->dot);
    for (size_t j = 0; j < n; j++) {
        float best = INFINITY;
        for (size_t c = 0; c < n_centres; c++) {
            const float s = product->norm[centre[c]] - 2.0f * w->dot[c * GM_BLOCK_COLS + j];
            if (s < best) best = s, nearest[first + j] = (uint8_t)c;
        }
    }
}

static gm_status assign_all(uint8_t *nearest, const gm_product *product, const uint32_t *centre,
                            size_t n_centres, gm_error *err)
{
    const size_t n = product->points->n;
    atomic_bool no_memory = false;
#pragma omp parallel
    {
        worker *w = gm_alloc(1, sizeof *w);
        void *packed = gm_alloc(1, gm_product_packed_bytes(product));
        if (!w || !packed) atomic_store(&no_memory, true);
#pragma omp for schedule(dynamic, 1)
        for (size_t i = 0; i < n; i += AT_ONCE)
            if (w && packed)
                assign(nearest, product, centre, n_centres, i, n - i < AT_ONCE ? n - i : AT_ONCE, w,
                       packed);
        gm_free(w);
        gm_free(packed);
    }
    return atomic_load(&no_memory) ? gm_fail(err, GM_EMEM, "no memory to order points") : GM_OK;
}

gm_status gm_nearby_order(uint32_t *order, const gm_points *points, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t n = points->n, n_centres = n < MOST_CENTRES ? n : MOST_CENTRES;
    gm_product product = {0};
    uint32_t centre[MOST_CENTRES];
    size_t begin[MOST_CENTRES + 1] = {0};
    uint8_t *nearest = gm_alloc(n, sizeof *nearest);
    if (nearest == NULL) GM_FAIL(GM_EMEM, "no memory to order %zu points", n);
    GM_TRY(gm_product_init(&product, points, GM_ISA_PORTABLE, err)); /* of floats, by any set */
    for (size_t c = 0; c < n_centres; c++) centre[c] = (uint32_t)(c * n / n_centres);
    GM_TRY(assign_all(nearest, &product, centre, n_centres, err));
    for (size_t i = 0; i < n; i++) begin[nearest[i] + 1]++;
    for (size_t c = 0; c < n_centres; c++) begin[c + 1] += begin[c];
    for (size_t i = 0; i < n; i++) order[begin[nearest[i]]++] = (uint32_t)i;
out:
    gm_product_clear(&product);
    gm_free(nearest);
    return status;
}
