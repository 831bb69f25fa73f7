/* collect_options.h - the command line of gm-probe collect. */
#ifndef GM_PROBE_COLLECT_OPTIONS_H
#define GM_PROBE_COLLECT_OPTIONS_H

#include "engine/model_options.h"
#include "formats/trace.h"

#define GM_SUBSET_FIELD "meta.pile_set_name" /* the default of --subset-field */

typedef struct gm_collect_options {
    const char *model, *out, *record, *shard, *subset_field, *text_field, *device, *kernels,
        *cache_dir, *language_field, *plan;
    gm_opt_list corpus;
    int numerics; /* gm_numerics */
    int cache;    /* gm_cache */
    int64_t doc_tokens, min_tokens, limit, sample, per_subset, seed, step_tokens, threads;
    bool any_model, nll, text, strict, map, stream, strict_memory, dry_run, resume, force,
        allow_bad, json, quiet;
    bool spelling; /* read: only where tokens are recorded and texts are not */
    /* read from the texts above */
    gm_record_level level;
    bool norms;
    double logits_rate;
    uint32_t shard_i, shard_n; /* 0 of 1: the whole run */
} gm_collect_options;

/* Largest whole number that an option takes: exact as a double. */
#define GM_LARGEST_NUMBER 9007199254740992.0

/* Rows of an option table for the options `o`: which documents of a corpus are read; where and how
 * the model is run. */
/* clang-format off */
#define GM_DOCUMENT_OPTIONS(o)                                                                    \
        {.kind = GM_OPT_GROUP, .help = "Which documents"},                                        \
        {GM_OPT_I64, "doc-tokens", &(o)->doc_tokens, 1, 1 << 24, "N",                             \
         "keep the first N tokens of each text"},                                                 \
        {GM_OPT_I64, "min-tokens", &(o)->min_tokens, 1, 1 << 24, "N",                             \
         "leave out documents with fewer tokens"},                                                \
        {GM_OPT_I64, "limit", &(o)->limit, 0, GM_LARGEST_NUMBER, "N", "first N documents only; 0: all"},\
        {GM_OPT_I64, "sample", &(o)->sample, 0, GM_LARGEST_NUMBER, "N",                           \
         "draw N documents at random, then leave out those under --min-tokens; 0: all"},          \
        {GM_OPT_I64, "per-subset", &(o)->per_subset, 0, GM_LARGEST_NUMBER, "N",                   \
         "draw N documents of each subset; 0: all"},                                              \
        {GM_OPT_I64, "seed", &(o)->seed, 0, GM_LARGEST_NUMBER, "N", "seed for drawing"},          \
        {GM_OPT_TEXT, "text-field", &(o)->text_field, 0, 0, "NAME", "JSON field with the text"},  \
        {GM_OPT_TEXT, "subset-field", &(o)->subset_field, 0, 0, "NAME", "JSON field with the subset"},\
        {GM_OPT_FLAG, "strict", &(o)->strict, 0, 0, NULL, "stop at the first line that cannot be used"}

#define GM_MODEL_OPTIONS(o)                                                                       \
        GM_COMPUTE_OPTIONS(o),                                                                    \
        {GM_OPT_FLAG, "stream", &(o)->stream, 0, 0, NULL,                                         \
         "for models larger than memory: read each layer from disk once per block"},              \
        GM_PACKED_OPTIONS(o),                                                                     \
        {GM_OPT_I64, "step-tokens", &(o)->step_tokens, 32, 1 << 20, "N",                          \
         "tokens computed per step"}
/* clang-format on */

gm_collect_options gm_collect_options_defaults(void);

/* Check what the two tables above, --model and --corpus say; argv[1..argc) are further corpora.
 * GM_EARG, GM_EMEM. */
gm_status gm_collect_options_check(gm_collect_options *o, int argc, char **argv, gm_error *err)
    GM_MUST_USE;

/* Read and check. GM_EARG, GM_EHELP. */
gm_status gm_collect_options_read(gm_collect_options *o, int argc, char **argv, gm_error *err)
    GM_MUST_USE;
void gm_collect_options_clear(gm_collect_options *o);

#endif
