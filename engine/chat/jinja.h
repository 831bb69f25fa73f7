/* jinja.h - chat templates are programs in Jinja: this parses one and runs it.
 *
 * A part of the language, as transformers runs it (trim_blocks, lstrip_blocks, loopcontrols,
 * {% generation %}, raise_exception, strftime_now, a sandbox without changing lists and dicts).
 * All statements and expressions are parsed but for those that jinja_parser.h names. Functions,
 * filters, tests and methods are the ones that templates use on messages (jinja_builtins.c); any
 * other is refused where a run meets it, never guessed: what a template does for tools is not in
 * the way of one who has none. Integers have 64 bits, fractions do not exist; lists and dicts
 * have no spelling; letters beyond ASCII are not turned upper or lower case.
 *
 * A template is somebody's file: its length (1 MiB), its nesting, a run's steps and memory and the
 * bytes that it goes through have limits, and no template reads or writes anything but its text.
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

/* What a run begins with. */
typedef struct gm_jinja_input {
    const gm_json *const *variables; /* objects, the last one that has a name counts */
    size_t n_variables;
    const char *date; /* YYYY-MM-DD, of strftime_now; its time of day is midnight */
} gm_jinja_input;

/* Append what the template says to *out. *said_date (NULL: not asked) is set when it asked for
 * the date. Errors: GM_EFORMAT with the line: something that is not known or that Jinja fails at,
 * a limit, or the message of raise_exception; GM_EARG the date is none; GM_EMEM. */
gm_status gm_jinja_render(const gm_jinja *jinja, const gm_jinja_input *input, gm_text *out,
                          bool *said_date, gm_error *err) GM_MUST_USE;

/* Is the text a date of the calendar, YYYY-MM-DD? */
bool gm_jinja_is_date(const char *text);

#endif
