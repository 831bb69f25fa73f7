/* fuzz_regex.c - any pattern of a tokenizer.json, and any text to match: what is
 * accepted gives matches from left to right that never cut a character.
 *
 * The input is the pattern, and after a first NUL the text.
 */
#include "engine/tokenizer/regex.h"
#include "tests/fuzz/demand.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void match(const gm_regex *regex, const char *text, size_t n)
{
    gm_error err = {0};
    gm_regex_work *work = NULL;
    gm_regex_walk walk = {.at = text, .n = n};
    size_t last = 0, n_matches = 0;
    demand(gm_regex_work_create(&work, &err) == GM_OK);
    for (;;) {
        size_t start, stop;
        bool found;
        if (gm_regex_next(regex, work, &walk, &start, &stop, &found, &err) != GM_OK) {
            demand(err.text[0] != '\0');
            break;
        }
        if (!found) break;
        demand(last <= start && start <= stop && stop <= n);
        demand(!is_inside_character(text, n, start) && !is_inside_character(text, n, stop));
        demand(++n_matches <= n + 1);
        last = stop;
    }
    gm_regex_work_free(work);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    const char *input = (const char *)bytes, *nul = n ? memchr(input, '\0', n) : NULL;
    const size_t n_pattern = nul ? (size_t)(nul - input) : n;
    const char *text = nul ? nul + 1 : "";
    const size_t n_text = nul ? n - n_pattern - 1 : 0;
    gm_error err = {0};
    gm_regex *regex = NULL;
    /* Both come out of a JSON file and gm_encode: they are UTF-8 by then. */
    if (gm_utf8_valid(input, n_pattern) != n_pattern || gm_utf8_valid(text, n_text) != n_text)
        return 0;
    if (gm_regex_compile(&regex, input, n_pattern, "input", &err) != GM_OK) {
        demand(regex == NULL && err.text[0] != '\0');
        return 0;
    }
    match(regex, text, n_text);
    gm_regex_free(regex);
    return 0;
}
