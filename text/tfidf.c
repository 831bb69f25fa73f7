/* tfidf.c - inverse document frequencies and weighted rows. */
#include "text/tfidf.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A limit below 1 is a share of the rows. */
static double in_rows(double limit, size_t n_rows)
{
    return limit < 1 ? limit * (double)n_rows : limit;
}

typedef struct term {
    double total;
    const char *word;
    uint32_t id;
} term;

static int by_total(const void *p, const void *q)
{
    const term *a = p, *b = q;
    if (a->total != b->total) return a->total > b->total ? -1 : 1;
    return strcmp(a->word, b->word);
}

/* Keep the idf of the `most` words with the largest totals. */
static gm_status keep_frequent(double *idf, const gm_bag *counts, const gm_vocabulary *vocabulary,
                               size_t most, gm_error *err)
{
    const size_t n_words = gm_vocabulary_n(vocabulary);
    term *terms = gm_alloc(n_words, sizeof *terms);
    size_t n = 0;
    if (terms == NULL) return gm_fail(err, GM_EMEM, "no memory to rank %zu words", n_words);
    for (size_t w = 0; w < n_words; w++)
        terms[w] = (term){0, gm_vocabulary_word(vocabulary, (uint32_t)w), (uint32_t)w};
    for (size_t e = 0; e < counts->n_entries; e++) terms[counts->word[e]].total += counts->value[e];
    for (size_t w = 0; w < n_words; w++)
        if (idf[w] > 0) terms[n++] = terms[w];
    qsort(terms, n, sizeof *terms, by_total);
    for (size_t i = most; i < n; i++) idf[terms[i].id] = 0;
    gm_free(terms);
    return GM_OK;
}

gm_status gm_tfidf_fit(double *idf, const gm_bag *counts, const gm_vocabulary *vocabulary,
                       const gm_tfidf_options *options, gm_error *err)
{
    const size_t n_words = gm_vocabulary_n(vocabulary), n = counts->n_rows;
    const double least = in_rows(options->min_df, n);
    const double most = options->max_df > 0 ? in_rows(options->max_df, n) : (double)n;
    if (!(options->min_df >= 0) || !(options->max_df >= 0))
        return gm_fail(err, GM_EARG,
                       "the document frequency limits are %g and %g, expected 0 or more",
                       options->min_df, options->max_df);
    for (size_t w = 0; w < n_words; w++) idf[w] = 0;
    for (size_t e = 0; e < counts->n_entries; e++) idf[counts->word[e]] += 1; /* df for now */
    for (size_t w = 0; w < n_words; w++) {
        double df = idf[w];
        bool kept = df > 0 && df >= least && df <= most;
        idf[w] = kept ? log((1 + (double)n) / (1 + df)) + 1 : 0;
    }
    return options->max_features
               ? keep_frequent(idf, counts, vocabulary, options->max_features, err)
               : GM_OK;
}

void gm_tfidf_apply(gm_bag *bag, const double *idf, bool sublinear)
{
    uint64_t to = 0, from = 0;
    for (size_t i = 0; i < bag->n_rows; i++) {
        uint64_t first = to, end = bag->indptr[i + 1];
        double squares = 0;
        for (; from < end; from++) {
            double tf = bag->value[from], weight = idf[bag->word[from]];
            if (!(weight > 0)) continue;
            weight *= sublinear ? 1 + log(tf) : tf;
            bag->word[to] = bag->word[from];
            bag->value[to++] = weight;
            squares += weight * weight;
        }
        for (uint64_t e = first; e < to; e++) bag->value[e] /= sqrt(squares);
        bag->indptr[i + 1] = to;
    }
    bag->n_entries = to;
}
