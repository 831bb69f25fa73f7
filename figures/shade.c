/* shade.c - see shade.h. */
#include "figures/shade.h"

#include "figures/figures.h"

#include <math.h>

enum { HALF = 4, N_STEPS = 2 * HALF + 1 }; /* HALF is the middle step, without a shade */

static const char rules[] =
    ".shade{white-space:pre-wrap;overflow-wrap:anywhere;line-height:1.9;margin:.3rem 0 1rem;"
    "unicode-bidi:plaintext}"
    ".shade span,.scale span{border-radius:2px;padding:.1em 0}"
    ".shade span[title]:hover{outline:2px solid var(--ink)}"
    ".given{border-bottom:2px dotted var(--soft)}"
    ".spoken{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);"
    "user-select:none}"
    ".scale span{padding:.15em .5em}";

/* Where a value stands among the steps 0 to N_STEPS-1. */
static int step_of(double value, double limit)
{
    double part = value / limit;
    if (!(part > -1)) part = -1;
    if (part > 1) part = 1;
    return HALF + (int)lround(HALF * part);
}

static gm_status put_rules(gm_text *css, gm_rgb (*colour)(double), gm_error *err)
{
    gm_status status = GM_OK;
    for (int s = 0; s < N_STEPS; s++) {
        if (s == HALF) continue;
        gm_rgb paper = colour((double)(s - HALF) / HALF), ink = gm_colour_ink(paper);
        GM_TRY(gm_text_printf(css, err, ".d%d{background:#%02x%02x%02x;color:#%02x%02x%02x}", s,
                              paper.r, paper.g, paper.b, ink.r, ink.g, ink.b));
    }
out:
    return status;
}

gm_status gm_shade_style(gm_text *css, gm_error *err)
{
    gm_status status = GM_OK;
    GM_TRY(gm_text_add(css, rules, err));
    GM_TRY(put_rules(css, gm_colour_diverging, err));
    GM_TRY(gm_text_add(css, "@media(prefers-color-scheme:dark){", err));
    GM_TRY(put_rules(css, gm_colour_diverging_dark, err));
    GM_TRY(gm_text_add(css, "}", err));
out:
    return status;
}

void gm_shade_begin(gm_html *page)
{
    gm_html_raw(page, "<p class=\"shade\">");
}

void gm_shade_spoken(gm_html *page, const char *words)
{
    gm_html_raw(page, "<span class=\"spoken\">");
    gm_html_printf(page, "%s", words);
    gm_html_raw(page, "</span>");
}

void gm_shade_piece(gm_html *page, const gm_shaded_piece *piece, double limit)
{
    int step = isnan(piece->value) ? HALF : step_of(piece->value, limit);
    gm_html_raw(page, "<span class=\"");
    gm_html_printf(page, "d%d%s", step, piece->given ? " given" : "");
    gm_html_raw(page, "\"");
    if (piece->note) {
        gm_html_raw(page, " title=\"");
        gm_html_printf(page, "%s", piece->note);
        gm_html_raw(page, "\"");
    }
    gm_html_raw(page, ">");
    gm_html_text(page, piece->bytes, piece->n);
    if (fabs(piece->value) >= limit / 2) {
        char words[48];
        snprintf(words, sizeof words, " (%+.1f) ", piece->value);
        gm_shade_spoken(page, words);
    }
    gm_html_raw(page, "</span>");
}

void gm_shade_end(gm_html *page)
{
    gm_html_raw(page, "</p>\n");
}

void gm_shade_legend(gm_html *page, double limit, const char *unit)
{
    gm_html_raw(page, "<p class=\"scale\">");
    for (int s = 0; s < N_STEPS; s++) {
        const char *bound = s == 0 ? "\xE2\x89\xA4 " : s == N_STEPS - 1 ? "\xE2\x89\xA5 " : "";
        double value = limit * (s - HALF) / HALF;
        gm_html_raw(page, "<span class=\"");
        gm_html_printf(page, "d%d", s);
        gm_html_raw(page, "\">");
        gm_html_printf(page, s == HALF ? "%s%g" : "%s%+g", bound, value);
        gm_html_raw(page, "</span> ");
    }
    gm_html_printf(page, "%s", unit);
    gm_html_raw(page, "</p>\n");
}
