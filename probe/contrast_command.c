/* contrast_command.c - gm-probe contrast: two groups of documents, expert by expert: subsets of a
 * trace, or the same texts in two traces. */
#include "base/cli.h"
#include "base/json.h"
#include "base/outfile.h"
#include "base/progress.h"
#include "figures/figures.h"
#include "probe/contrast_groups.h"
#include "probe/probe_commands.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char SYNOPSIS[] =
    "gm-probe contrast TRACE --subset NAME... [--against NAME...] | --against-trace TRACE";
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
    "  next    lines 1 and 2, 3 and 4, ... of a file\n"
    "--against-trace compares the same texts in two traces, of another checkpoint, with another\n"
    "--doc-tokens or under a plan: which experts changed? Documents are matched by their text,\n"
    "and every difference is within a pair, the first trace less the second.\n"
    "  gm-probe contrast tuned.trace.h5 --against-trace base.trace.h5 -o tuned.csv\n"
    "By layer, moved is the share of choices that is on other experts (half the sum of the\n"
    "absolute differences, over K), and more and less count the experts that differ.\n";

static const double MAX_BIAS = 2; /* as a plan's log-ratio is clipped */

typedef struct contrast_options {
    gm_opt_list a, b;                 /* names of subsets */
    const char *other, *out, *figure; /* other: a trace */
    int64_t top, permutations, seed;
    double alpha;
    int paired; /* gm_pairing */
    bool force, json, quiet;
} contrast_options;

/* What was found, and by what it is told. */
typedef struct result {
    const contrast_options *options;
    gm_contrast_groups groups;
    gm_contrast_expert *expert; /* (L*E) */
    bool models_differ;         /* as far as both traces say which theirs is */
} result;

/* How far one layer differs. */
typedef struct layer_change {
    double moved;      /* share of its choices that is on other experts */
    size_t more, less; /* experts that differ, by the sign of the difference */
} layer_change;

/* ---- telling ---- */

static double bias_of(const gm_contrast_expert *e, double alpha)
{
    if (!(e->p <= alpha)) return 0;
    return fmax(-MAX_BIAS, fmin(MAX_BIAS, e->log_ratio));
}

static void write_csv(FILE *to, const result *r)
{
    const gm_contrast_groups *g = &r->groups;
    fputs("layer,expert,rate,rate_against,difference,low,high,t,p,log_ratio,bias\r\n", to);
    for (size_t j = 0; j < g->data.L * g->data.E; j++) {
        const gm_contrast_expert *e = &r->expert[j];
        fprintf(to, "%d,%zu,%.7g,%.7g,%.7g,%.7g,%.7g,%.7g,", g->info->layer_of_moe[j / g->data.E],
                j % g->data.E, e->rate_a, e->rate_b, e->difference, e->low, e->high, e->t);
        if (!isnan(e->p)) fprintf(to, "%.7g", e->p);
        fprintf(to, ",%.7g,%.7g\r\n", e->log_ratio, bias_of(e, r->options->alpha));
    }
}

static layer_change change_of(const result *r, size_t layer)
{
    const gm_contrast_data *d = &r->groups.data;
    layer_change change = {0};
    for (size_t e = 0; e < d->E; e++) {
        const gm_contrast_expert *x = &r->expert[layer * d->E + e];
        const bool differs = x->p <= r->options->alpha;
        change.moved += fabs(x->difference) / 2 / (double)d->K;
        change.more += differs && x->difference > 0;
        change.less += differs && x->difference < 0;
    }
    return change;
}

static size_t count_different(const result *r)
{
    const gm_contrast_data *d = &r->groups.data;
    size_t n = 0;
    for (size_t j = 0; j < d->L * d->E; j++) n += r->expert[j].p <= r->options->alpha;
    return n;
}

static void put_layers(const result *r, gm_json_out *out)
{
    gm_json_open_array(out, "layers");
    for (size_t l = 0; l < r->groups.data.L; l++) {
        const layer_change change = change_of(r, l);
        gm_json_open_object(out, NULL);
        gm_json_put_i64(out, "layer", r->groups.info->layer_of_moe[l]);
        gm_json_put_f64(out, "moved", change.moved);
        gm_json_put_u64(out, "more", change.more);
        gm_json_put_u64(out, "less", change.less);
        gm_json_close_object(out);
    }
    gm_json_close_array(out);
}

static void put_experts(const result *r, gm_json_out *out)
{
    const gm_contrast_groups *g = &r->groups;
    gm_json_open_array(out, "experts");
    for (size_t j = 0; j < g->data.L * g->data.E; j++) {
        const gm_contrast_expert *e = &r->expert[j];
        gm_json_open_object(out, NULL);
        gm_json_put_i64(out, "layer", g->info->layer_of_moe[j / g->data.E]);
        gm_json_put_u64(out, "expert", j % g->data.E);
        gm_json_put_f64(out, "rate", e->rate_a);
        gm_json_put_f64(out, "rate_against", e->rate_b);
        gm_json_put_f64(out, "difference", e->difference);
        gm_json_put_f64(out, "low", e->low);
        gm_json_put_f64(out, "high", e->high);
        gm_json_put_f64(out, "t", e->t);
        gm_json_put_f64(out, "p", e->p);
        gm_json_put_f64(out, "log_ratio", e->log_ratio);
        gm_json_put_f64(out, "bias", bias_of(e, r->options->alpha));
        gm_json_close_object(out);
    }
    gm_json_close_array(out);
}

static gm_status put_json(const result *r, gm_error *err)
{
    const gm_contrast_groups *g = &r->groups;
    gm_json_out out = {0};
    gm_json_open_object(&out, NULL);
    gm_json_put_u64(&out, "documents", g->n_a);
    gm_json_put_u64(&out, "documents_against", g->n_b);
    gm_json_put_u64(&out, "documents_left_out", g->n_left);
    if (g->data.pair) gm_json_put_u64(&out, "pairs", g->data.n_pairs);
    if (r->options->other) {
        gm_json_put_u64(&out, "only_first", g->n_alone[0]);
        gm_json_put_u64(&out, "only_second", g->n_alone[1]);
        gm_json_put_u64(&out, "copies", g->n_copies);
        gm_json_put_bool(&out, "models_differ", r->models_differ);
    }
    gm_json_put_i64(&out, "permutations", r->options->permutations);
    gm_json_put_f64(&out, "alpha", r->options->alpha);
    gm_json_put_u64(&out, "different", count_different(r));
    put_layers(r, &out);
    put_experts(r, &out);
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

static void print_expert(const result *r, const gm_contrast_expert *e)
{
    const gm_contrast_groups *g = &r->groups;
    const size_t j = (size_t)(e - r->expert);
    printf("%5d:%-6zu %7.4f %7.4f  %+.4f (%+.4f to %+.4f) %7.2f %8.2f",
           g->info->layer_of_moe[j / g->data.E], j % g->data.E, e->rate_a, e->rate_b, e->difference,
           e->low, e->high, exp(e->log_ratio), e->t);
    if (isnan(e->p))
        printf("        -\n");
    else
        printf("  %7.4f\n", e->p);
}

/* What was compared, and how many experts differ: one line. */
static void print_head(const result *r)
{
    const gm_contrast_groups *g = &r->groups;
    const contrast_options *o = r->options;
    const size_t alone = g->data.N - 2 * g->data.n_pairs;
    printf("%zu document%s against %zu", g->n_a, gm_plural(g->n_a), g->n_b);
    if (g->data.pair) printf(", %zu pair%s", g->data.n_pairs, gm_plural(g->data.n_pairs));
    if (g->data.pair && alone > 0) printf(" (%zu without a partner left out)", alone);
    if (g->n_left > 0) printf(", %zu without choices in some layer left out", g->n_left);
    if (o->permutations > 0)
        printf("; %zu of %zu experts differ: p <= %g over all of them, %" PRId64 " permutations",
               count_different(r), g->data.L * g->data.E, o->alpha, o->permutations);
    putchar('\n');
    if (o->other && g->n_alone[0] + g->n_alone[1] + g->n_copies > 0)
        printf("left out: %zu only in the first trace, %zu only in the second, %zu that repeat%s a "
               "text\n",
               g->n_alone[0], g->n_alone[1], g->n_copies, g->n_copies == 1 ? "s" : "");
    if (r->models_differ)
        puts("The two models differ, so a comparison expert by expert is meaningful only if one "
             "was trained from the other.");
}

static void print_layers(const result *r)
{
    printf("\nlayer   moved    more    less\n");
    for (size_t l = 0; l < r->groups.data.L; l++) {
        const layer_change change = change_of(r, l);
        printf("%5d %7.4f", r->groups.info->layer_of_moe[l], change.moved);
        if (r->options->permutations > 0)
            printf(" %7zu %7zu\n", change.more, change.less);
        else
            printf(" %7s %7s\n", "-", "-");
    }
}

static gm_status print_table(const result *r, gm_error *err)
{
    const size_t J = r->groups.data.L * r->groups.data.E, top = (size_t)r->options->top;
    size_t first = 0, last = 0; /* with more, with less */
    const gm_contrast_expert **order = gm_alloc(J, sizeof *order);
    if (order == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu experts", J);
    for (size_t j = 0; j < J; j++) order[j] = &r->expert[j];
    qsort(order, J, sizeof *order, by_t);
    while (first < J && first < top && order[first]->t > 0) first++;
    while (last < J && last < top && order[J - 1 - last]->t < 0) last++;
    print_head(r);
    printf("\nlayer:expert    rate against  difference (95 %% over %s   ratio        t        p\n",
           r->groups.data.pair ? "pairs)    " : "documents)");
    for (size_t i = 0; i < first; i++) print_expert(r, order[i]);
    if (first + last > 0 && first + last < J) printf("  ...\n");
    for (size_t i = J - last; i < J; i++) print_expert(r, order[i]);
    print_layers(r);
    gm_free(order);
    return GM_OK;
}

static gm_status find_groups(result *r, gm_trace *trace, gm_trace *other, gm_error *err)
{
    const contrast_options *o = r->options;
    if (other == NULL)
        return gm_contrast_groups_of_subsets(&r->groups, trace, &o->a, &o->b, (gm_pairing)o->paired,
                                             err);
    const char *model = gm_trace_get_info(trace)->model_digest;
    const char *model_of_other = gm_trace_get_info(other)->model_digest;
    r->models_differ = *model && *model_of_other && strcmp(model, model_of_other) != 0;
    if (*model == '\0' || *model_of_other == '\0')
        gm_warn("%s which model it is of, so nothing tells whether both are of one",
                *model            ? "the second trace does not say"
                : *model_of_other ? "the first trace does not say"
                                  : "neither trace says");
    return gm_contrast_groups_of_traces(&r->groups, trace, other, &o->a, err);
}

static void warn_of_few_pairs(const result *r)
{
    const size_t n = r->groups.data.n_pairs;
    if (r->groups.data.pair == NULL || r->options->permutations == 0 || n > 64) return;
    if (n < 2) return; /* refused */
    const double least =
        ldexp(2, -(int)n); /* one way and all signs reversed give the largest |t| */
    if (least > r->options->alpha)
        gm_warn("%zu pairs can be exchanged in so few ways that no p can be much below %.2g", n,
                least);
}

static gm_status contrast(const char *path, const contrast_options *o, gm_error *err)
{
    gm_status status = GM_OK;
    gm_trace *trace = NULL, *other = NULL;
    gm_outfile *file = NULL;
    result r = {.options = o};
    if (o->out) GM_TRY(gm_outfile_check(o->out, o->force, err));
    if (o->figure) GM_TRY(gm_picture_check(o->figure, o->force, err));
    GM_TRY(gm_trace_open(&trace, path, err));
    if (o->other) GM_TRY(gm_trace_open(&other, o->other, err));
    GM_TRY(find_groups(&r, trace, other, err));
    const size_t J = r.groups.data.L * r.groups.data.E;
    r.expert = gm_alloc(J, sizeof *r.expert);
    if (r.expert == NULL) GM_FAIL(GM_EMEM, "no memory for %zu experts", J);
    warn_of_few_pairs(&r);
    GM_TRY(gm_contrast_make(r.expert, &r.groups.data, (size_t)o->permutations, (uint64_t)o->seed,
                            o->quiet, err));
    if (o->out) {
        GM_TRY(gm_outfile_open(&file, o->out, o->force, err));
        write_csv(gm_outfile_stream(file), &r);
        status = gm_outfile_commit(file, err);
        file = NULL;
        if (status != GM_OK) goto out;
    }
    if (o->figure)
        GM_TRY(gm_contrast_figure(&r.groups, r.expert, o->alpha, o->figure, o->force, err));
    GM_TRY(o->json ? put_json(&r, err) : print_table(&r, err));
out:
    gm_outfile_abort(file);
    gm_free(r.expert);
    gm_contrast_groups_clear(&r.groups);
    gm_trace_close(trace);
    gm_trace_close(other);
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
        {GM_OPT_TEXT, "against-trace", &o.other, 0, 0, "TRACE",
         "compare the same texts in this trace; --subset: only those documents"},
        {GM_OPT_CHOICE, "paired", &o.paired, 0, 0, GM_PAIRING_CHOICES,
         "which documents of the two groups belong together"},
        {GM_OPT_TEXT, "o", &o.out, 0, 0, "FILE.csv", "table of every expert"},
        {GM_OPT_TEXT, "figure", &o.figure, 0, 0, "FILE",
         "heatmaps (.png or .svg) of the experts that differ"},
        {GM_OPT_I64, "top", &o.top, 0, 100000, "N",
         "most experts to print of those with more, and of those with less"},
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
    if (status == GM_OK && o.a.n == 0 && o.other == NULL)
        status = gm_fail(&err, GM_EARG, "--subset NAME or --against-trace TRACE is missing");
    if (status == GM_OK && o.other && (o.b.n > 0 || o.paired != GM_UNPAIRED))
        status = gm_fail(&err, GM_EARG,
                         "--against-trace pairs documents by their text, so it cannot "
                         "be combined with --against or --paired");
    const bool usage = status != GM_OK;
    if (!usage) {
        gm_catch_signals();
        status = contrast(argv[1], &o, &err);
    }
    gm_opt_list_clear(&o.a);
    gm_opt_list_clear(&o.b);
    return gm_cli_end("gm-probe", "contrast", status, usage, &err);
}
