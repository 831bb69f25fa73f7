/* test_chat_golden.c - questions inside chat templates against transformers' apply_chat_template
 * (tests/golden/README.md, "tokenizers"). All comparisons are exact.
 */
#include <string.h>

#include "base/json.h"
#include "engine/tokenizer/chat.h"
#include "tests/check.h"

#define FOLDER TEST_DATA "/golden/tokenizers/"

enum { MOST_JSON = 1 << 22 };

static const char *text_of(const gm_json *object, const char *key)
{
    const gm_json *value = gm_json_find(object, key);
    return value ? gm_json_text(value, NULL) : NULL;
}

/* One question: its words between those in front of it and behind it. */
static void check_case(const gm_json *template, const gm_json *one)
{
    gm_chat chat;
    gm_error err = {0};
    gm_text whole = {0};
    const char *text = text_of(template, "template"), *name = text_of(template, "name");
    CHECK_OK(gm_chat_make(&chat, text, strlen(text), text_of(template, "bos"),
                          text_of(one, "system"), name, &err),
             err);
    CHECK_OK(gm_text_printf(&whole, &err, "%s%s%s", chat.before.at, text_of(one, "question"),
                            chat.after.at),
             err);
    CHECK_TEXT(whole.at, text_of(one, "rendered"));
    CHECK(strncmp(name, chat.name, strlen(chat.name)) == 0);
    gm_text_clear(&whole);
    gm_chat_clear(&chat);
}

static void every_template_of_the_golden(void)
{
    gm_json *root = NULL;
    gm_error err = {0};
    size_t n = 0;
    CHECK_OK(gm_json_read_file(&root, FOLDER "chat.json", MOST_JSON, &err), err);
    const gm_json *list = gm_json_find(root, "templates");
    for (const gm_json *t = gm_json_first(list); t; t = gm_json_next(t))
        for (const gm_json *c = gm_json_first(gm_json_find(t, "cases")); c;
             c = gm_json_next(c), n++)
            check_case(t, c);
    CHECK(n > 200);
    gm_json_free(root);
}

TESTS(TEST(every_template_of_the_golden))
