/* fuzz_corpus.c - any bytes as a corpus file: every line becomes a document, usable
 * or with a reason, and the same again when it is read again.
 *
 * The first byte of the input chooses kind and options, the rest is the file.
 */
#include "base/sha256.h"
#include "text/corpus.h"
#include "tests/fuzz/demand.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check_document(const gm_document *d, bool lines, uint64_t number)
{
    uint8_t sha[32];
    demand(d->line == (lines ? number : 0));
    demand(d->skip >= 0 && d->skip < GM_SKIP_TOO_SHORT);
    if (d->skip != GM_SKIP_NONE) {
        demand(d->n_bytes == 0 && d->why_not[0] != '\0');
        return;
    }
    demand(d->n_bytes > 0 && gm_utf8_valid(d->text, d->n_bytes) == d->n_bytes);
    demand(gm_utf8_valid(d->subset, strlen(d->subset)) == strlen(d->subset));
    gm_sha256_of(d->text, d->n_bytes, sha);
    demand(memcmp(sha, d->sha, sizeof sha) == 0);
}

/* How many documents come, a hash of them, and how many of them were skipped; or that none do. */
typedef struct summary {
    uint64_t n, hash, n_skipped;
    gm_status status;
    bool refused;
} summary;

static summary read_all(const char *path, bool lines, const gm_corpus_options *options)
{
    summary s = {0};
    gm_error err = {0};
    gm_corpus *corpus = NULL;
    gm_document d;
    s.status = gm_corpus_open(&corpus, &path, 1, options, &err);
    if (s.status != GM_OK) { /* it begins as a picture does, or another file that is no corpus */
        demand(s.status == GM_EFORMAT && corpus == NULL && err.text[0] != '\0');
        s.refused = true;
        return s;
    }
    for (bool more = true;;) {
        s.status = gm_corpus_next(corpus, &d, &more, &err);
        demand(s.status == GM_OK || err.text[0] != '\0');
        if (s.status != GM_OK || !more) break;
        check_document(&d, lines, ++s.n);
        s.n_skipped += d.skip != GM_SKIP_NONE;
        s.hash = s.hash * 31 + (uint64_t)d.skip;
        for (size_t i = 0; i < d.n_bytes; i++) s.hash = s.hash * 31 + (unsigned char)d.text[i];
    }
    uint64_t done, total;
    gm_corpus_progress(corpus, &done, &total);
    demand(done <= total);
    gm_corpus_close(corpus);
    return s;
}

static uint64_t count_lines(const uint8_t *bytes, size_t n)
{
    uint64_t n_lines = n > 0 && bytes[n - 1] != '\n';
    for (size_t i = 0; i < n; i++) n_lines += bytes[i] == '\n';
    return n_lines;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static const char *const names[] = {"fuzz.corpus.jsonl", "fuzz.corpus.jsonl.zst",
                                        "fuzz.corpus.jsonl.gz", "fuzz.corpus.txt"};
    if (n == 0) return 0;
    const unsigned kind = bytes[0] & 3;
    const char *path = names[kind];
    gm_corpus_options options = {.max_line_bytes = bytes[0] & 4 ? 40 : 0,
                                 .text_field = bytes[0] & 8 ? "meta.text" : NULL};
    write_input(path, bytes + 1, n - 1);
    summary s = read_all(path, kind < 3, &options), again = read_all(path, kind < 3, &options);
    demand(s.n == again.n && s.hash == again.hash && s.status == again.status);
    if (s.refused) return remove(path);
    if (kind == 0) demand(s.status == GM_OK && s.n == count_lines(bytes + 1, n - 1));
    if (kind == 3) demand(s.status == GM_OK && s.n == 1);

    options.strict = true;
    summary strict = read_all(path, kind < 3, &options);
    if (s.status == GM_OK) demand((strict.status == GM_OK) == (s.n_skipped == 0));
    remove(path);
    return 0;
}
