/* info.c - gm-probe info: what a trace holds, or what a model folder is and takes. */
#include "base/cli.h"
#include "base/folder.h"
#include "base/json.h"
#include "base/machine.h"
#include "base/text.h"
#include "engine/engine.h"
#include "formats/shards.h"
#include "formats/trace.h"
#include "probe/probe_commands.h"
#include "text/terminal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static void put_trace(gm_trace *trace, gm_json_out *out)
{
    const gm_trace_info *info = gm_trace_get_info(trace);
    const gm_trace_samples *samples = gm_trace_get_samples(trace);
    const gm_trace_skips *skips = gm_trace_get_skips(trace);
    uint64_t n_tokens = 0, n_bad = 0;
    for (size_t i = 0; i < samples->n; i++) {
        n_tokens += samples->n_tokens[i];
        n_bad += samples->bad[i];
    }
    gm_json_put_string(out, "kind", "trace");
    gm_json_put_string(out, "model", info->model);
    gm_json_put_string(out, "family", info->family);
    gm_json_put_string(out, "record", gm_record_level_name[info->level]);
    gm_json_put_i64(out, "layers", info->n_layers);
    gm_json_put_i64(out, "experts", info->n_experts);
    gm_json_put_i64(out, "chosen", info->n_chosen);
    gm_json_put_u64(out, "documents", samples->n);
    gm_json_put_u64(out, "subsets", samples->n_subsets);
    gm_json_put_u64(out, "counted_tokens", n_tokens);
    gm_json_put_u64(out, "recorded_tokens", gm_trace_n_tokens(trace));
    gm_json_put_u64(out, "bad_tokens", n_bad);
    gm_json_put_bool(out, "text", info->has_text);
    gm_json_put_bool(out, "spelling", info->has_spelling);
    gm_json_put_bool(out, "gates", info->level >= GM_RECORD_CHOICES && !info->no_gates);
    gm_json_put_bool(out, "norms", info->has_norms);
    gm_json_put_bool(out, "margins", info->level >= GM_RECORD_CHOICES && !info->no_margins);
    gm_json_put_bool(out, "nll", info->has_nll);
    gm_json_put_string(out, "numerics", info->numerics);
    gm_json_put_string(out, "kernels", info->kernels);
    gm_json_put_string(out, "device", info->device);
    gm_json_put_string(out, "command", info->command);
    if (info->options[0]) gm_json_put_raw(out, "options", info->options);
    if (info->steering[0]) gm_json_put_raw(out, "steering", info->steering);
    if (info->provenance[0]) gm_json_put_raw(out, "provenance", info->provenance);
    gm_json_put_string(out, "fingerprint", info->fingerprint);
    gm_json_put_string(out, "digest", gm_trace_digest(trace));
    gm_json_open_object(out, "skipped");
    for (size_t i = 0; i < skips->n; i++) gm_json_put_u64(out, skips->name[i], skips->number[i]);
    gm_json_close_object(out);
}

/* Whether weights of so many parameters leave a tenth of the memory free, by format. */
static void put_fits(gm_json_out *out, const char *const key[3], uint64_t parameters,
                     uint64_t memory)
{
    static const uint64_t bytes[3] = {4, 2, 1}; /* of a weight: f32, bf16, int8 */
    for (int i = 0; i < 3; i++)
        gm_json_put_bool(out, key[i], bytes[i] * parameters < memory / 10 * 9);
}

/* Heads, where latent attention has a latent for their keys and values. */
static void put_heads(const gm_model_info *info, gm_json_out *out)
{
    gm_json_put_i64(out, "heads", info->n_heads);
    if (info->kv_latent > 0) {
        gm_json_put_i64(out, "kv_latent", info->kv_latent);
        return;
    }
    gm_json_put_i64(out, "kv_heads", info->n_kv_heads);
    gm_json_put_i64(out, "head_dim", info->head_dim);
    if (info->global_kv_heads == 0) return;
    gm_json_put_i64(out, "global_kv_heads", info->global_kv_heads);
    gm_json_put_i64(out, "global_head_dim", info->global_head_dim);
}

/* Which layers have what, from 0: "attention": "3, 7-9". */
static gm_status put_layers(const gm_model *model, gm_json_out *out, gm_error *err)
{
    static const char *const name[GM_N_LAYER_PARTS] = {"attention",
                                                       "window_attention",
                                                       "gated_deltanet",
                                                       "kimi_delta_attention",
                                                       "mamba2",
                                                       "short_convolution",
                                                       "mlp",
                                                       "experts"};
    gm_status status = GM_OK;
    gm_text list = {0};
    const int n = gm_model_get_info(model)->n_layers;
    gm_json_open_object(out, "layers_with");
    for (int p = 0; p < GM_N_LAYER_PARTS; p++) {
        const gm_layer_part part = (gm_layer_part)p;
        gm_text_clear(&list);
        for (int first = 0, end; first < n; first = end + 1) {
            for (end = first; end < n && gm_model_layer_has(model, end, part);) end++;
            if (end == first) continue;
            GM_TRY(gm_text_printf(&list, err, "%s%d", list.n > 0 ? ", " : "", first));
            if (end - first > 1) GM_TRY(gm_text_printf(&list, err, "-%d", end - 1));
        }
        if (list.n > 0) gm_json_put_string(out, name[p], list.at);
    }
    gm_json_close_object(out);
out:
    gm_text_clear(&list);
    return status;
}

static gm_status put_model(const gm_model *model, gm_json_out *out, gm_error *err)
{
    static const char *const here[] = {"fits_f32", "fits_bf16", "fits_int8"};
    static const char *const on_gpu[] = {"fits_gpu_f32", "fits_gpu_bf16", "fits_gpu_int8"};
    const gm_model_info *info = gm_model_get_info(model);
    uint64_t memory = gm_machine_memory("").total;
    gm_json_put_string(out, "kind", "model");
    gm_json_put_string(out, "architecture", info->architecture);
    gm_json_put_string(out, "family", info->family);
    gm_json_put_i64(out, "layers", info->n_layers);
    gm_json_put_i64(out, "moe_layers", info->n_moe_layers);
    gm_json_put_i64(out, "experts", info->n_experts);
    gm_json_put_i64(out, "chosen", info->n_chosen);
    gm_json_put_i64(out, "shared_experts", info->n_shared_experts);
    gm_json_put_i64(out, "width", info->width);
    put_heads(info, out);
    gm_json_put_i64(out, "vocabulary", info->vocab_size);
    gm_json_put_i64(out, "context", info->max_context);
    gm_json_put_u64(out, "parameters", info->n_parameters);
    gm_json_put_u64(out, "active_parameters", info->n_active);
    gm_json_put_string(out, "weights", info->weight_dtype);
    if (info->weight_scales[0]) gm_json_put_string(out, "weight_scales", info->weight_scales);
    gm_json_put_u64(out, "checkpoint_bytes", info->checkpoint_bytes);
    if (info->mtp_bytes) gm_json_put_u64(out, "unread_mtp_bytes", info->mtp_bytes);
    if (info->other_bytes) gm_json_put_u64(out, "unread_vision_bytes", info->other_bytes);
    if (info->indexer_bytes) gm_json_put_u64(out, "unread_indexer_bytes", info->indexer_bytes);
    gm_json_put_u64(out, "bytes_f32", 4 * info->n_parameters);
    gm_json_put_u64(out, "bytes_bf16", 2 * info->n_parameters);
    gm_json_put_u64(out, "bytes_int8", info->n_parameters);
    gm_json_put_u64(out, "kv_bytes_per_token", info->kv_bytes_per_token);
    if (info->gpu_kv_bytes_per_token != info->kv_bytes_per_token)
        gm_json_put_u64(out, "kv_bytes_on_gpu", info->gpu_kv_bytes_per_token);
    if (info->state_bytes_per_sequence)
        gm_json_put_u64(out, "state_bytes_per_sequence", info->state_bytes_per_sequence);
    gm_json_put_u64(out, "memory_here_bytes", memory);
    put_fits(out, here, info->n_parameters, memory);
    gm_gpu_info gpu;
    if (gm_gpu_find(&gpu)) {
        gm_json_put_string(out, "gpu", gpu.name);
        gm_json_put_u64(out, "gpu_memory_bytes", gpu.memory);
        put_fits(out, on_gpu, info->n_parameters, gpu.memory);
    }
    gm_json_put_string(out, "unknown_config_keys", info->unknown_keys);
    gm_json_put_string(out, "digest", info->digest);
    return put_layers(model, out, err);
}

/* Sizes and parameters as people say them; false when the key is of neither. */
static bool print_large(const char *key, double number)
{
    char text[24];
    if (key && strstr(key, "bytes"))
        printf("%s", gm_show_bytes(text, number));
    else if (key && strstr(key, "parameters"))
        printf("%s", gm_show_count(text, number));
    else
        return false;
    return true;
}

/* A member's value on one line; the items of a list, and the names and values of an object,
 * joined; "-" where there is nothing. */
static void print_value(const gm_json *value)
{
    int64_t integer;
    double number;
    bool flag;
    const char *text = gm_json_text(value, NULL);
    bool is_object = gm_json_kind_of(value) == GM_JSON_OBJECT;
    bool is_list = gm_json_kind_of(value) == GM_JSON_ARRAY || is_object;
    if (text)
        gm_print_text(stdout, 0, *text ? text : "-");
    else if (gm_json_bool(value, &flag))
        printf("%s", flag ? "yes" : "no");
    else if (gm_json_f64(value, &number) && print_large(gm_json_key(value), number))
        return;
    else if (gm_json_i64(value, &integer))
        printf("%" PRId64, integer);
    else if (gm_json_f64(value, &number))
        printf("%g", number);
    else if (!is_list || gm_json_first(value) == NULL)
        printf("-");
    for (const gm_json *k = is_list ? gm_json_first(value) : NULL; k; k = gm_json_next(k)) {
        if (is_object) gm_print_text(stdout, 0, gm_json_key(k)), putchar(' ');
        print_value(k);
        if (gm_json_next(k)) printf(", ");
    }
}

/* The same members, one a line; those of an object below it. */
static gm_status print_lines(const gm_json_out *out, const char *path, gm_error *err)
{
    gm_json *root = NULL;
    gm_status status = gm_json_parse(&root, out->text.at, out->text.n, path, err);
    if (status != GM_OK) return status;
    for (const gm_json *m = gm_json_first(root); m; m = gm_json_next(m)) {
        bool is_object = gm_json_kind_of(m) == GM_JSON_OBJECT;
        gm_print_text(stdout, is_object ? 0 : 20, gm_json_key(m));
        if (!is_object) putchar(' '), print_value(m);
        putchar('\n');
        for (const gm_json *k = is_object ? gm_json_first(m) : NULL; k; k = gm_json_next(k)) {
            fputs("  ", stdout);
            gm_print_text(stdout, 18, gm_json_key(k));
            putchar(' ');
            print_value(k);
            putchar('\n');
        }
    }
    gm_json_free(root);
    return GM_OK;
}

static bool has(const char *folder, const char *name)
{
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/%s", folder, name);
    return n < (int)sizeof path && gm_path_is_taken(path);
}

/* A folder that is no model must hold the shards of a trace. */
static gm_status check_folder(const char *path, gm_error *err)
{
    struct stat at;
    gm_shard_list list = {0};
    if (stat(path, &at) != 0 || !S_ISDIR(at.st_mode)) return GM_OK;
    gm_status status = gm_shard_list_read(&list, path, err);
    bool is_empty = status == GM_OK && list.n == 0;
    gm_shard_list_clear(&list);
    if (!is_empty) return status;
    if (has(path, "snapshots")) {
        gm_text config = {0};
        status = gm_folder_file(&config, path, "config.json", "model", err); /* says where it is */
        gm_text_clear(&config);
        return status;
    }
    return gm_fail(err, GM_EIO,
                   "folder '%s' contains neither a model (config.json) nor the shards of a trace",
                   path);
}

static gm_status describe(const char *path, bool json, gm_error *err)
{
    gm_status status = GM_OK;
    gm_trace *trace = NULL;
    gm_model *model = NULL;
    gm_json_out out = {0};
    gm_json_open_object(&out, NULL);
    if (has(path, "config.json")) { /* a model */
        gm_model_options options = {.headers_only = true};
        GM_TRY(gm_model_open(&model, path, &options, err));
        GM_TRY(put_model(model, &out, err));
    } else {
        GM_TRY(check_folder(path, err));
        GM_TRY(gm_trace_open(&trace, path, err));
        put_trace(trace, &out);
    }
    gm_json_close_object(&out);
    GM_TRY(gm_json_out_done(&out, err));
    if (json)
        printf("%s\n", out.text.at);
    else
        GM_TRY(print_lines(&out, path, err));
out:
    gm_text_clear(&out.text);
    gm_trace_close(trace);
    gm_model_close(model);
    return status;
}

int gm_probe_info(int argc, char **argv)
{
    gm_error err = {0};
    bool json = false;
    const gm_opt opts[] = {{GM_OPT_FLAG, "json", &json, 0, 0, NULL, "print one JSON object"},
                           {.kind = GM_OPT_END_}};
    gm_status status = gm_opt_parse(
        "gm-probe info TRACE | MODEL",
        "Of a model folder: what model it is, and whether its weights fit into this machine's\n"
        "memory (no weights are read). Of a trace: its shape, and how it was made.\n"
        "  gm-probe info OLMoE-1B-7B-0924\n"
        "  gm-probe info run.trace.h5 --json\n",
        opts, &argc, argv, &err);
    if (status == GM_OK && argc != 2)
        status = gm_fail(&err, GM_EARG, "expected one trace or model folder, found %d", argc - 1);
    if (status != GM_OK) return gm_cli_end("gm-probe", "info", status, true, &err);
    return gm_cli_end("gm-probe", "info", describe(argv[1], json, &err), false, &err);
}
