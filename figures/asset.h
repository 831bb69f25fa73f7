/* asset.h - a file that was built into the program: a script or a style of the HTML pages.
 *
 * figures/embed.c turns files into assets while the project is built.
 */
#ifndef GM_ASSET_H
#define GM_ASSET_H

#include <stddef.h>

typedef struct gm_asset {
    const unsigned char *at;
    size_t n; /* bytes */
} gm_asset;

/* The styles that every page has. */
extern const gm_asset gm_asset_every_page;

/* The parts of d3 that the pages use, and the licence it asks to be shown with it. */
extern const gm_asset gm_asset_d3, gm_asset_d3_licence;

#endif
