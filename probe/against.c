/* against.c - two traces of the same documents, row by row. */
#include "probe/against.h"

#include "base/cli.h"
#include "base/progress.h"
#include "probe/sha_index.h"

#include <math.h>

enum { ROWS_AT_ONCE = 2048, SHA_BYTES = 32 };

/* Rows of one trace. */
typedef struct side {
    gm_trace *trace;
    uint16_t *expert;   /* (ROWS_AT_ONCE,L,K) */
    float *margin;      /* (ROWS_AT_ONCE,L); of the first trace alone */
    uint32_t *token_id; /* (ROWS_AT_ONCE) */
    uint8_t *phase;     /* (ROWS_AT_ONCE) */
    float *nll;         /* (ROWS_AT_ONCE) */
} side;

typedef struct comparing {
    gm_against *out;
    size_t L, K;
    bool margins; /* the first trace has some */
    side a, b;
    gm_sha_index of_b;
} comparing;

gm_status gm_against_check_sizes(const gm_trace_info *a, const gm_trace_info *b, gm_error *err)
{
    if (a->n_layers != b->n_layers || a->n_experts != b->n_experts || a->n_chosen != b->n_chosen)
        return gm_fail(err, GM_EARG,
                       "the traces cannot be compared: %d layers, %d experts, %d chosen, against "
                       "%d, %d, %d",
                       a->n_layers, a->n_experts, a->n_chosen, b->n_layers, b->n_experts,
                       b->n_chosen);
    for (int l = 0; l < a->n_layers; l++)
        if (a->layer_of_moe[l] != b->layer_of_moe[l])
            return gm_fail(
                err, GM_EARG,
                "the traces cannot be compared: layer %d of the first is layer %d of the "
                "second",
                a->layer_of_moe[l], b->layer_of_moe[l]);
    return GM_OK;
}

static gm_status side_init(side *s, gm_trace *trace, size_t L, size_t K, gm_error *err)
{
    *s = (side){.trace = trace,
                .expert = gm_alloc2(ROWS_AT_ONCE, L * K, sizeof *s->expert),
                .margin = gm_alloc2(ROWS_AT_ONCE, L, sizeof *s->margin),
                .token_id = gm_alloc(ROWS_AT_ONCE, sizeof *s->token_id),
                .phase = gm_alloc(ROWS_AT_ONCE, 1),
                .nll = gm_alloc(ROWS_AT_ONCE, sizeof *s->nll)};
    if (s->expert && s->margin && s->token_id && s->phase && s->nll) return GM_OK;
    return gm_fail(err, GM_EMEM, "no memory for %d rows of %zu layers", ROWS_AT_ONCE, L);
}

static void side_clear(side *s)
{
    gm_free(s->expert);
    gm_free(s->margin);
    gm_free(s->token_id);
    gm_free(s->phase);
    gm_free(s->nll);
}

static gm_status comparing_init(comparing *c, gm_trace *a, gm_trace *b, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_trace_samples *samples = gm_trace_get_samples(b);
    GM_TRY(side_init(&c->a, a, c->L, c->K, err));
    GM_TRY(side_init(&c->b, b, c->L, c->K, err));
    GM_TRY(gm_sha_index_init(&c->of_b, samples->sha, samples->n, err));
out:
    return status;
}

/* ---- rows ---- */

static bool is_bad(const comparing *c, const uint16_t *expert)
{
    for (size_t l = 0; l < c->L; l++)
        if (expert[l * c->K] == GM_TRACE_NO_EXPERT) return true;
    return false;
}

static int bin_of(float margin)
{
    int exponent = 0;
    if (margin == INFINITY) return GM_MARGIN_BINS - 1; /* K = E */
    if (!(margin > 0)) return 0;
    frexpf(margin, &exponent); /* margin in [2^(exponent-1), 2^exponent) */
    exponent -= 1 + GM_MARGIN_EXPONENT;
    return exponent < 0 ? 0 : exponent < GM_MARGIN_BINS ? exponent : GM_MARGIN_BINS - 1;
}

/* One token: a, b (L,K), margin (L) or NULL. */
static void compare_row(comparing *c, const uint16_t *a, const uint16_t *b, const float *margin)
{
    for (size_t l = 0; l < c->L; l++, a += c->K, b += c->K) {
        const size_t bin = margin ? (size_t)bin_of(margin[l]) : 0;
        gm_agree *agree = &c->out->agree[l * GM_MARGIN_BINS + bin];
        size_t shared = 0;
        for (size_t i = 0; i < c->K; i++)
            for (size_t j = 0; j < c->K; j++) shared += a[i] == b[j];
        agree->n++;
        agree->same_first += a[0] == b[0];
        agree->same_set += shared == c->K;
        agree->shared += shared;
    }
}

static gm_status read_side(side *s, uint64_t first, size_t n, bool margin, bool nll, gm_error *err)
{
    gm_status status = gm_trace_read_routing(s->trace, first, n, s->expert, NULL, NULL,
                                             margin ? s->margin : NULL, err);
    if (status != GM_OK) return status;
    return gm_trace_read_tokens(s->trace, first, n, s->token_id, NULL, s->phase,
                                nll ? s->nll : NULL, err);
}

static gm_status compare_documents(comparing *c, size_t i, size_t j, gm_error *err)
{
    gm_status status = GM_OK;
    const uint64_t *a = gm_trace_get_samples(c->a.trace)->offset + i;
    const uint64_t *b = gm_trace_get_samples(c->b.trace)->offset + j;
    uint64_t rows = a[1] - a[0], most = b[1] - b[0] < rows ? b[1] - b[0] : rows, done = 0;
    uint64_t before = c->out->tokens;
    bool same = true;
    gm_document_loss *loss = c->out->loss ? &c->out->loss[i] : NULL;
    while (same && done < most) {
        size_t n = most - done < ROWS_AT_ONCE ? (size_t)(most - done) : ROWS_AT_ONCE;
        GM_TRY(read_side(&c->a, a[0] + done, n, c->margins, loss != NULL, err));
        GM_TRY(read_side(&c->b, b[0] + done, n, false, loss != NULL, err));
        for (size_t t = 0; t < n; t++) {
            const uint16_t *x = c->a.expert + t * c->L * c->K, *y = c->b.expert + t * c->L * c->K;
            same = same && c->a.token_id[t] == c->b.token_id[t];
            if (same && loss && c->a.phase[t] != GM_TRACE_TEMPLATE)
                gm_loss_add(loss, c->a.nll[t], c->b.nll[t]);
            if (!same || is_bad(c, x) || is_bad(c, y)) continue;
            compare_row(c, x, y, c->margins ? c->a.margin + t * c->L : NULL);
            c->out->tokens++;
        }
        done += n;
    }
    c->out->left += rows - (c->out->tokens - before);
out:
    return status;
}

gm_status gm_against_compare(gm_against *against, gm_trace *a, gm_trace *b, bool quiet,
                             gm_error *err)
{
    gm_status status = GM_OK;
    const gm_trace_info *info = gm_trace_get_info(a);
    const gm_trace_samples *samples = gm_trace_get_samples(a);
    comparing c = {.out = against,
                   .L = (size_t)info->n_layers,
                   .K = (size_t)info->n_chosen,
                   .margins = !info->no_margins};
    gm_progress progress;
    *against = (gm_against){.info = info, .samples = samples};
    gm_progress_start(&progress, "stats", "documents", (double)samples->n, quiet);
    GM_TRY(gm_against_check_sizes(info, gm_trace_get_info(b), err));
    against->agree = gm_alloc2(c.L, GM_MARGIN_BINS, sizeof *against->agree);
    if (against->agree == NULL) GM_FAIL(GM_EMEM, "no memory for %zu layers", c.L);
    if (info->has_nll && gm_trace_get_info(b)->has_nll) {
        against->loss = gm_alloc(samples->n, sizeof *against->loss);
        if (against->loss == NULL) GM_FAIL(GM_EMEM, "no memory for %zu documents", samples->n);
    }
    if (info->has_nll != gm_trace_get_info(b)->has_nll)
        gm_warn("the %s trace was recorded without --nll, so losses are not compared",
                info->has_nll ? "second" : "first");
    GM_TRY(comparing_init(&c, a, b, err));
    /* without choices the offsets are zero and nothing would be read */
    GM_TRY(gm_trace_read_routing(a, 0, 0, c.a.expert, NULL, NULL, NULL, err));
    GM_TRY(gm_trace_read_routing(b, 0, 0, c.b.expert, NULL, NULL, NULL, err));
    for (size_t i = 0; i < samples->n; i++) {
        int64_t j = gm_sha_index_find(&c.of_b, samples->sha + i * SHA_BYTES);
        if (gm_interrupted()) GM_FAIL(GM_EINTERRUPTED, "interrupted");
        if (j >= 0) GM_TRY(compare_documents(&c, i, (size_t)j, err));
        against->documents += j >= 0;
        against->alone += j < 0;
        gm_progress_set(&progress, (double)i + 1);
    }
out:
    gm_progress_end(&progress);
    side_clear(&c.a);
    side_clear(&c.b);
    gm_sha_index_clear(&c.of_b);
    if (status != GM_OK) gm_against_clear(against);
    return status;
}

void gm_against_clear(gm_against *against)
{
    gm_free(against->agree);
    gm_free(against->loss);
    *against = (gm_against){0};
}

gm_agree gm_against_sum(const gm_against *against, size_t l, size_t n_layers, int bin)
{
    gm_agree sum = {0};
    for (size_t i = l * GM_MARGIN_BINS; i < (l + n_layers) * GM_MARGIN_BINS; i++) {
        const gm_agree *agree = &against->agree[i];
        if (bin >= 0 && (int)(i % GM_MARGIN_BINS) != bin) continue;
        sum.n += agree->n;
        sum.same_set += agree->same_set;
        sum.same_first += agree->same_first;
        sum.shared += agree->shared;
    }
    return sum;
}
