/* test_chat_golden.c - questions inside chat templates against transformers' apply_chat_template,
 * and expressions and statements of Jinja against Jinja (tests/golden/README.md, "tokenizers"). All
 * comparisons are exact.
 */
#include "engine/chat/chat.h"
#include "tests/check.h"

#include <string.h>

#define FOLDER TEST_DATA "/golden/tokenizers/"

enum { MAX_JSON = 1 << 22, MAX_SETTINGS = 4 };

static const char *text_of(const gm_json *object, const char *key)
{
    const gm_json *value = gm_json_find(object, key);
    return value ? gm_json_text(value, NULL) : NULL;
}

/* The settings of a case as options: "name=value". */
static size_t settings_of(const gm_json *one, gm_text *words, const char **setting)
{
    gm_error err = {0};
    const gm_json *settings = gm_json_find(one, "settings");
    size_t n = 0;
    bool yes;
    for (const gm_json *s = settings ? gm_json_first(settings) : NULL; s; s = gm_json_next(s)) {
        const char *value = gm_json_bool(s, &yes) ? yes ? "true" : "false" : gm_json_text(s, NULL);
        CHECK_OK(gm_text_printf(&words[n], &err, "%s=%s", gm_json_key(s), value), err);
        setting[n] = words[n].at;
        n++;
    }
    return n;
}

/* One question: its words between what the template says before and after it, as far as the
 * template leaves the question as it is. */
static void check_case(const gm_json *template, const gm_json *one)
{
    gm_chat chat;
    gm_error err = {0};
    gm_text whole = {0}, words[MAX_SETTINGS] = {{0}};
    const char *setting[MAX_SETTINGS];
    const char *text = text_of(template, "template"), *name = text_of(template, "name");
    const char *question = text_of(one, "question");
    const gm_chat_options options = {.system = text_of(one, "system"),
                                     .settings = setting,
                                     .n_settings = settings_of(one, words, setting)};
    CHECK_OK(gm_chat_make(&chat, text, strlen(text), gm_json_find(template, "config"), &options,
                          name, &err),
             err);
    CHECK_OK(gm_chat_render(&chat, question, strlen(question), &whole, &err), err);
    CHECK_TEXT(whole.at, text_of(one, "rendered"));
    CHECK(strncmp(whole.at, chat.before.n ? chat.before.at : "", chat.before.n) == 0);
    CHECK(strcmp(whole.at + whole.n - chat.after.n, chat.after.n ? chat.after.at : "") == 0);
    if (strcmp(name, "trimmed") != 0)
        CHECK_INT(whole.n, chat.before.n + strlen(question) + chat.after.n);
    gm_text_clear(&whole);
    for (size_t i = 0; i < MAX_SETTINGS; i++) gm_text_clear(&words[i]);
    gm_chat_clear(&chat);
}

static void every_template_of_the_golden(void)
{
    gm_json *root = NULL;
    gm_error err = {0};
    size_t n = 0;
    CHECK_OK(gm_json_read_file(&root, FOLDER "chat.json", MAX_JSON, &err), err);
    const gm_json *list = gm_json_find(root, "templates");
    for (const gm_json *t = gm_json_first(list); t; t = gm_json_next(t))
        for (const gm_json *c = gm_json_first(gm_json_find(t, "cases")); c;
             c = gm_json_next(c), n++)
            check_case(t, c);
    CHECK(n > 200);
    gm_json_free(root);
}

/* What Jinja fails at (null) is refused; all else is said as Jinja says it. */
static void every_expression_of_the_golden(void)
{
    gm_json *root = NULL;
    gm_error err = {0};
    size_t n = 0;
    CHECK_OK(gm_json_read_file(&root, FOLDER "jinja.json", MAX_JSON, &err), err);
    const gm_json *variables = gm_json_find(root, "variables");
    const gm_jinja_input input = {&variables, 1, GM_CHAT_DATE};
    const gm_json *list = gm_json_find(root, "said");
    for (const gm_json *one = gm_json_first(list); one; one = gm_json_next(one), n++) {
        size_t n_text;
        gm_text said = {0};
        gm_jinja *jinja = NULL;
        const char *text = gm_json_text(gm_json_first(one), &n_text);
        const char *want = gm_json_text(gm_json_next(gm_json_first(one)), NULL);
        gm_status status = gm_jinja_parse(&jinja, text, n_text, "here", &err);
        if (status == GM_OK) status = gm_jinja_render(jinja, &input, &said, NULL, &err);
        if (want == NULL)
            CHECK_INT(status, GM_EFORMAT);
        else if (status != GM_OK || strcmp(said.n ? said.at : "", want) != 0)
            TEST_FAILED_("%s: '%s', expected '%s'", text, status ? err.text : said.at, want);
        gm_text_clear(&said);
        gm_jinja_free(jinja);
    }
    CHECK(n > 180);
    gm_json_free(root);
}

TESTS(TEST(every_template_of_the_golden), TEST(every_expression_of_the_golden))
