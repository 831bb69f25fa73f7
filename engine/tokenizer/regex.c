/* regex.c - regular expressions of a tokenizer.json, compiled and run by PCRE2.
 *
 * Matching uses the JIT compiler. Where it is not to be had (a hardened kernel),
 * or its stack does not suffice, the interpreter gives the same matches.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "engine/tokenizer/regex.h"

#include "engine/tokenizer/codepoint.h"

#include <pcre2.h>

enum { JIT_STACK_FIRST = 32 * 1024, JIT_STACK_MAX = 8 * 1024 * 1024 };

struct gm_regex {
    pcre2_general_context *memory;
    pcre2_code *code;
    char *pattern; /* as it stands in the file, for messages */
};

struct gm_regex_work {
    pcre2_general_context *memory;
    pcre2_match_context *context;
    pcre2_match_data *match;
    pcre2_jit_stack *stack;
};

/* PCRE2's memory comes from gm_alloc, so that tests can make it fail. */
static void *pcre_alloc(PCRE2_SIZE n, void *unused)
{
    (void)unused;
    return gm_alloc(n, 1);
}

static void pcre_free(void *block, void *unused)
{
    (void)unused;
    gm_free(block);
}

static gm_status compile(gm_regex *regex, const gm_text *translated, const char *where,
                         gm_error *err)
{
    gm_status status = GM_OK;
    int code = 0;
    PCRE2_SIZE place = 0;
    pcre2_compile_context *context = pcre2_compile_context_create(regex->memory);
    if (context == NULL) GM_FAIL(GM_EMEM, "no memory for a regular expression");

    /* As in Ruby: lines end in LF alone, ^ and $ match at every line. */
    (void)pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    const uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C;
    regex->code =
        pcre2_compile((PCRE2_SPTR)translated->at, translated->n, options, &code, &place, context);
    if (regex->code == NULL && code == PCRE2_ERROR_HEAP_FAILED)
        GM_FAIL(GM_EMEM, "no memory for a regular expression");
    if (regex->code == NULL) {
        PCRE2_UCHAR why[128];
        (void)pcre2_get_error_message(code, why, sizeof why);
        GM_FAIL(GM_EFORMAT, "'%s': regular expression '%s' is not supported: %s", where,
                regex->pattern, (const char *)why);
    }
    (void)pcre2_jit_compile(regex->code, PCRE2_JIT_COMPLETE); /* a failure: the interpreter */
out:
    pcre2_compile_context_free(context);
    return status;
}

gm_status gm_regex_compile(gm_regex **out, const char *pattern, size_t n, const char *where,
                           gm_error *err)
{
    gm_status status = GM_OK;
    gm_text translated = {0};
    *out = NULL;

    gm_regex *regex = gm_alloc(1, sizeof *regex);
    if (regex == NULL) return gm_fail(err, GM_EMEM, "no memory for a regular expression");
    regex->pattern = gm_copy_text(pattern, n);
    regex->memory = pcre2_general_context_create(pcre_alloc, pcre_free, NULL);
    if (regex->pattern == NULL || regex->memory == NULL)
        GM_FAIL(GM_EMEM, "no memory for a regular expression");
    GM_TRY(gm_regex_translate(&translated, pattern, n, where, err));
    GM_TRY(compile(regex, &translated, where, err));
    *out = regex;
    regex = NULL; /* now the caller's */
out:
    gm_text_clear(&translated);
    gm_regex_free(regex);
    return status;
}

void gm_regex_free(gm_regex *regex)
{
    if (regex == NULL) return;
    pcre2_code_free(regex->code);
    pcre2_general_context_free(regex->memory);
    gm_free(regex->pattern);
    gm_free(regex);
}

bool gm_regex_may_be_empty(const gm_regex *regex)
{
    uint32_t may = 1;
    (void)pcre2_pattern_info(regex->code, PCRE2_INFO_MATCHEMPTY, &may);
    return may != 0;
}

gm_status gm_regex_work_create(gm_regex_work **out, gm_error *err)
{
    *out = NULL;
    gm_regex_work *work = gm_alloc(1, sizeof *work);
    if (work == NULL) return gm_fail(err, GM_EMEM, "no memory for matching");

    work->memory = pcre2_general_context_create(pcre_alloc, pcre_free, NULL);
    if (work->memory) {
        work->context = pcre2_match_context_create(work->memory);
        work->match = pcre2_match_data_create(1, work->memory);
        work->stack = pcre2_jit_stack_create(JIT_STACK_FIRST, JIT_STACK_MAX, work->memory);
    }
    if (work->context == NULL || work->match == NULL || work->stack == NULL) {
        gm_regex_work_free(work);
        return gm_fail(err, GM_EMEM, "no memory for matching");
    }
    pcre2_jit_stack_assign(work->context, NULL, work->stack);
    *out = work;
    return GM_OK;
}

void gm_regex_work_free(gm_regex_work *work)
{
    if (work == NULL) return;
    pcre2_jit_stack_free(work->stack);
    pcre2_match_data_free(work->match);
    pcre2_match_context_free(work->context);
    pcre2_general_context_free(work->memory);
    gm_free(work);
}

/* First match at or after `from`; the text was found to be valid UTF-8 before. */
static gm_status match_from(const gm_regex *regex, gm_regex_work *work, const char *at, size_t n,
                            size_t from, bool *found, gm_error *err)
{
    PCRE2_SPTR subject = (PCRE2_SPTR)(at ? at : "");
    int code =
        pcre2_match(regex->code, subject, n, from, PCRE2_NO_UTF_CHECK, work->match, work->context);
    if (code == PCRE2_ERROR_JIT_STACKLIMIT)
        code = pcre2_match(regex->code, subject, n, from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT,
                           work->match, work->context);
    *found = code >= 0;
    if (code >= 0 || code == PCRE2_ERROR_NOMATCH) return GM_OK;

    PCRE2_UCHAR why[128];
    (void)pcre2_get_error_message(code, why, sizeof why);
    return gm_fail(err, code == PCRE2_ERROR_NOMEMORY ? GM_EMEM : GM_EFORMAT,
                   "regular expression '%s' fails at byte %zu of a text: %s", regex->pattern, from,
                   (const char *)why);
}

gm_status gm_regex_next(const gm_regex *regex, gm_regex_work *work, gm_regex_walk *walk,
                        size_t *start, size_t *stop, bool *found, gm_error *err)
{
    size_t last = walk->from; /* where the match before ended */

    for (;;) {
        gm_status status = match_from(regex, work, walk->at, walk->n, walk->from, found, err);
        if (status != GM_OK || !*found) return status;
        const PCRE2_SIZE *range = pcre2_get_ovector_pointer(work->match);
        *start = range[0];
        *stop = range[1];
        if (*start != *stop || !walk->begun || *stop != last) break;

        if (walk->from >= walk->n) {
            *found = false;
            return GM_OK;
        }
        do walk->from++;
        while (walk->from < walk->n && gm_is_tail_byte(walk->at[walk->from]));
    }
    walk->from = *stop;
    walk->begun = true;
    return GM_OK;
}
