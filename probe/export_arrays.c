/* export_arrays.c - see export_arrays.h. */
#include "probe/export_arrays.h"

#include "base/cli.h"
#include "formats/npy.h"

enum { BATCH_BYTES = 8 << 20 };

/* In the order of GM_EXPORT_ARRAYS. */
typedef enum array_id {
    COUNTS,
    OFFSET,
    EXPERT_ID,
    GATE,
    OUTPUT_NORM,
    TOPK_MASS,
    MARGIN,
    TOKEN_ID,
    POS,
    PHASE,
    NLL,
    LOGITS,
    LOGITS_TOKEN
} array_id;

static const struct {
    const char *descr; /* the type as NumPy spells it; the digit: bytes of a value */
    const char *row;   /* its sizes: L layers, E experts, K chosen */
} arrays[] = {
    [COUNTS] = {"<u4", "LE"},     [OFFSET] = {"<u8", ""},        [EXPERT_ID] = {"<u2", "LK"},
    [GATE] = {"<f4", "LK"},       [OUTPUT_NORM] = {"<f4", "LK"}, [TOPK_MASS] = {"<f4", "L"},
    [MARGIN] = {"<f4", "L"},      [TOKEN_ID] = {"<u4", ""},      [POS] = {"<u4", ""},
    [PHASE] = {"|u1", ""},        [NLL] = {"<f4", ""},           [LOGITS] = {"<f4", "LE"},
    [LOGITS_TOKEN] = {"<u8", ""},
};

/* The shape of n rows, and the bytes of one; returns the rank. */
static int shape_of(uint64_t dim[GM_NPY_MAX_RANK], size_t *row_bytes, array_id which,
                    const gm_trace_info *info, uint64_t n)
{
    int rank = 0;
    dim[rank++] = n;
    *row_bytes = (size_t)(arrays[which].descr[2] - '0');
    for (const char *c = arrays[which].row; *c; c++) {
        const int size = *c == 'L' ? info->n_layers : *c == 'E' ? info->n_experts : info->n_chosen;
        dim[rank++] = (uint64_t)size;
        *row_bytes *= (size_t)size;
    }
    return rank;
}

static gm_status read_rows(gm_trace *t, array_id which, uint64_t first, size_t n, void *rows,
                           gm_error *err)
{
    switch (which) {
    case COUNTS: return gm_trace_read_counts(t, (size_t)first, n, rows, err);
    case EXPERT_ID: return gm_trace_read_routing(t, first, n, rows, NULL, NULL, NULL, err);
    case GATE: return gm_trace_read_routing(t, first, n, NULL, rows, NULL, NULL, err);
    case OUTPUT_NORM: return gm_trace_read_norms(t, first, n, rows, err);
    case TOPK_MASS: return gm_trace_read_routing(t, first, n, NULL, NULL, rows, NULL, err);
    case MARGIN: return gm_trace_read_routing(t, first, n, NULL, NULL, NULL, rows, err);
    case TOKEN_ID: return gm_trace_read_tokens(t, first, n, rows, NULL, NULL, NULL, err);
    case POS: return gm_trace_read_tokens(t, first, n, NULL, rows, NULL, NULL, err);
    case PHASE: return gm_trace_read_tokens(t, first, n, NULL, NULL, rows, NULL, err);
    case NLL: return gm_trace_read_tokens(t, first, n, NULL, NULL, NULL, rows, err);
    case LOGITS: return gm_trace_read_logits(t, first, n, rows, NULL, err);
    case OFFSET:
    case LOGITS_TOKEN: break;
    }
    return gm_fail(err, GM_EARG, "this array cannot be read by rows");
}

static gm_status write_front(FILE *to, array_id which, const uint64_t *dim, int rank, gm_error *err)
{
    gm_text front = {0};
    gm_status status = gm_npy_put_front(&front, arrays[which].descr, dim, rank, err);
    if (status == GM_OK) fwrite(front.at, 1, front.n, to);
    gm_text_clear(&front);
    return status;
}

/* Rows [first, first+n) of the file's array, a few megabytes at a time. */
static gm_status write_rows(FILE *to, gm_trace *trace, array_id which, uint64_t first, uint64_t n,
                            gm_error *err)
{
    gm_status status = GM_OK;
    uint64_t dim[GM_NPY_MAX_RANK];
    size_t row;
    const int rank = shape_of(dim, &row, which, gm_trace_get_info(trace), n);
    size_t most = (size_t)BATCH_BYTES / row + 1;
    if (most > n) most = (size_t)n;
    void *rows = gm_alloc(most, row);
    if (rows == NULL) GM_FAIL(GM_EMEM, "no memory for %zu rows of %zu bytes", most, row);
    GM_TRY(write_front(to, which, dim, rank, err));
    for (uint64_t done = 0; done < n;) {
        size_t take = n - done < most ? (size_t)(n - done) : most;
        if (which != COUNTS && which != LOGITS) take = gm_trace_batch(trace, first + done, take);
        if (gm_interrupted()) GM_FAIL(GM_EINTERRUPTED, "interrupted");
        GM_TRY(read_rows(trace, which, first + done, take, rows, err));
        fwrite(rows, row, take, to);
        done += take;
    }
out:
    gm_free(rows);
    return status;
}

static gm_status write_offsets(FILE *to, gm_trace *trace, const gm_export_range *range,
                               gm_error *err)
{
    const uint64_t *offset = gm_trace_get_samples(trace)->offset + range->first;
    const uint64_t n = range->n + 1;
    gm_status status = write_front(to, OFFSET, &n, 1, err);
    for (uint64_t i = 0; i < n && status == GM_OK; i++) {
        uint64_t row = offset[i] - offset[0];
        fwrite(&row, sizeof row, 1, to);
    }
    return status;
}

/* The sampled logits, or whose they are, of the range's rows. */
static gm_status write_logits(FILE *to, gm_trace *trace, array_id which,
                              const gm_export_range *range, gm_error *err)
{
    gm_status status = GM_OK;
    const uint64_t n_all = gm_trace_n_logits(trace), end = range->token + range->n_tokens;
    uint64_t *token = NULL, first = 0, last;
    if (n_all == 0)
        GM_FAIL(GM_EABSENT,
                "the trace has no logits; 'gm-probe collect --record logits:RATE' records them");
    token = gm_alloc((size_t)n_all, sizeof *token);
    if (token == NULL) GM_FAIL(GM_EMEM, "no memory for the numbers of %zu tokens", (size_t)n_all);
    GM_TRY(gm_trace_read_logits(trace, 0, (size_t)n_all, NULL, token, err));
    while (first < n_all && token[first] < range->token) first++;
    for (last = first; last < n_all && token[last] < end;) token[last++] -= range->token;
    if (which == LOGITS) {
        GM_TRY(write_rows(to, trace, LOGITS, first, last - first, err));
    } else {
        const uint64_t n = last - first;
        GM_TRY(write_front(to, which, &n, 1, err));
        fwrite(token + first, sizeof *token, (size_t)n, to);
    }
out:
    gm_free(token);
    return status;
}

gm_status gm_export_array(FILE *to, gm_trace *trace, int which, const gm_export_range *range,
                          gm_error *err)
{
    const array_id id = (array_id)which;
    if (id == COUNTS) return write_rows(to, trace, id, range->first, range->n, err);
    if (gm_trace_n_tokens(trace) == 0)
        return gm_fail(
            err, GM_EABSENT,
            "the trace has counts but no tokens; 'gm-probe collect --record choices' records them");
    if (id == OFFSET) return write_offsets(to, trace, range, err);
    if (id == LOGITS || id == LOGITS_TOKEN) return write_logits(to, trace, id, range, err);
    return write_rows(to, trace, id, range->token, range->n_tokens, err);
}
