/* tokenizer_json.h - small tokenizer.json texts for tests, written part by part. */
#ifndef GM_TEST_TOKENIZER_JSON_H
#define GM_TEST_TOKENIZER_JSON_H

#include "engine/tokenizer/tokenizer.h"
#include "tests/check.h"

/* Members of the file that differ from a tokenizer without any; NULL: null. */
typedef struct parts {
    const char *added, *normalizer, *splitter, *template, *decoder;
    const char *options; /* of the model, each followed by a comma */
    const char *vocab, *merges;
} parts;

/* Six letters and what joins them. */
#define TEST_VOCAB                                                                         \
    "{\"a\":0,\"b\":1,\"c\":2,\"d\":3,\"\xC4\xA0\":4,\"e\":5,\"ab\":6,\"bc\":7,\"abc\":8," \
    "\"\xC4\xA0"                                                                           \
    "a\":9}"
#define TEST_MERGES "[\"a b\",\"b c\",[\"ab\",\"c\"],\"\xC4\xA0 a\"]"

static inline const char *or_else(const char *text, const char *fallback)
{
    return text ? text : fallback;
}

/* The file as a text; the caller clears it. */
static inline gm_text test_json(parts p)
{
    gm_text out = {0};
    gm_error err = {0};
    CHECK_OK(gm_text_printf(&out, &err,
                            "{\"added_tokens\":%s,\"normalizer\":%s,\"pre_tokenizer\":%s,"
                            "\"post_processor\":%s,\"decoder\":%s,\"model\":{\"type\":\"BPE\",%s"
                            "\"vocab\":%s,\"merges\":%s}}",
                            or_else(p.added, "[]"), or_else(p.normalizer, "null"),
                            or_else(p.splitter, "null"), or_else(p.template, "null"),
                            or_else(p.decoder, "null"), or_else(p.options, ""),
                            or_else(p.vocab, TEST_VOCAB), or_else(p.merges, TEST_MERGES)),
             err);
    return out;
}

static inline gm_tokenizer *test_tokenizer(parts p)
{
    gm_error err = {0};
    gm_tokenizer *t = NULL;
    gm_text json = test_json(p);
    CHECK_OK(gm_tokenizer_parse(&t, json.at, json.n, "test.json", &err), err);
    gm_text_clear(&json);
    if (t == NULL) exit(1);
    return t;
}

/* The ids of a text, or its ends, as "1 2 3" in `out`. */
static inline void write_ids(const gm_ids *ids, char *out, size_t cap)
{
    size_t n = 0;
    out[0] = '\0';
    for (size_t i = 0; i < ids->n && n < cap; i++)
        n += (size_t)snprintf(out + n, cap - n, "%s%u", i ? " " : "", ids->at[i]);
}

/* Encode a C string with the tokenizer and compare ids and (unless NULL) ends. */
static inline void check_encoded(const gm_tokenizer *t, const char *text, const char *ids,
                                 const char *ends)
{
    gm_error err = {0};
    gm_encoder *encoder = NULL;
    gm_ids got = {0}, got_ends = {0};
    gm_encoded about = {.ends = &got_ends};
    char shown[1024];
    CHECK_OK(gm_encoder_create(&encoder, t, &err), err);
    CHECK_OK(gm_encode(encoder, text, strlen(text), true, &got, &about, &err), err);
    write_ids(&got, shown, sizeof shown);
    CHECK_TEXT(shown, ids);
    write_ids(&got_ends, shown, sizeof shown);
    if (ends) CHECK_TEXT(shown, ends);
    gm_ids_clear(&got);
    gm_ids_clear(&got_ends);
    gm_encoder_free(encoder);
}

/* One tokenizer, one text. */
static inline void check_once(parts p, const char *text, const char *ids, const char *ends)
{
    gm_tokenizer *t = test_tokenizer(p);
    check_encoded(t, text, ids, ends);
    gm_tokenizer_close(t);
}

#endif
