/* gm_bench.c - the gm-bench program: how fast this machine runs a model, beside what the
 * machine can do. */
#include "base/cli.h"
#include "base/progress.h"
#include "engine/bench/bench.h"
#include "engine/model_options.h"
#include "engine/ops.h"
#include "engine/weights.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* ---- what the commands share ---- */

typedef struct source {
    const char *shape, *model, *kernels, *device;
    int64_t layers, threads;
    int numerics, cache;
    bool map, json;
} source;

/* clang-format off */
#define SOURCE_OPTIONS(s)                                                                         \
    {.kind = GM_OPT_GROUP, .help = "Model"},                                                      \
    {GM_OPT_TEXT, "shape", &(s)->shape, 0, 0, "NAME",                                             \
     "random weights in the shape of: " GM_BENCH_SHAPES},                                         \
    {GM_OPT_I64, "layers", &(s)->layers, 0, 1000, "N", "layers of the shape; 0: all"},            \
    {GM_OPT_TEXT, "model", &(s)->model, 0, 0, "DIR", "a checkpoint, instead of --shape"},         \
    GM_COMPUTE_OPTIONS(s),                                                                        \
    {GM_OPT_FLAG, "map", &(s)->map, 0, 0, NULL,                                                   \
     "map the packed weights of --model instead of loading them"},                                \
    {GM_OPT_CHOICE, "cache", &(s)->cache, 0, 0, "use|write|off", "the file of its packed weights"},\
    {GM_OPT_FLAG, "json", &(s)->json, 0, 0, NULL, "print one JSON object"}
/* clang-format on */

static gm_status check_shape(const char *shape, gm_error *err)
{
    gm_text config = {0};
    gm_status status = gm_bench_config(&config, shape, 0, err);
    gm_text_clear(&config);
    return status;
}

static gm_status check_source(const source *s, gm_error *err)
{
    gm_status status = GM_OK;
    gm_device device;
    if ((s->model == NULL) == (s->shape == NULL))
        GM_FAIL(GM_EARG, "expected --shape NAME or --model DIR");
    if (s->model && s->layers > 0) GM_FAIL(GM_EARG, "--layers needs --shape");
    if (s->shape && (s->map || s->cache)) /* random weights have no file */
        GM_FAIL(GM_EARG, "%s needs --model", s->map ? "--map" : "--cache");
    if (s->shape) GM_TRY(check_shape(s->shape, err));
    GM_TRY(gm_device_parse(&device, s->device, err));
    GM_TRY(gm_kernels_check(s->kernels, err));
out:
    return status;
}

/* `planned` is what will be measured with; on_cpu: what is measured is the CPU's. */
static gm_status open_model(gm_model **model, const source *s, const gm_session_options *planned,
                            bool on_cpu, double *seconds, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text config = {0};
    const gm_model_options options = {.numerics = (gm_numerics)s->numerics,
                                      .threads = (int)s->threads,
                                      .kernels = s->kernels,
                                      .device = s->device || !on_cpu ? s->device : "cpu",
                                      .planned = planned,
                                      .hold = s->map ? GM_HOLD_MAPPED : GM_HOLD_RESIDENT,
                                      .cache = (gm_cache)s->cache,
                                      .notice = gm_warn_sentence,
                                      .device_notice = gm_tell_sentence};
    *model = NULL;
    double start = gm_now();
    if (s->model) {
        GM_TRY(gm_model_open(model, s->model, &options, err));
    } else {
        GM_TRY(gm_bench_config(&config, s->shape, (int)s->layers, err));
        GM_TRY(gm_model_open_random(model, s->shape, config.at, &options, err));
    }
    *seconds = gm_now() - start;
out:
    gm_text_clear(&config);
    return status;
}

static int threads_of(const source *s)
{
    return s->threads > 0 ? (int)s->threads : gm_team_processors();
}

/* What was measured, for both kinds of output. */
static void describe(gm_json_out *out, const source *s, const gm_model *model, double load_seconds)
{
    const gm_model_info *info = gm_model_get_info(model);
    gm_json_put_string(out, "model", info->folder);
    gm_json_put_i64(out, "layers", info->n_layers);
    gm_json_put_string(out, "numerics", gm_numerics_name(info->numerics));
    gm_json_put_string(out, "kernels", info->kernels);
    gm_json_put_string(out, "device", info->device);
    gm_json_put_i64(out, "threads", threads_of(s));
    gm_json_put_f64(out, "load_seconds", load_seconds);
}

static void print_model(const source *s, const gm_model *model, double load_seconds)
{
    const gm_model_info *info = gm_model_get_info(model);
    char a[24], b[24];
    printf("%s, %d layers, %s, %s, %d threads; %s parameters, %s of weights, loaded in %.1f s\n",
           info->folder, info->n_layers, gm_numerics_name(info->numerics), info->kernels,
           threads_of(s), gm_show_count(a, (double)info->n_parameters),
           gm_show_bytes(b, (double)info->resident_bytes), load_seconds);
}

static gm_status print_json(gm_json_out *out, gm_error *err)
{
    gm_json_close_object(out);
    return gm_cli_print_json(out, err);
}

/* ---- gm-bench ceilings ---- */

static int cmd_ceilings(int argc, char **argv)
{
    gm_status status = GM_OK;
    gm_error failure = {0}, *const err = &failure;
    source s = {0};
    int64_t m = 512, n = 2048, k = 2048, memory_mb = 1536;
    bool usage = true;
    gm_team *team = NULL;
    gm_buf memory = {0};
    const struct gm_kernels *kernels;
    double read = 0, bf16, f32;
    const gm_opt opts[] = {
        {GM_OPT_I64, "rows", &m, 1, 1 << 20, "M", "rows of the product"},
        {GM_OPT_I64, "outputs", &n, 1, 1 << 20, "N", "outputs of the product"},
        {GM_OPT_I64, "inputs", &k, 1, 1 << 20, "K", "inputs of the product"},
        {GM_OPT_I64, "memory", &memory_mb, 1, 1 << 20, "MB", "memory that is read"},
        {GM_OPT_TEXT, "kernels", &s.kernels, 0, 0, "NAME", GM_KERNELS},
        {GM_OPT_I64, "threads", &s.threads, 0, GM_MAX_THREADS, "N",
         "threads; 0: all that may be used"},
        {GM_OPT_FLAG, "json", &s.json, 0, 0, NULL, "print one JSON object"},
        {.kind = GM_OPT_END_},
    };
    GM_TRY(gm_opt_parse("gm-bench ceilings [--rows M --outputs N --inputs K]",
                        "  gm-bench ceilings --rows 512\n", opts, &argc, argv, err));
    if (argc > 1) GM_FAIL(GM_EARG, "unexpected argument '%s'", argv[1]);
    GM_TRY(gm_kernels_find(&kernels, s.kernels, err));
    usage = false;
    GM_TRY(gm_team_create(&team, (int)s.threads, err));
    GM_TRY(gm_bench_memory_create(&memory, (size_t)memory_mb * 1000000, err));
    for (int i = 0; i < 15; i++) read = fmax(read, gm_bench_read_rate(team, &memory));
    gm_bench_product of = {.m = (size_t)m, .n = (size_t)n, .k = (size_t)k, .repeats = 20};
    GM_TRY(gm_bench_product_rate(&bf16, team, kernels, GM_NUMERICS_BF16, &of, err));
    of.repeats = 5;
    GM_TRY(gm_bench_product_rate(&f32, team, kernels, GM_NUMERICS_F32, &of, err));
    if (s.json) {
        gm_json_out out = {0};
        gm_json_open_object(&out, NULL);
        gm_json_put_i64(&out, "threads", threads_of(&s));
        gm_json_put_f64(&out, "read_gb_s", read * 1e-9);
        gm_json_put_f64(&out, "bf16_gflop_s", bf16 * 1e-9);
        gm_json_put_f64(&out, "f32_gflop_s", f32 * 1e-9);
        GM_TRY(print_json(&out, err));
    } else {
        printf("%d threads: memory is read at %.1f GB/s; a product of %" PRId64 " x %" PRId64
               " x %" PRId64 " runs at %.0f GFLOP/s in bf16, %.0f in f32\n",
               threads_of(&s), read * 1e-9, m, n, k, bf16 * 1e-9, f32 * 1e-9);
    }
out:
    gm_team_free(team);
    gm_buf_free(&memory);
    return gm_cli_end("gm-bench", "ceilings", status, usage, err);
}

/* ---- gm-bench speed ---- */

/* "1", "512" ... in ascending order. */
static gm_status read_contexts(const gm_opt_list *list, int64_t *context, size_t *n, gm_error *err)
{
    static const int64_t usual[] = {1, 512, 4096, 32768};
    if (list->n == 0) {
        memcpy(context, usual, sizeof usual);
        *n = sizeof usual / sizeof usual[0];
        return GM_OK;
    }
    if (list->n > GM_BENCH_MAX_CONTEXTS)
        return gm_fail(err, GM_EARG, "--context is given %zu times, expected at most %d", list->n,
                       GM_BENCH_MAX_CONTEXTS);
    for (*n = 0; *n < list->n; (*n)++) {
        if (!gm_parse_i64(list->at[*n], &context[*n]) || context[*n] < 0 || context[*n] > 1 << 20)
            return gm_fail(err, GM_EARG, "--context is '%s', expected 0 to %d", list->at[*n],
                           1 << 20);
        if (*n > 0 && context[*n] <= context[*n - 1])
            return gm_fail(
                err, GM_EARG,
                "--context %s comes after a larger or equal one, expected ascending order",
                list->at[*n]);
    }
    if (context[0] == 0 && *n > 1)
        return gm_fail(err, GM_EARG, "--context 0 asks for none, but %zu more are given", *n - 1);
    if (context[0] == 0) *n = 0;
    return GM_OK;
}

/* `costs` may be NULL. */
static gm_status show_speed(const source *s, const gm_model *model, double load_seconds,
                            const gm_bench_plan *plan, const gm_bench_speed *speed,
                            const gm_bench_costs *costs, gm_error *err)
{
    gm_json_out out = {0};
    if (!s->json) {
        gm_bench_print_speed(speed, plan);
        if (costs) gm_bench_print_costs(costs);
        return GM_OK;
    }
    gm_json_open_object(&out, NULL);
    describe(&out, s, model, load_seconds);
    gm_json_put_f64(&out, "temperature", plan->sampling.temperature);
    gm_json_put_f64(&out, "top_p", plan->sampling.top_p);
    gm_bench_speed_json(&out, speed);
    if (costs) gm_bench_costs_json(&out, costs);
    return print_json(&out, err);
}

static int cmd_speed(int argc, char **argv)
{
    gm_status status = GM_OK;
    gm_error failure = {0}, *const err = &failure;
    source s = {0};
    gm_opt_list contexts = {0};
    int64_t context[GM_BENCH_MAX_CONTEXTS], step = 4096, document = 512, repeats = 3, pairs = 15;
    int64_t tokens = 4, memory_mb = 1536;
    bool usage = true, noise = false, wants_costs = false;
    gm_model *model = NULL;
    gm_bench_speed result;
    gm_bench_costs costs;
    gm_bench_plan plan = {.context = context, .sampling = {.top_p = 1, .repetition_penalty = 1}};
    double load_seconds = 0;
    const gm_opt opts[] = {
        SOURCE_OPTIONS(&s),
        {GM_OPT_GROUP, .help = "Measurements"},
        {GM_OPT_LIST, "context", &contexts, 0, 0, "N",
         "tokens before the measured ones, ascending; 0: none; otherwise 1, 512, 4096, 32768"},
        {GM_OPT_I64, "step", &step, 1, 1 << 20, "N", "most tokens per step"},
        {GM_OPT_I64, "document", &document, 1, 1 << 20, "N", "tokens of each probed document"},
        {GM_OPT_I64, "repeats", &repeats, 0, 1000, "N", "steps to probe; 0: none"},
        {GM_OPT_I64, "pairs", &pairs, 1, GM_BENCH_MAX_PAIRS, "N",
         "times that decoding and reading memory are measured in turn"},
        {GM_OPT_I64, "tokens", &tokens, 1, 1000, "N", "tokens decoded each time"},
        {GM_OPT_F64, "temperature", &plan.sampling.temperature, 0, 100, "T",
         "sample them; 0: greedy"},
        {GM_OPT_F64, "top-p", &plan.sampling.top_p, 0.01, 1, "P",
         "sample among the likeliest that together have this probability"},
        {GM_OPT_I64, "memory", &memory_mb, 1, 1 << 20, "MB", "memory that is read"},
        {GM_OPT_FLAG, "noise", &noise,
         .help = "make contexts up instead of computing them; prefill is then not measured"},
        {GM_OPT_FLAG, "costs", &wants_costs,
         .help = "on a GPU: time that decoding saves when an operation is left out, for each"},
        {.kind = GM_OPT_END_},
    };
    GM_TRY(gm_opt_parse("gm-bench speed --shape NAME | --model DIR",
                        "  gm-bench speed --shape olmoe-1b-7b --layers 4\n", opts, &argc, argv,
                        err));
    if (argc > 1) GM_FAIL(GM_EARG, "unexpected argument '%s'", argv[1]);
    GM_TRY(read_contexts(&contexts, context, &plan.n_contexts, err));
    if (document > step)
        GM_FAIL(GM_EARG, "a document of %" PRId64 " tokens does not fit into a step of %" PRId64,
                document, step);
    if (plan.sampling.top_p < 1 && plan.sampling.temperature == 0)
        GM_FAIL(GM_EARG,
                "--top-p %g without --temperature: the likeliest token is taken, and "
                "nothing sampled",
                plan.sampling.top_p);
    plan.threads = (int)s.threads, plan.step = (size_t)step, plan.document = (size_t)document;
    plan.repeats = (int)repeats, plan.pairs = (int)pairs, plan.tokens = (int)tokens;
    plan.memory_bytes = (size_t)memory_mb * 1000000;
    plan.noise = noise;
    GM_TRY(check_source(&s, err));
    usage = false;
    const gm_session_options planned = gm_bench_speed_session(&plan);
    GM_TRY(open_model(&model, &s, &planned, noise, &load_seconds, err));
    if (!s.json) print_model(&s, model, load_seconds);
    if (wants_costs) GM_TRY(gm_bench_run_costs(&costs, model, &plan, err));
    GM_TRY(gm_bench_run_speed(&result, model, &plan, err));
    GM_TRY(show_speed(&s, model, load_seconds, &plan, &result, wants_costs ? &costs : NULL, err));
out:
    gm_model_close(model);
    gm_opt_list_clear(&contexts);
    return gm_cli_end("gm-bench", "speed", status, usage, err);
}

/* ---- gm-bench serve ---- */

static gm_status show_served(const source *s, const gm_model *model, double load_seconds,
                             const gm_bench_mix *mix, const gm_bench_served *r, gm_error *err)
{
    gm_json_out out = {0};
    if (!s->json) {
        printf("%zu request%s, %zu at once: %.3f Req/s, Output Token/s %.2f, Total Token/s %.2f; "
               "first token after %.3f s",
               mix->requests, gm_plural(mix->requests), mix->at_once, r->req_s, r->output_tok_s,
               r->total_tok_s, r->first_token_s);
        if (!isnan(r->next_token_s)) printf(", then one every %.4f s", r->next_token_s);
        printf("\n");
        return GM_OK;
    }
    gm_json_open_object(&out, NULL);
    describe(&out, s, model, load_seconds);
    gm_json_put_u64(&out, "requests", mix->requests);
    gm_json_put_u64(&out, "at_once", mix->at_once);
    gm_json_put_u64(&out, "prompt_tokens", r->prompt_tokens);
    gm_json_put_u64(&out, "output_tokens", r->output_tokens);
    gm_json_put_f64(&out, "seconds", r->seconds);
    gm_json_put_f64(&out, "req_s", r->req_s);
    gm_json_put_f64(&out, "output_tok_s", r->output_tok_s);
    gm_json_put_f64(&out, "total_tok_s", r->total_tok_s);
    gm_json_put_f64(&out, "first_token_s", r->first_token_s);
    gm_json_put_f64(&out, "next_token_s", r->next_token_s);
    return print_json(&out, err);
}

static int cmd_serve(int argc, char **argv)
{
    gm_status status = GM_OK;
    gm_error failure = {0}, *const err = &failure;
    source s = {0};
    int64_t requests = 100, at_once = 1, prompt = 220, output = 250;
    bool usage = true;
    gm_model *model = NULL;
    gm_bench_served r;
    double load_seconds = 0;
    const gm_opt opts[] = {
        SOURCE_OPTIONS(&s),
        {GM_OPT_GROUP, .help = "Requests"},
        {GM_OPT_I64, "requests", &requests, 1, 1 << 20, "N", "number of requests"},
        {GM_OPT_I64, "at-once", &at_once, 1, 4096, "N", "requests served at once"},
        {GM_OPT_I64, "prompt", &prompt, 1, 1 << 17, "N", "mean length of a prompt, in tokens"},
        {GM_OPT_I64, "output", &output, 1, 1 << 17, "N", "mean number of tokens generated"},
        {.kind = GM_OPT_END_},
    };
    GM_TRY(gm_opt_parse("gm-bench serve --shape NAME | --model DIR",
                        "Lengths are uniform between 0.5 and 1.5 times their mean.\n"
                        "  gm-bench serve --shape olmoe-1b-7b --layers 4 --at-once 8\n",
                        opts, &argc, argv, err));
    if (argc > 1) GM_FAIL(GM_EARG, "unexpected argument '%s'", argv[1]);
    GM_TRY(check_source(&s, err));
    usage = false;
    const gm_bench_mix mix = {.threads = (int)s.threads,
                              .requests = (size_t)requests,
                              .at_once = (size_t)at_once,
                              .prompt = (size_t)prompt,
                              .output = (size_t)output,
                              .seed = 1};
    const gm_session_options planned = gm_bench_serve_session(&mix);
    GM_TRY(open_model(&model, &s, &planned, false, &load_seconds, err));
    if (!s.json) print_model(&s, model, load_seconds);
    GM_TRY(gm_bench_serve(&r, model, &mix, err));
    GM_TRY(show_served(&s, model, load_seconds, &mix, &r, err));
out:
    gm_model_close(model);
    return gm_cli_end("gm-bench", "serve", status, usage, err);
}

/* ---- checkpoint ---- */

static int cmd_checkpoint(int argc, char **argv)
{
    gm_error err = {0};
    const char *shape = NULL, *folder = NULL;
    int64_t layers = 0;
    bool force = false;
    const gm_opt opts[] = {
        {GM_OPT_TEXT, "shape", &shape, 0, 0, "NAME", GM_BENCH_SHAPES},
        {GM_OPT_I64, "layers", &layers, 0, 1000, "N", "layers of the shape; 0: all"},
        {GM_OPT_TEXT, "o", &folder, 0, 0, "DIR", "the folder to write"},
        {GM_OPT_FLAG, "force", &force, 0, 0, NULL, "replace existing files"},
        {.kind = GM_OPT_END_}};
    gm_status status = gm_opt_parse(
        "gm-bench checkpoint --shape NAME -o DIR",
        "Writes a checkpoint of random weights, for any program that reads checkpoints.\n"
        "  gm-bench checkpoint --shape olmoe-1b-7b --layers 2 -o olmoe-2\n",
        opts, &argc, argv, &err);
    if (status == GM_OK && (argc > 1 || !shape || !folder))
        status = gm_fail(&err, GM_EARG, "expected --shape NAME and -o DIR, and no other argument");
    if (status == GM_OK) status = check_shape(shape, &err);
    if (status != GM_OK) return gm_cli_end("gm-bench", "checkpoint", status, true, &err);
    status = gm_bench_write_checkpoint(folder, shape, (int)layers, force, &err);
    return gm_cli_end("gm-bench", "checkpoint", status, false, &err);
}

int main(int argc, char **argv)
{
    static const gm_command commands[] = {
        {"ceilings", cmd_ceilings, "how fast this machine reads memory and multiplies matrices"},
        {"speed", cmd_speed, "probing, prefill and decoding beside those ceilings"},
        {"serve", cmd_serve, "serving a mix of requests: requests and tokens a second"},
        {"checkpoint", cmd_checkpoint, "write a checkpoint of random weights"},
        {NULL, NULL, NULL},
    };
    return gm_cli_main("gm-bench", "measure the engine on this machine", commands, argc, argv);
}
