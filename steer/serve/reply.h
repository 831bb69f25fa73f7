/* reply.h - the server's JSON: answers as OpenAI's API has them, pieces of a stream, errors, and
 * what the page needs to know of model and atlas.
 *
 * Members of our own: of a choice "plan" (its place in the request's `steer`) and "important_share"
 * (the dose; null for an unsteered text). Log-probabilities: see reply_likelihood.h.
 */
#ifndef GM_REPLY_H
#define GM_REPLY_H

#include "steer/serve/answer.h"

/* What replies to one request have in common. */
typedef struct gm_reply_head {
    bool chat;
    uint64_t number;   /* of the request */
    int64_t created;   /* seconds since 1970 */
    const char *model; /* its name */
} gm_reply_head;

/* Each appends one JSON value to *out. GM_EMEM. */
gm_status gm_reply_whole(gm_text *out, const gm_reply_head *head, const gm_host *host,
                         const gm_ask *ask, const gm_answer *answer, gm_error *err) GM_MUST_USE;
/* The first of a chat's stream: who speaks, in every choice. */
gm_status gm_reply_begin(gm_text *out, const gm_reply_head *head, size_t n_choices, gm_error *err)
    GM_MUST_USE;
gm_status gm_reply_piece(gm_text *out, const gm_reply_head *head, size_t choice, const char *bytes,
                         size_t n, gm_error *err) GM_MUST_USE;
/* The last of a stream: how each choice ended, and the log-probabilities of all its tokens, which
 * are known once it is whole. */
gm_status gm_reply_end(gm_text *out, const gm_reply_head *head, const gm_host *host,
                       const gm_ask *ask, const gm_answer *answer, gm_error *err) GM_MUST_USE;
gm_status gm_reply_error(gm_text *out, const char *sentence, gm_error *err) GM_MUST_USE;
/* The one model that there is. */
gm_status gm_reply_models(gm_text *out, const gm_reply_head *head, gm_error *err) GM_MUST_USE;
/* Model, sampling, the server's own plan and plan files, the atlas's clusters with keywords, its
 * subsets. */
gm_status gm_reply_about(gm_text *out, const gm_host *host, gm_error *err) GM_MUST_USE;

#endif
