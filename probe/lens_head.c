/* lens_head.c - vectors through the final norm and the head, as rows of a step without layers: see
 * lens.h.
 *
 * The head gives (h . norm(row)) + biases. Times what the norm divided the row by, and less what it
 * gives for a row of zeros, which is the biases alone, this is linear in the row.
 */
#include "probe/best.h"
#include "probe/lens.h"

#include <math.h>

enum { ROWS = 3 * GM_LENS_AT_ONCE };

struct gm_lens_head {
    const gm_model_info *info;
    gm_session *session;
    int sequence;
    double inverse;       /* 1/sigma */
    float *logits;        /* (ROWS,V) */
    float *nothing;       /* (V) for a row of zeros */
    float scale[ROWS];    /* what the norm divided each by */
    uint32_t token[ROWS]; /* zeros: not looked at */
    bool *listed;         /* (V) may be in a list */
    size_t n_listed;
    double *score;             /* (V) */
    gm_best best[3], worst[3]; /* of both halves, of each */
};

/* n rows (D); their logits and scales. */
static gm_status multiply(gm_lens_head *h, float *row, size_t n, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t n_layers = (size_t)h->info->n_layers;
    const gm_segment segment = {.sequence = h->sequence,
                                .n = n,
                                .token = h->token,
                                .edit = -1,
                                .want = GM_WANT_ALL,
                                .residual = row};
    const gm_record record = {.scale = h->scale};
    const gm_result result = {.logits = h->logits};
    GM_TRY(gm_sequence_rewind(h->session, h->sequence, 0, err));
    GM_TRY(
        gm_session_step_layers(h->session, n_layers, n_layers, &segment, 1, &record, &result, err));
out:
    return status;
}

/* Which tokens may be in a list. */
static gm_status find_listed(gm_lens_head *h, const gm_lens *lens, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text piece = {0};
    for (size_t u = 0; u < gm_tokenizer_size(lens->tokenizer); u++) {
        piece.n = 0;
        GM_TRY(gm_tokenizer_piece(lens->tokenizer, (uint32_t)u, &piece, err));
        h->listed[u] = lens->every ? piece.n > 0 : lens->seen[u];
        h->n_listed += h->listed[u];
    }
out:
    gm_text_clear(&piece);
    return status;
}

gm_status gm_lens_head_create(gm_lens_head **out, const gm_lens *lens, int threads, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_session_options options = {
        .threads = threads, .max_rows = ROWS, .kv_rows = ROWS, .max_sequences = 1, .norms = true};
    const gm_model_info *info = gm_model_get_info(lens->model);
    const size_t V = (size_t)info->vocab_size;
    *out = NULL;
    gm_lens_head *h = gm_alloc(1, sizeof *h);
    float *zeros = gm_alloc((size_t)info->width, sizeof *zeros);
    if (!h || !zeros) GM_FAIL(GM_EMEM, "no memory for the head");
    h->info = info;
    h->inverse = lens->inverse / (double)lens->n_tokens;
    h->logits = gm_alloc2(ROWS, V, sizeof *h->logits);
    h->nothing = gm_alloc(V, sizeof *h->nothing);
    h->listed = gm_alloc(V, sizeof *h->listed);
    h->score = gm_alloc(V, sizeof *h->score);
    if (!h->logits || !h->nothing || !h->listed || !h->score)
        GM_FAIL(GM_EMEM, "no memory for the logits of %zu tokens", V);
    for (int i = 0; i < 3; i++) {
        GM_TRY(gm_best_init(&h->best[i], GM_LENS_PROMOTED, err));
        GM_TRY(gm_best_init(&h->worst[i], GM_LENS_SUPPRESSED, err));
    }
    GM_TRY(find_listed(h, lens, err));
    GM_TRY(gm_session_create(&h->session, lens->model, &options, err));
    GM_TRY(gm_sequence_open(h->session, ROWS, &h->sequence, err));
    GM_TRY(multiply(h, zeros, 1, err));
    for (size_t u = 0; u < V; u++) h->nothing[u] = h->logits[u];
    *out = h;
    h = NULL;
out:
    gm_free(zeros);
    gm_lens_head_free(h);
    return status;
}

void gm_lens_head_free(gm_lens_head *h)
{
    if (h == NULL) return;
    gm_session_free(h->session);
    for (int i = 0; i < 3; i++) {
        gm_best_clear(&h->best[i]);
        gm_best_clear(&h->worst[i]);
    }
    gm_free(h->logits);
    gm_free(h->nothing);
    gm_free(h->listed);
    gm_free(h->score);
    gm_free(h);
}

/* The tokens with the largest and the smallest score of a row. */
static void rank(gm_lens_head *h, size_t row, gm_best *best, gm_best *worst)
{
    const size_t V = (size_t)h->info->vocab_size;
    const float *logits = h->logits + row * V;
    const double by = (double)h->scale[row] * h->inverse;
    double mean = 0;
    for (size_t u = 0; u < V; u++) {
        h->score[u] = ((double)logits[u] - (double)h->nothing[u]) * by;
        if (h->listed[u]) mean += h->score[u] / (double)h->n_listed;
    }
    best->n = worst->n = 0;
    for (size_t u = 0; u < V; u++) {
        if (!h->listed[u]) continue;
        gm_best_offer(best, u, h->score[u] - mean);
        gm_best_offer(worst, u, mean - h->score[u]);
    }
}

static bool has(const gm_best *list, size_t u)
{
    for (size_t i = 0; i < list->n; i++)
        if (list->at[i] == u) return true;
    return false;
}

/* List [0], and who of it is in [1] and [2], if these are `known`; how many. */
static size_t take(const gm_best *list, double sign, bool known, gm_lens_list *out)
{
    size_t n_again = 0;
    for (out->n = 0; out->n < list->n; out->n++) {
        const size_t u = list->at[out->n];
        const bool again = known && has(&list[1], u) && has(&list[2], u);
        out->at[out->n] = (gm_lens_token){(uint32_t)u, sign * list->value[out->n], again};
        n_again += again;
    }
    return n_again;
}

gm_status gm_lens_head_list(gm_lens_head *h, float *row, gm_lens_expert *expert, size_t n,
                            gm_error *err)
{
    const gm_status status = multiply(h, row, 3 * n, err);
    for (size_t x = 0; status == GM_OK && x < n; x++) {
        const bool known = !isnan(expert[x].halves);
        if (expert[x].sum.n == 0) continue;
        for (size_t i = 0; i < 3; i++) rank(h, 3 * x + i, &h->best[i], &h->worst[i]);
        expert[x].n_again = take(h->best, 1, known, &expert[x].promoted);
        (void)take(h->worst, -1, known, &expert[x].suppressed);
    }
    return status;
}
