/* arch_tensors.c - the tensors that an architecture asks of a checkpoint: their
 * names, their shapes, and how many parameters that makes.
 */
#include "engine/arch.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "engine/families.h"

typedef struct shape {
    bool present;
    int rows, cols;
} shape;

/* Roles of latent attention. */
static shape latent_shape(const gm_arch *a, gm_role role)
{
    const gm_latent *l = &a->latent;
    const int queries = a->n_heads * (l->plain + (int)a->rope.dim);

    switch (role) {
    case GM_ROLE_Q: return (shape){l->q == 0, queries, a->width};
    case GM_ROLE_Q_LATENT: return (shape){l->q > 0, l->q, a->width};
    case GM_ROLE_Q_NORM: return (shape){l->q > 0, 1, l->q};
    case GM_ROLE_Q_UP: return (shape){l->q > 0, queries, l->q};
    case GM_ROLE_K: return (shape){true, l->kv + (int)a->rope.dim, a->width};
    case GM_ROLE_K_NORM: return (shape){true, 1, l->kv};
    case GM_ROLE_KEY_UP: return (shape){true, l->kv, l->plain};
    case GM_ROLE_VALUE_UP: return (shape){true, l->value, l->kv};
    case GM_ROLE_O: return (shape){true, a->width, a->n_heads * l->value};
    default: return (shape){false, 0, 0};
    }
}

/* Roles that exist once, or in every layer. */
static shape common_shape(const gm_arch *a, gm_role role)
{
    int q = a->n_heads * a->head_dim, kv = a->n_kv_heads * a->head_dim;
    bool per_head = a->qk_norm == GM_QK_NORM_HEAD, normed = a->qk_norm != GM_QK_NORM_NONE;

    if (a->latent.kv > 0 && role >= GM_ROLE_Q && role <= GM_ROLE_K_NORM)
        return latent_shape(a, role);
    switch (role) {
    case GM_ROLE_EMBED: return (shape){true, a->vocab, a->width};
    case GM_ROLE_HEAD: return (shape){!a->tied_head, a->vocab, a->width};
    case GM_ROLE_HEAD_BIAS: return (shape){a->head_bias, 1, a->vocab};
    case GM_ROLE_FINAL_NORM:
    case GM_ROLE_FINAL_NORM_BIAS:
    case GM_ROLE_ATTN_NORM:
    case GM_ROLE_ATTN_NORM_BIAS:
    case GM_ROLE_MLP_NORM:
    case GM_ROLE_MLP_NORM_BIAS: return (shape){true, 1, a->width};
    case GM_ROLE_Q: return (shape){true, q, a->width};
    case GM_ROLE_K:
    case GM_ROLE_V: return (shape){true, kv, a->width};
    case GM_ROLE_O: return (shape){true, a->width, q};
    case GM_ROLE_Q_BIAS: return (shape){a->attention_bias, 1, q};
    case GM_ROLE_K_BIAS:
    case GM_ROLE_V_BIAS: return (shape){a->attention_bias, 1, kv};
    case GM_ROLE_O_BIAS: return (shape){a->attention_bias, 1, a->width};
    case GM_ROLE_SINKS: return (shape){true, 1, a->n_heads};
    case GM_ROLE_Q_NORM: return (shape){normed, 1, per_head ? a->head_dim : q};
    case GM_ROLE_K_NORM: return (shape){normed, 1, per_head ? a->head_dim : kv};
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

/* Copy `pattern`, the first %d replaced by `layer`, the second by `expert`. */
static void fill_name(char name[GM_NAME_BYTES], const char *pattern, int layer, int expert)
{
    const int number[] = {layer, expert};
    int n_numbers = 0;
    size_t n = 0;
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

/* What the names say about stacks: families.h. */
static void place_in_stack(const gm_arch *arch, gm_role role, int expert, gm_slice *slice)
{
    const char *const *name = arch->family->tensor;
    const gm_role sibling = sibling_of(role);
    const bool both = sibling != role && strcmp(name[role], name[sibling]) == 0;
    const char *layer = strstr(name[role], "%d");
    if (layer == NULL || strstr(layer + 2, "%d") != NULL) return;
    slice->stack = (size_t)arch->n_experts;
    slice->item = (size_t)expert;
    slice->stack_rows = both ? 2 * slice->rows : slice->rows;
    slice->every = both && arch->alternate ? 2 : 1;
    if (both && role > sibling) slice->first = arch->alternate ? 1 : slice->rows;
    if (slice->cols > 1) slice->stored = arch->stored;
    if (slice->stored == GM_STORED_MXFP4)
        snprintf(slice->name + strlen(slice->name), GM_NAME_BYTES - strlen(slice->name), "_blocks");
}

/* One tensor holds for each head the rows of its keys, then those of its values. */
static void place_in_heads(const gm_arch *arch, gm_role role, int head, gm_slice *slice)
{
    const size_t plain = (size_t)arch->latent.plain, rows = plain + (size_t)arch->latent.value;
    slice->tall = (size_t)arch->n_heads * rows;
    slice->first = (size_t)head * rows + (role == GM_ROLE_VALUE_UP ? plain : 0);
    if (role == GM_ROLE_KEY_UP) slice->stored = GM_STORED_COLUMNS;
}

bool gm_arch_tensor(const gm_arch *arch, gm_role role, int layer, int expert, gm_slice *out)
{
    const char *pattern = arch->family->tensor[role];
    shape s = common_shape(arch, role);
    if (!s.present && role >= GM_ROLE_DENSE_GATE)
        s = mlp_shape(arch, role, arch->moe_of_layer[layer] >= 0);
    if (!s.present || pattern == NULL) return false;

    *out = (gm_slice){.rows = (size_t)s.rows, .cols = (size_t)s.cols};
    fill_name(out->name, pattern, layer, expert);
    if (role >= GM_ROLE_EXPERT_GATE) place_in_stack(arch, role, expert, out);
    if (role == GM_ROLE_KEY_UP || role == GM_ROLE_VALUE_UP) place_in_heads(arch, role, expert, out);
    /* embeddings are kept as they are, vectors and stacks have no scales */
    if (role != GM_ROLE_EMBED && s.rows > 1 && s.cols > 1 && out->stack == 0)
        out->blocks = arch->blocks;
    return true;
}

static uint64_t n_parameters(const gm_arch *arch, gm_role role, int layer)
{
    gm_slice slice;
    if (!gm_arch_tensor(arch, role, layer, 0, &slice)) return 0;
    const uint64_t heads = slice.tall ? (uint64_t)arch->n_heads : 1;
    return heads * slice.rows * slice.cols;
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
