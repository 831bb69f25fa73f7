/* compare.c - gm-cluster compare: an atlas beside another of the same documents, or beside groups
 * of somebody else's.
 */
#include "base/cli.h"
#include "base/json.h"
#include "cluster/cluster_commands.h"
#include "cluster/cluster_verdict.h"
#include "cluster/counterpart.h"
#include "cluster/from_atlas.h"
#include "cluster/atlas_selection.h"
#include "cluster/profile.h"
#include "cluster/summary.h"
#include "formats/shape.h"
#include "text/terminal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char details[] =
    "OTHER is an atlas (another seed, sample, --doc-tokens, metric or checkpoint), or a .csv\n"
    "with a column of groups (your own clusters of the same documents, or labels), as\n"
    "gm-cluster export, assign and matrix write it. Documents are matched by their text;\n"
    "those of a .csv by its column sha, else id, else row (the place in the atlas, from 0).\n"
    "\n"
    "  ARI, AMI: agreement over the documents of both; 1: the same groups, 0: chance.\n"
    "  Jaccard: of the documents in a cluster or its counterpart, the share that is in both.\n"
    "  moved: share of a layer's choices that is on other experts (of the sum of its gates,\n"
    "    if both have gates).\n"
    "  profile: correlation of the usage of a cluster and of its counterpart, each less its\n"
    "    corpus's; for a layer, the mean over clusters.\n"
    "  experts: important experts of both, of this cluster, of the counterpart.\n"
    "\n"
    "Experts are compared by number, in the layers that both atlases have (fit --layers), if\n"
    "both models have the same sizes and both atlases count choices or both sum gates (fit\n"
    "--usage). Each atlas's usage is that of its own documents.\n"
    "  gm-cluster compare run.atlas.h5 seed43.atlas.h5\n"
    "  gm-cluster compare base.atlas.h5 instruct.atlas.h5 --json\n"
    "  gm-cluster compare run.atlas.h5 mine.csv --column topic\n";

/* Profiles of an atlas's clusters in the layers of both. */
typedef struct profiles {
    float *usage;       /* (C,M,E) */
    float *corpus;      /* (M,E) */
    uint8_t *important; /* (C,M,E) */
} profiles;

/* What is compared. */
typedef struct comparison {
    const char *path[2];
    gm_text part[2];         /* a sentence, of an atlas of a part of its trace */
    gm_atlas *atlas, *other; /* other NULL: a table */
    gm_csv table;
    gm_grouping first, second;
    gm_side_by_side s;
    bool same_sizes;        /* of two atlases' models */
    gm_usage_kind usage[2]; /* of the atlases, where they are */
    bool by_expert;         /* sizes and what usage is are the same, and M > 0 */
    int n_layers;           /* M layers of both atlases, if they are of the same sizes */
    const int *layer;       /* (M) the model's numbers, in the arena */
    profiles of[2];         /* if by_expert */
    gm_arena arena;
} comparison;

/* ---- experts ---- */

static bool same_list(const int *a, int n_a, const int *b, int n_b)
{
    return n_a == n_b && memcmp(a, b, (size_t)n_a * sizeof *a) == 0;
}

/* Have their traces the same layers, or they themselves? */
static bool same_sizes(const gm_atlas *a, const gm_atlas *b)
{
    return b && a->n_experts == b->n_experts &&
           (same_list(a->trace_layer, a->n_trace_layers, b->trace_layer, b->n_trace_layers) ||
            same_list(a->layer_of_moe, a->n_layers, b->layer_of_moe, b->n_layers));
}

static gm_status find_layers(comparison *c, gm_error *err)
{
    const gm_atlas *a = c->atlas, *b = c->other;
    int *layer = gm_arena_alloc(&c->arena, (size_t)a->n_layers, sizeof *layer);
    if (layer == NULL) return gm_fail(err, GM_EMEM, "no memory for %d layers", a->n_layers);
    for (int l = 0; l < a->n_layers; l++)
        if (gm_find_layer(b->layer_of_moe, b->n_layers, a->layer_of_moe[l]) >= 0)
            layer[c->n_layers++] = a->layer_of_moe[l];
    c->layer = layer;
    return GM_OK;
}

/* Rows of the layers of both from an atlas's array (n,L,E) of items, to (n,M,E). */
static void take_layers(void *out, const void *of_atlas, size_t n, size_t item, const comparison *c,
                        const gm_atlas *atlas)
{
    const size_t row = (size_t)atlas->n_experts * item, L = (size_t)atlas->n_layers;
    uint8_t *to = out;
    for (size_t i = 0; i < n; i++)
        for (int l = 0; l < c->n_layers; l++, to += row) {
            const int at = gm_find_layer(atlas->layer_of_moe, atlas->n_layers, c->layer[l]);
            memcpy(to, (const uint8_t *)of_atlas + (i * L + (size_t)at) * row, row);
        }
}

static gm_status take_profiles(profiles *out, comparison *c, const gm_atlas *atlas, gm_error *err)
{
    const size_t C = atlas->n_clusters, dim = (size_t)c->n_layers * (size_t)atlas->n_experts;
    out->usage = gm_arena_alloc(&c->arena, C * dim, sizeof *out->usage);
    out->corpus = gm_arena_alloc(&c->arena, dim, sizeof *out->corpus);
    out->important = gm_arena_alloc(&c->arena, C * dim, sizeof *out->important);
    if (!out->usage || !out->corpus || !out->important)
        return gm_fail(err, GM_EMEM, "no memory for the profiles of %zu clusters", C);
    take_layers(out->usage, atlas->usage, C, sizeof *out->usage, c, atlas);
    take_layers(out->corpus, atlas->corpus_usage, 1, sizeof *out->corpus, c, atlas);
    take_layers(out->important, atlas->important, C, sizeof *out->important, c, atlas);
    return GM_OK;
}

/* Half the sum of differences of the shares that experts have of a layer's choices, or of the sum
 * of their gates. */
static double moved(const comparison *c, size_t layer)
{
    const size_t E = (size_t)c->atlas->n_experts;
    const float *p = c->of[0].corpus + layer * E, *q = c->of[1].corpus + layer * E;
    double sum[2] = {0}, differences = 0;
    for (size_t e = 0; e < E; e++) sum[0] += (double)p[e], sum[1] += (double)q[e];
    for (size_t e = 0; e < E; e++)
        differences += fabs((double)p[e] / sum[0] - (double)q[e] / sum[1]);
    return differences / 2;
}

/* Correlation of a cluster's profile with its counterpart's, over layers [first, first + n). */
static double profile(const comparison *c, size_t cluster, size_t first, size_t n)
{
    const int32_t counterpart = c->s.of_first[cluster].group;
    const size_t E = (size_t)c->atlas->n_experts, dim = (size_t)c->n_layers * E, at = first * E;
    if (counterpart < 0) return NAN;
    return gm_profile_correlation(c->of[0].usage + cluster * dim + at, c->of[0].corpus + at,
                                  c->of[1].usage + (size_t)counterpart * dim + at,
                                  c->of[1].corpus + at, n * E);
}

/* The mean over clusters that have one. */
static double layer_profile(const comparison *c, size_t layer)
{
    double sum = 0;
    size_t n = 0;
    for (size_t g = 0; g < c->atlas->n_clusters; g++) {
        double r = profile(c, g, layer, 1);
        if (isnan(r)) continue;
        sum += r;
        n++;
    }
    return n > 0 ? sum / (double)n : (double)NAN;
}

typedef struct expert_counts {
    size_t both, here, there; /* important experts */
} expert_counts;

static expert_counts count_experts(const comparison *c, size_t cluster)
{
    const int32_t counterpart = c->s.of_first[cluster].group;
    const size_t dim = (size_t)c->n_layers * (size_t)c->atlas->n_experts;
    const uint8_t *here = c->of[0].important + cluster * dim;
    const uint8_t *there = counterpart < 0 ? NULL : c->of[1].important + (size_t)counterpart * dim;
    expert_counts n = {0};
    for (size_t i = 0; i < dim; i++) {
        n.here += here[i];
        if (there) n.there += there[i], n.both += here[i] && there[i];
    }
    return n;
}

/* ---- for people ---- */

static void print_figure(const char *before, double value)
{
    if (isnan(value))
        printf("%s%7s", before, "-");
    else
        printf("%s%7.3f", before, value);
}

static void print_side(const comparison *c, int side)
{
    const gm_atlas *atlas = side == 0 ? c->atlas : c->other;
    const gm_grouping *g = side == 0 ? &c->first : &c->second;
    gm_print_text(stdout, 0, c->path[side]);
    fputs(": ", stdout);
    if (atlas) gm_print_text(stdout, 0, atlas->model), fputs(", ", stdout);
    printf("%zu document%s, %zu %s%s; of those in both %zu (%.1f %%) in none\n", g->n,
           gm_plural(g->n), g->n_groups, atlas ? "cluster" : "group", gm_plural(g->n_groups),
           c->s.n_none[side], 100.0 * (double)c->s.n_none[side] / (double)c->s.n_both);
    if (c->part[side].n > 0) gm_print_text(stdout, 0, c->part[side].at), putchar('\n');
}

static void print_agreement(const comparison *c)
{
    size_t n_again = 0, n_doubt = 0, n_known = 0;
    for (size_t g = 0; g < c->first.n_groups; g++) {
        const double jaccard = c->s.of_first[g].jaccard;
        if (isnan(jaccard)) continue;
        n_known++;
        n_again += gm_threshold_judge("seed_jaccard", jaccard) == GM_VERDICT_TRUST;
        n_doubt += gm_threshold_judge("seed_jaccard", jaccard) == GM_VERDICT_DOUBT;
    }
    const gm_threshold *t = gm_threshold_find("seed_jaccard");
    printf("%zu document%s in both, %zu only in the first, %zu only in the second\n\n", c->s.n_both,
           gm_plural(c->s.n_both), c->s.n_alone[0], c->s.n_alone[1]);
    printf("%22s %10s %7s %7s\n", "", "documents", "ARI", "AMI");
    printf("%-22s %10zu", "all, none as a group", c->s.n_both);
    print_figure(" ", c->s.all.ari), print_figure(" ", c->s.all.ami);
    printf("\n%-22s %10zu", "in a group in both", c->s.n_grouped);
    print_figure(" ", c->s.grouped.ari), print_figure(" ", c->s.grouped.ami);
    printf("\nof %zu cluster%s %zu come%s back (Jaccard %.2f or more), %zu do%s not (below %.2f)\n",
           n_known, gm_plural(n_known), n_again, n_again == 1 ? "s" : "", t->good, n_doubt,
           n_doubt == 1 ? "es" : "", t->poor);
}

static void print_layers(const comparison *c)
{
    static const char *const of_usage[] = {
        [GM_USAGE_COUNTS] = "counts choices", [GM_USAGE_GATES] = "sums gates"};
    if (c->same_sizes && c->usage[0] != c->usage[1])
        printf(
            "\nThe first atlas %s, the second %s, so they cannot be compared expert by expert.\n",
            of_usage[c->usage[0]], of_usage[c->usage[1]]);
    if (c->same_sizes && c->n_layers == 0)
        puts("\nNo layer is in both atlases, so they cannot be compared expert by expert.");
    if (!c->by_expert) return;
    if (c->usage[0] == GM_USAGE_GATES)
        puts("\nBoth atlases sum gates: moved is a share of that sum, not of choices.");
    if (strcmp(c->atlas->model_digest, c->other->model_digest) != 0)
        puts("\nThe two models differ, so a comparison expert by expert is meaningful only if one "
             "was trained from the other.");
    printf("\n%5s %7s %7s\n", "layer", "moved", "profile");
    for (size_t l = 0; l < (size_t)c->n_layers; l++) {
        printf("%5d", c->layer[l]);
        print_figure(" ", moved(c, l)), print_figure(" ", layer_profile(c, l));
        putchar('\n');
    }
}

/* What the other calls the counterpart, and how large it is: a cluster's number, a group's name. */
static void print_counterpart(const comparison *c, const gm_counterpart *m)
{
    const bool any = m->group >= 0;
    if (c->other && any)
        printf("%5d", m->group);
    else if (c->other)
        printf("%5s", "-");
    else
        gm_print_column(stdout, GM_SUBSET_CELLS, any ? c->second.name[m->group] : "-");
    if (any)
        printf(" %7zu", m->there);
    else
        printf(" %7s", "-");
    print_figure(" ", m->jaccard);
    print_figure(" ", any ? (double)m->both / (double)m->here : (double)NAN);
    print_figure(" ", any ? (double)m->both / (double)m->there : (double)NAN);
}

static void print_title(const gm_atlas *atlas, size_t cluster)
{
    char words[512];
    gm_cluster_title(atlas, cluster, 5, words, sizeof words);
    fputs(" | ", stdout);
    gm_print_text(stdout, 0, words);
}

static void print_clusters(const comparison *c)
{
    printf("\n%4s %7s | ", "id", "size");
    if (c->other)
        printf("%5s", "other");
    else
        printf("%-*s", GM_SUBSET_CELLS, "other");
    printf(" %7s %7s %7s %7s", "size", "jaccard", "of_this", "of_it");
    if (c->by_expert) printf(" %7s %11s", "profile", "experts");
    puts(c->other ? " | keywords | of the other" : " | keywords");
    for (size_t g = 0; g < c->first.n_groups; g++) {
        const gm_counterpart *m = &c->s.of_first[g];
        printf("%4zu %7zu | ", g, m->here);
        print_counterpart(c, m);
        if (c->by_expert) {
            const expert_counts n = count_experts(c, g);
            print_figure(" ", profile(c, g, 0, (size_t)c->n_layers));
            printf(" %3zu/%3zu/%3zu", n.both, n.here, n.there);
        }
        print_title(c->atlas, g);
        if (c->other && m->group >= 0) print_title(c->other, (size_t)m->group);
        putchar('\n');
    }
}

/* ---- JSON ---- */

static const char *const usage_name[] = {[GM_USAGE_COUNTS] = "counts", [GM_USAGE_GATES] = "gates"};

static void put_side(gm_json_out *out, const char *key, const comparison *c, int side)
{
    const gm_atlas *atlas = side == 0 ? c->atlas : c->other;
    const gm_grouping *g = side == 0 ? &c->first : &c->second;
    gm_json_open_object(out, key);
    gm_json_put_string(out, "file", c->path[side]);
    gm_json_put_string(out, "digest", atlas ? atlas->digest : c->table.sha256);
    gm_json_put_string(out, "model", atlas ? atlas->model : NULL);
    gm_json_put_string(out, "model_digest", atlas ? atlas->model_digest : NULL);
    gm_json_put_string(out, "usage", atlas ? usage_name[c->usage[side]] : NULL);
    gm_json_put_u64(out, "documents", g->n);
    gm_json_put_u64(out, "documents_alone", c->s.n_alone[side]);
    gm_json_put_u64(out, "groups", g->n_groups);
    gm_json_put_u64(out, "in_none", c->s.n_none[side]);
    gm_json_close_object(out);
}

static void put_agreement(gm_json_out *out, const char *key, size_t n, const gm_agreement *a)
{
    gm_json_open_object(out, key);
    gm_json_put_u64(out, "documents", n);
    gm_json_put_f64(out, "ari", a->ari);
    gm_json_put_f64(out, "ami", a->ami);
    gm_json_put_f64(out, "nmi", a->nmi);
    gm_json_put_f64(out, "homogeneity", a->homogeneity);
    gm_json_put_f64(out, "completeness", a->completeness);
    gm_json_close_object(out);
}

static void put_cluster(gm_json_out *out, const comparison *c, size_t g)
{
    const gm_counterpart *m = &c->s.of_first[g];
    gm_json_open_object(out, NULL);
    gm_json_put_u64(out, "id", g);
    gm_json_put_u64(out, "size", m->here);
    if (c->other && m->group >= 0)
        gm_json_put_i64(out, "other", m->group);
    else
        gm_json_put_string(out, "other", m->group < 0 ? NULL : c->second.name[m->group]);
    gm_json_put_u64(out, "other_size", m->there);
    gm_json_put_u64(out, "both", m->both);
    gm_json_put_f64(out, "jaccard", m->jaccard);
    if (c->by_expert) {
        const expert_counts n = count_experts(c, g);
        gm_json_put_f64(out, "profile", profile(c, g, 0, (size_t)c->n_layers));
        gm_json_put_u64(out, "experts", n.here);
        gm_json_put_u64(out, "other_experts", n.there);
        gm_json_put_u64(out, "experts_both", n.both);
    }
    gm_json_close_object(out);
}

static gm_status print_json(const comparison *c, gm_error *err)
{
    gm_json_out out = {0};
    gm_json_open_object(&out, NULL);
    put_side(&out, "first", c, 0);
    put_side(&out, "second", c, 1);
    gm_json_put_u64(&out, "documents_both", c->s.n_both);
    put_agreement(&out, "all", c->s.n_both, &c->s.all);
    put_agreement(&out, "grouped", c->s.n_grouped, &c->s.grouped);
    gm_json_open_array(&out, "layers");
    for (size_t l = 0; c->by_expert && l < (size_t)c->n_layers; l++) {
        gm_json_open_object(&out, NULL);
        gm_json_put_i64(&out, "layer", c->layer[l]);
        gm_json_put_f64(&out, "moved", moved(c, l));
        gm_json_put_f64(&out, "profile", layer_profile(c, l));
        gm_json_close_object(&out);
    }
    gm_json_close_array(&out);
    gm_json_open_array(&out, "clusters");
    for (size_t g = 0; g < c->first.n_groups; g++) put_cluster(&out, c, g);
    gm_json_close_array(&out);
    gm_json_close_object(&out);
    return gm_cli_print_json(&out, err);
}

/* ---- the command ---- */

static bool is_table(const char *path)
{
    return gm_ends_in(path, ".csv");
}

/* Read both sides and compare them. */
static gm_status compare(comparison *c, const char *column, gm_error *err)
{
    gm_status status = GM_OK;
    gm_key key = GM_KEY_SHA;
    GM_TRY(gm_atlas_open(&c->atlas, c->path[0], err));
    if (is_table(c->path[1])) {
        GM_TRY(gm_csv_read(&c->table, c->path[1], err));
        GM_TRY(gm_key_of_table(&key, &c->table, c->path[1], err));
        GM_TRY(gm_grouping_of_table(&c->second, &c->table, column, key, c->path[1], err));
    } else {
        GM_TRY(gm_atlas_open(&c->other, c->path[1], err));
        GM_TRY(gm_grouping_of_atlas(&c->second, c->other, key, err));
        GM_TRY(gm_from_atlas_usage(&c->usage[1], c->other, err));
    }
    GM_TRY(gm_atlas_selection_describe(&c->part[0], c->atlas, err));
    if (c->other) GM_TRY(gm_atlas_selection_describe(&c->part[1], c->other, err));
    GM_TRY(gm_grouping_of_atlas(&c->first, c->atlas, key, err));
    GM_TRY(gm_side_by_side_find(&c->s, &c->first, &c->second, err));
    GM_TRY(gm_from_atlas_usage(&c->usage[0], c->atlas, err));
    c->same_sizes = same_sizes(c->atlas, c->other);
    if (c->same_sizes) GM_TRY(find_layers(c, err));
    c->by_expert = c->n_layers > 0 && c->usage[0] == c->usage[1];
    if (!c->by_expert) goto out;
    GM_TRY(take_profiles(&c->of[0], c, c->atlas, err));
    GM_TRY(take_profiles(&c->of[1], c, c->other, err));
out:
    return status;
}

int gm_cluster_compare(int argc, char **argv)
{
    gm_status status = GM_OK;
    bool json = false, usage = true;
    const char *column = NULL;
    gm_error err = {0};
    comparison c = {0};
    const gm_opt opts[] = {
        {GM_OPT_TEXT, "column", &column, 0, 0, "NAME",
         "column of the .csv with the groups (without it: cluster)"},
        {GM_OPT_FLAG, "json", &json, 0, 0, NULL, "one JSON object on standard output"},
        {.kind = GM_OPT_END_},
    };
    GM_TRY(gm_opt_parse("gm-cluster compare ATLAS OTHER", details, opts, &argc, argv, &err));
    if (argc != 3)
        GM_TRY(gm_fail(&err, GM_EARG, "expected two files to compare, found %d", argc - 1));
    if (column && !is_table(argv[2]))
        GM_TRY(gm_fail(&err, GM_EARG, "--column is for a .csv file, which '%s' is not", argv[2]));
    usage = false;
    c.path[0] = argv[1];
    c.path[1] = argv[2];
    GM_TRY(compare(&c, column ? column : "cluster", &err));
    if (json) {
        GM_TRY(print_json(&c, &err));
        goto out;
    }
    print_side(&c, 0);
    print_side(&c, 1);
    print_agreement(&c);
    print_layers(&c);
    print_clusters(&c);
out:
    gm_side_by_side_clear(&c.s);
    gm_grouping_clear(&c.first);
    gm_grouping_clear(&c.second);
    gm_csv_clear(&c.table);
    gm_text_clear(&c.part[0]);
    gm_text_clear(&c.part[1]);
    gm_arena_clear(&c.arena);
    gm_atlas_close(c.atlas);
    gm_atlas_close(c.other);
    return gm_cli_end("gm-cluster", "compare", status, usage, &err);
}
