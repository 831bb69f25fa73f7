/* export_command.c - gm-probe export: a trace for other programs.
 *
 * Arrays as .npy, documents as .csv, or a line a document with its tokens and their experts
 * (.jsonl), in which "routed_experts" is (tokens, layers, K) as vLLM returns it.
 */

#include "base/cli.h"
#include "base/csv.h"
#include "base/json.h"
#include "base/outfile.h"
#include "base/progress.h"
#include "base/sha256.h"
#include "probe/export_arrays.h"
#include "probe/probe_commands.h"

#include <inttypes.h>

typedef enum export_format { EXPORT_NPY, EXPORT_CSV, EXPORT_JSONL } export_format;

enum { NO_ARRAY = -1 };

typedef struct export_options {
    const char *out;
    export_format format; /* what the ending of `out` says */
    int array;            /* NO_ARRAY: none is named; help shows the first */
    int64_t skip, limit;  /* documents; limit 0: all */
    bool gates, texts, force, quiet;
} export_options;

/* ---- .csv ---- */

static void write_csv(FILE *to, gm_trace *trace, const gm_export_range *range)
{
    const gm_trace_samples *s = gm_trace_get_samples(trace);
    fprintf(to, "id,sha,subset,n_tokens,bad,truncated,first_row%s\r\n",
            s->language ? ",language" : "");
    for (size_t i = range->first; i < range->first + range->n; i++) {
        char hex[65];
        gm_sha256_hex(s->sha + 32 * i, hex);
        gm_csv_put(to, s->id[i]);
        fprintf(to, ",%s,", hex);
        gm_csv_put(to, s->subset_name[s->subset[i]]);
        fprintf(to, ",%u,%u,%d,%" PRIu64, s->n_tokens[i], s->bad[i], s->truncated[i],
                s->offset[i] - range->token);
        if (s->language) fputc(',', to), gm_csv_put(to, s->language[i]);
        fputs("\r\n", to);
    }
}

/* ---- .jsonl ---- */

/* The rows of one document. */
typedef struct document_rows {
    uint32_t *token;
    uint8_t *phase;
    uint16_t *expert;     /* (n,L,K) */
    float *gate;          /* (n,L,K); NULL, as the next two, without --gates */
    float *mass, *margin; /* (n,L) */
} document_rows;

static void clear_rows(document_rows *rows)
{
    gm_free(rows->token);
    gm_free(rows->phase);
    gm_free(rows->expert);
    gm_free(rows->gate);
    gm_free(rows->mass);
    gm_free(rows->margin);
    *rows = (document_rows){0};
}

static gm_status read_document(document_rows *rows, gm_trace *trace, uint64_t first, size_t n,
                               bool gates, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_trace_info *info = gm_trace_get_info(trace);
    const size_t L = (size_t)info->n_layers, LK = L * (size_t)info->n_chosen;
    *rows = (document_rows){0};
    if (n == 0) goto out;
    rows->token = gm_alloc(n, sizeof *rows->token);
    rows->phase = gm_alloc(n, sizeof *rows->phase);
    rows->expert = gm_alloc2(n, LK, sizeof *rows->expert);
    if (gates) {
        rows->gate = gm_alloc2(n, LK, sizeof *rows->gate);
        rows->mass = gm_alloc2(n, L, sizeof *rows->mass);
        rows->margin = gm_alloc2(n, L, sizeof *rows->margin);
    }
    if (rows->token == NULL || rows->phase == NULL || rows->expert == NULL ||
        (gates && (rows->gate == NULL || rows->mass == NULL || rows->margin == NULL)))
        GM_FAIL(GM_EMEM, "no memory for a document of %zu tokens", n);
    GM_TRY(gm_trace_read_tokens(trace, first, n, rows->token, NULL, rows->phase, NULL, err));
    GM_TRY(gm_trace_read_routing(trace, first, n, rows->expert, rows->gate, rows->mass,
                                 rows->margin, err));
out:
    if (status != GM_OK) clear_rows(rows);
    return status;
}

/* (n,L,K) as nested arrays: ids, or where `gate` is given these. A bad choice is null. */
static void put_choices(gm_json_out *out, const char *key, size_t n, const gm_trace_info *info,
                        const uint16_t *expert, const float *gate)
{
    const size_t L = (size_t)info->n_layers, K = (size_t)info->n_chosen;
    gm_json_open_array(out, key);
    for (size_t i = 0; i < n; i++) {
        gm_json_open_array(out, NULL);
        for (size_t l = 0; l < L; l++) {
            gm_json_open_array(out, NULL);
            for (size_t k = 0, at = (i * L + l) * K; k < K; k++, at++) {
                if (expert[at] == GM_TRACE_NO_EXPERT)
                    gm_json_put_null(out, NULL);
                else if (gate != NULL)
                    gm_json_put_f64(out, NULL, (double)gate[at]);
                else
                    gm_json_put_u64(out, NULL, expert[at]);
            }
            gm_json_close_array(out);
        }
        gm_json_close_array(out);
    }
    gm_json_close_array(out);
}

/* (n,L) as nested arrays. */
static void put_by_layer(gm_json_out *out, const char *key, size_t n, size_t L, const float *value)
{
    gm_json_open_array(out, key);
    for (size_t i = 0; i < n; i++) {
        gm_json_open_array(out, NULL);
        for (size_t l = 0; l < L; l++) gm_json_put_f64(out, NULL, (double)value[i * L + l]);
        gm_json_close_array(out);
    }
    gm_json_close_array(out);
}

/* `text` NULL: without. */
static void put_document(gm_json_out *out, gm_trace *trace, size_t i, size_t n,
                         const document_rows *rows, const gm_text *text)
{
    const gm_trace_samples *s = gm_trace_get_samples(trace);
    const gm_trace_info *info = gm_trace_get_info(trace);
    char hex[65];
    gm_sha256_hex(s->sha + 32 * i, hex);
    gm_json_open_object(out, NULL);
    gm_json_put_string(out, "id", s->id[i]);
    gm_json_put_string(out, "sha", hex);
    gm_json_put_string(out, "subset", s->subset_name[s->subset[i]]);
    if (s->language) gm_json_put_string(out, "language", s->language[i]);
    if (s->truncated[i]) gm_json_put_bool(out, "truncated", true);
    if (text) gm_json_put_text(out, "text", text->at, text->n);
    gm_json_open_array(out, "token_ids");
    for (size_t t = 0; t < n; t++) gm_json_put_u64(out, NULL, rows->token[t]);
    gm_json_close_array(out);
    gm_json_open_array(out, "phase");
    for (size_t t = 0; t < n; t++) gm_json_put_u64(out, NULL, rows->phase[t]);
    gm_json_close_array(out);
    put_choices(out, "routed_experts", n, info, rows->expert, NULL);
    if (rows->gate != NULL) {
        put_choices(out, "gates", n, info, rows->expert, rows->gate);
        put_by_layer(out, "topk_mass", n, (size_t)info->n_layers, rows->mass);
        put_by_layer(out, "margin", n, (size_t)info->n_layers, rows->margin);
    }
    gm_json_close_object(out);
}

static gm_status write_jsonl(FILE *to, gm_trace *trace, const gm_export_range *range,
                             const export_options *o, gm_error *err)
{
    gm_status status = GM_OK;
    const uint64_t *offset = gm_trace_get_samples(trace)->offset;
    gm_progress progress;
    document_rows rows = {0};
    gm_json_out line = {0};
    gm_text text = {0};
    if (gm_trace_n_tokens(trace) == 0)
        return gm_fail(
            err, GM_EABSENT,
            "the trace has counts but no tokens; 'gm-probe collect --record choices' records them");
    gm_progress_start(&progress, "export", "documents", (double)range->n, o->quiet);
    for (size_t i = range->first; i < range->first + range->n; i++) {
        size_t n = (size_t)(offset[i + 1] - offset[i]);
        if (gm_interrupted()) GM_FAIL(GM_EINTERRUPTED, "interrupted");
        GM_TRY(read_document(&rows, trace, offset[i], n, o->gates, err));
        text.n = 0;
        if (o->texts) GM_TRY(gm_trace_read_text(trace, i, &text, err));
        put_document(&line, trace, i, n, &rows, o->texts ? &text : NULL);
        GM_TRY(gm_json_out_done(&line, err));
        fwrite(line.text.at, 1, line.text.n, to);
        fputc('\n', to);
        gm_text_clear(&line.text);
        line = (gm_json_out){0};
        clear_rows(&rows);
        gm_progress_set(&progress, (double)(i + 1 - range->first));
    }
out:
    gm_progress_end(&progress);
    gm_text_clear(&line.text);
    gm_text_clear(&text);
    clear_rows(&rows);
    return status;
}

/* ---- the command ---- */

static gm_status find_format(export_format *out, const char *path, gm_error *err)
{
    static const char *const ending[] = {".npy", ".csv", ".jsonl"};
    for (int f = EXPORT_NPY; f <= EXPORT_JSONL; f++) {
        *out = (export_format)f;
        if (gm_ends_in(path, ending[f])) return GM_OK;
    }
    return gm_fail(err, GM_EARG, "'%s': expected a name that ends in .npy, .csv or .jsonl", path);
}

/* What the options name goes into one kind of file. */
static gm_status check_options(const export_options *o, gm_error *err)
{
    if (o->array != NO_ARRAY && o->format != EXPORT_NPY)
        return gm_fail(err, GM_EARG, "--array goes into a .npy, '%s' is none", o->out);
    if ((o->gates || o->texts) && o->format != EXPORT_JSONL)
        return gm_fail(err, GM_EARG, "--%s goes into a .jsonl, '%s' is none%s",
                       o->gates ? "gates" : "texts", o->out,
                       o->gates && o->format == EXPORT_NPY ? "; for a .npy there is --array gate"
                                                           : "");
    return GM_OK;
}

static gm_status find_range(gm_export_range *out, const gm_trace *trace, const export_options *o,
                            const char *path, gm_error *err)
{
    const gm_trace_samples *s = gm_trace_get_samples(trace);
    if ((uint64_t)o->skip >= s->n)
        return gm_fail(err, GM_EARG, "--skip %" PRId64 " leaves none of the %zu documents of '%s'",
                       o->skip, s->n, path);
    size_t left = s->n - (size_t)o->skip;
    out->first = (size_t)o->skip;
    out->n = o->limit > 0 && (uint64_t)o->limit < left ? (size_t)o->limit : left;
    out->token = s->offset[out->first];
    out->n_tokens = s->offset[out->first + out->n] - out->token;
    return GM_OK;
}

static gm_status export_trace(const char *path, const export_options *o, gm_error *err)
{
    gm_status status = GM_OK;
    gm_trace *trace = NULL;
    gm_outfile *file = NULL;
    gm_export_range range;
    GM_TRY(gm_trace_open(&trace, path, err));
    GM_TRY(find_range(&range, trace, o, path, err));
    GM_TRY(gm_outfile_open(&file, o->out, o->force, err));
    FILE *to = gm_outfile_stream(file);
    if (o->format == EXPORT_CSV) write_csv(to, trace, &range);
    if (o->format == EXPORT_NPY)
        GM_TRY(gm_export_array(to, trace, o->array == NO_ARRAY ? 0 : o->array, &range, err));
    if (o->format == EXPORT_JSONL) GM_TRY(write_jsonl(to, trace, &range, o, err));
    status = gm_outfile_commit(file, err);
    file = NULL;
    if (status == GM_OK) printf("%s: %zu document%s\n", o->out, range.n, gm_plural(range.n));
out:
    gm_outfile_abort(file);
    gm_trace_close(trace);
    return status;
}

int gm_probe_export(int argc, char **argv)
{
    gm_error err = {0};
    export_options o = {.array = NO_ARRAY};
    const gm_opt opts[] = {
        {GM_OPT_TEXT, "o", &o.out, 0, 0, "FILE", "file to write: .npy, .csv or .jsonl"},
        {GM_OPT_CHOICE, "array", &o.array, 0, 0, GM_EXPORT_ARRAYS, "array to write into a .npy"},
        {GM_OPT_FLAG, "gates", &o.gates, 0, 0, NULL,
         "write gates, masses and margins too, into a .jsonl"},
        {GM_OPT_FLAG, "texts", &o.texts, 0, 0, NULL, "write the texts too, into a .jsonl"},
        {GM_OPT_I64, "skip", &o.skip, 0, 1e15, "N", "skip the first N documents"},
        {GM_OPT_I64, "limit", &o.limit, 0, 1e15, "N", "write at most N documents; 0: all"},
        {GM_OPT_FLAG, "force", &o.force, 0, 0, NULL, "replace an existing file"},
        {GM_OPT_FLAG, "quiet", &o.quiet, 0, 0, NULL, "no progress"},
        {.kind = GM_OPT_END_}};
    gm_status status = gm_opt_parse(
        "gm-probe export TRACE -o FILE.npy|.csv|.jsonl",
        "A .npy holds one array, shaped as in the trace. Its rows are documents (counts) or\n"
        "tokens; the tokens of document i are rows offset[i] to offset[i+1]. A .csv holds the\n"
        "table of documents. A .jsonl has a line for each document: token_ids, phase (0 prompt, 1\n"
        "generated, 2 template) and routed_experts (tokens, layers, K) as vLLM returns them, null\n"
        "where the router's output was not finite. 'gm-probe import' reads such lines.\n"
        "  gm-probe export run.trace.h5 -o counts.npy\n"
        "  gm-probe export run.trace.h5 --gates --limit 100 -o tokens.jsonl\n",
        opts, &argc, argv, &err);
    if (status == GM_OK && argc != 2)
        status = gm_fail(&err, GM_EARG, "expected one trace, found %d", argc - 1);
    if (status == GM_OK && o.out == NULL)
        status = gm_fail(&err, GM_EARG, "-o FILE is missing: what to write");
    if (status == GM_OK) status = find_format(&o.format, o.out, &err);
    if (status == GM_OK) status = check_options(&o, &err);
    if (status != GM_OK) return gm_cli_end("gm-probe", "export", status, true, &err);
    gm_catch_signals();
    status = export_trace(argv[1], &o, &err);
    return gm_cli_end("gm-probe", "export", status, false, &err);
}
