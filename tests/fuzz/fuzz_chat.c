/* fuzz_chat.c - any bytes as a chat template: it is refused with a sentence, or gives valid words
 * around a question, in which the system message stands.
 */
#include "engine/chat/chat.h"
#include "tests/fuzz/demand.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static const char question[] = " <b>\u042f {{ x }} ";
    const char *const setting = "enable_thinking=false";
    const gm_chat_options options = {.system = "Be kind.", .settings = &setting, .n_settings = 1};
    gm_chat chat;
    gm_error err = {0};
    char *text = malloc(n); /* exactly, so that reading beyond it is seen */
    demand(n == 0 || text != NULL);
    if (n > 0) memcpy(text, bytes, n);
    if (gm_chat_make(&chat, text, n, NULL, &options, "fuzz", &err) == GM_OK) {
        gm_text whole = {0};
        demand(strlen(chat.name) == 16);
        demand(chat.before.n + chat.after.n >= strlen(options.system));
        if (gm_chat_render(&chat, question, strlen(question), &whole, &err) == GM_OK)
            demand(gm_utf8_valid(whole.at, whole.n) == whole.n);
        gm_text_clear(&whole);
    } else {
        demand(strstr(err.text, "fuzz") != NULL);
        demand(chat.name[0] == '\0' && chat.before.at == NULL && chat.template == NULL);
    }
    gm_chat_clear(&chat);
    free(text);
    return 0;
}
