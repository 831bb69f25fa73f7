/* script.h - which writing system a text is in, by most of its letters.
 *
 * A letter's script follows from its block of code points, exactly for the scripts named here; all
 * others are "other". It is not a guess at the language: English and Polish are both Latin.
 */
#ifndef GM_SCRIPT_H
#define GM_SCRIPT_H

#include <stddef.h>

typedef enum gm_script {
    GM_SCRIPT_NONE, /* no letter */
    GM_SCRIPT_LATIN,
    GM_SCRIPT_CYRILLIC,
    GM_SCRIPT_GREEK,
    GM_SCRIPT_HEBREW,
    GM_SCRIPT_ARABIC,
    GM_SCRIPT_INDIC, /* Devanagari to Malayalam */
    GM_SCRIPT_CJK,   /* Han, kana, Hangul */
    GM_SCRIPT_OTHER,
    GM_N_SCRIPTS
} gm_script;

/* "none", "Latin", ... */
const char *gm_script_name(gm_script script);

/* The script of most letters of UTF-8 bytes[0..n); ties to the earlier in the list. Bytes that
 * are not UTF-8 are skipped. */
gm_script gm_script_of(const char *bytes, size_t n);

#endif
