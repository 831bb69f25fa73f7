/* contrast_command.c - gm-probe contrast: two groups of subsets of a trace, expert by expert. */
#include "base/cli.h"
#include "base/json.h"
#include "base/outfile.h"
#include "formats/find_subset.h"
#include "probe/contrast.h"
#include "probe/probe_commands.h"
#include "probe/pairs.h"
#include "probe/stats_documents.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char SYNOPSIS[] = "gm-probe contrast TRACE --subset NAME... [--against NAME...]";
static const char DETAILS[] =
    "An expert's rate in a document is the share of the document's tokens that choose it; a\n"
    "group's rate is the mean over its documents. The difference comes with a 95 % interval\n"
    "over documents and Welch's t. p holds for all layers and experts at once: it is how\n"
    "often the largest |t| of all experts is at least as large when the documents are\n"
    "shuffled between two groups of these sizes.\n"
    "  gm-probe contrast run.trace.h5 --subset code --against math -o code.csv\n"
    "  gm-steer plan --model DIR --import code.csv -o code.plan.safetensors\n"
    "The table is also a plan. Its column bias is the log of the ratio of the two rates,\n"
    "smoothed as a lift is and clipped to +-2, where p is at most --alpha, and 0 elsewhere.\n"
    "log_ratio has it for all experts.\n"
    "--paired is for two versions of the same texts, originals and translations say: the\n"
    "differences are those within pairs, and p comes from exchanging the two of a pair.\n"
    "Partners are\n"
    "  name    files of one name in two folders (en/7.txt, de/7.txt), or lines of such files\n"
    "  line    the same line of two files (good.jsonl, bad.jsonl)\n"
    "  next    lines 1 and 2, 3 and 4, ... of a file\n";

static const double MOST_BIAS = 2; /* as a plan's log-ratio is clipped */

typedef struct contrast_options {
    gm_opt_list a, b; /* names of subsets */
    const char *out;
    int64_t top, permutations, seed;
    double alpha;
    int paired; /* gm_pairing */
    bool force, json, quiet;
} contrast_options;

/* What is contrasted: the documents of either group that have choices in every layer. */
typedef struct groups {
    const gm_trace_info *info;
    const gm_trace_samples *samples;
    gm_contrast_data data;
    gm_contrast_expert *expert; /* (L*E) */
    uint8_t *side;              /* (subsets) 1: a, 2: b */
    const char **id;            /* (N) of documents of either group */
    uint32_t *pair;             /* (N/2,2) of data */
    size_t n_a, n_b, n_left;    /* documents; left out of either group */
} groups;

static void groups_clear(groups *g)
{
    gm_free(g->data.rate);
    gm_free(g->data.of_a);
    gm_free(g->expert);
    gm_free(g->side);
    gm_free(g->id);
    gm_free(g->pair);
}

/* Mark the subsets of a list; one that stands in both lists is refused. */
static gm_status mark(groups *g, const gm_opt_list *names, uint8_t side, gm_error *err)
{
    for (size_t i = 0; i < names->n; i++) {
        size_t at;
        gm_status status = gm_find_subset(&at, names->at[i], g->samples->subset_name,
                                          g->samples->n_subsets, "trace", err);
        if (status != GM_OK) return status;
        if (g->side[at] != 0 && g->side[at] != side)
            return gm_fail(err, GM_EARG, "subset '%s' is in both groups", names->at[i]);
        g->side[at] = side;
    }
    return GM_OK;
}

static gm_status groups_init(groups *g, gm_trace *trace, const contrast_options *o, gm_error *err)
{
    gm_status status = GM_OK;
    size_t n = 0;
    g->info = gm_trace_get_info(trace);
    g->samples = gm_trace_get_samples(trace);
    g->side = gm_alloc(g->samples->n_subsets, 1);
    if (g->side == NULL) GM_FAIL(GM_EMEM, "no memory for %zu subsets", g->samples->n_subsets);
    GM_TRY(mark(g, &o->a, 1, err));
    GM_TRY(mark(g, &o->b, 2, err));
    for (size_t s = 0; o->b.n == 0 && s < g->samples->n_subsets; s++)
        if (g->side[s] == 0) g->side[s] = 2;
    for (size_t i = 0; i < g->samples->n; i++) n += g->side[g->samples->subset[i]] != 0;
    g->data = (gm_contrast_data){.L = (size_t)g->info->n_layers,
                                 .E = (size_t)g->info->n_experts,
                                 .K = (size_t)g->info->n_chosen};
    const size_t J = g->data.L * g->data.E;
    g->data.rate = gm_alloc2(n, J, sizeof *g->data.rate);
    g->data.of_a = gm_alloc(n, 1);
    g->expert = gm_alloc(J, sizeof *g->expert);
    g->id = gm_alloc(n, sizeof *g->id);
    g->pair = gm_alloc2(n / 2, 2, sizeof *g->pair);
    if (!g->data.rate || !g->data.of_a || !g->expert || !g->id || !g->pair)
        GM_FAIL(GM_EMEM, "no memory for the rates of %zu documents, %zu experts each", n, J);
out:
    return status;
}

/* A gm_documents_taker: the rates of those that are in a group. */
static void take(void *context, size_t first, size_t n, const uint32_t *counts)
{
    groups *g = context;
    gm_contrast_data *d = &g->data;
    for (size_t i = 0; i < n; i++) {
        const uint8_t side = g->side[g->samples->subset[first + i]];
        const uint32_t *count = counts + i * d->L * d->E; /* (L,E) */
        float *rate = d->rate + d->N * d->L * d->E;       /* (L,E) */
        bool whole = true;
        if (side == 0) continue;
        for (size_t l = 0; l < d->L; l++) {
            uint64_t choices = 0;
            for (size_t e = 0; e < d->E; e++) choices += count[l * d->E + e];
            whole = whole && choices > 0;
            for (size_t e = 0; whole && e < d->E; e++)
                rate[l * d->E + e] =
                    (float)((double)(count[l * d->E + e] * d->K) / (double)choices);
        }
        if (!whole) {
            g->n_left++;
            continue;
        }
        g->id[d->N] = g->samples->id[first + i];
        d->of_a[d->N++] = side == 1;
        if (side == 1)
            g->n_a++;
        else
            g->n_b++;
    }
}

static gm_status find_pairs(groups *g, gm_pairing how, gm_error *err)
{
    if (how == GM_UNPAIRED) return GM_OK;
    g->data.pair = g->pair;
    return gm_pairs_find(g->pair, &g->data.n_pairs, g->id, g->data.of_a, g->data.N, how, err);
}

/* ---- telling ---- */

static double bias_of(const gm_contrast_expert *e, double alpha)
{
    if (!(e->p <= alpha)) return 0;
    return fmax(-MOST_BIAS, fmin(MOST_BIAS, e->log_ratio));
}

static void write_csv(FILE *to, const groups *g, double alpha)
{
    fputs("layer,expert,rate,rate_against,difference,low,high,t,p,log_ratio,bias\r\n", to);
    for (size_t j = 0; j < g->data.L * g->data.E; j++) {
        const gm_contrast_expert *e = &g->expert[j];
        fprintf(to, "%d,%zu,%.7g,%.7g,%.7g,%.7g,%.7g,%.7g,", g->info->layer_of_moe[j / g->data.E],
                j % g->data.E, e->rate_a, e->rate_b, e->difference, e->low, e->high, e->t);
        if (!isnan(e->p)) fprintf(to, "%.7g", e->p);
        fprintf(to, ",%.7g,%.7g\r\n", e->log_ratio, bias_of(e, alpha));
    }
}

static size_t count_different(const groups *g, double alpha)
{
    size_t n = 0;
    for (size_t j = 0; j < g->data.L * g->data.E; j++) n += g->expert[j].p <= alpha;
    return n;
}

static gm_status put_json(const groups *g, const contrast_options *o, gm_error *err)
{
    gm_json_out out = {0};
    gm_json_open_object(&out, NULL);
    gm_json_put_u64(&out, "documents", g->n_a);
    gm_json_put_u64(&out, "documents_against", g->n_b);
    gm_json_put_u64(&out, "documents_left_out", g->n_left);
    if (o->paired != GM_UNPAIRED) gm_json_put_u64(&out, "pairs", g->data.n_pairs);
    gm_json_put_i64(&out, "permutations", o->permutations);
    gm_json_put_f64(&out, "alpha", o->alpha);
    gm_json_put_u64(&out, "different", count_different(g, o->alpha));
    gm_json_open_array(&out, "experts");
    for (size_t j = 0; j < g->data.L * g->data.E; j++) {
        const gm_contrast_expert *e = &g->expert[j];
        gm_json_open_object(&out, NULL);
        gm_json_put_i64(&out, "layer", g->info->layer_of_moe[j / g->data.E]);
        gm_json_put_u64(&out, "expert", j % g->data.E);
        gm_json_put_f64(&out, "rate", e->rate_a);
        gm_json_put_f64(&out, "rate_against", e->rate_b);
        gm_json_put_f64(&out, "difference", e->difference);
        gm_json_put_f64(&out, "low", e->low);
        gm_json_put_f64(&out, "high", e->high);
        gm_json_put_f64(&out, "t", e->t);
        gm_json_put_f64(&out, "p", e->p);
        gm_json_put_f64(&out, "log_ratio", e->log_ratio);
        gm_json_put_f64(&out, "bias", bias_of(e, o->alpha));
        gm_json_close_object(&out);
    }
    gm_json_close_array(&out);
    gm_json_close_object(&out);
    return gm_cli_print_json(&out, err);
}

/* Largest t first; ties to the lower layer, then the lower id. */
static int by_t(const void *x, const void *y)
{
    const gm_contrast_expert *a = *(const gm_contrast_expert *const *)x,
                             *b = *(const gm_contrast_expert *const *)y;
    if (a->t != b->t) return a->t > b->t ? -1 : 1;
    return (a > b) - (a < b);
}

static void print_expert(const groups *g, const gm_contrast_expert *e)
{
    const size_t j = (size_t)(e - g->expert);
    printf("%5d:%-6zu %7.4f %7.4f  %+.4f (%+.4f to %+.4f) %7.2f %8.2f",
           g->info->layer_of_moe[j / g->data.E], j % g->data.E, e->rate_a, e->rate_b, e->difference,
           e->low, e->high, exp(e->log_ratio), e->t);
    if (isnan(e->p))
        printf("        -\n");
    else
        printf("  %7.4f\n", e->p);
}

static gm_status print_table(const groups *g, const contrast_options *o, gm_error *err)
{
    const size_t J = g->data.L * g->data.E;
    const size_t top = (size_t)o->top < J / 2 ? (size_t)o->top : J / 2;
    const gm_contrast_expert **order = gm_alloc(J, sizeof *order);
    if (order == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu experts", J);
    for (size_t j = 0; j < J; j++) order[j] = &g->expert[j];
    qsort(order, J, sizeof *order, by_t);
    printf("%zu document%s against %zu", g->n_a, gm_plural(g->n_a), g->n_b);
    if (o->paired != GM_UNPAIRED) {
        const size_t alone = g->data.N - 2 * g->data.n_pairs;
        printf(", %zu pair%s", g->data.n_pairs, gm_plural(g->data.n_pairs));
        if (alone > 0) printf(" (%zu without a partner left out)", alone);
    }
    if (g->n_left > 0) printf(", %zu without choices in some layer left out", g->n_left);
    if (o->permutations > 0)
        printf("; %zu of %zu experts differ: p <= %g over all of them, %" PRId64 " permutations",
               count_different(g, o->alpha), J, o->alpha, o->permutations);
    printf(
        "\n\nlayer:expert    rate against  difference (95 %% over %s   ratio        t        p\n",
        o->paired == GM_UNPAIRED ? "documents)" : "pairs)    ");
    for (size_t i = 0; i < top; i++) print_expert(g, order[i]);
    if (top > 0 && top < J / 2) printf("  ...\n");
    for (size_t i = J - top; i < J; i++) print_expert(g, order[i]);
    gm_free(order);
    return GM_OK;
}

static gm_status contrast(const char *path, const contrast_options *o, gm_error *err)
{
    gm_status status = GM_OK;
    gm_trace *trace = NULL;
    gm_outfile *file = NULL;
    groups g = {0};
    if (o->out) GM_TRY(gm_outfile_check(o->out, o->force, err));
    GM_TRY(gm_trace_open(&trace, path, err));
    GM_TRY(groups_init(&g, trace, o, err));
    GM_TRY(gm_stats_for_documents(trace, take, &g, err));
    GM_TRY(find_pairs(&g, (gm_pairing)o->paired, err));
    GM_TRY(gm_contrast_make(g.expert, &g.data, (size_t)o->permutations, (uint64_t)o->seed, o->quiet,
                            err));
    if (o->out) {
        GM_TRY(gm_outfile_open(&file, o->out, o->force, err));
        write_csv(gm_outfile_stream(file), &g, o->alpha);
        status = gm_outfile_commit(file, err);
        file = NULL;
        if (status != GM_OK) goto out;
    }
    GM_TRY(o->json ? put_json(&g, o, err) : print_table(&g, o, err));
out:
    gm_outfile_abort(file);
    groups_clear(&g);
    gm_trace_close(trace);
    return status;
}

int gm_probe_contrast(int argc, char **argv)
{
    gm_error err = {0};
    contrast_options o = {.top = 10, .permutations = 999, .seed = 1, .alpha = 0.05};
    const gm_opt opts[] = {
        {GM_OPT_LIST, "subset", &o.a, 0, 0, "NAME", "the group: documents of this subset"},
        {GM_OPT_LIST, "against", &o.b, 0, 0, "NAME",
         "the other group; without it, all other documents"},
        {GM_OPT_CHOICE, "paired", &o.paired, 0, 0, GM_PAIRING_CHOICES,
         "which documents of the two groups belong together"},
        {GM_OPT_TEXT, "o", &o.out, 0, 0, "FILE.csv", "table of every expert"},
        {GM_OPT_I64, "top", &o.top, 0, 100000, "N", "experts to print at each end"},
        {GM_OPT_F64, "alpha", &o.alpha, 0, 1, "P", "an expert differs if its p is at most this"},
        {GM_OPT_I64, "permutations", &o.permutations, 0, 1000000, "N",
         "permutations of the documents, for p; 0: no p"},
        {GM_OPT_I64, "seed", &o.seed, 0, 4294967295.0, "N", "seed of the permutations"},
        {GM_OPT_FLAG, "force", &o.force, 0, 0, NULL, "replace an existing file"},
        {GM_OPT_FLAG, "json", &o.json, 0, 0, NULL, "print one JSON object"},
        {GM_OPT_FLAG, "quiet", &o.quiet, 0, 0, NULL, "no progress on stderr"},
        {.kind = GM_OPT_END_}};
    gm_status status = gm_opt_parse(SYNOPSIS, DETAILS, opts, &argc, argv, &err);
    if (status == GM_OK && argc != 2)
        status = gm_fail(&err, GM_EARG, "expected one trace, found %d", argc - 1);
    if (status == GM_OK && o.a.n == 0) status = gm_fail(&err, GM_EARG, "--subset NAME is missing");
    const bool usage = status != GM_OK;
    if (!usage) {
        gm_catch_signals();
        status = contrast(argv[1], &o, &err);
    }
    gm_opt_list_clear(&o.a);
    gm_opt_list_clear(&o.b);
    return gm_cli_end("gm-probe", "contrast", status, usage, &err);
}
