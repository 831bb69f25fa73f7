/* json_scan.h - private to base: the check that runs before cJSON sees a document.
 *
 * cJSON builds the tree; what it would let through or lose is settled here, on
 * the text. Two things cJSON cannot hold are put into the copy it parses in a
 * form it can, marked with bytes that never occur in valid UTF-8, and taken out
 * of the tree again by json.c:
 *
 *   \u0000 in a string or key      ->  the byte GM_JSON_NUL, so that the text
 *                                      after it is not cut off
 *   a number a double may not hold ->  a string of GM_JSON_DIGITS and the digits,
 *   (an integer of 16 digits or        so that they survive
 *   more, or 60 characters)
 */
#ifndef GM_JSON_SCAN_H
#define GM_JSON_SCAN_H

#include "base/text.h"

#define GM_JSON_NUL    '\xFF'
#define GM_JSON_DIGITS '\xFE'

enum { GM_JSON_DEPTH = 512, GM_JSON_VALUES = 1 << 22 };

/* Check that bytes[0..n) is one JSON document in valid UTF-8 (RFC 8259, nothing
 * added; `infinity`: but Infinity, see gm_json_read_config). *copy stays empty when cJSON can take
 * the bytes as they are; otherwise it is what cJSON shall parse, the caller's. Errors: GM_EFORMAT
 * with the place, GM_EMEM. */
gm_status gm_json_scan(gm_text *copy, const char *bytes, size_t n, bool infinity, const char *where,
                       gm_error *err) GM_MUST_USE;

#endif
