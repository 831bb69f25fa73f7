/* stored_copy.h - a model folder's projections stored as F8_E4M3 or in four bits with scales, and
 * the same numbers widened, which whoever reads either must compute the same from. */
#ifndef GM_STORED_COPY_H
#define GM_STORED_COPY_H

#include "base/half.h"
#include "engine/checkpoint.h"
#include "tests/engine_run.h"
#include "tests/int4_pack.h"
#include "tests/model_copy.h"

#include <math.h>

/* How: "quantization_config", what one scale is for (0: all), how the scales' tensor is called and
 * what it is of; in four bits how they are packed, and what they have of zeros. */
typedef struct stored_form {
    const char *config, *suffix;
    size_t rows, cols;
    gm_dtype scale;
    gm_packing packing;
    bool zeros;
    unsigned above;
    bool dealt; /* int4_pack.h */
} stored_form;

static const stored_form fp8_blocks = {"{\"quant_method\": \"fp8\", \"activation_scheme\": "
                                       "\"dynamic\", \"weight_block_size\": [5, 7]}",
                                       "_scale_inv",
                                       5,
                                       7,
                                       GM_F32,
                                       GM_PACKING_NONE,
                                       false,
                                       0,
                                       false};
#define FP8_COMPRESSED(strategy)                                                                   \
    "{\"quant_method\": \"compressed-tensors\", \"format\": \"float-quantized\", "                 \
    "\"config_groups\": {\"group_0\": {\"targets\": [\"Linear\"], \"weights\": {\"num_bits\": 8, " \
    "\"type\": \"float\", \"strategy\": \"" strategy "\", \"symmetric\": true}}}}"
static const stored_form fp8_rows = {
    .config = FP8_COMPRESSED("channel"), .suffix = "_scale", .rows = 1, .scale = GM_BF16};
static const stored_form fp8_tensor = {.config = FP8_COMPRESSED("tensor"), .suffix = "_scale"};
static const stored_form fp8_auto = {
    .config = "{\"quant_method\": \"fp8\", \"activation_scheme\": \"dynamic\"}",
    .suffix = "_scale"};
static const stored_form fp8_null = {
    .config = "{\"quant_method\": \"fp8\", \"weight_block_size\": null}", .suffix = "_scale_inv"};

#define INT4_COMPRESSED(what)                                                                      \
    "{\"quant_method\": \"compressed-tensors\", \"format\": \"pack-quantized\", "                  \
    "\"config_groups\": {\"group_0\": {\"targets\": [\"Linear\"], \"weights\": {\"num_bits\": 4, " \
    "\"type\": \"int\", " what "}}}}"
static const stored_form int4_groups = {
    .config = INT4_COMPRESSED("\"strategy\": \"group\", \"group_size\": 8, \"symmetric\": true"),
    .cols = 8,
    .scale = GM_BF16,
    .packing = GM_PACKING_ROWS};
static const stored_form int4_rows = {
    .config = INT4_COMPRESSED("\"strategy\": \"channel\", \"symmetric\": false"),
    .packing = GM_PACKING_ROWS,
    .zeros = true};
static const stored_form int4_gptq = {
    .config = "{\"quant_method\": \"gptq\", \"bits\": 4, \"group_size\": 8, \"desc_act\": false}",
    .cols = 8,
    .packing = GM_PACKING_GPTQ,
    .zeros = true,
    .above = 1};
static const stored_form int4_gptq_dealt = {
    .config = "{\"quant_method\": \"gptq\", \"bits\": 4, \"group_size\": 8, \"desc_act\": true}",
    .cols = 8,
    .packing = GM_PACKING_GPTQ,
    .zeros = true,
    .above = 1,
    .dealt = true};
static const stored_form int4_gptq_v2 = {
    .config = "{\"quant_method\": \"gptq\", \"bits\": 4, \"group_size\": -1, "
              "\"checkpoint_format\": \"gptq_v2\"}",
    .packing = GM_PACKING_GPTQ,
    .zeros = true};
static const stored_form int4_awq = {
    .config = "{\"quant_method\": \"awq\", \"bits\": 4, \"group_size\": 8, \"version\": \"gemm\", "
              "\"zero_point\": true}",
    .cols = 8,
    .scale = GM_BF16,
    .packing = GM_PACKING_AWQ,
    .zeros = true};

typedef struct stored_writer {
    gm_tensor fp8[1024], widened[512];
    size_t n, n_widened;
    void *kept[4096]; /* to free */
    size_t n_kept;
} stored_writer;

static inline void *stored_keep(stored_writer *w, size_t n, size_t size)
{
    CHECK(w->n_kept < sizeof w->kept / sizeof w->kept[0]);
    return w->kept[w->n_kept++] = gm_alloc(n, size);
}

/* Projections, but those of Gated DeltaNet's rates, which published checkpoints leave as they are.
 */
static inline bool stored_is_projection(const gm_tensor *t)
{
    static const char *const rates[] = {"in_proj_ba", "in_proj_b.", "in_proj_a."};
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++)
        if (strstr(t->name, rates[i])) return false;
    const bool mixtral =
        strstr(t->name, ".w1.") || strstr(t->name, ".w2.") || strstr(t->name, ".w3.");
    return t->rank == 2 && (mixtral || strstr(t->name, "_proj"));
}

/* One matrix: codes, scales that bring every block's largest number to 448, products of both. */
static inline void fp8_add(stored_writer *w, const gm_tensor *t, const stored_form *form,
                           gm_dtype as)
{
    const size_t n_rows = t->dim[0], n_cols = t->dim[1], n = n_rows * n_cols;
    const size_t rows = form->rows ? form->rows : n_rows, cols = form->cols ? form->cols : n_cols;
    const size_t down = (n_rows + rows - 1) / rows, across = (n_cols + cols - 1) / cols;
    uint8_t *code = stored_keep(w, n, 1);
    float *value = stored_keep(w, n, sizeof *value),
          *scale = stored_keep(w, down * across, sizeof *scale);
    uint16_t *small = stored_keep(w, n + down * across, sizeof *small);
    char *name = stored_keep(w, strlen(t->name) + 16, 1);
    gm_tensor_to_f32(t, 0, n, value);
    for (size_t i = 0; i < n; i++) {
        float *s = &scale[i / n_cols / rows * across + i % n_cols / cols];
        *s = fmaxf(*s, fabsf(value[i]) / 448.0f);
    }
    for (size_t b = 0; b < down * across; b++) {
        small[n + b] = gm_bf16_from_f32(scale[b]);
        if (form->scale == GM_BF16) scale[b] = gm_bf16_to_f32(small[n + b]);
    }
    for (size_t i = 0; i < n; i++) {
        const float s = scale[i / n_cols / rows * across + i % n_cols / cols];
        code[i] = gm_fp8_from_f32(value[i] / s);
        value[i] = gm_fp8_values[code[i]] * s;
        small[i] = gm_bf16_from_f32(value[i]);
    }
    sprintf(name, "%s%s", t->name, form->suffix);
    const bool wide = as == GM_F32, bf16 = form->scale == GM_BF16;
    gm_tensor *c = &w->fp8[w->n++], *s = &w->fp8[w->n++], *v = &w->widened[w->n_widened++];
    *c = *v = *t;
    c->dtype = GM_FP8, c->data = code, c->n_bytes = n;
    v->dtype = as, v->data = wide ? (const void *)value : small;
    v->n_bytes = n * gm_dtype_bytes(as);
    *s = (gm_tensor){.name = name,
                     .dtype = form->scale,
                     .rank = form->rows ? 2 : 0,
                     .dim = {down, across},
                     .data = bf16 ? (const void *)(small + n) : scale,
                     .n_bytes = down * across * gm_dtype_bytes(form->scale)};
}

/* A tensor whose name is t's but for its end, "weight". */
static inline void int4_add_part(stored_writer *w, const gm_tensor *t, const char *end,
                                 gm_dtype dtype, size_t rows, size_t cols, const void *data)
{
    char *name = stored_keep(w, strlen(t->name) + 16, 1);
    sprintf(name, "%.*s%s", (int)(strlen(t->name) - strlen("weight")), t->name, end);
    CHECK(w->n < sizeof w->fp8 / sizeof w->fp8[0]);
    w->fp8[w->n++] = (gm_tensor){.name = name,
                                 .dtype = dtype,
                                 .rank = cols ? 2 : 1,
                                 .dim = {rows, cols},
                                 .data = data,
                                 .n_bytes = rows * (cols ? cols : 1) * gm_dtype_bytes(dtype)};
}

/* One matrix in four bits: words, scales, zeros, what else its method writes; and the products. */
static inline void int4_add(stored_writer *w, const gm_tensor *t, const stored_form *form,
                            gm_dtype as)
{
    const size_t out = t->dim[0], in = t->dim[1], n = out * in;
    const size_t group = form->cols ? form->cols : in, groups = in / group;
    const bool by_rows = form->packing == GM_PACKING_ROWS, gptq = form->packing == GM_PACKING_GPTQ;
    int4_matrix m = {out,
                     in,
                     group,
                     stored_keep(w, n, 1),
                     stored_keep(w, out * groups, 1),
                     stored_keep(w, out * groups, sizeof(float)),
                     form->dealt};
    float *value = stored_keep(w, n, sizeof *value),
          *scale = stored_keep(w, out * groups, sizeof *scale);
    uint16_t *small = stored_keep(w, n + out * groups, sizeof *small);
    uint32_t *words = stored_keep(w, n / 8, sizeof *words),
             *zeros = stored_keep(w, out / 8 * groups, sizeof *zeros);
    int32_t *order = stored_keep(w, in, sizeof *order);
    int64_t *sizes = stored_keep(w, 2, sizeof *sizes);
    gm_tensor_to_f32(t, 0, n, value);
    int4_quantise(&m, value, form->zeros);
    for (size_t o = 0; o < out; o++)
        for (size_t g = 0; g < groups; g++) {
            const size_t at = int4_scale_at(&m, form->packing, o, g);
            float *s = &m.scale[o * groups + g];
            small[n + at] = gm_bf16_from_f32(*s);
            if (form->scale == GM_BF16) *s = gm_bf16_to_f32(small[n + at]);
            scale[at] = *s;
        }
    for (size_t i = 0; i < n; i++) {
        value[i] = int4_value(&m, i / in, i % in);
        small[i] = gm_bf16_from_f32(value[i]);
    }
    int4_pack(&m, form->packing, words);
    int4_pack_zeros(&m, form->packing, form->above, zeros);
    for (size_t i = 0; i < in; i++) order[i] = (int32_t)int4_group(&m, i);
    sizes[0] = (int64_t)out, sizes[1] = (int64_t)in;
    const void *scales = form->scale == GM_BF16 ? (const void *)(small + n) : scale;
    int4_add_part(w, t, by_rows ? "weight_packed" : "qweight", GM_I32,
                  by_rows ? out : in / (gptq ? 8 : 1), (by_rows ? in : out) / (gptq ? 1 : 8),
                  words);
    int4_add_part(w, t, by_rows ? "weight_scale" : "scales", form->scale, by_rows ? out : groups,
                  by_rows ? groups : out, scales);
    if (form->zeros)
        int4_add_part(w, t, by_rows ? "weight_zero_point" : "qzeros", GM_I32,
                      by_rows ? out / 8 : groups, by_rows ? groups : out / 8, zeros);
    if (gptq) int4_add_part(w, t, "g_idx", GM_I32, in, 0, order);
    if (by_rows) int4_add_part(w, t, "weight_shape", GM_I64, 2, 0, sizes);
    gm_tensor *v = &w->widened[w->n_widened++];
    *v = *t;
    v->dtype = as, v->data = as == GM_F32 ? (const void *)value : small;
    v->n_bytes = n * gm_dtype_bytes(as);
}

static inline void stored_write(const char *folder, const gm_tensor *tensor, size_t n)
{
    char path[512];
    gm_error err = {0};
    static const char *const files[] = {"model.safetensors", "model.safetensors.index.json"};
    for (int i = 1; i >= 0; i--) {
        snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        (void)unlink(path);
    }
    CHECK_OK(gm_safetensors_write(path, true, tensor, n, NULL, 0, &err), err);
}

/* The folders `to`-fp8 and `to`-widened of the model `from`, the latter's matrices `as` F32 or
 * BF16. */
static inline void stored_copy(const char *to, const char *from, const stored_form *form,
                               gm_dtype as)
{
    char folder[256];
    gm_checkpoint *c = NULL;
    gm_error err = {0};
    stored_writer *w = gm_alloc(1, sizeof *w);
    CHECK_OK(gm_checkpoint_open(&c, from, &err), err);
    CHECK(gm_checkpoint_n(c) <= 256);
    for (size_t i = 0; i < gm_checkpoint_n(c); i++) {
        const gm_tensor *t = gm_checkpoint_at(c, i);
        const bool uneven = form->packing && (t->rank != 2 || t->dim[0] % 8 || t->dim[1] % 8);
        if (stored_is_projection(t) && !uneven)
            (form->packing ? int4_add : fp8_add)(w, t, form, as);
        else
            w->fp8[w->n++] = w->widened[w->n_widened++] = *t;
    }
    snprintf(folder, sizeof folder, "%s-fp8", to);
    copy_model(folder, from, "quantization_config", form->config);
    stored_write(folder, w->fp8, w->n);
    snprintf(folder, sizeof folder, "%s-widened", to);
    copy_model(folder, from, "use_cache", "true");
    stored_write(folder, w->widened, w->n_widened);
    for (size_t i = 0; i < w->n_kept; i++) gm_free(w->kept[i]);
    gm_free(w);
    gm_checkpoint_close(c);
}

/* A folder of stored_write's is opened with these tensors: taken (part NULL), or refused by a
 * sentence that has `part`. headers: no values are looked at. */
static inline void stored_open_changed(const char *folder, const gm_tensor *tensor, size_t n,
                                       bool headers, const char *part)
{
    gm_model *model = NULL;
    gm_error err = {0};
    const gm_model_options options = {.headers_only = headers, .threads = 1};
    stored_write(folder, tensor, n);
    const gm_status status = gm_model_open(&model, folder, &options, &err);
    if (part == NULL)
        CHECK_OK(status, err);
    else if (status == GM_OK)
        TEST_FAILED_("taken, expected: %s", part);
    else
        CHECK_HAS(err.text, part);
    gm_model_close(model);
}

static inline gm_model *stored_open(const char *folder, const char *device, gm_numerics numerics)
{
    const gm_model_options options = {.device = device, .numerics = numerics, .threads = 2};
    gm_model *model = NULL;
    gm_error err = {0};
    CHECK_OK(gm_model_open(&model, folder, &options, &err), err);
    if (model == NULL) exit(1);
    return model;
}

/* The same bits come out of both. Under bf16 the widened numbers are rounded to it. */
static inline void stored_same_as_widened(const char *device, const char *from,
                                          const stored_form *form, gm_numerics numerics)
{
    static const size_t offset[] = {0, 23, 40};
    static const plan p = {.threads = 2, .step = 512, .together = true};
    uint32_t token[40];
    const docs d = {.n = 2, .n_tokens = 40, .token = token, .offset = offset};
    char what[512];
    for (size_t i = 0; i < d.n_tokens; i++) token[i] = (uint32_t)(i * 37 % 90);
    stored_copy("same", from, form, numerics == GM_NUMERICS_BF16 ? GM_BF16 : GM_F32);
    gm_model *fp8 = stored_open("same-fp8", device, numerics);
    gm_model *widened = stored_open("same-widened", device, numerics);
    outcome a = run_docs(fp8, &d, &p), b = run_docs(widened, &d, &p);
    snprintf(what, sizeof what, "%s, packing %d, a scale for %zu x %zu, numerics %d", from,
             (int)form->packing, form->rows, form->cols, (int)numerics);
    check_same(what, &a, &b);
    outcome_free(&a), outcome_free(&b);
    gm_model_close(fp8);
    gm_model_close(widened);
}

#endif
