/* fuzz_layers.c - any text as --layers: what is read ascends, chooses layers of the model that lie
 * in its ranges, and is written as a list that chooses the same.
 *
 * The first byte says, bit by bit, which of the first layers the model has; the rest is the text.
 */
#include "formats/layer_list.h"
#include "tests/fuzz/demand.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

enum { BITS = 8, LAST = 9999 };

/* The layers that a text chooses; -1: it is refused with a sentence. */
static int choose(int *chosen, const char *text, const int *layer, int n_layers)
{
    gm_error err = {0};
    gm_layer_list list;
    int n = -1;
    gm_status status = gm_layer_list_parse(&list, text, &err);
    demand((status == GM_OK) == (list.n > 0) && (status == GM_OK) == (list.range != NULL));
    for (size_t i = 0; i < list.n; i++) {
        demand(list.range[i].first > (i ? list.range[i - 1].last : -1));
        demand(list.range[i].last >= list.range[i].first && list.range[i].last < GM_MAX_LAYERS);
    }
    if (status == GM_OK) status = gm_layer_list_choose(chosen, &n, &list, layer, n_layers, &err);
    demand((status == GM_OK) == (err.text[0] == '\0'));
    gm_layer_list_clear(&list);
    return status == GM_OK ? n : -1;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    int layer[BITS + 1], n_layers = 0, chosen[BITS + 1], again[BITS + 1];
    gm_text out = {0};
    if (n == 0) return 0;
    const long before = gm_alloc_live();
    for (int bit = 0; bit < BITS; bit++)
        if (bytes[0] >> bit & 1) layer[n_layers++] = bit;
    layer[n_layers++] = LAST;
    char *text = gm_copy_text((const char *)bytes + 1, n - 1);
    demand(text != NULL);
    const int n_chosen = choose(chosen, text, layer, n_layers);
    if (n_chosen >= 0) {
        demand(n_chosen > 0 && n_chosen <= n_layers);
        demand(gm_layer_list_put(&out, chosen, n_chosen, NULL) == GM_OK);
        demand(choose(again, out.at, layer, n_layers) == n_chosen);
        demand(memcmp(again, chosen, (size_t)n_chosen * sizeof *chosen) == 0);
    }
    gm_text_clear(&out);
    gm_free(text);
    demand(gm_alloc_live() == before);
    return 0;
}
