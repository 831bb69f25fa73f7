/* classify.h - a small text classifier: multinomial logistic regression on TF-IDF.
 *
 * It judges steered text, and is trained on documents that took no part in the
 * clustering; router data never enters. Deterministic: full-batch L-BFGS in double,
 * fixed-order sums, for any number of threads.
 */
#ifndef GM_CLASSIFY_H
#define GM_CLASSIFY_H

#include "text/tfidf.h"

typedef struct gm_classifier gm_classifier;

typedef struct gm_classifier_options {
    double l2;           /* 1/C of scikit-learn, per document; default 1e-4 when 0 */
    size_t max_features; /* default 20000 when 0 */
    int max_iterations;  /* default 200 when 0 */
} gm_classifier_options;

/* Train on texts with labels (texts) 0..n_classes-1, every class at least once, at least two
 * classes. Class sizes are balanced by weights. */
gm_status gm_classifier_train(gm_classifier **out, gm_texts texts, const int32_t *label,
                              size_t n_classes, const gm_classifier_options *options, gm_error *err)
    GM_MUST_USE;

/* ln p of every class for each text: (texts, n_classes), written; each row is
 * normalised. A text with no known word gets the prior: 1/n_classes, classes being balanced. */
gm_status gm_classifier_predict(const gm_classifier *classifier, gm_texts texts, double *log_p,
                                gm_error *err) GM_MUST_USE;
void gm_classifier_free(gm_classifier *classifier);

#endif
