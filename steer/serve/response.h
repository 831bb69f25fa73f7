/* response.h - the server's JSON: responses as OpenAI's API has them, chunks of a stream, errors,
 * and what the page needs to know of model and atlas.
 *
 * Members of our own: of a choice "plan" (its place in the request's `steer`) and "important_share"
 * (the dose; null for an unsteered text). Log-probabilities: see response_likelihood.h.
 */
#ifndef GM_RESPONSE_H
#define GM_RESPONSE_H

#include "steer/serve/completions.h"

/* What responses to one request have in common. */
typedef struct gm_response_head {
    bool chat;
    uint64_t number;   /* of the request */
    int64_t created;   /* seconds since 1970 */
    const char *model; /* its name */
} gm_response_head;

/* Each appends one JSON value to *out. GM_EMEM. */
gm_status gm_response_whole(gm_text *out, const gm_response_head *head, const gm_server *server,
                            const gm_request *request, const gm_completions *completions,
                            gm_error *err) GM_MUST_USE;
/* The first chunk of a chat's stream: the role in every choice. */
gm_status gm_response_first_chunk(gm_text *out, const gm_response_head *head, size_t n_choices,
                                  gm_error *err) GM_MUST_USE;
gm_status gm_response_chunk(gm_text *out, const gm_response_head *head, size_t choice,
                            const char *bytes, size_t n, gm_error *err) GM_MUST_USE;
/* The last chunk of a stream: how each choice ended, and the log-probabilities of all its tokens,
 * which are known once it is whole. */
gm_status gm_response_last_chunk(gm_text *out, const gm_response_head *head,
                                 const gm_server *server, const gm_request *request,
                                 const gm_completions *completions, gm_error *err) GM_MUST_USE;
gm_status gm_response_error(gm_text *out, const char *sentence, gm_error *err) GM_MUST_USE;
/* The one model that there is. */
gm_status gm_response_models(gm_text *out, const gm_response_head *head, gm_error *err) GM_MUST_USE;
/* Model, sampling, the server's default plan and plan files, the atlas's clusters with keywords,
 * its subsets. */
gm_status gm_response_about(gm_text *out, const gm_server *server, gm_error *err) GM_MUST_USE;

#endif
