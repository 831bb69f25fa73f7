/* test_tokenizer.c - engine/tokenizer: loading, refusing, looking up, and whole texts by hand.
 * label: threads */
#include "engine/tokenizer/tokenizer.h"
#include "tests/tokenizer_json.h"

#include <pthread.h>

#define BYTE_LEVEL "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":true}"
#define ADDED(id, content, flags) \
    "[{\"id\":" #id ",\"content\":\"" content "\",\"special\":true," flags "\"lstrip\":false}]"

static void pieces_become_tokens_by_rank(void)
{
    /* "a b" has a lower rank than "b c", so abc is (ab)c; a lone b c is bc. */
    check_once((parts){.splitter = BYTE_LEVEL}, "abc bc", "8 4 7", "3 4 6");
    check_once((parts){.splitter = BYTE_LEVEL}, " ab a", "4 6 9", "1 3 5");
    check_once((parts){.splitter = BYTE_LEVEL}, "", "", "");
}

static void characters_without_a_token_are_dropped_or_unknown(void)
{
    check_once((parts){0}, "axb", "6", "3"); /* as in the reference, a and b then meet */
    const char *vocab = "{\"<unk>\":0,\"a\":1,\"<0x78>\":2}";
    parts p = {.vocab = vocab, .merges = "[]", .options = "\"unk_token\":\"<unk>\","};
    check_once(p, "ayya", "1 0 0 1", "1 2 3 4");
    p.options = "\"unk_token\":\"<unk>\",\"fuse_unk\":true,";
    check_once(p, "ayya", "1 0 1", "1 3 4");
    p.options = "\"unk_token\":\"<unk>\",\"byte_fallback\":true,";
    check_once(p, "axya", "1 2 0 1", "1 2 3 4");
}

static void an_unknown_token_that_is_missing_fails_when_needed(void)
{
    gm_error err;
    gm_encoder *encoder = NULL;
    gm_ids ids = {0};
    gm_tokenizer *t = test_tokenizer((parts){.options = "\"unk_token\":\"<none>\","});
    check_encoded(t, "ab", "6", NULL);
    CHECK_OK(gm_encoder_create(&encoder, t, &err), err);
    CHECK_FAILS(gm_encode(encoder, "ax", 2, true, &ids, NULL, &err), err, GM_EFORMAT, "unk_token");
    CHECK_INT(ids.n, 0);
    gm_ids_clear(&ids);
    gm_encoder_free(encoder);
    gm_tokenizer_close(t);
}

static void whole_pieces_go_before_merges(void)
{
    const char *vocab = "{\"a\":0,\"b\":1,\"aba\":2,\"ab\":3}";
    parts p = {.vocab = vocab, .merges = "[\"a b\"]"};
    check_once(p, "aba", "3 0", "2 3");
    p.options = "\"ignore_merges\":true,";
    check_once(p, "aba", "2", "3");
    p.splitter = BYTE_LEVEL;
    check_once(p, "aba", "2", "3");

    char longest[401], more[480];
    memset(longest, 'a', 400);
    longest[400] = '\0';
    snprintf(more, sizeof more, "{\"a\":0,\"%s\":1}", longest);
    p.vocab = more, p.merges = "[]";
    check_once(p, longest, "1", "400");
}

#define MARK "\xE2\x96\x81"

/* Words are encoded by themselves where no merge reaches from one into the next, in whatever slots
 * of the table the merges lie: the ids decide about that. */
static void merges_reach_over_the_beginnings_of_words(void)
{
    for (int k = 0; k < 64; k++) {
        char vocab[160], ids[32];
        snprintf(vocab, sizeof vocab,
                 "{\"" MARK "\":%d,\"a\":%d,\"" MARK "a\":%d,\"a" MARK "\":%d,\"a" MARK "a\":%d}",
                 k, k + 1, k + 2, k + 3, k + 4);
        parts p = {.vocab = vocab, .merges = "[\"" MARK " a\"]"};
        snprintf(ids, sizeof ids, "%d %d", k + 1, k + 2);
        check_once(p, "a" MARK "a", ids, "1 5");
        p.merges = "[\"" MARK " a\",\"a " MARK "a\"]";
        snprintf(ids, sizeof ids, "%d", k + 4);
        check_once(p, "a" MARK "a", ids, "5");
        p.merges = "[\"a " MARK "\"]";
        snprintf(ids, sizeof ids, "%d %d", k + 3, k + 1);
        check_once(p, "a" MARK "a", ids, "4 5");
    }
}

static void added_tokens_cut_the_text(void)
{
    parts p = {.splitter = BYTE_LEVEL, .added = ADDED(10, "<x>", "")};
    check_once(p, "a<x>bc", "0 10 7", "1 4 6");
    check_once(p, "<x><x", "10", "3");
    p.added = ADDED(10, "<x>", "\"rstrip\":true,");
    check_once(p,
               "a<x> \xE2\x80\x83"
               "bc",
               "0 10 7", "1 8 10");
    p.added = ADDED(10, "<x>", "\"single_word\":true,");
    check_once(p, "a<x> <x>", "0 4 10", NULL);
    /* a token of the model that is added too keeps its id and is not merged */
    p.added = ADDED(1, "b", "");
    check_once(p, "abc", "0 1 2", "1 2 3");
}

static void the_longest_added_token_wins(void)
{
    check_once((parts){.added = "[{\"id\":10,\"content\":\"<\"},{\"id\":11,\"content\":\"<<a\"}]"},
               "<<<a<<b", "10 11 10 10 1", "1 4 5 6 7");
}

static void the_template_wraps_the_text(void)
{
    gm_error err = {0};
    gm_encoder *encoder = NULL;
    gm_ids ids = {0};
    gm_encoded about = {.n_before = 9, .n_after = 9};
    gm_tokenizer *t = test_tokenizer((parts){
        .template = "{\"type\":\"Sequence\",\"processors\":[{\"type\":\"ByteLevel\"},{\"type\":"
                    "\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"s\"}},{"
                    "\"Sequence\":{\"id\":\"A\"}},{\"SpecialToken\":{\"id\":\"s\"}}],\"special_"
                    "tokens\":{\"s\":{\"ids\":[3,5]}}},{\"type\":\"BertProcessing\",\"cls\":[\"c\","
                    "2],\"sep\":[\"d\",3]}]}"});
    check_encoded(t, "ab", "2 3 5 6 3 5 3", "0 0 0 2 2 2 2");
    CHECK_OK(gm_encoder_create(&encoder, t, &err), err);
    CHECK_OK(gm_encode(encoder, "ab", 2, true, &ids, &about, &err), err);
    CHECK(about.n_before == 3 && about.n_after == 3);
    ids.n = 0;
    CHECK_OK(gm_encode(encoder, "ab", 2, false, &ids, &about, &err), err);
    CHECK(about.n_before == 0 && about.n_after == 0 && ids.n == 1);
    gm_ids_clear(&ids);
    gm_encoder_free(encoder);
    gm_tokenizer_close(t);
}

static void text_that_is_not_utf8_is_refused_whole(void)
{
    gm_error err;
    gm_encoder *encoder = NULL;
    gm_ids ids = {0}, ends = {0};
    gm_encoded about = {.ends = &ends};
    gm_tokenizer *t = test_tokenizer((parts){0});
    CHECK_OK(gm_encoder_create(&encoder, t, &err), err);
    CHECK_OK(gm_ids_append(&ids, 7, &err), err);
    CHECK_FAILS(gm_encode(encoder, "ab\xC3", 3, true, &ids, &about, &err), err, GM_EFORMAT,
                "byte 2");
    CHECK(ids.n == 1 && ends.n == 0);
    gm_ids_clear(&ids);
    gm_ids_clear(&ends);
    gm_encoder_free(encoder);
    gm_tokenizer_close(t);
}

static void check_piece(parts p, uint32_t id, const char *want)
{
    gm_error err = {0};
    gm_text bytes = {0};
    gm_tokenizer *t = test_tokenizer(p);
    CHECK_OK(gm_text_add(&bytes, "|", &err), err);
    CHECK_OK(gm_tokenizer_piece(t, id, &bytes, &err), err);
    CHECK_TEXT(bytes.at, want);
    CHECK_FAILS(gm_tokenizer_piece(t, 11, &bytes, &err), err, GM_EARG, "token id 11");
    gm_text_clear(&bytes);
    gm_tokenizer_close(t);
}

/* What a token adds inside of a text: the ends of the whole are none of its. */
static void a_piece_is_what_a_token_adds(void)
{
    parts p = {.vocab = "{\"a\":0,\"_b\":1,\"<0xD1>\":2,\"_\":10}", .merges = "[]"};
    check_piece(p, 0, "| a");
    check_piece(p, 5, "|");
    p.decoder = "{\"type\":\"Metaspace\",\"replacement\":\"_\"}";
    check_piece(p, 1, "| b");
    check_piece(p, 2, "|<0xD1>");
    p.decoder =
        "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":"
        "\"_\"},\"content\":\" \"},{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"},{\"type\":"
        "\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}]}";
    check_piece(p, 1, "| b");
    check_piece(p, 2, "|\xD1");
    check_piece(p, 10, "| ");
    p.decoder = "{\"type\":\"ByteLevel\"}";
    p.vocab = "{\"\xC4\xA0\xC3\x91\":0,\"a\":10}"; /* a space, then byte D1 */
    check_piece(p, 0, "| \xD1");
}

static void tokens_are_found_by_id_and_spelling(void)
{
    uint32_t id = 0;
    size_t n = 0;
    gm_tokenizer *t = test_tokenizer((parts){.added = ADDED(10, "<x>", "")});
    CHECK_INT(gm_tokenizer_size(t), 11);
    CHECK(gm_tokenizer_find(t, "<x>", &id) && id == 10);
    CHECK(gm_tokenizer_find(t, "abc", &id) && id == 8);
    CHECK(!gm_tokenizer_find(t, "abcd", &id));
    CHECK_TEXT(gm_tokenizer_spelling(t, 10, &n), "<x>");
    CHECK_INT(n, 3);
    CHECK(gm_tokenizer_spelling(t, 11, &n) == NULL && n == 0);
    CHECK_INT(strlen(gm_tokenizer_digest(t)), 64);
    gm_tokenizer_close(t);
}

static void check_refused(parts p, const char *why)
{
    gm_error err;
    gm_tokenizer *t = (gm_tokenizer *)&err;
    gm_text json = test_json(p);
    long before = gm_alloc_live();
    CHECK_FAILS(gm_tokenizer_parse(&t, json.at, json.n, "test.json", &err), err, GM_EFORMAT, why);
    CHECK(t == NULL);
    CHECK_INT(gm_alloc_live(), before);
    gm_text_clear(&json);
}

static void what_is_not_understood_is_named(void)
{
    check_refused((parts){.normalizer = "{\"type\":\"BertNormalizer\"}"}, "'BertNormalizer'");
    check_refused((parts){.splitter = "{\"type\":\"UnicodeScripts\"}"}, "'UnicodeScripts'");
    check_refused((parts){.template = "{\"type\":\"Novel\"}"}, "'Novel'");
    check_refused((parts){.decoder = "{\"type\":\"WordPiece\"}"}, "'WordPiece'");
    check_refused((parts){.options = "\"dropout\":0.1,"}, "dropout");
    check_refused((parts){.options = "\"end_of_word_suffix\":\"</w>\","}, "'end_of_word_suffix'");
    check_refused((parts){.splitter = "{\"type\":\"Sequence\",\"pretokenizers\":[" BYTE_LEVEL
                                      ",{\"type\":\"Digits\"}]}"},
                  "'Digits' after 'ByteLevel'");
    check_refused((parts){.splitter = "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"\\\\w+\"},"
                                      "\"behavior\":\"Isolated\"}"},
                  "'\\w' at byte 0");
    check_refused((parts){.splitter = "{\"type\":\"Split\",\"pattern\":{\"String\":\"a\"},"
                                      "\"behavior\":\"Sideways\"}"},
                  "'Sideways'");
}

#define META(scheme) \
    "{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":\"" scheme "\"}"
#define REPLACE_WITH(regex, content) \
    "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"" regex "\"},\"content\":\"" content "\"}"
#define REPLACE(regex) REPLACE_WITH(regex, "b")

/* Where the reference gives ids that hang on chance, fails, or counts places
 * differently (engine/tokenizer/README.md, traps). */
static void what_the_reference_does_by_chance_is_refused(void)
{
    check_refused((parts){.normalizer = "{\"type\":\"Lowercase\"}",
                          .added =
                              "[{\"id\":10,\"content\":\"<X>\",\"normalized\":true},{\"id\":11,"
                              "\"content\":\"<x>\",\"normalized\":true}]"},
                  "'<X>' and '<x>' are the same");
    check_refused((parts){.normalizer = REPLACE("a"),
                          .added =
                              "[{\"id\":10,\"content\":\"<a>\",\"normalized\":true},{\"id\":11,"
                              "\"content\":\"<b>\",\"normalized\":true}]"},
                  "'<a>' and '<b>' are the same");
    check_refused((parts){.normalizer = "{\"type\":\"Strip\"}",
                          .added = "[{\"id\":10,\"content\":\"  \",\"normalized\":true}]"},
                  "added token '  ' is empty once it is normalized");
    check_refused((parts){.normalizer = REPLACE("x*")}, "may match nothing, 'x*'");
    check_refused((parts){.normalizer = REPLACE("a"), .splitter = META("first")}, "'Metaspace'");
    check_once((parts){.splitter = META("first")}, "ab", "6", "2");
    check_once((parts){.normalizer = REPLACE("a"), .splitter = META("always")}, "ac", "7", "2");
}

static void numbers_that_do_not_fit_are_named(void)
{
    check_refused((parts){.vocab = "{\"a\":0,\"b\":0}", .merges = "[]"}, "same id 0");
    check_refused((parts){.vocab = "{\"a\":-1}", .merges = "[]"}, "'a'");
    check_refused((parts){.vocab = "{\"a\":4000000000}", .merges = "[]"}, "'a'");
    check_refused((parts){.vocab = "{\"a\":0.5}", .merges = "[]"}, "'a'");
    check_refused((parts){.vocab = "[]"}, "'vocab'");
    check_refused((parts){.vocab = "{}", .merges = "[]"}, "no tokens");
    check_refused((parts){.merges = "[\"a b\",\"b x\"]"}, "merge 1, 'b' and 'x': the second");
    check_refused((parts){.merges = "[[\"d\",\"d\"]]"}, "merge 0, 'd' and 'd': the two joined");
    check_refused((parts){.merges = "[\"ab\"]"}, "merge 0 is not a pair");
    check_refused((parts){.merges = "[\"a b c\"]"}, "merge 0 is not a pair");
    check_refused((parts){.merges = "[[\"a\",1]]"}, "merge 0 is not a pair");
    check_refused((parts){.added = ADDED(12, "<x>", "")}, "'<x>' has id 12, expected 10");
    check_refused((parts){.added = ADDED(3, "a", "")}, "'a' has id 3, expected 0");
    check_refused((parts){.added = "[{\"id\":0,\"content\":\"a\"},{\"id\":0,\"content\":\"a\"}]"},
                  "same id 0");
    check_refused((parts){.added = "[{\"id\":10,\"content\":\"\"}]"}, "no content");
    check_refused((parts){.template = "{\"type\":\"BertProcessing\",\"cls\":[\"c\",99],\"sep\":["
                                      "\"d\",3]}"},
                  "id 99");
}

static void a_model_of_another_kind_is_named(void)
{
    gm_error err;
    gm_tokenizer *t = NULL;
    const char *json = "{\"model\":{\"type\":\"Unigram\",\"vocab\":{\"a\":0}}}";
    CHECK_FAILS(gm_tokenizer_parse(&t, json, strlen(json), "u.json", &err), err, GM_EFORMAT,
                "'u.json': model 'Unigram'");
    CHECK_FAILS(gm_tokenizer_parse(&t, "[]", 2, "u.json", &err), err, GM_EFORMAT, "u.json");
    CHECK_FAILS(gm_tokenizer_open(&t, "absent-folder", &err), err, GM_EIO,
                "model folder 'absent-folder' does not exist");
}

/* A thread's share: the same texts, many times, with an encoder of its own. */
static void *encode_often(void *tokenizer)
{
    for (int i = 0; i < 50; i++) {
        check_encoded(tokenizer, "<x> ABDD e\xCC\x81 bc 12", "10 4 8 4 4 7 4", NULL);
        check_encoded(tokenizer, "abc", "8", "3");
    }
    return NULL;
}

static void threads_share_a_tokenizer(void)
{
    pthread_t thread[4];
    gm_tokenizer *t = test_tokenizer(
        (parts){.added = ADDED(10, "<x>", ""),
                .normalizer = "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Lowercase\"},"
                              "{\"type\":\"NFC\"}," REPLACE_WITH("d+", "c") "]}",
                .splitter = BYTE_LEVEL});
    for (int i = 0; i < 4; i++) CHECK_INT(pthread_create(&thread[i], NULL, encode_often, t), 0);
    for (int i = 0; i < 4; i++) CHECK_INT(pthread_join(thread[i], NULL), 0);
    gm_tokenizer_close(t);
}

/* From the file to the text that comes back, on a text that is given in `state`. */
static gm_status attempt(void *state, gm_error *err)
{
    const gm_text *given = state;
    gm_status status = GM_OK;
    gm_tokenizer *t = NULL;
    gm_encoder *encoder = NULL;
    gm_stream stream = {0};
    gm_ids ids = {0}, ends = {0};
    gm_encoded about = {.ends = &ends};
    gm_text text = {0};
    GM_TRY(gm_tokenizer_open(&t, ".", err));
    GM_TRY(gm_encoder_create(&encoder, t, err));
    GM_TRY(gm_encode(encoder, given->at, given->n, true, &ids, &about, err));
    GM_TRY(gm_decode(t, ids.at, ids.n, false, &text, err));
    gm_stream_init(&stream, t, true);
    for (size_t i = 0; i < ids.n; i++) GM_TRY(gm_stream_add(&stream, ids.at[i], &text, err));
    GM_TRY(gm_stream_end(&stream, &text, err));
out:
    if (status != GM_OK && encoder) CHECK(ids.n == ends.n);
    gm_stream_clear(&stream);
    gm_text_clear(&text);
    gm_ids_clear(&ids);
    gm_ids_clear(&ends);
    gm_encoder_free(encoder);
    gm_tokenizer_close(t);
    return status;
}

static void check_allocations(parts p)
{
    gm_text json = test_json(p), text = {0};
    FILE *file = fopen("tokenizer.json", "wb");
    CHECK(file != NULL && fwrite(json.at, 1, json.n, file) == json.n && fclose(file) == 0);
    /* words, marks, and a piece that is longer than the room that there is at first */
    CHECK(gm_text_add(&text, "A <x> abc e\xCC\x81 bc \xD1\x8F", NULL) == GM_OK);
    for (int i = 0; i < 300; i++) CHECK(gm_text_add(&text, "ab", NULL) == GM_OK);
    check_every_allocation(attempt, &text);
    gm_text_clear(&text);
    gm_text_clear(&json);
}

static void survives_every_allocation_failure(void)
{
    check_allocations((parts){
        .added = "[{\"id\":10,\"content\":\"<x>\",\"normalized\":true}]",
        .normalizer = "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Lowercase\"},{\"type\":"
                      "\"NFC\"}," REPLACE("d") "]}",
        .splitter =
            "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\"}," BYTE_LEVEL "]}",
        .template = "{\"type\":\"BertProcessing\",\"cls\":[\"c\",2],\"sep\":[\"d\",3]}",
        .decoder = "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"ByteLevel\"},{\"type\":"
                   "\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}]}"});
    check_allocations((parts){
        .added = "[{\"id\":10,\"content\":\"<x>\",\"special\":true,\"rstrip\":true}]",
        .normalizer =
            "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":\"e\"}"
            ",{\"type\":\"Replace\",\"pattern\":{\"String\":\"d\"},\"content\":\"\"}]}",
        .splitter = META("always"),
        .options = "\"unk_token\":\"a\",\"byte_fallback\":true,",
        .template =
            "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"s\"}},{"
            "\"Sequence\":{\"id\":\"A\"}}],\"special_tokens\":{\"s\":{\"ids\":[3]}}}",
        .decoder =
            "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":"
            "\"_\"},\"content\":\" \"},{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"},{\"type\":"
            "\"Metaspace\",\"replacement\":\"_\"}]}"});
}

TESTS(TEST(pieces_become_tokens_by_rank), TEST(characters_without_a_token_are_dropped_or_unknown),
      TEST(an_unknown_token_that_is_missing_fails_when_needed), TEST(whole_pieces_go_before_merges),
      TEST(merges_reach_over_the_beginnings_of_words), TEST(added_tokens_cut_the_text),
      TEST(the_longest_added_token_wins), TEST(the_template_wraps_the_text),
      TEST(text_that_is_not_utf8_is_refused_whole), TEST(tokens_are_found_by_id_and_spelling),
      TEST(a_piece_is_what_a_token_adds), TEST(what_is_not_understood_is_named),
      TEST(what_the_reference_does_by_chance_is_refused), TEST(numbers_that_do_not_fit_are_named),
      TEST(a_model_of_another_kind_is_named), TEST(threads_share_a_tokenizer),
      TEST(survives_every_allocation_failure))
