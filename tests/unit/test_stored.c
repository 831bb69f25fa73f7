/* test_stored.c - engine/stored.c and slice.c: numbers of MXFP4 against their definition, columns
 * and rows that take turns, and shapes that are none.
 */
#include "engine/stored.h"

#include "base/half.h"
#include "engine/checkpoint.h"
#include "engine/engine.h"
#include "tests/model_copy.h"

#define TINY TEST_DATA "/golden/models/gptoss-tiny"

/* Every code under every scale, in the order low half, high half. */
static void mxfp4_is_as_specified(void)
{
    static const double e2m1[16] = {0, .5, 1, 1.5, 2, 3, 4, 6, -0., -.5, -1, -1.5, -2, -3, -4, -6};
    uint8_t data[16], scale;
    uint16_t got[GM_MX_BLOCK];
    const gm_stored_rows from = {
        .stored = GM_STORED_MXFP4, .data = data, .scales = &scale, .rows = 1, .cols = GM_MX_BLOCK};
    for (unsigned i = 0; i < 16; i++) data[i] = (uint8_t)(i | (15 - i) << 4);
    for (unsigned s = 0; s < 256; s++) {
        scale = (uint8_t)s;
        const gm_tensor t = gm_stored_take(&from, 0, 1, 1, got);
        CHECK(t.dtype == GM_BF16 && t.dim[1] == GM_MX_BLOCK && t.n_bytes == sizeof got);
        for (unsigned i = 0; i < GM_MX_BLOCK; i++) {
            const double code = e2m1[i % 2 ? 15 - i / 2 : i / 2], want = ldexp(code, (int)s - 127);
            const float is = gm_bf16_to_f32(got[i]);
            if (s == 255)
                CHECK(isnan(is));
            else if (fabs(want) >= 0x1p128)
                CHECK(isinf(is) && !signbit(is) == !signbit(want));
            else
                CHECK((double)is == want && !signbit(is) == !signbit(want));
        }
    }
}

static void takes_rows_of_any_form(void)
{
    const float rows[4][2] = {{0, 1}, {10, 11}, {20, 21}, {30, 31}};
    const float columns[2][4] = {{0, 10, 20, 30}, {1, 11, 21, 31}};
    const uint16_t half[2][4] = {{0, 10, 20, 30}, {1, 11, 21, 31}};
    float got[4];
    uint16_t small[4];
    gm_stored_rows from = {.dtype = GM_F32, .data = rows, .rows = 4, .cols = 2};
    const float want[] = {10, 11, 30, 31};
    (void)gm_stored_take(&from, 1, 2, 2, got);
    CHECK(memcmp(got, want, sizeof want) == 0);
    from.stored = GM_STORED_COLUMNS, from.data = columns;
    memset(got, 0, sizeof got);
    (void)gm_stored_take(&from, 1, 2, 2, got);
    CHECK(memcmp(got, want, sizeof want) == 0);
    from.dtype = GM_BF16, from.data = half;
    (void)gm_stored_take(&from, 2, 1, 2, small);
    CHECK(small[0] == 20 && small[1] == 21 && small[2] == 30 && small[3] == 31);
    CHECK_INT(gm_stored_bytes(GM_STORED_MXFP4, GM_U8, 3, 64), 96);
    CHECK_INT(gm_stored_bytes(GM_STORED_COLUMNS, GM_BF16, 3, 64), 384);
}

/* ---- shapes ---- */

static void slices_are_cut(void)
{
    static const uint8_t byte[3 * 4 * 2 * 16];
    gm_tensor blocks = {.name = "w_blocks",
                        .dtype = GM_U8,
                        .rank = 4,
                        .dim = {3, 4, 2, 16},
                        .data = byte,
                        .n_bytes = sizeof byte,
                        .file = "file"};
    const gm_slice up = {.name = "w_blocks",
                         .rows = 2,
                         .cols = 64,
                         .stack = 3,
                         .stack_rows = 4,
                         .item = 2,
                         .first = 1,
                         .every = 2,
                         .stored = GM_STORED_MXFP4};
    const gm_slice scales = gm_slice_scales(&up);
    gm_tensor t;
    gm_error err = {0};
    CHECK_OK(gm_slice_cut(&up, &blocks, &t, &err), err);
    CHECK(t.data == byte + 2 * 4 * 32 && t.n_bytes == 4 * 32); /* both roles' rows */
    CHECK_TEXT(scales.name, "w_scales");
    CHECK(scales.cols == 2 && scales.stored == GM_STORED_SCALES);
    const gm_tensor of_scales = {
        .dtype = GM_U8, .rank = 3, .dim = {3, 4, 2}, .data = byte, .n_bytes = 24, .file = "file"};
    CHECK_OK(gm_slice_cut(&scales, &of_scales, &t, &err), err);
    CHECK(t.data == byte + 16 && t.n_bytes == 8);
    blocks.dtype = GM_I8;
    CHECK_FAILS(gm_slice_cut(&up, &blocks, &t, &err), err, GM_EFORMAT, "I8, expected U8");
    blocks.dtype = GM_U8, blocks.rank = 3;
    CHECK_FAILS(gm_slice_cut(&up, &blocks, &t, &err), err, GM_ESHAPE, "rank 3, expected 4");
    blocks.rank = 4, blocks.dim[2] = 4, blocks.dim[3] = 8;
    CHECK_FAILS(gm_slice_cut(&up, &blocks, &t, &err), err, GM_ESHAPE,
                "'w_blocks' is 3 x 4 x 4 x 8, expected 3 x 4 x 2 x 16");
    CHECK(t.data == NULL);
}

/* One tensor of a whole checkpoint in another form: loading says which and what was expected. */
static void bad_blocks_are_refused(void)
{
    static const struct {
        const char *tensor, *name; /* NULL: keeps its name */
        gm_dtype dtype;
        int rank;
        size_t dim[GM_MAX_RANK];
        const char *part;
    } cases[] = {
        {"model.layers.1.mlp.experts.gate_up_proj_blocks",
         NULL,
         GM_U8,
         4,
         {7, 128, 2, 8},
         "is 7 x 128 x 2 x 8, expected 7 x 128 x 1 x 16"},
        {"model.layers.1.mlp.experts.down_proj_blocks",
         NULL,
         GM_U8,
         3,
         {7, 32, 32},
         "rank 3, expected 4"},
        {"model.layers.0.mlp.experts.down_proj_blocks",
         NULL,
         GM_I8,
         4,
         {7, 32, 2, 16},
         "dtype I8, expected U8"},
        {"model.layers.0.mlp.experts.gate_up_proj_scales",
         NULL,
         GM_U8,
         3,
         {7, 1, 128},
         "is 7 x 1 x 128, expected 7 x 128 x 1"},
        {"model.layers.2.mlp.experts.gate_up_proj_scales",
         "elsewhere",
         GM_U8,
         3,
         {7, 128, 1},
         "no tensor 'model.layers.2.mlp.experts.gate_up_proj_scales'"},
        {"model.layers.2.mlp.experts.gate_up_proj_bias",
         NULL,
         GM_BF16,
         2,
         {128, 7},
         "is 128 x 7, expected 7 x 128"},
        {"model.layers.2.self_attn.sinks", NULL, GM_BF16, 2, {2, 3}, "rank 2, expected 1"},
    };
    gm_checkpoint *c = NULL;
    gm_error err = {0};
    gm_tensor tensor[64];
    CHECK_OK(gm_checkpoint_open(&c, TINY, &err), err);
    const size_t n = gm_checkpoint_n(c);
    CHECK(n <= 64);
    copy_model("bad-blocks", TINY, "use_cache", "true");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        gm_model *model = NULL;
        for (size_t j = 0; j < n; j++) {
            tensor[j] = *gm_checkpoint_at(c, j);
            if (strcmp(tensor[j].name, cases[i].tensor) != 0) continue;
            if (cases[i].name) tensor[j].name = cases[i].name;
            tensor[j].dtype = cases[i].dtype, tensor[j].rank = cases[i].rank;
            memcpy(tensor[j].dim, cases[i].dim, sizeof tensor[j].dim);
        }
        (void)unlink("bad-blocks/model.safetensors");
        CHECK_OK(
            gm_safetensors_write("bad-blocks/model.safetensors", true, tensor, n, NULL, 0, &err),
            err);
        const gm_model_options options = {.headers_only = true};
        if (gm_model_open(&model, "bad-blocks", &options, &err) == GM_OK) {
            TEST_FAILED_("case %zu is taken", i);
            gm_model_close(model);
            continue;
        }
        CHECK_HAS(err.text, cases[i].part);
    }
    gm_checkpoint_close(c);
}

TESTS(TEST(mxfp4_is_as_specified), TEST(takes_rows_of_any_form), TEST(slices_are_cut),
      TEST(bad_blocks_are_refused))
