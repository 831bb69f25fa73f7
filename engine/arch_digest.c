/* arch_digest.c - what tells one model's mathematics from another's. See arch.h. */
#include "base/sha256.h"
#include "engine/arch.h"
#include "engine/families.h"

#include <stddef.h>
#include <string.h>

/* Of what is newer than digests that are stored: only where it differs from what there was then. */
static void digest_newer(gm_sha256 *hash, const gm_arch *arch)
{
    const gm_rope *rope = &arch->rope;
    const gm_router_desc *router = &arch->router;
    if (rope->dim != (size_t)arch->head_dim || rope->neighbours || router->least_sum > 0.0f) {
        const double newer[] = {(double)rope->dim, rope->neighbours, (double)router->least_sum};
        gm_sha256_update(hash, newer, sizeof newer);
    }
    if (arch->blocks.suffix) {
        const double blocks[] = {(double)arch->blocks.rows, (double)arch->blocks.cols};
        gm_sha256_update(hash, blocks, sizeof blocks);
    }
    if (arch->blocks.packing) {
        const double four_bits[] = {arch->blocks.packing, arch->blocks.zeros, arch->blocks.above};
        gm_sha256_update(hash, four_bits, sizeof four_bits);
    }
    if (arch->latent.kv > 0) gm_sha256_update(hash, &arch->latent, offsetof(gm_latent, shared));
    if (arch->n_delta > 0) gm_sha256_update(hash, &arch->delta, offsetof(gm_delta, rank));
    if (arch->delta.rank > 0) {
        const int newer[] = {arch->delta.rank, arch->latent.shared};
        gm_sha256_update(hash, newer, sizeof newer);
    }
    if (arch->family->global) {
        const gm_global *global = &arch->global;
        const double layers[] = {global->n_kv_heads,
                                 global->head_dim,
                                 global->shared,
                                 global->rope.theta,
                                 (double)global->rope.turning,
                                 (double)rope->turning,
                                 (double)arch->logits_cap,
                                 (double)router->logit_scale};
        gm_sha256_update(hash, layers, sizeof layers);
        if (global->rope.yarn) {
            const double newer[] = {global->rope.factor,    global->rope.first_context,
                                    global->rope.beta_fast, global->rope.beta_slow,
                                    global->rope.whole,     global->rope.amplitude};
            gm_sha256_update(hash, newer, sizeof newer);
        }
        const double dim = (double)global->rope.dim;
        if (arch->family->rotary_part > 0 && global->rope.dim != rope->dim)
            gm_sha256_update(hash, &dim, sizeof dim);
    }
    const gm_growth *growth = &arch->global.growth;
    if (arch->chunked || router->scales_input || growth->rate > 0.0f) {
        const double newer[] = {arch->chunked, router->scales_input, rope->turns,
                                (double)growth->rate, growth->stretch};
        gm_sha256_update(hash, newer, sizeof newer);
    }
    if (arch->growth.rate > 0.0f) {
        const double newer[] = {(double)arch->growth.rate, arch->growth.stretch};
        gm_sha256_update(hash, newer, sizeof newer);
    }
    if (arch->parallel) {
        const double newer[] = {arch->layer_norm, (double)arch->shared_scale};
        gm_sha256_update(hash, newer, sizeof newer);
    }
    if ((arch->latent.kv == 0 && arch->value_dim != arch->head_dim) || arch->value_scale != 1.0f) {
        const double newer[] = {arch->value_dim, (double)arch->value_scale};
        gm_sha256_update(hash, newer, sizeof newer);
    }
    if (router->within > 0.0f) gm_sha256_update(hash, &router->within, sizeof router->within);
    if (rope->divisor) gm_sha256_update(hash, rope->divisor, rope->dim / 2 * sizeof *rope->divisor);
}

static void digest_layers(gm_sha256 *hash, const gm_arch *arch)
{
    for (int i = 0; i < arch->n_layers; i++) {
        const int layer[] = {arch->moe_of_layer[i], arch->window ? arch->window[i] : 0};
        gm_sha256_update(hash, layer, sizeof layer);
        if (arch->n_delta > 0)
            gm_sha256_update(hash, &arch->delta_of_layer[i], sizeof arch->delta_of_layer[i]);
        if (arch->part) gm_sha256_update(hash, &arch->part[i], sizeof arch->part[i]);
    }
}

void gm_arch_digest(const gm_arch *arch, char hex[65])
{
    const gm_rope *rope = &arch->rope;
    const gm_router_desc *router = &arch->router;
    const double number[] = {
        arch->n_heads,
        arch->n_kv_heads,
        arch->head_dim,
        (double)arch->attention_scale,
        arch->qk_norm,
        (double)arch->clip_qkv,
        (double)arch->norm_epsilon,
        (double)arch->embed_scale,
        (double)arch->residual_scale,
        (double)arch->logits_scale,
        (double)arch->activation.limit,
        (double)arch->activation.slope,
        arch->n_chosen,
        router->scoring,
        router->renormalise,
        (double)router->renorm_epsilon,
        router->n_groups,
        router->top_groups,
        (double)router->scale,
        rope->theta,
        rope->yarn,
        rope->factor,
        rope->first_context,
        rope->beta_fast,
        rope->beta_slow,
        rope->whole,
        rope->amplitude,
    };
    gm_sha256 hash;
    uint8_t digest[32];
    gm_sha256_init(&hash);
    gm_sha256_update(&hash, arch->family->name, strlen(arch->family->name) + 1);
    gm_sha256_update(&hash, number, sizeof number);
    digest_newer(&hash, arch);
    digest_layers(&hash, arch);
    gm_sha256_final(&hash, digest);
    gm_sha256_hex(digest, hex);
}
