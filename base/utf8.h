/* utf8.h - private to base: the escaping that gm_text_escape and gm_fail do. */
#ifndef GM_UTF8_H
#define GM_UTF8_H

#include "base/base.h"

typedef enum gm_backslash { GM_KEEP_BACKSLASH, GM_ESCAPE_BACKSLASH } gm_backslash;

/* gm_text_escape (text.h), with a choice whether backslashes are doubled: messages keep them, since
 * what they quote may have been escaped before. */
void gm_utf8_escape(char *out, size_t cap, const char *bytes, size_t n, gm_backslash backslash);

#endif
