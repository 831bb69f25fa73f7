/* fuzz_chat.c - any bytes as a chat template: it is refused with a sentence, or gives valid words
 * in which a question and the system message stand whole.
 */
#include "engine/tokenizer/chat.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void demand(bool promise)
{
    if (!promise) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    gm_chat chat;
    gm_error err = {0};
    char *text = malloc(n); /* exactly, so that reading beyond it is seen */
    demand(n == 0 || text != NULL);
    if (n > 0) memcpy(text, bytes, n);
    if (gm_chat_make(&chat, text, n, "<s>", "Be kind.", "fuzz", &err) == GM_OK) {
        demand(chat.name != NULL && strstr(chat.before.at, "Be kind.") != NULL);
        demand(chat.after.n > 0 && strlen(chat.after.at) == chat.after.n);
    } else {
        demand(strstr(err.text, "fuzz") != NULL);
        demand(chat.name == NULL && chat.before.at == NULL && chat.after.at == NULL);
    }
    gm_chat_clear(&chat);
    free(text);
    return 0;
}
