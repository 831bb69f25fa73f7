/* test_kernels_twin.c - every loop of the CPU's kernels gives the bits of plain C on
 * every kind of processor, over odd sizes, large, tiny and special values. A loop or a
 * kind that nobody compares here fails the test.
 * label: long */
#include "base/half.h"
#include "base/rng.h"
#include "engine/cpu/kernels.h"
#include "engine/cpu/pack.h"
#include "engine/team.h"
#include "tests/check.h"
#include <stddef.h>

enum { MOST = 96 * 1024 };

/* Every function of gm_kernels, and whether some check has compared it. */
static struct member {
    const char *name;
    size_t at;
    bool compared;
} members[] = {
#define MEMBER(name)                             \
    {                                            \
#name, offsetof(gm_kernels, name), false \
    }
    /* clang-format off */
    MEMBER(f32.gather), MEMBER(f32.gemm), MEMBER(bf16.gather), MEMBER(bf16.gemm),
    MEMBER(i8.gather), MEMBER(i8.gemm), MEMBER(fp8.gather), MEMBER(fp8.gemm), MEMBER(dot.gather),
    MEMBER(dot.gemm), MEMBER(norm), MEMBER(layer_norm), MEMBER(to_bf16), MEMBER(add),
    MEMBER(add_scaled), MEMBER(swiglu), MEMBER(swiglu_clamped), MEMBER(geglu), MEMBER(cap),
    MEMBER(relu_squared), MEMBER(exp_shifted), MEMBER(exp_sum), MEMBER(attend), MEMBER(merge),
    MEMBER(rotate), MEMBER(convolve), MEMBER(convolve_gated), MEMBER(unit), MEMBER(delta),
    MEMBER(norm_gated), MEMBER(gate), MEMBER(scan), MEMBER(gated_norm),
/* clang-format on */
#undef MEMBER
};
enum { N_MEMBERS = sizeof members / sizeof members[0] };

static float a[MOST], b[MOST], one[MOST], two[MOST];
static uint16_t halves[MOST];
static int8_t whole[MOST];   /* panels of int8, see fill_bytes */
static uint8_t eights[MOST]; /* the same as fp8: no NaN among them */

/* Values over many magnitudes, zeros of both signs and denormals among them. */
static void fill(float *x, size_t n, uint64_t stream, double scale)
{
    gm_rng rng = gm_rng_make(11, stream);
    for (size_t i = 0; i < n; i++) {
        double v = gm_rng_normal(&rng) * scale;
        uint64_t kind = gm_rng_below(&rng, 40);
        if (kind < 2) v = kind ? -0.0 : 0.0;
        if (kind == 2) v *= 1e-39;
        if (kind == 3) v *= 1e-4;
        x[i] = (float)v;
    }
}

/* `plain` is plain C, or what has been compared with it. */
typedef void compare(const gm_kernels *plain, const gm_kernels *other);

static void same(const char *what, const gm_kernels *other, size_t size, const float *x,
                 const float *y, size_t n)
{
    for (size_t i = 0; i < N_MEMBERS; i++)
        if (strcmp(members[i].name, what) == 0) members[i].compared = true;
    for (size_t i = 0; i < n; i++)
        if (memcmp(&x[i], &y[i], sizeof x[i]) != 0 && !(isnan(x[i]) && isnan(y[i]))) {
            TEST_FAILED_("%s %s of size %zu: [%zu] is %.9g, expected %.9g", other->name, what, size,
                         i, (double)y[i], (double)x[i]);
            return;
        }
}

static void same_halves(const char *what, const gm_kernels *other, size_t size, const uint16_t *x,
                        const uint16_t *y, size_t n)
{
    for (size_t i = 0; i < n; i++) one[i] = gm_bf16_to_f32(x[i]), two[i] = gm_bf16_to_f32(y[i]);
    same(what, other, size, one, two, n);
}

/* Rows gathered and multiplied. How a gather lays rows out is the product's own affair. */
static void multiply(const gm_kernel_product *product, const void *x, size_t ld,
                     const uint32_t *row, size_t m, const void *panels, size_t k, size_t n_panels,
                     float *out, size_t ldo)
{
    static float room[40 * 256];
    size_t bytes;
    CHECK(gm_room_floats(m, k) <= sizeof room / sizeof *room);
    const void *rows = product->gather(x, ld, row, m, k, room, &bytes);
    product->gemm(rows, bytes, m, panels, k, n_panels, out, ldo, m % 2);
}

/* n panels of k inputs: whole numbers from -127 to 127, zeros after them, and scales, one
 * of which is NaN. */
static void fill_bytes(size_t k, size_t n)
{
    gm_rng rng = gm_rng_make(12, k);
    const size_t depth = gm_round_up(k, GM_K_BLOCK), panel_bytes = gm_panel_bytes(GM_I8, k);
    for (size_t p = 0; p < n; p++) {
        int8_t *panel = whole + p * panel_bytes;
        float scale[GM_PANEL];
        for (size_t i = 0; i < depth * GM_PANEL; i++)
            panel[i] = (int8_t)(i / GM_PANEL < k ? (int)gm_rng_below(&rng, 255) - 127 : 0);
        for (size_t i = 0; i < GM_PANEL; i++) scale[i] = (float)gm_rng_unit(&rng) * 1e-3f;
        if (p == 1) scale[5] = NAN;
        memcpy(panel + depth * GM_PANEL, scale, sizeof scale);
        uint8_t *eight = memcpy(eights + p * panel_bytes, panel, panel_bytes);
        for (size_t i = 0; i < depth * GM_PANEL; i++)
            if ((eight[i] & 0x7F) == 0x7F) eight[i]--;
    }
}

/* Every number of rows and of panels, each depth beside each of both. Between the rows of the
 * output lies what must not be touched. */
static void products(const gm_kernels *plain, const gm_kernels *other)
{
    static const size_t rows[] = {1, 2, 3, 5, 8, 9, 15, 16, 17, 31, 32, 33, 40};
    static const size_t depth[] = {1, 31, 32, 33, 100}, n_panels[] = {1, 2, 3, 8, 9};
    enum { N_ROWS = sizeof rows / sizeof rows[0], LD = 128 };
    static float x[40 * LD]; /* zeros after the inputs, as in the engine's buffers */
    static uint16_t rounded[40 * LD];
    uint32_t row[40];
    for (uint32_t i = 0; i < 40; i++) row[i] = (i * 7) % 40;
    for (size_t i = 0; i < N_ROWS; i++)
        for (size_t p = 0; p < 5; p++) {
            const size_t m = rows[i], k = depth[(i + p) % 5], n = n_panels[p];
            const size_t ldo = n * GM_PANEL + 3;
            const uint32_t *by = (i + p) % 2 ? row : NULL;
            for (size_t t = 0; t < 40 * LD; t++) x[t] = t % LD < k ? a[t] : 0.0f;
            plain->to_bf16(x, 40 * LD, rounded);
            for (size_t t = 0; t < m * ldo; t++) one[t] = two[t] = -7.0f;
            multiply(&plain->f32, x, LD, by, m, b, k, n, one, ldo);
            multiply(&other->f32, x, LD, by, m, b, k, n, two, ldo);
            same("f32.gather", other, k, one, two, m * ldo);
            same("f32.gemm", other, k, one, two, m * ldo);
            multiply(&plain->bf16, rounded, LD, by, m, halves, k, n, one, ldo);
            multiply(&other->bf16, rounded, LD, by, m, halves, k, n, two, ldo);
            same("bf16.gather", other, k, one, two, m * ldo);
            same("bf16.gemm", other, k, one, two, m * ldo);
            multiply(&plain->dot, rounded, LD, by, m, halves, k, n, one, ldo);
            multiply(&other->dot, rounded, LD, by, m, halves, k, n, two, ldo);
            same("dot.gather", other, k, one, two, m * ldo);
            same("dot.gemm", other, k, one, two, m * ldo);
            fill_bytes(k, n);
            multiply(&plain->i8, rounded, LD, by, m, whole, k, n, one, ldo);
            multiply(&other->i8, rounded, LD, by, m, whole, k, n, two, ldo);
            same("i8.gather", other, k, one, two, m * ldo);
            same("i8.gemm", other, k, one, two, m * ldo);
            multiply(&plain->fp8, rounded, LD, by, m, eights, k, n, one, ldo);
            multiply(&other->fp8, rounded, LD, by, m, eights, k, n, two, ldo);
            same("fp8.gather", other, k, one, two, m * ldo);
            same("fp8.gemm", other, k, one, two, m * ldo);
            for (size_t t = ldo - 3; t < m * ldo; t += t % ldo == ldo - 1 ? ldo - 2 : 1)
                CHECK(one[t] == -7.0f && two[t] == -7.0f);
        }
}

/* More inputs than AMX turns into tiles at once; rows that it would multiply as vectors, and
 * more than it multiplies a few at a time. */
static void deep_products(const gm_kernels *plain, const gm_kernels *other)
{
    enum { M = 37, K = 4100, LD = 4128 };
    static float x[M * LD], room[M * (LD + 64)], got[2][M * GM_PANEL];
    static uint16_t rounded[M * LD];
    for (size_t t = 0; t < (size_t)M * LD; t++) x[t] = t % LD < K ? a[t % MOST] : 0.0f;
    plain->to_bf16(x, (size_t)M * LD, rounded);
    fill_bytes(K, 1);
    for (size_t m = 8; m <= M; m += M - 8) {
        for (size_t i = 0; i < 2; i++) {
            const gm_kernel_product *i8 = i ? &other->i8 : &plain->i8;
            size_t ld;
            const void *rows = i8->gather(rounded, LD, NULL, m, K, room, &ld);
            i8->gemm(rows, ld, m, whole, K, 1, got[i], GM_PANEL, false);
        }
        same("i8.gemm", other, K, got[0], got[1], m * GM_PANEL);
    }
}

/* Rows and inputs of which AMX multiplies some in parts: pairs of blocks of rows with rows left
 * over or none, inputs that fill the last part or do not, a panel after the pairs; gathered rows.
 */
static void compare_many(const gm_kernels *plain, const gm_kernels *other, size_t m, size_t k,
                         size_t n, bool gathered)
{
    enum { M = 115, LD = 512, N = 3 };
    static float x[M * LD], room[M * (LD + 64)], got[2][M * N * GM_PANEL];
    static uint16_t rounded[M * LD], panels[N * LD * GM_PANEL];
    static uint32_t row[M];
    for (size_t t = 0; t < m * LD; t++) x[t] = t % LD < k ? a[t % MOST] : 0.0f;
    for (size_t r = 0; r < m; r++) row[r] = (uint32_t)(m - 1 - r);
    plain->to_bf16(x, m * LD, rounded);
    for (size_t t = 0; t < (size_t)N * LD * GM_PANEL; t++) panels[t] = halves[t % MOST];
    fill_bytes(k, n);
    for (size_t kind = 0; kind < 2; kind++) {
        for (size_t i = 0; i < 2; i++) {
            const gm_kernels *kernels = i ? other : plain;
            const gm_kernel_product *product = kind ? &kernels->i8 : &kernels->bf16;
            size_t ld;
            const void *rows = product->gather(rounded, LD, gathered ? row : NULL, m, k, room, &ld);
            product->gemm(rows, ld, m, kind ? (const void *)whole : panels, k, n, got[i],
                          n * GM_PANEL, gathered);
        }
        same(kind ? "i8.gemm" : "bf16.gemm", other, k, got[0], got[1], m * n * GM_PANEL);
    }
}

static void many_products(const gm_kernels *plain, const gm_kernels *other)
{
    compare_many(plain, other, 98, 300, 3, false);
    compare_many(plain, other, 115, 512, 1, true);
}

/* The larger of two zeros has the sign that the compiler gives it; nothing reads the sign. */
static void same_top(const char *what, const gm_kernels *other, size_t size, float x, float y)
{
    same(what, other, size, &(float){x + 0.0f}, &(float){y + 0.0f}, 1); /* -0 becomes 0 */
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
        plain->layer_norm(a, b, b + n, n, 1e-5f, one);
        other->layer_norm(a, b, b + n, n, 1e-5f, two);
        same("layer_norm", other, n, one, two, n);
        plain->exp_shifted(a, 0.5f, n, one);
        other->exp_shifted(a, 0.5f, n, two);
        same("exp_shifted", other, n, one, two, n);
        x = plain->exp_sum(a, n, &top_x), y = other->exp_sum(a, n, &top_y);
        same("exp_sum", other, n, &x, &y, 1);
        same_top("exp_sum's top", other, n, top_x, top_y);
        memcpy(one, a, 2 * n * sizeof *a), memcpy(two, a, 2 * n * sizeof *a);
        plain->rotate(one, b, b + n, n);
        other->rotate(two, b, b + n, n);
        same("rotate", other, n, one, two, 2 * n);
        uint16_t half[2][1001] = {{0}};
        plain->to_bf16(a, n, half[0]);
        other->to_bf16(a, n, half[1]);
        same_halves("to_bf16", other, n, half[0], half[1], n + 1); /* nothing after is touched */
    }
}

static void padded_rows(const gm_kernels *plain, const gm_kernels *other)
{
    for (size_t n = GM_PANEL; n <= 20 * GM_PANEL; n += GM_PANEL) {
        memcpy(one, a, n * sizeof *a), memcpy(two, a, n * sizeof *a);
        plain->add(one, b, n), other->add(two, b, n);
        same("add", other, n, one, two, n);
        plain->add_scaled(one, 0.3f, b, n), other->add_scaled(two, 0.3f, b, n);
        same("add_scaled", other, n, one, two, n);
        plain->merge(one, 0.7f, b, n), other->merge(two, 0.7f, b, n);
        same("merge", other, n, one, two, n);
    }
    for (size_t pairs = 1; pairs <= 4; pairs++) { /* 7 rows, apart in both arrays */
        uint16_t half[2][7 * 70] = {{0}};
        memset(one, 0, sizeof one), memset(two, 0, sizeof two);
        plain->swiglu(a, 130, 7, pairs, one, 65, false);
        other->swiglu(a, 130, 7, pairs, two, 65, false);
        same("swiglu", other, pairs, one, two, 7 * 65);
        plain->swiglu(a, 130, 7, pairs, half[0], 65, true);
        other->swiglu(a, 130, 7, pairs, half[1], 65, true);
        same_halves("swiglu", other, pairs, half[0], half[1], 7 * 65);
        plain->geglu(a, 130, 7, pairs, one, 65, 0), other->geglu(a, 130, 7, pairs, two, 65, 0);
        same("geglu", other, pairs, one, two, 7 * 65);
        plain->swiglu_clamped(a, 130, 7, pairs, 0.75f, 1.702f, one, 65, false);
        other->swiglu_clamped(a, 130, 7, pairs, 0.75f, 1.702f, two, 65, false);
        same("swiglu_clamped", other, pairs, one, two, 7 * 65);
        plain->swiglu_clamped(a, 130, 7, pairs, 0.75f, 1.702f, half[0], 65, true);
        other->swiglu_clamped(a, 130, 7, pairs, 0.75f, 1.702f, half[1], 65, true);
        same_halves("swiglu_clamped", other, pairs, half[0], half[1], 7 * 65);
        plain->relu_squared(a, 130, 7, pairs, one, 65, false);
        other->relu_squared(a, 130, 7, pairs, two, 65, false);
        same("relu_squared", other, pairs, one, two, 7 * 65);
        plain->relu_squared(a, 130, 7, pairs, half[0], 65, true);
        other->relu_squared(a, 130, 7, pairs, half[1], 65, true);
        same_halves("relu_squared", other, pairs, half[0], half[1], 7 * 65);
    }
}

/* Two tokens of layers without keys, of n channels, and of a head of some width. */
static void delta_heads(const gm_kernels *plain, const gm_kernels *other)
{
    static const size_t widths[] = {1, 2, 6, 15, 16, 17, 31, 33, 48, 64, 70};
    for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++) {
        const size_t n = widths[i], depth = widths[(i + 4) % 11], taps = 2 + i % 4;
        const size_t floats = gm_round_up(n, GM_PANEL) * depth;
        memcpy(one, a, 8 * n * sizeof *a), memcpy(two, a, 8 * n * sizeof *a);
        for (size_t t = 0; t < 2; t++) {
            plain->convolve(one, n, b, taps, t ? a : NULL, one + n + 1, n, t % (taps - 1));
            other->convolve(two, n, b, taps, t ? a : NULL, two + n + 1, n, t % (taps - 1));
            plain->convolve_gated(one, a, b, n, b, taps, one + n + 1, n, t % (taps - 1));
            other->convolve_gated(two, a, b, n, b, taps, two + n + 1, n, t % (taps - 1));
        }
        same("convolve", other, n, one, two, 8 * n);
        same("convolve_gated", other, n, one, two, 8 * n);
        memcpy(one, a, n * sizeof *a), memcpy(two, a, n * sizeof *a);
        plain->unit(one, n, 1e-6f, 0.25f), other->unit(two, n, 1e-6f, 0.25f);
        same("unit", other, n, one, two, n);
        plain->gate(one, b, n), other->gate(two, b, n), same("gate", other, n, one, two, n);
        plain->cap(one, n, 3.0f), other->cap(two, n, 3.0f), same("cap", other, n, one, two, n);
        plain->norm_gated(a, b, b + n, n, 0.1f, one), other->norm_gated(a, b, b + n, n, 0.1f, two);
        same("norm_gated", other, n, one, two, n);
        memcpy(one, a, (floats + n) * sizeof *a), memcpy(two, a, (floats + n) * sizeof *a);
        for (size_t t = 0; t < 4; t++) { /* each goes on with the other's state */
            plain->delta(one, depth, b, b + depth, one + floats, n, b + 2 * depth, t % 2, 0.3f);
            other->delta(two, depth, b, b + depth, two + floats, n, b + 2 * depth, t % 2, 0.3f);
            same(t % 2 ? "delta of each" : "delta", other, n, one, two, floats + n);
            plain->scan(one, depth, b, b + depth, one + floats, n, 0.875f, 0.3f, 0.7f);
            other->scan(two, depth, b, b + depth, two + floats, n, 0.875f, 0.3f, 0.7f);
            same("scan", other, n, one, two, floats + n);
        }
        plain->gated_norm(one, b, b + n, n, 1e-6f, one + n);
        other->gated_norm(two, b, b + n, n, 1e-6f, two + n);
        same("gated_norm", other, n, one, two, 2 * n);
    }
}

static void blocks_of_keys(const gm_kernels *plain, const gm_kernels *other)
{
    float top[2] = {-INFINITY, -INFINITY}, total[2] = {0};
    for (size_t i = 0; i < 400; i++) {
        const size_t n = i % 32 + 1;
        const bool bf16 = i % 2;
        const float *score = a + i * 32;
        uint16_t half[2][32];
        float x =
            plain->attend(score, n, 0.125f, bf16 ? (void *)half[0] : one, bf16, &top[0], &total[0]);
        float y =
            other->attend(score, n, 0.125f, bf16 ? (void *)half[1] : two, bf16, &top[1], &total[1]);
        if (bf16)
            same_halves("attend", other, n, half[0], half[1], 32);
        else
            same("attend", other, n, one, two, 32);
        same("attend's factor", other, n, &x, &y, 1);
        same_top("attend's top", other, n, top[0], top[1]);
        same("attend's total", other, n, &total[0], &total[1], 1);
    }
}

static void special_row(const gm_kernels *plain, const gm_kernels *other, const float *x,
                        const float *y, size_t n)
{
    float top[2] = {-INFINITY, -INFINITY}, total[2] = {0}, score[2][32];
    plain->norm(y, x, n, 1e-5f, one);
    other->norm(y, x, n, 1e-5f, two);
    same("norm", other, n, one, two, n);
    plain->layer_norm(y, x, y, n, 1e-5f, one);
    other->layer_norm(y, x, y, n, 1e-5f, two);
    same("layer_norm", other, n, one, two, n);
    float a_sum = plain->exp_sum(y, n, &top[0]), b_sum = other->exp_sum(y, n, &top[1]);
    same("exp_sum", other, n, &a_sum, &b_sum, 1);
    same_top("exp_sum's top", other, n, top[0], top[1]);
    top[0] = top[1] = -INFINITY;
    const size_t seen = n < 32 ? n : 32;
    float a_factor = plain->attend(y, seen, 0.5f, score[0], false, &top[0], &total[0]);
    float b_factor = other->attend(y, seen, 0.5f, score[1], false, &top[1], &total[1]);
    same("attend", other, n, score[0], score[1], 32);
    same("attend's factor", other, n, &a_factor, &b_factor, 1);
    same_top("attend's top", other, n, top[0], top[1]);
    same("attend's total", other, n, &total[0], &total[1], 1);
    memcpy(one, x, 32 * sizeof *x), memcpy(two, x, 32 * sizeof *x);
    plain->merge(one, 0.5f, y, 32), other->merge(two, 0.5f, y, 32);
    plain->add_scaled(one, 0.5f, y, 32), other->add_scaled(two, 0.5f, y, 32);
    plain->add(one, y, 32), other->add(two, y, 32);
    same("add, add_scaled and merge", other, n, one, two, 32);
    plain->swiglu(y, 32, 1, 1, one, 16, false), other->swiglu(y, 32, 1, 1, two, 16, false);
    same("swiglu", other, n, one, two, GM_PANEL);
    plain->swiglu_clamped(y, 32, 1, 1, 7, 1.702f, one, 16, false);
    other->swiglu_clamped(y, 32, 1, 1, 7, 1.702f, two, 16, false);
    same("swiglu_clamped", other, n, one, two, GM_PANEL);
    memcpy(one, x, 32 * sizeof *x), memcpy(two, x, 32 * sizeof *x);
    plain->rotate(one, y, y + 7, n / 2), other->rotate(two, y, y + 7, n / 2);
    plain->cap(one, n, 2.0f), other->cap(two, n, 2.0f), same("cap", other, n, one, two, n);
}

/* Every loop on values that are not finite or nearly so: what a bad row meets. */
static void special_values(const gm_kernels *plain, const gm_kernels *other)
{
    static const float x[64] = {0,        -0.0f,  INFINITY, -INFINITY, NAN,   88.37f, 88.38f, -87,
                                -87.001f, 1e-40f, 3.4e38f,  -3.4e38f,  1e38f, 20,     -20,    1};
    static float y[64];
    for (size_t i = 0; i < 64; i++) y[i] = x[(i * 5 + 3) % 16]; /* other pairs in every place */
    plain->exp_shifted(x, 0, 16, one);
    other->exp_shifted(x, 0, 16, two);
    same("exp", other, 16, one, two, 16);
    CHECK(one[0] == 1 && one[1] == 1 && isinf(one[2]) && one[3] == 0 && isnan(one[4]));
    CHECK(one[7] > 0 && one[8] == 0 && one[9] == 1);
    uint16_t half[2][16];
    plain->to_bf16(x, 16, half[0]);
    other->to_bf16(x, 16, half[1]);
    same_halves("to_bf16", other, 16, half[0], half[1], 16);
    CHECK(isinf(one[2]) && isnan(one[4]) && isinf(one[10]));
    for (size_t n = 1; n <= 33; n++)
        for (size_t i = 0; i < 16; i++) special_row(plain, other, x, y + i, n);
}

/* Each kind of this processor against the one before it, the first against plain C: equal bits are
 * equal all along, and plain C, by far the slowest, computes once. */
static void every_kind(compare *check)
{
    static const double scales[] = {1.0, 30.0, 1e-18};
    const gm_kernels *before = &gm_kernels_portable;
    for (size_t kind = 0; gm_kernels_at(kind); kind++) {
        const char *name = gm_kernels_at(kind)->name;
        const gm_kernels *other;
        if (gm_kernels_at(kind) == &gm_kernels_portable) continue;
        if (gm_kernels_find(&other, name, NULL) != GM_OK) {
            printf("not on this processor: %s\n", name);
            continue;
        }
        for (uint64_t i = 0; i < (test_small() ? 1 : 3); i++) { /* no address depends on it */
            fill(a, MOST, 2 * i, scales[i]);
            fill(b, MOST, 2 * i + 1, scales[i]);
            for (size_t j = 0; j < MOST; j++) { /* finite bf16 of any magnitude */
                uint32_t bits;
                memcpy(&bits, &b[j], sizeof bits);
                halves[j] = (uint16_t)(bits >> 16);
            }
            unsigned state = gm_denormals_flush();
            check(before, other);
            gm_denormals_restore(state);
        }
        before = other;
    }
    if (before == &gm_kernels_portable) TEST_SKIP("this processor has plain C only");
}

#define EVERY_KIND(check)           \
    static void check##_agree(void) \
    {                               \
        every_kind(check);          \
    }
EVERY_KIND(products)
EVERY_KIND(many_products)
EVERY_KIND(deep_products)
EVERY_KIND(rows_of_any_length)
EVERY_KIND(padded_rows)
EVERY_KIND(blocks_of_keys)
EVERY_KIND(delta_heads)
EVERY_KIND(special_values)

/* A function new in gm_kernels has no line in `members`, or is compared by no check. */
static void no_loop_is_left_out(void)
{
    compare *const checks[] = {products, rows_of_any_length, padded_rows, blocks_of_keys,
                               delta_heads};
    const size_t first = offsetof(gm_kernels, f32), slot = sizeof(gm_gemm *);
    if (test_small()) return; /* the same answer in every build */
    CHECK_INT((sizeof(gm_kernels) - first) / slot, N_MEMBERS);
    for (size_t i = 0; i < N_MEMBERS; i++) CHECK_INT(members[i].at, first + i * slot);
    for (size_t i = 0; i < N_MEMBERS; i++) members[i].compared = false;
    for (size_t i = 0; i < 5; i++) checks[i](&gm_kernels_portable, &gm_kernels_portable);
    for (size_t i = 0; i < N_MEMBERS; i++)
        if (!members[i].compared) TEST_FAILED_("no check compares '%s'", members[i].name);
}

/* The definition of products with weights of 8 bits: the bf16 product, which the goldens hold
 * against exact arithmetic, with the whole numbers or the bytes' values as weights, then times
 * the scale. */
static void eight_bits_are_bf16_of_their_values(void)
{
    enum { M = 5, K = 100, LD = 128, N = 2 * GM_PANEL };
    static uint16_t x[M * LD], panels[N * LD];
    static float got[M * N], want[M * N];
    const size_t panel_bytes = gm_panel_bytes(GM_I8, K);
    fill(a, M * LD, 3, 1.0);
    for (size_t i = 0; i < M * LD; i++) x[i] = i % LD < K ? gm_bf16_from_f32(a[i]) : 0;
    fill_bytes(K, 2);
    for (int fp8 = 0; fp8 < 2; fp8++) {
        const gm_kernel_product *of = fp8 ? &gm_kernels_portable.fp8 : &gm_kernels_portable.i8;
        for (size_t n = 0; n < N; n++)
            for (size_t k = 0; k < LD; k++) {
                const size_t at = n / GM_PANEL * panel_bytes + k * GM_PANEL + n % GM_PANEL;
                panels[gm_panel_index(GM_BF16, LD, n, k)] =
                    gm_bf16_from_f32(fp8 ? gm_fp8_values[eights[at]] : (float)whole[at]);
            }
        unsigned state = gm_denormals_flush();
        multiply(of, x, LD, NULL, M, fp8 ? (const void *)eights : whole, K, 2, got, N);
        multiply(&gm_kernels_portable.bf16, x, LD, NULL, M, panels, K, 2, want, N);
        gm_denormals_restore(state);
        for (size_t i = 0; i < M * N; i++) {
            float scale;
            const int8_t *panel = whole + i % N / GM_PANEL * panel_bytes;
            memcpy(&scale, panel + LD * GM_PANEL + i % GM_PANEL * sizeof scale, sizeof scale);
            want[i] *= scale;
        }
        same(fp8 ? "fp8.gemm" : "i8.gemm", &gm_kernels_portable, K, want, got, M * N);
    }
}

TESTS(TEST(products_agree), TEST(many_products_agree), TEST(deep_products_agree),
      TEST(eight_bits_are_bf16_of_their_values), TEST(rows_of_any_length_agree),
      TEST(padded_rows_agree), TEST(blocks_of_keys_agree), TEST(delta_heads_agree),
      TEST(special_values_agree), TEST(no_loop_is_left_out))
