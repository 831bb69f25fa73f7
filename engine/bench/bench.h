/* bench.h - what gm-bench measures: the machine's own ceilings, and a model against them.
 *
 * Rates of a model are given beside what this machine reached in the same run: products
 * beside the rate of one product of M = 512, N = K = 2048 in the same type, decoding beside
 * the rate at which the same threads read memory. Bytes and operations are the model's own
 * counts, from the buffers it holds.
 */
#ifndef GM_BENCH_H
#define GM_BENCH_H

#include "base/json.h"
#include "engine/buf.h"
#include "engine/cpu/kernels.h"
#include "engine/model.h"
#include "engine/ops.h"
#include "engine/team.h"

/* ---- bench_shapes.c: models by name ---- */

/* config.json of the shape called `name` with `layers` layers (0: all), appended to
 * *config. Errors: GM_EARG, lists the names. */
gm_status gm_bench_config(gm_text *config, const char *name, int layers, gm_error *err) GM_MUST_USE;

/* The known shapes. */
#define GM_BENCH_SHAPES                                                                       \
    "olmoe-1b-7b, gigachat-20b-a3b, qwen3-30b-a3b, qwen1.5-moe-a2.7b, granite-3.0-1b-a400m, " \
    "gpt-oss-20b, gpt-oss-20b-mxfp4, gpt-oss-120b-mxfp4, glm-4.5-air, dots.llm1, "            \
    "ernie-4.5-21b-a3b, minimax-m2, deepseek-v2-lite, gigachat3-10b-a1.8b, phi-3.5-moe, "     \
    "qwen3-next-80b-a3b, qwen3.5-35b-a3b, glm-4.7-flash, flexolmo-7x7b, hunyuan-a13b, "       \
    "granite-4.0-h-tiny, granite-4.0-h-small, gemma-4-26b-a4b, "                              \
    "nemotron-3-nano-30b-a3b, lfm2-8b-a1b, llama-4-scout-17b-16e"

/* ---- bench_checkpoint.c ---- */

/* Write FOLDER/model.safetensors, of random weights (bf16, MXFP4), and config.json: a model without
 * its tokenizer. GM_EARG, GM_EEXIST, GM_EBUSY, GM_EIO, GM_EMEM. */
gm_status gm_bench_write_checkpoint(const char *folder, const char *shape, int layers, bool replace,
                                    gm_error *err) GM_MUST_USE;

/* ---- bench_ceilings.c: the machine ---- */

/* Memory that is read to find out how fast it can be; freed with gm_buf_free. GM_EMEM. */
gm_status gm_bench_memory_create(gm_buf *memory, size_t bytes, gm_error *err) GM_MUST_USE;

/* Bytes a second at which the team reads all of it once. */
double gm_bench_read_rate(gm_team *team, const gm_buf *memory);

typedef struct gm_bench_product {
    size_t m, n, k; /* rows, outputs, inputs */
    int repeats;    /* at least; more until half a second has gone by */
} gm_bench_product;

/* Floating point operations a second of a product in these numerics; the best of its repeats.
 * GM_EMEM. */
gm_status gm_bench_product_rate(double *out, gm_team *team, const gm_kernels *kernels,
                                gm_numerics numerics, const gm_bench_product *of, gm_error *err)
    GM_MUST_USE;

uint64_t gm_bench_peak_bytes(void); /* most memory that this process has held so far */

/* ---- bench_speed.c: a model ---- */

typedef struct gm_bench_plan {
    int threads;
    size_t step;            /* most rows of a step */
    size_t document;        /* tokens of a probed document */
    const int64_t *context; /* (n_contexts) ascending: where prefill and decode are measured */
    size_t n_contexts;
    int repeats;          /* of the probe */
    int pairs;            /* of decoding and reading memory, in turn; at most GM_BENCH_MAX_PAIRS */
    int tokens;           /* decoded in a pair */
    gm_sampling sampling; /* of these */
    bool noise;           /* contexts are made up, not computed: no prefill is measured */
    size_t memory_bytes;
} gm_bench_plan;

enum { GM_BENCH_MAX_CONTEXTS = 16, GM_BENCH_MAX_PAIRS = 1000 };

typedef struct gm_bench_speed {
    double read_rate;    /* bytes a second, median over all pairs */
    double product_rate; /* operations a second, M = 512, N = K = 2048 */
    bool gpu;            /* then `ceilings` too; read_rate is theirs */
    gm_ceilings ceilings;
    double probe_tok_s, probe_share; /* share of product_rate */
    size_t n;
    struct gm_bench_at {
        size_t context;
        double prefill_tok_s, prefill_share; /* NaN: of fewer than 16 tokens, made up */
        double first_prefill_tok_s;          /* on a GPU: of the first time, kernels being loaded */
        double decode_tok_s, decode_share;   /* median of pairs; share of read_rate */
        /* on a GPU: the same with a bias on every router and choices recorded; kernels of a token,
         * and what each costs beyond the reading of weights and cache */
        double steered_tok_s, gap_s;
        size_t launches;
    } at[GM_BENCH_MAX_CONTEXTS];
    double flop_per_token;  /* of a probed token, attention included */
    double bytes_per_token; /* weights that decoding a token reads */
    uint64_t weight_bytes, kv_bytes, peak_bytes;
} gm_bench_speed;

/* The session that it makes. */
gm_session_options gm_bench_speed_session(const gm_bench_plan *plan);

/* Set a sequence back to n tokens: the same work over the same memory. States of Gated DeltaNet are
 * not set back, which costs the same. */
void gm_bench_again(gm_session *session, int id, size_t n);

gm_status gm_bench_run_speed(gm_bench_speed *out, const gm_model *model, const gm_bench_plan *plan,
                             gm_error *err) GM_MUST_USE;

/* ---- bench_report.c: the same on stdout, and as members of an open JSON object ---- */

void gm_bench_print_speed(const gm_bench_speed *speed, const gm_bench_plan *plan);
void gm_bench_speed_json(gm_json_out *out, const gm_bench_speed *speed);

/* ---- bench_costs.c: where a token's time goes, on a GPU ---- */

enum { GM_BENCH_OPS = 8 };

typedef struct gm_bench_costs {
    double token_s; /* of a decoded token after the plan's last context, the fastest round */
    struct gm_bench_cost {
        const char *name; /* as in gm_ops */
        double saved_s;   /* by leaving it out; of all layers */
        size_t n_kernels; /* the same */
    } op[GM_BENCH_OPS];
    size_t n_kernels;
    int n_layers;
} gm_bench_costs;

/* GM_EABSENT on the CPU, GM_EARG without a context. */
gm_status gm_bench_run_costs(gm_bench_costs *out, const gm_model *model, const gm_bench_plan *plan,
                             gm_error *err) GM_MUST_USE;
void gm_bench_print_costs(const gm_bench_costs *costs);
void gm_bench_costs_json(gm_json_out *out, const gm_bench_costs *costs); /* as "costs" */

/* ---- bench_serve.c: requests ---- */

typedef struct gm_bench_mix {
    int threads;
    size_t requests, at_once;
    size_t prompt, output; /* mean tokens; lengths are spread evenly over half to three halves */
    uint64_t seed;
} gm_bench_mix;

/* What vLLM's serving benchmark prints. */
typedef struct gm_bench_served {
    double seconds, req_s, output_tok_s, total_tok_s;
    size_t prompt_tokens, output_tokens;
    double first_token_s; /* mean over the requests */
    double next_token_s;  /* likewise, over those that want more than one token; NaN: none does */
} gm_bench_served;

/* The session that it makes. */
gm_session_options gm_bench_serve_session(const gm_bench_mix *mix);

gm_status gm_bench_serve(gm_bench_served *out, const gm_model *model, const gm_bench_mix *mix,
                         gm_error *err) GM_MUST_USE;

#endif
