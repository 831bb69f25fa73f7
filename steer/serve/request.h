/* request.h - the body of a request as OpenAI's API has it, with one member more: the plans under
 * which to write.
 *
 *   completions   prompt (a text, a list of texts, of token ids, of lists of them), echo, logprobs
 *                 (a number)
 *   chat          messages (a system message or none, turns of 'user' and 'assistant', the last by
 *                 'user': the question), logprobs (whether), top_logprobs (a number),
 *                 chat_template_kwargs (variables of the template), as vLLM has them
 *   both          max_tokens, temperature, top_p, top_k, repetition_penalty, seed, n, stop, stream
 *
 * What is absent or null is as the server was started. Members that would change the answer and
 * are not known are refused by name, never ignored, unless they are null.
 *
 * `steer` says what acts on the routers: an object of the options of gm-steer generate by their
 * names ({"cluster": 25, "weight": 2}), or {"plan": NAME}, a plan file that the server was started
 * with; null for nothing; a list of such for a text under each, from the same draws. Absent: what
 * the server was started with.
 *
 * Source: the Completions and Chat Completions API as lm-evaluation-harness and openai-python use
 * it; token lists, top_k and repetition_penalty as vLLM takes them.
 */
#ifndef GM_REQUEST_H
#define GM_REQUEST_H

#include "base/arena.h"
#include "base/json.h"
#include "engine/chat/chat.h"
#include "engine/engine.h"
#include "steer/recipe.h"

typedef struct gm_request_prompt {
    const char *text; /* (n) UTF-8; NULL: ids */
    size_t n;
    const uint32_t *ids; /* (n_ids) below the vocabulary's size */
    size_t n_ids;
} gm_request_prompt;

typedef enum gm_request_plan_kind {
    GM_REQUEST_DEFAULT,    /* the server's */
    GM_REQUEST_UNSTEERED,  /* null */
    GM_REQUEST_BY_OPTIONS, /* an object */
    GM_REQUEST_BY_NAME     /* an object with "plan"; recipe.weight goes with it */
} gm_request_plan_kind;

typedef struct gm_request_plan {
    gm_request_plan_kind kind;
    gm_recipe recipe;
    const char *name;
} gm_request_plan;

/* Texts point into the body, which is kept. Choice i is of draw (i / n_plans) % n_draws of prompt
 * i / n_plans / n_draws, under plan i % n_plans. */
typedef struct gm_request {
    bool chat, stream;
    bool echo;                 /* the prompt is part of the text, and of the log-probabilities */
    int n_likeliest;           /* log-probabilities, and so many likeliest tokens; -1: none */
    gm_request_prompt *prompt; /* (n_prompts) of a chat: the question */
    size_t n_prompts, n_draws;
    const char *system; /* of a chat; NULL: none */
    gm_chat_turn *turn; /* (n_turns) of a chat, before the question */
    size_t n_turns;
    const char **settings; /* (n_settings) of a chat, as gm_chat_options has them */
    size_t n_settings;
    gm_sampling sampling; /* its stream is the draw's, set by whoever answers */
    size_t max_tokens;    /* 0: only with echo */
    const char **stop;    /* (n_stop) */
    size_t n_stop;
    gm_request_plan *plan; /* (n_plans) */
    size_t n_plans;
    gm_json *body;  /* private */
    gm_arena arena; /* private: of the arrays */
} gm_request;

enum { GM_REQUEST_MAX_CHOICES = 1024, GM_REQUEST_MAX_PLANS = 16 };
enum { GM_REQUEST_MAX_LIKELIEST = 20, GM_REQUEST_MAX_STOPS = 16 };

/* What the server was started with, and the model's sizes. */
typedef struct gm_request_defaults {
    gm_sampling sampling;
    size_t max_tokens, max_context, vocabulary;
} gm_request_defaults;

/* Read a body of n bytes. *out is the caller's to clear, empty on failure. Errors: GM_EFORMAT,
 * GM_EARG (a member by name, what was found and expected), GM_EMEM. */
gm_status gm_request_read(gm_request *out, bool chat, const char *bytes, size_t n,
                          const gm_request_defaults *defaults, gm_error *err) GM_MUST_USE;
void gm_request_clear(gm_request *request);

/* In a sentence on the plan of a request: members where the command line has options,
 * "'steer.layers'" for "--layers". NULL is left alone. */
void gm_request_name_members(gm_error *err);

#endif
