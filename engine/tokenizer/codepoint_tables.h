/* codepoint_tables.h - properties of characters in which the reference differs from
 * our libraries (scripts/golden/codepoint_tables.py).
 *
 * The reference draws on several editions of Unicode: 16 in regular expressions,
 * 17 for digits, words and lower case, 9 in normal forms, about 8 for punctuation.
 * Ranges are sorted, inclusive, and do not overlap.
 */
#ifndef GM_CODEPOINT_TABLES_H
#define GM_CODEPOINT_TABLES_H

#include "base/base.h"

typedef struct gm_code_range {
    uint32_t first, last;
} gm_code_range;

typedef struct gm_case_range {
    uint32_t first, last;
    int32_t to_lower; /* is added */
} gm_case_range;

typedef struct gm_category_range {
    char name[12];
    uint32_t first, last;
} gm_category_range;

extern const gm_code_range gm_numeric_chars[], gm_punctuation_chars[], gm_word_chars[];
extern const size_t gm_numeric_chars_n, gm_punctuation_chars_n, gm_word_chars_n;

/* Characters whose decomposition and combining class the normal forms of the
 * reference do not know: nothing joins them, nothing passes them. */
extern const gm_code_range gm_inert_chars[];
extern const size_t gm_inert_chars_n;

extern const gm_case_range gm_lower_chars[];
extern const size_t gm_lower_chars_n;

/* General categories of characters that are younger than Unicode 14, which PCRE2
 * has since 10.40. */
extern const gm_category_range gm_new_categories[];
extern const size_t gm_new_categories_n;

/* Every script that a pattern may name, with what joined it since; a script that
 * has not changed has one entry with an empty range (1, 0). */
extern const gm_category_range gm_script_chars[];
extern const size_t gm_script_chars_n;

#endif
