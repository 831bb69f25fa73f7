/* trace_verify.c - the self-checks: everything that a trace says twice is computed from
 * the one and compared with the other. */
#include "formats/trace_verify.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

_Static_assert((int)GM_N_CHECKS <= (int)GM_MAX_CHECKS, "the caller's array");

static const char *const CHECK_NAME[GM_N_CHECKS] = {
    "digest",        "ids_in_range", "ids_distinct", "sentinels",  "gates_finite",
    "gates_ordered", "norms",        "tokens",       "counts_sum", "counts_match",
    "load_entropy",  "nll",          "text",         "spelling",   "bad_rows"};

typedef struct verifier {
    gm_trace *trace;
    gm_trace_check check[GM_N_CHECKS];
    int L, E, K;
    uint64_t *load; /* (L,E) over all documents */
} verifier;

void gm_trace_breach(gm_trace_check *check, gm_check_id id, const char *fmt, ...)
{
    va_list args;
    if (!check[id].passed) return;
    check[id].passed = false;
    va_start(args, fmt);
    vsnprintf(check[id].detail, sizeof check[id].detail, fmt, args);
    va_end(args);
}

static gm_status verifier_init(verifier *v, gm_trace *trace, gm_error *err)
{
    const gm_trace_info *info = gm_trace_get_info(trace);
    *v = (verifier){.trace = trace, .L = info->n_layers, .E = info->n_experts, .K = info->n_chosen};
    for (int i = 0; i < GM_N_CHECKS; i++)
        v->check[i] = (gm_trace_check){.name = CHECK_NAME[i], .passed = true};
    v->load = gm_alloc2((size_t)v->L, (size_t)v->E, sizeof *v->load);
    if (v->load) return GM_OK;
    return gm_fail(err, GM_EMEM, "no memory to verify a trace of %d layers, %d experts", v->L,
                   v->E);
}

/* A router that always gives the same answer has entropy log2 K, one that is even log2 E.
 * A tenth of the way is asked for; steering may well do less, and so may fewer tokens than experts,
 * of a text or two. */
static void check_entropy(verifier *v)
{
    double low = log2(v->K), high = log2(v->E), floor_bits = low + 0.1 * (high - low);
    const char *steering = gm_trace_get_info(v->trace)->steering;
    for (int l = 0; l < v->L && steering[0] == '\0'; l++) {
        const uint64_t *load = v->load + (size_t)l * (size_t)v->E; /* (E) */
        double sum = 0, bits = 0;
        for (int e = 0; e < v->E; e++) sum += (double)load[e];
        for (int e = 0; e < v->E; e++)
            if (load[e] > 0) bits -= (double)load[e] / sum * log2((double)load[e] / sum);
        if (sum >= (double)v->E * v->K && !(bits >= floor_bits - 1e-9))
            gm_trace_breach(v->check, GM_CHECK_LOAD_ENTROPY,
                            "layer %d has load entropy %.2f bits, floor %.2f", l, bits, floor_bits);
    }
}

/* Rows of logits are of tokens of the trace, each of a later one. */
static gm_status check_logit_tokens(verifier *v, gm_error *err)
{
    gm_status status = GM_OK;
    const uint64_t n_rows = gm_trace_n_logits(v->trace), n_tokens = gm_trace_n_tokens(v->trace);
    uint64_t token[512], least = 0;
    const size_t most = sizeof token / sizeof *token;
    for (uint64_t first = 0; first < n_rows; first += most) {
        const size_t n = n_rows - first < most ? (size_t)(n_rows - first) : most;
        GM_TRY(gm_trace_read_logits(v->trace, first, n, NULL, token, err));
        for (size_t i = 0; i < n; i++) {
            if (token[i] < least || token[i] >= n_tokens)
                gm_trace_breach(v->check, GM_CHECK_TOKENS,
                                "row %" PRIu64 " of logits belongs to token %" PRIu64
                                ", expected %" PRIu64 " to %" PRIu64,
                                first + i, token[i], least, n_tokens - 1);
            least = token[i] + 1;
        }
    }
out:
    return status;
}

/* One of the two ways to read texts. */
typedef gm_status read_texts(gm_trace *trace, size_t first, size_t n, gm_text *text, size_t *end,
                             gm_error *err);

static gm_status check_text(verifier *v, gm_check_id id, read_texts *read, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text text = {0};
    size_t end;
    for (size_t i = 0; i < gm_trace_get_samples(v->trace)->n; i++) {
        gm_error why = {0};
        text.n = 0;
        status = read(v->trace, i, 1, &text, &end, &why);
        if (status == GM_EFORMAT) {
            gm_trace_breach(v->check, id, "%s", why.text);
        } else if (status != GM_OK) {
            if (err) *err = why;
            goto out;
        }
    }
    status = GM_OK;
out:
    gm_text_clear(&text);
    return status;
}

/* Damage, or a newer program's digest, which is of more datasets than we know. */
static void digest_differs(verifier *v, const char *what, const char *found,
                           const gm_trace_file *file)
{
    char unknown[GM_TRACE_PATH], shown[GM_TRACE_PATH];
    gm_trace_file_unknown(file, unknown);
    gm_text_escape(shown, sizeof shown, unknown, strlen(unknown));
    gm_trace_breach(v->check, GM_CHECK_DIGEST, "%s has digest %.12s..., but states %.12s...%s%s%s",
                    what, found, file->digest, *shown ? "; written by a newer program? '" : "",
                    shown, *shown ? "' is not known here" : "");
}

/* The contents of the file, or of every shard of the index, are as stated. */
static gm_status check_digests(verifier *v, gm_error *err)
{
    gm_status status = GM_OK;
    gm_trace *trace = v->trace;
    char found[65];
    if (trace->head.n_sources > 0) {
        GM_TRY(gm_trace_file_digest(trace->head.path, found, err));
        if (strcmp(found, trace->head.digest) != 0)
            digest_differs(v, "the index", found, &trace->head);
    }
    for (size_t i = 0; i < trace->n_shards; i++) {
        GM_TRY(gm_trace_open_shard(trace, i, err));
        GM_TRY(gm_trace_file_digest(trace->shard[i].path, found, err));
        char what[32];
        snprintf(what, sizeof what, "part %zu", i);
        if (strcmp(found, trace->open.digest) != 0) digest_differs(v, what, found, &trace->open);
    }
out:
    return status;
}

/* Which checks this trace allows. */
static bool applies(const gm_trace_info *info, gm_check_id id)
{
    switch (id) {
    case GM_CHECK_IDS_IN_RANGE:
    case GM_CHECK_IDS_DISTINCT:
    case GM_CHECK_SENTINELS:
    case GM_CHECK_TOKENS:
    case GM_CHECK_COUNTS_MATCH: return info->level >= GM_RECORD_CHOICES;
    case GM_CHECK_GATES_FINITE:
    case GM_CHECK_GATES_ORDERED: return info->level >= GM_RECORD_CHOICES && !info->no_gates;
    case GM_CHECK_NORMS: return info->has_norms;
    case GM_CHECK_NLL: return info->level >= GM_RECORD_CHOICES && info->has_nll;
    case GM_CHECK_TEXT: return info->has_text;
    case GM_CHECK_SPELLING: return info->has_spelling;
    default: return true;
    }
}

gm_status gm_trace_verify(gm_trace *trace, gm_trace_check checks[GM_MAX_CHECKS], size_t *n,
                          gm_error *err)
{
    gm_status status = GM_OK;
    const gm_trace_info *info = gm_trace_get_info(trace);
    verifier v;
    *n = 0;
    GM_TRY(verifier_init(&v, trace, err));
    GM_TRY(check_digests(&v, err));
    GM_TRY(gm_trace_check_documents(trace, v.check, v.load, err));
    GM_TRY(check_logit_tokens(&v, err));
    check_entropy(&v);
    if (info->has_text) GM_TRY(check_text(&v, GM_CHECK_TEXT, gm_trace_read_texts, err));
    if (info->has_spelling) GM_TRY(check_text(&v, GM_CHECK_SPELLING, gm_trace_spell_texts, err));
    for (gm_check_id id = 0; id < GM_N_CHECKS; id++)
        if (applies(info, id)) checks[(*n)++] = v.check[id];
out:
    gm_free(v.load);
    return status;
}

gm_status gm_trace_recount(gm_trace *trace, gm_error *err)
{
    gm_status status = GM_OK;
    verifier v;
    GM_TRY(verifier_init(&v, trace, err));
    GM_TRY(gm_trace_check_documents(trace, v.check, v.load, err));
    for (gm_check_id id = GM_CHECK_COUNTS_SUM; id <= GM_CHECK_COUNTS_MATCH; id++)
        if (!v.check[id].passed)
            GM_FAIL(GM_ECHECK, "'%s' is damaged: %s", trace->head.path, v.check[id].detail);
out:
    gm_free(v.load);
    return status;
}
