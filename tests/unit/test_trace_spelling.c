/* test_trace_spelling.c - formats/trace_spelling.c: texts put together from the tokens of a trace:
 * a file, a folder of shards, an index, a merge. */
#include "formats/trace.h"
#include "tests/written_sample.h"

#include <hdf5.h>

static sample s[2];

static gm_trace *open_trace(const char *path)
{
    gm_error err = {0};
    gm_trace *trace = NULL;
    CHECK_OK(gm_trace_open(&trace, path, &err), err);
    return trace;
}

/* Rows 1 to n-1 of a document: the pieces of positions 1, 2, 3, 0 and so on. A letter that is cut
 * after its first byte is none. */
static const char *const TEXT[SAMPLE_DOCUMENTS] = {"\xd1\x82"
                                                   "2",
                                                   "\xd1\x82"
                                                   "2 a1 ",
                                                   "\xd1\x82"
                                                   "2 a1\xd1\x82"
                                                   "2",
                                                   "\xd1\x82"
                                                   "2 a1\xd1\x82"
                                                   "2 a1 ",
                                                   "\xd1\x82"
                                                   "2 a1\xd1\x82"
                                                   "2 a1\xd1\x82"
                                                   "2"};

static void check_texts(gm_trace *trace, size_t n_blocks)
{
    gm_error err = {0};
    gm_text text = {0};
    size_t end[2 * SAMPLE_DOCUMENTS], n = n_blocks * SAMPLE_DOCUMENTS, at = 6;
    CHECK_OK(gm_text_add(&text, "before", &err), err);
    CHECK_OK(gm_trace_spell_texts(trace, 0, n, &text, end, &err), err);
    CHECK_INT(text.n, end[n - 1]);
    for (size_t i = 0; i < n; at = end[i++]) {
        const char *want = TEXT[i % SAMPLE_DOCUMENTS];
        CHECK_INT(end[i] - at, strlen(want));
        if (end[i] - at == strlen(want)) CHECK_BYTES(text.at + at, want, end[i] - at);
    }
    text.n = 0;
    CHECK_OK(gm_trace_spell_texts(trace, n - 1, 1, &text, end, &err), err);
    CHECK_TEXT(text.at, TEXT[SAMPLE_DOCUMENTS - 1]);
    CHECK_FAILS(gm_trace_spell_texts(trace, n, 1, &text, end, &err), err, GM_EARG, "document");
    gm_text_clear(&text);
}

static bool passes(gm_trace *trace, const char *name)
{
    gm_error err = {0};
    gm_trace_check check[GM_MAX_CHECKS];
    size_t n = 0;
    CHECK_OK(gm_trace_verify(trace, check, &n, &err), err);
    for (size_t i = 0; i < n; i++)
        if (strcmp(check[i].name, name) == 0) return check[i].passed;
    TEST_FAILED_("no check %s", name);
    return false;
}

/* Block b spells a token that the other does not: the last of its own. */
static void fill_blocks(void)
{
    for (uint64_t b = 0; b < 2; b++) {
        sample_fill(&s[b], GM_RECORD_CHOICES, 8, b);
        s[b].token_id[SAMPLE_ROWS - 1] += (uint32_t)b;
        sample_spell(&s[b]);
        s[b].info.has_text = false;
        s[b].info.has_language = true;
        for (int d = 0; d < SAMPLE_DOCUMENTS; d++)
            s[b].document[d].language = d % 2 ? "" : b ? "ru" : "en";
        s[b].block.more = b == 0;
    }
}

/* As the records of both blocks name them. */
static void check_languages(const gm_trace *trace)
{
    const gm_trace_samples *samples = gm_trace_get_samples(trace);
    if (samples->language == NULL) TEST_FAILED_("no languages");
    for (size_t i = 0; samples->language && i < samples->n; i++)
        CHECK_TEXT(samples->language[i], i % SAMPLE_DOCUMENTS % 2 ? ""
                                         : i >= SAMPLE_DOCUMENTS  ? "ru"
                                                                  : "en");
}

static void texts_come_from_tokens(void)
{
    static const char *const shard[] = {"0.h5", "1.h5"};
    static const char *const view[] = {"merged.h5", "index.h5"};
    gm_error err = {0};
    fill_blocks();
    for (int b = 0; b < 2; b++) {
        sample_write(&s[b], shard[b]);
        gm_trace *trace = open_trace(shard[b]);
        CHECK(gm_trace_get_info(trace)->has_spelling && !gm_trace_get_info(trace)->has_text);
        check_texts(trace, 1);
        CHECK(passes(trace, "spelling") && passes(trace, "digest"));
        gm_trace_close(trace);
    }
    CHECK_OK(gm_trace_merge("merged.h5", shard, 2, true, &err), err);
    CHECK_OK(gm_trace_index("index.h5", shard, 2, true, &err), err);
    for (int v = 0; v < 2; v++) {
        gm_trace *trace = open_trace(view[v]);
        check_texts(trace, 2);
        CHECK(passes(trace, "spelling") && passes(trace, "digest"));
        check_languages(trace);
        gm_trace_close(trace);
    }
}

static void a_trace_without_it_says_so(void)
{
    gm_error err = {0};
    gm_text text = {0};
    size_t end;
    sample_fill(&s[0], GM_RECORD_CHOICES, 8, 0);
    sample_write(&s[0], "plain.h5");
    gm_trace *trace = open_trace("plain.h5");
    CHECK(!gm_trace_get_info(trace)->has_spelling);
    CHECK(gm_trace_get_samples(trace)->language == NULL);
    CHECK_FAILS(gm_trace_spell_texts(trace, 0, 1, &text, &end, &err), err, GM_EABSENT,
                "'plain.h5' was recorded without the spelling of its tokens");
    gm_trace_close(trace);
}

static void what_is_not_in_order_is_not_written(void)
{
    static const char *const why[] = {"recorded together with choices",
                                      "recorded together with choices", "is out of order",
                                      "does not have 0 to 1024 bytes", "do not begin at byte 0"};
    for (int i = 0; i < 5; i++) {
        gm_error err = {0};
        fill_blocks();
        if (i == 0) s[0].info.level = GM_RECORD_COUNTS;
        if (i == 1) s[0].block.spelling = NULL;
        if (i == 2) s[0].spelt_id[4] = s[0].spelt_id[3];
        if (i == 3) s[0].spelt_offset[2] = 2000;
        if (i == 4) s[0].spelt_offset[0] = 1;
        CHECK_FAILS(gm_trace_write("no.h5", &s[0].info, &s[0].block, SAMPLE_REASONS, 2, true, &err),
                    err, GM_EARG, why[i]);
    }
}

static void shards_spell_alike(void)
{
    static const char *const shard[] = {"0.h5", "1.h5"};
    gm_error err = {0};
    fill_blocks();
    s[1].spelt_bytes[0] = 'x';
    for (int b = 0; b < 2; b++) sample_write(&s[b], shard[b]);
    CHECK_FAILS(gm_trace_merge("merged.h5", shard, 2, true, &err), err, GM_EFORMAT,
                "'1.h5' spells token 1 differently");
}

/* Overwrite item `at` of a dataset with a value. */
static void overwrite(const char *path, const char *name, hsize_t at, uint64_t value)
{
    const hsize_t one = 1;
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    hid_t set = H5Dopen2(file, name, H5P_DEFAULT), to = H5Dget_space(set);
    hid_t from = H5Screate_simple(1, &one, NULL);
    CHECK(H5Sselect_hyperslab(to, H5S_SELECT_SET, &at, NULL, &one, NULL) >= 0);
    CHECK(H5Dwrite(set, H5T_NATIVE_UINT64, from, to, H5P_DEFAULT, &value) >= 0);
    H5Sclose(from);
    H5Sclose(to);
    H5Dclose(set);
    H5Fclose(file);
}

static void damage_is_named(void)
{
    static const struct {
        const char *set;
        hsize_t at;
        uint64_t value;
        const char *why;
    } damage[] = {{"/spelling/token_id", 1, 3, "a token of document 0 has no spelling"},
                  {"/spelling/token_id", 2, 2, "token 2 is out of order"},
                  {"/spelling/token_id", 34, 1 << 24, "is out of order"},
                  {"/spelling/offset", 35, 50, "spellings of the tokens end at byte 50, expected"},
                  {"/spelling/offset", 3, UINT64_C(1) << 60, "does not have 0 to 1024 bytes"}};
    for (size_t i = 0; i < sizeof damage / sizeof *damage; i++) {
        gm_error err = {0};
        gm_text text = {0};
        size_t end[SAMPLE_DOCUMENTS];
        fill_blocks();
        CHECK_INT(s[0].spelling.n, 35);
        if (i == 0) s[0].token_id[2] = 7; /* which nothing spells */
        sample_write(&s[0], "bad.h5");
        if (i > 0) overwrite("bad.h5", damage[i].set, damage[i].at, damage[i].value);
        gm_trace *trace = open_trace("bad.h5");
        CHECK_FAILS(gm_trace_spell_texts(trace, 0, SAMPLE_DOCUMENTS, &text, end, &err), err,
                    GM_EFORMAT, damage[i].why);
        CHECK_INT(text.n, 0);
        CHECK(!passes(trace, "spelling"));
        gm_trace_close(trace);
        gm_text_clear(&text);
    }
}

static gm_status open_and_spell(void *state, gm_error *err)
{
    gm_trace *trace = NULL;
    gm_text text = {0};
    size_t end[2 * SAMPLE_DOCUMENTS];
    (void)state;
    const long left = gm_alloc_fail_after(-1); /* opening has a test of its own */
    gm_status status = gm_trace_open(&trace, "index.h5", err);
    gm_alloc_fail_after(left);
    if (status == GM_OK)
        status = gm_trace_spell_texts(trace, 0, 2 * SAMPLE_DOCUMENTS, &text, end, err);
    gm_trace_close(trace);
    gm_text_clear(&text);
    return status;
}

static void survives_every_allocation_failure(void)
{
    static const char *const shard[] = {"0.h5", "1.h5"};
    gm_error err = {0};
    fill_blocks();
    sample_write(&s[0], "0.h5");
    sample_write(&s[1], "1.h5");
    CHECK_OK(gm_trace_index("index.h5", shard, 2, true, &err), err);
    check_every_allocation(open_and_spell, NULL);
}

TESTS(TEST(texts_come_from_tokens), TEST(a_trace_without_it_says_so),
      TEST(what_is_not_in_order_is_not_written), TEST(shards_spell_alike), TEST(damage_is_named),
      TEST(survives_every_allocation_failure))
