/* find.c - gm-cluster find: the clusters nearest to given words. */
#include "base/cli.h"
#include "base/json.h"
#include "cluster/cluster_commands.h"
#include "cluster/from_atlas.h"
#include "cluster/summary.h"
#include "cluster/word_search.h"
#include "text/terminal.h"

#include <math.h>
#include <stdio.h>

static const char details[] =
    "The words follow the atlas. Column near: the share of a cluster's keyword scores that\n"
    "belongs to them. With --trace, words: how many of them a document of the cluster holds\n"
    "on average, and times: that, divided by the average of the corpus; clusters are then\n"
    "sorted by it. Words with the same stem count as one.\n"
    "  gm-cluster find run.atlas.h5 food coffee cheese --trace run.trace.h5\n";

/* Is anything of the words in this cluster? */
static bool is_near(const gm_word_match *c)
{
    return c->near > 0 || c->words > 0;
}

static void print_found(const gm_atlas *atlas, const gm_word_match *c)
{
    bool any = false;
    for (size_t k = 0; k < GM_N_KEYWORDS; k++) {
        if (!(c->found >> k & 1)) continue;
        fputs(any ? ", " : "", stdout);
        gm_print_text(stdout, 0, atlas->keyword[c->cluster * GM_N_KEYWORDS + k]);
        any = true;
    }
    fputs(any ? "" : "-", stdout);
}

static void print_text(const gm_atlas *atlas, const gm_word_search *search, size_t most)
{
    const bool texts = !isnan(search->corpus_words);
    size_t n = 0;
    while (n < search->n_clusters && n < most && is_near(&search->cluster[n])) n++;
    if (texts)
        printf("a document of the corpus has on average %.3f of the %zu word%s\n",
               search->corpus_words, search->n_words, gm_plural(search->n_words));
    if (n == 0) {
        printf("no cluster has any of the words%s\n",
               texts ? "" : " among its keywords; with --trace FILE the texts are searched too");
        return;
    }
    gm_cluster_print_heads();
    printf(" %6s %s%s\n", "near", texts ? " words   times  " : " ", "found | keywords");
    for (size_t i = 0; i < n; i++) {
        const gm_word_match *c = &search->cluster[i];
        char keywords[512];
        double purity;
        int subset = gm_cluster_main_subset(atlas, c->cluster, &purity);
        gm_cluster_title(atlas, c->cluster, GM_N_KEYWORDS, keywords, sizeof keywords);
        gm_cluster_print_start(c->cluster, atlas->size[c->cluster], purity,
                               subset < 0 ? NULL : atlas->subset_name[subset]);
        printf(" %6.3f ", c->near);
        if (texts) printf("%6.3f %7.2f  ", c->words, c->words / search->corpus_words);
        if (!texts) putchar(' ');
        print_found(atlas, c);
        fputs(" | ", stdout);
        gm_print_text(stdout, 0, keywords);
        putchar('\n');
    }
}

static void put_cluster(gm_json_out *out, const gm_atlas *atlas, const gm_word_search *search,
                        const gm_word_match *c)
{
    double purity;
    int subset = gm_cluster_main_subset(atlas, c->cluster, &purity);
    gm_json_open_object(out, NULL);
    gm_json_put_u64(out, "id", c->cluster);
    gm_json_put_u64(out, "size", atlas->size[c->cluster]);
    gm_json_put_string(out, "subset", subset < 0 ? NULL : atlas->subset_name[subset]);
    gm_json_put_f64(out, "purity", purity);
    gm_json_put_f64(out, "near", c->near);
    gm_json_open_array(out, "found");
    for (size_t k = 0; k < GM_N_KEYWORDS; k++)
        if (c->found >> k & 1)
            gm_json_put_string(out, NULL, atlas->keyword[c->cluster * GM_N_KEYWORDS + k]);
    gm_json_close_array(out);
    gm_json_put_f64(out, "words", c->words);
    gm_json_put_f64(out, "times", c->words / search->corpus_words);
    gm_json_close_object(out);
}

static gm_status print_json(const gm_atlas *atlas, const gm_word_search *search, size_t most,
                            gm_error *err)
{
    gm_json_out out = {0};
    gm_json_open_object(&out, NULL);
    gm_json_open_array(&out, "asked");
    for (size_t i = 0; i < search->n_words; i++) gm_json_put_string(&out, NULL, search->word[i]);
    gm_json_close_array(&out);
    gm_json_put_f64(&out, "corpus_words", search->corpus_words);
    gm_json_open_array(&out, "clusters");
    for (size_t i = 0; i < search->n_clusters && i < most && is_near(&search->cluster[i]); i++)
        put_cluster(&out, atlas, search, &search->cluster[i]);
    gm_json_close_array(&out);
    gm_json_close_object(&out);
    return gm_cli_print_json(&out, err);
}

int gm_cluster_find(int argc, char **argv)
{
    gm_status status = GM_OK;
    bool json = false, usage = true;
    gm_error err = {0};
    gm_atlas *atlas = NULL;
    gm_trace *trace = NULL;
    gm_word_search search = {0};
    const char *path = NULL;
    int64_t most = 5;
    const gm_opt opts[] = {
        {GM_OPT_TEXT, "trace", &path, 0, 0, "FILE", "the atlas's trace: search the texts too"},
        {GM_OPT_I64, "most", &most, 1, INT32_MAX, "N", "most clusters to print"},
        {GM_OPT_FLAG, "json", &json, 0, 0, NULL, "one JSON object on standard output"},
        {.kind = GM_OPT_END_},
    };
    GM_TRY(gm_opt_parse("gm-cluster find ATLAS WORD... [--trace FILE]", details, opts, &argc, argv,
                        &err));
    if (argc < 3)
        GM_TRY(gm_fail(&err, GM_EARG, "expected an atlas and words, found %d argument%s", argc - 1,
                       gm_plural((size_t)argc - 1)));
    usage = false;
    const gm_opt_list words = {(const char **)(argv + 2), (size_t)argc - 2};
    GM_TRY(gm_atlas_open(&atlas, argv[1], &err));
    if (path) GM_TRY(gm_atlas_open_trace(&trace, atlas, path, &err));
    GM_TRY(gm_word_search_run(&search, atlas, trace, &words, &err));
    if (json)
        GM_TRY(print_json(atlas, &search, (size_t)most, &err));
    else
        print_text(atlas, &search, (size_t)most);
out:
    gm_word_search_clear(&search);
    gm_trace_close(trace);
    gm_atlas_close(atlas);
    return gm_cli_end("gm-cluster", "find", status, usage, &err);
}
