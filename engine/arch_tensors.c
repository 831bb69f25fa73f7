/* arch_tensors.c - the tensors that an architecture asks of a checkpoint: their
 * names, their shapes, and how many parameters that makes.
 */
#include "engine/arch.h"
#include "engine/families.h"
#include "engine/located.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct shape {
    bool present;
    int rows, cols;
} shape;

/* Roles of latent attention. */
static shape latent_shape(const gm_arch *a, gm_role role)
{
    const gm_latent *l = &a->latent;
    const int queries = a->n_heads * (l->plain + l->shared);

    switch (role) {
    case GM_ROLE_Q: return (shape){l->q == 0, queries, a->width};
    case GM_ROLE_Q_LATENT: return (shape){l->q > 0, l->q, a->width};
    case GM_ROLE_Q_NORM: return (shape){l->q > 0, 1, l->q};
    case GM_ROLE_Q_UP: return (shape){l->q > 0, queries, l->q};
    case GM_ROLE_K: return (shape){true, l->kv + l->shared, a->width};
    case GM_ROLE_K_NORM: return (shape){true, 1, l->kv};
    case GM_ROLE_KEY_UP: return (shape){true, l->kv, l->plain};
    case GM_ROLE_VALUE_UP: return (shape){true, l->value, l->kv};
    case GM_ROLE_O: return (shape){true, a->width, a->n_heads * l->value};
    default: return (shape){false, 0, 0};
    }
}

gm_heads gm_arch_heads(const gm_arch *arch, bool global)
{
    const gm_global *g = &arch->global;
    const size_t value = (size_t)(g->value_dim ? g->value_dim : g->head_dim);
    if (global)
        return (gm_heads){.kv = (size_t)g->n_kv_heads,
                          .key = (size_t)g->head_dim,
                          .value = value,
                          .out = value,
                          .shared = arch->global.shared,
                          .growth = &arch->global.growth,
                          .rope = &arch->global.rope};
    return (gm_heads){.kv = (size_t)arch->n_kv_heads,
                      .key = (size_t)arch->head_dim,
                      .value = (size_t)arch->value_dim,
                      .out = (size_t)arch->head_out,
                      .growth = &arch->growth,
                      .rope = &arch->rope};
}

float gm_growth_at(const gm_growth *growth, size_t position)
{
    if (!(growth->rate > 0.0f)) return 1.0f;
    const double steps = floor(((double)position + growth->ahead) / growth->stretch);
    return (float)(1.0 + (double)growth->rate * log1p(steps));
}

int gm_arch_nth(const gm_arch *arch, int layer)
{
    const bool global = gm_arch_is_global(arch, layer);
    int n = 0;
    if (gm_arch_is_delta(arch, layer)) return arch->delta_of_layer[layer];
    for (int i = 0; i < layer; i++)
        n += gm_arch_has_keys(arch, i) && gm_arch_is_global(arch, i) == global;
    return n;
}

int gm_arch_n_with_keys(const gm_arch *arch)
{
    int n = 0;
    for (int i = 0; i < arch->n_layers; i++) n += gm_arch_has_keys(arch, i);
    return n;
}

/* Has each key head of a layer matrices of its own? */
static bool has_key_heads(const gm_arch *a)
{
    return !a->mamba && !gm_arch_only_convolves(a) && a->delta.rank == 0;
}

/* Roles of Gated DeltaNet, Mamba2 and short convolutions; the first's projections for one key
 * head. */
static shape delta_shape(const gm_arch *a, gm_role role)
{
    const gm_delta *d = &a->delta;
    const int keys = d->key_heads * d->key, values = d->value_heads * d->value;
    const int parts = has_key_heads(a) ? d->key_heads : 1;
    const bool low = d->rank > 0, apart = a->family->tensor[GM_ROLE_DELTA_CONV_K] != NULL;

    switch (role) {
    case GM_ROLE_DELTA_Q:
    case GM_ROLE_DELTA_K: return (shape){true, keys / parts, a->width};
    case GM_ROLE_DELTA_V: return (shape){true, values / parts, a->width};
    case GM_ROLE_DELTA_Z: return (shape){true, low ? d->rank : values / parts, a->width};
    case GM_ROLE_DELTA_B: return (shape){!a->mamba, d->value_heads / parts, a->width};
    case GM_ROLE_DELTA_A: return (shape){true, low ? d->rank : d->value_heads / parts, a->width};
    case GM_ROLE_DELTA_Z_UP: return (shape){low, values, d->rank};
    case GM_ROLE_DELTA_A_UP: return (shape){low, keys, d->rank};
    case GM_ROLE_DELTA_CONV: return (shape){true, apart ? keys : 2 * keys + values, d->taps};
    case GM_ROLE_DELTA_CONV_K: return (shape){true, keys, d->taps};
    case GM_ROLE_DELTA_CONV_V: return (shape){true, values, d->taps};
    case GM_ROLE_DELTA_CONV_BIAS: return (shape){a->conv_bias, 1, 2 * keys + values};
    case GM_ROLE_DELTA_RATE: return (shape){true, 1, d->value_heads};
    case GM_ROLE_DELTA_BIAS: return (shape){true, 1, low ? keys : d->value_heads};
    case GM_ROLE_DELTA_SKIP: return (shape){a->mamba, 1, d->value_heads};
    case GM_ROLE_DELTA_NORM: return (shape){true, 1, a->mamba ? values : d->value};
    case GM_ROLE_DELTA_O: return (shape){true, a->width, values};
    default: return (shape){false, 0, 0};
    }
}

/* Roles that exist once, or in every layer of a kind. */
static shape common_shape(const gm_arch *a, gm_role role, bool delta, bool global)
{
    const gm_heads heads = gm_arch_heads(a, global);
    const int head = (int)heads.key, q = a->n_heads * head, kv = (int)heads.kv * head;
    const int values = (int)(heads.kv * heads.value), out = a->n_heads * (int)heads.out;
    bool per_head = a->qk_norm == GM_QK_NORM_HEAD,
         normed = per_head || a->qk_norm == GM_QK_NORM_FULL;

    if (role >= GM_ROLE_DELTA_Q && role <= GM_ROLE_DELTA_O)
        return delta ? delta_shape(a, role) : (shape){false, 0, 0};
    if (role >= GM_ROLE_Q && role <= GM_ROLE_K_NORM) {
        if (delta) return (shape){false, 0, 0};
        if (a->latent.kv > 0) return latent_shape(a, role);
    }
    switch (role) {
    case GM_ROLE_EMBED: return (shape){true, a->vocab, a->width};
    case GM_ROLE_HEAD: return (shape){!a->tied_head, a->vocab, a->width};
    case GM_ROLE_HEAD_BIAS: return (shape){a->head_bias, 1, a->vocab};
    case GM_ROLE_FINAL_NORM:
    case GM_ROLE_FINAL_NORM_BIAS:
    case GM_ROLE_ATTN_NORM:
    case GM_ROLE_ATTN_NORM_BIAS:
    case GM_ROLE_ATTN_OUT_NORM:
    case GM_ROLE_MLP_NORM:
    case GM_ROLE_MLP_NORM_BIAS:
    case GM_ROLE_MLP_OUT_NORM: return (shape){true, 1, a->width};
    case GM_ROLE_LAYER_SCALE: return (shape){true, 1, 1};
    case GM_ROLE_Q: return (shape){true, a->gated_attention ? head : q, a->width};
    case GM_ROLE_Q_GATE: return (shape){a->gated_attention, head, a->width};
    case GM_ROLE_K: return (shape){true, kv, a->width};
    case GM_ROLE_V: return (shape){!heads.shared, values, a->width};
    case GM_ROLE_O: return (shape){true, a->width, out};
    case GM_ROLE_Q_BIAS: return (shape){a->attention_bias, 1, q};
    case GM_ROLE_K_BIAS: return (shape){a->attention_bias, 1, kv};
    case GM_ROLE_V_BIAS: return (shape){a->attention_bias, 1, values};
    case GM_ROLE_O_BIAS: return (shape){a->attention_bias, 1, a->width};
    case GM_ROLE_SINKS: return (shape){!global, 1, a->n_heads};
    case GM_ROLE_Q_NORM: return (shape){normed, 1, per_head ? head : q};
    case GM_ROLE_K_NORM: return (shape){normed, 1, per_head ? head : kv};
    default: return (shape){false, 0, 0};
    }
}

/* Roles of the feed-forward part, which differs between dense and MoE layers. */
static shape mlp_shape(const gm_arch *a, gm_role role, bool moe)
{
    bool shared = moe && a->n_shared > 0;

    switch (role) {
    case GM_ROLE_DENSE_GATE:
    case GM_ROLE_DENSE_UP: return (shape){!moe, a->dense_width, a->width};
    case GM_ROLE_DENSE_DOWN: return (shape){!moe, a->width, a->dense_width};
    case GM_ROLE_ROUTER: return (shape){moe, a->n_experts, a->width};
    case GM_ROLE_ROUTER_BIAS: return (shape){moe && a->router.has_bias, 1, a->n_experts};
    case GM_ROLE_ROUTER_CORRECTION:
        return (shape){moe && a->router.has_correction, 1, a->n_experts};
    case GM_ROLE_SHARE: return (shape){shared && a->gated_shared, 1, a->width};
    case GM_ROLE_EXPERT_SCALE: return (shape){moe, 1, a->n_experts};
    case GM_ROLE_ROUTER_NORM:
    case GM_ROLE_EXPERT_OUT_NORM: return (shape){moe, 1, a->width};
    case GM_ROLE_SHARED_NORM:
    case GM_ROLE_SHARED_OUT_NORM: return (shape){shared, 1, a->width};
    case GM_ROLE_SHARED_GATE:
    case GM_ROLE_SHARED_UP: return (shape){shared, a->shared_width, a->width};
    case GM_ROLE_SHARED_DOWN: return (shape){shared, a->width, a->shared_width};
    case GM_ROLE_EXPERT_GATE:
    case GM_ROLE_EXPERT_UP: return (shape){moe, a->expert_width, a->width};
    case GM_ROLE_EXPERT_DOWN: return (shape){moe, a->width, a->expert_width};
    case GM_ROLE_EXPERT_GATE_BIAS:
    case GM_ROLE_EXPERT_UP_BIAS: return (shape){moe, a->expert_width, 1};
    case GM_ROLE_EXPERT_DOWN_BIAS: return (shape){moe, a->width, 1};
    default: return (shape){false, 0, 0};
    }
}

static shape shape_of(const gm_arch *a, gm_role role, int layer)
{
    const bool mixer = role >= GM_ROLE_ATTN_NORM && role < GM_ROLE_MLP_NORM;
    const bool mlp = role >= GM_ROLE_MLP_NORM;
    if ((mixer && !gm_arch_has_mixer(a, layer)) || (mlp && !gm_arch_has_mlp(a, layer)))
        return (shape){false, 0, 0};
    const shape s = common_shape(a, role, gm_arch_is_delta(a, layer), gm_arch_is_global(a, layer));
    if (s.present || role < GM_ROLE_DENSE_GATE) return s;
    return mlp_shape(a, role, a->moe_of_layer[layer] >= 0);
}

/* Copy `pattern`, the first %d replaced by `layer`, the second by `expert`, and as the family has
 * it for a part of a larger model. */
static void fill_name(char name[GM_NAME_BYTES], const gm_arch *arch, const char *pattern, int layer,
                      int expert)
{
    static const char outer[] = "model.";
    const gm_family *family = arch->family;
    const bool begins = strncmp(pattern, outer, strlen(outer)) == 0;
    const int number[] = {layer, expert};
    int n_numbers = 0;
    size_t n = 0;
    if (arch->inside && (family->before || begins)) {
        n = (size_t)snprintf(name, GM_NAME_BYTES, "%s", family->inner);
        pattern += family->before ? 0 : strlen(outer);
    }
    for (const char *p = pattern; *p && n < GM_NAME_BYTES - 1; p++) {
        if (p[0] == '%' && p[1] == 'd' && n_numbers < 2) {
            n += (size_t)snprintf(name + n, GM_NAME_BYTES - n, "%d", number[n_numbers++]);
            p++;
        } else {
            name[n++] = *p;
        }
    }
    assert(n < GM_NAME_BYTES);
    name[n] = '\0';
}

/* The role whose rows may be in the same tensor. */
static gm_role sibling_of(gm_role role)
{
    switch (role) {
    case GM_ROLE_EXPERT_GATE: return GM_ROLE_EXPERT_UP;
    case GM_ROLE_EXPERT_UP: return GM_ROLE_EXPERT_GATE;
    case GM_ROLE_EXPERT_GATE_BIAS: return GM_ROLE_EXPERT_UP_BIAS;
    case GM_ROLE_EXPERT_UP_BIAS: return GM_ROLE_EXPERT_GATE_BIAS;
    default: return role;
    }
}

static const char *name_of(const gm_arch *arch, gm_role role)
{
    if (arch->stacked && role >= GM_ROLE_EXPERT_GATE && role <= GM_ROLE_EXPERT_DOWN)
        return arch->family->stacked[role == GM_ROLE_EXPERT_DOWN];
    if (arch->dense_too && role >= GM_ROLE_DENSE_GATE && role <= GM_ROLE_DENSE_DOWN)
        return arch->family->dense_too[role - GM_ROLE_DENSE_GATE];
    return arch->family->tensor[role];
}

/* What the names say about stacks: families.h. */
static void place_in_stack(const gm_arch *arch, gm_role role, int expert, gm_slice *slice)
{
    const gm_role sibling = sibling_of(role);
    const char *name = name_of(arch, role), *other = name_of(arch, sibling);
    assert(name); /* gm_arch_tensor has seen to it */
    const bool both = sibling != role && other && strcmp(name, other) == 0;
    const char *layer = strstr(name, "%d");
    if (layer == NULL || strstr(layer + 2, "%d") != NULL) return;
    if (arch->family->tall) {
        const bool down = role == GM_ROLE_EXPERT_DOWN;
        const size_t rows = down ? slice->cols : slice->rows; /* of the tensor, an expert's */
        slice->tall = (size_t)arch->n_experts * rows;
        slice->first = (size_t)expert * rows;
        if (down) slice->stored = GM_STORED_COLUMNS;
        return;
    }
    slice->stack = (size_t)arch->n_experts;
    slice->item = (size_t)expert;
    slice->stack_rows = both ? 2 * slice->rows : slice->rows;
    if (role <= GM_ROLE_EXPERT_DOWN) slice->stored = arch->stored; /* biases are as they are */
    slice->halves = both && !arch->alternate && slice->stored == GM_STORED_COLUMNS;
    slice->every = both && (arch->alternate || slice->halves) ? 2 : 1;
    if (both && role > sibling) slice->first = arch->alternate ? 1 : slice->rows;
    if (slice->stored == GM_STORED_MXFP4)
        snprintf(slice->name + strlen(slice->name), GM_NAME_BYTES - strlen(slice->name), "_blocks");
}

/* Rows that a head has of a role in its tensor; a head's keys are multiplied in as columns. */
static size_t head_rows(const gm_arch *a, gm_role role)
{
    const bool delta = role >= GM_ROLE_DELTA_Q && role <= GM_ROLE_DELTA_O;
    const shape s = common_shape(a, role, delta, false);
    return (size_t)(role == GM_ROLE_KEY_UP ? s.cols : s.rows);
}

/* Roles of one name lie in one tensor: of attention, and where the family mixes them, those of a
 * head before the next head's; otherwise all heads of a role before the next role. */
static void place_in_heads(const gm_arch *arch, gm_role role, const char *pattern, size_t head,
                           gm_slice *slice)
{
    static const gm_role roles[] = {
        GM_ROLE_KEY_UP,  GM_ROLE_VALUE_UP, GM_ROLE_Q,       GM_ROLE_Q_GATE,  GM_ROLE_DELTA_Q,
        GM_ROLE_DELTA_K, GM_ROLE_DELTA_V,  GM_ROLE_DELTA_Z, GM_ROLE_DELTA_B, GM_ROLE_DELTA_A};
    const char *const *name = arch->family->tensor;
    const bool delta = role >= GM_ROLE_DELTA_Q && role <= GM_ROLE_DELTA_A;
    const size_t rows = head_rows(arch, role);
    size_t before = 0, all = 0;
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        if (name[roles[i]] == NULL || strcmp(name[roles[i]], pattern) != 0) continue;
        if (roles[i] == role) before = all;
        all += head_rows(arch, roles[i]);
    }
    slice->heads = (size_t)(delta ? arch->delta.key_heads : arch->n_heads);
    slice->tall = slice->heads * all;
    slice->first =
        delta && !arch->family->mixed ? slice->heads * before + head * rows : head * all + before;
    if (role == GM_ROLE_KEY_UP) slice->stored = GM_STORED_COLUMNS;
}

/* The other roles that may lie in one tensor, one above the other: queries, keys and values,
 * projections of Mamba2 and of short convolutions, gate and up of the shared experts. */
static void place_in_rows(const gm_arch *arch, gm_role role, int layer, gm_slice *slice)
{
    static const gm_role roles[] = {GM_ROLE_Q,           GM_ROLE_K,        GM_ROLE_V,
                                    GM_ROLE_DELTA_B,     GM_ROLE_DELTA_Z,  GM_ROLE_DELTA_V,
                                    GM_ROLE_DELTA_K,     GM_ROLE_DELTA_Q,  GM_ROLE_DELTA_A,
                                    GM_ROLE_SHARED_GATE, GM_ROLE_SHARED_UP};
    const char *const *name = arch->family->tensor;
    size_t before = 0, all = 0;
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        if (name[roles[i]] == NULL || strcmp(name[roles[i]], name[role]) != 0) continue;
        if (roles[i] == role) before = all;
        all += (size_t)shape_of(arch, roles[i], layer).rows;
    }
    if (all <= slice->rows) return;
    slice->tall = all;
    slice->first = before;
}

static bool is_of_heads(const gm_arch *arch, gm_role role)
{
    return role == GM_ROLE_KEY_UP || role == GM_ROLE_VALUE_UP ||
           (role >= GM_ROLE_DELTA_Q && role <= GM_ROLE_DELTA_A && has_key_heads(arch)) ||
           (arch->gated_attention && (role == GM_ROLE_Q || role == GM_ROLE_Q_GATE));
}

static bool is_norm(gm_role role)
{
    return role == GM_ROLE_FINAL_NORM || role == GM_ROLE_ATTN_NORM || role == GM_ROLE_MLP_NORM ||
           role == GM_ROLE_ATTN_OUT_NORM || role == GM_ROLE_MLP_OUT_NORM ||
           role == GM_ROLE_Q_NORM || role == GM_ROLE_K_NORM;
}

bool gm_arch_norms_outputs(const gm_arch *arch)
{
    const char *const *name = arch->family->tensor;
    return name[GM_ROLE_ATTN_OUT_NORM] || name[GM_ROLE_MLP_OUT_NORM];
}

bool gm_arch_norms_apart(const gm_arch *arch)
{
    return arch->family->tensor[GM_ROLE_SHARED_OUT_NORM] != NULL;
}

bool gm_arch_tensor(const gm_arch *arch, gm_role role, int layer, int expert, gm_slice *out)
{
    const char *pattern = name_of(arch, role);
    const shape s = shape_of(arch, role, layer);
    if (!s.present || pattern == NULL) return false;

    *out = (gm_slice){.rows = (size_t)s.rows, .cols = (size_t)s.cols};
    fill_name(out->name, arch, pattern, layer, expert);
    if (role >= GM_ROLE_EXPERT_GATE) place_in_stack(arch, role, expert, out);
    if (is_of_heads(arch, role))
        place_in_heads(arch, role, pattern, (size_t)expert, out);
    else if (out->stack == 0)
        place_in_rows(arch, role, layer, out);
    if (arch->family->images && role == GM_ROLE_ROUTER) out->stored = GM_STORED_COLUMNS;
    if (arch->family->images && role == GM_ROLE_ROUTER_CORRECTION) out->tall = 2;
    out->middle = role >= GM_ROLE_DELTA_CONV && role <= GM_ROLE_DELTA_CONV_V;
    out->centred = arch->centred_norms && is_norm(role);
    /* embeddings are kept as they are, vectors and some stacks have no scales */
    const bool one_each = arch->blocks.rows == 0 && arch->blocks.cols == 0;
    if (role != GM_ROLE_EMBED && s.rows > 1 && s.cols > 1 &&
        (out->stack == 0 || (one_each && out->stored == GM_STORED_ROWS && out->every == 1)))
        out->blocks = arch->blocks;
    return true;
}

static uint64_t n_parameters(const gm_arch *arch, gm_role role, int layer)
{
    gm_slice slice;
    if (!gm_arch_tensor(arch, role, layer, 0, &slice)) return 0;
    if (arch->parallel && role == GM_ROLE_MLP_NORM) return 0; /* counted as attention's */
    return (uint64_t)(slice.heads ? slice.heads : 1) * slice.rows * slice.cols;
}

uint64_t gm_arch_parameters(const gm_arch *arch, uint64_t *active)
{
    uint64_t shared = 0, expert = 0;
    int role = 0;

    for (; role <= GM_ROLE_HEAD; role++) shared += n_parameters(arch, (gm_role)role, 0);
    for (; role < GM_ROLE_EXPERT_GATE; role++) {
        for (int i = 0; i < arch->n_layers; i++) shared += n_parameters(arch, (gm_role)role, i);
    }
    for (; role < GM_N_ROLES; role++) {
        for (int i = 0; i < arch->n_layers; i++) expert += n_parameters(arch, (gm_role)role, i);
    }
    *active = shared + expert * (uint64_t)arch->n_chosen;
    return shared + expert * (uint64_t)arch->n_experts;
}

/* Bytes of a matrix that is stored as columns; 0: it is not. */
static size_t columns_bytes_of(const gm_arch *arch, const gm_checkpoint *checkpoint, int role,
                               int layer)
{
    gm_slice slice;
    gm_located at;
    return gm_arch_tensor(arch, (gm_role)role, layer, 0, &slice) &&
                   slice.stored == GM_STORED_COLUMNS &&
                   gm_locate(&at, checkpoint, &slice, NULL) == GM_OK
               ? at.tensor.n_bytes
               : 0;
}

static void keep_larger(size_t *most, size_t n)
{
    if (n > *most) *most = n;
}

size_t gm_arch_columns_bytes(const gm_arch *arch, const gm_checkpoint *checkpoint)
{
    size_t most = gm_whole_most(checkpoint, &arch->blocks);
    for (int l = 0; l < arch->n_layers; l++)
        keep_larger(&most, columns_bytes_of(arch, checkpoint, GM_ROLE_KEY_UP, l));
    for (int m = 0; m < arch->n_moe; m++)
        keep_larger(&most,
                    columns_bytes_of(arch, checkpoint, GM_ROLE_ROUTER, arch->layer_of_moe[m]));
    for (int role = GM_ROLE_EXPERT_GATE; role <= GM_ROLE_EXPERT_DOWN; role++)
        for (int m = 0; m < arch->n_moe; m++)
            keep_larger(&most, columns_bytes_of(arch, checkpoint, role, arch->layer_of_moe[m]));
    return most;
}
