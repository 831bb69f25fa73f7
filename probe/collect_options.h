/* collect_options.h - the command line of gm-probe collect. */
#ifndef GM_PROBE_COLLECT_OPTIONS_H
#define GM_PROBE_COLLECT_OPTIONS_H

#include "base/cli.h"
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
    double logits_rate;
    uint32_t shard_i, shard_n; /* 0 of 1: the whole run */
} gm_collect_options;

/* Read and check. GM_EARG, GM_EHELP. */
gm_status gm_collect_options_read(gm_collect_options *o, int argc, char **argv, gm_error *err)
    GM_MUST_USE;
void gm_collect_options_clear(gm_collect_options *o);

#endif
