/* test_corpus_words.c - cluster/corpus_words.c: words of a labelled corpus, counted by hand. */
#include "cluster/corpus_words.h"

#include "base/outfile.h"
#include "tests/check.h"

static const char LINES[] = "{\"text\": \"salt onion salt\", \"kind\": \"soup\"}\n"
                            "{\"text\": \"anchor\", \"kind\": \"ships\"}\n"
                            "soup\n"
                            "{\"text\": \"onion Onion\", \"kind\": \"soup\"}\n"
                            "{\"text\": \"\", \"kind\": \"soup\"}\n"
                            "{\"text\": \"a \\u0000 tide\"}\n";

static gm_corpus_words read(bool by_document)
{
    const gm_corpus_words_options how = {.corpus = {.subset_field = "kind"},
                                         .by_document = by_document};
    const char *const path[] = {"w.jsonl"};
    gm_corpus_words w;
    gm_error err = {0};
    CHECK_OK(gm_outfile_write("w.jsonl", true, LINES, sizeof LINES - 1, &err), err);
    CHECK_OK(gm_corpus_words_read(&w, path, 1, &how, &err), err);
    return w;
}

/* How often a document has a word. */
static double count_of(const gm_corpus_words *w, size_t document, const char *word)
{
    uint32_t id;
    CHECK(gm_vocabulary_find(w->vocabulary, word, strlen(word), &id));
    for (uint64_t e = w->counts.indptr[document]; e < w->counts.indptr[document + 1]; e++)
        if (w->counts.word[e] == id) return w->counts.value[e];
    return 0;
}

static void subsets_are_sorted_and_counted(void)
{
    gm_corpus_words w = read(false);
    const char *const name[] = {"", "ships", "soup"};
    const uint32_t size[] = {1, 1, 2};
    const int32_t group[] = {2, 1, 2, 0};
    CHECK_INT(w.n, 4);
    CHECK_INT(w.n_skipped, 2);
    CHECK_INT(w.n_groups, 3);
    for (size_t g = 0; g < 3; g++) {
        CHECK_TEXT(w.group_name[g], name[g]);
        CHECK_INT(w.group_size[g], size[g]);
    }
    for (size_t i = 0; i < 4; i++) CHECK_INT(w.group[i], group[i]);
    CHECK_NEAR(count_of(&w, 0, "salt"), 2, 0);
    CHECK_NEAR(count_of(&w, 2, "onion"), 2, 0);
    CHECK_NEAR(count_of(&w, 3, "tide"), 1, 0); /* what follows a NUL counts */
    gm_corpus_words_clear(&w);
}

static void documents_are_called_by_their_line(void)
{
    gm_corpus_words w = read(true);
    const char *const name[] = {"w.jsonl:1", "w.jsonl:2", "w.jsonl:4", "w.jsonl:6"};
    CHECK_INT(w.n_groups, 4);
    for (size_t i = 0; i < 4; i++) {
        CHECK_INT(w.group[i], i);
        CHECK_INT(w.group_size[i], 1);
        CHECK_TEXT(w.group_name[i], name[i]);
    }
    gm_corpus_words_clear(&w);
}

/* As in a trace: no line of a file that is one document. */
static void files_are_called_by_their_path(void)
{
    const gm_corpus_words_options how = {.by_document = true};
    const char *const path[] = {"w.txt"};
    gm_corpus_words w;
    gm_error err = {0};
    CHECK_OK(gm_outfile_write("w.txt", true, "salt\nonion\n", 11, &err), err);
    CHECK_OK(gm_corpus_words_read(&w, path, 1, &how, &err), err);
    CHECK_INT(w.n_groups, 1);
    CHECK_TEXT(w.group_name[0], "w.txt");
    gm_corpus_words_clear(&w);
}

static void many_documents_are_taken(void)
{
    gm_text text = {0};
    gm_error err = {0};
    gm_corpus_words w;
    const gm_corpus_words_options how = {0};
    const char *const path[] = {"many.jsonl"};
    for (int i = 0; i < 3000; i++)
        CHECK_OK(gm_text_printf(&text, &err, "{\"text\": \"word%d\"}\n", i % 7), err);
    CHECK_OK(gm_outfile_write("many.jsonl", true, text.at, text.n, &err), err);
    CHECK_OK(gm_corpus_words_read(&w, path, 1, &how, &err), err);
    CHECK_INT(w.n, 3000);
    CHECK_INT(gm_vocabulary_n(w.vocabulary), 7);
    CHECK_NEAR(count_of(&w, 2999, "word3"), 1, 0);
    gm_corpus_words_clear(&w);
    gm_text_clear(&text);
}

static void a_corpus_without_a_document_is_refused(void)
{
    const gm_corpus_words_options how = {0};
    const char *const path[] = {"none.jsonl"}, *const absent[] = {"absent.jsonl"};
    gm_corpus_words w;
    gm_error err = {0};
    CHECK_OK(gm_outfile_write("none.jsonl", true, "soup\n", 5, &err), err);
    CHECK_FAILS(gm_corpus_words_read(&w, path, 1, &how, &err), err, GM_EFORMAT,
                "no line of the corpus can be used; the first of 1: ");
    CHECK_OK(gm_outfile_write("none.jsonl", true, "", 0, &err), err);
    CHECK_FAILS(gm_corpus_words_read(&w, path, 1, &how, &err), err, GM_EFORMAT, "no document");
    CHECK_FAILS(gm_corpus_words_read(&w, absent, 1, &how, &err), err, GM_EIO, "absent.jsonl");
    CHECK(w.vocabulary == NULL);
}

static gm_status attempt(void *state, gm_error *err)
{
    const gm_corpus_words_options how = {.by_document = *(bool *)state};
    const char *const path[] = {"w.jsonl"};
    gm_corpus_words w;
    gm_status status = gm_corpus_words_read(&w, path, 1, &how, err);
    gm_corpus_words_clear(&w);
    return status;
}

static void survives_every_allocation_failure(void)
{
    gm_error err = {0};
    CHECK_OK(gm_outfile_write("w.jsonl", true, LINES, sizeof LINES - 1, &err), err);
    for (int by = 0; by < 2; by++) check_every_allocation(attempt, &(bool){by});
}

TESTS(TEST(subsets_are_sorted_and_counted), TEST(documents_are_called_by_their_line),
      TEST(files_are_called_by_their_path), TEST(many_documents_are_taken),
      TEST(a_corpus_without_a_document_is_refused), TEST(survives_every_allocation_failure))
