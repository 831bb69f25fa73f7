/* families.h - the table of model families: one row each.
 *
 * To add a family, add a row and a golden test; see CONTRIBUTING.md.
 */
#ifndef GM_FAMILIES_H
#define GM_FAMILIES_H

#include "engine/arch.h"

typedef struct gm_family {
    const char *architecture; /* config.json "architectures"[0] */
    const char *model_type;   /* config.json "model_type" */
    const char *name;         /* what we call it */
    float norm_epsilon;       /* where the config names none */
    double rope_theta;        /* likewise */
    double rotary_part;       /* of a head, that turns where the config names none; 0: all of it */
    const char *chosen_key;   /* what the config calls K; NULL: num_experts_per_tok */
    /* What tensors that predict further tokens begin with; NULL: they are of layers behind the
     * last. They are not read. */
    const char *mtp_prefix;
    /* The same of parts that work on other inputs than text; NULL: there are none. */
    const char *other_prefix;
    /* What names begin with in place of "model." where that is part of a larger model; NULL: it
     * never is. */
    const char *inner;
    bool yarn;     /* its angles may be stretched (rope.h) */
    bool divided;  /* or divided, pair by pair: LongRoPE */
    bool grid;     /* they may name what turns by a position's part in images */
    bool latent;   /* its attention is over latents, which gm_latent_read reads */
    bool mixed;    /* a tensor with several roles of Gated DeltaNet has them key head by key head */
    bool nested;   /* the model's own config is config.json's "text_config" */
    bool no_dense; /* the config names no width of dense layers: there are none */
    /* Keys of config.json that `read` looks at, NULL behind the last: they count as
     * known, and the values that arch.c asks of them elsewhere are not asked. */
    const char *const *keys;
    /* Reads what differs between families from `config` into `arch`, whose common
     * fields are filled already. */
    gm_status (*read)(const gm_json *config, const char *where, gm_arch *arch, gm_error *err);
    /* Tensor names by role; %d is the layer, a second %d the expert; NULL: none. An expert's name
     * without that second %d is of a tensor that stacks them all, (E, rows, columns) or as
     * arch->stored says; gate and up of the same name are one matrix each expert, the gate's rows
     * first, or each before the up's (arch->alternate). */
    const char *tensor[GM_N_ROLES];
    /* Tensors that may stack experts instead, where the checkpoint has them: that of gate and up,
     * and that of down; NULL: it never does. */
    const char *stacked[2];
} gm_family;

/* The sizes of Gated DeltaNet, and which layers have it. GM_EFORMAT, GM_EMEM. */
gm_status gm_delta_read(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
    GM_MUST_USE;

/* Latents, and the widths that follow from them, instead of heads; *turned: elements of a head that
 * turn, for gm_rope_read. GM_EFORMAT. */
gm_status gm_latent_read(const gm_json *config, const char *where, gm_arch *arch, int *turned,
                         gm_error *err) GM_MUST_USE;

/* NULL when no row has that architecture or, when the config names none, that
 * model type. */
const gm_family *gm_family_find(const char *architecture, const char *model_type);

/* Rows of the table in order; NULL behind the last. */
const gm_family *gm_family_at(size_t i);

#endif
