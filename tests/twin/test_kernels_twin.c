/* test_kernels_twin.c - every loop of the CPU's kernels: AVX2, AVX-512F and AMX
 * give the bits of plain C, over odd sizes, large and tiny values. */
#include "engine/cpu/kernels.h"
#include "engine/cpu/pack.h"
#include "engine/team.h"

#include "base/rng.h"
#include "tests/check.h"

enum { MOST = 96 * 1024 };

static float a[MOST], b[MOST], one[MOST], two[MOST];
static uint16_t halves[MOST];

/* Values over many magnitudes, zeros of both signs and denormals among them. */
static void fill(float *x, size_t n, uint64_t stream, double scale)
{
    gm_rng rng = gm_rng_make(11, stream);
    for (size_t i = 0; i < n; i++) {
        double v = gm_rng_normal(&rng) * scale;
        uint64_t kind = gm_rng_below(&rng, 40);
        if (kind == 0) v = 0.0;
        if (kind == 1) v = -0.0;
        if (kind == 2) v *= 1e-39;
        if (kind == 3) v *= 1e-4;
        x[i] = (float)v;
    }
}

typedef void compare(const gm_kernels *plain, const gm_kernels *other);

static void same(const char *what, const gm_kernels *other, size_t size, const float *x,
                 const float *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(&x[i], &y[i], sizeof x[i]) != 0 && !(isnan(x[i]) && isnan(y[i]))) {
            TEST_FAILED_("%s %s of size %zu: [%zu] is %.9g, expected %.9g", other->name, what, size,
                         i, (double)y[i], (double)x[i]);
            return;
        }
}

static void gemm_sizes(const gm_kernels *plain, const gm_kernels *other)
{
    static const size_t rows[] = {1, 2, 3, 5, 8, 9, 15, 31}, depth[] = {1, 31, 32, 33, 100};
    static const size_t n_panels[] = {1, 2, 3, 8, 9};
    static float rounded[31 * 128]; /* what bf16 products are given */
    uint32_t row[31];
    for (uint32_t i = 0; i < 31; i++) row[i] = (i * 7) % 31;
    memcpy(rounded, a, sizeof rounded);
    plain->round_bf16(rounded, sizeof rounded / sizeof rounded[0]);
    for (size_t i = 0; i < 8; i++)
        for (size_t j = 0; j < 5; j++)
            for (size_t p = 0; p < 5; p++) {
                const size_t m = rows[i], k = depth[j], n = n_panels[p], ld = 128;
                const size_t width = n * GM_PANEL;
                const uint32_t *by = p % 2 ? row : NULL;
                plain->gemm_f32(a, ld, by, m, b, k, n, one, width);
                other->gemm_f32(a, ld, by, m, b, k, n, two, width);
                same("gemm_f32", other, k, one, two, m * width);
                plain->gemm_bf16(rounded, ld, by, m, halves, k, n, one, width);
                other->gemm_bf16(rounded, ld, by, m, halves, k, n, two, width);
                same("gemm_bf16", other, k, one, two, m * width);
            }
}

static const size_t sizes[] = {1, 15, 16, 17, 31, 33, 64, 257, 1000};
enum { N_SIZES = 9 };

static void rows_of_any_length(const gm_kernels *plain, const gm_kernels *other)
{
    for (size_t i = 0; i < N_SIZES; i++) {
        const size_t n = sizes[i];
        float x, y, top_x, top_y;
        plain->norm(a, b, n, 1e-5f, one);
        other->norm(a, b, n, 1e-5f, two);
        same("norm", other, n, one, two, n);
        plain->exp_shifted(a, 0.5f, n, one);
        other->exp_shifted(a, 0.5f, n, two);
        same("exp_shifted", other, n, one, two, n);
        x = plain->exp_sum(a, n, &top_x);
        y = other->exp_sum(a, n, &top_y);
        same("exp_sum", other, n, &x, &y, 1);
        same("exp_sum's top", other, n, &top_x, &top_y, 1);
        memcpy(one, a, 2 * n * sizeof *a);
        memcpy(two, a, 2 * n * sizeof *a);
        plain->rotate(one, b, b + n, n);
        other->rotate(two, b, b + n, n);
        same("rotate", other, n, one, two, 2 * n);
    }
}

static void padded_rows(const gm_kernels *plain, const gm_kernels *other)
{
    for (size_t n = GM_PANEL; n <= 20 * GM_PANEL; n += GM_PANEL) {
        memcpy(one, a, n * sizeof *a);
        memcpy(two, a, n * sizeof *a);
        plain->add(one, b, n), other->add(two, b, n);
        same("add", other, n, one, two, n);
        plain->add_scaled(one, 0.3f, b, n), other->add_scaled(two, 0.3f, b, n);
        same("add_scaled", other, n, one, two, n);
        plain->merge(one, 0.7f, b, n), other->merge(two, 0.7f, b, n);
        same("merge", other, n, one, two, n);
        plain->round_bf16(one, n), other->round_bf16(two, n);
        same("round_bf16", other, n, one, two, n);
    }
    for (size_t i = 0; i < 100; i++)
        for (int round = 0; round < 2; round++) {
            plain->swiglu(a + i * 32, one, round == 1);
            other->swiglu(a + i * 32, two, round == 1);
            same("swiglu", other, i, one, two, GM_PANEL);
        }
}

static void blocks_of_keys(const gm_kernels *plain, const gm_kernels *other)
{
    float top[2] = {-INFINITY, -INFINITY}, total[2] = {0};
    for (size_t i = 0; i < 200; i++) {
        const size_t n = i % 32 + 1;
        memcpy(one, a + i * 32, 32 * sizeof *a);
        memcpy(two, a + i * 32, 32 * sizeof *a);
        float x = plain->attend(one, n, 0.125f, i % 2, &top[0], &total[0]);
        float y = other->attend(two, n, 0.125f, i % 2, &top[1], &total[1]);
        same("attend", other, n, one, two, 32);
        same("attend's factor", other, n, &x, &y, 1);
        same("attend's top", other, n, &top[0], &top[1], 1);
        same("attend's total", other, n, &total[0], &total[1], 1);
    }
}

static void special_values(const gm_kernels *plain, const gm_kernels *other)
{
    const float x[16] = {0,        -0.0f,  INFINITY, -INFINITY, NAN,   88.37f, 88.38f, -87,
                         -87.001f, 1e-40f, 3.4e38f,  -3.4e38f,  1e38f, 20,     -20,    1};
    plain->exp_shifted(x, 0, 16, one);
    other->exp_shifted(x, 0, 16, two);
    same("exp", other, 16, one, two, 16);
    CHECK(one[0] == 1 && one[1] == 1 && isinf(one[2]) && one[3] == 0 && isnan(one[4]));
    CHECK(one[7] > 0 && one[8] == 0 && one[9] == 1);
    memcpy(one, x, sizeof x);
    memcpy(two, x, sizeof x);
    plain->round_bf16(one, 16);
    other->round_bf16(two, 16);
    same("round_bf16", other, 16, one, two, 16);
    CHECK(isinf(one[2]) && isnan(one[4]) && isinf(one[10]));
}

static void all_values(const char *name, compare *check)
{
    const gm_kernels *other;
    gm_error err = {0};
    if (gm_kernels_find(&other, name, &err) != GM_OK) TEST_SKIP("not on this processor");
    static const double scales[] = {1.0, 30.0, 1e-18};
    for (uint64_t i = 0; i < 3; i++) {
        fill(a, MOST, 2 * i, scales[i]);
        fill(b, MOST, 2 * i + 1, scales[i]);
        memcpy(halves, b, sizeof halves);
        for (size_t j = 0; j < MOST; j++) { /* finite bf16 of any magnitude */
            uint32_t bits;
            memcpy(&bits, &b[j], sizeof bits);
            halves[j] = (uint16_t)(bits >> 16);
        }
        unsigned state = gm_denormals_flush();
        check(&gm_kernels_portable, other);
        gm_denormals_restore(state);
    }
}

#define TWINS(check)                  \
    static void check##_avx2(void)    \
    {                                 \
        all_values("avx2", check);    \
    }                                 \
    static void check##_avx512f(void) \
    {                                 \
        all_values("avx512f", check); \
    }                                 \
    static void check##_amx(void)     \
    {                                 \
        all_values("amx", check);     \
    }

TWINS(gemm_sizes)
TWINS(rows_of_any_length)
TWINS(padded_rows)
TWINS(blocks_of_keys)
TWINS(special_values)

/* Our exponential is within a few units in the last place of the C library's. */
static void exponential_is_accurate(void)
{
    double worst = 0.0;
    for (int i = -87000; i <= 88000; i += 7) {
        float x = (float)i / 1000, e;
        gm_kernels_portable.exp_shifted(&x, 0, 1, &e);
        double by = fabs((double)e / exp((double)x) - 1.0);
        if (by > worst) worst = by;
    }
    CHECK_NEAR(worst, 0.0, 2e-7);
}

#define THREE(check) TEST(check##_avx2), TEST(check##_avx512f), TEST(check##_amx)
TESTS(THREE(gemm_sizes), THREE(rows_of_any_length), THREE(padded_rows), THREE(blocks_of_keys),
      THREE(special_values), TEST(exponential_is_accurate))
