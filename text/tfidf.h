/* tfidf.h - TF-IDF as scikit-learn's TfidfVectorizer, class TF-IDF as BERTopic.
 *
 * TF-IDF: idf = ln((1+n)/(1+df)) + 1, rows scaled to length 1, in double.
 * Class TF-IDF: tf of the joined class, scaled to sum 1, times ln(1 + A/f) with A
 * the mean number of words a class (truncated) and f the word's total frequency.
 * Source: scikit-learn, "Tf-idf term weighting"; Grootendorst 2022, arXiv:2203.05794.
 */
#ifndef GM_TFIDF_H
#define GM_TFIDF_H

#include "text/words.h"

typedef struct gm_tfidf_options {
    double min_df, max_df; /* below 1: share of the rows; otherwise a number of rows; max_df 0:
                              no limit */
    size_t max_features;   /* 0: no limit; by total count, ties by word */
    bool sublinear;        /* 1 + ln tf */
} gm_tfidf_options;

/* Weights idf (n_words) from a bag of counts; 0 for words that the limits remove or that no
 * row holds. Errors: GM_EARG for limits below 0; GM_EMEM. */
gm_status gm_tfidf_fit(double *idf, const gm_bag *counts, const gm_vocabulary *vocabulary,
                       const gm_tfidf_options *options, gm_error *err) GM_MUST_USE;

/* Replace the counts of *bag by TF-IDF weights, rows of length 1; removed words leave the
 * rows, and a row may become empty. */
void gm_tfidf_apply(gm_bag *bag, const double *idf, bool sublinear);

typedef struct gm_keyword {
    uint32_t word; /* the surface form shown */
    double score;
} gm_keyword;

typedef enum gm_keyword_method {
    GM_KEYWORDS_TFIDF, /* mean of the members' TF-IDF rows: the article's way */
    GM_KEYWORDS_CLASS  /* class TF-IDF */
} gm_keyword_method;

typedef struct gm_keyword_options {
    gm_keyword_method method;
    size_t n_keywords; /* of a class */
    bool stems;        /* words of one stem are grouped; the form that is most frequent over all
                          rows is shown */
    gm_tfidf_options tfidf;
} gm_keyword_options;

/* A division of the rows into classes. */
typedef struct gm_keyword_classes {
    const int32_t *label;   /* (rows) in [0,n), or -1: noise, which counts for idf and has no
                               keywords */
    const uint32_t *parent; /* (n) of classes in classes: a class has its own rows and those of all
                               below it, parents come before children; NULL: none has a parent */
    size_t n;
    gm_keyword *keyword; /* (n, n_keywords) written */
} gm_keyword_classes;

/* The best words of every class, for one or several divisions of a corpus: score descending, then
 * word ascending, filled up with word UINT32_MAX. Class TF-IDF counts the classes of the first
 * division. Errors: those of gm_tfidf_fit; GM_EMEM. */
gm_status gm_keywords_find(const gm_keyword_classes *classes, size_t n_divisions,
                           const gm_bag *counts, const gm_vocabulary *vocabulary,
                           const gm_keyword_options *options, gm_error *err) GM_MUST_USE;

#endif
