/* stats_expert.c - the tokens and documents that single experts are about. */
#include "probe/stats_expert.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/cli.h"

enum { DOCUMENTS_AT_ONCE = 256 };

gm_status gm_expert_parse(gm_expert_view *view, const char *text, const gm_trace_info *info,
                          gm_error *err)
{
    char layer_text[24] = "";
    const char *colon = strchr(text, ':');
    int64_t layer = 0, expert = 0;
    *view = (gm_expert_view){0};
    if (colon != NULL && (size_t)(colon - text) < sizeof layer_text)
        memcpy(layer_text, text, (size_t)(colon - text));
    if (colon == NULL || !gm_parse_i64(layer_text, &layer) || !gm_parse_i64(colon + 1, &expert))
        return gm_fail(err, GM_EARG, "--expert '%s': expected LAYER:ID", text);
    if (expert < 0 || expert >= info->n_experts)
        return gm_fail(err, GM_EARG, "--expert '%s': experts are 0 to %d", text,
                       info->n_experts - 1);
    view->e = (size_t)expert;
    for (int l = 0; l < info->n_layers; l++) {
        view->l = (size_t)l;
        if (info->layer_of_moe[l] == layer) return GM_OK;
    }
    return gm_fail(err, GM_EARG, "--expert '%s': MoE layers are %d to %d", text,
                   info->layer_of_moe[0], info->layer_of_moe[info->n_layers - 1]);
}

void gm_expert_clear(gm_expert_view *view)
{
    gm_free(view->row);
    gm_free(view->document);
    gm_free(view->share);
    *view = (gm_expert_view){0};
}

/* Put document d in its place among the `top` best, from the end. */
static void offer(gm_expert_view *v, size_t top, size_t d, double share)
{
    if (!(share > 0) || (v->n_documents == top && !(share > v->share[top - 1]))) return;
    size_t at = v->n_documents < top ? v->n_documents++ : top - 1;
    for (; at > 0 && v->share[at - 1] < share; at--) {
        v->share[at] = v->share[at - 1];
        v->document[at] = v->document[at - 1];
    }
    v->share[at] = share;
    v->document[at] = d;
}

static gm_status view_init(gm_expert_view *v, size_t top, const gm_stats *s, gm_error *err)
{
    v->row = gm_alloc(top, sizeof *v->row);
    v->document = gm_alloc(top, sizeof *v->document);
    v->share = gm_alloc(top, sizeof *v->share);
    if (!v->row || !v->document || !v->share)
        return gm_fail(err, GM_EMEM, "no memory for %zu documents", top);
    if (s->has_tokens) v->n_rows = gm_token_best(&s->by_token, v->l, v->e, top, v->row);
    return GM_OK;
}

gm_status gm_expert_find(gm_expert_view *view, size_t n, size_t top, const gm_stats *s,
                         gm_trace *trace, gm_error *err)
{
    gm_status status = GM_OK;
    size_t N = s->samples->n, LE = s->L * s->E;
    uint32_t *counts = gm_alloc2(DOCUMENTS_AT_ONCE, LE, sizeof *counts);
    if (counts == NULL) GM_FAIL(GM_EMEM, "no memory for %d documents", DOCUMENTS_AT_ONCE);
    for (size_t i = 0; i < n; i++) GM_TRY(view_init(&view[i], top, s, err));
    for (size_t first = 0; top > 0 && first < N; first += DOCUMENTS_AT_ONCE) {
        size_t here = N - first < DOCUMENTS_AT_ONCE ? N - first : DOCUMENTS_AT_ONCE;
        if (gm_interrupted()) GM_FAIL(GM_EINTERRUPTED, "interrupted");
        GM_TRY(gm_trace_read_counts(trace, first, here, counts, err));
        for (size_t d = first; d < first + here; d++) {
            double tokens = (double)s->samples->n_tokens[d] - (double)s->samples->bad[d];
            for (size_t i = 0; tokens > 0 && i < n; i++) {
                uint32_t chose = counts[(d - first) * LE + view[i].l * s->E + view[i].e];
                offer(&view[i], top, d, (double)chose / tokens);
            }
        }
    }
out:
    gm_free(counts);
    return status;
}

/* ---- saying it ---- */

/* What is said of a token: how often it stands there, and how often it met the expert. */
typedef struct token_line {
    uint32_t id;
    uint64_t tokens, chose;
    double share, lift;   /* P(e | id); over P(e) */
    const char *spelling; /* not ended by NUL; NULL: not known */
    size_t n;
} token_line;

static token_line line_of(const gm_expert_view *v, size_t i, const gm_stats *s,
                          const gm_tokenizer *tokenizer)
{
    const gm_token_counts *c = &s->by_token;
    size_t r = v->row[i];
    token_line line = {.id = c->token_id[r],
                       .tokens = gm_token_row(c, v->l, r),
                       .chose = c->count[(v->l * (c->R + 1) + r) * c->E + v->e]};
    double overall = (double)s->all[v->l * s->E + v->e] / (double)s->n_tokens;
    line.share = (double)line.chose / (double)line.tokens;
    line.lift = line.share / overall;
    if (tokenizer) line.spelling = gm_tokenizer_spelling(tokenizer, line.id, &line.n);
    return line;
}

void gm_expert_put(const gm_expert_view *v, const gm_stats *s, const gm_tokenizer *tokenizer,
                   gm_json_out *out)
{
    gm_json_open_object(out, NULL);
    gm_json_put_i64(out, "layer", s->info->layer_of_moe[v->l]);
    gm_json_put_u64(out, "expert", v->e);
    gm_json_open_array(out, "tokens");
    for (size_t i = 0; i < v->n_rows; i++) {
        token_line line = line_of(v, i, s, tokenizer);
        gm_json_open_object(out, NULL);
        gm_json_put_u64(out, "id", line.id);
        if (line.spelling) gm_json_put_text(out, "spelling", line.spelling, line.n);
        gm_json_put_u64(out, "tokens", line.tokens);
        gm_json_put_u64(out, "chose", line.chose);
        gm_json_put_f64(out, "specialisation", line.share);
        gm_json_put_f64(out, "lift", line.lift);
        gm_json_close_object(out);
    }
    gm_json_close_array(out);
    gm_json_open_array(out, "documents");
    for (size_t i = 0; i < v->n_documents; i++) {
        size_t d = v->document[i];
        gm_json_open_object(out, NULL);
        gm_json_put_string(out, "id", s->samples->id[d]);
        gm_json_put_string(out, "subset", s->samples->subset_name[s->samples->subset[d]]);
        gm_json_put_f64(out, "share", v->share[i]);
        gm_json_close_object(out);
    }
    gm_json_close_array(out);
    gm_json_close_object(out);
}

void gm_expert_print(const gm_expert_view *v, const gm_stats *s, const gm_tokenizer *tokenizer)
{
    double overall = (double)s->all[v->l * s->E + v->e] / (double)s->n_tokens;
    printf("\nexpert %d:%zu, chosen by %.4f of the tokens\n", s->info->layer_of_moe[v->l], v->e,
           overall);
    if (v->n_rows > 0) printf("   token id    tokens     chose  P(e|id)    lift  spelling\n");
    for (size_t i = 0; i < v->n_rows; i++) {
        token_line line = line_of(v, i, s, tokenizer);
        char spelling[64] = "-";
        if (line.spelling)
            snprintf(spelling, sizeof spelling, "%.*s", (int)(line.n < 60 ? line.n : 60),
                     line.spelling);
        printf("  %9u %9" PRIu64 " %9" PRIu64 " %8.4f %7.2f  ", line.id, line.tokens, line.chose,
               line.share, line.lift);
        gm_print_text(stdout, 0, spelling);
        putchar('\n');
    }
    if (v->n_documents > 0) printf("     share  document\n");
    for (size_t i = 0; i < v->n_documents; i++) {
        size_t d = v->document[i];
        printf("  %8.4f  ", v->share[i]);
        gm_print_text(stdout, 32, s->samples->id[d]);
        putchar(' ');
        gm_print_text(stdout, 0, s->samples->subset_name[s->samples->subset[d]]);
        putchar('\n');
    }
}
