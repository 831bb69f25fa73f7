/* engine_logits.c - the engine's logits of documents, for comparisons that scripts make.
 *
 *     engine_logits MODEL DOCUMENTS OUT [BIAS]
 *
 * DOCUMENTS: u32 values: how many, the length of each, then all ids. OUT: f32 values:
 * the logits (V) of every token in order, each followed by the smallest margin that the
 * token was routed with in any layer. In f32, one document after the other. BIAS: f32
 * values (L,E) that are added to the routers' logits.
 */
#include "engine/engine.h"
#include "tests/check.h"
#include "tests/engine_run.h"

#include "base/text.h"

enum { MAX_BYTES = 1 << 26 };

/* DOCUMENTS is as long as it says. */
static bool is_whole(const gm_text *text)
{
    const uint32_t *word = (const uint32_t *)(const void *)text->at;
    const size_t n_words = text->n / sizeof *word;
    if (n_words < 1 || word[0] > n_words - 1) return false;
    size_t expected = 1 + (size_t)word[0];
    for (size_t i = 0; i < word[0]; i++) expected += word[1 + i];
    return expected == n_words;
}

/* Rows of one document. */
static bool write_rows(FILE *out, const outcome *o)
{
    bool written = true;
    for (size_t t = 0; t < o->n_tokens; t++) {
        float least = INFINITY;
        for (size_t l = 0; l < o->n_layers; l++)
            least = fminf(least, o->margin[l * o->n_tokens + t]);
        written &= fwrite(o->logits + t * o->vocab, sizeof(float), o->vocab, out) == o->vocab;
        written &= fwrite(&least, sizeof least, 1, out) == 1;
    }
    return written;
}

/* An edit of every row by the biases in the file `path`, which *bias holds; false when it
 * is not of the model's size. */
static bool read_edit(const char *path, const gm_model *model, gm_text *bias, gm_edit *edit)
{
    const gm_model_info *info = gm_model_get_info(model);
    const size_t n = (size_t)info->n_moe_layers * (size_t)info->n_experts;
    gm_error err = {0};
    CHECK_OK(gm_text_read_file(bias, path, MAX_BYTES, &err), err);
    *edit = (gm_edit){.bias = (const float *)(const void *)bias->at,
                      .mode = GM_EDIT_BIAS,
                      .last_layer = info->n_moe_layers - 1,
                      .phases = 7};
    return bias->n == n * sizeof(float);
}

int main(int argc, char **argv)
{
    gm_error err = {0};
    gm_text text = {0}, bias = {0};
    gm_edit edit;
    if (argc != 4 && argc != 5) {
        fprintf(stderr, "usage: engine_logits MODEL DOCUMENTS OUT [BIAS]\n");
        return 2;
    }
    if (gm_text_read_file(&text, argv[2], MAX_BYTES, &err) != GM_OK) {
        fprintf(stderr, "engine_logits: %s\n", err.text);
        return 1;
    }
    if (!is_whole(&text)) {
        fprintf(stderr, "engine_logits: '%s' is cut off or too long\n", argv[2]);
        return 1;
    }
    gm_model *model = open_model(argv[1], GM_NUMERICS_F32, NULL);
    if (argc == 5 && !read_edit(argv[4], model, &bias, &edit)) {
        fprintf(stderr, "engine_logits: '%s' is not of the model's size\n", argv[4]);
        return 1;
    }
    const uint32_t *word = (const uint32_t *)(const void *)text.at;
    const uint32_t *length = word + 1, *token = word + 1 + word[0];
    FILE *out = fopen(argv[3], "wb");
    bool written = out != NULL;
    for (size_t i = 0; written && i < word[0]; token += length[i++]) {
        const size_t offset[] = {0, length[i]};
        docs d = {.n = 1, .n_tokens = length[i], .token = token, .offset = offset};
        outcome o = run_docs(
            model, &d, &(plan){.threads = 2, .step = length[i], .edit = argc == 5 ? &edit : NULL});
        written = write_rows(out, &o);
        outcome_free(&o);
    }
    written = out && fclose(out) == 0 && written;
    if (!written) fprintf(stderr, "engine_logits: cannot write '%s'\n", argv[3]);
    gm_model_close(model);
    gm_text_clear(&text);
    gm_text_clear(&bias);
    return written && test_failures == 0 ? 0 : 1;
}
