/* judge.h - what steered text is judged by: a classifier of domains, trained on
 * documents that took no part in the clustering, and the loss on some of them.
 */
#ifndef GM_JUDGE_H
#define GM_JUDGE_H

#include "steer/stage.h"
#include "text/classify.h"

typedef struct gm_judge {
    gm_classifier *classifier;
    gm_arena arena; /* texts and names */
    const char **text;
    size_t *n_bytes;
    int32_t *label; /* (n) class of each text */
    size_t n;
    const char **name; /* (n_classes) */
    size_t n_classes;
} gm_judge;

/* Read the corpus files and train; the class of a document is its subset. GM_EFORMAT
 * when there are fewer than two classes. */
gm_status gm_judge_create(gm_judge *judge, const gm_opt_list *corpus, gm_error *err) GM_MUST_USE;
void gm_judge_clear(gm_judge *judge);

/* The class called `name`; -1 when there is none. */
int gm_judge_class(const gm_judge *judge, const char *name);

typedef struct gm_verdict {
    double log_odds; /* ln p/(1-p) of the class asked about, clipped to +-30 */
    bool hit;        /* it is the most likely class */
} gm_verdict;

/* Judge the texts of n continuations. */
gm_status gm_judge_texts(const gm_judge *judge, const gm_continuation *list, size_t n, int class_id,
                         gm_verdict *out, gm_error *err) GM_MUST_USE;

/* Mean loss in nats a token, under the edit (NULL: none), of the first tokens of some
 * of the judge's documents: of the class, or (other) of all the others. */
gm_status gm_judge_loss(const gm_judge *judge, const gm_stage *stage, const gm_edit *edit,
                        int class_id, bool other, double *loss, gm_error *err) GM_MUST_USE;

#endif
