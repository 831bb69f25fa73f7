/* naming.c - texts, or tokens put together, to words; words to keywords. */
#include "cluster/naming.h"

#include "text/script.h"

enum { BATCH = 4096 }; /* texts read */

void gm_naming_clear(gm_words_of *words)
{
    gm_bag_clear(&words->counts);
    gm_vocabulary_free(words->vocabulary);
    gm_free(words->script);
    gm_languages_clear(&words->languages);
    *words = (gm_words_of){0};
}

gm_words_basis gm_words_basis_of(const gm_trace *trace)
{
    const gm_trace_info *info = gm_trace_get_info(trace);
    return info->has_text ? GM_WORDS_TEXTS : info->has_spelling ? GM_WORDS_TOKENS : GM_WORDS_NONE;
}

const char *gm_words_basis_name(gm_words_basis basis)
{
    static const char *const name[] = {"none", "texts", "tokens"};
    return name[basis];
}

gm_status gm_words_read_texts(gm_trace *trace, size_t first, size_t n, gm_text *text, size_t *end,
                              gm_error *err)
{
    switch (gm_words_basis_of(trace)) {
    case GM_WORDS_TEXTS: return gm_trace_read_texts(trace, first, n, text, end, err);
    case GM_WORDS_TOKENS: return gm_trace_spell_texts(trace, first, n, text, end, err);
    case GM_WORDS_NONE: break;
    }
    return gm_fail(err, GM_EABSENT, GM_NO_WORDS);
}

gm_words_options gm_naming_words(const gm_naming_options *options)
{
    static const unsigned stop[] = {GM_STOP_ENGLISH | GM_STOP_RUSSIAN, GM_STOP_ENGLISH,
                                    GM_STOP_RUSSIAN, GM_STOP_NONE};
    return (gm_words_options){.stop = stop[options->stop], .fold_yo = true};
}

gm_status gm_naming_read(gm_words_of *out, gm_trace *trace, const gm_usage *usage,
                         const gm_naming_options *options, gm_progress *progress, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t n = usage->n;
    const gm_words_options how = gm_naming_words(options);
    gm_words_of words = {.basis = gm_words_basis_of(trace)};
    gm_text all = {0};
    const char **text = gm_alloc(n, sizeof *text);
    size_t *n_bytes = gm_alloc(n, sizeof *n_bytes);
    size_t *end = gm_alloc(n + 1, sizeof *end); /* of what was read before each document */
    *out = (gm_words_of){0};
    if (!text || !n_bytes || !end) GM_FAIL(GM_EMEM, "no memory for %zu texts", n);
    for (size_t i = 0; i < n; i += BATCH) { /* in the trace's order, so chunk after chunk */
        const size_t here = n - i < BATCH ? n - i : BATCH;
        GM_TRY(gm_words_read_texts(trace, i, here, &all, end + i + 1, err));
        if (progress) gm_progress_set(progress, (double)(i + here));
    }
    for (size_t i = 0; i < n; i++) {
        size_t at = usage->place[i];
        text[i] = all.at ? all.at + end[at] : "";
        n_bytes[i] = end[at + 1] - end[at];
    }
    words.script = gm_alloc(n, sizeof *words.script);
    if (words.script == NULL) GM_FAIL(GM_EMEM, "no memory for the scripts of %zu texts", n);
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i++) words.script[i] = (uint16_t)gm_script_of(text[i], n_bytes[i]);
    GM_TRY(gm_languages_find(&words.languages, trace, usage, text, n_bytes, err));
    GM_TRY(gm_vocabulary_create(&words.vocabulary, err));
    GM_TRY(gm_bag_count(&words.counts, words.vocabulary, false, (gm_texts){text, n_bytes, n}, &how,
                        err));
    *out = words;
    words = (gm_words_of){0};
out:
    gm_text_clear(&all);
    gm_free(text);
    gm_free(n_bytes);
    gm_free(end);
    gm_naming_clear(&words);
    return status;
}

/* Words as texts; score may be NULL. */
static void show(const char **keyword, float *score, const gm_keyword *found, size_t n,
                 const gm_vocabulary *vocabulary)
{
    for (size_t i = 0; i < n; i++) {
        if (found[i].word == UINT32_MAX) continue;
        keyword[i] = gm_vocabulary_word(vocabulary, found[i].word);
        if (score) score[i] = (float)found[i].score;
    }
}

gm_status gm_naming_find(const char **keyword, float *score, const char **node_keyword,
                         const gm_words_of *words, const gm_named *named,
                         const gm_naming_options *options, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_keyword_options how = {.method = options->method,
                                    .n_keywords = GM_N_KEYWORDS,
                                    .stems = options->stems,
                                    .tfidf = {.min_df = 2, .max_df = options->max_df}};
    const size_t n = named->n_clusters * GM_N_KEYWORDS, m = named->n_nodes * GM_N_KEYWORDS;
    gm_keyword *found = gm_alloc(n + m, sizeof *found);
    if (found == NULL)
        GM_FAIL(GM_EMEM, "no memory for keywords of %zu clusters", named->n_clusters);
    const gm_keyword_classes classes[] = {
        {.label = named->label, .n = named->n_clusters, .keyword = found},
        {.label = named->node, .parent = named->parent, .n = named->n_nodes, .keyword = found + n}};
    for (size_t i = 0; i < n; i++) keyword[i] = "", score[i] = 0;
    for (size_t i = 0; i < m; i++) node_keyword[i] = "";
    if (words->vocabulary == NULL || gm_vocabulary_n(words->vocabulary) == 0) goto out;
    GM_TRY(gm_keywords_find(classes, 2, &words->counts, words->vocabulary, &how, err));
    show(keyword, score, found, n, words->vocabulary);
    show(node_keyword, NULL, found + n, m, words->vocabulary);
out:
    gm_free(found);
    return status;
}
