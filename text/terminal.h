/* terminal.h - texts on a terminal, counted by its cells: a CJK character or an emoji takes two, a
 * combining mark none.
 *
 * Source: utf8proc's table of widths, from Unicode's East Asian Width. Characters that a terminal
 * joins (a family of emoji) are counted one by one.
 */
#ifndef GM_TERMINAL_H
#define GM_TERMINAL_H

#include <stdint.h>
#include <stdio.h>

/* Cells of one character: 0, 1 or 2. */
int gm_cells_of(uint32_t code_point);

/* Cells of a text as gm_print_text prints it. */
int gm_text_cells(const char *text);

/* Print `text`, which somebody else may have written, as part of a line for people: what
 * would move a terminal's cursor is escaped as in messages. Blanks follow up to `width`
 * cells. What programs read (--json) and texts that were asked for do not go here. */
void gm_print_text(FILE *out, int width, const char *text);

/* The same in a column of exactly `width` cells (1 or more): a longer text is cut and ends in
 * "...", as one character. */
void gm_print_column(FILE *out, int width, const char *text);

#endif
