/* test_tokenizer_golden.c - encoding, decoding and streaming against Hugging Face's
 * tokenizers (tests/golden/README.md, "tokenizers"). All comparisons are exact.
 *
 * The tiny tokenizer files are committed and always run; the ten of real models,
 * and the documents of the minipile, are in the shared folder or the test is
 * skipped.
 */
#define _GNU_SOURCE /* memmem */
#include "base/json.h"
#include "base/safetensors.h"
#include "engine/tokenizer/tokenizer.h"
#include "tests/check.h"
#include "text/corpus.h"
#include "text/source.h"

#define FOLDER TEST_DATA "/golden/tokenizers/"

enum { MAX_JSON = 64 << 20, MAX_INPUTS = 200 };

/* ---- reading the goldens ---- */

/* The bytes that a base64 text stands for; the caller clears them. */
static gm_text from_base64(const char *text)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    gm_text out = {0};
    uint32_t bits = 0;
    int n_bits = 0;
    CHECK(gm_text_reserve(&out, strlen(text), NULL) == GM_OK);
    for (; *text && *text != '='; text++) {
        const char *digit = strchr(digits, *text);
        CHECK(digit != NULL);
        bits = bits << 6 | (uint32_t)(digit ? digit - digits : 0);
        n_bits += 6;
        if (n_bits < 8) continue;
        n_bits -= 8;
        char byte = (char)(bits >> n_bits & 0xFF);
        CHECK(gm_text_append(&out, &byte, 1, NULL) == GM_OK);
    }
    return out;
}

static const char *text_of(const gm_json *object, const char *key)
{
    const gm_json *value = gm_json_find(object, key);
    return value ? gm_json_text(value, NULL) : NULL;
}

static int64_t number_of(const gm_json *object, const char *key, int64_t fallback)
{
    int64_t number = fallback;
    const gm_json *value = gm_json_find(object, key);
    if (value) CHECK(gm_json_i64(value, &number));
    return number;
}

static gm_json *read_json(const char *path)
{
    gm_error err = {0};
    gm_json *json = NULL;
    CHECK_OK(gm_json_read_file(&json, path, MAX_JSON, &err), err);
    if (json == NULL) exit(1);
    return json;
}

/* The members of a list of the golden; NULL when it has none. */
static const gm_json *first_of(const gm_json *golden, const char *key)
{
    const gm_json *list = gm_json_find(golden, key);
    return list ? gm_json_first(list) : NULL;
}

static gm_ids ids_of(const gm_json *list)
{
    gm_ids ids = {0};
    for (const gm_json *item = gm_json_first(list); item; item = gm_json_next(item)) {
        int64_t id = 0;
        CHECK(gm_json_i64(item, &id) && gm_ids_append(&ids, (uint32_t)id, NULL) == GM_OK);
    }
    return ids;
}

static uint32_t fnv1a(const gm_ids *ids)
{
    uint32_t hash = 0x811c9dc5u;
    for (size_t i = 0; i < ids->n; i++)
        for (int shift = 0; shift < 32; shift += 8)
            hash = (hash ^ (ids->at[i] >> shift & 0xFF)) * 0x01000193u;
    return hash;
}

/* ---- one tokenizer and its golden ---- */

typedef struct bench {
    const char *name; /* of the golden */
    gm_tokenizer *tokenizer;
    gm_encoder *encoder;
    gm_json *golden, *nasty;
    gm_ids encoded[MAX_INPUTS]; /* of the inputs, in the order of "encode" */
    size_t n;
} bench;

static bool bench_open(bench *b, const char *name, const char *file)
{
    gm_error err = {0};
    char path[4096];
    *b = (bench){.name = name};
    CHECK_OK(gm_tokenizer_open(&b->tokenizer, file, &err), err);
    if (b->tokenizer == NULL) return false;
    CHECK_OK(gm_encoder_create(&b->encoder, b->tokenizer, &err), err);
    snprintf(path, sizeof path, FOLDER "%s.golden.json", name);
    b->golden = read_json(path);
    b->nasty = read_json(FOLDER "nasty.json");
    CHECK_TEXT(gm_tokenizer_digest(b->tokenizer), text_of(b->golden, "sha256"));
    return b->encoder != NULL;
}

static void bench_close(bench *b)
{
    for (size_t i = 0; i < b->n; i++) gm_ids_clear(&b->encoded[i]);
    gm_json_free(b->golden);
    gm_json_free(b->nasty);
    gm_encoder_free(b->encoder);
    gm_tokenizer_close(b->tokenizer);
}

static gm_text input_named(const bench *b, const char *name)
{
    const gm_json *item = first_of(b->nasty, "inputs");
    while (item && strcmp(text_of(item, "name"), name) != 0) item = gm_json_next(item);
    if (item == NULL) {
        TEST_FAILED_("%s: no input '%s'", b->name, name);
        exit(1);
    }
    gm_text piece = from_base64(text_of(item, "base64")), out = {0};
    int64_t repeat = number_of(item, "repeat", 1);
    for (int64_t i = 0; i < repeat; i++)
        CHECK(gm_text_append(&out, piece.at, piece.n, NULL) == GM_OK);
    gm_text_clear(&piece);
    return out;
}

/* Ends rise, stay within the text, and are never inside a character. */
static void check_ends(const bench *b, const char *input, const gm_text *text, const gm_ids *ends)
{
    for (size_t i = 0; i < ends->n; i++) {
        bool rises = i == 0 || ends->at[i - 1] <= ends->at[i];
        bool fits = ends->at[i] <= text->n;
        if (rises && fits && ((unsigned char)text->at[ends->at[i]] & 0xC0) != 0x80) continue;
        TEST_FAILED_("%s, '%s': token %zu ends at byte %u", b->name, input, i, ends->at[i]);
        return;
    }
}

static gm_ids encode_input(bench *b, const gm_json *entry)
{
    gm_error err = {0};
    gm_ids ids = {0}, ends = {0};
    gm_encoded about = {.ends = &ends};
    const char *name = text_of(entry, "name");
    gm_text text = input_named(b, name);
    CHECK_OK(gm_encode(b->encoder, text.at, text.n, true, &ids, &about, &err), err);
    CHECK_INT(about.n_before, number_of(b->golden, "template_tokens", -1));
    CHECK_INT(about.n_after, 0);
    CHECK_INT(ends.n, ids.n);
    check_ends(b, name, &text, &ends);
    gm_ids_clear(&ends);
    gm_text_clear(&text);
    return ids;
}

static void check_encode(bench *b)
{
    const gm_json *entry = first_of(b->golden, "encode");
    for (; entry && b->n < MAX_INPUTS; entry = gm_json_next(entry)) {
        const gm_json *list = gm_json_find(entry, "ids");
        gm_ids ids = encode_input(b, entry);
        bool same;
        if (list) {
            gm_ids want = ids_of(list);
            same = ids.n == want.n && (ids.n == 0 || memcmp(ids.at, want.at, ids.n * 4) == 0);
            gm_ids_clear(&want);
        } else {
            same = (int64_t)ids.n == number_of(entry, "count", -1) &&
                   (int64_t)fnv1a(&ids) == number_of(entry, "fnv1a32", -1);
        }
        if (!same) TEST_FAILED_("%s: ids of '%s' differ", b->name, text_of(entry, "name"));
        b->encoded[b->n++] = ids;
    }
    CHECK(b->n > 80);
}

/* Our ids of an input, which check_encode has found right. */
static const gm_ids *encoded_named(const bench *b, const char *name)
{
    size_t i = 0;
    const gm_json *entry = first_of(b->golden, "encode");
    while (entry && strcmp(text_of(entry, "name"), name) != 0) entry = gm_json_next(entry), i++;
    return &b->encoded[i];
}

/* Pieces one after another are the text, but for a space that its beginning loses. Where bytes
 * are no UTF-8 the reference decides by what stands beside them. */
static void check_pieces(const bench *b, const gm_ids *ids, const gm_text *whole)
{
    gm_error err = {0};
    gm_text joined = {0};
    CHECK_OK(gm_text_add(&joined, "", &err), err);
    for (size_t i = 0; i < ids->n; i++)
        CHECK_OK(gm_tokenizer_piece(b->tokenizer, ids->at[i], &joined, &err), err);
    const size_t skip = joined.n == whole->n + 1 && joined.at[0] == ' ';
    if (whole->n > 0 && memmem(whole->at, whole->n, "\xEF\xBF\xBD", 3) == NULL &&
        (joined.n - skip != whole->n || memcmp(joined.at + skip, whole->at, whole->n) != 0))
        TEST_FAILED_("%s: pieces are %zu bytes, the text %zu", b->name, joined.n, whole->n);
    gm_text_clear(&joined);
}

/* All at once, and token by token. */
static void check_decoded(const bench *b, const gm_ids *ids, bool skip, const gm_text *want)
{
    gm_error err = {0};
    gm_text whole = {0}, streamed = {0};
    gm_stream stream;
    CHECK_OK(gm_decode(b->tokenizer, ids->at, ids->n, skip, &whole, &err), err);
    gm_stream_init(&stream, b->tokenizer, skip);
    for (size_t i = 0; i < ids->n; i++) {
        CHECK_OK(gm_stream_add(&stream, ids->at[i], &streamed, &err), err);
        CHECK(gm_utf8_valid(streamed.at, streamed.n) == streamed.n);
    }
    CHECK_OK(gm_stream_end(&stream, &streamed, &err), err);
    gm_stream_clear(&stream);

    if (!skip) check_pieces(b, ids, &whole);
    CHECK_INT(whole.n, want->n);
    CHECK_INT(streamed.n, want->n);
    if (whole.n == want->n) CHECK_BYTES(whole.at, want->at, want->n);
    if (streamed.n == want->n) CHECK_BYTES(streamed.at, want->at, want->n);
    gm_text_clear(&whole);
    gm_text_clear(&streamed);
}

/* The text with special tokens: said, or the input after what is said to come before it. */
static gm_text kept_of(const bench *b, const gm_json *entry)
{
    const char *said = text_of(entry, "keep_special"), *before = text_of(entry, "before");
    if (said) return from_base64(said);
    gm_text out = from_base64(before ? before : ""), input = input_named(b, text_of(entry, "name"));
    CHECK(gm_text_append(&out, input.at, input.n, NULL) == GM_OK);
    gm_text_clear(&input);
    return out;
}

/* And without them: said, or the same less what comes before the input. */
static gm_text skipped_of(const bench *b, const gm_json *entry)
{
    const char *said = text_of(entry, "skip_special");
    if (said) return from_base64(said);
    if (text_of(entry, "keep_special")) return kept_of(b, entry);
    return input_named(b, text_of(entry, "name"));
}

static void check_decode(const bench *b)
{
    const gm_json *entry = first_of(b->golden, "decode");
    for (; entry; entry = gm_json_next(entry)) {
        const gm_json *list = gm_json_find(entry, "ids");
        gm_ids own = list ? ids_of(list) : (gm_ids){0};
        const gm_ids *ids = list ? &own : encoded_named(b, text_of(entry, "name"));
        gm_text kept = kept_of(b, entry), skipped = skipped_of(b, entry);
        check_decoded(b, ids, false, &kept);
        check_decoded(b, ids, true, &skipped);
        gm_text_clear(&kept);
        gm_text_clear(&skipped);
        gm_ids_clear(&own);
    }
}

/* After every token at least as much was given as the reference gives. */
static void check_stream(const bench *b)
{
    const gm_json *entry = first_of(b->golden, "stream");
    for (; entry; entry = gm_json_next(entry)) {
        gm_error err = {0};
        gm_text given = {0};
        gm_stream stream;
        size_t n_theirs = 0, i = 0;
        const gm_ids *ids = encoded_named(b, text_of(entry, "name"));
        const gm_json *chunk = gm_json_first(gm_json_find(entry, "chunks"));
        gm_stream_init(&stream, b->tokenizer, true);
        for (; chunk && i < ids->n; chunk = gm_json_next(chunk), i++) {
            gm_text theirs = from_base64(gm_json_text(chunk, NULL));
            n_theirs += theirs.n;
            gm_text_clear(&theirs);
            CHECK_OK(gm_stream_add(&stream, ids->at[i], &given, &err), err);
            if (given.n < n_theirs)
                TEST_FAILED_("%s, '%s': %zu bytes given after token %zu, the reference gives %zu",
                             b->name, text_of(entry, "name"), given.n, i, n_theirs);
        }
        CHECK_INT(i, ids->n);
        gm_stream_clear(&stream);
        gm_text_clear(&given);
    }
}

/* ---- the tests ---- */

static void tiny_tokenizers(void)
{
    static const char *const names[] = {"gigachat-like",      "ignore-merges",  "olmoe-like",
                                        "prefix-digits",      "qwen-like",      "unknown-fused",
                                        "sentencepiece-like", "unknown-single", "gemma-like"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        bench b;
        char name[64], path[4096];
        snprintf(name, sizeof name, "tiny/%s", names[i]);
        snprintf(path, sizeof path, FOLDER "%s.json", name);
        if (!bench_open(&b, name, path)) continue;
        check_encode(&b);
        check_decode(&b);
        /* There a run of byte tokens waits for its end: what comes may spoil it. */
        if (strcmp(names[i], "sentencepiece-like") != 0 && strcmp(names[i], "gemma-like") != 0)
            check_stream(&b);
        bench_close(&b);
    }
}

/* Unpack a file of the shared folder as `name` in the test's own folder. */
static void unpack(const char *shared, const char *file, const char *name)
{
    gm_error err = {0};
    gm_source *source = NULL;
    char path[4096], bytes[1 << 16];
    size_t n = 1;
    snprintf(path, sizeof path, "%s/tokenizers/%s", shared, file);
    CHECK_OK(gm_source_open(&source, path, &err), err);
    FILE *out = fopen(name, "wb");
    while (source && out && n > 0) {
        CHECK_OK(gm_source_read(source, bytes, sizeof bytes, &n, &err), err);
        CHECK(fwrite(bytes, 1, n, out) == n);
    }
    CHECK(out != NULL && fclose(out) == 0);
    gm_source_close(source);
}

/* The published tokenizer of a golden, out of the shared folder. */
static bool open_published(bench *b, const char *shared, const char *name, const char *copy)
{
    char path[4096];
    snprintf(path, sizeof path, FOLDER "%s.golden.json", name);
    gm_json *golden = read_json(path);
    unpack(shared, text_of(golden, "tokenizer"), copy);
    gm_json_free(golden);
    return bench_open(b, name, copy);
}

static void real_tokenizers(void)
{
    static const char *const names[] = {
        "gigachat-base", "gigachat-instruct", "olmoe",   "gigachat3", "qwen2",
        "deepseek-v3.1", "granite",           "phi-moe", "mixtral",   "gpt-oss"};
    const char *shared = test_shared();
    if (shared == NULL) TEST_SKIP("no shared folder (GM_SHARED)");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        bench b;
        if (!open_published(&b, shared, names[i], "real.json")) continue;
        check_encode(&b);
        check_decode(&b);
        check_stream(&b);
        bench_close(&b);
    }
}

/* The hash of every document's ids, for one tokenizer. */
static void check_minipile(const bench *b, const char *shared, const gm_safetensors *want)
{
    gm_error err = {0};
    char corpus_path[4096], hash_name[64];
    snprintf(corpus_path, sizeof corpus_path, "%s/minipile/test.jsonl.zst", shared);
    snprintf(hash_name, sizeof hash_name, "%s.fnv1a32", b->name);
    const gm_tensor *hash = gm_safetensors_find(want, hash_name);
    const char *path = corpus_path;
    gm_corpus *corpus = NULL;
    gm_ids ids = {0};
    size_t n = 0, n_wrong = 0;
    CHECK(hash != NULL);
    CHECK_OK(gm_corpus_open(&corpus, &path, 1, NULL, &err), err);
    for (bool more = true; corpus && hash && more;) {
        gm_document document;
        CHECK_OK(gm_corpus_next(corpus, &document, &more, &err), err);
        if (!more || n == hash->dim[0]) break;
        int32_t hash_want;
        memcpy(&hash_want, (const char *)hash->data + 4 * n, 4);
        ids.n = 0;
        CHECK_OK(gm_encode(b->encoder, document.text, document.n_bytes, true, &ids, NULL, &err),
                 err);
        n_wrong += fnv1a(&ids) != (uint32_t)hash_want;
        n++;
    }
    CHECK_INT(n, 4836);
    CHECK_INT(n_wrong, 0);
    gm_ids_clear(&ids);
    gm_corpus_close(corpus);
}

static void minipile_documents(void)
{
    static const char *const names[] = {"gigachat-base", "gigachat-instruct", "olmoe"};
    gm_error err = {0};
    gm_text bytes = {0};
    gm_safetensors want = {0};
    const char *shared = test_shared();
    if (shared == NULL) TEST_SKIP("no shared folder (GM_SHARED)");
    CHECK_OK(gm_text_read_file(&bytes, FOLDER "minipile-test.safetensors", MAX_JSON, &err), err);
    CHECK_OK(gm_safetensors_parse(&want, bytes.at, bytes.n, "minipile-test", &err), err);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        bench b;
        if (!open_published(&b, shared, names[i], "minipile.json")) continue;
        check_minipile(&b, shared, &want);
        bench_close(&b);
    }
    gm_safetensors_clear(&want);
    gm_text_clear(&bytes);
}

TESTS(TEST(tiny_tokenizers), TEST(real_tokenizers), TEST(minipile_documents))
