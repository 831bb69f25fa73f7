/* quantised.c - see quantised.h. */
#include "engine/quantised.h"

#include "engine/arch_keys.h"
#include "engine/stored.h"

#include <stdio.h>
#include <string.h>

static const char PART[] = "quantization_config";
static const char FORMATS[] = "float-quantized|naive-quantized|pack-quantized";

enum { MAX_BLOCK = 1 << 20, IN_WORD = 8 };

/* A text, absent, null, or one of "a|b|c". */
static gm_status expect_text(const gm_json *part, const char *key, const char *allowed,
                             const char *where, gm_error *err)
{
    const char *value;
    gm_status status = gm_json_get_text_or(part, key, NULL, &value, where, err);
    if (status != GM_OK || value == NULL) return status;
    const size_t n = strcspn(value, "|");
    for (const char *at = allowed; at; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL)
        if (value[n] == '\0' && strcspn(at, "|") == n && memcmp(at, value, n) == 0) return GM_OK;
    return gm_fail(err, GM_EFORMAT, "'%s': '%s' of '%s' is '%.48s', expected %s", where, key, PART,
                   value, allowed);
}

/* A pair of sizes, of rows and of columns. */
static gm_status read_block(const gm_json *part, const char *key, gm_scale_blocks *out,
                            const char *where, gm_error *err)
{
    const gm_json *list = gm_json_find(part, key);
    const bool pair = list && gm_json_kind_of(list) == GM_JSON_ARRAY && gm_json_n_items(list) == 2;
    int64_t rows = 0, cols = 0;
    if (!pair || !gm_json_i64(gm_json_first(list), &rows) ||
        !gm_json_i64(gm_json_next(gm_json_first(list)), &cols) || rows < 1 || rows > MAX_BLOCK ||
        cols < 1 || cols > MAX_BLOCK)
        return gm_fail(err, GM_EFORMAT,
                       "'%s': '%s' of '%s' is not a pair of sizes from 1 to %d, which fp8 with "
                       "block scales needs",
                       where, key, PART, MAX_BLOCK);
    out->rows = (size_t)rows;
    out->cols = (size_t)cols;
    return GM_OK;
}

/* true is refused by name. */
static gm_status expect_false(const gm_json *part, const char *key, const char *where,
                              gm_error *err)
{
    bool value;
    gm_status status = gm_json_get_bool_or(part, key, false, &value, where, err);
    if (status != GM_OK || !value) return status;
    return gm_fail(err, GM_EFORMAT, "'%s': '%s' of '%s' is true, but only false is supported",
                   where, key, PART);
}

static gm_status expect_four_bits(const gm_json *part, const char *key, const char *where,
                                  gm_error *err)
{
    int64_t bits;
    gm_status status = gm_json_get_i64_or(part, key, 1, 64, 0, &bits, where, err);
    if (status != GM_OK || bits == 4) return status;
    return gm_fail(
        err, GM_EFORMAT,
        "'%s': '%s' of '%s' is %d, but of whole numbers only those of 4 bits can be read", where,
        key, PART, (int)bits);
}

/* Inputs that share a scale; -1: all of them. */
static gm_status read_group_size(const gm_json *part, gm_scale_blocks *out, const char *where,
                                 gm_error *err)
{
    static const char key[] = "group_size";
    int64_t size;
    gm_status status = gm_json_get_i64_or(part, key, -1, MAX_BLOCK, 0, &size, where, err);
    if (status != GM_OK) return status;
    if (size == 0 || (size > 0 && size % IN_WORD != 0))
        return gm_fail(err, GM_EFORMAT,
                       "'%s': '%s' of '%s' is %lld, expected -1 or a multiple of 8", where, key,
                       PART, (long long)size);
    out->rows = 1;
    out->cols = size > 0 ? (size_t)size : 0;
    return GM_OK;
}

/* ---- "fp8" ---- */

/* Scales of blocks; or one for each tensor, where there is no such key as AutoFP8 calls it, and
 * where it is null as transformers does. */
static gm_status read_fp8_scales(const gm_json *part, gm_scale_blocks *out, const char *where,
                                 gm_error *err)
{
    static const char key[] = "weight_block_size";
    const gm_json *block = gm_json_find(part, key);
    *out = (gm_scale_blocks){.suffix = block ? "_scale_inv" : "_scale"};
    if (block == NULL || gm_json_kind_of(block) == GM_JSON_NULL) return GM_OK;
    return read_block(part, key, out, where, err);
}

/* Activations are not rounded here, whatever they are rounded to elsewhere. Fixed scales of theirs
 * say that somebody measured them, and that the model was judged so: they are passed over only
 * where a model is published in no other form, Mistral Small 4 with one scale for each matrix. */
static gm_status read_activations(const gm_json *part, gm_scale_blocks *out, const char *where,
                                  gm_error *err)
{
    static const char key[] = "activation_scheme";
    const gm_json *block = gm_json_find(part, "weight_block_size"),
                  *scheme = gm_json_find(part, key);
    const char *name = scheme ? gm_json_text(scheme, NULL) : NULL;
    const bool each = block && gm_json_kind_of(block) == GM_JSON_NULL;
    out->fixed = each && name && strcmp(name, "static") == 0;
    return expect_text(part, key, out->fixed ? "static" : "dynamic", where, err);
}

static gm_status read_fp8(const gm_json *part, gm_scale_blocks *out, const char *where,
                          gm_error *err)
{
    static const char *const known[] = {"quant_method",
                                        "activation_scheme",
                                        "fmt",
                                        "scale_fmt", /* powers of two, as floats all the same */
                                        "weight_block_size",
                                        "modules_to_not_convert",
                                        "ignored_layers",
                                        "modules_to_convert",
                                        "expert_dtype",
                                        "dequantize",
                                        NULL};
    gm_status status = GM_OK;
    GM_TRY(gm_config_check_part(part, PART, known, where, err));
    GM_TRY(expect_text(part, "fmt", "e4m3|float8_e4m3fn", where, err));
    GM_TRY(expect_text(part, "expert_dtype", "fp8", where, err));
    GM_TRY(read_fp8_scales(part, out, where, err));
    GM_TRY(read_activations(part, out, where, err));
out:
    return status;
}

/* ---- "compressed-tensors" ---- */

static gm_status read_eight_bits(const gm_json *weights, gm_scale_blocks *out, const char *where,
                                 gm_error *err)
{
    gm_status status = GM_OK;
    const char *strategy;
    int64_t bits;
    bool symmetric;
    GM_TRY(gm_json_get_i64_or(weights, "num_bits", 1, 64, 8, &bits, where, err));
    if (bits != 8)
        GM_FAIL(GM_EFORMAT, "'%s': 'num_bits' of '%s' is %d, but of floats only 8 is supported",
                where, PART, (int)bits);
    GM_TRY(gm_json_get_bool_or(weights, "symmetric", true, &symmetric, where, err));
    if (!symmetric)
        GM_FAIL(GM_EFORMAT, "'%s': 'symmetric' of '%s' is false, but only true is supported", where,
                PART);
    GM_TRY(expect_text(weights, "strategy", "tensor|channel|block", where, err));
    GM_TRY(gm_json_get_text_or(weights, "strategy", "tensor", &strategy, where, err));
    *out = (gm_scale_blocks){.suffix = "_scale"};
    if (strcmp(strategy, "block") == 0)
        GM_TRY(read_block(weights, "block_structure", out, where, err));
    else if (strcmp(strategy, "channel") == 0)
        out->rows = 1;
out:
    return status;
}

/* Inputs put into groups by their activations would bring a list of them. */
static gm_status check_order(const gm_json *weights, const char *where, gm_error *err)
{
    static const char key[] = "actorder";
    const gm_json *order = gm_json_find(weights, key);
    if (order && gm_json_kind_of(order) == GM_JSON_BOOL)
        return expect_false(weights, key, where, err);
    return expect_text(weights, key, "weight|static", where, err);
}

static gm_status read_four_bits(const gm_json *weights, gm_scale_blocks *out, const char *where,
                                gm_error *err)
{
    gm_status status = GM_OK;
    const char *strategy;
    bool symmetric;
    *out = (gm_scale_blocks){.suffix = "_scale", .rows = 1, .packing = GM_PACKING_ROWS};
    GM_TRY(expect_four_bits(weights, "num_bits", where, err));
    GM_TRY(gm_json_get_bool_or(weights, "symmetric", true, &symmetric, where, err));
    out->zeros = !symmetric;
    GM_TRY(check_order(weights, where, err));
    GM_TRY(expect_text(weights, "strategy", "group|channel", where, err));
    GM_TRY(gm_json_get_text_or(weights, "strategy", "group", &strategy, where, err));
    if (strcmp(strategy, "group") == 0) GM_TRY(read_group_size(weights, out, where, err));
out:
    return status;
}

/* The weights of one group of layers. */
static gm_status read_weights(const gm_json *weights, gm_scale_blocks *out, const char *where,
                              gm_error *err)
{
    const char *type;
    gm_status status = expect_text(weights, "type", "float|int", where, err);
    if (status == GM_OK) status = gm_json_get_text_or(weights, "type", "float", &type, where, err);
    if (status != GM_OK) return status;
    return (strcmp(type, "int") == 0 ? read_four_bits : read_eight_bits)(weights, out, where, err);
}

/* As read_activations, but no model is published with fixed scales in this form alone. */
static gm_status check_activations(const gm_json *group, const char *where, gm_error *err)
{
    const gm_json *part = gm_json_find(group, "input_activations");
    bool dynamic;
    if (part == NULL || gm_json_kind_of(part) != GM_JSON_OBJECT) return GM_OK;
    gm_status status = gm_json_get_bool_or(part, "dynamic", false, &dynamic, where, err);
    if (status == GM_OK && !dynamic)
        return gm_fail(err, GM_EFORMAT,
                       "'%s': 'input_activations' of '%s' are not 'dynamic', and fixed scales of "
                       "activations are not supported",
                       where, PART);
    return status;
}

static gm_status read_group(const gm_json *group, gm_scale_blocks *out, const char *where,
                            gm_error *err)
{
    static const char *const known[] = {"targets", "weights", "input_activations", "format", NULL};
    gm_status status = GM_OK;
    const gm_json *weights = gm_json_find(group, "weights");
    if (weights == NULL || gm_json_kind_of(weights) != GM_JSON_OBJECT)
        GM_FAIL(GM_EFORMAT, "'%s': a group of '%s' has no object 'weights'", where, PART);
    GM_TRY(gm_config_check_part(group, PART, known, where, err));
    GM_TRY(expect_text(group, "format", FORMATS, where, err));
    GM_TRY(read_weights(weights, out, where, err));
    GM_TRY(check_activations(group, where, err));
out:
    return status;
}

/* Sparse matrices lie in other tensors. */
static gm_status check_dense(const gm_json *part, const char *where, gm_error *err)
{
    const gm_json *sparse = gm_json_find(part, "sparsity_config");
    if (sparse == NULL || gm_json_kind_of(sparse) != GM_JSON_OBJECT) return GM_OK;
    return expect_text(sparse, "format", "dense", where, err);
}

/* Turned weights need turned activations. */
static gm_status check_plain(const gm_json *part, const char *where, gm_error *err)
{
    const gm_json *turned = gm_json_find(part, "transform_config");
    if (turned == NULL || gm_json_kind_of(turned) != GM_JSON_OBJECT || !gm_json_first(turned))
        return GM_OK;
    return gm_fail(err, GM_EFORMAT, "'%s': '%s' has a 'transform_config', which is not supported",
                   where, PART);
}

static gm_status read_compressed(const gm_json *part, gm_scale_blocks *out, const char *where,
                                 gm_error *err)
{
    static const char *const known[] = {"quant_method",
                                        "config_groups",
                                        "format",
                                        "ignore",
                                        "quantization_status",
                                        "global_compression_ratio",
                                        "sparsity_config",
                                        "transform_config",
                                        "version",
                                        NULL};
    gm_status status = GM_OK;
    const gm_json *groups = gm_json_find(part, "config_groups");
    if (groups == NULL || gm_json_kind_of(groups) != GM_JSON_OBJECT || !gm_json_first(groups))
        GM_FAIL(GM_EFORMAT, "'%s': '%s' has no object 'config_groups'", where, PART);
    GM_TRY(expect_text(part, "format", FORMATS, where, err));
    GM_TRY(expect_text(part, "quantization_status", "compressed|frozen", where, err));
    GM_TRY(gm_config_check_part(part, PART, known, where, err));
    GM_TRY(check_dense(part, where, err));
    GM_TRY(check_plain(part, where, err));
    for (const gm_json *group = gm_json_first(groups); group; group = gm_json_next(group)) {
        gm_scale_blocks blocks;
        GM_TRY(read_group(group, &blocks, where, err));
        if (out->suffix && !gm_blocks_same(&blocks, out))
            GM_FAIL(GM_EFORMAT,
                    "'%s': the groups of '%s' have scales for blocks of different sizes, but only "
                    "one size and one type is supported",
                    where, PART);
        *out = blocks;
    }
out:
    return status;
}

/* ---- "gptq" and "awq" ---- */

/* GPTQModel's exceptions: matrices that are left out ("-:", or of no other settings) the tensors
 * show; of other bits or groups they would be read as if of these. */
static gm_status check_dynamic(const gm_json *part, const char *where, gm_error *err)
{
    static const char key[] = "dynamic";
    const gm_json *rules = gm_json_find(part, key);
    if (rules == NULL || gm_json_kind_of(rules) == GM_JSON_NULL) return GM_OK;
    if (gm_json_kind_of(rules) != GM_JSON_OBJECT)
        return gm_fail(err, GM_EFORMAT, "'%s': '%s' of '%s' is not an object", where, key, PART);
    for (const gm_json *rule = gm_json_first(rules); rule; rule = gm_json_next(rule))
        if (strncmp(gm_json_key(rule), "-:", 2) != 0 &&
            (gm_json_kind_of(rule) != GM_JSON_OBJECT || gm_json_first(rule)))
            return gm_fail(err, GM_EFORMAT,
                           "'%s': '%s' of '%s' has settings of its own for '%.48s', which is not "
                           "supported",
                           where, key, PART, gm_json_key(rule));
    return GM_OK;
}

static gm_status read_gptq(const gm_json *part, gm_scale_blocks *out, const char *where,
                           gm_error *err)
{
    /* How the numbers were found; `sym`, `lm_head` and lists of modules show in the tensors. */
    static const char *const known[] = {"quant_method",
                                        "method",
                                        "bits",
                                        "group_size",
                                        "desc_act",
                                        "sym",
                                        "format",
                                        "checkpoint_format",
                                        "pack_dtype",
                                        "lm_head",
                                        "modules_in_block_to_quantize",
                                        "modules_to_not_convert",
                                        "block_name_to_quantize",
                                        "module_name_preceding_first_block",
                                        "dynamic",
                                        "act_group_aware",
                                        "hyb_act",
                                        "batch_size",
                                        "cache_block_outputs",
                                        "damp_auto_increment",
                                        "damp_percent",
                                        "dataset",
                                        "exllama_config",
                                        "is_marlin_format",
                                        "max_input_length",
                                        "meta",
                                        "model_file_base_name",
                                        "model_name_or_path",
                                        "model_seqlen",
                                        "mse",
                                        "pack_impl",
                                        "pad_token_id",
                                        "static_groups",
                                        "tokenizer",
                                        "true_sequential",
                                        "use_cuda_fp16",
                                        "use_exllama",
                                        "backend",
                                        NULL};
    static const char *const formats[] = {"format", "checkpoint_format"};
    gm_status status = GM_OK;
    *out = (gm_scale_blocks){
        .suffix = ".scales", .packing = GM_PACKING_GPTQ, .zeros = true, .above = 1};
    GM_TRY(gm_config_check_part(part, PART, known, where, err));
    GM_TRY(expect_four_bits(part, "bits", where, err));
    GM_TRY(gm_json_get_bool_or(part, "desc_act", false, &out->ordered, where, err));
    GM_TRY(expect_false(part, "is_marlin_format", where, err));
    GM_TRY(check_dynamic(part, where, err));
    GM_TRY(expect_text(part, "pack_dtype", "int32", where, err));
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        const char *format;
        GM_TRY(expect_text(part, formats[i], "gptq|gptq_v2", where, err));
        GM_TRY(gm_json_get_text_or(part, formats[i], "gptq", &format, where, err));
        if (strcmp(format, "gptq_v2") == 0) out->above = 0;
    }
    GM_TRY(read_group_size(part, out, where, err));
out:
    return status;
}

static gm_status read_awq(const gm_json *part, gm_scale_blocks *out, const char *where,
                          gm_error *err)
{
    static const char *const known[] = {"quant_method",
                                        "bits",
                                        "group_size",
                                        "version",
                                        "format",
                                        "zero_point",
                                        "backend",
                                        "do_fuse",
                                        "exllama_config",
                                        "fuse_max_seq_len",
                                        "sym",
                                        "method",
                                        "modules_to_fuse",
                                        "modules_to_not_convert",
                                        NULL};
    gm_status status = GM_OK;
    bool zero_point;
    *out = (gm_scale_blocks){.suffix = ".scales", .packing = GM_PACKING_AWQ, .zeros = true};
    GM_TRY(gm_config_check_part(part, PART, known, where, err));
    GM_TRY(expect_four_bits(part, "bits", where, err));
    GM_TRY(expect_text(part, "version", "gemm|GEMM", where, err));
    GM_TRY(expect_text(part, "format", "gemm|GEMM", where, err));
    GM_TRY(gm_json_get_bool_or(part, "zero_point", true, &zero_point, where, err));
    if (!zero_point)
        GM_FAIL(GM_EFORMAT, "'%s': 'zero_point' of '%s' is false, but only true is supported",
                where, PART);
    GM_TRY(read_group_size(part, out, where, err));
out:
    return status;
}

/* ---- all of them ---- */

static const struct method {
    const char *name;
    gm_status (*read)(const gm_json *part, gm_scale_blocks *out, const char *where, gm_error *err);
} methods[] = {{"fp8", read_fp8},
               {"compressed-tensors", read_compressed},
               {"gptq", read_gptq},
               {"awq", read_awq}};

gm_status gm_quantised_read(gm_scale_blocks *out, const gm_json *config, const char *where,
                            gm_error *err)
{
    const gm_json *part = gm_json_find(config, PART);
    gm_scale_blocks blocks = {0};
    gm_status status = GM_OK;
    *out = blocks;
    if (part == NULL || gm_json_kind_of(part) != GM_JSON_OBJECT) return GM_OK;
    const gm_json *method = gm_json_find(part, "quant_method");
    const char *name = method ? gm_json_text(method, NULL) : NULL;
    if (name == NULL) return GM_OK;
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        if (strcmp(name, methods[i].name) != 0) continue;
        status = methods[i].read(part, &blocks, where, err);
        if (status == GM_OK) *out = blocks;
        return status;
    }
    return gm_fail(
        err, GM_EFORMAT,
        "'%s': '%s' says that the weights are quantised with '%.48s', but only F32, F16, "
        "BF16, fp8 and the int4 of compressed-tensors, gptq and awq can be read; use a "
        "copy in BF16",
        where, PART, name);
}

bool gm_blocks_same(const gm_scale_blocks *a, const gm_scale_blocks *b)
{
    return strcmp(a->suffix, b->suffix) == 0 && a->rows == b->rows && a->cols == b->cols &&
           a->fixed == b->fixed && a->packing == b->packing && a->zeros == b->zeros &&
           a->above == b->above && a->ordered == b->ordered;
}

const char *gm_blocks_show(char text[48], const gm_scale_blocks *b)
{
    if (b->suffix == NULL)
        text[0] = '\0';
    else if (b->packing && b->cols)
        (void)snprintf(text, 48, "%zu inputs", b->cols);
    else if (b->rows && b->cols)
        (void)snprintf(text, 48, "%zu x %zu", b->rows, b->cols);
    else
        (void)snprintf(text, 48, b->rows ? "a row" : "a tensor");
    return text;
}

gm_status gm_scales_check(const gm_tensor *scales, gm_error *err)
{
    const size_t n = scales->n_bytes / gm_dtype_bytes(scales->dtype);
    bool some = n == 0;
    for (size_t i = 0; i < n; i++) {
        float value;
        gm_tensor_to_f32(scales, i, 1, &value);
        if (!gm_scale_is_fit(value))
            return gm_fail(
                err, GM_EFORMAT,
                "'%s': element %zu of '%s' is %g, expected a scale: 0, or from 2^-100 to "
                "2^100",
                scales->file, i, scales->name, (double)value);
        some = some || value > 0.0f;
    }
    if (some) return GM_OK;
    return gm_fail(err, GM_EFORMAT, "'%s': all scales of '%s' are 0, as if the file had a hole",
                   scales->file, scales->name);
}
