/* naming.c - texts to words, words to keywords, words as a control. */
#include "cluster/naming.h"

#include <string.h>

#include "cluster/quality.h"
#include "text/script.h"

enum {
    CONTROL_MOST = 4000, /* documents in the control's sample */
    CONTROL_DIM = 4096   /* words share this many places; numbers wrap around */
};

void gm_naming_clear(gm_words_of *words)
{
    gm_bag_clear(&words->counts);
    gm_vocabulary_free(words->vocabulary);
    gm_free(words->script);
    *words = (gm_words_of){0};
}

static gm_words_options words_options(const gm_naming_options *options)
{
    static const unsigned stop[] = {GM_STOP_ENGLISH | GM_STOP_RUSSIAN, GM_STOP_ENGLISH,
                                    GM_STOP_RUSSIAN, GM_STOP_NONE};
    return (gm_words_options){.stop = stop[options->stop], .fold_yo = true};
}

gm_status gm_naming_read(gm_words_of *out, gm_trace *trace, const gm_usage *usage,
                         const gm_naming_options *options, gm_progress *progress, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t n = usage->n;
    const gm_words_options how = words_options(options);
    gm_words_of words = {0};
    gm_text all = {0};
    const char **text = gm_alloc(n, sizeof *text);
    size_t *n_bytes = gm_alloc(n, sizeof *n_bytes);
    size_t *end = gm_alloc(n + 1, sizeof *end); /* of what was read before each document */
    *out = (gm_words_of){0};
    if (!text || !n_bytes || !end) GM_FAIL(GM_EMEM, "no memory for %zu texts", n);
    /* In the trace's order: in another one every text would unpack a chunk of 256 KiB. */
    for (size_t i = 0; i < n; i++) {
        GM_TRY(gm_trace_read_text(trace, i, &all, err));
        end[i + 1] = all.n;
        if (progress) gm_progress_set(progress, (double)(i + 1));
    }
    for (size_t i = 0; i < n; i++) {
        size_t at = usage->place[i];
        text[i] = all.at ? all.at + end[at] : "";
        n_bytes[i] = end[at + 1] - end[at];
    }
    words.script = gm_alloc(n, sizeof *words.script);
    if (words.script == NULL) GM_FAIL(GM_EMEM, "no memory for the scripts of %zu texts", n);
    for (size_t i = 0; i < n; i++) words.script[i] = (uint16_t)gm_script_of(text[i], n_bytes[i]);
    GM_TRY(gm_vocabulary_create(&words.vocabulary, err));
    GM_TRY(gm_bag_count(&words.counts, words.vocabulary, false, text, n_bytes, n, &how, err));
    *out = words;
    words = (gm_words_of){0};
out:
    gm_text_clear(&all);
    gm_free(text);
    gm_free(n_bytes);
    gm_free(end);
    gm_naming_clear(&words);
    return status;
}

gm_status gm_naming_find(const char **keyword, float *score, const gm_words_of *words,
                         const int32_t *label, size_t n_clusters, const gm_naming_options *options,
                         gm_error *err)
{
    gm_status status = GM_OK;
    const gm_tfidf_options how = {.min_df = 2};
    const size_t n = n_clusters * GM_N_KEYWORDS;
    gm_keyword *found = gm_alloc(n, sizeof *found);
    if (found == NULL) GM_FAIL(GM_EMEM, "no memory for the keywords of %zu clusters", n_clusters);
    for (size_t i = 0; i < n; i++) keyword[i] = "", score[i] = 0;
    if (n == 0 || words->vocabulary == NULL || gm_vocabulary_n(words->vocabulary) == 0) goto out;
    GM_TRY(gm_keywords_find(found, GM_N_KEYWORDS, options->method, &words->counts,
                            words->vocabulary, label, n_clusters, options->stems, &how, err));
    for (size_t i = 0; i < n; i++) {
        if (found[i].word == UINT32_MAX) continue;
        keyword[i] = gm_vocabulary_word(words->vocabulary, found[i].word);
        score[i] = (float)found[i].score;
    }
out:
    gm_free(found);
    return status;
}

/* Share of same-label neighbours among points (n, dim). */
static gm_status purity_of(double *out, const float *rows, size_t n, size_t dim, gm_metric metric,
                           int k, const uint16_t *label, gm_error *err)
{
    gm_status status = GM_OK;
    gm_points points = {0};
    gm_knn knn = {0};
    GM_TRY(gm_points_init(&points, rows, n, dim, metric, err));
    GM_TRY(gm_knn_find(&knn, &points, NULL, 0, k, NULL, err));
    *out = gm_quality_purity(&knn, NULL, label);
out:
    gm_points_clear(&points);
    gm_knn_clear(&knn);
    return status;
}

gm_status gm_naming_control(gm_control *out, const gm_words_of *words, const gm_usage *usage,
                            gm_metric metric, int k, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_bag *bag = &words->counts;
    const size_t dim = usage->dim, wide = dim > CONTROL_DIM ? dim : CONTROL_DIM;
    uint32_t *sample = gm_alloc(usage->n, sizeof *sample);
    float *rows = NULL;
    uint16_t *label = NULL;
    *out = (gm_control){0};
    if (!sample) GM_FAIL(GM_EMEM, "no memory for the control");
    const size_t n = gm_quality_sample(sample, usage->n, CONTROL_MOST);
    rows = gm_alloc2(n, wide, sizeof *rows);
    label = gm_alloc(n, sizeof *label);
    if (!rows || !label) GM_FAIL(GM_EMEM, "no memory for the control over %zu documents", n);

    for (size_t i = 0; i < n; i++) {
        label[i] = usage->subset[sample[i]];
        memcpy(rows + i * dim, usage->rate + sample[i] * dim, dim * sizeof *rows);
    }
    GM_TRY(purity_of(&out->router, rows, n, dim, metric, k, label, err));
    memset(rows, 0, n * wide * sizeof *rows);
    for (size_t i = 0; i < n; i++)
        for (uint64_t e = bag->indptr[sample[i]]; e < bag->indptr[sample[i] + 1]; e++)
            rows[i * CONTROL_DIM + bag->word[e] % CONTROL_DIM] += (float)bag->value[e];
    GM_TRY(purity_of(&out->words, rows, n, CONTROL_DIM, GM_HELLINGER, k, label, err));
    out->n = n;
    out->chance = gm_quality_chance(label, n);
out:
    gm_free(sample);
    gm_free(rows);
    gm_free(label);
    return status;
}
