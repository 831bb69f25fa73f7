/* bench_report.c - what was measured of a model's speed, as people read it and as JSON. */
#include "base/progress.h"
#include "engine/bench/bench.h"

#include <math.h>
#include <stdio.h>

/* A GPU's ceilings, and what a token costs in kernels. */
static void print_gpu(const gm_bench_speed *r)
{
    const gm_ceilings *c = &r->ceilings;
    printf("GPU: reads %.0f GB/s, copies %.0f GB/s; experts' products %.0f TFLOP/s; a kernel in a "
           "graph %.2f us, started early %.2f us, a barrier of all blocks %.2f us\n",
           c->read_rate * 1e-9, c->copy_rate * 1e-9, c->expert_rate * 1e-12, c->gap_s * 1e6,
           c->early_gap_s * 1e6, c->barrier_s * 1e6);
    for (int i = 0; i < GM_STREAM_RATES; i++)
        printf("  %d loads of 16 bytes per thread, %d blocks per multiprocessor: %.0f GB/s\n",
               c->stream[i].loads, c->stream[i].blocks, c->stream[i].rate * 1e-9);
    for (size_t i = 0; i < r->n; i++)
        printf("  context %zu: %zu kernels per token, %.2f us lost at each; steered and recorded "
               "%.2f tok/s (%+.1f %%)\n",
               r->at[i].context, r->at[i].launches, r->at[i].gap_s * 1e6, r->at[i].steered_tok_s,
               100 * (r->at[i].steered_tok_s / r->at[i].decode_tok_s - 1));
}

static void gpu_json(gm_json_out *out, const gm_ceilings *c)
{
    gm_json_open_object(out, "gpu");
    gm_json_put_f64(out, "read_gb_s", c->read_rate * 1e-9);
    gm_json_put_f64(out, "copy_gb_s", c->copy_rate * 1e-9);
    gm_json_put_f64(out, "expert_products_tflop_s", c->expert_rate * 1e-12);
    gm_json_put_f64(out, "graph_kernel_us", c->gap_s * 1e6);
    gm_json_put_f64(out, "graph_kernel_early_us", c->early_gap_s * 1e6);
    gm_json_put_f64(out, "grid_barrier_us", c->barrier_s * 1e6);
    gm_json_open_array(out, "streams");
    for (int i = 0; i < GM_STREAM_RATES; i++) {
        gm_json_open_object(out, NULL);
        gm_json_put_i64(out, "loads", c->stream[i].loads);
        gm_json_put_i64(out, "blocks", c->stream[i].blocks);
        gm_json_put_f64(out, "gb_s", c->stream[i].rate * 1e-9);
        gm_json_close_object(out);
    }
    gm_json_close_array(out);
    gm_json_close_object(out);
}

void gm_bench_print_speed(const gm_bench_speed *speed, const gm_bench_plan *plan)
{
    char a[24], b[24], c[24];
    printf("ceilings: %.1f GB/s read (median), %.0f GFLOP/s for 512 x 2048 x 2048\n",
           speed->read_rate * 1e-9, speed->product_rate * 1e-9);
    if (plan->repeats > 0)
        printf("probe: %.0f tok/s, %.0f %% of the product's rate (documents of %zu, steps of %zu, "
               "choices recorded)\n",
               speed->probe_tok_s, 100 * speed->probe_share, plan->document, plan->step);
    if (speed->n > 0)
        printf("%8s %14s %8s %14s %8s\n", "context", "prefill tok/s", "share", "decode tok/s",
               "share");
    for (size_t i = 0; i < speed->n; i++) {
        const struct gm_bench_at *at = &speed->at[i];
        printf("%8zu", at->context);
        if (isnan(at->prefill_tok_s))
            printf(" %14s %8s", "-", "-");
        else
            printf(" %14.1f %7.0f%%", at->prefill_tok_s, 100 * at->prefill_share);
        printf(" %14.2f %7.0f%%\n", at->decode_tok_s, 100 * at->decode_share);
    }
    if (speed->gpu) print_gpu(speed);
    printf("memory: %s at most, weights %s, KV cache %s\n",
           gm_show_bytes(a, (double)speed->peak_bytes),
           gm_show_bytes(b, (double)speed->weight_bytes),
           gm_show_bytes(c, (double)speed->kv_bytes));
}

void gm_bench_speed_json(gm_json_out *out, const gm_bench_speed *speed)
{
    gm_json_put_f64(out, "read_gb_s", speed->read_rate * 1e-9);
    gm_json_put_f64(out, "product_gflop_s", speed->product_rate * 1e-9);
    gm_json_put_f64(out, "gflop_per_token", speed->flop_per_token * 1e-9);
    gm_json_put_f64(out, "gb_per_token", speed->bytes_per_token * 1e-9);
    gm_json_put_f64(out, "probe_tok_s", speed->probe_tok_s);
    gm_json_put_f64(out, "probe_share", speed->probe_share);
    gm_json_open_array(out, "contexts");
    for (size_t i = 0; i < speed->n; i++) {
        gm_json_open_object(out, NULL);
        gm_json_put_u64(out, "context", speed->at[i].context);
        gm_json_put_f64(out, "prefill_tok_s", speed->at[i].prefill_tok_s);
        gm_json_put_f64(out, "prefill_share", speed->at[i].prefill_share);
        gm_json_put_f64(out, "decode_tok_s", speed->at[i].decode_tok_s);
        gm_json_put_f64(out, "decode_share", speed->at[i].decode_share);
        if (speed->gpu) {
            gm_json_put_f64(out, "first_prefill_tok_s", speed->at[i].first_prefill_tok_s);
            gm_json_put_f64(out, "steered_tok_s", speed->at[i].steered_tok_s);
            gm_json_put_u64(out, "launches", speed->at[i].launches);
            gm_json_put_f64(out, "lost_us", speed->at[i].gap_s * 1e6);
        }
        gm_json_close_object(out);
    }
    gm_json_close_array(out);
    if (speed->gpu) gpu_json(out, &speed->ceilings);
    gm_json_put_u64(out, "weight_bytes", speed->weight_bytes);
    gm_json_put_u64(out, "kv_bytes", speed->kv_bytes);
    gm_json_put_u64(out, "peak_bytes", speed->peak_bytes);
}
