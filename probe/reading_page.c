/* reading_page.c - texts coloured by their experts, as a page: see reading_page.h. */
#include "probe/reading_page.h"

#include "base/json.h"
#include "base/sha256.h"
#include "probe/spelt_tokens.h"

#include <stdlib.h>
#include <string.h>

extern const gm_asset gm_asset_reading_script, gm_asset_reading_style, gm_asset_reading_tools;

enum { MARKUP_BYTES = 40 }; /* of a token's element and text */

size_t gm_reading_token_bytes(const gm_trace_info *info, size_t M)
{
    const size_t token = 4 + 4 + 1 + (info->has_nll ? 4 : 0);
    const size_t chosen = (size_t)info->n_chosen;
    const size_t layer = chosen * (info->no_gates ? 2 : 2 + 2) + (info->no_margins ? 0 : 2);
    return MARKUP_BYTES + (token + M * layer) * 4 / 3;
}

/* ---- what the script reads ---- */

/* The distinct ids, and how they are spelt. */
static gm_status put_vocabulary(gm_json_out *out, const gm_reading_page *p, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text spelling = {0};
    const size_t T = p->reading->T;
    size_t n = 0;
    uint32_t *id = gm_alloc(T, sizeof *id);
    if (id == NULL) GM_FAIL(GM_EMEM, "no memory for the ids of %zu tokens", T);
    if (T > 0) memcpy(id, p->reading->token, T * sizeof *id);
    qsort(id, T, sizeof *id, gm_ascending_u32);
    for (size_t t = 0; t < T; t++)
        if (n == 0 || id[n - 1] != id[t]) id[n++] = id[t];
    gm_json_open_array(out, "ids");
    for (size_t i = 0; i < n; i++) gm_json_put_u64(out, NULL, id[i]);
    gm_json_close_array(out);
    if (p->tokenizer == NULL) {
        gm_json_put_null(out, "spellings");
        goto out;
    }
    gm_json_open_array(out, "spellings");
    for (size_t i = 0; i < n; i++) {
        spelling.n = 0;
        GM_TRY(gm_spelt_token(&spelling, p->tokenizer, id[i], err));
        gm_json_put_text(out, NULL, spelling.n ? spelling.at : "", spelling.n);
    }
    gm_json_close_array(out);
out:
    gm_text_clear(&spelling);
    gm_free(id);
    return status;
}

static void put_passages(gm_json_out *out, const gm_reading_page *p)
{
    const gm_trace_samples *s = p->samples;
    size_t first = 0;
    char hex[65];
    gm_json_open_array(out, "passages");
    for (size_t i = 0; i < p->passages->n; first += p->passages->at[i++].n) {
        const gm_passage *from = &p->passages->at[i];
        gm_sha256_hex(s->sha + 32 * from->document, hex);
        gm_json_open_object(out, NULL);
        gm_json_put_string(out, "id", s->id[from->document]);
        gm_json_put_string(out, "subset", s->subset_name[s->subset[from->document]]);
        gm_json_put_string(out, "sha", hex);
        gm_json_put_u64(out, "first", first);
        gm_json_put_u64(out, "tokens", from->n);
        gm_json_put_i64(out, "hit", from->hit);
        gm_json_close_object(out);
    }
    gm_json_close_array(out);
}

static gm_status put_meta(gm_html *html, const gm_reading_page *p, gm_error *err)
{
    gm_status status = GM_OK;
    gm_json_out out = {0};
    gm_json_open_object(&out, NULL);
    gm_json_put_string(&out, "model", p->info->model);
    gm_json_put_u64(&out, "experts", p->reading->E);
    gm_json_put_u64(&out, "chosen", p->reading->K);
    gm_json_open_array(&out, "layers");
    for (size_t m = 0; m < p->reading->M; m++)
        gm_json_put_i64(&out, NULL, p->info->layer_of_moe[p->layer[m]]);
    gm_json_close_array(&out);
    if (p->by_expert) {
        gm_json_open_object(&out, "expert");
        gm_json_put_u64(&out, "layer", p->l);
        gm_json_put_u64(&out, "id", p->e);
        gm_json_close_object(&out);
    } else {
        gm_json_put_null(&out, "expert");
    }
    put_passages(&out, p);
    GM_TRY(put_vocabulary(&out, p, err));
    gm_json_close_object(&out);
    GM_TRY(gm_json_out_done(&out, err));
    gm_html_json(html, "meta", out.text.at);
out:
    gm_text_clear(&out.text);
    return status;
}

static void put_arrays(gm_html *html, const gm_reading *r)
{
    const size_t choices = r->M * r->T * r->K;
    gm_html_data(html, "token", r->token, r->T * sizeof *r->token);
    gm_html_data(html, "pos", r->pos, r->T * sizeof *r->pos);
    gm_html_data(html, "phase", r->phase, r->T);
    if (r->nll) gm_html_data(html, "nll", r->nll, r->T * sizeof *r->nll);
    gm_html_data(html, "expert", r->expert, choices * sizeof *r->expert);
    if (r->gate) gm_html_data(html, "gate", r->gate, choices * sizeof *r->gate);
    if (r->margin) gm_html_data(html, "margin", r->margin, r->M * r->T * sizeof *r->margin);
    gm_html_data(html, "corpus", r->corpus, r->M * r->E * sizeof *r->corpus);
}

/* ---- what people read ---- */

static void put_intro(gm_html *html, const gm_reading_page *p)
{
    gm_html_raw(html, "<header>\n");
    gm_html_heading(html, 1, "Texts by their experts");
    gm_html_raw(html, "<p>");
    gm_html_printf(
        html,
        "For every token, the router of %s chooses %zu of %zu experts in each of %d MoE layers. ",
        p->info->model, p->reading->K, p->reading->E, p->info->n_layers);
    gm_html_printf(html, "Shown: %zu text%s of %zu document%s, %zu token%s. ", p->passages->n,
                   gm_plural(p->passages->n), p->samples->n, gm_plural(p->samples->n),
                   p->reading->T, gm_plural(p->reading->T));
    if (p->tokenizer == NULL)
        gm_html_printf(html, "Tokens are shown as ids; gm-probe read --model DIR spells them out.");
    gm_html_raw(html, "</p>\n</header>\n");
}

/* What stands under a text's name. */
static void put_facts(gm_html *html, const gm_reading_page *p, const gm_passage *from)
{
    const gm_trace_samples *s = p->samples;
    const char *subset = s->subset_name[s->subset[from->document]];
    char hex[65];
    gm_sha256_hex(s->sha + 32 * from->document, hex);
    gm_html_raw(html, "<p class=\"facts\">");
    if (subset[0]) {
        gm_html_raw(html, "<bdi>"); /* may run from right to left, before a number */
        gm_html_text(html, subset, strlen(subset));
        gm_html_raw(html, "</bdi>, ");
    }
    gm_html_printf(html, "%zu token%s, sha %.12s", from->n, gm_plural(from->n), hex);
    if (p->by_expert && from->hit == GM_NO_HIT)
        gm_html_printf(html, "; %.1f %% of its tokens chose %d:%zu", 100 * from->value,
                       p->info->layer_of_moe[p->layer[p->l]], p->e);
    if (p->by_expert && from->hit != GM_NO_HIT)
        gm_html_printf(html, "; the gate of %d:%zu is %.4f at the framed token",
                       p->info->layer_of_moe[p->layer[p->l]], p->e, from->value);
    gm_html_raw(html, "</p>\n");
}

static gm_status put_passage(gm_html *html, const gm_reading_page *p, size_t i, size_t first,
                             gm_error *err)
{
    const gm_passage *from = &p->passages->at[i];
    const char *id = p->samples->id[from->document];
    char tag[64];
    snprintf(tag, sizeof tag, "<article id=\"text%zu\">\n<h2>", i);
    gm_html_raw(html, tag);
    gm_html_text(html, id, strlen(id));
    gm_html_raw(html, "</h2>\n");
    put_facts(html, p, from);
    gm_html_raw(html, "<div class=\"strip\"></div>\n<div class=\"");
    gm_html_raw(html, p->tokenizer ? "tokens" : "tokens ids");
    gm_html_raw(html, "\" dir=\"auto\" tabindex=\"0\" role=\"group\" aria-label=\"Tokens of ");
    gm_html_text(html, id, strlen(id));
    gm_html_raw(html, "\">");
    gm_status status = gm_spelt_tokens_put(html, p->tokenizer, p->reading->token + first,
                                           p->reading->phase + first, from->n, from->hit, err);
    gm_html_raw(html, "</div>\n</article>\n");
    return status;
}

gm_status gm_reading_page_put(gm_html *html, const gm_reading_page *p, gm_error *err)
{
    static const gm_asset *const script[] = {&gm_asset_reading_script};
    gm_status status = GM_OK;
    gm_html_begin_scripted(html, p->trace, "texts by their experts", &gm_asset_reading_style,
                           script, 1);
    put_intro(html, p);
    gm_html_asset(html, &gm_asset_reading_tools);
    gm_html_raw(html, "<main>\n");
    for (size_t i = 0, first = 0; i < p->passages->n; first += p->passages->at[i++].n)
        GM_TRY(put_passage(html, p, i, first, err));
    gm_html_raw(html, "</main>\n");
    gm_html_footer(html, "gm-probe read", p->trace);
    GM_TRY(put_meta(html, p, err));
    put_arrays(html, p->reading);
    gm_html_script(html, script[0]);
    GM_TRY(gm_html_end(html, err));
out:
    return status;
}
