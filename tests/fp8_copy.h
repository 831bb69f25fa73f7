/* fp8_copy.h - a model folder's projections stored as F8_E4M3 with scales, and the same numbers
 * widened, which whoever reads either must compute the same from. */
#ifndef GM_FP8_COPY_H
#define GM_FP8_COPY_H

#include "base/half.h"
#include "engine/checkpoint.h"
#include "tests/engine_run.h"
#include "tests/model_copy.h"

#include <math.h>

/* How: "quantization_config", what one scale is for (0: all), how the scales' tensor is called and
 * what it is of. */
typedef struct fp8_form {
    const char *config, *suffix;
    size_t rows, cols;
    gm_dtype scale;
} fp8_form;

static const fp8_form fp8_blocks = {"{\"quant_method\": \"fp8\", \"activation_scheme\": "
                                    "\"dynamic\", \"weight_block_size\": [5, 7]}",
                                    "_scale_inv", 5, 7, GM_F32};
#define FP8_COMPRESSED(strategy)                                                                   \
    "{\"quant_method\": \"compressed-tensors\", \"format\": \"float-quantized\", "                 \
    "\"config_groups\": {\"group_0\": {\"targets\": [\"Linear\"], \"weights\": {\"num_bits\": 8, " \
    "\"type\": \"float\", \"strategy\": \"" strategy "\", \"symmetric\": true}}}}"
static const fp8_form fp8_rows = {FP8_COMPRESSED("channel"), "_scale", 1, 0, GM_BF16};
static const fp8_form fp8_tensor = {FP8_COMPRESSED("tensor"), "_scale", 0, 0, GM_F32};
static const fp8_form fp8_auto = {"{\"quant_method\": \"fp8\", \"activation_scheme\": \"dynamic\"}",
                                  "_scale", 0, 0, GM_F32};
static const fp8_form fp8_null = {"{\"quant_method\": \"fp8\", \"weight_block_size\": null}",
                                  "_scale_inv", 0, 0, GM_F32};

typedef struct fp8_writer {
    gm_tensor fp8[512], widened[512];
    size_t n, n_widened;
    void *kept[2048]; /* to free */
    size_t n_kept;
} fp8_writer;

static inline void *fp8_keep(fp8_writer *w, size_t n, size_t size)
{
    CHECK(w->n_kept < sizeof w->kept / sizeof w->kept[0]);
    return w->kept[w->n_kept++] = gm_alloc(n, size);
}

/* Projections, but those of Gated DeltaNet's rates, which published checkpoints leave as they are.
 */
static inline bool fp8_is_projection(const gm_tensor *t)
{
    static const char *const rates[] = {"in_proj_ba", "in_proj_b.", "in_proj_a."};
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++)
        if (strstr(t->name, rates[i])) return false;
    const bool mixtral =
        strstr(t->name, ".w1.") || strstr(t->name, ".w2.") || strstr(t->name, ".w3.");
    return t->rank == 2 && (mixtral || strstr(t->name, "_proj"));
}

/* One matrix: codes, scales that bring every block's largest number to 448, products of both. */
static inline void fp8_add(fp8_writer *w, const gm_tensor *t, const fp8_form *form, gm_dtype as)
{
    const size_t n_rows = t->dim[0], n_cols = t->dim[1], n = n_rows * n_cols;
    const size_t rows = form->rows ? form->rows : n_rows, cols = form->cols ? form->cols : n_cols;
    const size_t down = (n_rows + rows - 1) / rows, across = (n_cols + cols - 1) / cols;
    uint8_t *code = fp8_keep(w, n, 1);
    float *value = fp8_keep(w, n, sizeof *value),
          *scale = fp8_keep(w, down * across, sizeof *scale);
    uint16_t *small = fp8_keep(w, n + down * across, sizeof *small);
    char *name = fp8_keep(w, strlen(t->name) + 16, 1);
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

static inline void fp8_write(const char *folder, const gm_tensor *tensor, size_t n)
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
static inline void fp8_copy(const char *to, const char *from, const fp8_form *form, gm_dtype as)
{
    char folder[256];
    gm_checkpoint *c = NULL;
    gm_error err = {0};
    fp8_writer *w = gm_alloc(1, sizeof *w);
    CHECK_OK(gm_checkpoint_open(&c, from, &err), err);
    CHECK(gm_checkpoint_n(c) <= 256);
    for (size_t i = 0; i < gm_checkpoint_n(c); i++) {
        const gm_tensor *t = gm_checkpoint_at(c, i);
        if (fp8_is_projection(t))
            fp8_add(w, t, form, as);
        else
            w->fp8[w->n++] = w->widened[w->n_widened++] = *t;
    }
    snprintf(folder, sizeof folder, "%s-fp8", to);
    copy_model(folder, from, "quantization_config", form->config);
    fp8_write(folder, w->fp8, w->n);
    snprintf(folder, sizeof folder, "%s-widened", to);
    copy_model(folder, from, "use_cache", "true");
    fp8_write(folder, w->widened, w->n_widened);
    for (size_t i = 0; i < w->n_kept; i++) gm_free(w->kept[i]);
    gm_free(w);
    gm_checkpoint_close(c);
}

static inline gm_model *fp8_open(const char *folder, const char *device, gm_numerics numerics)
{
    const gm_model_options options = {.device = device, .numerics = numerics, .threads = 2};
    gm_model *model = NULL;
    gm_error err = {0};
    CHECK_OK(gm_model_open(&model, folder, &options, &err), err);
    if (model == NULL) exit(1);
    return model;
}

/* The same bits come out of both. Under bf16 the widened numbers are rounded to it. */
static inline void fp8_same_as_widened(const char *device, const char *from, const fp8_form *form,
                                       gm_numerics numerics)
{
    static const size_t offset[] = {0, 23, 40};
    static const plan p = {.threads = 2, .step = 512, .together = true};
    uint32_t token[40];
    const docs d = {.n = 2, .n_tokens = 40, .token = token, .offset = offset};
    char what[512];
    for (size_t i = 0; i < d.n_tokens; i++) token[i] = (uint32_t)(i * 37 % 90);
    fp8_copy("same", from, form, numerics == GM_NUMERICS_BF16 ? GM_BF16 : GM_F32);
    gm_model *fp8 = fp8_open("same-fp8", device, numerics);
    gm_model *widened = fp8_open("same-widened", device, numerics);
    outcome a = run_docs(fp8, &d, &p), b = run_docs(widened, &d, &p);
    snprintf(what, sizeof what, "%s, a scale for %zu x %zu, numerics %d", from, form->rows,
             form->cols, (int)numerics);
    check_same(what, &a, &b);
    outcome_free(&a), outcome_free(&b);
    gm_model_close(fp8);
    gm_model_close(widened);
}

#endif
