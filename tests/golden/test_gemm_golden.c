/* test_gemm_golden.c - bf16 products of every kind of kernel against exact rational
 * arithmetic, bit for bit (tests/golden/README.md). */
#include "base/half.h"
#include "engine/checkpoint.h"
#include "engine/cpu/kernels.h"
#include "engine/cpu/pack.h"
#include "engine/team.h"
#include "tests/check.h"

static const char *const cases[] = {"one-block",  "short", "tail",      "odd-sizes",
                                    "cancelling", "tiny",  "wide-range"};

static const gm_tensor *part(const gm_checkpoint *file, const char *name, const char *suffix)
{
    char full[64];
    snprintf(full, sizeof full, "%s.%s", name, suffix);
    const gm_tensor *tensor = gm_checkpoint_find(file, full);
    if (tensor == NULL) {
        TEST_FAILED_("the golden has no '%s'", full);
        exit(1);
    }
    return tensor;
}

static void check_case(const gm_kernels *kernels, const gm_checkpoint *file, const char *name)
{
    gm_error err = {0};
    const gm_tensor *a = part(file, name, "a"), *w = part(file, name, "w");
    const gm_tensor *want = part(file, name, "out"), *rounded = part(file, name, "a_bf16");
    const size_t m = a->dim[0], k = a->dim[1], n = w->dim[0];
    gm_buf x = gm_buf_rows(GM_BF16, 1, m, k), panels = gm_buf_panels(GM_BF16, 1, n, k);
    gm_buf out = gm_buf_rows(GM_F32, 1, m, n);
    CHECK_OK(gm_buf_create(&x, "x", &err), err);
    CHECK_OK(gm_buf_create(&panels, "w", &err), err);
    CHECK_OK(gm_buf_create(&out, "out", &err), err);
    float *weights = gm_alloc2(n, k, sizeof *weights), *row = gm_alloc(k, sizeof *row);
    float *room = gm_alloc(gm_room_floats(m, k), sizeof *room);
    size_t ld;
    gm_tensor_to_f32(w, 0, n * k, weights);
    for (size_t i = 0; i < n; i += GM_PANEL)
        gm_panel_store(&panels, 0, i, n - i < GM_PANEL ? n - i : GM_PANEL, weights + i * k);

    unsigned state = gm_denormals_flush();
    for (size_t i = 0; i < m; i++) {
        uint16_t *to = (uint16_t *)x.address + i * x.stride;
        gm_tensor_to_f32(a, i * k, k, row);
        kernels->to_bf16(row, k, to);
        CHECK_BYTES(to, (const uint16_t *)rounded->data + i * k, k * sizeof *to);
    }
    const void *rows = kernels->bf16.gather(x.address, x.stride, NULL, m, k, room, &ld);
    kernels->bf16.gemm(rows, ld, m, gm_panel_at(&panels, 0, 0), k,
                       gm_round_up(n, GM_PANEL) / GM_PANEL, out.address, out.stride, false);
    gm_denormals_restore(state);

    for (size_t i = 0; i < m; i++)
        CHECK_BYTES((float *)out.address + i * out.stride, (const float *)want->data + i * n,
                    n * sizeof(float));
    gm_free(weights);
    gm_free(row);
    gm_free(room);
    gm_buf_free(&x);
    gm_buf_free(&panels);
    gm_buf_free(&out);
}

static void check_kernels(const char *name)
{
    const gm_kernels *kernels;
    gm_error err = {0};
    gm_checkpoint *file = NULL;
    if (gm_kernels_find(&kernels, name, &err) == GM_EABSENT) TEST_SKIP("not on this processor");
    CHECK_OK(gm_checkpoint_open(&file, TEST_DATA "/golden/gemm/bf16.safetensors", &err), err);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) check_case(kernels, file, cases[i]);
    gm_checkpoint_close(file);
}

static void portable_is_exact(void)
{
    check_kernels("portable");
}

static void neon_is_exact(void)
{
    check_kernels("neon");
}

static void avx2_is_exact(void)
{
    check_kernels("avx2");
}

static void avx512f_is_exact(void)
{
    check_kernels("avx512f");
}

static void amx_is_exact(void)
{
    check_kernels("amx");
}

TESTS(TEST(portable_is_exact), TEST(neon_is_exact), TEST(avx2_is_exact), TEST(avx512f_is_exact),
      TEST(amx_is_exact))
