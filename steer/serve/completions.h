/* completions.h - what is generated for one request: the plans, draws and texts of gm-steer
 * generate with the same options.
 */
#ifndef GM_COMPLETIONS_H
#define GM_COMPLETIONS_H

#include "steer/serve/likelihood.h"
#include "steer/serve/request.h"
#include "steer/setup.h"

/* What the server was started with. All borrowed. */
typedef struct gm_server {
    const gm_setup *setup;       /* loaded, without a chat template of its own */
    const gm_plan *default_plan; /* of requests without one */
    const char *const *plan_path, *const *plan_name; /* (n_plans) plan files, and by which name */
    size_t n_plans;
} gm_server;

/* Choices in the order of gm_request. */
typedef struct gm_completions {
    size_t n;
    gm_continuation *text;     /* (n) */
    gm_likelihood *likelihood; /* (n); NULL: not requested */
    size_t n_prompt_tokens, n_generated;
    gm_plan *plan;         /* (n_plans) private, as all below: those of the request */
    int *edit_of;          /* (n_plans) -1: unsteered */
    gm_edit *edit;         /* (n_edits) */
    gm_schedule *schedule; /* (n_edits) */
    uint8_t *important;    /* (n_edits,L,E) */
    size_t n_plans, n_edits;
} gm_completions;

/* Called meanwhile, see continuation.h; members may be NULL. */
typedef struct gm_completions_callbacks {
    void *context;
    gm_keep_going *keep_going;
    void (*on_text)(void *context, size_t choice, const char *bytes, size_t n);
} gm_completions_callbacks;

/* Generate all texts of a request. *out is the caller's to clear, empty on failure. Errors:
 * GM_EARG (a cluster, subset, expert or plan that is not there, a prompt too long, a model without
 * a chat template), GM_EINTERRUPTED, GM_EMEM, those of the engine. */
gm_status gm_completions_generate(gm_completions *out, const gm_server *server,
                                  const gm_request *request,
                                  const gm_completions_callbacks *callbacks, gm_error *err)
    GM_MUST_USE;
void gm_completions_clear(gm_completions *completions);

#endif
