/* dry_run.c - what a run would take: see dry_run.h. */
#include "probe/dry_run.h"

#include "base/cli.h"
#include "base/progress.h"
#include "base/text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { FEW_DOCUMENTS = 8 };

double gm_trace_row_bytes(const gm_trace_info *info)
{
    double L = info->n_layers, E = info->n_experts, K = info->n_chosen;
    double id = info->n_experts > UINT8_MAX ? 2 : 1;
    if (info->level < GM_RECORD_CHOICES) return 0;
    double row = L * (K * (id + 2) + 4) + 13; /* ids, gates; mass, margin; /tokens */
    if (info->has_nll) row += 4;
    if (info->has_norms) row += L * K * 4;
    if (info->level >= GM_RECORD_LOGITS) row += info->logits_rate * L * E * 2;
    return row;
}

double gm_trace_document_bytes(const gm_trace_info *info)
{
    return 4.0 * info->n_layers * info->n_experts + 160;
}

/* Tokens a second, from the first documents of a block, which is not usable afterwards. Where
 * layers are streamed, a whole block takes the longer of computing it and reading them once. */
static gm_status measure_rate(const gm_model *model, gm_runner *runner, gm_probe_block *block,
                              double *rate, gm_error *err)
{
    const double whole = (double)block->token.n;
    if (block->n_documents > FEW_DOCUMENTS) block->n_documents = FEW_DOCUMENTS;
    block->token.n = block->begin[block->n_documents];
    const double few = (double)block->token.n, start = gm_now(), before = gm_model_waited(model);
    gm_status status = gm_runner_run(runner, block, NULL, NULL, err);
    const double waited = gm_model_waited(model) - before, seconds = gm_now() - start;
    const double computing = whole / few * (seconds - waited);
    *rate = waited > 0 ? whole / (computing > seconds ? computing : seconds) : few / seconds;
    return status;
}

typedef struct totals {
    uint64_t documents, left_out, skipped[GM_PROBE_N_SKIPS]; /* left_out by reason */
    uint64_t tokens, text_bytes, spelling_bytes, blocks;
    double file_bytes, memory_bytes, tokens_per_second, seconds;
    double weights; /* of memory_bytes */
    const char *device, *hardware;
    bool by_gpu;
    gm_runner_memory other;
} totals;

static gm_status print_json(const totals *t, gm_error *err)
{
    gm_json_out out = {0};
    const char *name[GM_PROBE_N_SKIPS];
    gm_probe_skip_names(name);
    gm_json_open_object(&out, NULL);
    gm_json_put_u64(&out, "documents", t->documents);
    gm_json_put_u64(&out, "left_out", t->left_out);
    gm_json_open_object(&out, "skipped");
    for (int i = 0; i < GM_PROBE_N_SKIPS; i++) gm_json_put_u64(&out, name[i], t->skipped[i]);
    gm_json_close_object(&out);
    gm_json_put_u64(&out, "tokens", t->tokens);
    gm_json_put_u64(&out, "blocks", t->blocks);
    gm_json_put_f64(&out, "file_bytes_at_most", t->file_bytes);
    gm_json_put_f64(&out, "memory_bytes", t->memory_bytes);
    gm_json_put_f64(&out, "weights_bytes", t->weights);
    gm_json_put_u64(&out, "hidden_states_bytes", t->other.hidden);
    gm_json_put_u64(&out, "kv_bytes", t->other.kv);
    gm_json_put_u64(&out, "step_bytes", t->other.rest);
    gm_json_put_u64(&out, "blocks_bytes", t->other.blocks);
    gm_json_put_f64(&out, "tokens_per_second", t->tokens_per_second);
    gm_json_put_f64(&out, "seconds", t->seconds);
    gm_json_put_string(&out, "device", t->device);
    gm_json_close_object(&out);
    return gm_cli_print_json(&out, err);
}

static void print_memory(const totals *t)
{
    char all[24], weights[24], hidden[24], kv[24], rest[24], blocks[24];
    const gm_runner_memory *o = &t->other;
    if (t->by_gpu)
        printf("device     %s, %s: holds the weights, keys and values, and a step\n", t->device,
               t->hardware);
    printf("memory     %s: weights %s%s", gm_show_bytes(all, t->memory_bytes),
           gm_show_bytes(weights, t->weights), o->hidden ? " (two layers)" : "");
    if (o->hidden) printf(", hidden states %s", gm_show_bytes(hidden, (double)o->hidden));
    printf(", keys and values %s%s, a step %s, two blocks %s\n", gm_show_bytes(kv, (double)o->kv),
           o->hidden ? " (one layer)" : "", gm_show_bytes(rest, (double)o->rest),
           gm_show_bytes(blocks, (double)o->blocks));
}

static void print_documents(const totals *t)
{
    const char *name[GM_PROBE_N_SKIPS];
    const char *before = ": ";
    gm_probe_skip_names(name);
    printf("documents  %" PRIu64 ", %" PRIu64 " left out", t->documents, t->left_out);
    for (int i = 0; i < GM_PROBE_N_SKIPS; i++) {
        if (t->skipped[i] == 0) continue;
        printf("%s%" PRIu64 " %s%s", before, t->skipped[i], name[i], gm_probe_skip_option(name[i]));
        before = ", ";
    }
    putchar('\n');
}

static void print_text(const totals *t)
{
    char file[24], time[24];
    print_documents(t);
    printf("tokens     %" PRIu64 " in %" PRIu64 " block%s\n", t->tokens, t->blocks,
           gm_plural(t->blocks));
    printf("file       %s at most, before compression\n", gm_show_bytes(file, t->file_bytes));
    print_memory(t);
    if (t->tokens_per_second > 0)
        printf("time       %s at %.0f tokens/s\n", gm_show_seconds(time, t->seconds),
               t->tokens_per_second);
    else
        printf("time       not measured, since the weights are not loaded\n");
}

/* Add a block to the totals. */
static void count_block(totals *t, const gm_probe_block *block)
{
    t->blocks++;
    t->documents += block->n_documents;
    t->tokens += block->token.n;
    for (size_t i = 0; i < block->n_documents; i++) t->text_bytes += block->document[i].n_text;
    const gm_trace_spelling *s = &block->spelling;
    if (s->offset) t->spelling_bytes += s->offset[s->n] + 12 * s->n;
    for (int i = 0; i < GM_PROBE_N_SKIPS; i++) {
        t->skipped[i] += block->skipped[i];
        t->left_out += block->skipped[i];
    }
}

gm_status gm_dry_run(gm_blocks *blocks, const gm_model *model, const gm_runner_options *options,
                     const gm_trace_info *info, bool json, gm_error *err)
{
    gm_status status = GM_OK;
    gm_runner *runner = NULL;
    gm_probe_block *block = NULL;
    totals t = {0};
    const gm_model_info *m = gm_model_get_info(model);
    const bool is_loaded = m->device[0] != '\0';
    if (is_loaded) GM_TRY(gm_runner_create(&runner, model, options, err));
    while (true) {
        GM_TRY(gm_blocks_next(blocks, &block, err));
        if (block == NULL) break;
        count_block(&t, block);
        if (t.blocks == 1 && is_loaded)
            GM_TRY(measure_rate(model, runner, block, &t.tokens_per_second, err));
        gm_probe_block_free(block);
        block = NULL;
    }
    t.file_bytes = (double)t.tokens * gm_trace_row_bytes(info) +
                   (double)t.documents * gm_trace_document_bytes(info);
    if (info->has_text) t.file_bytes += (double)t.text_bytes;
    t.file_bytes += (double)t.spelling_bytes;
    t.weights = (double)m->resident_bytes;
    t.device = m->device, t.hardware = m->kernels;
    t.by_gpu = strncmp(m->device, "cuda", 4) == 0;
    t.other = gm_runner_bytes(model, options);
    t.memory_bytes = t.weights + (double)t.other.hidden + (double)t.other.kv +
                     (double)t.other.rest + (double)t.other.blocks;
    if (!is_loaded) t.tokens_per_second = NAN; /* null in JSON */
    t.seconds = (double)t.tokens / t.tokens_per_second;
    if (json)
        GM_TRY(print_json(&t, err));
    else
        print_text(&t);
out:
    gm_probe_block_free(block);
    gm_runner_free(runner);
    return status;
}
