/* cuda_delta.c - Gated DeltaNet, Mamba2 and short convolutions (gm_delta, arch.h): what operations
 * tell their kernels.
 *
 * States and what the convolution needs of earlier rows stay on the device, where each sequence has
 * a place of its own, and are written over in place, so that a graph of a step can be replayed.
 */
#include "engine/cuda/cuda_session.h"

static gm_cuda_delta describe(const gm_step *step, const gm_layer *w)
{
    const gm_cuda_session *s = step->own;
    const gm_cuda_plan *plan = &s->plan;
    const gm_delta *d = &step->arch->delta;
    const gm_delta_place place = gm_delta_place_of(step->arch);
    return (gm_cuda_delta){
        .row = step->row,
        .x = gm_cuda_at(s, GM_CUDA_QKV),
        .conv = w->delta_conv.address,
        .conv_bias = w->delta_conv_bias.address,
        .rate = w->delta_rate.address,
        .bias = w->delta_bias.address,
        .skip = w->delta_skip.address,
        .norm = w->delta_norm.address,
        .history = (float *)gm_cuda_at(s, GM_CUDA_HISTORY) + w->nth * plan->history_floats,
        .state = (float *)gm_cuda_at(s, GM_CUDA_STATES) + w->nth * plan->state_floats,
        .vectors = gm_cuda_at(s, GM_CUDA_VECTORS),
        .heads = gm_cuda_at(s, GM_CUDA_HEADS),
        .rounded = gm_cuda_at(s, GM_CUDA_HEADS_ROUNDED),
        .x_stride = plan->qkv,
        .conv_stride = w->delta_conv.stride,
        .vectors_stride = plan->vectors,
        .heads_stride = plan->heads,
        .n_rows = (int)step->n_rows,
        .n_heads = d->value_heads,
        .n_key_heads = d->key_heads,
        .key = d->key,
        .value = d->value,
        .key_stride = gm_cuda_key_stride(d->key),
        .taps = d->taps,
        .at_q = (int)place.q,
        .at_k = (int)place.k,
        .at_v = (int)place.v,
        .at_z = (int)place.z,
        .at_b = (int)place.b,
        .at_a = (int)(step->arch->mamba ? place.b : place.a),
        .channels = (int)place.channels,
        .epsilon = step->arch->norm_epsilon,
        .each = d->rank > 0,
        .wide = s->wide,
    };
}

/* a and z of a row from their latents, which lie beside them in the row. */
static void gates_few(const gm_step *step, const gm_layer *w)
{
    gm_cuda_session *s = step->own;
    const gm_delta_place place = gm_delta_place_of(step->arch);
    float *row = gm_cuda_at(s, GM_CUDA_QKV);
    for (size_t i = 0; i < 2; i++) {
        const gm_cuda_project p = {.x = row + (i == 0 ? place.low_a : place.low_z),
                                   .matrix = (const char *)w->delta_up.address +
                                             i * w->delta_up.item_bytes,
                                   .out = row + (i == 0 ? place.a : place.z),
                                   .x_stride = s->plan.qkv,
                                   .stride = w->delta_up.stride,
                                   .out_stride = s->plan.qkv,
                                   .n_rows = (int)step->n_rows,
                                   .width = step->arch->delta.rank,
                                   .n_out = (int)w->delta_up.rows,
                                   .factor = 1.0f,
                                   .dtype = w->delta_up.dtype};
        gm_cuda_note(s, gm_cuda_project_few(&s->how, &p), "rates and gates");
    }
}

static void gates_many(const gm_step *step, const gm_layer *w)
{
    gm_cuda_session *s = step->own;
    const gm_delta_place place = gm_delta_place_of(step->arch);
    const size_t apart = place.low_z - place.low_a;
    float *row = gm_cuda_at(s, GM_CUDA_QKV);
    char *latent = gm_cuda_at(s, GM_CUDA_LATENT);
    const gm_cuda_norm p = {.x = row + place.low_a,
                            .rounded = latent,
                            .x_stride = s->plan.qkv,
                            .rounded_stride = s->plan.latent,
                            .n_rows = (int)step->n_rows,
                            .width = (int)apart + step->arch->delta.rank,
                            .wide = s->wide};
    gm_cuda_note(s, gm_cuda_norm_rows(&s->how, &p), "rounding latents");
    for (size_t i = 0; i < 2; i++)
        gm_cuda_multiply_weights(
            s, GM_CUDA_MAIN, &w->delta_up, i, gm_cuda_at(s, GM_CUDA_WIDENED),
            (gm_cuda_product){.a =
                                  latent + i * apart * (s->wide ? sizeof(float) : sizeof(uint16_t)),
                              .c = row + (i == 0 ? place.a : place.z),
                              .m = step->n_rows,
                              .lda = s->plan.latent,
                              .ldc = s->plan.qkv,
                              .factor = 1.0f});
}

void gm_cuda_delta_gates(const gm_step *step, const gm_layer *w)
{
    const gm_cuda_session *s = step->own;
    if (w->delta_up.count > 0) (s->few ? gates_few : gates_many)(step, w);
}

void gm_cuda_delta_in_many(const gm_step *step, const gm_layer *w)
{
    gm_cuda_session *s = step->own;
    const gm_cuda_delta p = describe(step, w);
    const bool alone = gm_arch_only_convolves(step->arch);
    gm_cuda_note(s, (alone ? gm_cuda_convolve_many : gm_cuda_delta_convolve_many)(&s->how, &p),
                 "a convolution");
}

void gm_cuda_delta_attend(const gm_step *step, const gm_layer *w)
{
    gm_cuda_session *s = step->own;
    const gm_cuda_how *how = &s->how;
    const gm_cuda_delta p = describe(step, w);
    const bool mamba = step->arch->mamba;
    const char *what = gm_arch_recurrence(step->arch), *last = "a gated norm";
    if (gm_arch_only_convolves(step->arch)) {
        gm_cuda_note(s, (s->few ? gm_cuda_convolve_few : gm_cuda_convolve_keep)(how, &p), what);
        return;
    }
    if (s->few) {
        gm_cuda_note(s, mamba ? gm_cuda_scan_few(how, &p) : gm_cuda_delta_few(how, &p), what);
        if (mamba) gm_cuda_note(s, gm_cuda_scan_finish_few(how, &p), last);
        return;
    }
    gm_cuda_note(s, gm_cuda_delta_states_many(how, &p, step->run, (int)step->n_runs), what);
    gm_cuda_note(s, mamba ? gm_cuda_scan_finish_many(how, &p) : gm_cuda_delta_finish_many(how, &p),
                 last);
}
