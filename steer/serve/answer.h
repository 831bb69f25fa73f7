/* answer.h - what the server writes to one request, by gm-steer's own means: the same plans,
 * draws and texts as gm-steer generate with the same options.
 */
#ifndef GM_ANSWER_H
#define GM_ANSWER_H

#include "steer/serve/ask.h"
#include "steer/serve/likelihood.h"
#include "steer/stage.h"

/* What the server was started with. All borrowed. */
typedef struct gm_host {
    const gm_stage *stage; /* loaded, without a chat template of its own */
    const gm_plan *own;    /* for requests that say nothing of a plan */
    const char *const *plan_path, *const *plan_name; /* (n_plans) plan files, and by which name */
    size_t n_plans;
} gm_host;

/* Choices in the order of gm_ask. */
typedef struct gm_answer {
    size_t n;
    gm_continuation *text;     /* (n) */
    gm_likelihood *likelihood; /* (n); NULL: not asked for */
    size_t n_prompt_tokens, n_generated;
    gm_plan *plan;         /* (n_plans) private, as all below: those of the request */
    int *edit_of;          /* (n_plans) -1: unsteered */
    gm_edit *edit;         /* (n_edits) */
    gm_schedule *schedule; /* (n_edits) */
    uint8_t *important;    /* (n_edits,L,E) */
    size_t n_plans, n_edits;
} gm_answer;

/* Who listens while it is written; members may be NULL. */
typedef struct gm_listener {
    void *context;
    gm_wanted *wanted;
    void (*say)(void *context, size_t choice, const char *bytes, size_t n); /* whole characters */
} gm_listener;

/* Write all texts that are asked for. *out is the caller's to clear, empty on failure. Errors:
 * GM_EARG (a cluster, subset, expert or plan that is not there, a prompt too long, a model without
 * a chat template), GM_EINTERRUPTED, GM_EMEM, those of the engine. */
gm_status gm_answer_make(gm_answer *out, const gm_host *host, const gm_ask *ask,
                         const gm_listener *listener, gm_error *err) GM_MUST_USE;
void gm_answer_clear(gm_answer *answer);

#endif
