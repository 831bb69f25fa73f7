/* comparison_page.c - a comparison as one HTML page: see comparison.h. */
#include "base/outfile.h"
#include "figures/shade.h"
#include "steer/comparison.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static const double LIMIT = 3; /* nats: the darkest shade, a factor of 20 */

enum { LONG_PROMPT = 60, PROMPT_END = 16 }; /* tokens */

/* What was fed since the last whole character: one piece of text, one or more tokens. */
typedef struct piece {
    gm_text text;
    size_t n_tokens;
    double plain, steered; /* ln p of all its tokens */
    bool given;
} piece;

/* Put it, or forget it. */
static void put_piece(gm_html *h, piece *p, bool shown)
{
    char note[128];
    const double shift = p->steered - p->plain;
    snprintf(note, sizeof note, "%+.2f nats: %.2g %% without the plan, %.2g %% with it", shift,
             100 * exp(p->plain), 100 * exp(p->steered));
    const gm_shaded_piece shaded = {.bytes = p->text.at,
                                    .n = p->text.n,
                                    .value = shift,
                                    .note = isnan(shift) ? NULL : note,
                                    .given = p->given};
    if (shown) gm_shade_piece(h, &shaded, LIMIT);
    p->text.n = p->n_tokens = 0;
    p->plain = p->steered = 0;
}

static void put_given(gm_html *h, const char *text)
{
    const gm_shaded_piece given = {
        .bytes = text, .n = strlen(text), .value = (double)NAN, .given = true};
    gm_shade_piece(h, &given, LIMIT);
}

/* Where the model goes on; an answer stands on a line of its own. */
static void put_turn(gm_html *h, const gm_continuation *c)
{
    if (c->n_closing > 0) put_given(h, "\n");
    gm_shade_spoken(h, " (here the model continues:) ");
}

/* Every token of a text but the template's, as far as characters are whole; of a long prompt the
 * end, unless it is to be `whole`. */
static gm_status put_tokens(gm_html *h, const gm_tokenizer *tokenizer, const gm_continuation *c,
                            const gm_reread *r, bool whole, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t from = whole || c->prompt.n < LONG_PROMPT ? 0 : c->prompt.n - PROMPT_END;
    gm_stream stream;
    piece p = {0};
    gm_stream_init(&stream, tokenizer, false);
    gm_shade_begin(h);
    if (from > 0) put_given(h, "\u2026");
    for (size_t t = c->n_template; t < r->n; t++) {
        const uint32_t id = gm_continuation_token(c, t);
        if (gm_continuation_phase(c, t) == GM_PHASE_TEMPLATE) continue;
        if (t == c->prompt.n) put_turn(h, c);
        if (p.n_tokens++ == 0) p.given = t < c->prompt.n;
        p.plain += (double)r->plain[t];
        p.steered += (double)r->steered[t];
        if (id < gm_tokenizer_size(tokenizer)) GM_TRY(gm_stream_add(&stream, id, &p.text, err));
        if (p.text.n > 0) put_piece(h, &p, t >= from);
    }
    GM_TRY(gm_stream_end(&stream, &p.text, err));
    if (p.text.n > 0) put_piece(h, &p, true);
out:
    gm_shade_end(h);
    gm_stream_clear(&stream);
    gm_text_clear(&p.text);
    return status;
}

/* Mean shift of tokens [from, to); NaN when none has one. */
static double mean_shift(const gm_reread *r, size_t from, size_t to)
{
    double sum = 0;
    size_t n = 0;
    for (size_t t = from; t < to; t++) {
        double shift = (double)r->steered[t] - (double)r->plain[t];
        if (isnan(shift)) continue;
        sum += shift;
        n++;
    }
    return n > 0 ? sum / (double)n : (double)NAN;
}

static void put_dose(gm_html *h, const gm_continuation *c)
{
    double dose = gm_continuation_dose(c);
    if (!isnan(dose)) gm_html_printf(h, "; dose %.0f %%", 100 * dose);
}

/* One text with a line about it. */
static gm_status put_text(gm_html *h, const gm_setup *setup, const gm_continuation *c,
                          const gm_reread *r, bool steered, gm_error *err)
{
    const char *name = steered ? "Written with the plan" : "Written without it";
    gm_html_raw(h, "<figure role=\"group\" aria-label=\"");
    gm_html_printf(h, "%s", name);
    gm_html_raw(h, "\"><figcaption><b>");
    gm_html_printf(h, "%s", name);
    gm_html_raw(h, "</b>");
    const double shift = mean_shift(r, r->n_prompt, r->n);
    gm_html_printf(h, ": %zu token%s", c->generated.n, gm_plural(c->generated.n));
    if (!isnan(shift)) gm_html_printf(h, ", whose mean shift with the plan is %+.2f nats", shift);
    put_dose(h, c);
    gm_html_raw(h, "</figcaption>");
    gm_status status = put_tokens(h, setup->tokenizer, c, r, steered, err);
    gm_html_raw(h, "</figure>\n");
    return status;
}

static gm_status put_column(gm_html *h, const gm_comparison *c, const gm_setup *setup,
                            size_t prompt, size_t column, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_continuation *text = gm_comparison_text(c, prompt, column, false); /* (2) */
    gm_reread read[2] = {0};
    GM_TRY(gm_comparison_reread(read, c, setup, prompt, column, err));
    gm_html_heading(h, 3, c->column[column].title);
    for (int steered = 1; steered >= 0; steered--)
        GM_TRY(put_text(h, setup, &text[steered], &read[steered], steered, err));
out:
    for (int k = 0; k < 2; k++) gm_reread_clear(&read[k]);
    return status;
}

static const char about[] =
    "Each prompt was continued with every plan and without one, with the same random draws. Both "
    "texts were then read again, token by token, with and without the plan. A token's shade is the "
    "change of its log-probability after the same words: orange if the plan makes it likelier, "
    "blue if less likely. Dotted underline: the prompt; a long one stands whole in the first text "
    "only. A character of several tokens has the sum "
    "of their changes. Dose: share of tokens and layers where an important expert of the plan was "
    "chosen.";

/* Which model, and how hard it is steered: a reader's first question. */
static void put_setting(gm_html *h, const gm_comparison *c, const gm_setup *setup)
{
    gm_html_raw(h, "<p>");
    gm_html_printf(h,
                   "%zu prompt%s, %zu plan%s at weight %g; model %s, temperature %g, seed %" PRId64
                   ", at most %" PRId64 " tokens a text.",
                   c->prompts.n, gm_plural(c->prompts.n), c->n_columns, gm_plural(c->n_columns),
                   c->weight, gm_path_name(setup->info->folder), setup->sampling.temperature,
                   setup->options->seed, setup->options->max_tokens);
    gm_html_raw(h, "</p>\n");
}

/* What would be needed to have the same again. */
static gm_status put_options(gm_html *h, const gm_comparison *c, const gm_setup *setup,
                             gm_error *err)
{
    gm_status status = GM_OK;
    gm_json_out json = {0};
    gm_json_open_object(&json, NULL);
    gm_setup_put(setup, &json);
    gm_json_open_array(&json, "plans");
    for (size_t i = 0; i < c->n_columns; i++)
        gm_json_put_raw(&json, NULL, c->column[i].plan.source);
    gm_json_close_array(&json);
    gm_json_close_object(&json);
    GM_TRY(gm_json_out_done(&json, err));
    gm_html_heading(h, 2, "How it was made");
    GM_TRY(gm_html_members(h, json.text.at, "the plans", NULL, err));
out:
    gm_text_clear(&json.text);
    return status;
}

gm_status gm_comparison_page(const gm_comparison *c, const gm_setup *setup, const char *path,
                             bool replace, gm_error *err)
{
    gm_status status = GM_OK;
    gm_html h = {0};
    gm_text css = {0};
    char title[32];
    GM_TRY(gm_shade_style(&css, err));
    gm_html_begin(&h, setup->info->folder, "what steering changes", css.at);
    gm_html_raw(&h, "<main>\n");
    gm_html_heading(&h, 1, "What steering changes");
    put_setting(&h, c, setup);
    gm_html_paragraph(&h, about);
    gm_shade_legend(&h, LIMIT, "nats: change of a token's log-probability");
    for (size_t p = 0; p < c->prompts.n; p++) {
        snprintf(title, sizeof title, "Prompt %zu", p + 1);
        gm_html_heading(&h, 2, title);
        gm_html_raw(&h, "<blockquote>");
        gm_html_text(&h, c->prompts.at[p].text, c->prompts.at[p].n);
        gm_html_raw(&h, "</blockquote>\n");
        for (size_t i = 0; i < c->n_columns; i++) GM_TRY(put_column(&h, c, setup, p, i, err));
    }
    GM_TRY(put_options(&h, c, setup, err));
    gm_html_raw(&h, "</main>\n");
    gm_html_footer(&h, "gm-steer compare", NULL);
    GM_TRY(gm_html_end(&h, err));
    GM_TRY(gm_outfile_write(path, replace, h.text.at, h.text.n, err));
out:
    gm_html_clear(&h);
    gm_text_clear(&css);
    return status;
}
