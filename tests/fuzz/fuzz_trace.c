/* fuzz_trace.c - hostile traces: opened, read and verified without harm.
 *
 * The first byte of an input chooses, modulo 4. 0: the rest overwrites the arrays of a small
 * block, place (two bytes) and value (one byte), before it is written, so that HDF5 and the
 * digest are content and only the values are wrong. 1: it overwrites bytes of a valid file,
 * place (three bytes) and value. 2: edits of it through HDF5 (h5_edits.h). 3: of an index of
 * two shards. A set bit 2 leaves the self-checks out, which take most of the time.
 */
#include "base/text.h"
#include "formats/trace.h"
#include "tests/fuzz/h5_edits.h"
#include "tests/trace_sample.h"

#include <hdf5.h>

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* The valid file, made once. */
static h5_base *valid_trace(void)
{
    static sample s;
    static h5_base base;
    if (base.file.at) return &base;
    sample_fill(&s, GM_RECORD_LOGITS, 8, 0);
    sample_spell(&s);
    if (gm_trace_write("fuzz.trace.h5", &s.info, &s.block, SAMPLE_REASONS, 2, true, NULL) !=
            GM_OK ||
        gm_text_read_file(&base.file, "fuzz.trace.h5", 1 << 24, NULL) != GM_OK)
        abort();
    return &base;
}

/* An index over two shards, which stay. */
static h5_base *valid_index(void)
{
    static const char *const shard[] = {"fuzz.0.h5", "fuzz.1.h5"};
    static sample s;
    static h5_base base;
    if (base.file.at) return &base;
    for (uint64_t i = 0; i < 2; i++) {
        sample_fill(&s, GM_RECORD_LOGITS, 8, i);
        sample_spell(&s);
        s.block.more = i == 0;
        if (gm_trace_write(shard[i], &s.info, &s.block, SAMPLE_REASONS, 2, true, NULL) != GM_OK)
            abort();
    }
    if (gm_trace_index("fuzz.index.h5", shard, 2, true, NULL) != GM_OK ||
        gm_text_read_file(&base.file, "fuzz.index.h5", 1 << 24, NULL) != GM_OK)
        abort();
    return &base;
}

static gm_status write_values(const char *path, const uint8_t *bytes, size_t n, gm_error *err)
{
    static sample s;
    sample_fill(&s, GM_RECORD_LOGITS, 8, 0);
    sample_spell(&s);
    char *from = (char *)s.counts; /* all numbers from here on */
    const size_t size = (size_t)((char *)&s.spelling - from);
    for (size_t i = 0; i + 3 <= n; i += 3) {
        size_t at = (size_t)bytes[i] << 8 | bytes[i + 1];
        if (at / 2 < SAMPLE_DOCUMENTS) /* of the documents, how many tokens and bad ones */
            *(at % 2 ? &s.document[at / 2].bad : &s.document[at / 2].n_tokens) = bytes[i + 2];
        else
            from[at * 7 % size] = (char)bytes[i + 2];
    }
    return gm_trace_write(path, &s.info, &s.block, SAMPLE_REASONS, 2, true, err);
}

/* Whatever can be asked of a trace, and the answer must be in range. */
static void use(gm_trace *trace, bool verify)
{
    gm_error err = {0};
    const gm_trace_info *info = gm_trace_get_info(trace);
    const gm_trace_samples *samples = gm_trace_get_samples(trace);
    const uint64_t n_tokens = gm_trace_n_tokens(trace);
    gm_trace_check check[GM_MAX_CHECKS];
    size_t n_checks, end;
    if (verify && gm_trace_verify(trace, check, &n_checks, &err) != GM_OK && err.text[0] == '\0')
        abort();
    for (size_t i = 0; i < samples->n; i++) {
        gm_text text = {0};
        if (samples->subset[i] >= samples->n_subsets) abort();
        if (samples->offset[i] > samples->offset[i + 1] || samples->offset[i + 1] > n_tokens)
            abort();
        if (gm_trace_read_text(trace, i, &text, &err) == GM_OK &&
            gm_utf8_valid(text.at, text.n) != text.n)
            abort();
        text.n = 0;
        if (gm_trace_spell_texts(trace, i, 1, &text, &end, &err) == GM_OK &&
            gm_utf8_valid(text.at, text.n) != text.n)
            abort();
        gm_text_clear(&text);
    }
    uint16_t *expert = gm_alloc2((size_t)info->n_layers, (size_t)info->n_chosen, sizeof *expert);
    for (uint64_t t = 0; expert && t < n_tokens && t < 1000; t++)
        if (gm_trace_read_routing(trace, t, 1, expert, NULL, NULL, NULL, &err) != GM_OK) break;
    gm_free(expert);
}

/* A selection of it: the layer in the middle, the last subset, documents of some length. */
static void use_part(gm_trace *trace)
{
    gm_error err = {0};
    const gm_trace_info *info = gm_trace_get_info(trace);
    const gm_trace_samples *samples = gm_trace_get_samples(trace);
    const gm_trace_selection selection = {
        .layer = info->layer_of_moe + info->n_layers / 2,
        .n_layers = 1,
        .subset = samples->n_subsets ? samples->subset_name + samples->n_subsets - 1 : NULL,
        .n_subsets = samples->n_subsets > 0,
        .min_tokens = 4};
    const uint64_t n_tokens = gm_trace_n_tokens(trace);
    if (gm_trace_select(trace, &selection, &err) != GM_OK) abort();
    if (gm_trace_get_info(trace)->n_layers != 1 || gm_trace_n_tokens(trace) > n_tokens) abort();
    use(trace, false);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static const char path[] = "fuzz.patched.h5";
    gm_error err = {0};
    gm_trace *trace = NULL;
    if (n == 0) return 0;
    h5_base *valid = (bytes[0] & 3) == 3 ? valid_index() : valid_trace();
    const long before = gm_alloc_live();
    if (bytes[0] & 2)
        edit_file(path, valid, bytes + 1, n - 1);
    else if (bytes[0] & 1)
        patch_file(path, &valid->file, bytes + 1, n - 1);
    else if (write_values(path, bytes + 1, n - 1, &err) != GM_OK) {
        if (err.text[0] == '\0' || gm_alloc_live() != before) abort();
        return 0;
    }
    if (gm_trace_open(&trace, path, &err) == GM_OK) {
        use(trace, !(bytes[0] & 4));
        use_part(trace);
    } else if (trace != NULL || err.text[0] == '\0') {
        abort();
    }
    gm_trace_close(trace);
    if (gm_alloc_live() != before) abort();
    return 0;
}
