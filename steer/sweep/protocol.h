/* protocol.h - what a sweep is asked to measure: the options, read and checked.
 *
 * Everything that a result depends on is here, in the model, in the atlas and in the texts;
 * threads and batches are not.
 */
#ifndef GM_PROTOCOL_H
#define GM_PROTOCOL_H

#include "steer/setup.h"

enum { GM_MAX_DOSES = 16, GM_MAX_FILTERS = 8 };
enum { GM_PASSAGE_TOKENS = 128 }; /* of a fixed text, at most */

typedef struct gm_protocol {
    /* as given */
    gm_recipe recipe;          /* `filter` is a list of candidates, "lift,none" */
    const char *doses;         /* "-1,0,1,2": rising */
    gm_opt_list plans;         /* "FILE" or "FILE=DOMAIN": topics beside the clusters */
    gm_opt_list corpus;        /* labelled documents outside the clustering */
    const char *tune_file;     /* prompts of the choosing half; NULL: our own */
    int64_t n_clusters;        /* largest pure ones, unless named */
    int64_t draws;             /* of random experts at the chosen dose */
    int64_t band_draws;        /* at every other positive dose */
    int64_t shuffles;          /* draws of shuffled values */
    int64_t seeds;             /* continuations of a prompt */
    int64_t off_prompts;       /* openings of documents of other topics, a half */
    int64_t passages;          /* documents of neutral text; an eighth (at least 3) in, off topic */
    double min_purity, max_kl; /* nats a token, neutral text: what a dose may cost */
    bool full, everywhere;     /* everywhere: controls at every positive dose */
    /* as read */
    double dose[GM_MAX_DOSES]; /* ascending */
    size_t n_doses;
    const char *filter[GM_MAX_FILTERS];
    size_t n_filters;
    gm_arena arena;
} gm_protocol;

/* The short protocol (1.5 M tokens on the demo model), or that of the literature. */
gm_protocol gm_protocol_defaults(bool full);
void gm_protocol_clear(gm_protocol *protocol);

/* Read the lists and refuse what cannot be measured. GM_EARG, GM_EMEM. */
gm_status gm_protocol_check(gm_protocol *protocol, const gm_setup_options *setup, gm_error *err)
    GM_MUST_USE;

/* Positive doses, in order: their number, and the k-th. */
size_t gm_protocol_n_positive(const gm_protocol *protocol);
double gm_protocol_positive(const gm_protocol *protocol, size_t k);

/* Is there more than one dose and filter to choose from? */
bool gm_protocol_chooses(const gm_protocol *protocol);

/* Rows of an option table for the protocol `p`, each in one piece. */
/* clang-format off */
#define GM_PROTOCOL_OPTIONS(p)                                                                    \
    {GM_OPT_GROUP, NULL, NULL, 0, 0, NULL, "Protocol"},                                           \
        {GM_OPT_LIST,                                                                             \
         "classifier-corpus",                                                                     \
         &(p)->corpus,                                                                            \
         0,                                                                                       \
         0,                                                                                       \
         "FILE",                                                                                  \
         "labelled documents to train the classifier; those that were clustered are left out"},   \
        {GM_OPT_FLAG, "full", &(p)->full, 0, 0, NULL, "larger defaults, for results to be published"},\
        {GM_OPT_TEXT, "doses", &(p)->doses, 0, 0, "W,W,...", "weights of the plan to try, ascending"},\
        {GM_OPT_F64,                                                                              \
         "max-kl",                                                                                \
         &(p)->max_kl,                                                                            \
         0,                                                                                       \
         1e3,                                                                                     \
         "X",                                                                                     \
         "largest cost of the chosen dose, nats a token of neutral text"},                        \
        {GM_OPT_TEXT,                                                                             \
         "tune-prompts",                                                                          \
         &(p)->tune_file,                                                                         \
         0,                                                                                       \
         0,                                                                                       \
         "FILE",                                                                                  \
         "file of prompts for choosing dose and filter"},                                         \
        {GM_OPT_I64,                                                                              \
         "off-prompts",                                                                           \
         &(p)->off_prompts,                                                                       \
         0,                                                                                       \
         1000,                                                                                    \
         "N",                                                                                     \
         "prompts from documents of other topics, in each half"},                                 \
        {GM_OPT_I64, "seeds", &(p)->seeds, 1, 1000, "N", "continuations of each prompt"},         \
        {GM_OPT_I64,                                                                              \
         "n-clusters",                                                                            \
         &(p)->n_clusters,                                                                        \
         1,                                                                                       \
         64,                                                                                      \
         "N",                                                                                     \
         "measure the N largest pure clusters, unless --cluster names some"},                     \
        {GM_OPT_F64, "min-purity", &(p)->min_purity, 0, 1, "X", "least purity of those clusters"},\
        {GM_OPT_I64,                                                                              \
         "draws",                                                                                 \
         &(p)->draws,                                                                             \
         1,                                                                                       \
         999,                                                                                     \
         "N",                                                                                     \
         "draws of random experts at the chosen dose; fewer than 19 cannot give a p of .05"},     \
        {GM_OPT_I64, "band-draws", &(p)->band_draws, 0, 999, "N", "draws at the other positive doses"},\
        {GM_OPT_I64, "shuffles", &(p)->shuffles, 0, 999, "N", "draws of shuffled values"},        \
        {GM_OPT_FLAG,                                                                             \
         "everywhere",                                                                            \
         &(p)->everywhere,                                                                        \
         0,                                                                                       \
         0,                                                                                       \
         NULL,                                                                                    \
         "run all controls and draws at every positive dose"},                                    \
    {                                                                                             \
        GM_OPT_I64, "passages", &(p)->passages, 1, 100000, "N",                                   \
            "neutral documents for measuring the cost, 128 tokens each"                           \
    }
/* clang-format on */

#endif
