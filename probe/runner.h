/* runner.h - runs a block through the model and fills in what the routers did.
 *
 * A block is cut into steps of at most step_tokens rows: documents in order, one longer
 * than a step at multiples of its size. The cut looks at the block alone. Streamed, the
 * block is one step, which goes through each layer in pieces of step_tokens rows.
 */
#ifndef GM_PROBE_RUNNER_H
#define GM_PROBE_RUNNER_H

#include "engine/engine.h"
#include "probe/block.h"

typedef struct gm_runner_options {
    gm_record_level level;
    bool nll;
    bool norms;         /* of what experts give, with choices */
    bool sums;          /* a block's `sums` are added to, and its `scale` filled in */
    double logits_rate; /* share of tokens, by hash of seed, sha and position */
    uint64_t seed;
    size_t step_tokens;                /* rows */
    size_t min_document, max_document; /* rows of a document */
    int threads;
    const gm_edit *edit; /* what a plan does to the routers, copied; NULL: nothing */
    bool stream;         /* layer by layer: for a model opened with GM_HOLD_STREAMED */
} gm_runner_options;

typedef struct gm_runner gm_runner;

gm_status gm_runner_create(gm_runner **out, const gm_model *model, const gm_runner_options *options,
                           gm_error *err) GM_MUST_USE;
void gm_runner_free(gm_runner *runner);
/* What a plan does to the routers from the next block on, copied; NULL: nothing. GM_EARG, GM_EMEM:
 * gm_session_set_edits. */
gm_status gm_runner_steer(gm_runner *runner, const gm_edit *edit, gm_error *err) GM_MUST_USE;

/* Which model layers [first, end) the next blocks go through; all at first. Others start from and
 * end in the block's `residual`, are through no layer of other steps, and fill in only -ln p where
 * the last layer is one of them. Only where gm_runner_takes_layers. */
void gm_runner_layers(gm_runner *runner, size_t first, size_t end);
bool gm_runner_takes_layers(const gm_runner *runner);

/* The session that such a runner creates. */
gm_session_options gm_runner_session(const gm_runner_options *options);

/* Bytes of session and staging, and of two full blocks. */
typedef struct gm_runner_memory {
    uint64_t hidden; /* streamed: hidden states of a block */
    uint64_t kv;     /* keys and values */
    uint64_t rest;   /* of the session, and staging */
    uint64_t blocks; /* the one being computed, the one being written */
} gm_runner_memory;
gm_runner_memory gm_runner_bytes(const gm_model *model, const gm_runner_options *options);

/* Called after every step, or layer where they are streamed, with the rows done of this
 * block; of a step that is not through all layers, the share of them. */
typedef void gm_runner_progress(void *context, size_t rows);

/* GM_EINTERRUPTED after SIGINT or SIGTERM: the block is not to be used. */
gm_status gm_runner_run(gm_runner *runner, gm_probe_block *block, gm_runner_progress *progress,
                        void *context, gm_error *err) GM_MUST_USE;

#endif
