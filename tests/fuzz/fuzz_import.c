/* fuzz_import.c - hostile lines for gm-probe import: the first line gives the form, further lines
 * must have it; what is taken holds the promises that a trace makes.
 */
#include "probe/imported.h"
#include "tests/fuzz/demand.h"

#include <math.h>
#include <string.h>

enum { EXPERTS = 8, MAX_LAYERS = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* K distinct experts that exist, or none of them. */
static void check_choice(const uint16_t *expert, size_t K)
{
    for (size_t k = 0; k < K; k++) {
        demand(expert[k] < EXPERTS || expert[k] == GM_TRACE_NO_EXPERT);
        demand((expert[k] == GM_TRACE_NO_EXPERT) == (expert[0] == GM_TRACE_NO_EXPERT));
        for (size_t j = 0; j < k; j++)
            demand(expert[j] != expert[k] || expert[k] == GM_TRACE_NO_EXPERT);
    }
}

static void check_document(const gm_imported *in, const gm_import_form *form)
{
    const size_t L = form->L, K = form->K;
    demand(in->n_bad <= in->n_tokens);
    for (size_t l = 0; l < L; l++) {
        uint64_t sum = 0;
        for (size_t e = 0; e < EXPERTS; e++) sum += in->counts[l * EXPERTS + e];
        demand(sum == (uint64_t)(in->n_tokens - in->n_bad) * K);
    }
    if (form->level == GM_RECORD_COUNTS) {
        demand(in->n == 0);
        return;
    }
    demand(in->n > 0);
    for (size_t i = 0; i < in->n * L; i++) {
        check_choice(in->expert + i * K, K);
        for (size_t k = 1; !form->no_gates && k < K; k++)
            demand(in->gate[i * K + k] <= in->gate[i * K + k - 1]);
        demand(form->no_margins || !(fabsf(in->mass[i]) > 65504)); /* of a half */
    }
    for (size_t t = 0; t < in->n; t++)
        demand(in->token_id[t] <= GM_TRACE_MAX_TOKEN_ID && in->phase[t] < GM_TRACE_N_PHASES);
}

/* The first byte: what is kept, and whether the arrays have a layer more than is taken. */
static bool settle(gm_import_form *form, uint8_t how, size_t place[MAX_LAYERS])
{
    form->E = EXPERTS;
    if (how & 1) form->level = GM_RECORD_COUNTS;
    form->L = form->A - (how & 2 && form->A > 1);
    if (form->L > MAX_LAYERS || form->K > EXPERTS) return false; /* import_open.c refuses */
    for (size_t l = 0; l < form->L; l++) place[l] = l + form->A - form->L;
    form->place = place;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    size_t place[MAX_LAYERS];
    gm_import_form form = {0};
    gm_imported in = {0};
    const char *at = (const char *)bytes + 1, *end = (const char *)bytes + n;
    if (n == 0) return 0;
    for (bool first = true; at < end; first = false) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        gm_error err = {0};
        gm_json *line = NULL;
        if (stop == NULL) stop = end;
        gm_status status = gm_json_parse(&line, at, (size_t)(stop - at), "line", &err);
        if (status == GM_OK && first) status = gm_import_form_of(&form, line, "f:1", &err);
        const bool usable = status == GM_OK && (!first || settle(&form, bytes[0], place));
        if (usable) {
            status = gm_imported_read(&in, line, &form, "f:2", &err);
            if (status == GM_OK) check_document(&in, &form);
        }
        demand(status == GM_OK || err.text[0] != '\0');
        gm_json_free(line);
        if (first && !usable) break;
        at = stop + 1;
    }
    gm_imported_clear(&in);
    return 0;
}
