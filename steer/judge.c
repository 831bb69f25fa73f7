/* judge.c - see judge.h. */
#include "steer/judge.h"

#include <math.h>
#include <string.h>

#include "text/corpus.h"

enum {
    LOSS_DOCUMENTS = 24, /* of the class; as many of the others */
    LOSS_TOKENS = 128    /* of each */
};

static const double MAX_LOG_ODDS = 30;

void gm_judge_clear(gm_judge *j)
{
    gm_classifier_free(j->classifier);
    gm_arena_clear(&j->arena);
    gm_free(j->text);
    gm_free(j->n_bytes);
    gm_free(j->label);
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
    if (!text || !n_bytes || !label)
        return gm_fail(err, GM_EMEM, "no memory for the classifier's documents");
    *cap = more;
    return GM_OK;
}

static gm_status read_documents(gm_judge *j, const gm_opt_list *corpus, gm_error *err)
{
    gm_status status = GM_OK;
    gm_corpus *in = NULL;
    const gm_corpus_options options = {0};
    gm_document d;
    bool more = true;
    size_t cap = 0;
    GM_TRY(gm_corpus_open(&in, corpus->at, corpus->n, &options, err));
    while (true) {
        GM_TRY(gm_corpus_next(in, &d, &more, err));
        if (!more) break;
        if (d.skip != GM_SKIP_NONE || d.subset[0] == '\0') continue;
        GM_TRY(reserve(j, &cap, err));
        int label = class_of(j, d.subset);
        char *text = label >= 0 ? gm_arena_text(&j->arena, d.text, d.n_bytes) : NULL;
        if (text == NULL) GM_FAIL(GM_EMEM, "no memory for the classifier's documents");
        j->text[j->n] = text;
        j->n_bytes[j->n] = d.n_bytes;
        j->label[j->n++] = (int32_t)label;
    }
    if (j->n_classes < 2)
        GM_FAIL(GM_EFORMAT,
                "the classifier's corpus has %zu labelled domains, expected two or more: a line's "
                "label is its 'meta.pile_set_name', a text file's is its folder",
                j->n_classes);
out:
    gm_corpus_close(in);
    return status;
}

gm_status gm_judge_create(gm_judge *j, const gm_opt_list *corpus, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_classifier_options options = {0};
    *j = (gm_judge){0};
    GM_TRY(read_documents(j, corpus, err));
    GM_TRY(gm_classifier_train(&j->classifier, j->text, j->n_bytes, j->label, j->n, j->n_classes,
                               &options, err));
out:
    if (status != GM_OK) gm_judge_clear(j);
    return status;
}

gm_status gm_judge_texts(const gm_judge *j, const gm_continuation *list, size_t n, int class_id,
                         gm_verdict *out, gm_error *err)
{
    gm_status status = GM_OK;
    const char **text = gm_alloc(n, sizeof *text);
    size_t *n_bytes = gm_alloc(n, sizeof *n_bytes);
    double *log_p = gm_alloc2(n, j->n_classes, sizeof *log_p);
    if (!text || !n_bytes || !log_p) GM_FAIL(GM_EMEM, "no memory to judge %zu texts", n);
    for (size_t i = 0; i < n; i++) {
        text[i] = list[i].text.n ? list[i].text.at : "";
        n_bytes[i] = list[i].text.n;
    }
    GM_TRY(gm_classifier_predict(j->classifier, text, n_bytes, n, log_p, err));
    for (size_t i = 0; i < n; i++) {
        const double *row = log_p + i * j->n_classes; /* (n_classes) */
        double own = row[class_id], best = -INFINITY;
        for (size_t c = 0; c < j->n_classes; c++)
            if ((int)c != class_id && row[c] > best) best = row[c];
        double odds = own - log(-expm1(own)); /* p/(1-p); own = 0 gives +inf */
        out[i].log_odds = fmax(-MAX_LOG_ODDS, fmin(MAX_LOG_ODDS, odds));
        out[i].hit = own > best;
    }
out:
    gm_free(text);
    gm_free(n_bytes);
    gm_free(log_p);
    return status;
}

/* Add the loss of one document to *sum and its number of predicted tokens to *count. */
static gm_status document_loss(const gm_stage *stage, gm_session *session, bool edited,
                               const char *text, size_t n_bytes, double *sum, size_t *count,
                               gm_error *err)
{
    gm_status status = GM_OK;
    gm_ids ids = {0};
    uint32_t target[LOSS_TOKENS];
    float nll[LOSS_TOKENS];
    uint8_t phase[LOSS_TOKENS]; /* as if the model had written the document */
    int sequence = -1;
    memset(phase, GM_PHASE_GENERATED, sizeof phase);
    GM_TRY(gm_encode(stage->encoder, text, n_bytes, true, &ids, NULL, NULL, NULL, err));
    size_t n = ids.n < LOSS_TOKENS ? ids.n : LOSS_TOKENS;
    if (n < 2) goto out;
    for (size_t t = 0; t < n; t++) target[t] = t + 1 < n ? ids.at[t + 1] : GM_NO_TARGET;

    GM_TRY(gm_sequence_open(session, n, &sequence, err));
    const gm_segment segment = {.sequence = sequence,
                                .n = n,
                                .token = ids.at,
                                .phase = phase,
                                .target = target,
                                .edit = edited ? 0 : -1};
    const gm_result result = {.nll = nll};
    GM_TRY(gm_session_step(session, &segment, 1, NULL, &result, err));
    for (size_t t = 0; t + 1 < n; t++) {
        if (!isfinite(nll[t])) continue;
        *sum += (double)nll[t];
        (*count)++;
    }
out:
    if (sequence >= 0) gm_sequence_close(session, sequence);
    gm_ids_clear(&ids);
    return status;
}

gm_status gm_judge_loss(const gm_judge *j, const gm_stage *stage, const gm_edit *edit, int class_id,
                        bool other, double *loss, gm_error *err)
{
    gm_status status = GM_OK;
    gm_session *session = NULL;
    const gm_session_options options = {.threads = (int)stage->options->threads,
                                        .max_rows = LOSS_TOKENS,
                                        .kv_rows = LOSS_TOKENS,
                                        .max_sequences = 1};
    double sum = 0;
    size_t count = 0, n_fit = 0, taken = 0;
    GM_TRY(gm_session_create(&session, stage->model, &options, err));
    GM_TRY(gm_session_set_edits(session, edit, edit ? 1 : 0, err));

    /* Evenly spread over those that fit, so that every other domain has its part. */
    for (size_t i = 0; i < j->n; i++) n_fit += (j->label[i] == class_id) != other;
    size_t every = n_fit > LOSS_DOCUMENTS ? n_fit / LOSS_DOCUMENTS : 1, seen = 0;
    for (size_t i = 0; i < j->n && taken < LOSS_DOCUMENTS; i++) {
        if ((j->label[i] == class_id) == other || seen++ % every != 0) continue;
        GM_TRY(document_loss(stage, session, edit != NULL, j->text[i], j->n_bytes[i], &sum, &count,
                             err));
        taken++;
    }
    *loss = count > 0 ? sum / (double)count : (double)NAN;
out:
    gm_session_free(session);
    return status;
}
