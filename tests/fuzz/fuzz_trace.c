/* fuzz_trace.c - a valid trace with bytes of it overwritten, opened, read and verified.
 *
 * The input is a list of patches, four bytes each: a place (three bytes, modulo the
 * file's size) and what to put there. So every input begins as a file that HDF5
 * accepts, and reaches what is behind its signature.
 */
#include <stdlib.h>

#include "base/text.h"
#include "formats/trace.h"
#include "tests/trace_sample.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* The valid file, made once. */
static const gm_text *valid_trace(void)
{
    static sample s;
    static gm_text file;
    if (file.at) return &file;
    sample_fill(&s, GM_RECORD_LOGITS, 8, 0);
    if (gm_trace_write("fuzz.trace.h5", &s.info, &s.block, SAMPLE_REASONS, 2, true, NULL) !=
            GM_OK ||
        gm_text_read_file(&file, "fuzz.trace.h5", 1 << 24, NULL) != GM_OK)
        abort();
    return &file;
}

static void write_patched(const char *path, const gm_text *valid, const uint8_t *bytes, size_t n)
{
    char *copy = gm_copy_text(valid->at, valid->n);
    FILE *out = fopen(path, "wb");
    if (copy == NULL || out == NULL) abort();
    for (size_t i = 0; i + 4 <= n; i += 4) {
        size_t at = (size_t)bytes[i] << 16 | (size_t)bytes[i + 1] << 8 | bytes[i + 2];
        copy[at % valid->n] = (char)bytes[i + 3];
    }
    fwrite(copy, 1, valid->n, out);
    fclose(out);
    gm_free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    gm_error err = {0};
    gm_trace *trace = NULL;
    gm_trace_check check[GM_MAX_CHECKS];
    size_t n_checks;
    write_patched("fuzz.patched.h5", valid_trace(), bytes, n);
    if (gm_trace_open(&trace, "fuzz.patched.h5", &err) == GM_OK &&
        gm_trace_verify(trace, check, &n_checks, &err) != GM_OK && err.text[0] == '\0')
        abort();
    gm_trace_close(trace);
    return 0;
}
