/* test_pack.c - weights that are bf16 already go into panels as they would by way of f32; int8. */
#include "engine/cpu/pack.h"

#include "base/half.h"
#include "base/rng.h"
#include "tests/check.h"

enum { MAX_ROWS = 40, MAX_COLS = 130 };

static void pack(gm_buf *plain, gm_buf *fast, size_t rows, size_t cols)
{
    static unsigned char bytes[MAX_ROWS * MAX_COLS * 2 + 1];
    static float value[MAX_ROWS * MAX_COLS];
    unsigned char *at = bytes + 1; /* not aligned, as in a file */
    for (size_t i = 0; i < rows * cols; i++) {
        uint16_t word = gm_bf16_from_f32((float)i * 0.37f - 11.0f);
        value[i] = gm_bf16_to_f32(word);
        memcpy(at + 2 * i, &word, sizeof word);
    }
    for (size_t item = 0; item < plain->count; item++)
        for (size_t r = 0; r < rows; r += GM_PANEL) {
            size_t n = rows - r < GM_PANEL ? rows - r : GM_PANEL;
            gm_panel_store(plain, item, r, n, value + r * cols);
            gm_panel_store_bf16(fast, item, r, n, at + 2 * r * cols);
        }
}

static void bf16_rows_are_packed_as_floats_are(void)
{
    static const size_t rows[] = {1, 15, 16, 17, 32, 40}, cols[] = {1, 2, 31, 32, 33, 64, 127, 130};
    gm_error err = {0};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (size_t j = 0; j < sizeof cols / sizeof *cols; j++) {
            gm_buf plain = gm_buf_panels(GM_BF16, 2, rows[i], cols[j]), fast = plain;
            CHECK_OK(gm_buf_create(&plain, "panels", &err), err);
            CHECK_OK(gm_buf_create(&fast, "panels", &err), err);
            pack(&plain, &fast, rows[i], cols[j]);
            CHECK_BYTES(fast.address, plain.address, gm_buf_bytes(&plain));
            gm_buf_free(&plain);
            gm_buf_free(&fast);
        }
}

/* Whole numbers within half a step of the weight; the largest is 127; an output of zeros
 * stays zero, one that is not finite has no scale; what no output has is zero. */
static void int8_is_within_half_a_step(void)
{
    enum { K = 45, N = 19, DEPTH = 64 };
    static float from[N * K];
    gm_rng rng = gm_rng_make(5, 9);
    gm_error err = {0};
    gm_buf buf = gm_buf_panels(GM_I8, 2, N, K);
    CHECK_INT(buf.item_bytes, 2 * (DEPTH * GM_PANEL + 64));
    CHECK_OK(gm_buf_create(&buf, "panels", &err), err);
    for (size_t i = 0; i < N * K; i++)
        from[i] = (float)gm_rng_normal(&rng) * (i % 2 ? 1e-3f : 1e3f);
    for (size_t k = 0; k < K; k++) from[3 * K + k] = k == 5 ? 1e-37f : 0.0f; /* counts as zero */
    from[17 * K + 4] = INFINITY;
    for (size_t n = 0; n < N; n += GM_PANEL)
        gm_panel_store(&buf, 1, n, N - n < GM_PANEL ? N - n : GM_PANEL, from + n * K);
    for (size_t n = 0; n < 2 * GM_PANEL; n++) {
        const int8_t *panel = gm_panel_at(&buf, 1, n / GM_PANEL);
        const float scale = ((const float *)(const void *)(panel + DEPTH * GM_PANEL))[n % GM_PANEL];
        int most = 0;
        if (n == 17) CHECK(isnan(scale));
        if (n == 3 || n >= N) CHECK(scale == 0.0f);
        for (size_t k = 0; k < DEPTH; k++) {
            const int q = panel[k * GM_PANEL + n % GM_PANEL];
            if (k >= K || n >= N || n == 3 || n == 17) CHECK_INT(q, 0);
            if (k >= K || n >= N || n == 3 || n == 17) continue;
            CHECK_NEAR((double)q * (double)scale, from[n * K + k], 0.5001 * (double)scale);
            most = abs(q) > most ? abs(q) : most;
        }
        if (n < N && n != 3 && n != 17) CHECK_INT(most, 127);
    }
    const int8_t *first = gm_panel_at(&buf, 0, 0);
    for (size_t i = 0; i < buf.item_bytes; i++) CHECK_INT(first[i], 0); /* another matrix */
    gm_buf_free(&buf);
}

/* A weight is the nearest value of the form times the scale: half of the last place of three
 * fractional bits, or of the smallest denormal; the largest is 448. */
static void fp8_is_within_half_a_place(void)
{
    enum { K = 45, N = 19, DEPTH = 64 };
    static float from[N * K];
    gm_rng rng = gm_rng_make(5, 10);
    gm_error err = {0};
    gm_buf buf = gm_buf_panels(GM_FP8, 1, N, K);
    CHECK_INT(buf.item_bytes, 2 * (DEPTH * GM_PANEL + 64));
    CHECK_OK(gm_buf_create(&buf, "panels", &err), err);
    for (size_t i = 0; i < N * K; i++)
        from[i] = (float)gm_rng_normal(&rng) * (i % 2 ? 1e-3f : 1.0f);
    from[17 * K + 4] = NAN;
    for (size_t n = 0; n < N; n += GM_PANEL)
        gm_panel_store(&buf, 0, n, N - n < GM_PANEL ? N - n : GM_PANEL, from + n * K);
    for (size_t n = 0; n < N; n++) {
        const uint8_t *panel = gm_panel_at(&buf, 0, n / GM_PANEL);
        const float scale = ((const float *)(const void *)(panel + DEPTH * GM_PANEL))[n % GM_PANEL];
        float most = 0.0f;
        if (n == 17) CHECK(isnan(scale));
        for (size_t k = 0; k < K; k++) {
            const float value = gm_fp8_values[panel[k * GM_PANEL + n % GM_PANEL]];
            const double want = (double)from[n * K + k] / (double)scale;
            if (n == 17) CHECK(value == 0.0f);
            if (n == 17) continue;
            CHECK_NEAR(value, want, fmax(0x1.002p-4 * fabs(want), 0x1.002p-10));
            most = fmaxf(most, fabsf(value));
        }
        if (n != 17) CHECK_NEAR(most, 448.0f, 0);
    }
    gm_buf_free(&buf);
}

TESTS(TEST(int8_is_within_half_a_step), TEST(fp8_is_within_half_a_place),
      TEST(bf16_rows_are_packed_as_floats_are))
