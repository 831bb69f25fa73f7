/* jinja.h - chat templates are programs in Jinja: this parses one and runs it.
 *
 * A part of the language, as transformers runs it (trim_blocks, lstrip_blocks, loopcontrols, {%
 * generation %}, raise_exception, strftime_now, a sandbox without changing lists and dicts). All
 * statements and expressions are parsed except those that jinja_parser.h names. Functions, filters,
 * tests and methods are those that templates use on messages (jinja_builtins.c); others are refused
 * when a run reaches them, so a template's code for tools does no harm. Integers have 64 bits,
 * fractions do not exist; lists and dicts cannot be printed; the case of letters beyond ASCII is
 * not changed.
 *
 * A template is untrusted: its length (1 MiB), its nesting, a run's steps and memory and the bytes
 * that it goes through have limits, and it reads and writes nothing but its text.
 *
 * Source: jinja.palletsprojects.com, "Template Designer Documentation" (3.1);
 *         transformers, utils/chat_template_utils.py.
 */
#ifndef GM_JINJA_H
#define GM_JINJA_H

#include "base/json.h"

typedef struct gm_jinja gm_jinja;

/* Parse text[0..n), borrowed during the call. *out is the caller's, freed with gm_jinja_free;
 * `where`, the template's name in messages, is copied. Errors: GM_EFORMAT with the line, GM_EMEM.
 */
gm_status gm_jinja_parse(gm_jinja **out, const char *text, size_t n, const char *where,
                         gm_error *err) GM_MUST_USE;
void gm_jinja_free(gm_jinja *jinja);

/* The input of a run. */
typedef struct gm_jinja_input {
    const gm_json *const *variables; /* objects; of several with a name the last one counts */
    size_t n_variables;
    const char *date; /* YYYY-MM-DD, of strftime_now; its time of day is midnight */
} gm_jinja_input;

/* Append the template's output to *out. *said_date (may be NULL) is set when it asked for the date.
 * Errors: GM_EFORMAT with the line: something that is not known or that Jinja fails at, a limit, or
 * the message of raise_exception; GM_EARG: not a date; GM_EMEM. */
gm_status gm_jinja_render(const gm_jinja *jinja, const gm_jinja_input *input, gm_text *out,
                          bool *said_date, gm_error *err) GM_MUST_USE;

/* Is the text a date of the calendar, YYYY-MM-DD? */
bool gm_jinja_is_date(const char *text);

#endif
