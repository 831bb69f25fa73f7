/* dry_run.c - what a run would take: see dry_run.h. */
#include "probe/dry_run.h"

#include <stdio.h>

#include "base/json.h"
#include "base/progress.h"

enum { FEW_DOCUMENTS = 8 };

/* Bytes of a token's row and of a document as stored, before compression. */
static double row_bytes(const gm_trace_info *info)
{
    double L = info->n_layers, E = info->n_experts, K = info->n_chosen;
    double id = info->n_experts > UINT8_MAX ? 2 : 1;
    if (info->level < GM_RECORD_CHOICES) return 0;
    double row = L * (K * (id + 2) + 4) + 13; /* ids, gates; mass, margin; /tokens */
    if (info->has_nll) row += 4;
    if (info->level >= GM_RECORD_LOGITS) row += info->logits_rate * L * E * 2;
    return row;
}

static double document_bytes(const gm_trace_info *info)
{
    return 4.0 * info->n_layers * info->n_experts + 160;
}

/* Tokens a second, from the first documents of a block, which is not usable afterwards. */
static gm_status measure_rate(gm_runner *runner, gm_probe_block *block, double *rate, gm_error *err)
{
    if (block->n_documents > FEW_DOCUMENTS) block->n_documents = FEW_DOCUMENTS;
    block->token.n = block->begin[block->n_documents];
    double start = gm_now();
    gm_status status = gm_runner_run(runner, block, NULL, NULL, err);
    *rate = (double)block->token.n / (gm_now() - start);
    return status;
}

gm_status gm_dry_run(gm_blocks *blocks, const gm_model *model, const gm_runner_options *options,
                     const gm_trace_info *info, gm_error *err)
{
    gm_status status = GM_OK;
    gm_runner *runner = NULL;
    gm_probe_block *block = NULL;
    gm_json_out out = {0};
    uint64_t documents = 0, tokens = 0, text = 0, n_blocks = 0;
    double rate = 0;
    GM_TRY(gm_runner_create(&runner, model, options, err));
    for (;; n_blocks++) {
        GM_TRY(gm_blocks_next(blocks, &block, err));
        if (block == NULL) break;
        documents += block->n_documents;
        tokens += block->token.n;
        for (size_t i = 0; i < block->n_documents; i++) text += block->document[i].n_text;
        if (n_blocks == 0) GM_TRY(measure_rate(runner, block, &rate, err));
        gm_probe_block_free(block);
        block = NULL;
    }
    gm_json_open_object(&out, NULL);
    gm_json_put_u64(&out, "documents", documents);
    gm_json_put_u64(&out, "tokens", tokens);
    gm_json_put_u64(&out, "blocks", n_blocks);
    gm_json_put_f64(&out, "file_bytes_at_most",
                    (double)tokens * row_bytes(info) + (double)documents * document_bytes(info) +
                        (double)text);
    gm_json_put_u64(&out, "memory_bytes",
                    gm_model_get_info(model)->resident_bytes + gm_runner_bytes(model, options));
    gm_json_put_f64(&out, "tokens_per_second", rate);
    gm_json_put_f64(&out, "seconds", rate > 0 ? (double)tokens / rate : 0);
    gm_json_close_object(&out);
    GM_TRY(gm_json_out_done(&out, err));
    printf("%s\n", out.text.at);
out:
    gm_probe_block_free(block);
    gm_runner_free(runner);
    gm_text_clear(&out.text);
    return status;
}
