/* model.h - the inside of a gm_model: what engine.h hides and the other files of
 * engine/ share.
 *
 * A model is filled by gm_model_open in this order: arch from config.json, the
 * checkpoint's tensors checked against it, info, and then the packed weights, which
 * weights.h makes for a backend (none with headers_only). After that it is
 * immutable and needs the checkpoint no longer, unless the weights keep addresses
 * in its mapping; it therefore stays open as long as the model.
 */
#ifndef GM_MODEL_H
#define GM_MODEL_H

#include "engine/arch.h"
#include "engine/checkpoint.h"

typedef struct gm_weights gm_weights; /* weights.h */

struct gm_model {
    gm_arch arch;
    gm_model_info info; /* its pointers point into this struct, arch or constants */
    gm_checkpoint *checkpoint;
    gm_weights *weights; /* NULL with headers_only */
    char *folder;
};

/* A model of random weights (gm_checkpoint_random) whose config.json is the text `config`;
 * `name` takes the place of its folder. Errors as for gm_model_open. */
gm_status gm_model_open_random(gm_model **out, const char *name, const char *config,
                               const gm_model_options *options, gm_error *err) GM_MUST_USE;

/* The numerics a model runs in: `asked`, or for GM_NUMERICS_AUTO bf16 when most of
 * the checkpoint's bytes are BF16, or experts MXFP4, and f32 otherwise. */
gm_numerics gm_model_numerics(const gm_arch *arch, const gm_checkpoint *checkpoint,
                              gm_numerics asked);

/* Check that the checkpoint holds every tensor that `arch` asks for, as F32, F16 or
 * BF16 (or quantised as the config says) in the right shape, and nothing else. Ignored are rotary
 * tables of old files (rotary_emb.inv_freq), and parts that predict further tokens or see images.
 * GM_EFORMAT, GM_ESHAPE: name the tensor, what was found and what was expected. */
gm_status gm_model_check_tensors(const gm_arch *arch, const gm_checkpoint *checkpoint,
                                 gm_error *err) GM_MUST_USE;

#endif
