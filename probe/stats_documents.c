/* stats_documents.c - the counts of all documents, a few at a time. */
#include "probe/stats_documents.h"

#include "base/cli.h"

enum { BATCH_BYTES = 8 << 20 };

gm_status gm_stats_for_documents(gm_trace *trace, gm_documents_taker *take, void *context,
                                 gm_error *err)
{
    gm_status status = GM_OK;
    const gm_trace_info *info = gm_trace_get_info(trace);
    size_t LE = (size_t)info->n_layers * (size_t)info->n_experts;
    size_t N = gm_trace_get_samples(trace)->n, batch = (size_t)BATCH_BYTES / (LE * 4) + 1;
    if (batch > N) batch = N;
    uint32_t *counts = gm_alloc2(batch, LE, sizeof *counts);
    if (counts == NULL) GM_FAIL(GM_EMEM, "no memory for the counts of %zu documents", batch);
    for (size_t first = 0; first < N; first += batch) {
        size_t n = N - first < batch ? N - first : batch;
        if (gm_interrupted()) GM_FAIL(GM_EINTERRUPTED, "interrupted");
        GM_TRY(gm_trace_read_counts(trace, first, n, counts, err));
        take(context, first, n, counts);
    }
out:
    gm_free(counts);
    return status;
}
