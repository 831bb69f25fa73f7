/* test_cuda_delta.c - Gated DeltaNet against its definition in double: keys, values, heads and taps
 * of odd sizes and of those that are published; sequences of odd lengths side by side, cut into
 * steps of few rows and of many; what is not finite; blocks in other orders.
 */
#include "emulated_run.h"
#include "engine/cuda/cuda_session.h"

enum { SEQUENCES = 3, MOST_STEPS = 6, MOST_TAKEN = 24, MORE = 2 /* tokens than the steps have */ };

/* How many tokens of each sequence a step has; steps of one of each go the way of few rows, unless
 * they are to be many. */
typedef struct cut {
    int n[SEQUENCES];
    bool many;
} cut;

typedef struct sizes {
    int n_heads, n_key_heads, key, value, taps;
} sizes;

/* Pinned memory, which a GPU reaches too, each in a block of its own: what lies outside is seen. */
typedef struct arena {
    gm_cuda_delta p;
    gm_cuda_how how;
    void *taken[MOST_TAKEN];
    int n_taken;
    int length[SEQUENCES];     /* tokens so far */
    float *input[SEQUENCES];   /* (tokens, x_stride), the host's */
    double *wanted[SEQUENCES]; /* (tokens, H value) */
    gm_row *row;
    gm_tile *run;
    float *x, *conv, *rate, *bias, *norm, *heads, *rounded;
    size_t most_rows;
} arena;

static void *take(arena *a, size_t bytes)
{
    void *at = NULL;
    CHECK(a->n_taken < MOST_TAKEN);
    CHECK_INT(cudaMallocHost(&at, bytes), cudaSuccess);
    a->taken[a->n_taken++] = at;
    return at;
}

/* n numbers; `size` 0: NaN, which nobody may read. */
static float *take_floats(arena *a, size_t n, gm_rng *rng, double size)
{
    float *at = take(a, n * sizeof *at);
    for (size_t i = 0; i < n; i++) at[i] = size > 0.0 ? (float)(size * gm_rng_normal(rng)) : NAN;
    return at;
}

/* ---- the definition ---- */

static double silu(double x)
{
    return x / (1.0 + exp(-x));
}

/* Channel c of a token after the convolution. */
static double convolve(const arena *a, const float *input, int t, int c)
{
    const gm_cuda_delta *p = &a->p;
    double sum = 0.0;
    for (int j = 0; j < p->taps; j++) {
        const int from = t - (p->taps - 1) + j;
        if (from >= 0)
            sum += (double)a->conv[(size_t)c * p->conv_stride + (size_t)j] *
                   (double)input[(size_t)from * p->x_stride + (size_t)c];
    }
    return silu(sum);
}

static void unit(double *x, int n, double scale)
{
    double squares = 0.0;
    for (int i = 0; i < n; i++) squares += x[i] * x[i];
    for (int i = 0; i < n; i++) x[i] *= scale / sqrt(squares + (double)GM_DELTA_EPSILON);
}

/* A token of head h through its state (key, value); `given` (value) is what the head gives. */
static void turn(const arena *a, const float *input, int t, int h, double *state, double *given)
{
    const gm_cuda_delta *p = &a->p;
    const float *x = input + (size_t)t * p->x_stride;
    const int keys = p->n_key_heads * p->key, from = h / (p->n_heads / p->n_key_heads) * p->key;
    const double beta = 1.0 / (1.0 + exp(-(double)x[p->at_b + h]));
    const double softplus = log1p(exp((double)x[p->at_a + h] + (double)a->bias[h]));
    const double decay = exp(-exp((double)a->rate[h]) * softplus);
    double query[GM_CUDA_MAX_DELTA_KEY], key[GM_CUDA_MAX_DELTA_KEY], squares = 0.0;
    for (int k = 0; k < p->key; k++) query[k] = convolve(a, input, t, from + k);
    for (int k = 0; k < p->key; k++) key[k] = convolve(a, input, t, keys + from + k);
    unit(query, p->key, 1.0 / sqrt(p->key));
    unit(key, p->key, 1.0);
    for (int v = 0; v < p->value; v++) {
        double known = 0.0;
        for (int k = 0; k < p->key; k++) known += (state[k * p->value + v] *= decay) * key[k];
        const double value = convolve(a, input, t, 2 * keys + h * p->value + v);
        given[v] = 0.0;
        for (int k = 0; k < p->key; k++) {
            state[k * p->value + v] += key[k] * (value - known) * beta;
            given[v] += state[k * p->value + v] * query[k];
        }
        squares += given[v] * given[v];
    }
    for (int v = 0; v < p->value; v++)
        given[v] *= 1.0 / sqrt(squares / p->value + (double)p->epsilon) * (double)a->norm[v] *
                    silu((double)x[p->at_z + h * p->value + v]);
}

static double *define(const arena *a, const float *input, int n)
{
    const gm_cuda_delta *p = &a->p;
    const size_t width = (size_t)(p->n_heads * p->value);
    double *out = gm_alloc((size_t)n * width, sizeof *out);
    for (int h = 0; h < p->n_heads; h++) {
        double *state = gm_alloc((size_t)(p->key * p->value), sizeof *state);
        for (int t = 0; t < n; t++)
            turn(a, input, t, h, state, out + (size_t)t * width + (size_t)(h * p->value));
        gm_free(state);
    }
    return out;
}

/* ---- running ---- */

static void set_up(arena *a, const sizes *z, const cut *steps)
{
    gm_rng rng = gm_rng_make(23, (uint64_t)(z->key * 1000 + z->value));
    const int keys = z->n_key_heads * z->key, values = z->n_heads * z->value;
    const int channels = 2 * keys + values, key_stride = gm_cuda_key_stride(z->key);
    int total[SEQUENCES] = {0};
    *a = (arena){.how = a->how};
    for (int i = 0; i < MOST_STEPS; i++) {
        size_t rows = 0;
        for (int s = 0; s < SEQUENCES; s++)
            total[s] += steps[i].n[s], rows += (size_t)steps[i].n[s];
        if (rows > a->most_rows) a->most_rows = rows;
    }
    a->p = (gm_cuda_delta){.n_heads = z->n_heads,
                           .n_key_heads = z->n_key_heads,
                           .key = z->key,
                           .value = z->value,
                           .key_stride = key_stride,
                           .taps = z->taps,
                           .at_z = channels,
                           .at_b = channels + values,
                           .at_a = channels + values + z->n_heads,
                           .x_stride = (size_t)(channels + values + 2 * z->n_heads + 1),
                           .conv_stride = (size_t)z->taps + 1,
                           .heads_stride = (size_t)values + 3,
                           .epsilon = 1e-6f,
                           .wide = true};
    gm_cuda_delta *p = &a->p;
    p->vectors_stride =
        gm_round_up((size_t)(2 * z->n_key_heads * key_stride + values + 2 * z->n_heads), 4);
    p->conv = a->conv = take_floats(a, (size_t)channels * p->conv_stride, &rng, 0.5);
    p->rate = a->rate = take_floats(a, (size_t)z->n_heads, &rng, 1.0);
    p->bias = a->bias = take_floats(a, (size_t)z->n_heads, &rng, 1.0);
    p->norm = a->norm = take_floats(a, (size_t)z->value, &rng, 1.0);
    p->history = take_floats(a, SEQUENCES * (size_t)(z->taps * channels), &rng, 0.0);
    p->state = take_floats(a, SEQUENCES * (size_t)(values * key_stride), &rng, 0.0);
    p->row = a->row = take(a, a->most_rows * sizeof *a->row);
    a->run = take(a, SEQUENCES * sizeof *a->run);
    p->x = a->x = take_floats(a, a->most_rows * p->x_stride, &rng, 0.0);
    p->vectors = take_floats(a, a->most_rows * p->vectors_stride, &rng, 0.0);
    p->heads = a->heads = take_floats(a, a->most_rows * p->heads_stride, &rng, 0.0);
    p->rounded = a->rounded = take_floats(a, a->most_rows * p->heads_stride, &rng, 0.0);
    for (int s = 0; s < SEQUENCES; s++)
        a->input[s] = take_floats(a, (size_t)(total[s] + MORE) * p->x_stride, &rng, 1.0);
    for (int s = 0; s < SEQUENCES; s++) a->wanted[s] = define(a, a->input[s], total[s] + MORE);
}

static void clear(arena *a)
{
    for (int i = 0; i < a->n_taken; i++) CHECK_INT(cudaFreeHost(a->taken[i]), cudaSuccess);
    for (int s = 0; s < SEQUENCES; s++) gm_free(a->wanted[s]);
}

/* Runs a step, of sequences in falling order; the rows' results are in *results. */
static void compute(arena *a, const cut *s, const float **results)
{
    gm_cuda_delta *p = &a->p;
    int n_runs = 0, n = 0;
    bool few = !s->many;
    for (int q = SEQUENCES - 1; q >= 0; q--) {
        if (s->n[q] == 0) continue;
        a->run[n_runs++] = (gm_tile){.first = (uint32_t)n, .n = (uint32_t)s->n[q]};
        few = few && s->n[q] == 1;
        for (int i = 0; i < s->n[q]; i++, n++, a->length[q]++) {
            a->row[n] = (gm_row){.position = (uint32_t)a->length[q], .sequence = q};
            memcpy(a->x + (size_t)n * p->x_stride, a->input[q] + (size_t)a->length[q] * p->x_stride,
                   p->x_stride * sizeof *a->x);
        }
    }
    p->n_rows = n;
    if (n == 0) return;
    *results = few ? a->heads : a->rounded;
    if (few) {
        CHECK_INT(gm_cuda_delta_few(&a->how, p), cudaSuccess);
    } else {
        CHECK_INT(gm_cuda_delta_convolve_many(&a->how, p), cudaSuccess);
        CHECK_INT(gm_cuda_delta_states_many(&a->how, p, a->run, n_runs), cudaSuccess);
        CHECK_INT(gm_cuda_delta_finish_many(&a->how, p), cudaSuccess);
    }
    CHECK_INT(cudaStreamSynchronize(a->how.stream), cudaSuccess);
}

/* Largest difference of a step's results from the definition. */
static double step_off(arena *a, const cut *s)
{
    const gm_cuda_delta *p = &a->p;
    const size_t width = (size_t)(p->n_heads * p->value);
    const float *results = NULL;
    double most = 0.0;
    compute(a, s, &results);
    for (size_t r = 0; r < (size_t)p->n_rows; r++) {
        const double *want = a->wanted[a->row[r].sequence] + a->row[r].position * width;
        for (size_t i = 0; i < width; i++)
            most = check_larger(most, fabs((double)results[r * p->heads_stride + i] - want[i]));
    }
    return most;
}

static arena make_arena(void)
{
    cudaStream_t stream = NULL;
#ifdef GM_REAL_GPU
    gm_model_close(open_tiny("olmoe-tiny", "cuda", GM_NUMERICS_F32)); /* or skipped */
#endif
    CHECK_INT(cudaStreamCreateWithFlags(&stream, 0), cudaSuccess);
    return (arena){.how = {.stream = stream, .multiprocessors = 4}};
}

/* Of few rows, of many, and both by turns, over the borders of what is brought at once. */
static const cut from_few[MOST_STEPS] = {{{1, 1, 1}, false},  {{1, 0, 1}, false},
                                         {{31, 1, 0}, false}, {{1, 1, 1}, false},
                                         {{1, 1, 1}, true},   {{0, 1, 1}, false}};
static const cut from_many[MOST_STEPS] = {{{33, 2, 16}, false}, {{1, 1, 17}, false},
                                          {{1, 1, 1}, false},   {{0, 1, 0}, false},
                                          {{2, 3, 1}, false},   {{1, 0, 1}, false}};
static const cut long_one[MOST_STEPS] = {{{0, 257, 0}, false}, {{0, 1, 0}, false}};

static void steps_are_the_definition(void)
{
    static const struct {
        sizes sizes;
        const cut *steps;
    } cases[] = {
        {{1, 1, 1, 1, 2}, from_few},      {{2, 1, 31, 33, 4}, from_few},
        {{3, 3, 33, 31, 5}, from_many},   {{4, 2, 16, 8, 4}, from_many},
        {{1, 1, 65, 257, 3}, from_few},   {{6, 2, 32, 40, 2}, long_one},
        {{2, 1, 128, 128, 4}, from_many}, {{2, 1, 64, 129, 4}, from_few},
        {{2, 1, 127, 100, 7}, from_few},
    };
    double worst = 0.0;
    arena a = make_arena();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        set_up(&a, &cases[i].sizes, cases[i].steps);
        for (int s = 0; s < MOST_STEPS; s++) {
            const double off = step_off(&a, &cases[i].steps[s]);
            if (!(off <= 5e-5)) TEST_FAILED_("case %zu, step %d: off by %.3g", i, s, off);
            worst = check_larger(worst, off);
        }
        clear(&a);
    }
    printf("within %.2g\n", worst);
    CHECK_INT(cudaStreamDestroy(a.how.stream), cudaSuccess);
}

/* A sequence's NaN stays in it, and ends with it: what begins in its place reads nothing of it. */
static void what_is_not_finite_stays_in_its_sequence(void)
{
    static const sizes z = {2, 1, 20, 24, 4};
    static const cut once[MOST_STEPS] = {{{4, 4, 4}, false}, {{1, 1, 1}, false}};
    static const cut again[2] = {{{1, 2, 1}, true}, {{1, 1, 1}, false}};
    for (int at = 0; at < 4; at++) { /* in a query, value, gate, rate */
        for (int many = 0; many < 2; many++) {
            arena a = make_arena();
            const float *results;
            set_up(&a, &z, once);
            const int place[] = {3, a.p.at_z - 1, a.p.at_z, a.p.at_a + 1};
            float *x = a.input[1] + 2 * a.p.x_stride + place[at];
            const float good = *x;
            *x = at == 3 && many ? INFINITY : NAN;
            compute(&a, &once[0], &results);
            for (size_t r = 0; r < (size_t)a.p.n_rows; r++) {
                size_t n = 0;
                const bool wrong = a.row[r].sequence == 1 && a.row[r].position >= 2;
                for (size_t i = 0; i < (size_t)(z.n_heads * z.value); i++)
                    n += isfinite(results[r * a.p.heads_stride + i]) ? 0 : 1;
                if (!wrong) CHECK_INT(n, 0);
                if (wrong && at == 0) CHECK_INT(n, z.n_heads * z.value);
                if (a.row[r].sequence == 1 && a.row[r].position == 2 && *x != INFINITY)
                    CHECK(n > 0);
            }
            compute(&a, &once[1], &results);
            *x = good;
            a.length[1] = 0; /* another begins there */
            if (many) CHECK(step_off(&a, &again[0]) <= 5e-5);
            CHECK(step_off(&a, &again[1]) <= 5e-5);
            clear(&a);
            CHECK_INT(cudaStreamDestroy(a.how.stream), cudaSuccess);
        }
    }
}

/* ---- whole models ---- */

#define SMALL                                                                    \
    "\"num_hidden_layers\": 4, \"hidden_size\": 33, \"intermediate_size\": 31, " \
    "\"max_position_embeddings\": 1024, \"vocab_size\": 65, \"rope_theta\": 100, "

/* Gated DeltaNet and gated attention: a tensor for several of its matrices, and one each; keys and
 * values that fill no quad, as wide as published. */
static const char *const config[][2] = {
    {"keys of 33",
     "{\"architectures\": [\"Qwen3NextForCausalLM\"], " SMALL
     "\"num_experts\": 33, \"num_experts_per_tok\": 3, \"moe_intermediate_size\": 33, "
     "\"shared_expert_intermediate_size\": 31, \"num_attention_heads\": 3, "
     "\"num_key_value_heads\": 1, \"head_dim\": 34, \"partial_rotary_factor\": 0.3, "
     "\"full_attention_interval\": 2, \"linear_num_key_heads\": 1, "
     "\"linear_num_value_heads\": 3, \"linear_key_head_dim\": 33, "
     "\"linear_value_head_dim\": 31, \"linear_conv_kernel_dim\": 3}"},
    {"keys of 128",
     "{\"architectures\": [\"Qwen3_5MoeForCausalLM\"], \"model_type\": "
     "\"qwen3_5_moe_text\", " SMALL
     "\"num_experts\": 5, \"num_experts_per_tok\": 2, \"moe_intermediate_size\": 1, "
     "\"shared_expert_intermediate_size\": 33, \"num_attention_heads\": 2, "
     "\"num_key_value_heads\": 2, \"head_dim\": 256, \"partial_rotary_factor\": 0.25, "
     "\"layer_types\": [\"full_attention\", \"linear_attention\", \"linear_attention\", "
     "\"full_attention\"], "
     "\"linear_num_key_heads\": 2, \"linear_num_value_heads\": 4, "
     "\"linear_key_head_dim\": 128, \"linear_value_head_dim\": 128, "
     "\"linear_conv_kernel_dim\": 4}"},
};

static void gated_delta_of_odd_sizes(void)
{
    for (size_t i = 0; i < 2; i++) {
        compare_config(config[i][0], config[i][1], 5, &(plan){.threads = 1, .step = 1},
                       "row by row");
        compare_config(config[i][0], config[i][1], 35, &(plan){.threads = 1, .step = 17},
                       "in three steps");
    }
}

/* Numbers of fewer bits: off by a share of what these do at all. */
static void rounded_weights_are_the_cpus(void)
{
    static const gm_numerics numerics[] = {GM_NUMERICS_BF16, GM_NUMERICS_INT8, GM_NUMERICS_FP8};
    static const size_t offset[] = {0, 9};
    static const plan plans[] = {{.threads = 1, .step = 1}, {.threads = 1, .step = 9}};
    for (int i = 0; i < 3; i++) {
        outcome of[4]; /* in f32, by the CPU, and by the GPU both ways */
        for (int k = 0; k < 4; k++) {
            gm_model *model = NULL;
            gm_error err = {0};
            uint32_t token[9];
            const gm_model_options options = {.device = k < 2 ? "cpu" : "cuda",
                                              .numerics = k == 0 ? GM_NUMERICS_F32 : numerics[i],
                                              .threads = 2};
            CHECK_OK(gm_model_open_random(&model, "rounded", config[0][1], &options, &err), err);
            if (model == NULL) exit(1);
            random_tokens(model, token, 9);
            const docs d = {.n = 1, .n_tokens = 9, .token = token, .offset = offset};
            of[k] = run_docs(model, &d, &plans[k == 3]);
            gm_model_close(model);
        }
        const size_t n = of[0].n_tokens * of[0].vocab;
        const double rounding = most_off(of[1].logits, of[0].logits, n);
        for (int k = 2; k < 4; k++) {
            const double off = most_off(of[k].logits, of[1].logits, n);
            printf("%s: logits within %.2g, rounding %.2g\n", gm_numerics_name(numerics[i]), off,
                   rounding);
            CHECK(off <= rounding);
        }
        for (int k = 0; k < 4; k++) outcome_free(&of[k]);
    }
}

/* Keys of 33 at a time: logits after each of n tokens, one by one, by the CPU. */
static float *logits_of(const uint32_t *token, size_t n, size_t vocab)
{
    gm_model *cpu = open_config(config[0][0], config[0][1], "cpu");
    gm_session *session = NULL;
    gm_error err = {0};
    int id;
    const gm_session_options o = {.threads = 1, .max_rows = 1, .kv_rows = 64, .max_sequences = 1};
    float *logits = gm_alloc2(n, vocab, sizeof *logits);
    CHECK_OK(gm_session_create(&session, cpu, &o, &err), err);
    CHECK_OK(gm_sequence_open(session, 64, &id, &err), err);
    for (size_t t = 0; t < n; t++) {
        const gm_segment g = {
            .sequence = id, .n = 1, .token = &token[t], .edit = -1, .want = GM_WANT_LAST};
        const gm_result result = {.logits = logits + t * vocab};
        CHECK_OK(gm_session_step(session, &g, 1, NULL, &result, &err), err);
    }
    gm_session_free(session);
    gm_model_close(cpu);
    return logits;
}

/* The tokens that a sequence has been fed with. */
typedef struct fed {
    uint32_t token[64];
    size_t n, until;
} fed;

static bool stop_early(void *context, size_t step, const uint32_t *sampled)
{
    fed *f = context;
    (void)step;
    f->token[f->n] = sampled[0];
    return ++f->n < f->until;
}

/* Decoding that ends before all of its steps leaves the state of those that were looked at. */
static void decoding_can_stop_and_go_on(void)
{
    static const gm_sampling greedy = {.top_p = 1, .repetition_penalty = 1};
    gm_model *gpu = open_config(config[0][0], config[0][1], "cuda");
    const size_t vocab = (size_t)gm_model_get_info(gpu)->vocab_size;
    gm_session *session = NULL;
    gm_error err = {0};
    int id;
    const gm_session_options o = {.max_rows = 8, .kv_rows = 64, .max_sequences = 1};
    fed f = {.token = {3, 1, 4, 1}, .n = 4, .until = 9};
    uint32_t sampled[1];
    float *logits = gm_alloc(vocab, sizeof *logits);
    gm_result result = {.sampled = sampled, .logits = logits};
    CHECK_OK(gm_session_create(&session, gpu, &o, &err), err);
    CHECK_OK(gm_sequence_open(session, 64, &id, &err), err);
    gm_segment g = {.sequence = id, .n = 3, .token = f.token, .edit = -1};
    CHECK_OK(gm_session_step(session, &g, 1, NULL, &result, &err), err);
    g = (gm_segment){.sequence = id, .n = 1, .token = &f.token[3], .edit = -1, .sampling = &greedy};
    CHECK_OK(gm_session_decode(session, &g, 1, 20, NULL, &result, stop_early, &f, &err), err);
    const size_t n = gm_sequence_length(session, id);
    CHECK_INT(n, 8);
    f.token[n] = 7;
    g = (gm_segment){
        .sequence = id, .n = 1, .token = &f.token[n], .edit = -1, .want = GM_WANT_LAST};
    CHECK_OK(gm_session_step(session, &g, 1, NULL, &result, &err), err);
    float *want = logits_of(f.token, n + 1, vocab);
    CHECK_FLOATS(logits, want + n * vocab, vocab, 1e-4);
    gm_free(want), gm_free(logits);
    gm_session_free(session);
    gm_model_close(gpu);
}

/* The sizes that are too much for the kernels are refused by a sentence. */
static void what_is_too_wide_is_refused(void)
{
    gm_model *model = open_config(config[0][0], config[0][1], "cpu");
    gm_arch arch = model->arch;
    gm_error err = {0};
    CHECK_OK(gm_cuda_check_arch(&arch, &err), err);
    arch.delta.key = 129;
    CHECK_FAILS(gm_cuda_check_arch(&arch, &err), err, GM_EABSENT, "keys of 129 dimensions");
    arch.delta.key = 128, arch.delta.value = 1025;
    CHECK_FAILS(gm_cuda_check_arch(&arch, &err), err, GM_EABSENT, "values of 1025");
    gm_model_close(model);
}

#ifndef GM_REAL_GPU
/* Blocks in another order give the same bytes. */
static void order_does_not_matter(void)
{
    static const sizes z = {4, 2, 33, 70, 4};
    arena a = make_arena();
    float *first[MOST_STEPS] = {0};
    for (unsigned long order = 0; order < 4; order++) {
        gm_emulation.order = order;
        set_up(&a, &z, from_few);
        for (int s = 0; s < MOST_STEPS; s++) {
            const float *results = NULL;
            compute(&a, &from_few[s], &results);
            const size_t n = (size_t)a.p.n_rows * a.p.heads_stride;
            if (first[s] == NULL) {
                first[s] = gm_alloc(n, sizeof **first);
                memcpy(first[s], results, n * sizeof **first);
            }
            CHECK_BYTES(results, first[s], n * sizeof **first);
        }
        clear(&a);
    }
    gm_emulation.order = 0;
    for (int s = 0; s < MOST_STEPS; s++) gm_free(first[s]);
    CHECK_INT(cudaStreamDestroy(a.how.stream), cudaSuccess);
}

TESTS(TEST(steps_are_the_definition), TEST(what_is_not_finite_stays_in_its_sequence),
      TEST(gated_delta_of_odd_sizes), TEST(rounded_weights_are_the_cpus),
      TEST(decoding_can_stop_and_go_on), TEST(what_is_too_wide_is_refused),
      TEST(order_does_not_matter))
#else
TESTS(TEST(steps_are_the_definition), TEST(what_is_not_finite_stays_in_its_sequence),
      TEST(gated_delta_of_odd_sizes), TEST(rounded_weights_are_the_cpus),
      TEST(decoding_can_stop_and_go_on), TEST(what_is_too_wide_is_refused))
#endif
