/* test_languages.c - cluster/languages.c: what the corpus says of a document, then what its text
 * says, then nothing. */
#include "cluster/languages.h"

#include "formats/trace.h"
#include "tests/check.h"
#include "text/language.h"

enum { MANY = 300 };

static const char ENGLISH[] = "The ship left the harbour early in the morning, nobody saw it go.";

/* A trace of n documents, of counts alone; language NULL: it does not say. */
static gm_trace *make_trace(const char *const *language, size_t n)
{
    static const char *const reasons[] = {"not_json"};
    static const int layers[] = {1};
    static uint32_t counts[MANY];
    static gm_trace_document document[MANY];
    const uint64_t skipped[1] = {0};
    gm_error err = {0};
    gm_trace *trace = NULL;
    const gm_trace_info info = {.n_layers = 1,
                                .n_experts = 1,
                                .n_chosen = 1,
                                .layer_of_moe = layers,
                                .has_language = language != NULL,
                                .options = "{}"};
    for (size_t i = 0; i < n; i++) {
        counts[i] = 1;
        document[i] = (gm_trace_document){
            .id = "a", .subset = "", .n_tokens = 1, .language = language ? language[i] : NULL};
    }
    const gm_trace_block block = {
        .n_documents = n, .document = document, .counts = counts, .skipped = skipped};
    CHECK_OK(gm_trace_write("l.h5", &info, &block, reasons, 1, true, &err), err);
    CHECK_OK(gm_trace_open(&trace, "l.h5", &err), err);
    if (trace == NULL) exit(1);
    return trace;
}

/* Documents in the order opposite to the trace's, all of the same text, or of none. */
static gm_languages find(gm_trace *trace, size_t n, const char *text)
{
    gm_error err = {0};
    gm_languages found;
    uint32_t place[MANY];
    const char *texts[MANY];
    size_t n_bytes[MANY];
    for (size_t i = 0; i < n; i++) {
        place[i] = (uint32_t)(n - 1 - i);
        texts[i] = text;
        n_bytes[i] = text ? strlen(text) : 0;
    }
    const gm_usage usage = {.n = n, .place = place};
    CHECK_OK(gm_languages_find(&found, trace, &usage, text ? texts : NULL, n_bytes, &err), err);
    return found;
}

static void the_corpus_goes_before_the_text(void)
{
    static const char *const given[] = {"fr", "de", "", "de", "klingon"};
    gm_trace *trace = make_trace(given, 5);
    gm_languages found = find(trace, 5, ENGLISH);
    CHECK_INT(found.n, 4);
    CHECK_TEXT(found.name[0], "de"); /* two documents, the others one each */
    CHECK_TEXT(found.name[found.code[4]], "fr");
    CHECK_TEXT(found.name[found.code[2]], gm_language_is_there() ? "en" : "unknown");
    CHECK_TEXT(found.name[found.code[0]], "klingon");
    CHECK_INT(found.code[1], 0);
    CHECK_INT(found.code[3], 0);
    gm_languages_clear(&found);
    found = find(trace, 5, NULL);
    CHECK_TEXT(found.name[found.code[2]], "unknown");
    gm_languages_clear(&found);
    gm_trace_close(trace);
}

static void without_a_corpus_that_says_the_text_does(void)
{
    gm_trace *trace = make_trace(NULL, 3);
    gm_languages found = find(trace, 3, ENGLISH);
    CHECK_INT(found.n, gm_language_is_there());
    if (found.n == 1) CHECK_TEXT(found.name[0], "en");
    gm_languages_clear(&found);
    found = find(trace, 3, NULL);
    CHECK(found.n == 0 && found.code == NULL);
    gm_languages_clear(&found);
    gm_trace_close(trace);
}

static void the_rarest_of_too_many_are_one(void)
{
    static char name[MANY][8];
    static const char *given[MANY];
    for (int i = 0; i < MANY; i++) {
        snprintf(name[i], sizeof name[i], "l%03d", i < 2 ? 299 : i);
        given[i] = name[i];
    }
    gm_trace *trace = make_trace(given, MANY);
    gm_languages found = find(trace, MANY, NULL);
    CHECK_INT(found.n, GM_MAX_LANGUAGES);
    CHECK_TEXT(found.name[0], "l299"); /* three documents */
    CHECK_TEXT(found.name[1], "l002");
    CHECK_TEXT(found.name[GM_MAX_LANGUAGES - 1], "(other)");
    CHECK_INT(found.code[0], 0);
    CHECK_INT(found.code[MANY - 1 - 2], 1);
    CHECK_INT(found.code[MANY - 1 - 255], 254);
    CHECK_INT(found.code[MANY - 1 - 290], 254);
    gm_languages_clear(&found);
    gm_trace_close(trace);
}

static gm_status find_once(void *state, gm_error *err)
{
    const uint32_t place[] = {0, 1, 2};
    const gm_usage usage = {.n = 3, .place = (uint32_t *)place};
    gm_languages found;
    gm_status status = gm_languages_find(&found, state, &usage, NULL, NULL, err);
    CHECK(status == GM_OK || found.code == NULL);
    gm_languages_clear(&found);
    return status;
}

static void survives_every_allocation_failure(void)
{
    static const char *const given[] = {"fr", "de", ""};
    gm_trace *trace = make_trace(given, 3);
    check_every_allocation(find_once, trace);
    gm_trace_close(trace);
}

TESTS(TEST(the_corpus_goes_before_the_text), TEST(without_a_corpus_that_says_the_text_does),
      TEST(the_rarest_of_too_many_are_one), TEST(survives_every_allocation_failure))
