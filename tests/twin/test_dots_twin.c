/* test_dots_twin.c - cluster/dots.c: the vectorised variant against plain C, over odd sizes;
 * the bound that neighbours are certified with.
 */
#include "base/rng.h"
#include "cluster/dots.h"
#include "tests/check.h"

enum { N = 70, MAX_DIM = 900 };

static gm_points make_points(size_t d, float scale, float offset)
{
    float *rows = gm_alloc2(N, d, sizeof *rows);
    gm_rng rng = gm_rng_make(5, d);
    gm_points points;
    gm_error err = {0};
    for (size_t i = 0; i < N * d; i++) rows[i] = scale * (float)gm_rng_normal(&rng) + offset;
    CHECK_OK(gm_points_init(&points, rows, N, d, GM_EUCLIDEAN, &err), err);
    gm_free(rows);
    return points;
}

/* `squared` is the definition: the same bits in every variant. */
static void squared_is_the_same_bits(void)
{
    static const size_t dims[] = {1, 15, 31, 33, 257, MAX_DIM};
    for (size_t m = 0; m < sizeof dims / sizeof *dims; m++) {
        gm_points p = make_points(dims[m], 1, 0);
        for (size_t i = 0; i + 1 < N; i++) {
            const float *x = p.at + i * p.dim, *y = x + p.dim;
            double fast = gm_dots_best()->squared(x, y, p.dim);
            double plain = gm_dots_plain()->squared(x, y, p.dim), sum = 0;
            CHECK_BYTES(&fast, &plain, sizeof fast);
            for (size_t c = 0; c < p.dim; c++) sum += pow((double)x[c] - (double)y[c], 2);
            CHECK_NEAR(plain, sum, 1e-12 * sum);
        }
        gm_points_clear(&p);
    }
}

static void tiles_agree(void)
{
    static const size_t depths[] = {16, 48, GM_TILE_DEPTH};
    static float a[GM_TILE_ROWS * GM_TILE_DEPTH], b[GM_TILE_DEPTH * GM_TILE_COLS];
    enum { STRIDE = GM_TILE_COLS + 3 };
    gm_rng rng = gm_rng_make(6, 1);
    for (size_t i = 0; i < sizeof a / sizeof *a; i++) a[i] = (float)gm_rng_normal(&rng);
    for (size_t i = 0; i < sizeof b / sizeof *b; i++) b[i] = (float)gm_rng_normal(&rng);
    for (size_t m = 0; m < 3; m++) {
        float fast[GM_TILE_ROWS * STRIDE], plain[GM_TILE_ROWS * STRIDE];
        for (size_t i = 0; i < GM_TILE_ROWS * STRIDE; i++) fast[i] = plain[i] = (float)i;
        gm_dots_best()->tile(a, b, depths[m], fast, STRIDE);
        gm_dots_plain()->tile(a, b, depths[m], plain, STRIDE);
        CHECK_FLOATS(fast, plain, GM_TILE_ROWS * STRIDE, 1e-4);
        for (size_t r = 0; r < GM_TILE_ROWS; r++) /* what lies between rows is not touched */
            for (size_t c = GM_TILE_COLS; c < STRIDE; c++)
                CHECK_NEAR(fast[r * STRIDE + c], r * STRIDE + c, 0);
    }
}

/* Approximate squared distances are within the bound, also where they nearly cancel. */
static void the_error_bound_holds(void)
{
    static const size_t dims[] = {3, 16, 300, MAX_DIM};
    static const float offsets[] = {0, 1, 100};
    static float s[GM_BLOCK_ROWS * GM_BLOCK_COLS], scratch[GM_BLOCK_ROWS * GM_TILE_DEPTH];
    uint32_t row[33];
    for (size_t m = 0; m < 12; m++) {
        gm_points p = make_points(dims[m % 4], 1, offsets[m / 4]);
        float *packed = gm_alloc2(GM_BLOCK_COLS, p.dim, sizeof *packed);
        double worst = 0;
        for (uint32_t r = 0; r < 33; r++) row[r] = 2 * r;
        gm_dots_pack(&p, 3, N - 3, packed);
        gm_dots_block(&p, row, 33, packed, 3, N - 3, scratch, s);
        for (size_t r = 0; r < 33; r++)
            for (size_t j = 3; j < N; j++) {
                double got = (double)s[r * GM_BLOCK_COLS + j - 3];
                double off = fabs(got - gm_points_squared(&p, row[r], j));
                CHECK(got >= 0);
                if (!(off <= gm_dots_error(&p, row[r])))
                    TEST_FAILED_("%zu dimensions, offset %g: off by %g, bound %g", p.dim,
                                 (double)offsets[m / 4], off, gm_dots_error(&p, row[r]));
                worst = check_larger(worst, off / gm_dots_error(&p, row[r]));
            }
        CHECK(worst > 0); /* the products are floats */
        gm_free(packed);
        gm_points_clear(&p);
    }
}

TESTS(TEST(squared_is_the_same_bits), TEST(tiles_agree), TEST(the_error_bound_holds))
