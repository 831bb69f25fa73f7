/* test_stored.c - engine/stored.c and slice.c: numbers of MXFP4 and of F8_E4M3 under their scales
 * against their definitions, columns and rows that take turns, and shapes that are none.
 */
#include "engine/stored.h"

#include "base/half.h"
#include "base/rng.h"
#include "engine/checkpoint.h"
#include "engine/cpu/pack.h"
#include "engine/engine.h"
#include "tests/int4_pack.h"
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

/* ---- F8_E4M3 ---- */

enum { LINES = 19, ACROSS = 33, BLOCK_ROWS = 5, BLOCK_COLS = 8, PER_ROW = 5, BEFORE = 3 };

/* Element (r, c) of a part of a tensor that begins with its row 3, by definition. */
static float widened(uint8_t (*code)[ACROSS], const float *scale, size_t r, size_t c)
{
    const uint8_t byte = code[r][c];
    const int exponent = byte >> 3 & 15, fraction = byte & 7;
    const double size = exponent ? ldexp(8 + fraction, exponent - 10) : ldexp(fraction, -9);
    const double number = (byte & 127) == 127 ? (double)NAN : byte & 128 ? -size : size;
    return (float)(number * (double)scale[(BEFORE + r) / BLOCK_ROWS * PER_ROW + c / BLOCK_COLS]);
}

static void check_taken(const gm_tensor *t, size_t i, float want)
{
    float got;
    gm_tensor_to_f32(t, i, 1, &got);
    if (t->dtype == GM_BF16) want = gm_bf16_to_f32(gm_bf16_from_f32(want));
    if (isnan(want) ? !isnan(got) : !(got == want && !signbit(got) == !signbit(want)))
        TEST_FAILED_("element %zu as %s is %g, expected %g", i, gm_dtype_name(t->dtype),
                     (double)got, (double)want);
}

/* Every byte, blocks cut at all four sides, some rows of them, as rows and as columns. */
static void fp8_is_its_number_times_its_scale(void)
{
    static uint8_t code[LINES][ACROSS];
    float scale[5 * PER_ROW], room[LINES * ACROSS];
    gm_rng rng = gm_rng_make(5, 0);
    for (size_t i = 0; i < (size_t)LINES * ACROSS; i++) ((uint8_t *)code)[i] = (uint8_t)(i * 37);
    for (size_t i = 0; i < 5 * PER_ROW; i++) scale[i] = (float)(0.01 + gm_rng_unit(&rng));
    scale[7] = 0x1p-100f, scale[8] = 0x1p100f, scale[12] = 0.0f;
    for (int i = 0; i < 8; i++) {
        const size_t every = i & 1 ? 2 : 1, first = i & 1;
        const bool columns = i & 4;
        const gm_stored_rows from = {.stored = columns ? GM_STORED_COLUMNS : GM_STORED_ROWS,
                                     .dtype = GM_FP8,
                                     .data = code,
                                     .grid = {.scale = scale,
                                              .rows = BLOCK_ROWS,
                                              .cols = BLOCK_COLS,
                                              .per_row = PER_ROW,
                                              .first = BEFORE},
                                     .as = i & 2 ? GM_BF16 : GM_F32,
                                     .rows = columns ? ACROSS : LINES,
                                     .cols = columns ? LINES : ACROSS};
        const size_t n = (from.rows - first) / every;
        const gm_tensor t = gm_stored_take(&from, first, every, n, room);
        CHECK(t.dtype == from.as && t.dim[0] == n && t.dim[1] == from.cols);
        for (size_t r = 0; r < n; r++)
            for (size_t k = 0; k < from.cols; k++) {
                const size_t at = first + r * every;
                check_taken(&t, r * from.cols + k,
                            columns ? widened(code, scale, k, at) : widened(code, scale, at, k));
            }
    }
}

/* Weights whose rows reach 448 times their scale, as who quantises row by row leaves them, keep
 * every code under fp8 numerics. */
static void rows_of_fp8_keep_their_codes(void)
{
    gm_rng rng = gm_rng_make(6, 0);
    for (int i = 0; i < 1000; i++) {
        uint8_t code[64], got[64];
        float value[64];
        const float scale = ldexpf((float)(0.5 + gm_rng_unit(&rng)), -i % 40);
        for (size_t k = 0; k < 64; k++) {
            code[k] = (uint8_t)gm_rng_below(&rng, 256);
            if ((code[k] & 127) == 127) code[k] ^= 1; /* to 448 */
            if (k == 20) code[k] = i % 2 ? 0xFE : 0x7E;
            value[k] = gm_fp8_values[code[k]] * scale;
        }
        (void)gm_pack_row(GM_FP8, value, 64, 1, got);
        CHECK(memcmp(code, got, sizeof code) == 0);
    }
}

/* ---- four bits ---- */

/* Codes of one word in each packing, by hand: 0x76543210 holds the codes 0 to 7 in order, of which
 * AWQ's outputs are numbers 0 4 1 5 2 6 3 7. Group 0 has zero 8 and scale 1/2, group 1 zero 3 and
 * scale 2. */
static void words_of_four_bits_are_widened(void)
{
    static const uint32_t rows[] = {0x76543210, 0xfedcba98}; /* one output of 16 inputs */
    static const uint32_t gptq[] = {0x76543210, 0x11111111, 0xfedcba98, 0x22222222};
    static const uint32_t awq[] = {0x76543210, 0xfedcba98}; /* two inputs of eight outputs */
    static const float scale[] = {0.5f, 2.0f}, zero[] = {8.0f, 3.0f};
    static const float both[] = {0.5f, 1, 2, 4}, zeros[] = {8, 1, 3, 2};
    static const float ones[8] = {1, 1, 1, 1, 1, 1, 1, 1}, none[8] = {0};
    static const float awq_want[] = {0, 4, 1, 5, 2, 6, 3, 7};
    float got[16];
    gm_stored_rows from = {.dtype = GM_I32, .data = rows, .as = GM_F32, .rows = 1, .cols = 16};
    from.grid = (gm_grid){.scale = scale,
                          .zero = zero,
                          .cols = 8,
                          .per_row = 2,
                          .per_col = 1,
                          .packing = GM_PACKING_ROWS,
                          .outputs = 1,
                          .inputs = 16};
    (void)gm_stored_take(&from, 0, 1, 1, got);
    for (int k = 0; k < 16; k++) CHECK_NEAR(got[k], k < 8 ? 0.5 * (k - 8) : 2.0 * (k - 3), 0);

    from.data = gptq, from.rows = 2;
    from.grid.scale = both, from.grid.zero = zeros;
    from.grid.packing = GM_PACKING_GPTQ, from.grid.outputs = 2;
    from.grid.per_row = 1, from.grid.per_col = 2;
    (void)gm_stored_take(&from, 1, 1, 1, got); /* output 1: codes 1 and 2, zeros 1 and 2 */
    for (int k = 0; k < 16; k++) CHECK_NEAR(got[k], 0.0, 0);
    (void)gm_stored_take(&from, 0, 1, 1, got);
    for (int k = 0; k < 16; k++) CHECK_NEAR(got[k], k < 8 ? 0.5 * (k - 8) : 2.0 * (k - 3), 0);

    from = (gm_stored_rows){.stored = GM_STORED_COLUMNS, /* rows are inputs */
                            .dtype = GM_I32,
                            .data = awq,
                            .as = GM_F32,
                            .rows = 2,
                            .cols = 8,
                            .grid = {.scale = ones,
                                     .zero = none,
                                     .cols = 2,
                                     .per_row = 1,
                                     .per_col = 8,
                                     .packing = GM_PACKING_AWQ,
                                     .outputs = 8,
                                     .inputs = 2}};
    (void)gm_stored_take(&from, 0, 1, 2, got);
    for (int o = 0; o < 8; o++) {
        CHECK_NEAR(got[o], awq_want[o], 0);
        CHECK_NEAR(got[8 + o], 8 + awq_want[o], 0);
    }
}

/* Some rows of a part, as they lie or as columns, of a tensor in each packing. */
static void parts_of_packed_matrices_are_widened(void)
{
    enum { OUT = 32, IN = 48, GROUP = 24, FIRST = 8, N = 16 };
    static const gm_packing packings[] = {GM_PACKING_ROWS, GM_PACKING_GPTQ, GM_PACKING_AWQ};
    static float value[OUT * IN], scale[OUT * IN / GROUP], zero[OUT * IN / GROUP], room[OUT * IN];
    static uint8_t code[OUT * IN], zeros[OUT * IN / GROUP];
    static float scales[OUT * IN / GROUP];
    int4_matrix m = {OUT, IN, GROUP, code, zeros, scales, false};
    gm_rng rng = gm_rng_make(7, 0);
    for (size_t i = 0; i < (size_t)OUT * IN; i++) value[i] = (float)(gm_rng_unit(&rng) - 0.5);
    int4_quantise(&m, value, true);
    for (int i = 0; i < 12; i++) {
        const gm_packing packing = packings[i / 4];
        const bool columns = i & 1, by_rows = packing == GM_PACKING_ROWS;
        const size_t every = i & 2 ? 3 : 1;
        uint32_t words[OUT * IN / 8] = {0};
        int4_pack(&m, packing, words);
        for (size_t o = 0; o < OUT; o++)
            for (size_t g = 0; g < IN / GROUP; g++) {
                const size_t at = int4_scale_at(&m, packing, o, g), from = o * (IN / GROUP) + g;
                scale[at] = scales[from], zero[at] = zeros[from];
            }
        const gm_stored_rows from = {.stored = columns ? GM_STORED_COLUMNS : GM_STORED_ROWS,
                                     .dtype = GM_I32,
                                     .data = by_rows ? words + FIRST * IN / 8 : words,
                                     .grid = {.scale = scale,
                                              .zero = zero,
                                              .cols = GROUP,
                                              .per_row = by_rows ? IN / GROUP : 1,
                                              .per_col = by_rows ? 1 : OUT,
                                              .first = FIRST,
                                              .packing = packing,
                                              .outputs = OUT,
                                              .inputs = IN},
                                     .as = i & 2 ? GM_BF16 : GM_F32,
                                     .rows = columns ? IN : N,
                                     .cols = columns ? N : IN};
        const size_t n = (from.rows - 1) / every;
        const gm_tensor t = gm_stored_take(&from, 1, every, n, room);
        CHECK(t.dtype == from.as && t.dim[0] == n && t.dim[1] == from.cols);
        for (size_t r = 0; r < n; r++)
            for (size_t c = 0; c < from.cols; c++) {
                const size_t row = 1 + r * every, o = FIRST + (columns ? c : row);
                check_taken(&t, r * from.cols + c, int4_value(&m, o, columns ? row : c));
            }
    }
}

/* ---- shapes ---- */

static gm_slice grid_slice(size_t rows, size_t cols, gm_scale_blocks blocks)
{
    return (gm_slice){.name = "w", .rows = rows, .cols = cols, .blocks = blocks};
}

/* Scales of a whole tensor, whatever part of it the matrix is. */
static void scales_are_of_the_whole_tensor(void)
{
    const gm_scale_blocks blocks = {.suffix = "_scale_inv", .rows = 128, .cols = 64};
    gm_slice slice = grid_slice(576, 7168, blocks), scales = gm_slice_scales(&slice);
    CHECK_TEXT(scales.name, "w_scale_inv");
    CHECK(scales.rows == 5 && scales.cols == 112 && scales.stored == GM_STORED_GRID);
    slice = (gm_slice){.name = "w",
                       .rows = 512,
                       .cols = 128,
                       .tall = 1000,
                       .first = 256,
                       .stored = GM_STORED_COLUMNS,
                       .blocks = blocks};
    scales = gm_slice_scales(&slice);
    const gm_grid grid = gm_slice_grid(&slice);
    CHECK(scales.rows == 8 && scales.cols == 8);
    CHECK(grid.rows == 128 && grid.cols == 64 && grid.per_row == 8 && grid.first == 256);
    slice = grid_slice(9, 7, (gm_scale_blocks){.suffix = "_scale", .rows = 1});
    scales = gm_slice_scales(&slice);
    CHECK(scales.rows == 9 && scales.cols == 1 && gm_slice_grid(&slice).cols == 7);
    slice = grid_slice(9, 7, (gm_scale_blocks){.suffix = "_scale"});
    scales = gm_slice_scales(&slice);
    CHECK(scales.rows == 1 && scales.cols == 1 && gm_slice_grid(&slice).rows == 9);
}

/* Dimensions of one may be there or not. */
static void grids_have_any_rank(void)
{
    static const struct {
        size_t rows, cols;
        int rank;
        size_t dim[GM_MAX_RANK];
        bool fits;
    } cases[] = {
        {4, 1, 2, {4, 1}, true},    {4, 1, 1, {4}, true},     {1, 1, 0, {0}, true},
        {1, 1, 1, {1}, true},       {1, 1, 2, {1, 1}, true},  {2, 2, 2, {2, 2}, true},
        {2, 2, 3, {2, 2, 1}, true}, {4, 1, 2, {2, 2}, false}, {2, 2, 1, {4}, false},
        {1, 1, 1, {4}, false},      {4, 1, 1, {1}, false},    {2, 2, 3, {2, 2, 2}, false},
        {4, 1, 0, {0}, false},
    };
    static const float scale[8];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        gm_tensor out, t = {.name = "w", .rank = cases[i].rank, .data = scale, .file = "file"};
        const gm_slice slice = {
            .name = "w", .rows = cases[i].rows, .cols = cases[i].cols, .stored = GM_STORED_GRID};
        gm_error err = {0};
        memcpy(t.dim, cases[i].dim, sizeof t.dim);
        if (cases[i].fits)
            CHECK_OK(gm_slice_cut(&slice, &t, &out, &err), err);
        else
            CHECK_FAILS(gm_slice_cut(&slice, &t, &out, &err), err, GM_ESHAPE, "'w' is");
    }
}

static void the_longest_shape_is_shown_whole(void)
{
    const gm_slice slice = {.name = "w", .rows = 1, .cols = 1, .stored = GM_STORED_GRID};
    gm_tensor out, t = {.name = "w", .rank = GM_MAX_RANK, .file = "file"};
    gm_error err = {0};
    for (int i = 0; i < GM_MAX_RANK; i++) t.dim[i] = UINT64_MAX - (size_t)i;
    CHECK_FAILS(gm_slice_cut(&slice, &t, &out, &err), err, GM_ESHAPE,
                "18446744073709551615 x 18446744073709551614 x 18446744073709551613 x "
                "18446744073709551612 x 18446744073709551611, expected 1 x 1");
}

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

TESTS(TEST(mxfp4_is_as_specified), TEST(takes_rows_of_any_form),
      TEST(fp8_is_its_number_times_its_scale), TEST(rows_of_fp8_keep_their_codes),
      TEST(words_of_four_bits_are_widened), TEST(parts_of_packed_matrices_are_widened),
      TEST(scales_are_of_the_whole_tensor), TEST(grids_have_any_rank),
      TEST(the_longest_shape_is_shown_whole), TEST(slices_are_cut), TEST(bad_blocks_are_refused))
