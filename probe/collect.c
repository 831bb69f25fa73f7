/* collect.c - gm-probe collect: corpus, tokenizer, blocks, model, shards, one file.
 *
 * The reading thread cuts blocks and runs them; a writer thread commits them as shards.
 * What is there already is passed over; run_output.c makes the one file at the end.
 */
#include "base/outfile.h"
#include "base/sha256.h"
#include "base/version.h"
#include "engine/engine.h"
#include "probe/dry_run.h"
#include "probe/probe_commands.h"
#include "probe/run.h"
#include "probe/same_run.h"
#include "probe/writer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* ---- what the run is ---- */

static gm_status write_options(gm_run *r, bool with_identity, gm_text *text, gm_error *err)
{
    const gm_collect_options *o = &r->o;
    gm_json_out out = {0};
    gm_json_open_object(&out, NULL);
    gm_json_put_string(&out, "record", o->record);
    gm_json_put_i64(&out, "doc_tokens", o->doc_tokens);
    gm_json_put_i64(&out, "min_tokens", o->min_tokens);
    gm_json_put_i64(&out, "limit", o->limit);
    gm_json_put_i64(&out, "sample", o->sample);
    gm_json_put_i64(&out, "per_subset", o->per_subset);
    gm_json_put_i64(&out, "seed", o->seed);
    gm_json_put_string(&out, "text_field", o->text_field);
    gm_json_put_string(&out, "subset_field", o->subset_field);
    if (o->language_field) gm_json_put_string(&out, "language_field", o->language_field);
    gm_json_put_bool(&out, "nll", o->nll);
    gm_json_put_bool(&out, "text", o->text);
    if (o->spelling) gm_json_put_bool(&out, "spelling", true);
    if (o->plan) gm_json_put_string(&out, "plan", r->plan_digest);
    /* a GPU's bits depend on these too */
    const bool by_gpu = strncmp(r->info.device, "cuda", 4) == 0;
    if (by_gpu) gm_json_put_i64(&out, "step_tokens", o->step_tokens);
    gm_json_put_u64(&out, "corpus_bytes", gm_blocks_bytes(r->blocks));
    gm_json_open_array(&out, "corpus");
    for (size_t i = 0; i < o->corpus.n && i < 100; i++)
        gm_json_put_string(&out, NULL, o->corpus.at[i]);
    gm_json_close_array(&out);
    if (with_identity) {
        gm_json_put_string(&out, "model", gm_model_get_info(r->model)->digest);
        gm_json_put_string(&out, "config", gm_model_get_info(r->model)->config_digest);
        gm_json_put_string(&out, "tokenizer", gm_tokenizer_digest(r->tokenizer));
        gm_json_put_string(&out, "numerics", r->info.numerics);
        if (by_gpu) gm_json_put_string(&out, "gpu", r->info.kernels);
    }
    gm_json_close_object(&out);
    gm_status status = gm_json_out_done(&out, err);
    *text = out.text;
    return status;
}

static gm_status fill_info(gm_run *r, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_model_info *m = gm_model_get_info(r->model);
    uint8_t digest[32];
    r->info =
        (gm_trace_info){.n_layers = m->n_moe_layers,
                        .n_experts = m->n_experts,
                        .n_chosen = m->n_chosen,
                        .layer_of_moe = m->layer_of_moe,
                        .level = r->o.level,
                        .has_text = r->o.text,
                        .has_spelling = r->o.spelling,
                        .has_language = r->o.language_field != NULL,
                        .has_nll = r->o.nll,
                        .has_norms = r->o.norms,
                        .logits_rate = r->o.logits_rate,
                        .model = gm_path_name(r->o.model),
                        .architecture = m->architecture,
                        .family = m->family,
                        .model_digest = m->digest,
                        .config_digest = m->config_digest,
                        .tokenizer_digest = gm_tokenizer_digest(r->tokenizer),
                        .numerics = gm_numerics_name(m->numerics),
                        .kernels = m->kernels,
                        .device = m->device,
                        .invariance = m->invariance,
                        .scoring = m->scoring,
                        .renormalised = m->renormalised,
                        .routed_scale = m->routed_scale,
                        .steering = r->plan.bias && gm_plan_steers(&r->plan) ? r->plan.source : ""};
    GM_TRY(write_options(r, false, &r->options, err));
    GM_TRY(write_options(r, true, &r->fingerprint_of, err));
    gm_sha256_of(r->fingerprint_of.at, r->fingerprint_of.n, digest);
    gm_sha256_hex(digest, r->fingerprint);
    gm_json_open_object(&r->provenance, NULL);
    gm_version_put(&r->provenance);
    gm_json_close_object(&r->provenance);
    GM_TRY(gm_json_out_done(&r->provenance, err));
    r->info.command = r->command.at;
    r->info.options = r->options.at;
    r->info.fingerprint = r->fingerprint;
    r->info.provenance = r->provenance.text.at;
out:
    return status;
}

/* ---- the end ---- */

/* A run that failed before its first block leaves no folder behind. */
static void remove_empty_folder(gm_run *r)
{
    gm_shard_list list = {0};
    if (r->lock.fd[0] == 0 || r->o.shard_n > 1) return;
    bool empty = gm_shard_list_read(&list, r->folder.at, NULL) == GM_OK && list.n == 0;
    if (empty && gm_shards_remove(r->folder.at, NULL) != GM_OK)
        gm_warn("cannot remove '%s'", r->folder.at);
    gm_shard_list_clear(&list);
}

static void close_run(gm_run *r)
{
    remove_empty_folder(r);
    gm_shard_lock_release(&r->lock);
    gm_run_close(r);
}

/* ---- running ---- */

/* A block is read whole before it is computed: within it the share grows with its rows. */
static void show_rows(void *context, size_t rows)
{
    gm_run *r = context;
    char left[24];
    const double of_block = (double)rows / (double)r->block_rows;
    const double share = r->share_before + of_block * (r->share_after - r->share_before);
    const double rate = (share - r->share_first) / gm_progress_elapsed(&r->progress);
    gm_shard_lock_note(&r->lock, r->number, rows);
    if (rate > 0)
        gm_progress_note(&r->progress, "%.0f %% of the corpus, %s left", 100 * share,
                         gm_show_seconds(left, (1 - share) / rate));
    gm_progress_set(&r->progress, (double)(r->n_tokens + rows));
}

/* Pass over block `path`, which is committed; *more: others follow. */
static gm_status skip_shard(gm_run *r, const char *path, bool *more, gm_error *err)
{
    gm_status status = GM_OK;
    gm_trace *shard = NULL;
    uint64_t number, n_read;
    GM_TRY(gm_trace_open(&shard, path, err));
    GM_TRY(gm_run_same(
        r, gm_trace_get_info(shard), path,
        r->o.shard_n > 1 ? "remove its folder to start over" : "give --force to start over", err));
    const gm_trace_samples *samples = gm_trace_get_samples(shard);
    gm_trace_get_block(shard, &number, &n_read, more);
    for (size_t i = 0; i < samples->n; i++) r->n_kept_tokens += samples->n_tokens[i];
    GM_TRY(gm_blocks_skip(r->blocks, n_read, samples->sha, samples->n, err));
out:
    gm_trace_close(shard);
    return status;
}

/* Run every block that is this task's and not there yet. */
static gm_status run_blocks(gm_run *r, gm_writer *writer, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text path = {0};
    gm_probe_block *block = NULL;
    struct stat at;
    bool more = true;
    for (uint64_t number = 0; more; number++) {
        path.n = 0;
        GM_TRY(gm_shard_path(&path, r->folder.at, number, err));
        if (r->o.resume && stat(path.at, &at) == 0) {
            GM_TRY(gm_writer_wait(writer, err));
            GM_TRY(skip_shard(r, path.at, &more, err));
            continue;
        }
        r->share_before = gm_blocks_share(r->blocks);
        GM_TRY(gm_blocks_next(r->blocks, &block, err));
        if (block == NULL) break;
        r->share_after = gm_blocks_share(r->blocks);
        more = block->more;
        if (number % r->o.shard_n == r->o.shard_i) {
            size_t rows = r->block_rows = block->token.n;
            if (r->n_tokens == 0) r->share_first = r->share_before;
            r->number = number;
            GM_TRY(gm_runner_run(r->runner, block, show_rows, r, err));
            r->n_tokens += rows;
            gm_probe_block *full = block;
            block = NULL;
            GM_TRY(gm_writer_put(writer, full, err));
        }
        gm_probe_block_free(block);
        block = NULL;
        if (gm_interrupted()) GM_FAIL(GM_EINTERRUPTED, "interrupted");
    }
out:
    gm_probe_block_free(block);
    gm_text_clear(&path);
    return status;
}

static gm_status compute(gm_run *r, gm_error *err)
{
    gm_status status = GM_OK;
    gm_writer *writer = NULL;
    gm_error late = {0};
    double start = gm_now();
    GM_TRY(gm_runner_create(&r->runner, r->model, &r->runner_options, err));
    GM_TRY(gm_writer_create(&writer, r->folder.at, &r->info, err));
    gm_progress_start(&r->progress, "collect", "tokens", 0, r->o.quiet);
    status = run_blocks(r, writer, err);
    gm_status written = gm_writer_finish(writer, &late);
    gm_progress_end(&r->progress);
    r->seconds = gm_now() - start;
    if (status == GM_OK && written != GM_OK) {
        status = written;
        *err = late;
    }
out:
    return status;
}

/* How many documents there can be, as far as the options say; 0: they do not. */
static double most_documents(const gm_collect_options *o)
{
    if (o->limit > 0 && (o->sample == 0 || o->limit < o->sample)) return (double)o->limit;
    return (double)o->sample;
}

/* What a token, a document and the whole will take, before anything is computed. */
static void announce(const gm_run *r)
{
    char token[24], document[24];
    if (r->o.quiet) return;
    if (r->o.shard_n > 1 && r->o.shard == NULL)
        fprintf(stderr,
                "task %u of %u, as set by Slurm or MPI, computes one block in %u; --shard 0/1 "
                "computes all\n",
                r->o.shard_i, r->o.shard_n, r->o.shard_n);
    fprintf(stderr, "recording %s: at most %s per token and %s per document, plus its text\n",
            r->info.has_norms ? "norms" : gm_record_level_name[r->info.level],
            gm_show_bytes(token, gm_trace_row_bytes(&r->info)),
            gm_show_bytes(document, gm_trace_document_bytes(&r->info)));
    double most = most_documents(&r->o);
    if (most <= 0) return;
    double bytes = most * (gm_trace_document_bytes(&r->info) +
                           (double)r->o.doc_tokens * gm_trace_row_bytes(&r->info));
    fprintf(stderr, "in all at most %s for %.0f document%s of %" PRId64 " token%s\n",
            gm_show_bytes(token, bytes), most, gm_plural((uint64_t)most), r->o.doc_tokens,
            gm_plural((uint64_t)r->o.doc_tokens));
}

static gm_status collect(gm_run *r, gm_error *err)
{
    gm_status status = GM_OK;
    bool done = false;
    /* What can be refused before the model is loaded is. */
    if (!r->o.dry_run) GM_TRY(gm_outfile_check(r->o.out, r->o.force || r->o.resume, err));
    if (r->o.out) GM_TRY(gm_text_printf(&r->folder, err, "%s.parts", r->o.out));
    GM_TRY(gm_run_open(r, err));
    GM_TRY(fill_info(r, err));
    if (r->o.dry_run)
        return gm_dry_run(r->blocks, r->model, &r->runner_options, &r->info, r->o.json, err);
    GM_TRY(gm_run_look_at_output(r, &done, err));
    if (done) {
        if (!r->o.quiet) fprintf(stderr, "'%s' is finished, nothing to do\n", r->o.out);
        goto out;
    }
    gm_catch_signals();
    if (!r->merged) {
        announce(r);
        r->started = true;
        GM_TRY(compute(r, err));
    }
    if (r->o.shard_n > 1) {
        printf("task %u of %u is done; when all are: gm-probe merge %s -o %s\n", r->o.shard_i,
               r->o.shard_n, r->folder.at, r->o.out);
        goto out;
    }
    GM_TRY(gm_run_conclude(r, err));
out:
    if (status == GM_EINTERRUPTED)
        (void)gm_fail(err, status, "interrupted; repeat the command with --resume to continue");
    else if (r->started && r->folder.n > 0)
        gm_shards_tell_kept(err, r->folder.at, "block");
    return status;
}

int gm_probe_collect(int argc, char **argv)
{
    gm_error err = {0};
    gm_run r = {0};
    bool usage = false;
    gm_status status = gm_cli_line(&r.command, "gm-probe", argc, argv, &err);
    if (status == GM_OK) {
        status = gm_collect_options_read(&r.o, argc, argv, &err);
        usage = status != GM_OK;
    }
    if (status == GM_OK) status = collect(&r, &err);
    close_run(&r);
    return gm_cli_end("gm-probe", "collect", status, usage, &err);
}
