/* tokenize.c - gm-probe tokenize: one JSON array of token ids per line of a .jsonl. */
#include "base/cli.h"
#include "base/progress.h"
#include "engine/chat/chat.h"
#include "probe/probe_commands.h"
#include "text/corpus.h"

#include <inttypes.h>
#include <stdio.h>

static gm_status print_ids(const gm_ids *ids, gm_text *line, gm_error *err)
{
    gm_status status = GM_OK;
    line->n = 0;
    GM_TRY(gm_text_add(line, "[", err));
    for (size_t i = 0; i < ids->n; i++) {
        char digits[16];
        int n = snprintf(digits, sizeof digits, i > 0 ? ",%u" : "%u", ids->at[i]);
        GM_TRY(gm_text_append(line, digits, (size_t)n, err));
    }
    GM_TRY(gm_text_add(line, "]\n", err));
    fwrite(line->at, 1, line->n, stdout);
out:
    return status;
}

/* A text alone, or as a question inside the model's chat template. */
typedef struct wrapping {
    bool chat;
    gm_chat_options options;
} wrapping;

static gm_status tokenize(const char *model, const char *const *path,
                          const gm_corpus_options *options, wrapping how, gm_error *err)
{
    gm_status status = GM_OK;
    gm_tokenizer *tokenizer = NULL;
    gm_encoder *encoder = NULL;
    gm_corpus *corpus = NULL;
    gm_document document;
    gm_ids ids = {0};
    gm_text line = {0};
    gm_chat chat = {0};
    size_t n_before, n_after;
    bool more = true;
    GM_TRY(gm_tokenizer_open(&tokenizer, model, err));
    GM_TRY(gm_encoder_create(&encoder, tokenizer, err));
    if (how.chat) GM_TRY(gm_chat_open(&chat, model, &how.options, err));
    GM_TRY(gm_corpus_open(&corpus, path, 1, options, err));
    for (;;) {
        GM_TRY(gm_corpus_next(corpus, &document, &more, err));
        if (!more) break;
        if (document.skip != GM_SKIP_NONE && document.skip != GM_SKIP_EMPTY) {
            puts("null");
            gm_warn("%s:%" PRIu64 ": %s", document.file, document.line, document.why_not);
            continue;
        }
        ids.n = 0;
        const char *text = document.text ? document.text : "";
        const size_t n = document.skip == GM_SKIP_EMPTY ? 0 : document.n_bytes;
        if (how.chat)
            GM_TRY(gm_chat_encode(&chat, encoder, text, n, &ids, &n_before, &n_after, err));
        else
            GM_TRY(gm_encode(encoder, text, n, true, &ids, NULL, err));
        GM_TRY(print_ids(&ids, &line, err));
    }
out:
    gm_text_clear(&line);
    gm_chat_clear(&chat);
    gm_ids_clear(&ids);
    gm_corpus_close(corpus);
    gm_encoder_free(encoder);
    gm_tokenizer_close(tokenizer);
    return status;
}

int gm_probe_tokenize(int argc, char **argv)
{
    gm_error err = {0};
    const char *model = NULL;
    wrapping how = {0};
    gm_opt_list settings = {0};
    gm_corpus_options options = {.text_field = "text"};
    const gm_opt opts[] = {
        {GM_OPT_TEXT, "model", &model, 0, 0, "DIR", "folder with a tokenizer.json"},
        {GM_OPT_TEXT, "text-field", &options.text_field, 0, 0, "NAME", "JSON field with the text"},
        {GM_OPT_FLAG, "chat", &how.chat, 0, 0, NULL,
         "put each text, as a question, into the model's chat template"},
        {GM_OPT_TEXT, "system", &how.options.system, 0, 0, "TEXT", "system message before it"},
        {GM_OPT_LIST, "chat-set", &settings, 0, 0, "NAME=VALUE", GM_CHAT_SET_HELP},
        {GM_OPT_TEXT, "chat-date", &how.options.date, 0, 0, "DATE", GM_CHAT_DATE_HELP},
        {.kind = GM_OPT_END_}};
    gm_status status = gm_opt_parse(
        "gm-probe tokenize --model DIR FILE.jsonl",
        "Prints a JSON array of token ids for each line, null for a line that cannot be used.\n"
        "  gm-probe tokenize --model DIR corpus.jsonl | head -n 1\n",
        opts, &argc, argv, &err);
    if (status == GM_OK && model == NULL) status = gm_fail(&err, GM_EARG, "--model DIR is missing");
    how.options.settings = settings.at;
    how.options.n_settings = settings.n;
    if (status == GM_OK) status = gm_chat_check(&how.options, how.chat, &err);
    if (status == GM_OK && argc != 2)
        status = gm_fail(&err, GM_EARG, "expected one file, found %d", argc - 1);
    const bool usage = status != GM_OK;
    if (!usage) status = tokenize(model, (const char *const *)argv + 1, &options, how, &err);
    gm_opt_list_clear(&settings);
    return gm_cli_end("gm-probe", "tokenize", status, usage, &err);
}
