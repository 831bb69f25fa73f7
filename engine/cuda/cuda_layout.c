/* cuda_layout.c - see cuda_layout.h. */
#include "engine/cuda/cuda_layout.h"

#include "engine/cuda/cuda_plan.h"

enum { ALIGN = 256 };

/* Lay a buffer of rows after the others. U8 is MXFP4: half a byte an input, then the scales. */
static gm_buf lay(gm_cuda_layout *l, gm_dtype dtype, size_t count, size_t rows, size_t cols)
{
    gm_buf b = gm_buf_rows(dtype, count, rows, cols);
    if (dtype == GM_U8)
        b.item_bytes = gm_round_up(rows * b.stride / 2 + rows * b.stride / GM_MX_BLOCK, ALIGN);
    b.place = GM_PLACE_DEVICE;
    b.address = l->base ? l->base + l->bytes : NULL;
    l->bytes += gm_round_up((size_t)gm_buf_bytes(&b), ALIGN);
    return b;
}

static bool has(const gm_cuda_layout *l, gm_role role, int layer, size_t *rows, size_t *cols)
{
    gm_slice slice;
    if (!gm_arch_tensor(l->arch, role, layer, 0, &slice)) return false;
    *rows = slice.rows;
    *cols = slice.cols;
    return true;
}

static void add(gm_cuda_layout *l, const gm_cuda_job *job)
{
    gm_slice slice;
    if (l->base == NULL) return; /* only the size is wanted */
    (void)gm_arch_tensor(l->arch, job->role, job->layer, job->expert, &slice);
    if (slice.every > 1 && slice.first > 0) return; /* comes with its sibling */
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 1024;
        gm_cuda_job *grown = gm_grow(l->job, l->cap, cap, sizeof *grown);
        if (grown == NULL) {
            l->full = true;
            return;
        }
        l->job = grown;
        l->cap = cap;
    }
    l->job[l->n++] = *job;
}

/* A tensor that fills a buffer alone, where the model has it. */
static void place(gm_cuda_layout *l, gm_role role, int layer, gm_dtype dtype, gm_buf *to)
{
    size_t rows, cols;
    if (!has(l, role, layer, &rows, &cols)) return;
    *to = lay(l, dtype, 1, rows, cols);
    add(l, &(gm_cuda_job){.role = role, .layer = layer, .to = to});
}

/* A norm's weights, and LayerNorm's bias in a second row, which is zero where it has none
 * (clear_bias, cuda_weights.c). */
static void place_norm(gm_cuda_layout *l, gm_role role, gm_role bias, int layer, gm_buf *to)
{
    size_t rows = 0, cols = 0, one;
    if (!has(l, role, layer, &rows, &cols)) return;
    const bool biased = has(l, bias, layer, &one, &cols);
    *to = lay(l, GM_F32, 1, rows + (biased || l->arch->layer_norm), cols);
    add(l, &(gm_cuda_job){.role = role, .layer = layer, .to = to});
    if (biased) add(l, &(gm_cuda_job){.role = bias, .layer = layer, .to = to, .row = rows});
}

/* Gate (if there is one) and up, then down, of an expert or of the MLP that all rows take; up lies
 * `apart` rows after gate. */
static void add_three(gm_cuda_layout *l, const gm_role role[3], int layer, size_t expert,
                      gm_buf *gate_up, size_t apart, gm_buf *down)
{
    gm_cuda_job job = {.role = role[0],
                       .layer = layer,
                       .expert = (int)expert,
                       .to = gate_up,
                       .item = expert,
                       .apart = apart};
    if (apart > 0) add(l, &job);
    job.role = role[1], job.row = apart;
    add(l, &job);
    job.role = role[2], job.row = 0, job.to = down;
    add(l, &job);
}

/* Without gates rows are read two at a time all the same: of an odd number one more, which nobody
 * fills. */
static void place_mlp(gm_cuda_layout *l, const gm_role role[3], int layer, size_t count,
                      gm_dtype dtype, gm_mlp *mlp)
{
    size_t width, d;
    if (!has(l, role[1], layer, &width, &d)) return;
    const bool gated = !l->arch->activation.squared;
    mlp->width = width;
    mlp->gate_up = lay(l, dtype, count, gated ? 2 * width : gm_round_up(width, 2), d);
    mlp->down = lay(l, dtype, count, d, width);
    for (size_t e = 0; e < count; e++)
        add_three(l, role, layer, e, &mlp->gate_up, gated ? width : 0, &mlp->down);
}

/* Where experts have biases: those of gate and up are two rows. */
static void place_biases(gm_cuda_layout *l, int layer, gm_layer *w)
{
    static const gm_role role[] = {GM_ROLE_EXPERT_GATE_BIAS, GM_ROLE_EXPERT_UP_BIAS,
                                   GM_ROLE_EXPERT_DOWN_BIAS};
    size_t width, d, one;
    const size_t count = (size_t)l->arch->n_experts;
    if (!has(l, role[0], layer, &width, &one) || !has(l, role[2], layer, &d, &one)) return;
    w->expert_in_bias = lay(l, GM_F32, count, 2, width);
    w->expert_out_bias = lay(l, GM_F32, count, 1, d);
    for (size_t e = 0; e < count; e++)
        add_three(l, role, layer, e, &w->expert_in_bias, 1, &w->expert_out_bias);
}

/* What every head has a matrix of, all in one. */
static void place_heads(gm_cuda_layout *l, gm_role role, int layer, gm_dtype dtype, gm_buf *to)
{
    size_t rows, cols;
    const size_t heads = (size_t)l->arch->n_heads;
    if (!has(l, role, layer, &rows, &cols)) return;
    *to = lay(l, dtype, 1, heads * rows, cols);
    for (size_t h = 0; h < heads; h++)
        add(l, &(gm_cuda_job){
                   .role = role, .layer = layer, .expert = (int)h, .to = to, .row = h * rows});
}

/* Latents have other matrices in place of values; queries come of the hidden state or of a latent,
 * whose matrix then takes their place. */
static void place_latents(gm_cuda_layout *l, int layer, gm_dtype dtype, gm_layer *w)
{
    const gm_role queries = l->arch->latent.q ? GM_ROLE_Q_LATENT : GM_ROLE_Q;
    size_t q = 0, k = 0, cols = 0;
    (void)has(l, queries, layer, &q, &cols);
    (void)has(l, GM_ROLE_K, layer, &k, &cols);
    w->qkv = lay(l, dtype, 1, q + k, cols);
    add(l, &(gm_cuda_job){.role = queries, .layer = layer, .to = &w->qkv});
    add(l, &(gm_cuda_job){.role = GM_ROLE_K, .layer = layer, .to = &w->qkv, .row = q});
    place(l, GM_ROLE_Q_UP, layer, dtype, &w->q_up);
    place_heads(l, GM_ROLE_KEY_UP, layer, dtype, &w->key_up);
    place_heads(l, GM_ROLE_VALUE_UP, layer, dtype, &w->value_up);
}

/* What each head has of a role, in rows of qkv from `first` on; or where it has no heads, all. */
static void add_heads(gm_cuda_layout *l, gm_role role, int layer, size_t first, gm_buf *qkv)
{
    gm_slice slice;
    if (!gm_arch_tensor(l->arch, role, layer, 0, &slice)) return;
    for (size_t h = 0; h == 0 || h < slice.heads; h++)
        add(l, &(gm_cuda_job){.role = role,
                              .layer = layer,
                              .expert = (int)h,
                              .to = qkv,
                              .row = first + h * slice.rows});
}

/* The convolution, in one tensor or in three; a and z of their latents. */
static void place_convolution(gm_cuda_layout *l, int layer, gm_layer *w)
{
    const gm_delta_place at = gm_delta_place_of(l->arch);
    size_t rows = 0, taps = 0;
    (void)has(l, GM_ROLE_DELTA_CONV, layer, &rows, &taps);
    w->delta_conv = lay(l, GM_F32, 1, at.channels, taps);
    add(l, &(gm_cuda_job){.role = GM_ROLE_DELTA_CONV, .layer = layer, .to = &w->delta_conv});
    if (rows == at.channels) return;
    add(l, &(gm_cuda_job){
               .role = GM_ROLE_DELTA_CONV_K, .layer = layer, .to = &w->delta_conv, .row = at.k});
    add(l, &(gm_cuda_job){
               .role = GM_ROLE_DELTA_CONV_V, .layer = layer, .to = &w->delta_conv, .row = at.v});
}

static void place_gates(gm_cuda_layout *l, int layer, gm_dtype dtype, gm_layer *w)
{
    static const gm_role role[] = {GM_ROLE_DELTA_A_UP, GM_ROLE_DELTA_Z_UP};
    size_t rows, rank;
    if (!has(l, role[0], layer, &rows, &rank)) return;
    w->delta_up = lay(l, dtype, 2, rows, rank);
    for (size_t i = 0; i < 2; i++)
        add(l, &(gm_cuda_job){.role = role[i], .layer = layer, .to = &w->delta_up, .item = i});
}

/* Gated DeltaNet, Mamba2 or a short convolution, in place of attention. Mamba2's b is no product: a
 * takes its place. A short convolution ends with b, Kimi Delta Attention with z's latent. */
static void place_delta(gm_cuda_layout *l, int layer, gm_dtype dtype, gm_layer *w)
{
    const gm_delta *d = &l->arch->delta;
    const gm_delta_place at = gm_delta_place_of(l->arch);
    const size_t a = l->arch->mamba ? at.b : at.low_a;
    const size_t end = gm_arch_only_convolves(l->arch) ? a
                       : d->rank > 0                   ? at.low_z + (size_t)d->rank
                                                       : a + (size_t)d->value_heads;
    w->qkv = lay(l, dtype, 1, end, (size_t)l->arch->width);
    add_heads(l, GM_ROLE_DELTA_Q, layer, at.q, &w->qkv);
    add_heads(l, GM_ROLE_DELTA_K, layer, at.k, &w->qkv);
    add_heads(l, GM_ROLE_DELTA_V, layer, at.v, &w->qkv);
    add_heads(l, GM_ROLE_DELTA_Z, layer, at.low_z, &w->qkv);
    add_heads(l, GM_ROLE_DELTA_B, layer, at.b, &w->qkv);
    add_heads(l, GM_ROLE_DELTA_A, layer, a, &w->qkv);
    place_gates(l, layer, dtype, w);
    place_convolution(l, layer, w);
    place(l, GM_ROLE_DELTA_CONV_BIAS, layer, GM_F32, &w->delta_conv_bias);
    place(l, GM_ROLE_DELTA_RATE, layer, GM_F32, &w->delta_rate);
    place(l, GM_ROLE_DELTA_BIAS, layer, GM_F32, &w->delta_bias);
    place(l, GM_ROLE_DELTA_SKIP, layer, GM_F32, &w->delta_skip);
    place(l, GM_ROLE_DELTA_NORM, layer, GM_F32, &w->delta_norm);
    place(l, GM_ROLE_DELTA_O, layer, dtype, &w->o);
}

/* Gated attention: a head's queries, then further ones, after the values. */
static void place_gated(gm_cuda_layout *l, int layer, gm_dtype dtype, gm_layer *w)
{
    const size_t q = (size_t)(l->arch->n_heads * l->arch->head_dim);
    const size_t kv = (size_t)(l->arch->n_kv_heads * l->arch->head_dim);
    w->qkv = lay(l, dtype, 1, 2 * (q + kv), (size_t)l->arch->width);
    add_heads(l, GM_ROLE_Q, layer, 0, &w->qkv);
    add(l, &(gm_cuda_job){.role = GM_ROLE_K, .layer = layer, .to = &w->qkv, .row = q});
    add(l, &(gm_cuda_job){.role = GM_ROLE_V, .layer = layer, .to = &w->qkv, .row = q + kv});
    add_heads(l, GM_ROLE_Q_GATE, layer, q + 2 * kv, &w->qkv);
}

static void place_qkv(gm_cuda_layout *l, int layer, gm_dtype dtype, gm_layer *w)
{
    static const gm_role part[] = {GM_ROLE_Q, GM_ROLE_K, GM_ROLE_V};
    static const gm_role bias[] = {GM_ROLE_Q_BIAS, GM_ROLE_K_BIAS, GM_ROLE_V_BIAS};
    size_t rows[3] = {0}, cols = 0, n = 0, one, all;
    for (int i = 0; i < 3; i++) {
        (void)has(l, part[i], layer, &rows[i], &cols);
        n += rows[i];
    }
    w->qkv = lay(l, dtype, 1, n, cols);
    for (size_t i = 0, at = 0; i < 3; at += rows[i++])
        if (rows[i] > 0) /* values may be keys (gm_global) */
            add(l, &(gm_cuda_job){.role = part[i], .layer = layer, .to = &w->qkv, .row = at});
    if (has(l, bias[0], layer, &one, &all)) {
        w->qkv_bias = lay(l, GM_F32, 1, 1, n);
        for (size_t i = 0, at = 0; i < 3; at += rows[i++])
            add(l,
                &(gm_cuda_job){.role = bias[i], .layer = layer, .to = &w->qkv_bias, .column = at});
    }
}

static void place_attention(gm_cuda_layout *l, int layer, gm_dtype dtype, gm_layer *w)
{
    (w->delta                   ? place_delta
     : l->arch->latent.kv > 0   ? place_latents
     : l->arch->gated_attention ? place_gated
                                : place_qkv)(l, layer, dtype, w);
    place_norm(l, GM_ROLE_ATTN_NORM, GM_ROLE_ATTN_NORM_BIAS, layer, &w->attn_norm);
    place(l, GM_ROLE_ATTN_OUT_NORM, layer, GM_F32, &w->attn_out_norm);
    place(l, GM_ROLE_Q_NORM, layer, GM_F32, &w->q_norm);
    place(l, GM_ROLE_K_NORM, layer, GM_F32, &w->k_norm);
    if (!w->delta) place(l, GM_ROLE_O, layer, dtype, &w->o);
    place(l, GM_ROLE_O_BIAS, layer, GM_F32, &w->o_bias);
    place(l, GM_ROLE_SINKS, layer, GM_F32, &w->sinks);
}

/* The output for the shared experts lies after those of the experts. */
static void place_router(gm_cuda_layout *l, int layer, gm_layer *w)
{
    size_t rows = 0, cols = 0, one;
    const bool share = has(l, GM_ROLE_SHARE, layer, &one, &cols);
    (void)has(l, GM_ROLE_ROUTER, layer, &rows, &cols);
    w->router = lay(l, GM_F32, 1, rows + share, cols);
    add(l, &(gm_cuda_job){.role = GM_ROLE_ROUTER, .layer = layer, .to = &w->router});
    if (share)
        add(l,
            &(gm_cuda_job){.role = GM_ROLE_SHARE, .layer = layer, .to = &w->router, .row = rows});
}

/* Norms of the router, the experts and the MLP that all rows take, where each has its own, and
 * scales. */
static void place_apart(gm_cuda_layout *l, int layer, gm_layer *w)
{
    place(l, GM_ROLE_ROUTER_NORM, layer, GM_F32, &w->router_norm);
    place(l, GM_ROLE_EXPERT_SCALE, layer, GM_F32, &w->expert_scale);
    place(l, GM_ROLE_SHARED_NORM, layer, GM_F32, &w->always_norm);
    place(l, GM_ROLE_SHARED_OUT_NORM, layer, GM_F32, &w->always_out_norm);
    place(l, GM_ROLE_EXPERT_OUT_NORM, layer, GM_F32, &w->expert_out_norm);
    place(l, GM_ROLE_LAYER_SCALE, layer, GM_F32, &w->scale);
}

static void place_layer(gm_cuda_layout *l, int layer, gm_numerics numerics, gm_layer *w)
{
    const gm_dtype dtype = gm_weights_dtype(numerics);
    static const gm_role dense[] = {GM_ROLE_DENSE_GATE, GM_ROLE_DENSE_UP, GM_ROLE_DENSE_DOWN};
    static const gm_role shared[] = {GM_ROLE_SHARED_GATE, GM_ROLE_SHARED_UP, GM_ROLE_SHARED_DOWN};
    static const gm_role expert[] = {GM_ROLE_EXPERT_GATE, GM_ROLE_EXPERT_UP, GM_ROLE_EXPERT_DOWN};
    w->moe = l->arch->moe_of_layer[layer];
    w->mixer = gm_arch_has_mixer(l->arch, layer);
    w->mlp = gm_arch_has_mlp(l->arch, layer);
    w->delta = gm_arch_is_delta(l->arch, layer);
    w->nth = (size_t)gm_arch_nth(l->arch, layer);
    w->global = gm_arch_is_global(l->arch, layer);
    w->window = l->arch->window ? (size_t)l->arch->window[layer] : 0;
    if (w->mixer) place_attention(l, layer, dtype, w);
    place_norm(l, GM_ROLE_MLP_NORM, GM_ROLE_MLP_NORM_BIAS, layer, &w->mlp_norm);
    place(l, GM_ROLE_MLP_OUT_NORM, layer, GM_F32, &w->mlp_out_norm);
    if (w->moe >= 0) place_router(l, layer, w);
    place(l, GM_ROLE_ROUTER_BIAS, layer, GM_F32, &w->router_bias);
    place(l, GM_ROLE_ROUTER_CORRECTION, layer, GM_F32, &w->correction);
    place_apart(l, layer, w);
    place_mlp(l, w->moe < 0 ? dense : shared, layer, 1, dtype, &w->always);
    if (w->moe >= 0)
        place_mlp(l, expert, layer, (size_t)l->arch->n_experts,
                  gm_cuda_expert_dtype(l->arch, numerics), &w->expert);
    place_biases(l, layer, w);
}

static void place_all(gm_cuda_layout *l, gm_weights *w, gm_dtype embed)
{
    const gm_dtype dtype = gm_weights_dtype(w->numerics);
    place(l, GM_ROLE_EMBED, 0, embed, &w->embed);
    place_norm(l, GM_ROLE_FINAL_NORM, GM_ROLE_FINAL_NORM_BIAS, 0, &w->final_norm);
    if (!w->no_head) {
        place(l, l->arch->tied_head ? GM_ROLE_EMBED : GM_ROLE_HEAD, 0, dtype, &w->head);
        place(l, GM_ROLE_HEAD_BIAS, 0, GM_F32, &w->head_bias);
    }
    for (int i = 0; i < l->arch->n_layers; i++) place_layer(l, i, w->numerics, &w->layer[i]);
}

gm_status gm_cuda_lay_out(gm_cuda_layout *out, gm_weights *w, const gm_arch *arch, gm_dtype embed,
                          void *base, gm_error *err)
{
    gm_cuda_layout l = {.arch = arch, .base = base};
    *out = l;
    if (w->layer == NULL) w->layer = gm_alloc((size_t)arch->n_layers, sizeof *w->layer);
    if (w->layer == NULL) return gm_fail(err, GM_EMEM, "no memory for %d layers", arch->n_layers);
    w->n_layers = (size_t)arch->n_layers;
    place_all(&l, w, embed);
    *out = l;
    if (l.full) return gm_fail(err, GM_EMEM, "no memory for a list of %zu tensors", l.n);
    return GM_OK;
}

gm_status gm_cuda_layout_bytes(const gm_weights *w, const gm_arch *arch, gm_numerics numerics,
                               gm_dtype embed, size_t *bytes, gm_error *err)
{
    gm_cuda_layout l;
    gm_weights other = {.numerics = numerics, .no_head = w->no_head};
    gm_status status = gm_cuda_lay_out(&l, &other, arch, embed, NULL, err);
    *bytes = l.bytes;
    gm_free(l.job);
    gm_free(other.layer);
    return status;
}
