/* keywords_command.c - gm-cluster keywords: what the subsets of a corpus, or its documents, are
 * about, by TF-IDF; no model, no trace. */
#include "base/cli.h"
#include "base/json.h"
#include "base/progress.h"
#include "cluster/cluster_commands.h"
#include "cluster/corpus_words.h"
#include "cluster/naming.h"
#include "text/terminal.h"

#include <stdio.h>
#include <string.h>

static const char synopsis[] = "gm-cluster keywords CORPUS... [--by subset|document]";
static const char details[] =
    "CORPUS: .jsonl, .jsonl.zst, .jsonl.gz, text files, or folders of these. A subset's\n"
    "keywords are chosen as gm-cluster fit chooses those of a cluster, so you can compare the\n"
    "two. A document's scores are its TF-IDF row at length 1, with words as written. --min-df\n"
    "and --max-df below 1 are shares of the documents.\n"
    "  gm-cluster keywords pile/00.jsonl.zst --top 5\n";

enum { WIDEST = 40 };

typedef struct keywords_command {
    gm_corpus_words_options read;
    gm_naming_options naming;
    gm_tfidf_options how;
    int by, method, stop; /* choices */
    int64_t top, max_features;
    bool vocabulary, json;
} keywords_command;

typedef struct found {
    gm_corpus_words words;
    gm_keyword *keyword; /* (G,top) */
    double *idf;         /* (words) 0: left out */
    uint32_t *documents; /* (words) */
    size_t top;
} found;

static gm_status read_options(keywords_command *c, int *argc, char **argv, gm_error *err)
{
    const gm_opt opts[] = {
        {GM_OPT_CHOICE, "by", &c->by, 0, 0, "subset|document", "keywords of what"},
        {GM_OPT_I64, "top", &c->top, 1, 10000, "N", "keywords for each"},
        {GM_OPT_CHOICE, "keywords", &c->method, 0, 0, GM_KEYWORD_CHOICES,
         "mean TF-IDF, or class TF-IDF of subsets"},
        {GM_OPT_CHOICE, "stop-words", &c->stop, 0, 0, GM_STOP_CHOICES,
         "which common words to leave out"},
        {GM_OPT_FLAG, "stems", &c->naming.stems, 0, 0, NULL, "do not group words by stem"},
        {GM_OPT_F64, "min-df", &c->how.min_df, 0, 1e9, "N",
         "least number of documents that hold a word"},
        {GM_OPT_F64, "max-df", &c->how.max_df, 0, 1e9, "N", "largest number of them; 0: no limit"},
        {GM_OPT_I64, "max-features", &c->max_features, 0, 1e9, "N",
         "keep only the N most frequent words; 0: all"},
        {GM_OPT_FLAG, "sublinear", &c->how.sublinear, 0, 0, NULL,
         "use 1 + ln(count) instead of the count"},
        {GM_OPT_TEXT, "text-field", &c->read.corpus.text_field, 0, 0, "NAME",
         "JSON field with the text"},
        {GM_OPT_TEXT, "subset-field", &c->read.corpus.subset_field, 0, 0, "NAME",
         "JSON field with the subset"},
        {GM_OPT_FLAG, "json", &c->json, 0, 0, NULL, "print one JSON object"},
        {GM_OPT_FLAG, "vocabulary", &c->vocabulary, 0, 0, NULL,
         "with --json: every word with its document count and idf"},
        {.kind = GM_OPT_END_},
    };
    gm_status status = gm_opt_parse(synopsis, details, opts, argc, argv, err);
    if (status != GM_OK) return status;
    if (*argc < 2) return gm_fail(err, GM_EARG, "expected a corpus");
    c->read.by_document = c->by == 1;
    c->how.max_features = (size_t)c->max_features;
    c->naming.method = (gm_keyword_method)c->method;
    c->naming.stop = (gm_stop_choice)c->stop;
    c->read.words = gm_naming_words(&c->naming);
    if (c->read.by_document && c->method == 1)
        return gm_fail(err, GM_EARG, "--keywords class is for subsets, not for documents");
    if (c->vocabulary && !c->json) return gm_fail(err, GM_EARG, "--vocabulary needs --json");
    return GM_OK;
}

/* ---- keywords ---- */

/* Is word a, of score x, shown before word b, of score y? */
static bool before(const gm_vocabulary *vocabulary, gm_keyword a, gm_keyword b)
{
    if (a.score != b.score) return a.score > b.score;
    return strcmp(gm_vocabulary_word(vocabulary, a.word), gm_vocabulary_word(vocabulary, b.word)) <
           0;
}

/* The best words of a row, best first. */
static void take_row(gm_keyword *best, size_t top, const gm_bag *bag, size_t row,
                     const gm_vocabulary *vocabulary)
{
    size_t n = 0;
    for (uint64_t e = bag->indptr[row]; e < bag->indptr[row + 1]; e++) {
        const gm_keyword k = {bag->word[e], bag->value[e]};
        if (n == top && !before(vocabulary, k, best[n - 1])) continue;
        size_t at = n < top ? n++ : n - 1;
        for (; at > 0 && before(vocabulary, k, best[at - 1]); at--) best[at] = best[at - 1];
        best[at] = k;
    }
    for (; n < top; n++) best[n] = (gm_keyword){UINT32_MAX, 0};
}

static size_t longest_row(const gm_bag *bag)
{
    uint64_t longest = 0;
    for (size_t i = 0; i < bag->n_rows; i++)
        if (bag->indptr[i + 1] - bag->indptr[i] > longest)
            longest = bag->indptr[i + 1] - bag->indptr[i];
    return (size_t)longest;
}

static gm_status find_keywords(found *f, const keywords_command *c, gm_error *err)
{
    gm_status status = GM_OK;
    gm_corpus_words *w = &f->words;
    const size_t n_words = gm_vocabulary_n(w->vocabulary);
    f->top = (size_t)c->top < n_words ? (size_t)c->top : n_words;
    if (c->read.by_document && longest_row(&w->counts) < f->top) f->top = longest_row(&w->counts);
    f->keyword = gm_alloc2(w->n_groups, f->top, sizeof *f->keyword);
    f->idf = gm_alloc(n_words, sizeof *f->idf);
    f->documents = gm_alloc(n_words, sizeof *f->documents);
    if (!f->keyword || !f->idf || !f->documents)
        GM_FAIL(GM_EMEM, "no memory for keywords of %zu groups", w->n_groups);
    for (size_t e = 0; e < w->counts.n_entries; e++) f->documents[w->counts.word[e]]++;
    GM_TRY(gm_tfidf_fit(f->idf, &w->counts, w->vocabulary, &c->how, err));
    size_t n_kept = 0;
    for (size_t i = 0; i < n_words; i++) n_kept += f->idf[i] > 0;
    if (n_kept == 0)
        GM_FAIL(GM_EARG,
                "no word remains: the corpus has %zu word%s besides stop words, but --min-df and "
                "--max-df leave all of them out",
                n_words, gm_plural(n_words));
    if (c->read.by_document) {
        gm_tfidf_apply(&w->counts, f->idf, c->how.sublinear);
        for (size_t i = 0; i < w->n; i++)
            take_row(f->keyword + i * f->top, f->top, &w->counts, i, w->vocabulary);
    } else {
        const gm_keyword_classes groups = {
            .label = w->group, .n = w->n_groups, .keyword = f->keyword};
        const gm_keyword_options how = {.method = c->naming.method,
                                        .n_keywords = f->top,
                                        .stems = c->naming.stems,
                                        .tfidf = c->how};
        GM_TRY(gm_keywords_find(&groups, 1, &w->counts, w->vocabulary, &how, err));
    }
out:
    return status;
}

/* ---- shown ---- */

static void print_text(const found *f)
{
    int width = 1;
    for (size_t g = 0; g < f->words.n_groups; g++) {
        const int n = gm_text_cells(f->words.group_name[g]);
        if (n > width) width = n < WIDEST ? n : WIDEST;
    }
    printf("%zu document%s\n", f->words.n, gm_plural(f->words.n));
    for (size_t g = 0; g < f->words.n_groups; g++) {
        const gm_keyword *k = f->keyword + g * f->top;
        gm_print_column(stdout, width, f->words.group_name[g][0] ? f->words.group_name[g] : "-");
        printf(" %7u  ", f->words.group_size[g]);
        for (size_t i = 0; i < f->top && k[i].word != UINT32_MAX; i++) {
            fputs(i ? ", " : "", stdout);
            gm_print_text(stdout, 0, gm_vocabulary_word(f->words.vocabulary, k[i].word));
        }
        putchar('\n');
    }
}

static void put_vocabulary(gm_json_out *out, const found *f)
{
    const size_t n = gm_vocabulary_n(f->words.vocabulary);
    gm_json_open_array(out, "vocabulary");
    for (size_t i = 0; i < n; i++) {
        if (!(f->idf[i] > 0)) continue;
        gm_json_open_object(out, NULL);
        gm_json_put_string(out, "word", gm_vocabulary_word(f->words.vocabulary, (uint32_t)i));
        gm_json_put_u64(out, "documents", f->documents[i]);
        gm_json_put_f64(out, "idf", f->idf[i]);
        gm_json_close_object(out);
    }
    gm_json_close_array(out);
}

static gm_status print_json(const found *f, bool vocabulary, gm_error *err)
{
    gm_json_out out = {0};
    gm_json_open_object(&out, NULL);
    gm_json_put_u64(&out, "documents", f->words.n);
    gm_json_put_u64(&out, "skipped", f->words.n_skipped);
    gm_json_open_array(&out, "groups");
    for (size_t g = 0; g < f->words.n_groups; g++) {
        const gm_keyword *k = f->keyword + g * f->top;
        gm_json_open_object(&out, NULL);
        gm_json_put_string(&out, "name", f->words.group_name[g]);
        gm_json_put_u64(&out, "documents", f->words.group_size[g]);
        gm_json_open_array(&out, "keywords");
        for (size_t i = 0; i < f->top && k[i].word != UINT32_MAX; i++) {
            gm_json_open_object(&out, NULL);
            gm_json_put_string(&out, "word", gm_vocabulary_word(f->words.vocabulary, k[i].word));
            gm_json_put_f64(&out, "score", k[i].score);
            gm_json_close_object(&out);
        }
        gm_json_close_array(&out);
        gm_json_close_object(&out);
    }
    gm_json_close_array(&out);
    if (vocabulary) put_vocabulary(&out, f);
    gm_json_close_object(&out);
    return gm_cli_print_json(&out, err);
}

static gm_status run(const keywords_command *c, const char *const *path, size_t n_paths,
                     gm_error *err)
{
    gm_status status = GM_OK;
    found f = {0};
    GM_TRY(gm_corpus_words_read(&f.words, path, n_paths, &c->read, err));
    if (f.words.n_skipped > 0)
        gm_warn("%zu unusable line%s left out", f.words.n_skipped, gm_plural(f.words.n_skipped));
    GM_TRY(find_keywords(&f, c, err));
    if (c->json)
        GM_TRY(print_json(&f, c->vocabulary, err));
    else
        print_text(&f);
out:
    gm_corpus_words_clear(&f.words);
    gm_free(f.keyword);
    gm_free(f.idf);
    gm_free(f.documents);
    return status;
}

int gm_cluster_keywords(int argc, char **argv)
{
    keywords_command c = {.read.corpus.text_field = "text",
                          .read.corpus.subset_field = "meta.pile_set_name",
                          .naming.stems = true,
                          .how.min_df = 2,
                          .top = GM_N_KEYWORDS};
    gm_error err = {0};
    gm_status status = read_options(&c, &argc, argv, &err);
    const bool usage = status != GM_OK;
    if (status == GM_OK) status = run(&c, (const char *const *)argv + 1, (size_t)argc - 1, &err);
    return gm_cli_end("gm-cluster", "keywords", status, usage, &err);
}
