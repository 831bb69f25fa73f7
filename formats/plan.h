/* plan.h - the plan: a steering instruction, in safetensors.
 *
 * One f32 tensor `bias` (L,E) in logits (nats), the weight included, and
 * strings under __metadata__:
 *   format         "gm-plan"
 *   schema         "1"
 *   mode           "bias", "select", "gate", "mask"
 *   mass_matched   "true", "false"
 *   layer_of_moe   JSON array: the model layer number of each row of `bias`
 *   first_layer, last_layer   model layer numbers, inclusive
 *   phases         "prompt", "generated", "template", joined by commas
 *   model_digest   of the model it was made for (engine/checkpoint.h); "" unknown
 *   config_digest  of what its config.json says beyond the weights' shapes (engine/engine.h); ""
 *                  or absent: unknown
 *   schedule       formats/schedule.h; absent: "constant". In mode mask not a ramp
 *   source         JSON object: atlas and its digest, clusters and weights, filter,
 *                  scale, control, experts set by hand
 * A bias of zeros steers nothing, bit for bit. -inf takes an expert out.
 */
#ifndef GM_PLAN_H
#define GM_PLAN_H

#include "formats/schedule.h"

typedef enum gm_plan_mode {
    GM_PLAN_BIAS,
    GM_PLAN_SELECT,
    GM_PLAN_GATE,
    GM_PLAN_MASK
} gm_plan_mode; /* the order of gm_edit_mode */

/* "bias|select|gate|mask", and one of them. */
#define GM_PLAN_MODES "bias|select|gate|mask"
const char *gm_plan_mode_name(gm_plan_mode mode);

enum { GM_PLAN_ALL_PHASES = 7, GM_PLAN_N_PHASES = 3 };
enum { GM_PLAN_MAX_LAYERS = 1 << 10, GM_PLAN_MAX_EXPERTS = 0xFFFF };

typedef struct gm_plan {
    int n_layers, n_experts; /* L, E */
    float *bias;             /* (L,E), owned by the plan (gm_alloc) */
    int *layer_of_moe;       /* (L) model layer numbers, ascending, owned */
    gm_plan_mode mode;
    bool mass_matched;
    int first_layer, last_layer; /* model layer numbers, inclusive */
    uint8_t phases;              /* bit p: phase p (0 prompt, 1 generated, 2 template) */
    gm_schedule schedule;        /* over generated tokens */
    char model_digest[65];       /* of the model the plan was made for; "" unknown */
    char config_digest[65];      /* of its config.json; "" unknown */
    char *source;                /* JSON object, owned */
} gm_plan;

/* An empty plan: zero bias, all layers, all phases, constant, mode bias, source {}. */
gm_status gm_plan_init(gm_plan *plan, int n_layers, int n_experts, const int *layer_of_moe,
                       gm_error *err) GM_MUST_USE;
void gm_plan_clear(gm_plan *plan);

/* Write by base/outfile.h. Errors: GM_EEXIST unless `replace`, GM_EBUSY, GM_EIO, GM_EMEM. */
gm_status gm_plan_write(const char *path, const gm_plan *plan, bool replace, gm_error *err)
    GM_MUST_USE;

/* Read and check: sizes, finite values (or -inf), known mode, windows inside the
 * model. GM_EIO, GM_EFORMAT, GM_ESHAPE, GM_ENUMERIC (names layer and expert), GM_EMEM. */
gm_status gm_plan_read(gm_plan *plan, const char *path, gm_error *err) GM_MUST_USE;

/* The same from the bytes of a file, called `where` in messages. */
gm_status gm_plan_parse(gm_plan *plan, const void *bytes, size_t n, const char *where,
                        gm_error *err) GM_MUST_USE;

/* Multiply the bias by `weight`; 0 gives zeros even for -inf.
 * GM_ENUMERIC when the weight or a product is NaN or +inf. */
gm_status gm_plan_scale(gm_plan *plan, double weight, gm_error *err) GM_MUST_USE;

/* The layer window as rows of `bias`, inclusive: what the engine's edit takes. */
void gm_plan_window(const gm_plan *plan, int *first, int *last);

/* Is any bias not 0? */
bool gm_plan_steers(const gm_plan *plan);

/* SHA-256 of what it does: biases, mode, mass matching, windows, schedule; not of its source. */
void gm_plan_digest(const gm_plan *plan, char hex[65]);

/* GM_ENUMERIC unless every value is finite or -inf. */
gm_status gm_plan_check_values(const gm_plan *plan, const char *where, gm_error *err) GM_MUST_USE;

#endif
