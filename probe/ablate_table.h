/* ablate_table.h - private to probe: the table of gm-probe ablate, written, read back, shown.
 *
 * A line for every knock-out and group, all documents (group empty) first:
 *   experts, layer, expert   "5:2" or "5:9+5:11"; layer and expert are empty where several go
 *   mode, group
 *   documents, tokens        that have -ln p in both
 *   chosen                   of these, those that chose one of the experts, untouched
 *   nll, nll_without         nats a token
 *   change, change_low, change_high   of nll, and 95 % over documents; empty: not known
 *   p, p_adjusted            that it is 0; over all lines (false_discovery.h; empty in OUT.begun)
 */
#ifndef GM_ABLATE_TABLE_H
#define GM_ABLATE_TABLE_H

#include "base/json.h"
#include "probe/ablate.h"

/* Write the knock-outs that are done. A failed write shows when the stream is committed. */
void gm_ablate_table_write(FILE *to, const gm_ablate *ablate);

/* Take the knock-outs that the table in `path` has as done; the documents have been read untouched.
 * Whatever this run knows of a line without computing it must be there to the last digit:
 * GM_EFORMAT where it is of another run, of other texts, groups, experts, mode or model. Errors of
 * gm_csv_read. */
gm_status gm_ablate_table_take(gm_ablate *ablate, const char *path, gm_error *err) GM_MUST_USE;

/* After gm_ablate_end: one JSON object on stdout; by group the `top` experts whose texts cost most
 * without them. */
gm_status gm_ablate_put(const gm_ablate *ablate, gm_error *err) GM_MUST_USE;
gm_status gm_ablate_print(const gm_ablate *ablate, size_t top, gm_error *err) GM_MUST_USE;

/* Layers x experts, the change of all documents and of the three groups that have the largest;
 * what was not taken out alone is grey. Errors of gm_figure_heat. */
gm_status gm_ablate_figure(const gm_ablate *ablate, const char *path, bool replace, gm_error *err)
    GM_MUST_USE;

#endif
