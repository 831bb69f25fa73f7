/* base.c - status texts, and errors as one clean line.
 *
 * The text of an error often quotes what a file or a person gave. What would
 * move a terminal's cursor or break a log line is escaped here, once, so that
 * no caller has to think of it.
 */
#include "base/base.h"

#include "base/text.h"
#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *gm_status_text(gm_status code)
{
#define TEXT_CASE(name, text) \
    case name: return text;
    switch (code) {
        GM_STATUS_LIST(TEXT_CASE)
    }
#undef TEXT_CASE
    return "unknown status";
}

#undef gm_fail /* what an analyzer sees elsewhere */
gm_status gm_fail(gm_error *err, gm_status code, const char *fmt, ...)
{
    if (err == NULL) return code;

    /* Formatted aside: an argument may be err->text itself. Escaping never
     * shortens, so what does not fit in `raw` would not fit in err->text. */
    char raw[4 * sizeof err->text];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(raw, sizeof raw, fmt, args);
    va_end(args);

    err->code = code;
    if (n < 0) (void)snprintf(raw, sizeof raw, "%s", gm_status_text(code));
    gm_utf8_escape(err->text, sizeof err->text, raw, strlen(raw), GM_KEEP_BACKSLASH);
    return code;
}
