/* shade.h - running text on an HTML page whose pieces are shaded by a signed value: orange
 * above 0, blue below, in nine steps that colour-blind readers can tell apart, in light and
 * in dark mode.
 *
 * The value of a piece is in its tooltip; from half the scale on, a screen reader reads it out
 * after the piece. Text is escaped as everywhere on a page (html.h).
 */
#ifndef GM_SHADE_H
#define GM_SHADE_H

#include "figures/html.h"

typedef struct gm_shaded_piece {
    const char *bytes; /* n bytes, borrowed during the call */
    size_t n;
    double value;     /* NaN: none, and no shade */
    const char *note; /* the tooltip; NULL: none */
    bool given;       /* underlined: not the model's own words */
} gm_shaded_piece;

/* The CSS rules for what follows, for gm_html_begin. GM_EMEM. */
gm_status gm_shade_style(gm_text *css, gm_error *err) GM_MUST_USE;

/* One text: opened, filled piece by piece, closed. Values of `limit` and beyond have the
 * darkest shade. */
void gm_shade_begin(gm_html *page);
void gm_shade_piece(gm_html *page, const gm_shaded_piece *piece, double limit);
void gm_shade_spoken(gm_html *page, const char *words); /* for screen readers alone */
void gm_shade_end(gm_html *page);

/* What the shades mean, in numbers: "-3 ... 0 ... +3 nats". */
void gm_shade_legend(gm_html *page, double limit, const char *unit);

#endif
