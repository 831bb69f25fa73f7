/* against_page.c - how far two traces agree, as one HTML file: see stats_page.h. */
#include "base/outfile.h"
#include "figures/html.h"
#include "probe/stats_figures.h"
#include "probe/stats_page.h"

#include <inttypes.h>
#include <math.h>

#define N_OF(list) ((int)(sizeof(list) / sizeof *(list)))

static void put_agree(gm_html *h, const gm_against *a, const char *name, gm_agree g)
{
    double n = g.n > 0 ? (double)g.n : (double)NAN;
    gm_html_cell(h, name);
    gm_html_cell_number(h, (double)g.n, 0);
    gm_html_cell_number(h, (double)g.same_set / n, 5);
    gm_html_cell_number(h, (double)g.same_first / n, 5);
    gm_html_cell_number(h, (double)g.shared / (n * a->info->n_chosen), 5);
    gm_html_row_end(h);
}

static void put_loss(gm_html *h, const char *name, gm_loss loss)
{
    gm_html_cell(h, name);
    gm_html_cell_number(h, (double)loss.documents, 0);
    gm_html_cell_number(h, (double)loss.tokens, 0);
    gm_html_cell_number(h, loss.a, 4);
    gm_html_cell_number(h, loss.b, 4);
    gm_html_cell_number(h, loss.change, 4);
    gm_html_cell_number(h, loss.low, 4);
    gm_html_cell_number(h, loss.high, 4);
    gm_html_row_end(h);
}

static void put_losses(gm_html *h, const gm_against *a)
{
    static const char *const head[] = {"subset", "documents", "tokens", "first",
                                       "second", "change",    "from",   "to"};
    if (a->loss == NULL) return;
    gm_html_table_begin(h, "Loss, nats a token; the change with a 95 % interval over documents",
                        head, N_OF(head));
    put_loss(h, "all", gm_loss_of(a->loss, a->samples, -1));
    for (size_t s = 0; s < a->samples->n_subsets; s++) {
        gm_loss loss = gm_loss_of(a->loss, a->samples, (int64_t)s);
        if (loss.documents > 0) put_loss(h, a->samples->subset_name[s], loss);
    }
    gm_html_table_end(h);
}

gm_status gm_against_page_write(const gm_against *a, const gm_stats_page_options *o,
                                const char *path, gm_error *err)
{
    static const char *const head[] = {"where", "(token, layer) pairs", "all K are the same",
                                       "the strongest is the same", "share of K in common"};
    gm_status status = GM_OK;
    gm_html h = {0};
    gm_text png = {0}, command = {0};
    char name[48];
    size_t L = (size_t)a->info->n_layers;
    const bool margins = !a->info->no_margins;
    gm_html_begin(&h, o->trace, "agreement of two traces", "");
    gm_html_raw(&h, "<main>\n");
    gm_html_heading(&h, 1, "Agreement of two traces");
    gm_html_raw(&h, "<p>");
    gm_html_printf(&h,
                   "The first is %s, the second %s; model %s. %" PRIu64
                   " document%s in both, %" PRIu64 " only in the first; %" PRIu64
                   " token%s compared, %" PRIu64 " left out.",
                   o->trace, o->against, a->info->model, a->documents, gm_plural(a->documents),
                   a->alone, a->tokens, gm_plural(a->tokens), a->left);
    gm_html_raw(&h, "</p>\n");
    GM_TRY(gm_against_figure(a, &(gm_picture_target){.png = &png}, err));
    gm_html_picture(&h, &png, margins ? "Agreement by margin and by layer" : "Agreement by layer",
                    "Another kernel or precision changes choices with a small margin");
    gm_html_table_begin(&h, margins ? "By margin in the first trace, and by layer" : "By layer",
                        head, N_OF(head));
    put_agree(&h, a, "all", gm_against_sum(a, 0, L, -1));
    for (int b = 0; b < GM_MARGIN_BINS && margins; b++) {
        gm_agree g = gm_against_sum(a, 0, L, b);
        snprintf(name, sizeof name, "margin from %.4g",
                 b == 0 ? 0.0 : ldexp(1, b + GM_MARGIN_EXPONENT));
        if (g.n > 0) put_agree(&h, a, name, g);
    }
    for (size_t l = 0; l < L; l++) {
        snprintf(name, sizeof name, "layer %d", a->info->layer_of_moe[l]);
        put_agree(&h, a, name, gm_against_sum(a, l, 1, -1));
    }
    gm_html_table_end(&h);
    put_losses(&h, a);
    gm_html_raw(&h, "</main>\n");
    GM_TRY(gm_text_printf(&command, err, "gm-probe stats %s --against", o->trace));
    gm_html_footer(&h, command.at, o->against);
    GM_TRY(gm_html_end(&h, err));
    GM_TRY(gm_outfile_write(path, o->replace, h.text.at, h.text.n, err));
out:
    gm_text_clear(&command);
    gm_text_clear(&png);
    gm_html_clear(&h);
    return status;
}
