/* classify.c - training and using the classifier.
 *
 * Sizes: N texts, V words and a constant, C classes. Weights are (V+1, C), the last row the
 * constant, which is not penalised. The value minimised is the mean of -ln p(class) with
 * classes balanced, plus l2/2 times the sum of squared weights.
 */
#include "text/classify.h"

#include "text/lbfgs.h"

#include <math.h>
#include <string.h>

static const double TOLERANCE = 1e-6; /* of the gradient of a mean over texts */

struct gm_classifier {
    gm_vocabulary *vocabulary;
    double *idf;    /* (V) */
    double *weight; /* (V+1, C) */
    size_t n_words, n_classes;
};

static const gm_words_options words = {.fold_yo = true};

/* The training texts by rows and by words, and room for one evaluation. */
typedef struct problem {
    const gm_bag *bag;    /* (N) rows of TF-IDF */
    const int32_t *label; /* (N) */
    double *share;        /* (N) weight of each text in the mean; they sum to 1 */
    uint64_t *start;      /* (V+1) entries of each word */
    uint32_t *row;        /* (entries) */
    double *value;        /* (entries) */
    double *slope;        /* (N,C) derivative by each text's score */
    double *loss;         /* (N) */
    size_t n_words, n_classes;
    double l2;
} problem;

/* score (C) of one row: constant and weighted words. */
static void score_row(double *score, const gm_bag *bag, size_t i, const double *weight,
                      size_t n_words, size_t n_classes)
{
    memcpy(score, weight + n_words * n_classes, n_classes * sizeof *score);
    for (uint64_t e = bag->indptr[i]; e < bag->indptr[i + 1]; e++) {
        const double *w = weight + bag->word[e] * n_classes; /* (C) */
        for (size_t c = 0; c < n_classes; c++) score[c] += bag->value[e] * w[c];
    }
}

/* score (C) becomes ln p. */
static void normalise(double *score, size_t n_classes)
{
    double top = score[0], sum = 0;
    for (size_t c = 1; c < n_classes; c++) top = fmax(top, score[c]);
    for (size_t c = 0; c < n_classes; c++) sum += exp(score[c] - top);
    for (size_t c = 0; c < n_classes; c++) score[c] -= top + log(sum);
}

/* Value and gradient. Texts, then words, are spread over threads; each sum has one order. */
static double evaluate(const double *weight, double *gradient, void *state)
{
    problem *p = state;
    const size_t C = p->n_classes, V = p->n_words, n = p->bag->n_rows;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i++) {
        double *slope = p->slope + i * C; /* (C) */
        score_row(slope, p->bag, i, weight, V, C);
        normalise(slope, C);
        p->loss[i] = -p->share[i] * slope[p->label[i]];
        for (size_t c = 0; c < C; c++)
            slope[c] = p->share[i] * (exp(slope[c]) - (c == (size_t)p->label[i]));
    }
#pragma omp parallel for schedule(dynamic, 256)
    for (size_t w = 0; w < V; w++) {
        double *g = gradient + w * C; /* (C) */
        for (size_t c = 0; c < C; c++) g[c] = p->l2 * weight[w * C + c];
        for (uint64_t e = p->start[w]; e < p->start[w + 1]; e++)
            for (size_t c = 0; c < C; c++) g[c] += p->value[e] * p->slope[p->row[e] * C + c];
    }
    double *constant = gradient + V * C, loss = 0, squares = 0;
    memset(constant, 0, C * sizeof *constant);
    for (size_t i = 0; i < n; i++) {
        loss += p->loss[i];
        for (size_t c = 0; c < C; c++) constant[c] += p->slope[i * C + c];
    }
    for (size_t k = 0; k < V * C; k++) squares += weight[k] * weight[k];
    return loss + p->l2 / 2 * squares;
}

/* Each class weighs the same in the mean, whatever its size. */
static gm_status share_out(problem *p, gm_error *err)
{
    const size_t n = p->bag->n_rows, C = p->n_classes;
    size_t *size = gm_alloc(C, sizeof *size);
    if (size == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu classes", C);
    gm_status status = GM_OK;
    for (size_t i = 0; i < n; i++) {
        if (p->label[i] < 0 || (size_t)p->label[i] >= C)
            GM_FAIL(GM_EARG, "text %zu has label %d, expected 0 to %zu", i, p->label[i], C - 1);
        size[p->label[i]]++;
    }
    for (size_t c = 0; c < C; c++)
        if (size[c] == 0) GM_FAIL(GM_EARG, "class %zu has no text", c);
    for (size_t i = 0; i < n; i++) p->share[i] = 1 / ((double)C * (double)size[p->label[i]]);
out:
    gm_free(size);
    return status;
}

/* The entries again by word, rows ascending. */
static void sort_by_word(problem *p)
{
    const gm_bag *bag = p->bag;
    for (uint64_t e = 0; e < bag->n_entries; e++) p->start[bag->word[e] + 1]++;
    for (size_t w = 0; w < p->n_words; w++) p->start[w + 1] += p->start[w];
    for (size_t i = 0; i < bag->n_rows; i++) {
        for (uint64_t e = bag->indptr[i]; e < bag->indptr[i + 1]; e++) {
            uint64_t to = p->start[bag->word[e]]++;
            p->row[to] = (uint32_t)i;
            p->value[to] = bag->value[e];
        }
    }
    memmove(p->start + 1, p->start, p->n_words * sizeof *p->start);
    p->start[0] = 0;
}

static gm_status fit(gm_classifier *classifier, const gm_bag *bag, const int32_t *label,
                     const gm_classifier_options *options, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t C = classifier->n_classes, V = classifier->n_words, n = bag->n_rows;
    problem p = {.bag = bag, .label = label, .n_words = V, .n_classes = C};
    gm_lbfgs_report report;
    p.l2 = options && options->l2 > 0 ? options->l2 : 1e-4;
    p.share = gm_alloc(n, sizeof *p.share);
    p.start = gm_alloc(V + 1, sizeof *p.start);
    p.row = gm_alloc(bag->n_entries, sizeof *p.row);
    p.value = gm_alloc(bag->n_entries, sizeof *p.value);
    p.slope = gm_alloc2(n, C, sizeof *p.slope);
    p.loss = gm_alloc(n, sizeof *p.loss);
    classifier->weight = gm_alloc2(V + 1, C, sizeof *classifier->weight);
    if (!p.share || !p.start || !p.row || !p.value || !p.slope || !p.loss || !classifier->weight)
        GM_FAIL(GM_EMEM, "no memory to train on %zu texts and %zu words", n, V);
    GM_TRY(share_out(&p, err));
    sort_by_word(&p);
    GM_TRY(gm_lbfgs(classifier->weight, (V + 1) * C, evaluate, &p, TOLERANCE,
                    options && options->max_iterations > 0 ? options->max_iterations : 200, &report,
                    err));
out:
    gm_free(p.share);
    gm_free(p.start);
    gm_free(p.row);
    gm_free(p.value);
    gm_free(p.slope);
    gm_free(p.loss);
    return status;
}

gm_status gm_classifier_train(gm_classifier **out, gm_texts texts, const int32_t *label,
                              size_t n_classes, const gm_classifier_options *options, gm_error *err)
{
    gm_status status = GM_OK;
    gm_tfidf_options how = {.min_df = 2, .max_features = 20000, .sublinear = true};
    gm_bag bag = {0};
    gm_classifier *c = gm_alloc(1, sizeof *c);
    *out = NULL;
    if (c == NULL) GM_FAIL(GM_EMEM, "no memory for a classifier");
    if (n_classes < 2) GM_FAIL(GM_EARG, "found %zu classes, expected at least two", n_classes);
    if (options && options->max_features > 0) how.max_features = options->max_features;
    c->n_classes = n_classes;
    GM_TRY(gm_vocabulary_create(&c->vocabulary, err));
    GM_TRY(gm_bag_count(&bag, c->vocabulary, false, texts, &words, err));
    c->n_words = gm_vocabulary_n(c->vocabulary);
    c->idf = gm_alloc(c->n_words, sizeof *c->idf);
    if (c->idf == NULL) GM_FAIL(GM_EMEM, "no memory for %zu words", c->n_words);
    GM_TRY(gm_tfidf_fit(c->idf, &bag, c->vocabulary, &how, err));
    gm_tfidf_apply(&bag, c->idf, true);
    if (bag.n_entries == 0) GM_FAIL(GM_EARG, "no word is in two of the %zu texts", texts.n);
    GM_TRY(fit(c, &bag, label, options, err));
    *out = c;
    c = NULL;
out:
    gm_bag_clear(&bag);
    gm_classifier_free(c);
    return status;
}

gm_status gm_classifier_predict(const gm_classifier *classifier, gm_texts texts, double *log_p,
                                gm_error *err)
{
    gm_status status = GM_OK;
    const size_t C = classifier->n_classes;
    gm_bag bag = {0};
    GM_TRY(gm_bag_count(&bag, classifier->vocabulary, true, texts, &words, err));
    gm_tfidf_apply(&bag, classifier->idf, true);
    for (size_t i = 0; i < texts.n; i++) {
        double *row = log_p + i * C; /* (C) */
        bool known = bag.indptr[i + 1] > bag.indptr[i];
        for (size_t c = 0; c < C; c++) row[c] = 0;
        if (known) score_row(row, &bag, i, classifier->weight, classifier->n_words, C);
        normalise(row, C);
    }
out:
    gm_bag_clear(&bag);
    return status;
}

void gm_classifier_free(gm_classifier *classifier)
{
    if (classifier == NULL) return;
    gm_vocabulary_free(classifier->vocabulary);
    gm_free(classifier->idf);
    gm_free(classifier->weight);
    gm_free(classifier);
}
