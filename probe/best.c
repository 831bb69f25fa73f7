/* best.c - the few of many that have the largest values. */
#include "probe/best.h"

#include <math.h>

gm_status gm_best_init(gm_best *best, size_t most, gm_error *err)
{
    *best = (gm_best){.most = most,
                      .at = gm_alloc(most, sizeof *best->at),
                      .value = gm_alloc(most, sizeof *best->value)};
    if (best->at && best->value) return GM_OK;
    gm_best_clear(best);
    return gm_fail(err, GM_EMEM, "no memory for the best %zu", most);
}

void gm_best_clear(gm_best *best)
{
    gm_free(best->at);
    gm_free(best->value);
    *best = (gm_best){0};
}

void gm_best_offer(gm_best *best, size_t at, double value)
{
    if (isnan(value) || best->most == 0) return;
    if (best->n == best->most && !(value > best->value[best->n - 1])) return;
    size_t place = best->n < best->most ? best->n++ : best->n - 1;
    for (; place > 0 && best->value[place - 1] < value; place--) {
        best->value[place] = best->value[place - 1];
        best->at[place] = best->at[place - 1];
    }
    best->value[place] = value;
    best->at[place] = at;
}
