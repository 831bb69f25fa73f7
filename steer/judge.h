/* judge.h - what steered text is judged by: a classifier of topics, trained on documents
 * that took no part in the clustering. It never sees router data.
 */
#ifndef GM_JUDGE_H
#define GM_JUDGE_H

#include "base/cli.h"
#include "formats/atlas.h"
#include "text/classify.h"

typedef struct gm_judge {
    gm_classifier *classifier;
    gm_arena arena; /* texts and names */
    const char **text;
    size_t *n_bytes;
    int32_t *label; /* (n) class of each text */
    bool *held_out; /* (n) not trained on, but tested on */
    size_t n;
    const char **name; /* (n_classes) */
    size_t n_classes;
    size_t n_shared; /* documents left out because the atlas has them */
    size_t n_held_out;
    double accuracy;    /* on the held-out documents; NaN: there are none */
    uint8_t digest[32]; /* of the documents used: class and SHA-256 of each */
} gm_judge;

/* Read the corpus files and train; the class of a document is its subset. A document whose
 * SHA-256 is in the atlas (may be NULL) is left out and counted. About an eighth of
 * a class is held out, by SHA-256, where 16 documents or more are left to train on.
 * GM_EFORMAT when fewer than two classes are left; GM_EIO, GM_EMEM. */
gm_status gm_judge_create(gm_judge *judge, const gm_opt_list *corpus, const gm_atlas *atlas,
                          gm_error *err) GM_MUST_USE;
void gm_judge_clear(gm_judge *judge);

/* The class called `name`; -1 when there is none. */
int gm_judge_class(const gm_judge *judge, const char *name);

/* ln p of every class for n texts: log_p (n, n_classes), written. GM_EMEM. */
gm_status gm_judge_texts(const gm_judge *judge, const char *const *text, const size_t *n_bytes,
                         size_t n, float *log_p, gm_error *err) GM_MUST_USE;

typedef struct gm_judgement {
    double log_odds; /* ln p/(1-p) of the class asked about, clipped to +-30; NaN when ln p is */
    bool hit;        /* it is more likely than every other class */
} gm_judgement;

/* What ln p of all classes (n_classes) say of one. */
gm_judgement gm_judgement_of(const float *log_p, size_t n_classes, int class_id);

#endif
