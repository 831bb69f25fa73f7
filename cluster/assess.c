/* assess.c - the figures, one after another. See assess.h. */
#include "cluster/assess.h"

#include "cluster/quality.h"
#include "cluster/validity.h"

#include <math.h>
#include <string.h>

static gm_status find_validity(gm_assessment *a, const gm_assess_input *in, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_distinct *distinct = in->control.distinct;
    uint32_t *row = gm_alloc(distinct->m, sizeof *row);
    const size_t dim = (size_t)in->dim;
    float *at = gm_alloc2(distinct->m, dim, sizeof *at);
    int32_t *label = gm_alloc(distinct->m, sizeof *label);
    if (!row || !at || !label)
        GM_FAIL(GM_EMEM, "no memory for the validity of %zu points", distinct->m);
    a->n_dbcv = gm_quality_sample(row, distinct->m,
                                  in->level == GM_QUALITY_FULL ? distinct->m : GM_VALIDITY_SAMPLE);
    for (size_t i = 0; i < a->n_dbcv; i++) {
        size_t d = distinct->first[row[i]];
        memcpy(at + dim * i, in->at + dim * d, dim * sizeof *at);
        label[i] = in->control.label[d];
    }
    const gm_validity_input points = {
        .at = at, .label = label, .n = a->n_dbcv, .dim = dim, .n_clusters = in->n_clusters};
    GM_TRY(gm_validity_find(&a->dbcv, a->validity, &points, err));
out:
    gm_free(row);
    gm_free(at);
    gm_free(label);
    return status;
}

static gm_status find_stability(gm_assessment *a, const gm_assess_input *in, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_token_control_input *c = &in->control;
    const size_t m = c->distinct->m;
    const bool full = in->level == GM_QUALITY_FULL;
    gm_progress progress;
    int32_t *label = gm_alloc(m, sizeof *label);
    const float **row = gm_alloc(m, sizeof *row);
    if (!label || !row) GM_FAIL(GM_EMEM, "no memory for %zu labels", m);
    for (size_t p = 0; p < m; p++) {
        label[p] = c->label[c->distinct->first[p]];
        row[p] = c->usage->row[c->distinct->first[p]];
    }
    const gm_stability_input how = {.row = row,
                                    .m = m,
                                    .dim = c->usage->dim,
                                    .metric = c->metric,
                                    .n_neighbors = c->n_neighbors,
                                    .neighbours = *c->neighbours,
                                    .gpu = c->gpu,
                                    .umap = c->umap,
                                    .hdbscan = c->hdbscan,
                                    .label = label,
                                    .n_clusters = in->n_clusters,
                                    .most =
                                        full || m <= GM_STABILITY_ALL ? 0 : GM_STABILITY_SAMPLE};
    gm_progress_start(&progress, "stability", "maps", GM_N_RESEEDS + 2, in->quiet);
    GM_TRY(gm_stability_find(&a->stability, &how, &progress, err));
    gm_progress_end(&progress);
    a->has_reruns = true;
out:
    gm_free(label);
    gm_free(row);
    return status;
}

static gm_status find_coherence(gm_assessment *a, const gm_assess_input *in, gm_error *err)
{
    const gm_vocabulary *vocabulary = in->control.words->vocabulary;
    const size_t n = in->n_clusters * GM_N_KEYWORDS;
    if (vocabulary == NULL) return GM_OK;
    uint32_t *keyword = gm_alloc(n, sizeof *keyword);
    if (keyword == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu keywords", n);
    for (size_t i = 0; i < n; i++)
        if (!gm_vocabulary_find(vocabulary, in->keyword[i], strlen(in->keyword[i]), &keyword[i]))
            keyword[i] = UINT32_MAX;
    const gm_coherence_input found = {.counts = &in->control.words->counts,
                                      .n_words = gm_vocabulary_n(vocabulary),
                                      .keyword = keyword,
                                      .n_classes = in->n_clusters,
                                      .n_keywords = GM_N_KEYWORDS};
    gm_status status = gm_coherence_find(&a->keywords, a->coherence, &found, err);
    gm_free(keyword);
    return status;
}

static gm_status find_lengths(gm_assessment *a, const gm_assess_input *in, gm_error *err)
{
    const gm_usage *usage = in->control.usage;
    const uint32_t *n_tokens = gm_trace_get_samples(in->control.trace)->n_tokens;
    uint32_t *length = gm_alloc(usage->n, sizeof *length);
    if (length == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu lengths", usage->n);
    for (size_t i = 0; i < usage->n; i++) length[i] = n_tokens[usage->place[i]];
    gm_status status = gm_quality_lengths(&a->length_noise, &a->length_cluster, length,
                                          in->control.label, usage->n, in->n_clusters, err);
    gm_free(length);
    return status;
}

gm_status gm_assess(gm_assessment *out, const gm_assess_input *in, gm_error *err)
{
    gm_status status = GM_OK;
    const double unknown = (double)NAN;
    gm_assessment a = {.dbcv = unknown,
                       .keywords = {unknown, unknown},
                       .length_noise = unknown,
                       .length_cluster = unknown};
    *out = (gm_assessment){0};
    a.validity = gm_alloc(in->n_clusters, sizeof *a.validity);
    a.coherence = gm_alloc(in->n_clusters, sizeof *a.coherence);
    if (!a.validity || !a.coherence)
        GM_FAIL(GM_EMEM, "no memory for the figures of %zu clusters", in->n_clusters);
    for (size_t c = 0; c < in->n_clusters; c++) a.validity[c] = a.coherence[c] = unknown;
    GM_TRY(find_coherence(&a, in, err));
    GM_TRY(find_lengths(&a, in, err));
    if (in->level != GM_QUALITY_NONE) {
        gm_token_control_input control = in->control;
        control.most = in->level == GM_QUALITY_FULL ? 4 * GM_CONTROL_SAMPLE : GM_CONTROL_SAMPLE;
        GM_TRY(find_validity(&a, in, err));
        GM_TRY(find_stability(&a, in, err));
        GM_TRY(gm_token_control_find(&a.control, &control, err));
    }
    *out = a;
    a = (gm_assessment){0};
out:
    gm_assessment_clear(&a);
    return status;
}

void gm_assessment_clear(gm_assessment *a)
{
    gm_free(a->validity);
    gm_free(a->coherence);
    gm_stability_clear(&a->stability);
    *a = (gm_assessment){0};
}
