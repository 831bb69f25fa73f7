/* fuzz_prompts.c - any bytes as a file of prompts, plain lines and JSON: every line that
 * is not empty is a prompt of valid UTF-8, or the file is refused by file and line.
 */
#include "steer/prompts.h"
#include "tests/fuzz/demand.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static size_t count_lines(const char *bytes, size_t n)
{
    size_t n_lines = 0;
    for (size_t at = 0; at < n;) {
        const char *end = memchr(bytes + at, '\n', n - at);
        size_t length = end ? (size_t)(end - bytes) - at : n - at;
        bool empty = length == 0 || (length == 1 && bytes[at] == '\r');
        n_lines += !empty;
        at += length + 1;
    }
    return n_lines;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static const char path[] = "fuzz.prompts.txt";
    const gm_opt_list none = {0};
    gm_prompts prompts = {0};
    gm_error err = {0};
    write_input(path, bytes, n);

    if (gm_prompts_read(&prompts, &none, path, &err) == GM_OK) {
        demand(prompts.n == count_lines((const char *)bytes, n));
        for (size_t i = 0; i < prompts.n; i++) {
            const gm_prompt *p = &prompts.at[i];
            demand(p->n > 0 && gm_utf8_valid(p->text, p->n) == p->n && p->text[p->n] == '\0');
        }
    } else {
        demand(strstr(err.text, path) != NULL);
    }
    gm_prompts_clear(&prompts);
    return 0;
}
