/* show.c - gm-cluster show: an atlas for people and for programs. */
#include "base/cli.h"
#include "base/json.h"
#include "cluster/cluster_commands.h"
#include "cluster/cluster_verdict.h"
#include "cluster/atlas_selection.h"
#include "cluster/profile.h"
#include "cluster/summary.h"
#include "text/terminal.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { TOP_IN_TABLE = 3, TOP_IN_DETAIL = 20, MEMBERS_IN_DETAIL = 10 };

/* ---- the table ---- */

static void print_experts(const gm_atlas *atlas, size_t cluster, size_t most)
{
    gm_top_expert top[TOP_IN_DETAIL];
    size_t n = gm_cluster_top_experts(atlas, cluster, top, most);
    if (n == 0) putchar('-');
    for (size_t i = 0; i < n; i++)
        printf("%s%d:%d (x%.1f)", i ? ", " : "", atlas->layer_of_moe[top[i].moe_layer],
               top[i].expert, (double)top[i].lift);
}

/* Nothing for a map of a whole trace. */
static gm_status print_part(const gm_atlas *atlas, gm_error *err)
{
    gm_text sentence = {0};
    gm_status status = gm_atlas_selection_describe(&sentence, atlas, err);
    if (status == GM_OK && sentence.n > 0) gm_print_text(stdout, 0, sentence.at), putchar('\n');
    gm_text_clear(&sentence);
    return status;
}

static gm_status print_table(const gm_atlas *atlas, gm_error *err)
{
    const char *note;
    size_t noise = gm_atlas_n_noise(atlas);
    gm_status status = gm_keywords_note(&note, atlas, err);
    if (status != GM_OK) return status;
    gm_print_text(stdout, 0, atlas->model);
    printf(", %d layer%s of %d experts, %d chosen\n", atlas->n_layers,
           gm_plural((uint64_t)atlas->n_layers), atlas->n_experts, atlas->n_chosen);
    printf("%zu document%s, %zu cluster%s, %zu document%s (%.1f %%) in none\n", atlas->n,
           gm_plural(atlas->n), atlas->n_clusters, gm_plural(atlas->n_clusters), noise,
           gm_plural(noise), atlas->n ? 100.0 * (double)noise / (double)atlas->n : 0.0);
    status = print_part(atlas, err);
    if (status != GM_OK) return status;
    if (note[0]) puts(note);
    putchar('\n');
    if (atlas->n_clusters == 0) return gm_verdict_print(stdout, atlas->quality, err);
    gm_cluster_print_heads();
    puts("  keywords | strongest experts, layer:expert (lift)");
    for (size_t c = 0; c < atlas->n_clusters; c++) {
        char keywords[512];
        double purity;
        int subset = gm_cluster_main_subset(atlas, c, &purity);
        gm_cluster_title(atlas, c, GM_N_KEYWORDS, keywords, sizeof keywords);
        gm_cluster_print_start(c, atlas->size[c], purity,
                               subset < 0 ? NULL : atlas->subset_name[subset]);
        fputs("  ", stdout);
        if (atlas->name[c][0]) gm_print_text(stdout, 0, atlas->name[c]), fputs(": ", stdout);
        gm_print_text(stdout, 0, keywords);
        fputs(" | ", stdout);
        print_experts(atlas, c, TOP_IN_TABLE);
        putchar('\n');
    }
    putchar('\n');
    return gm_verdict_print(stdout, atlas->quality, err);
}

/* ---- one cluster ---- */

/* The first word of a line below a heading. */
static void print_entry(const char *word)
{
    fputs("  ", stdout);
    gm_print_column(stdout, 30, word);
    putchar(' ');
}

/* How many of a cluster's documents are of a subset or in a language. */
typedef struct part {
    size_t group, n;
} part;

static int larger_first(const void *p, const void *q)
{
    const part *a = p, *b = q;
    if (a->n != b->n) return a->n > b->n ? -1 : 1;
    return (a->group > b->group) - (a->group < b->group);
}

static gm_status print_subsets(const gm_atlas *atlas, size_t cluster, gm_error *err)
{
    const size_t S = atlas->n_subsets;
    const uint32_t *count = atlas->subset_count + cluster * S; /* (S) */
    part *parts = gm_alloc(S, sizeof *parts);
    if (parts == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu subsets", S);
    for (size_t s = 0; s < S; s++) parts[s] = (part){s, count[s]};
    qsort(parts, S, sizeof *parts, larger_first);
    printf("subsets:\n");
    for (size_t i = 0; i < S && parts[i].n > 0; i++) {
        print_entry(atlas->subset_name[parts[i].group]);
        printf("%7zu  %5.1f %%\n", parts[i].n,
               100.0 * (double)parts[i].n / (double)atlas->size[cluster]);
    }
    gm_free(parts);
    return GM_OK;
}

/* What else its documents have in common, beside all documents: length and language. */
static gm_status print_confounds(const gm_atlas *atlas, size_t cluster, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_some all = {.n = atlas->n};
    gm_some own;
    gm_members members = {0};
    double own_median, median;
    const size_t n_languages = atlas->n_languages;
    size_t *here = gm_alloc(n_languages, sizeof *here);
    size_t *everywhere = gm_alloc(n_languages, sizeof *everywhere);
    part *parts = gm_alloc(n_languages, sizeof *parts);
    if (!here || !everywhere || !parts)
        GM_FAIL(GM_EMEM, "no memory for %zu languages", n_languages);
    GM_TRY(gm_members_find(&members, atlas->cluster, atlas->n, atlas->n_clusters, err));
    own = gm_some_of(&members, cluster);
    GM_TRY(gm_median_tokens(&own_median, atlas, own, err));
    GM_TRY(gm_median_tokens(&median, atlas, all, err));
    printf("tokens per document: median %.0f, over all documents %.0f\n", own_median, median);
    gm_count_languages(here, atlas, own);
    gm_count_languages(everywhere, atlas, all);
    for (size_t l = 0; l < n_languages; l++) parts[l] = (part){l, here[l]};
    qsort(parts, n_languages, sizeof *parts, larger_first);
    if (n_languages > 0) printf("languages:\n");
    for (size_t i = 0; i < n_languages && parts[i].n > 0; i++) {
        print_entry(atlas->language_name[parts[i].group]);
        printf("%7zu  %5.1f %%, of all documents %.1f %%\n", parts[i].n,
               100.0 * (double)parts[i].n / (double)own.n,
               100.0 * (double)everywhere[parts[i].group] / (double)atlas->n);
    }
out:
    gm_free(here);
    gm_free(everywhere);
    gm_free(parts);
    gm_members_clear(&members);
    return status;
}

/* Documents at the cluster's mean usage, or farthest from it; nothing where they are not known. */
static void print_examples(const gm_atlas *atlas, const uint32_t *example, const char *heading)
{
    if (example[0] == GM_ATLAS_NONE) return;
    printf("%s:\n", heading);
    for (size_t i = 0; i < GM_N_EXAMPLES && example[i] != GM_ATLAS_NONE; i++) {
        fputs("  ", stdout);
        gm_print_text(stdout, 0, atlas->id[example[i]]);
        putchar('\n');
    }
}

/* How far one cluster may be trusted; what is not known is left out. */
static void print_figures(const gm_atlas *atlas, size_t cluster)
{
    const struct {
        const char *name, *meaning;
        float value;
    } figure[] = {
        {"seed_jaccard", "comes back with other seeds", atlas->seed_jaccard[cluster]},
        {"half_jaccard", "comes back with half the documents", atlas->half_jaccard[cluster]},
        {"validity", "denser than the gaps around it (DBCV)", atlas->validity[cluster]},
        {"coherence", "keywords occur together (NPMI)", atlas->coherence[cluster]}};
    for (size_t i = 0; i < sizeof figure / sizeof figure[0]; i++)
        if (!isnan(figure[i].value))
            printf("  %-5s %6.3f  %s\n",
                   gm_verdict_name(gm_threshold_judge(figure[i].name, (double)figure[i].value)),
                   (double)figure[i].value, figure[i].meaning);
}

/* The members that are most certain, ties to the earlier document. */
static void print_members(const gm_atlas *atlas, size_t cluster)
{
    size_t best[MEMBERS_IN_DETAIL], n = 0;
    for (size_t i = 0; i < atlas->n; i++) {
        if (atlas->cluster[i] != (int32_t)cluster) continue;
        float p = atlas->probability[i];
        if (n == MEMBERS_IN_DETAIL && !(p > atlas->probability[best[n - 1]])) continue;
        size_t at = n < MEMBERS_IN_DETAIL ? n++ : n - 1;
        for (; at > 0 && p > atlas->probability[best[at - 1]]; at--) best[at] = best[at - 1];
        best[at] = i;
    }
    printf("most certain members:\n");
    for (size_t i = 0; i < n; i++) {
        printf("  %.3f  ", (double)atlas->probability[best[i]]);
        gm_print_text(stdout, 0, atlas->id[best[i]]);
        putchar('\n');
    }
}

static gm_status print_cluster(const gm_atlas *atlas, size_t cluster, gm_error *err)
{
    const size_t dim = (size_t)atlas->n_layers * (size_t)atlas->n_experts;
    gm_top_expert top[TOP_IN_DETAIL];
    printf("cluster %zu: %u document%s, stability %.3f, split-half correlation %.3f\n", cluster,
           atlas->size[cluster], gm_plural(atlas->size[cluster]), (double)atlas->stability[cluster],
           gm_profile_agreement(atlas->usage_half + 2 * cluster * dim, atlas->corpus_usage, dim));
    if (atlas->name[cluster][0]) {
        fputs("name: ", stdout);
        gm_print_text(stdout, 0, atlas->name[cluster]);
        putchar('\n');
    }
    print_figures(atlas, cluster);
    printf("keywords:\n");
    for (size_t k = cluster * GM_N_KEYWORDS; k < (cluster + 1) * GM_N_KEYWORDS; k++) {
        if (atlas->keyword[k][0] == '\0') continue;
        print_entry(atlas->keyword[k]);
        printf("%.4f\n", (double)atlas->keyword_score[k]);
    }
    gm_status status = print_subsets(atlas, cluster, err);
    if (status == GM_OK) status = print_confounds(atlas, cluster, err);
    if (status != GM_OK) return status;
    size_t n = gm_cluster_top_experts(atlas, cluster, top, TOP_IN_DETAIL);
    printf("important experts:\n  %5s %6s %7s  %s\n", "layer", "expert", "lift", "x uniform");
    if (n == 0)
        printf("  none: no expert's lift is %.2f or more in both halves of the documents\n",
               GM_LIFT_MIN);
    for (size_t i = 0; i < n; i++)
        printf("  %5d %6d %7.2f  %9.2f\n", atlas->layer_of_moe[top[i].moe_layer], top[i].expert,
               (double)top[i].lift, (double)top[i].usage);
    print_members(atlas, cluster);
    print_examples(atlas, atlas->representative + cluster * GM_N_EXAMPLES,
                   "nearest to the mean usage");
    print_examples(atlas, atlas->outlying + cluster * GM_N_EXAMPLES, "farthest from it");
    return GM_OK;
}

/* ---- JSON ---- */

static void put_examples(gm_json_out *out, const char *key, const gm_atlas *atlas,
                         const uint32_t *example)
{
    gm_json_open_array(out, key);
    for (size_t i = 0; i < GM_N_EXAMPLES && example[i] != GM_ATLAS_NONE; i++)
        gm_json_put_string(out, NULL, atlas->id[example[i]]);
    gm_json_close_array(out);
}

/* An item {"name", "documents"} of a list; none where there are no documents. */
static void put_count(gm_json_out *out, const char *name, size_t n_documents)
{
    if (n_documents == 0) return;
    gm_json_open_object(out, NULL);
    gm_json_put_string(out, "name", name);
    gm_json_put_u64(out, "documents", n_documents);
    gm_json_close_object(out);
}

/* own: its documents. spoken (n_languages) is scratch. */
static gm_status put_cluster(gm_json_out *out, const gm_atlas *atlas, size_t c, gm_some own,
                             size_t *spoken, gm_error *err)
{
    double median;
    gm_status status = gm_median_tokens(&median, atlas, own, err);
    if (status != GM_OK) return status;
    gm_count_languages(spoken, atlas, own);
    gm_top_expert top[TOP_IN_DETAIL];
    double purity;
    int subset = gm_cluster_main_subset(atlas, c, &purity);
    gm_json_open_object(out, NULL);
    gm_json_put_u64(out, "id", c);
    gm_json_put_u64(out, "size", atlas->size[c]);
    gm_json_put_string(out, "name", atlas->name[c][0] ? atlas->name[c] : NULL);
    gm_json_put_f64(out, "stability", (double)atlas->stability[c]);
    gm_json_put_f64(out, "seed_jaccard", (double)atlas->seed_jaccard[c]);
    gm_json_put_f64(out, "half_jaccard", (double)atlas->half_jaccard[c]);
    gm_json_put_f64(out, "validity", (double)atlas->validity[c]);
    gm_json_put_f64(out, "coherence", (double)atlas->coherence[c]);
    gm_json_put_string(out, "subset", subset < 0 ? NULL : atlas->subset_name[subset]);
    gm_json_put_f64(out, "purity", purity);
    gm_json_open_array(out, "subsets");
    for (size_t s = 0; s < atlas->n_subsets; s++)
        put_count(out, atlas->subset_name[s], atlas->subset_count[c * atlas->n_subsets + s]);
    gm_json_close_array(out);
    gm_json_open_array(out, "languages");
    for (size_t l = 0; l < atlas->n_languages; l++)
        put_count(out, atlas->language_name[l], spoken[l]);
    gm_json_close_array(out);
    gm_json_put_f64(out, "median_tokens", median);
    gm_json_open_array(out, "keywords");
    for (size_t k = c * GM_N_KEYWORDS; k < (c + 1) * GM_N_KEYWORDS; k++)
        if (atlas->keyword[k][0]) gm_json_put_string(out, NULL, atlas->keyword[k]);
    gm_json_close_array(out);
    gm_json_open_array(out, "experts");
    size_t n = gm_cluster_top_experts(atlas, c, top, TOP_IN_DETAIL);
    for (size_t i = 0; i < n; i++) {
        gm_json_open_object(out, NULL);
        gm_json_put_i64(out, "layer", atlas->layer_of_moe[top[i].moe_layer]);
        gm_json_put_i64(out, "expert", top[i].expert);
        gm_json_put_f64(out, "lift", (double)top[i].lift);
        gm_json_close_object(out);
    }
    gm_json_close_array(out);
    put_examples(out, "representative", atlas, atlas->representative + c * GM_N_EXAMPLES);
    put_examples(out, "outlying", atlas, atlas->outlying + c * GM_N_EXAMPLES);
    gm_json_close_object(out);
    return GM_OK;
}

static gm_status print_json(const gm_atlas *atlas, int64_t cluster, gm_error *err)
{
    gm_status status = GM_OK;
    gm_json_out json = {0};
    gm_members members = {0};
    size_t *spoken = gm_alloc(atlas->n_languages, sizeof *spoken);
    if (spoken == NULL) GM_FAIL(GM_EMEM, "no memory for %zu languages", atlas->n_languages);
    GM_TRY(gm_members_find(&members, atlas->cluster, atlas->n, atlas->n_clusters, err));
    gm_json_open_object(&json, NULL);
    gm_json_put_string(&json, "model", atlas->model);
    gm_json_put_u64(&json, "documents", atlas->n);
    gm_json_put_u64(&json, "noise", gm_atlas_n_noise(atlas));
    gm_json_put_string(&json, "digest", atlas->digest);
    gm_json_put_raw(&json, "parameters", atlas->parameters);
    gm_json_put_raw(&json, "quality", atlas->quality);
    gm_json_open_array(&json, "clusters");
    for (size_t c = 0; c < atlas->n_clusters; c++)
        if (cluster < 0 || (size_t)cluster == c)
            GM_TRY(put_cluster(&json, atlas, c, gm_some_of(&members, c), spoken, err));
    gm_json_close_array(&json);
    gm_json_close_object(&json);
    GM_TRY(gm_cli_print_json(&json, err));
out:
    gm_text_clear(&json.text);
    gm_members_clear(&members);
    gm_free(spoken);
    return status;
}

/* ---- the commands ---- */

int gm_cluster_show(int argc, char **argv)
{
    int64_t cluster = -1;
    bool json = false, usage = true;
    gm_error err = {0};
    gm_atlas *atlas = NULL;
    const gm_opt opts[] = {
        {GM_OPT_I64, "cluster", &cluster, -1, INT32_MAX, "N",
         "show one cluster in full; -1: the table"},
        {GM_OPT_FLAG, "json", &json, 0, 0, NULL, "one JSON object on standard output"},
        {.kind = GM_OPT_END_},
    };
    gm_status status = gm_opt_parse(
        "gm-cluster show ATLAS [--cluster N] [--json]",
        "Prints the clusters by size, with keywords and strongest experts, and what to\n"
        "trust and what to doubt about them. With --cluster, one of them with its\n"
        "documents and experts.\n"
        "  gm-cluster show run.atlas.h5 --cluster 25\n",
        opts, &argc, argv, &err);
    if (status == GM_OK && argc != 2)
        status = gm_fail(&err, GM_EARG, "expected one atlas, found %d", argc - 1);
    if (status != GM_OK) goto out;
    usage = false;
    GM_TRY(gm_atlas_open(&atlas, argv[1], &err));
    if (cluster >= 0 && (size_t)cluster >= atlas->n_clusters) {
        char which[40] = "no clusters";
        if (atlas->n_clusters > 0)
            snprintf(which, sizeof which, "clusters 0 to %zu", atlas->n_clusters - 1);
        status = gm_fail(&err, GM_EARG, "cluster '%" PRId64 "' does not exist; '%s' has %s",
                         cluster, argv[1], which);
        goto out;
    }
    if (json)
        GM_TRY(print_json(atlas, cluster, &err));
    else if (cluster >= 0)
        GM_TRY(print_cluster(atlas, (size_t)cluster, &err));
    else
        GM_TRY(print_table(atlas, &err));
out:
    gm_atlas_close(atlas);
    return gm_cli_end("gm-cluster", "show", status, usage, &err);
}
