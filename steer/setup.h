/* setup.h - what every command that generates needs: a model, its tokenizer, an atlas
 * or a plan that belong to it, and how tokens are chosen.
 */
#ifndef GM_SETUP_H
#define GM_SETUP_H

#include "base/json.h"
#include "engine/chat/chat.h"
#include "engine/model_options.h"
#include "steer/continuation.h"
#include "steer/prompts.h"
#include "steer/recipe.h"

typedef struct gm_setup_options {
    const char *model, *atlas, *device, *kernels, *cache_dir;
    int numerics; /* gm_numerics */
    int cache;    /* gm_cache */
    int64_t threads, batch, max_tokens, seed, top_k;
    double temperature, top_p, penalty; /* below 0: as the model says */
    gm_opt_list prompts, stop_strings, stop_tokens;
    const char *prompts_file;
    bool chat;                   /* prompts are questions inside the model's template */
    const char *system, *answer; /* first message; words that answers begin with; NULL: none */
    const char *chat_date;       /* chat.h: date, settings */
    gm_opt_list chat_set;
    bool any_model, ignore_eos, map, strict_memory, json, quiet;
} gm_setup_options;

gm_setup_options gm_setup_defaults(void);
void gm_setup_options_clear(gm_setup_options *options);

/* Rows of an option table for the setup options `o`, each in one piece: which model and how it
 * computes; how it writes; and all of it. */
/* clang-format off */
#define GM_SETUP_MODEL_OPTIONS(o)                                                                  \
    {GM_OPT_GROUP, NULL, NULL, 0, 0, NULL, "Model"},                                               \
        {GM_OPT_TEXT, "model", &(o)->model, 0, 0, "DIR", "folder of the model"},                   \
        {GM_OPT_TEXT, "atlas", &(o)->atlas, 0, 0, "FILE", "atlas made from a trace of the model"}, \
        {GM_OPT_FLAG, "any-model", &(o)->any_model, 0, 0, NULL,                                    \
         "accept an atlas or plan made for another model of the same shape"},                      \
        GM_COMPUTE_OPTIONS(o),                                                                     \
        GM_PACKED_OPTIONS(o)

#define GM_SETUP_TEXT_OPTIONS(o)                                                                   \
    {GM_OPT_I64, "max-tokens", &(o)->max_tokens, 1, 1 << 28, "N", "tokens to generate"},           \
        {GM_OPT_F64, "temperature", &(o)->temperature, -1, 100, "X",                               \
         "0: greedy; below 0: as in the model's generation_config.json"},                          \
        {GM_OPT_I64, "top-k", &(o)->top_k, -1, 1 << 28, "N", "0: off; -1: as in generation_config.json"},\
        {GM_OPT_F64, "top-p", &(o)->top_p, -1, 1, "X",                                             \
         "above 0; 1: off; below 0: as in generation_config.json"},                                \
        {GM_OPT_F64, "repetition-penalty", &(o)->penalty, -1, 100, "X",                            \
         "above 0; 1: off; below 0: as in generation_config.json"},                                \
        {GM_OPT_I64, "seed", &(o)->seed, 0, 9e15, "N", "seed of the sampling"},                    \
        {GM_OPT_LIST, "stop", &(o)->stop_strings, 0, 0, "TEXT", "stop before this text"},          \
        {GM_OPT_LIST, "stop-token", &(o)->stop_tokens, 0, 0, "TOKEN", "stop at this token"},       \
        {GM_OPT_FLAG, "ignore-eos", &(o)->ignore_eos, 0, 0, NULL, "continue past the model's end token"},\
    {                                                                                              \
        GM_OPT_I64, "batch", &(o)->batch, 1, 1 << 16, "N", "most continuations computed together"  \
    }

#define GM_SETUP_OPTIONS(o)                                                                        \
    GM_SETUP_MODEL_OPTIONS(o),                                                                     \
        {GM_OPT_GROUP, NULL, NULL, 0, 0, NULL, "Text"},                                            \
        {GM_OPT_LIST, "prompt", &(o)->prompts, 0, 0, "TEXT", "text to continue"},                  \
        {GM_OPT_TEXT, "prompts", &(o)->prompts_file, 0, 0, "FILE", "file of prompts, one per line (text or JSON)"},\
        {GM_OPT_FLAG, "chat", &(o)->chat, 0, 0, NULL,                                              \
         "put each prompt, as a question, into the model's chat template"},                        \
        {GM_OPT_TEXT, "system", &(o)->system, 0, 0, "TEXT", "system message before the question"}, \
        {GM_OPT_TEXT, "answer", &(o)->answer, 0, 0, "TEXT", "how the answer begins"},              \
        {GM_OPT_LIST, "chat-set", &(o)->chat_set, 0, 0, "NAME=VALUE", GM_CHAT_SET_HELP},           \
        {GM_OPT_TEXT, "chat-date", &(o)->chat_date, 0, 0, "DATE", GM_CHAT_DATE_HELP},              \
        GM_SETUP_TEXT_OPTIONS(o),                                                                  \
        {GM_OPT_GROUP, NULL, NULL, 0, 0, NULL, "Output"},                                          \
        {GM_OPT_FLAG, "json", &(o)->json, 0, 0, NULL, "one JSON object on standard output"},       \
    {                                                                                              \
        GM_OPT_FLAG, "quiet", &(o)->quiet, 0, 0, NULL, "no progress"                               \
    }
/* clang-format on */

typedef struct gm_setup {
    gm_model *model;
    const gm_model_info *info;
    gm_tokenizer *tokenizer;
    gm_encoder *encoder;
    gm_chat chat;    /* name "": prompts are continued as they are */
    gm_atlas *atlas; /* NULL: none */
    const gm_setup_options *options;
    gm_sampling sampling;
    gm_ids stop;
} gm_setup;

/* Refuse, before a model is opened, what the command line alone shows to be wrong:
 * no model, a list entry or rule that cannot be read. GM_EARG, GM_EMEM. */
gm_status gm_setup_check(const gm_setup_options *options, const gm_recipe *recipe, gm_error *err)
    GM_MUST_USE;

/* Open what the options name, which are borrowed, but for the weights; the atlas must be of this
 * model. Closed on failure. Errors of gm_model_open, gm_atlas_open, gm_tokenizer_open and
 * gm_chat_open; GM_EARG (an atlas of another model, tokens that its context cannot hold, a stop
 * token that there is not), GM_EFORMAT (a tokenizer of another model), GM_EMEM. */
gm_status gm_setup_open(gm_setup *setup, const gm_setup_options *options, gm_error *err)
    GM_MUST_USE;
/* Load the weights: minutes, for a large model, so that what can be wrong with a request is
 * looked for before. Replaces setup->model and setup->info. Errors of gm_model_open. */
gm_status gm_setup_load(gm_setup *setup, gm_error *err) GM_MUST_USE;
void gm_setup_close(gm_setup *setup);
/* The model's, as atlases and plans are held against; borrows from it. */
gm_shape gm_setup_shape(const gm_setup *setup);
/* Members of an open object: the options of a chat that were given, "system", "answer", ... */
void gm_setup_put_chat_options(const gm_setup_options *options, gm_json_out *json);

/* The plan of the file `path` times recipe->weight, or (path NULL) what the recipe asks
 * for; zeros when that is nothing. A plan of other sizes is refused, and one of another
 * model unless --any-model. The caller's, for gm_plan_clear. Warns where it does less or more than
 * is likely meant; the second does not. Errors of gm_plan_read, gm_recipe_build; GM_EARG, GM_EMEM.
 */
gm_status gm_setup_plan(gm_plan *plan, const gm_setup *setup, const gm_recipe *recipe,
                        const char *path, gm_error *err) GM_MUST_USE;
gm_status gm_setup_plan_quietly(gm_plan *plan, const gm_setup *setup, const gm_recipe *recipe,
                                const char *path, gm_error *err) GM_MUST_USE;

/* A plan as the engine's edit; borrows plan->bias. */
gm_edit gm_setup_edit(const gm_plan *plan);

/* Set up a continuation of `prompt`, or an answer to it, unsteered; `stream` numbers its random
 * draws. The caller's, for gm_continuation_clear, also on failure. Errors of gm_encode,
 * gm_chat_encode. */
gm_status gm_setup_prepare(const gm_setup *setup, gm_continuation *c, const gm_prompt *prompt,
                           uint64_t stream, gm_error *err) GM_MUST_USE;

/* Members of an open object: the model, how it computes, how tokens are chosen; the second: the
 * chat options, if there are any. */
void gm_setup_put(const gm_setup *setup, gm_json_out *json);
void gm_setup_put_chat(const gm_setup *setup, gm_json_out *json);

/* Options of gm_continue that every command shares. */
gm_continue_options gm_setup_continue(const gm_setup *setup, const gm_edit *edits, size_t n);

#endif
