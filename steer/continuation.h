/* continuation.h - many prompts continued at once, each under a plan of its own.
 *
 * All continuations share the engine's steps: while some still read their prompt,
 * others already generate, and those that end make room for those that wait. What a
 * continuation says does not depend on the others (engine.h).
 */
#ifndef GM_CONTINUATION_H
#define GM_CONTINUATION_H

#include "engine/engine.h"
#include "engine/tokenizer/tokenizer.h"
#include "formats/schedule.h"

typedef enum gm_end { GM_END_NONE, GM_END_LENGTH, GM_END_EOS, GM_END_STRING } gm_end;
const char *gm_end_name(gm_end end); /* "length", "eos", "stop" */

typedef struct gm_continuation {
    /* asked for */
    gm_ids prompt;     /* owned */
    size_t n_template; /* leading tokens from the post-processor or a chat template */
    size_t n_closing;  /* the prompt's last tokens that a chat template put there */
    int edit;          /* index among the edits; -1: unsteered */
    gm_sampling sampling;
    size_t max_tokens;        /* >= 1 */
    const uint8_t *important; /* (L,E) experts whose dose is counted; NULL: none; borrowed */
    /* what came of it */
    gm_ids generated; /* owned; a stop token is not among them */
    gm_text text;     /* of the generated tokens, cut before a stop string; owned */
    gm_end end;
    uint64_t n_dosed, n_pairs; /* (generated row, layer) pairs whose choices hold an
                                  important expert, and all of the layers that have one */
    /* private */
    int sequence;
    size_t n_read, shown;
    gm_stream stream;
    uint32_t last;
} gm_continuation;

void gm_continuation_clear(gm_continuation *c);

/* Called with each piece of text that is certain: n bytes, whole characters. */
typedef void gm_on_text(void *context, const gm_continuation *c, const char *bytes, size_t n);

/* Called after each step in which some of the list ended (their end is not GM_END_NONE); their
 * texts are whole. */
typedef void gm_on_end(void *context);

/* Called before each step; false cancels the rest. */
typedef bool gm_keep_going(void *context);

/* Called after each step with its rows as the routers saw them: `record` (L,T,K), T = n_rows,
 * segment after segment; owner (n_segments). */
typedef gm_status gm_on_rows(void *context, const gm_segment *segments,
                             gm_continuation *const *owner, size_t n_segments,
                             const gm_record *record, size_t n_rows, gm_error *err);

typedef struct gm_continue_options {
    int threads;
    size_t batch;         /* continuations in one step at most */
    const gm_edit *edits; /* (n_edits) borrowed */
    size_t n_edits;
    const gm_schedule *schedules; /* (n_edits) of each over a continuation's generated tokens;
                                     NULL: constant; borrowed */
    const uint32_t *stop;         /* (n_stop) ids that end a continuation */
    size_t n_stop;
    const char *const *stop_string; /* (n_stop_strings) texts that end it */
    size_t n_stop_strings;
    gm_on_text *on_text; /* may be NULL */
    void *on_text_context;
    gm_on_end *on_end; /* may be NULL */
    void *on_end_context;
    gm_on_rows *on_rows; /* may be NULL */
    void *on_rows_context;
    gm_keep_going *keep_going; /* may be NULL */
    void *keep_going_context;
    bool quiet; /* no progress line */
} gm_continue_options;

/* Does each fit the model's context, with what it may generate? GM_EARG: says which does not and by
 * how much; an empty prompt. Worth knowing before weights are loaded. */
gm_status gm_continue_fits(const gm_continuation *list, size_t n, const gm_model_info *info,
                           gm_error *err) GM_MUST_USE;

/* Run them all. Errors: those of gm_continue_fits; GM_EINTERRUPTED (by a signal, or
 * cancelled), GM_EMEM, those of the engine. */
gm_status gm_continue(gm_continuation *list, size_t n, const gm_model *model,
                      const gm_tokenizer *tokenizer, const gm_continue_options *options,
                      gm_error *err) GM_MUST_USE;

/* GM_EINTERRUPTED after a signal, or when options->keep_going says no. */
gm_status gm_continue_check(const gm_continue_options *options, gm_error *err) GM_MUST_USE;

/* Token t of a continuation, its prompt first; and what it counts as: GM_PHASE_... */
uint32_t gm_continuation_token(const gm_continuation *c, size_t t);
uint8_t gm_continuation_phase(const gm_continuation *c, size_t t);

/* The session that gm_continue makes for `batch` continuations of up to max_tokens after prompts of
 * usual lengths: to plan memory before prompts are known. */
gm_session_options gm_continue_planned(int threads, size_t batch, size_t max_tokens);

/* The dose achieved: n_dosed / n_pairs; NaN when nothing was counted. */
double gm_continuation_dose(const gm_continuation *c);

#endif
