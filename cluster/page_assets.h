/* page_assets.h - the files of cluster/page/, built into the program (inside cluster/). */
#ifndef GM_PAGE_ASSETS_H
#define GM_PAGE_ASSETS_H

#include "figures/asset.h"

extern const gm_asset gm_asset_page_script, gm_asset_page_style;
extern const gm_asset gm_asset_page_explore, gm_asset_page_experts; /* HTML */

#endif
