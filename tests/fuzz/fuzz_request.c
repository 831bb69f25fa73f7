/* fuzz_request.c - any bytes as the body of a request: refused with a sentence, or within what
 * request.h promises. The first byte says whether it is a chat. */
#include "steer/serve/request.h"
#include "tests/fuzz/demand.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void look_at(const gm_request *a, const gm_request_defaults *d)
{
    demand(a->n_prompts >= 1 && a->n_draws >= 1 && a->n_plans >= 1);
    demand(a->n_plans <= GM_REQUEST_MAX_PLANS);
    demand(a->n_prompts * a->n_draws * a->n_plans <= GM_REQUEST_MAX_CHOICES);
    demand(a->max_tokens <= d->max_context && (a->max_tokens > 0 || a->echo));
    demand(a->n_likeliest >= -1 && a->n_likeliest <= GM_REQUEST_MAX_LIKELIEST);
    demand(a->sampling.temperature >= 0 && a->sampling.top_p > 0 && a->sampling.top_p <= 1);
    demand(a->sampling.repetition_penalty > 0 && a->sampling.top_k >= 0);
    for (size_t i = 0; i < a->n_prompts; i++) {
        demand((a->prompt[i].text != NULL) != (a->prompt[i].n_ids > 0));
        for (size_t t = 0; t < a->prompt[i].n_ids; t++) demand(a->prompt[i].ids[t] < d->vocabulary);
    }
    for (size_t i = 0; i < a->n_stop; i++) demand(a->stop[i][0] != '\0');
    for (size_t i = 0; i < a->n_plans; i++)
        demand((a->plan[i].kind == GM_REQUEST_BY_NAME) == (a->plan[i].name != NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    const gm_request_defaults defaults = {.sampling = {.top_p = 1, .repetition_penalty = 1},
                                          .max_tokens = 4,
                                          .max_context = 64,
                                          .vocabulary = 100};
    gm_request request;
    gm_error err = {0};
    if (n == 0) return 0;
    char *body = malloc(n - 1); /* exactly, so that reading beyond it is seen */
    demand(n == 1 || body != NULL);
    if (n > 1) memcpy(body, bytes + 1, n - 1);
    if (gm_request_read(&request, bytes[0] & 1, body, n - 1, &defaults, &err) == GM_OK)
        look_at(&request, &defaults);
    else
        demand(err.text[0] != '\0' && request.body == NULL && request.prompt == NULL);
    gm_request_clear(&request);
    free(body);
    return 0;
}
