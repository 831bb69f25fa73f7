/* fuzz_tokenizer.c - any bytes as tokenizer.json, and any text for it to encode.
 *
 * The input is the JSON; after a first NUL, which JSON cannot hold, stands the
 * text. What is accepted must keep the promises of tokenizer.h: ends that never
 * fall and never lie inside a character, the same ids a second time, a stream that
 * gives what gm_decode gives.
 */
#include "engine/tokenizer/tokenizer.h"
#include "tests/fuzz/demand.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static bool same(const void *a, const void *b, size_t n)
{
    return n == 0 || memcmp(a, b, n) == 0;
}

/* Decoding all at once and one by one. */
static void decode(const gm_tokenizer *t, const gm_ids *ids, bool skip_specials)
{
    gm_error err = {0};
    gm_text whole = {0}, streamed = {0};
    gm_stream stream;
    demand(gm_decode(t, ids->at, ids->n, skip_specials, &whole, &err) == GM_OK);
    gm_stream_init(&stream, t, skip_specials);
    for (size_t i = 0; i < ids->n; i++) {
        demand(gm_stream_add(&stream, ids->at[i], &streamed, &err) == GM_OK);
        demand(gm_utf8_valid(streamed.at, streamed.n) == streamed.n);
    }
    demand(gm_stream_end(&stream, &streamed, &err) == GM_OK);
    demand(whole.n == streamed.n && same(whole.at, streamed.at, whole.n));
    demand(gm_utf8_valid(whole.at, whole.n) == whole.n);
    gm_stream_clear(&stream);
    gm_text_clear(&streamed);
    gm_text_clear(&whole);
}

static void check_ids(const gm_tokenizer *t, const char *text, size_t n, const gm_ids *ids,
                      const gm_ids *ends, size_t before, size_t after)
{
    demand(ends->n == ids->n && before + after <= ids->n);
    for (size_t i = 0; i < ids->n; i++) {
        demand(ids->at[i] < gm_tokenizer_size(t));
        demand(gm_tokenizer_spelling(t, ids->at[i], NULL) != NULL);
        demand(ends->at[i] <= n && !is_inside_character(text, n, ends->at[i]));
        demand(i == 0 || ends->at[i - 1] <= ends->at[i]);
        if (i < before) demand(ends->at[i] == 0);
        if (i + after >= ids->n) demand(ends->at[i] == n);
    }
}

static void encode(const gm_tokenizer *t, const char *text, size_t n)
{
    gm_error err = {0};
    gm_encoder *encoder = NULL;
    gm_ids ids = {0}, ends = {0}, again = {0};
    gm_encoded about = {.ends = &ends};
    demand(gm_encoder_create(&encoder, t, &err) == GM_OK);
    if (gm_encode(encoder, text, n, true, &ids, &about, &err) != GM_OK) {
        demand(ids.n == 0 && ends.n == 0 && err.text[0] != '\0');
    } else {
        check_ids(t, text, n, &ids, &ends, about.n_before, about.n_after);
        demand(gm_encode(encoder, text, n, false, &again, NULL, &err) == GM_OK);
        demand(again.n == ids.n - about.n_before - about.n_after);
        for (size_t i = 0; i < again.n; i++) demand(again.at[i] == ids.at[about.n_before + i]);
        decode(t, &ids, false);
        decode(t, &ids, true);
    }
    gm_ids_clear(&ids);
    gm_ids_clear(&ends);
    gm_ids_clear(&again);
    gm_encoder_free(encoder);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    const char *input = (const char *)bytes, *nul = n ? memchr(input, '\0', n) : NULL;
    const size_t n_json = nul ? (size_t)(nul - input) : n;
    gm_error err = {0};
    gm_tokenizer *t = NULL;
    if (gm_tokenizer_parse(&t, input, n_json, "input", &err) != GM_OK) {
        demand(t == NULL && err.text[0] != '\0');
        return 0;
    }
    encode(t, "", 0);
    encode(t, "A <x>  abc e\xCC\x81\n\xD1\x8F 12\xF0\x9F\x98\x80", 24);
    if (nul) encode(t, nul + 1, n - n_json - 1);
    gm_tokenizer_close(t);
    return 0;
}
