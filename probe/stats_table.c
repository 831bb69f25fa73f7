/* stats_table.c - what is counted of every expert, as a table for pandas or R: a row for each layer
 * and expert, first of all documents (no subset), then of each subset.
 *
 * rate is the share of tokens that chose the expert, lift, npmi and risk_difference compare a
 * subset's with those of all tokens (gm_domain_of); ean, reap and largest_norm, of all documents,
 * are those of stats_outputs.h. What is not defined is left empty.
 */
#include "base/cli.h"
#include "base/csv.h"
#include "probe/stats.h"

#include <inttypes.h>
#include <math.h>

static void put(FILE *to, double value)
{
    char text[32];
    fprintf(to, ",%s", isnan(value) ? "" : gm_show_exact(text, value));
}

static void put_outputs(FILE *to, const gm_outputs *o, size_t l, size_t e)
{
    put(to, gm_outputs_ean(o, l, e));
    put(to, gm_outputs_reap(o, l, e));
    put(to, o->sum[l * o->E + e].largest);
}

/* Expert e of layer l in a subset, or where this is S in all documents. */
static void put_row(FILE *to, const gm_stats *s, size_t subset, size_t l, size_t e)
{
    const bool all = subset == s->S;
    const uint64_t tokens = all ? s->n_tokens : s->tokens[subset];
    const uint64_t *choices = all ? s->all : s->choices + subset * s->L * s->E;
    gm_csv_put(to, all ? "" : s->samples->subset_name[subset]);
    fprintf(to, ",%" PRIu64 ",%d,%zu,%" PRIu64, tokens, s->info->layer_of_moe[l], e,
            choices[l * s->E + e]);
    if (all) {
        put(to, tokens ? (double)choices[l * s->E + e] / (double)tokens : NAN);
        fputs(",,,", to);
    } else {
        const gm_domain_measure m = gm_stats_domain(s, subset, l, e);
        put(to, m.specialisation);
        put(to, m.lift);
        put(to, m.npmi);
        put(to, m.risk_difference);
    }
    if (s->outputs.sum && all) put_outputs(to, &s->outputs, l, e);
    if (s->outputs.sum && !all) fputs(",,,", to);
    fputs("\r\n", to);
}

void gm_stats_write_table(const gm_stats *s, FILE *to)
{
    fprintf(to, "subset,tokens,layer,expert,choices,rate,lift,npmi,risk_difference%s\r\n",
            s->outputs.sum ? ",ean,reap,largest_norm" : "");
    for (size_t i = 0; i <= s->S; i++)
        for (size_t l = 0; l < s->L; l++)
            for (size_t e = 0; e < s->E; e++) put_row(to, s, i == 0 ? s->S : i - 1, l, e);
}
