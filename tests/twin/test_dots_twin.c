/* test_dots_twin.c - cluster/dots.c and product.c: every instruction set that this processor has
 * against plain C, over odd sizes; the bounds that neighbours are certified with.
 */
#include "base/rng.h"
#include "cluster/dots.h"
#include "cluster/product.h"
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
            double plain = gm_dots_of(GM_ISA_PORTABLE)->squared(x, y, p.dim), sum = 0;
            for (gm_isa isa = GM_ISA_AVX2; isa <= gm_isa_best(); isa++) {
                double fast = gm_dots_of(isa)->squared(x, y, p.dim);
                CHECK_BYTES(&fast, &plain, sizeof fast);
            }
            for (size_t c = 0; c < p.dim; c++) sum += pow((double)x[c] - (double)y[c], 2);
            CHECK_NEAR(plain, sum, 1e-12 * sum);
        }
        gm_points_clear(&p);
    }
}

static void tiles_agree(void)
{
    static const size_t depths[] = {16, 48, GM_DOTS_TILE_DEPTH};
    static float a[GM_DOTS_TILE_ROWS * GM_DOTS_TILE_DEPTH],
        b[GM_DOTS_TILE_DEPTH * GM_DOTS_TILE_COLS];
    enum { STRIDE = GM_DOTS_TILE_COLS + 3 };
    gm_rng rng = gm_rng_make(6, 1);
    for (size_t i = 0; i < sizeof a / sizeof *a; i++) a[i] = (float)gm_rng_normal(&rng);
    for (size_t i = 0; i < sizeof b / sizeof *b; i++) b[i] = (float)gm_rng_normal(&rng);
    for (size_t m = 0; m < 3; m++)
        for (gm_isa isa = GM_ISA_AVX2; isa <= gm_isa_best(); isa++) {
            float fast[GM_DOTS_TILE_ROWS * STRIDE], plain[GM_DOTS_TILE_ROWS * STRIDE];
            for (size_t i = 0; i < GM_DOTS_TILE_ROWS * STRIDE; i++) fast[i] = plain[i] = (float)i;
            gm_dots_of(isa)->tile(a, b, depths[m], fast, STRIDE);
            gm_dots_of(GM_ISA_PORTABLE)->tile(a, b, depths[m], plain, STRIDE);
            CHECK_FLOATS(fast, plain, GM_DOTS_TILE_ROWS * STRIDE, 1e-4);
            for (size_t r = 0; r < GM_DOTS_TILE_ROWS;
                 r++) /* what lies between rows is not touched */
                for (size_t c = GM_DOTS_TILE_COLS; c < STRIDE; c++)
                    CHECK_NEAR(fast[r * STRIDE + c], r * STRIDE + c, 0);
        }
}

/* Products to distances, the same bits; and which sixteen hold a near one. */
static void distances_are_the_same_bits(void)
{
    enum { COLS = 64 };
    float norm[COLS], other[COLS], dot[COLS];
    gm_rng rng = gm_rng_make(8, 1);
    for (size_t j = 0; j < COLS; j++) {
        norm[j] = (float)gm_rng_unit(&rng), dot[j] = (float)gm_rng_normal(&rng);
        other[j] = j / 16 == 2 ? 100.0f : -1.0f; /* all of the third panel are near, by theirs */
    }
    for (size_t j = 0; j < 16; j++) dot[j] = dot[32 + j] = -1; /* none of the first panel is */
    for (gm_isa isa = GM_ISA_PORTABLE; isa <= gm_isa_best(); isa++) {
        float at[COLS];
        uint8_t near[COLS / 16];
        memcpy(at, dot, sizeof at);
        gm_dots_of(isa)->distances(at, norm, 0.5f, 0, other, COLS, near);
        for (size_t p = 0; p < COLS / 16; p++) {
            bool any = p == 2;
            for (size_t j = p * 16; j < p * 16 + 16; j++) {
                float v = (0.5f + norm[j]) - 2.0f * dot[j];
                CHECK_NEAR(at[j], v > 0 ? v : 0, 0);
                any |= !(v > 0);
            }
            CHECK_INT(near[p], any);
        }
        CHECK_INT(near[0], false);
    }
}

/* Ends of the interval belong to it; any number of values. */
static void counts_are_the_same(void)
{
    enum { MAX = 100 };
    float at[MAX];
    gm_rng rng = gm_rng_make(8, 2);
    for (size_t j = 0; j < MAX; j++) at[j] = (float)gm_rng_below(&rng, 10);
    for (gm_isa isa = GM_ISA_PORTABLE; isa <= gm_isa_best(); isa++)
        for (size_t n = 0; n <= MAX; n++) {
            uint32_t below, within, least = 0, between = 0;
            for (size_t j = 0; j < n; j++) {
                least += at[j] < 3;
                between += at[j] >= 3 && at[j] <= 5;
            }
            gm_dots_of(isa)->count(at, n, 3, 5, &below, &within);
            CHECK_INT(below, least);
            CHECK_INT(within, between);
        }
}

/* How far the closest certificate of rows 0, 2, .. 64 against points 3.. is from failing, as a
 * share of its distance. */
static double check_bound(const gm_points *points, gm_isa isa)
{
    static float dot[GM_BLOCK_ROWS * GM_BLOCK_COLS], none[GM_BLOCK_COLS], norm[GM_BLOCK_COLS];
    enum { ROWS = 33, FIRST = 3, COLS = N - FIRST, WIDE = 80 };
    gm_product product;
    gm_error err = {0};
    uint32_t row[ROWS];
    uint8_t near[GM_BLOCK_PANELS];
    double worst = 1;
    CHECK_OK(gm_product_init(&product, points, isa, &err), err);
    uint8_t *packed = gm_alloc(1, gm_product_packed_bytes(&product));
    uint8_t *scratch = gm_alloc(1, GM_PRODUCT_SCRATCH);
    for (uint32_t r = 0; r < ROWS; r++) row[r] = 2 * r;
    for (size_t p = 0; p < GM_BLOCK_PANELS; p++) gm_product_pack(&product, FIRST, COLS, p, packed);
    gm_product_block(&product, row, ROWS, packed, COLS, scratch, dot);
    memcpy(norm, product.norm + FIRST, COLS * sizeof *norm);
    for (size_t r = 0; r < ROWS; r++) {
        float *s = dot + r * GM_BLOCK_COLS;
        gm_dots_of(isa)->distances(s, norm, product.norm[row[r]], 0, none, WIDE, near);
        for (size_t j = 0; j < COLS; j++) {
            double exact = gm_points_squared(points, row[r], j + FIRST);
            double least = gm_product_lower_bound(&product, row[r], (double)s[j]);
            if (!(least <= exact))
                TEST_FAILED_("%s, %zu dimensions: %.9g is not at most %.9g", gm_isa_name(isa),
                             points->dim, least, exact);
            if (exact > 0) worst = fmin(worst, 1 - fmax(least, 0) / exact);
        }
    }
    gm_free(packed);
    gm_free(scratch);
    gm_product_clear(&product);
    return worst;
}

/* The bound holds for every instruction set, also where distances nearly cancel; it is not
 * idle: for points that lie around 0 it is close to what it bounds. */
static void the_error_bound_holds(void)
{
    static const size_t dims[] = {3, 16, 300, MAX_DIM};
    static const float offsets[] = {0, 1, 100};
    for (size_t m = 0; m < 12; m++) {
        gm_points p = make_points(dims[m % 4], 1, offsets[m / 4]);
        for (gm_isa isa = GM_ISA_PORTABLE; isa <= gm_isa_best(); isa++) {
            p.isa = isa;
            double gap = check_bound(&p, isa);
            CHECK(gap > 0); /* the products are not exact */
            if (m < 4) CHECK(gap < (isa == GM_ISA_AMX ? 0.02 : 0.002));
        }
        gm_points_clear(&p);
    }
}

TESTS(TEST(squared_is_the_same_bits), TEST(tiles_agree), TEST(distances_are_the_same_bits),
      TEST(counts_are_the_same), TEST(the_error_bound_holds))
