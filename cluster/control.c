/* control.c - documents as bags of tokens, beside documents as usage vectors. See control.h. */
#include "cluster/control.h"

#include "cluster/quality.h"

#include <math.h>
#include <stdlib.h>

/* Tokens by number of occurrences have a place each; rarer ones beyond share those of the most
 * frequent, which they hardly change. */
enum { MAX_PLACES = 8192, EPOCHS = 200 };
static const uint32_t MAX_TOKENS = 1 << 26; /* in a vocabulary, of which there are arrays */

const char *gm_control_basis_name(gm_control_basis basis)
{
    static const char *const name[] = {"none", "tokens", "words"};
    return name[basis];
}

/* ---- occurrences ---- */

/* One token of one document of the sample. */
typedef struct occurrence {
    uint32_t token, document;
} occurrence;

typedef struct occurrences {
    occurrence *at;
    size_t n, cap;
    uint32_t n_tokens; /* ids are below */
} occurrences;

static gm_status add(occurrences *o, uint32_t token, uint32_t document, gm_error *err)
{
    if (token >= MAX_TOKENS)
        return gm_fail(err, GM_EFORMAT, "the trace has a token with id %u, expected less than %u",
                       token, MAX_TOKENS);
    if (o->n == o->cap) {
        size_t cap = o->cap ? 2 * o->cap : 1 << 16;
        occurrence *more = gm_grow(o->at, o->n, cap, sizeof *more);
        if (more == NULL) return gm_fail(err, GM_EMEM, "no memory for the tokens of the control");
        o->at = more, o->cap = cap;
    }
    o->at[o->n++] = (occurrence){token, document};
    if (token >= o->n_tokens) o->n_tokens = token + 1;
    return GM_OK;
}

/* The counted tokens of the documents row[0..m), canonical places. */
static gm_status read_tokens(occurrences *o, const gm_token_control_input *in, const uint32_t *row,
                             size_t m, gm_error *err)
{
    gm_status status = GM_OK;
    const uint64_t *offset = gm_trace_get_samples(in->trace)->offset;
    uint32_t *token = NULL;
    uint8_t *phase = NULL;
    size_t longest = 0;
    for (size_t i = 0; i < m; i++) {
        size_t at = in->usage->place[row[i]], n = (size_t)(offset[at + 1] - offset[at]);
        longest = n > longest ? n : longest;
    }
    token = gm_alloc(longest, sizeof *token);
    phase = gm_alloc(longest, sizeof *phase);
    if (!token || !phase) GM_FAIL(GM_EMEM, "no memory for %zu tokens", longest);
    for (uint32_t i = 0; i < m; i++) {
        size_t at = in->usage->place[row[i]], n = (size_t)(offset[at + 1] - offset[at]);
        GM_TRY(gm_trace_read_tokens(in->trace, offset[at], n, token, NULL, phase, NULL, err));
        for (size_t t = 0; t < n; t++)
            if (phase[t] != GM_TRACE_TEMPLATE) GM_TRY(add(o, token[t], i, err));
    }
out:
    gm_free(token);
    gm_free(phase);
    return status;
}

static gm_status read_words(occurrences *o, const gm_token_control_input *in, const uint32_t *row,
                            size_t m, gm_error *err)
{
    const gm_bag *bag = &in->words->counts;
    for (uint32_t i = 0; i < m; i++)
        for (uint64_t e = bag->indptr[row[i]]; e < bag->indptr[row[i] + 1]; e++)
            for (size_t k = (size_t)bag->value[e]; k > 0; k--) {
                gm_status status = add(o, bag->word[e], i, err);
                if (status != GM_OK) return status;
            }
    return GM_OK;
}

/* ---- rows ---- */

typedef struct total {
    uint32_t token, n;
} total;

static int by_frequency(const void *p, const void *q)
{
    const total *a = p, *b = q;
    if (a->n != b->n) return a->n < b->n ? 1 : -1;
    return (a->token > b->token) - (a->token < b->token);
}

/* rows (m, *dim) of counts by place. */
static gm_status make_rows(float **rows, size_t *dim, const occurrences *o, size_t m, gm_error *err)
{
    gm_status status = GM_OK;
    total *all = gm_alloc(o->n_tokens, sizeof *all);
    uint32_t *place = gm_alloc(o->n_tokens, sizeof *place);
    size_t n = 0;
    if (!all || !place) GM_FAIL(GM_EMEM, "no memory for %u tokens", o->n_tokens);
    for (uint32_t t = 0; t < o->n_tokens; t++) all[t].token = t;
    for (size_t i = 0; i < o->n; i++) all[o->at[i].token].n++;
    qsort(all, o->n_tokens, sizeof *all, by_frequency);
    while (n < o->n_tokens && all[n].n > 0) n++;
    *dim = n < MAX_PLACES ? n : MAX_PLACES;
    if (n == 0) *dim = 1;
    for (size_t i = 0; i < n; i++) place[all[i].token] = (uint32_t)(i % *dim);
    *rows = gm_alloc2(m, *dim, sizeof **rows);
    if (*rows == NULL) GM_FAIL(GM_EMEM, "no memory for the control over %zu documents", m);
    for (size_t i = 0; i < o->n; i++)
        (*rows)[o->at[i].document * *dim + place[o->at[i].token]] += 1;
out:
    gm_free(all);
    gm_free(place);
    return status;
}

/* ---- figures ---- */

static double share_of_shared(const gm_knn *a, const gm_knn *b)
{
    const size_t k = (size_t)a->k;
    size_t same = 0;
    for (size_t q = 0; q < a->n; q++)
        for (size_t i = 1; i < k; i++)
            for (size_t j = 1; j < k; j++) same += a->index[q * k + i] == b->index[q * k + j];
    return (double)same / ((double)a->n * (double)(k - 1));
}

/* Agreement of both clusterings with each other, and of each with the subsets. */
static gm_status compare(gm_token_control *out, const int32_t *found, const int32_t *tokens,
                         const int32_t *subset, size_t m, size_t n_subsets, gm_error *err)
{
    gm_status status = GM_OK;
    gm_agreement one, two, both;
    GM_TRY(gm_quality_agreement(&both, found, tokens, m, err));
    GM_TRY(gm_quality_agreement(&one, found, subset, m, err));
    GM_TRY(gm_quality_agreement(&two, tokens, subset, m, err));
    out->ari = both.ari;
    bool several = n_subsets > 1;
    out->router_ami = several ? one.ami : (double)NAN;
    out->tokens_ami = several ? two.ami : (double)NAN;
    out->router_homogeneity = several ? one.homogeneity : (double)NAN;
    out->tokens_homogeneity = several ? two.homogeneity : (double)NAN;
out:
    return status;
}

/* The sample's neighbours by usage and by tokens, and clusters of the tokens. */
static gm_status ask_both(gm_token_control *out, const gm_token_control_input *in,
                          const uint32_t *row, const float *tokens, size_t dim, size_t m,
                          gm_error *err)
{
    gm_status status = GM_OK;
    gm_points by_usage = {0}, by_token = {0};
    gm_knn usage = {0}, token = {0};
    const int k = (size_t)in->n_neighbors < m ? in->n_neighbors : (int)m;
    gm_umap_options umap = *in->umap;
    const gm_hdbscan_options hdbscan = gm_rerun_scale(in->hdbscan, in->distinct->m, m);
    uint16_t *subset = gm_alloc(m, sizeof *subset);
    int32_t *truth = gm_alloc(m, sizeof *truth), *found = gm_alloc(m, sizeof *found);
    int32_t *label = gm_alloc(m, sizeof *label);
    const float **usage_row = gm_alloc(m, sizeof *usage_row);
    if (!subset || !truth || !found || !label || !usage_row)
        GM_FAIL(GM_EMEM, "no memory for the control over %zu documents", m);
    for (size_t i = 0; i < m; i++) {
        truth[i] = subset[i] = in->usage->subset[row[i]];
        found[i] = in->label[row[i]];
        usage_row[i] = in->usage->row[row[i]];
    }
    GM_TRY(gm_points_of_rows(&by_usage, usage_row, m, in->usage->dim, in->metric, err));
    GM_TRY(gm_points_init(&by_token, tokens, m, dim, GM_HELLINGER, err));
    GM_TRY(gm_knn_find(&usage, &by_usage, NULL, 0, k, NULL, err));
    GM_TRY(gm_knn_find(&token, &by_token, NULL, 0, k, NULL, err));
    out->router_purity = gm_quality_purity(&usage, subset);
    out->tokens_purity = gm_quality_purity(&token, subset);
    GM_TRY(gm_quality_chance(&out->chance, subset, m, err));
    out->shared = share_of_shared(&usage, &token);
    out->shared_chance = (double)(k - 1) / (double)(m - 1);
    if (umap.n_epochs == 0 && m < in->distinct->m) umap.n_epochs = EPOCHS;
    GM_TRY(gm_rerun_label(label, &out->n_token_clusters, &by_token, &token, &umap, &hdbscan, err));
    GM_TRY(compare(out, found, label, truth, m, gm_trace_get_samples(in->trace)->n_subsets, err));
out:
    gm_points_clear(&by_usage);
    gm_points_clear(&by_token);
    gm_knn_clear(&usage);
    gm_knn_clear(&token);
    gm_free(subset);
    gm_free(truth);
    gm_free(found);
    gm_free(label);
    gm_free(usage_row);
    return status;
}

gm_status gm_token_control_find(gm_token_control *out, const gm_token_control_input *in,
                                gm_error *err)
{
    gm_status status = GM_OK;
    occurrences o = {0};
    float *rows = NULL;
    size_t dim = 0;
    gm_token_control found = {0};
    uint32_t *row = gm_alloc(in->distinct->m, sizeof *row);
    *out = (gm_token_control){0};
    if (row == NULL) GM_FAIL(GM_EMEM, "no memory for the control");
    const size_t m = gm_quality_sample(row, in->distinct->m, in->most);
    for (size_t i = 0; i < m; i++) row[i] = in->distinct->first[row[i]];
    if (gm_trace_n_tokens(in->trace) > 0) {
        found.basis = GM_BASIS_TOKENS;
        GM_TRY(read_tokens(&o, in, row, m, err));
    } else if (in->words->vocabulary) {
        found.basis = GM_BASIS_WORDS;
        GM_TRY(read_words(&o, in, row, m, err));
    } else {
        goto out;
    }
    found.n = m;
    GM_TRY(make_rows(&rows, &dim, &o, m, err));
    GM_TRY(ask_both(&found, in, row, rows, dim, m, err));
    *out = found;
out:
    gm_free(o.at);
    gm_free(row);
    gm_free(rows);
    return status;
}
