/* test_bytes_twin.c - cluster/bytes.c: products of bytes by AMX against plain C, and the bounds
 * that neighbours are certified with.
 */
#include "cluster/bytes.h"

#include "base/rng.h"
#include "tests/check.h"

enum { N = 400 }; /* a block of columns and a bit */

/* Around `offset`; one value is large, so that the others lose much, and one row is the mean. */
static gm_points make_points(size_t d, float offset, float large)
{
    float *rows = gm_alloc2(N, d, sizeof *rows);
    gm_rng rng = gm_rng_make(5, d);
    gm_points points;
    gm_error err = {0};
    for (size_t i = 0; i < N * d; i++) rows[i] = (float)gm_rng_normal(&rng) + offset;
    rows[7 * d] += large;
    memcpy(rows + 9 * d, rows + 8 * d, d * sizeof *rows); /* two coincide */
    CHECK_OK(gm_points_init(&points, rows, N, d, GM_EUCLIDEAN, &err), err);
    gm_free(rows);
    return points;
}

static int32_t product_of(const gm_bytes *b, size_t i, size_t j)
{
    int32_t sum = 0;
    for (size_t k = 0; k < b->dim; k += 64)
        for (size_t c = 0; c < 64; c++)
            sum += b->byte[(i / 16 * b->dim + k) * 16 + i % 16 * 64 + c] *
                   b->byte[(j / 16 * b->dim + k) * 16 + j % 16 * 64 + c];
    return sum;
}

/* Rows 64 .. 127 against the block of columns at `first`. */
static void check_block(const gm_bytes *b, const gm_points *points, const uint32_t *order,
                        size_t first, double *gap)
{
    static int32_t dot[GM_BYTES_ROWS * GM_BYTES_COLS];
    float limit[GM_BYTES_COLS];
    gm_bytes_distances got;
    int8_t *packed = gm_alloc2(GM_BYTES_COLS, b->dim, 1);
    for (size_t p = 0; p < GM_BYTES_PANELS; p++) gm_bytes_pack(b, first, p, packed);
    gm_bytes_block(b, GM_BYTES_ROWS, packed, 0, dot);
    for (size_t j = 0; j < GM_BYTES_COLS; j++) limit[j] = (float)(points->dim + j);
    for (size_t r = 0; r < GM_BYTES_ROWS; r++) {
        const size_t i = GM_BYTES_ROWS + r;
        const float own = 1.5f * (float)points->dim;
        gm_bytes_row(&got, b, i, first, dot + r * GM_BYTES_COLS, own, limit);
        for (size_t j = 0; j < GM_BYTES_COLS; j++) {
            const size_t other = first + j;
            const float s = got.s[j];
            const bool row = got.of_row[j / 16] >> j % 16 & 1;
            const bool col = got.of_col[j / 16] >> j % 16 & 1;
            if (other >= N) {
                CHECK(!row && !col);
                continue;
            }
            CHECK_INT(dot[r * GM_BYTES_COLS + j], product_of(b, i, other));
            const double exact = gm_points_squared(points, order[i], order[other]);
            const float error = gm_bytes_error(b, i, other);
            CHECK((double)s - (double)error - gm_bytes_slack(b, i) <= exact);
            CHECK((double)s + (double)error + gm_bytes_slack(b, i) >= exact);
            if (fabsf(s - error - own) > 1e-3f * own) CHECK_INT(row, s - error <= own);
            if (fabsf(s - error - limit[j]) > 1e-3f * own) CHECK_INT(col, s - error <= limit[j]);
            if (exact > 0) *gap = fmax(*gap, (double)error / exact);
        }
    }
    gm_free(packed);
}

/* The bounds hold, and where no value is far out they are close. */
static void bounds_hold(void)
{
    static const size_t dims[] = {3, 64, 300, 1728};
    if (gm_isa_best() < GM_ISA_AMX) TEST_SKIP("a processor without AMX");
    for (size_t m = 0; m < 12; m++) {
        const float large = m < 8 ? 0 : 1000;
        gm_points points = make_points(dims[m % 4], m / 4 == 1 ? 100 : 0, large);
        uint32_t order[N];
        gm_bytes b;
        gm_error err = {0};
        double gap = 0;
        for (uint32_t i = 0; i < N; i++) order[i] = N - 1 - i;
        CHECK(gm_bytes_can(&points));
        CHECK_OK(gm_bytes_init(&b, &points, order, &err), err);
        CHECK(b.byte[0] != 0);
        check_block(&b, &points, order, 0, &gap);
        check_block(&b, &points, order, GM_BYTES_COLS, &gap);
        if (m < 8 && points.dim >= 300) CHECK(gap < 0.04);
        gm_bytes_clear(&b);
        gm_points_clear(&points);
    }
}

TESTS(TEST(bounds_hold))
