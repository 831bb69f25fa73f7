/* routing_agreement.c - how often a GPU's routers choose as the CPU's do, by margin: the number
 * that describes agreement across backends. Prints one JSON object.
 *
 * usage: routing_agreement DIR [--tokens N] [--device cuda:N]
 */
#include "base/cli.h"
#include "base/json.h"
#include "base/rng.h"
#include "engine/engine.h"

#include <math.h>
#include <stdio.h>

enum { DOCUMENT = 64, BINS = 5 };
static const double edges[BINS] = {1e-4, 1e-3, 1e-2, 1e-1, 1e9}; /* margins up to */

typedef struct run {
    uint16_t *expert; /* (L,T,K) */
    float *margin;    /* (L,T) */
} run;

static void run_free(run *r)
{
    gm_free(r->expert);
    gm_free(r->margin);
}

/* Random documents through the model on a device, one step. */
static gm_status run_on(run *out, const char *folder, const char *device, size_t n_documents,
                        gm_model **model, gm_error *err)
{
    gm_status status = GM_OK;
    gm_session *session = NULL;
    gm_segment *segment = NULL;
    uint32_t *token = NULL;
    const size_t n = n_documents * DOCUMENT;
    const gm_model_options options = {.device = device};
    GM_TRY(gm_model_open(model, folder, &options, err));
    const gm_model_info *info = gm_model_get_info(*model);
    const size_t rows = (size_t)info->n_moe_layers * n;
    const gm_session_options so = {.max_rows = n, .kv_rows = n, .max_sequences = (int)n_documents};
    GM_TRY(gm_session_create(&session, *model, &so, err));
    out->expert = gm_alloc2(rows, (size_t)info->n_chosen, sizeof *out->expert);
    out->margin = gm_alloc(rows, sizeof *out->margin);
    segment = gm_alloc(n_documents, sizeof *segment);
    token = gm_alloc(n, sizeof *token);
    if (!out->expert || !out->margin || !segment || !token)
        GM_FAIL(GM_EMEM, "no memory for the choices of %zu tokens", n);
    gm_rng rng = gm_rng_make(1, 0);
    for (size_t i = 0; i < n; i++)
        token[i] = (uint32_t)gm_rng_below(&rng, (uint64_t)info->vocab_size);
    for (size_t d = 0; d < n_documents; d++) {
        segment[d] = (gm_segment){.n = DOCUMENT, .token = token + d * DOCUMENT, .edit = -1};
        GM_TRY(gm_sequence_open(session, DOCUMENT, &segment[d].sequence, err));
    }
    const gm_record record = {.expert = out->expert, .margin = out->margin};
    GM_TRY(gm_session_step(session, segment, n_documents, &record, NULL, err));
out:
    gm_session_free(session);
    gm_free(segment);
    gm_free(token);
    return status;
}

static bool same_set(const uint16_t *a, const uint16_t *b, size_t k)
{
    for (size_t i = 0; i < k; i++) {
        size_t j = 0;
        while (j < k && a[i] != b[j]) j++;
        if (j == k) return false;
    }
    return true;
}

static gm_status print(const gm_model *cpu, const gm_model *gpu, const run *a, const run *b,
                       size_t n_tokens, gm_error *err)
{
    const gm_model_info *info = gm_model_get_info(cpu);
    const size_t rows = (size_t)info->n_moe_layers * n_tokens, k = (size_t)info->n_chosen;
    size_t n[BINS] = {0}, same[BINS] = {0}, all = 0;
    for (size_t r = 0; r < rows; r++) {
        size_t bin = 0;
        while (bin + 1 < BINS && !((double)a->margin[r] <= edges[bin])) bin++;
        const bool s = same_set(a->expert + r * k, b->expert + r * k, k);
        n[bin]++, same[bin] += s, all += s;
    }
    gm_json_out out = {0};
    gm_json_open_object(&out, NULL);
    gm_json_put_string(&out, "model", info->folder);
    gm_json_put_string(&out, "cpu", info->kernels);
    gm_json_put_string(&out, "gpu", gm_model_get_info(gpu)->kernels);
    gm_json_put_u64(&out, "choices", rows);
    gm_json_put_f64(&out, "same", (double)all / (double)rows);
    gm_json_open_array(&out, "by_margin");
    for (size_t i = 0; i < BINS; i++) {
        gm_json_open_object(&out, NULL);
        gm_json_put_f64(&out, "up_to", edges[i]);
        gm_json_put_u64(&out, "choices", n[i]);
        gm_json_put_f64(&out, "same", n[i] ? (double)same[i] / (double)n[i] : NAN);
        gm_json_close_object(&out);
    }
    gm_json_close_array(&out);
    gm_json_close_object(&out);
    gm_status status = gm_json_out_done(&out, err);
    if (status == GM_OK) printf("%s\n", out.text.at);
    gm_text_clear(&out.text);
    return status;
}

int main(int argc, char **argv)
{
    gm_status status = GM_OK;
    gm_error failure = {0}, *const err = &failure;
    const char *device = "cuda";
    int64_t tokens = 4096;
    gm_model *cpu = NULL, *gpu = NULL;
    run a = {0}, b = {0};
    bool usage = true;
    const gm_opt opts[] = {
        {GM_OPT_I64, "tokens", &tokens, DOCUMENT, 1 << 20, "N", "tokens, in documents of 64"},
        {GM_OPT_TEXT, "device", &device, 0, 0, "NAME", "cuda or cuda:N"},
        {.kind = GM_OPT_END_},
    };
    GM_TRY(gm_opt_parse("routing_agreement DIR", NULL, opts, &argc, argv, err));
    if (argc != 2) GM_FAIL(GM_EARG, "expected one model folder");
    usage = false;
    const size_t documents = (size_t)tokens / DOCUMENT;
    GM_TRY(run_on(&a, argv[1], "cpu", documents, &cpu, err));
    GM_TRY(run_on(&b, argv[1], device, documents, &gpu, err));
    GM_TRY(print(cpu, gpu, &a, &b, documents * DOCUMENT, err));
out:
    run_free(&a);
    run_free(&b);
    gm_model_close(cpu);
    gm_model_close(gpu);
    return gm_cli_end("routing_agreement", "", status, usage, err);
}
