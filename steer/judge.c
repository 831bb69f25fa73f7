/* judge.c - see judge.h. */
#include "steer/judge.h"

#include "base/sha256.h"
#include "text/corpus.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MANY = 16, ONE_IN = 8 }; /* held out: one in 8 of a class that has 16 */

static const double MAX_LOG_ODDS = 30;

void gm_judge_clear(gm_judge *j)
{
    gm_classifier_free(j->classifier);
    gm_arena_clear(&j->arena);
    gm_free(j->text);
    gm_free(j->n_bytes);
    gm_free(j->label);
    gm_free(j->held_out);
    gm_free(j->name);
    *j = (gm_judge){0};
}

int gm_judge_class(const gm_judge *j, const char *name)
{
    for (size_t c = 0; c < j->n_classes; c++)
        if (strcmp(j->name[c], name) == 0) return (int)c;
    return -1;
}

/* The class of a document's subset, added when it is new; -1 without memory. */
static int class_of(gm_judge *j, const char *subset)
{
    int found = gm_judge_class(j, subset);
    if (found >= 0) return found;
    const char **more = gm_grow(j->name, j->n_classes, j->n_classes + 1, sizeof *more);
    if (more == NULL) return -1;
    j->name = more;
    char *copy = gm_arena_text(&j->arena, subset, strlen(subset));
    if (copy == NULL) return -1;
    j->name[j->n_classes] = copy;
    return (int)j->n_classes++;
}

/* Room for one more document; arrays grow by doubling. */
static gm_status reserve(gm_judge *j, size_t *cap, gm_error *err)
{
    size_t more = *cap ? 2 * *cap : 256;
    if (j->n < *cap) return GM_OK;
    const char **text = gm_grow(j->text, *cap, more, sizeof *text);
    if (text) j->text = text;
    size_t *n_bytes = gm_grow(j->n_bytes, *cap, more, sizeof *n_bytes);
    if (n_bytes) j->n_bytes = n_bytes;
    int32_t *label = gm_grow(j->label, *cap, more, sizeof *label);
    if (label) j->label = label;
    bool *held_out = gm_grow(j->held_out, *cap, more, sizeof *held_out);
    if (held_out) j->held_out = held_out;
    if (!text || !n_bytes || !label || !held_out)
        return gm_fail(err, GM_EMEM, "no memory for the classifier's documents");
    *cap = more;
    return GM_OK;
}

/* The SHA-256 of the documents that were clustered, in order, for bsearch. */
typedef struct sha_set {
    uint8_t *at; /* (n,32) */
    size_t n;
} sha_set;

static int by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, 32);
}

static gm_status sha_set_make(sha_set *set, const gm_atlas *atlas, gm_error *err)
{
    *set = (sha_set){0};
    if (atlas == NULL || atlas->n == 0) return GM_OK;
    set->at = gm_alloc(atlas->n, 32);
    if (set->at == NULL) return gm_fail(err, GM_EMEM, "no memory for the atlas's documents");
    set->n = atlas->n;
    memcpy(set->at, atlas->sha, 32 * atlas->n);
    qsort(set->at, set->n, 32, by_bytes);
    return GM_OK;
}

static bool sha_set_has(const sha_set *set, const uint8_t sha[32])
{
    return set->n > 0 && bsearch(sha, set->at, set->n, 32, by_bytes) != NULL;
}

static gm_status read_documents(gm_judge *j, const gm_opt_list *corpus, const sha_set *clustered,
                                gm_error *err)
{
    gm_status status = GM_OK;
    gm_sha256 hash;
    gm_corpus *in = NULL;
    const gm_corpus_options options = {0};
    gm_document d;
    bool more = true;
    size_t cap = 0;
    gm_sha256_init(&hash);
    GM_TRY(gm_corpus_open(&in, corpus->at, corpus->n, &options, err));
    while (true) {
        GM_TRY(gm_corpus_next(in, &d, &more, err));
        if (!more) break;
        if (d.skip != GM_SKIP_NONE || d.subset[0] == '\0') continue;
        if (sha_set_has(clustered, d.sha)) {
            j->n_shared++;
            continue;
        }
        GM_TRY(reserve(j, &cap, err));
        int label = class_of(j, d.subset);
        char *text = label >= 0 ? gm_arena_text(&j->arena, d.text, d.n_bytes) : NULL;
        if (text == NULL) GM_FAIL(GM_EMEM, "no memory for the classifier's documents");
        j->text[j->n] = text;
        j->n_bytes[j->n] = d.n_bytes;
        j->held_out[j->n] = d.sha[1] % ONE_IN == 0;
        j->label[j->n++] = (int32_t)label;
        gm_sha256_update(&hash, d.subset, strlen(d.subset) + 1);
        gm_sha256_update(&hash, d.sha, sizeof d.sha);
    }
    gm_sha256_final(&hash, j->digest);
    if (j->n_classes < 2)
        GM_FAIL(GM_EFORMAT,
                "the classifier's corpus has %zu labelled domain%s outside the clustering (%zu "
                "document%s inside), expected two or more; the label of a line is its "
                "'meta.pile_set_name', that of a text file its folder",
                j->n_classes, gm_plural(j->n_classes), j->n_shared, gm_plural(j->n_shared));
out:
    gm_corpus_close(in);
    return status;
}

/* Put back into training what is held out of small classes. */
static gm_status keep_small_classes(gm_judge *j, gm_error *err)
{
    size_t *count = gm_alloc(j->n_classes, sizeof *count);
    if (count == NULL) return gm_fail(err, GM_EMEM, "no memory for the classifier");
    for (size_t i = 0; i < j->n; i++) count[j->label[i]] += !j->held_out[i];
    for (size_t i = 0; i < j->n; i++) {
        if (count[j->label[i]] < MANY) j->held_out[i] = false;
        j->n_held_out += j->held_out[i];
    }
    gm_free(count);
    return GM_OK;
}

/* Train on what is not held out, and test on what is. */
static gm_status train(gm_judge *j, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_classifier_options options = {0};
    size_t n = 0, right = 0;
    const char **text = gm_alloc(j->n, sizeof *text);
    size_t *n_bytes = gm_alloc(j->n, sizeof *n_bytes);
    int32_t *label = gm_alloc(j->n, sizeof *label);
    float *log_p = gm_alloc2(j->n_held_out, j->n_classes, sizeof *log_p);
    if (!text || !n_bytes || !label || !log_p) GM_FAIL(GM_EMEM, "no memory for the classifier");
    for (int tested = 0; tested < 2; tested++) {
        n = 0;
        for (size_t i = 0; i < j->n; i++) {
            if (j->held_out[i] != tested) continue;
            text[n] = j->text[i];
            n_bytes[n] = j->n_bytes[i];
            label[n++] = j->label[i];
        }
        if (!tested)
            GM_TRY(gm_classifier_train(&j->classifier, (gm_texts){text, n_bytes, n}, label,
                                       j->n_classes, &options, err));
    }
    GM_TRY(gm_judge_texts(j, text, n_bytes, n, log_p, err));
    for (size_t i = 0; i < n; i++)
        right += gm_judgement_of(log_p + i * j->n_classes, j->n_classes, label[i]).hit;
    j->accuracy = n > 0 ? (double)right / (double)n : (double)NAN;
out:
    gm_free(text);
    gm_free(n_bytes);
    gm_free(label);
    gm_free(log_p);
    return status;
}

gm_status gm_judge_create(gm_judge *j, const gm_opt_list *corpus, const gm_atlas *atlas,
                          gm_error *err)
{
    gm_status status = GM_OK;
    sha_set clustered;
    *j = (gm_judge){0};
    GM_TRY(sha_set_make(&clustered, atlas, err));
    GM_TRY(read_documents(j, corpus, &clustered, err));
    GM_TRY(keep_small_classes(j, err));
    GM_TRY(train(j, err));
out:
    gm_free(clustered.at);
    if (status != GM_OK) gm_judge_clear(j);
    return status;
}

gm_status gm_judge_texts(const gm_judge *j, const char *const *text, const size_t *n_bytes,
                         size_t n, float *log_p, gm_error *err)
{
    gm_status status = GM_OK;
    if (n == 0) return GM_OK;
    double *wide = gm_alloc2(n, j->n_classes, sizeof *wide);
    if (wide == NULL) GM_FAIL(GM_EMEM, "no memory to judge %zu texts", n);
    GM_TRY(gm_classifier_predict(j->classifier, (gm_texts){text, n_bytes, n}, wide, err));
    for (size_t i = 0; i < n * j->n_classes; i++) log_p[i] = (float)wide[i];
out:
    gm_free(wide);
    return status;
}

gm_judgement gm_judgement_of(const float *log_p, size_t n_classes, int class_id)
{
    double own = (double)log_p[class_id], best = -INFINITY;
    for (size_t c = 0; c < n_classes; c++)
        if ((int)c != class_id && (double)log_p[c] > best) best = (double)log_p[c];
    double odds = own - log(-expm1(own));         /* p/(1-p); own = 0 gives +inf */
    if (odds > MAX_LOG_ODDS) odds = MAX_LOG_ODDS; /* NaN stays NaN, as fmin would not let it */
    if (odds < -MAX_LOG_ODDS) odds = -MAX_LOG_ODDS;
    return (gm_judgement){.log_odds = odds, .hit = own > best};
}
