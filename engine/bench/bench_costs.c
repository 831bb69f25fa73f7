/* bench_costs.c - what each operation costs a token that a GPU decodes: the time of a token less
 * that of a token without the operation.
 *
 * What is computed then means nothing; what is read stays the same, but for the choices without a
 * router: those of the prompt's last token. Operations overlap, so that their costs add up to less
 * than a token's time.
 */
#include "engine/bench/bench.h"

#include "base/progress.h"
#include "engine/session.h"
#include "engine/weights.h"

#include <math.h>
#include <stdio.h>

static void skip_layer(gm_worker *me, const gm_step *step, size_t layer, const gm_layer *w)
{
    (void)me, (void)step, (void)layer, (void)w;
}

static void skip_block(gm_worker *me, const gm_step *step, size_t block)
{
    (void)me, (void)step, (void)block;
}

static const char *const names[GM_BENCH_OPS] = {
    "attn_in", "attn", "attn_out", "route", "moe_in", "moe_out", "head", "sample",
};

/* The i-th of `names` does nothing from now on; none below 0. */
static void leave_out(gm_ops *ops, int i)
{
    switch (i) {
    case 0: ops->attn_in = skip_layer; break;
    case 1: ops->attn = skip_layer; break;
    case 2: ops->attn_out = skip_layer; break;
    case 3: ops->route = skip_layer; break;
    case 4: ops->moe_in = skip_layer; break;
    case 5: ops->moe_out = skip_layer; break;
    case 6: ops->head = skip_block; break;
    case 7: ops->sample = skip_block; break;
    default: break;
    }
}

static bool go_on(void *context, size_t step, const uint32_t *sampled)
{
    (void)context, (void)step, (void)sampled;
    return true;
}

/* The prompt, `context` times token 0. */
static gm_status feed(gm_session *session, int sequence, size_t context, size_t step, gm_error *err)
{
    gm_status status = GM_OK;
    uint32_t *token = gm_alloc(step, sizeof *token);
    if (token == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu tokens", step);
    for (size_t left = context, n; left > 0; left -= n) {
        n = left < step ? left : step;
        const gm_segment g = {.sequence = sequence, .n = n, .token = token, .edit = -1};
        GM_TRY(gm_session_step(session, &g, 1, NULL, NULL, err));
    }
out:
    gm_free(token);
    return status;
}

static const gm_sampling greedy = {.top_p = 1, .repetition_penalty = 1};

/* A token sampled with all operations, which is there when the one that samples is left out. With
 * nll, so that its graph is not that of decoding. */
static gm_status sample_once(gm_session *session, int sequence, size_t context, gm_error *err)
{
    const uint32_t token = 0;
    uint32_t sampled;
    float nll;
    const gm_result result = {.sampled = &sampled, .nll = &nll};
    const gm_segment g = {
        .sequence = sequence, .n = 1, .token = &token, .edit = -1, .sampling = &greedy};
    gm_status status = gm_session_step(session, &g, 1, NULL, &result, err);
    gm_bench_again(session, sequence, context);
    return status;
}

/* The fastest round of decoding after the prompt; seconds a token. */
static gm_status decode(double *seconds, gm_session *session, int sequence,
                        const gm_bench_plan *plan, size_t context, gm_error *err)
{
    const uint32_t token = 0;
    uint32_t sampled;
    const gm_result result = {.sampled = &sampled};
    const gm_segment g = {
        .sequence = sequence, .n = 1, .token = &token, .edit = -1, .sampling = &plan->sampling};
    const gm_decoding how = {.n_steps = (size_t)plan->tokens, .each = go_on};
    *seconds = INFINITY;
    for (int i = -1; i < plan->pairs; i++) { /* the first round captures the graph */
        const double start = gm_now();
        gm_status status = gm_session_decode(session, &g, 1, &how, NULL, &result, err);
        if (status != GM_OK) return status;
        const double took = (gm_now() - start) / plan->tokens;
        if (i >= 0 && took < *seconds) *seconds = took;
        gm_bench_again(session, sequence, context);
    }
    return GM_OK;
}

/* Decoding without an operation, by a session of its own, whose graph has not its kernels. */
static gm_status measure(double *seconds, size_t *n_kernels, const gm_model *model,
                         const gm_bench_plan *plan, int left_out, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t context = (size_t)plan->context[plan->n_contexts - 1];
    gm_ops ops = *model->weights->ops;
    gm_weights weights = *model->weights;
    gm_model same = *model;
    gm_session *session = NULL;
    int sequence;
    weights.ops = &ops, same.weights = &weights;
    const gm_session_options options = gm_bench_speed_session(plan);
    GM_TRY(gm_session_create(&session, &same, &options, err));
    GM_TRY(gm_sequence_open(session, context + (size_t)plan->tokens + 1, &sequence, err));
    GM_TRY(feed(session, sequence, context, plan->step, err));
    GM_TRY(sample_once(session, sequence, context, err));
    leave_out(&ops, left_out);
    GM_TRY(decode(seconds, session, sequence, plan, context, err));
    *n_kernels = ops.accelerator->launches(session->own);
out:
    gm_session_free(session);
    return status;
}

gm_status gm_bench_run_costs(gm_bench_costs *out, const gm_model *model, const gm_bench_plan *plan,
                             gm_error *err)
{
    gm_status status = GM_OK;
    *out = (gm_bench_costs){0};
    if (model->weights->ops->accelerator == NULL)
        return gm_fail(err, GM_EABSENT, "--costs works on a GPU only");
    if (plan->n_contexts == 0)
        return gm_fail(err, GM_EARG, "--costs needs a context, but --context 0 asks for none");
    GM_TRY(measure(&out->token_s, &out->n_kernels, model, plan, -1, err));
    for (int i = 0; i < GM_BENCH_OPS; i++) {
        double without;
        size_t n;
        GM_TRY(measure(&without, &n, model, plan, i, err));
        out->op[i] = (struct gm_bench_cost){names[i], out->token_s - without, out->n_kernels - n};
    }
    out->n_layers = model->arch.n_layers;
out:
    return status;
}

void gm_bench_print_costs(const gm_bench_costs *costs)
{
    printf("a token takes %.1f us in %zu kernels; leaving out an operation saves, in all and per "
           "layer:\n",
           costs->token_s * 1e6, costs->n_kernels);
    for (int i = 0; i < GM_BENCH_OPS; i++)
        printf("  %-8s %4zu kernels %8.1f us %8.2f us\n", costs->op[i].name, costs->op[i].n_kernels,
               costs->op[i].saved_s * 1e6, costs->op[i].saved_s * 1e6 / costs->n_layers);
}

void gm_bench_costs_json(gm_json_out *out, const gm_bench_costs *costs)
{
    gm_json_open_object(out, "costs");
    gm_json_put_f64(out, "token_us", costs->token_s * 1e6);
    for (int i = 0; i < GM_BENCH_OPS; i++) {
        gm_json_open_object(out, costs->op[i].name);
        gm_json_put_u64(out, "kernels", costs->op[i].n_kernels);
        gm_json_put_f64(out, "saved_us", costs->op[i].saved_s * 1e6);
        gm_json_close_object(out);
    }
    gm_json_close_object(out);
}
