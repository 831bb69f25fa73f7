/* stats_expert.c - the tokens and documents that single experts are about. */
#include "probe/stats_expert.h"

#include "base/text.h"
#include "formats/shape.h"
#include "probe/stats_documents.h"
#include "text/terminal.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

gm_status gm_expert_read(int64_t *layer, int64_t *expert, const char *text, gm_error *err)
{
    const char *colon = strchr(text, ':');
    if (colon && gm_parse_i64_n(text, (size_t)(colon - text), layer) &&
        gm_parse_i64(colon + 1, expert))
        return GM_OK;
    return gm_fail(err, GM_EARG, "--expert '%s': expected %s", text,
                   strchr(text, ',') ? "one LAYER:ID; repeat --expert" : "LAYER:ID");
}

gm_status gm_expert_parse(gm_expert_view *view, const char *text, const gm_trace_info *info,
                          gm_error *err)
{
    int64_t layer = 0, expert = 0;
    *view = (gm_expert_view){0};
    gm_status status = gm_expert_read(&layer, &expert, text, err);
    if (status != GM_OK) return status;
    if (expert < 0 || expert >= info->n_experts)
        return gm_fail(err, GM_EARG, "--expert '%s': expected an expert from 0 to %d", text,
                       info->n_experts - 1);
    const int row = gm_find_layer(info->layer_of_moe, info->n_layers, layer);
    if (row < 0)
        return gm_fail(err, GM_EARG, "--expert '%s': expected an MoE layer from %d to %d", text,
                       info->layer_of_moe[0], info->layer_of_moe[info->n_layers - 1]);
    view->l = (size_t)row;
    view->e = (size_t)expert;
    return GM_OK;
}

void gm_expert_clear(gm_expert_view *view)
{
    gm_best_clear(&view->rows);
    gm_best_clear(&view->documents);
    *view = (gm_expert_view){0};
}

typedef struct finding {
    gm_expert_view *view; /* (n) */
    size_t n;
    const gm_stats *stats;
} finding;

static void add_documents(void *context, size_t first, size_t n, const uint32_t *counts)
{
    finding *f = context;
    const gm_stats *s = f->stats;
    for (size_t d = first; d < first + n; d++, counts += s->L * s->E) {
        double tokens = (double)s->samples->n_tokens[d] - (double)s->samples->bad[d];
        for (size_t i = 0; tokens > 0 && i < f->n; i++) {
            gm_expert_view *v = &f->view[i];
            uint32_t chose = counts[v->l * s->E + v->e];
            if (chose > 0) gm_best_offer(&v->documents, d, (double)chose / tokens);
        }
    }
}

gm_status gm_expert_find(gm_expert_view *view, size_t n, size_t top, const gm_stats *s,
                         gm_trace *trace, gm_error *err)
{
    gm_status status = GM_OK;
    finding f = {.view = view, .n = n, .stats = s};
    for (size_t i = 0; i < n; i++) {
        gm_expert_view *v = &view[i];
        GM_TRY(gm_best_init(&v->rows, top, err));
        GM_TRY(gm_best_init(&v->documents, top, err));
        if (s->has_tokens) gm_token_best(&s->by_token, v->l, v->e, &v->rows);
    }
    if (top > 0) GM_TRY(gm_stats_for_documents(trace, add_documents, &f, err));
out:
    return status;
}

/* ---- saying it ---- */

gm_expert_token gm_expert_token_of(const gm_expert_view *v, size_t i, const gm_stats *s,
                                   const gm_tokenizer *tokenizer)
{
    const gm_token_counts *c = &s->by_token;
    size_t r = v->rows.at[i];
    gm_expert_token line = {.id = c->token_id[r],
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
    for (size_t i = 0; i < v->rows.n; i++) {
        gm_expert_token line = gm_expert_token_of(v, i, s, tokenizer);
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
    for (size_t i = 0; i < v->documents.n; i++) {
        size_t d = v->documents.at[i];
        gm_json_open_object(out, NULL);
        gm_json_put_string(out, "id", s->samples->id[d]);
        gm_json_put_string(out, "subset", s->samples->subset_name[s->samples->subset[d]]);
        gm_json_put_f64(out, "share", v->documents.value[i]);
        gm_json_close_object(out);
    }
    gm_json_close_array(out);
    gm_json_close_object(out);
}

void gm_expert_print(const gm_expert_view *v, const gm_stats *s, const gm_tokenizer *tokenizer)
{
    printf("\nexpert %d:%zu, chosen by ", s->info->layer_of_moe[v->l], v->e);
    if (s->n_tokens == 0)
        printf("none, since no token counts\n");
    else
        printf("%.4f of the tokens\n", (double)s->all[v->l * s->E + v->e] / (double)s->n_tokens);
    if (v->rows.n > 0)
        printf("   token id    tokens     chose  P(e|id)    lift  %s\n",
               tokenizer ? "spelling" : "spelling: give --model DIR");
    for (size_t i = 0; i < v->rows.n; i++) {
        gm_expert_token line = gm_expert_token_of(v, i, s, tokenizer);
        char spelling[64] = "-";
        size_t n = line.n < 60 ? line.n : 60;
        if (n < line.n) n -= gm_utf8_pending(line.spelling, n);
        if (line.spelling) snprintf(spelling, sizeof spelling, "%.*s", (int)n, line.spelling);
        printf("  %9u %9" PRIu64 " %9" PRIu64 " %8.4f %7.2f  ", line.id, line.tokens, line.chose,
               line.share, line.lift);
        gm_print_text(stdout, 0, spelling);
        putchar('\n');
    }
    if (v->documents.n > 0) printf("     share  document\n");
    for (size_t i = 0; i < v->documents.n; i++) {
        size_t d = v->documents.at[i];
        printf("  %8.4f  ", v->documents.value[i]);
        gm_print_text(stdout, 32, s->samples->id[d]);
        putchar(' ');
        gm_print_text(stdout, 0, s->samples->subset_name[s->samples->subset[d]]);
        putchar('\n');
    }
}
