/* families.h - the table of model families: one row each.
 *
 * To add a family, add a row and a golden test; see CONTRIBUTING.md.
 */
#ifndef GM_FAMILIES_H
#define GM_FAMILIES_H

#include "engine/arch.h"

enum { GM_OTHER_PREFIXES = 6 };

/* What a family calls a key that others share: in its config itself, or in an object of it. */
typedef struct gm_renamed {
    const char *ours, *object, *theirs; /* object NULL: in the config itself */
} gm_renamed;

typedef struct gm_family {
    const char *architecture; /* config.json "architectures"[0] */
    const char *model_type;   /* config.json "model_type" */
    const char *name;         /* what we call it */
    int dense_first;          /* dense layers before those with experts, if the config names none */
    float norm_epsilon;       /* where the config names none */
    double rope_theta;        /* likewise */
    double rotary_part;       /* of a head, is rotated where the config names none; 0: all */
    const char *list_key;     /* a list whose length is the number of layers, if it is there */
    const gm_renamed *renamed; /* ends with an `ours` of NULL, objects together; NULL: none */
    const char *chosen_key;    /* what the config calls K; NULL: num_experts_per_tok */
    const char *end_key;       /* the id that ends a text where "eos_token_id" is absent or null */
    /* Prefix of tensors that predict further tokens and are not read; NULL: they are those of
     * layers after the last. */
    const char *mtp_prefix;
    /* The same for inputs other than text; NULL after the last. */
    const char *other_prefix[GM_OTHER_PREFIXES + 1];
    const char *indexer; /* part of the names of an indexer's tensors, likewise; NULL: none */
    /* Prefix instead of "model." where the model is part of a larger one; NULL: it never is. */
    const char *inner;
    const char *outer; /* an object of config.json that is what others have as config.json */
    bool before;       /* `inner` stands before every name instead */
    bool yarn;         /* YaRN is supported (rope.h) */
    bool ntk;          /* its theta may be raised by an alpha */
    bool divided;      /* LongRoPE is supported */
    bool turns;        /* Llama 3's scaling is supported */
    bool grid;         /* the config may name sections for positions in images */
    bool grows;        /* the angles' description says how queries grow (gm_growth) */
    bool latent;       /* latent attention, which gm_latent_read reads */
    bool mixed;    /* a tensor with several roles of Gated DeltaNet has them key head by key head */
    bool tall;     /* a stack of experts has rank 2, one below the other; down's are columns */
    bool either;   /* stacked experts may be rows instead of columns */
    bool tied_out; /* what stands around "text_config" says whether the embedding is the head */
    bool nested;   /* the model's own config is the "text_config" of config.json, or of `outer` */
    const char *own_type; /* the "model_type" that this must have; NULL: any */
    bool no_dense;        /* the config names no width of dense layers: there are none */
    bool tied;            /* the embedding is the head where the config does not say */
    bool images;          /* routers and experts for images follow those for text, unread */
    bool global;          /* layers of two types have angles, and may have heads, of their own */
    /* Keys of config.json that `read` looks at, ending with NULL: known, and checked by `read`
     * alone. */
    const char *const *keys;
    /* Reads what differs between families from `config` into `arch`, whose common
     * fields are filled already. */
    gm_status (*read)(const gm_json *config, const char *where, gm_arch *arch, gm_error *err);
    /* Tensor names by role; %d is the layer, a second %d the expert; NULL: none. An expert's name
     * without the second %d is a tensor that stacks all experts, (E, rows, columns) or as
     * arch->stored or `tall` says. Gate and up of the same name are one matrix for each expert: the
     * gate's rows first, or in turn with the up's (arch->alternate). */
    const char *tensor[GM_N_ROLES];
    /* Tensors that may stack experts instead, if the checkpoint has them: gate and up together, and
     * down; NULL: it never does. */
    const char *stacked[2];
    /* Names of DENSE_GATE, _UP and _DOWN instead, if the checkpoint has them; NULL: never. */
    const char *dense_too[3];
} gm_family;

/* The sizes of Gated DeltaNet, and which layers have it. GM_EFORMAT, GM_EMEM. */
gm_status gm_delta_read(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
    GM_MUST_USE;

/* Latents, and the widths of heads that follow from them. *turned: elements of a head that rotate,
 * for gm_rope_read. GM_EFORMAT. */
gm_status gm_latent_read(const gm_json *config, const char *where, gm_arch *arch, int *turned,
                         gm_error *err) GM_MUST_USE;

/* The row of an architecture, of several that of the model type; or, when the config names none, of
 * a model type. NULL: none. */
const gm_family *gm_family_find(const char *architecture, const char *model_type);

/* Rows of the table in order; NULL after the last. */
const gm_family *gm_family_at(size_t i);

#endif
