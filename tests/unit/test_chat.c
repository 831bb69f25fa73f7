/* test_chat.c - engine/chat: which templates are refused, from where they are read, which tokens
 * are the template's. That they are rendered as transformers does it: golden/test_chat_golden.c.
 */
#include "engine/chat/chat.h"
#include "tests/put_file.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TULU                                                                                 \
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'system' %}"       \
    "{{ '<|system|>\\n' + message['content'] + '\\n' }}{% elif message['role'] == 'user' %}" \
    "{{ '<|user|>\\n' + message['content'] + '\\n' }}{% endif %}{% endfor %}{{ "             \
    "'<|assistant|>\\n' }}"

static gm_status make_with(gm_chat *chat, const char *text, const gm_chat_options *options,
                           gm_error *err)
{
    return gm_chat_make(chat, text, strlen(text), NULL, options, "here", err);
}

static gm_status make(gm_chat *chat, const char *text, gm_error *err)
{
    const gm_chat_options none = {0};
    return make_with(chat, text, &none, err);
}

static void what_does_not_say_the_question_is_refused(void)
{
    static const char *const wrong[][2] = {
        {"", "does not repeat a user's message exactly once and unchanged"},
        {"{{ 'x' }}", "does not repeat a user's message exactly once and unchanged"},
        {"{{ messages }}", "'here', line 1: a list cannot be converted to a string"},
        {"{{ messages[0].content * 2 }}", "'*' does not work between a string and a number"},
        {"{{ messages[0].content }}{{ messages[-1].content }}",
         "does not repeat a user's message exactly once"},
        {"{{ messages[0].content | upper }}", "does not repeat a user's message exactly once"},
        {"{{ messages[0].content\n | lorem }}", "line 2: the filter 'lorem' is not supported"},
        {"{{ lipsum() }}", "the function 'lipsum' is not supported"},
        {"{{ messages[0].content.title() }}", "the method 'title' is not supported"},
        {"{{ messages[0].content.strip }}",
         "the method 'strip' is not called, expected '(' after it"},
        {"{{ messages[0]['items'] is defined }}",
         "the method 'items' is not called, expected '(' after it"},
        {"{{ messages|selectattr('keys')|list }}",
         "the method 'keys' is not called, expected '(' after it"},
        {"{% set x = messages|select %}",
         "an iterator cannot be kept as 'x'; use the filter 'list'"},
        {"{% set x = [messages|select] %}", "a list contains an iterator; use the filter 'list'"},
        {"{% if messages[0].content.isalnum %}{% endif %}",
         "the method 'isalnum' is not called, expected '(' after it"},
        {"{% set n = namespace(x=0) %}{% for i in [1, 2] if n.x < 1 %}{% set n.x = 1 %}{% endfor "
         "%}",
         "the condition of a loop changes while the loop runs"},
        {"{% if x is zzz %}{% endif %}", "the test 'zzz' is not supported"},
        {"{% include 'x' %}", "found 'include', expected a supported statement"},
        {"{% break %}", "line 1: 'break' is outside a loop"},
        {"{% endif %}", "found 'endif', expected an opening tag before it"},
        {"{{ 'open }}", "a string is not closed"},
        {"{{ x", "a tag is not closed"},
        {"{# x", "a comment is not closed"},
        {"{{ 1.5 }}", "the number that begins with '1' is not an integer of 64 bits"},
        {"{{ 12345678901234567890 }}", "is not an integer of 64 bits"},
        {"{{ messages.0 }}", "found '0', expected a name"},
        {"{% for x in 1, 2 %}{% endfor %}", "found ',', expected the end of the tag"},
        {"{{ 4 / 2 }}", "4 / 2 is a fraction, which is not supported"},
        {"{{ 9223372036854775807 + 1 }}", "does not fit into 64 bits"},
        {"\xff", "is not UTF-8"},
        {"{{ raise_exception('Only cats.') }}",
         "the template rejects this conversation: Only cats."},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        gm_chat chat;
        gm_error err = {0};
        CHECK_FAILS(make(&chat, wrong[i][0], &err), err, GM_EFORMAT, wrong[i][1]);
        CHECK(chat.name[0] == '\0' && chat.before.at == NULL && chat.template == NULL);
    }
}

/* Earlier turns stand between the system message and the question, in their order. */
static void turns_come_before_the_question(void)
{
    static const char text[] =
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}[answer]";
    const gm_chat_turn turns[] = {{"user", "a", 1}, {"assistant", "b", 1}};
    const gm_chat_turn wrong = {"user", "\xff", 1};
    gm_chat_options options = {.system = "s", .turn = turns, .n_turns = 2};
    gm_chat chat;
    gm_text out = {0};
    gm_error err = {0};
    CHECK_OK(make_with(&chat, text, &(gm_chat_options){.turn = turns, .n_turns = 1}, &err), err);
    CHECK_TEXT(chat.before.at, "[user]a[user]");
    CHECK_TEXT(chat.after.at, "[answer]");
    CHECK_OK(gm_chat_render(&chat, "q", 1, &out, &err), err);
    CHECK_TEXT(out.at, "[user]a[user]q[answer]");
    gm_text_clear(&out);
    gm_chat_clear(&chat);
    options.n_turns = 1;
    CHECK_OK(make_with(&chat, text, &options, &err), err);
    CHECK_TEXT(chat.before.at, "[system]s[user]a[user]");
    gm_chat_clear(&chat);
    options.turn = &wrong;
    CHECK_FAILS(make_with(&chat, text, &options, &err), err, GM_EARG, "message 1 of the chat");
}

/* n.x: a text of half a million characters */
#define LONG                                                                                 \
    "{% set n = namespace(x='aaaaaaaa') %}{% for i in range(16) %}{% set n.x = n.x ~ n.x %}" \
    "{% endfor %}"

/* A template is somebody's file. */
static void limits(void)
{
    static const char *const wrong[][2] = {
        {"{% for a in range(9999) %}{% set x = a+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1 %}{% endfor %}",
         "takes too many steps"},
        {"{{ range(99999999)|length }}", "takes too much memory"},
        {"{% set n = namespace(x='xxxxxxxx') %}{% for i in range(64) %}"
         "{% set n.x = n.x ~ n.x %}{% endfor %}",
         "takes too much memory"},
        {"{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}", "the template nests more than"},
        {LONG "{{ (n.x[:300000] ~ 'b') in n.x }}", "takes too many steps"},
        {LONG "{{ n.x.replace(n.x[:300000] ~ 'b', '') }}", "takes too many steps"},
        {LONG "{{ n.x.strip(n.x ~ 'b') }}", "takes too many steps"},
        {LONG "{% for i in range(900) %}{{ '' if n.x|length }}{% endfor %}",
         "takes too many steps"},
        {LONG "{% for i in range(900) %}{{ '' if n.x[-1] == n.x[5:6] }}{% endfor %}",
         "takes too many steps"},
        {LONG "{% set y = n.x ~ '' %}{% for i in range(900) %}{{ '' if n.x == y }}{% endfor %}",
         "takes too many steps"},
        {"{% set r = range(40000) %}{% for i in range(999) %}{{ '' if 'x' in r }}{% endfor %}",
         "takes too many steps"},
        {"{% set n = namespace(x=[]) %}{% for i in range(9999) %}{% set n.x = [n.x] %}{% endfor %}"
         "{{ n.x == n.x }}",
         "the template nests more than"},
    };
    gm_chat chat;
    gm_error err = {0};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CHECK_FAILS(make(&chat, wrong[i][0], &err), err, GM_EFORMAT, wrong[i][1]);
    static const char *const open[] = {"[", "(", "-", "not ", "{'a': ", "x[", "f(", "x if "};
    for (size_t i = 0; i < sizeof open / sizeof *open; i++) {
        gm_text deep = {0};
        CHECK_OK(gm_text_add(&deep, "{{ ", &err), err);
        for (int k = 0; k < 10000; k++) CHECK_OK(gm_text_add(&deep, open[i], &err), err);
        CHECK_FAILS(make(&chat, deep.at, &err), err, GM_EFORMAT,
                    i == 7 ? "a tag is not closed" : "brackets and statements are open");
        gm_text_clear(&deep);
    }
    gm_text chain = {0}; /* from the left: as deep */
    CHECK_OK(gm_text_add(&chain, "{{ 1", &err), err);
    for (int k = 0; k < 10000; k++) CHECK_OK(gm_text_add(&chain, " + 1", &err), err);
    CHECK_OK(gm_text_add(&chain, " }}", &err), err);
    CHECK_FAILS(make(&chat, chain.at, &err), err, GM_EFORMAT, "the template nests more than");
    while (chain.n <= 1 << 20)
        CHECK_OK(
            gm_text_add(&chain, "{# a line of a long comment, and no more than that #}\n", &err),
            err);
    CHECK_FAILS(make(&chat, chain.at, &err), err, GM_EFORMAT, "expected at most 1048576");
    gm_text_clear(&chain);
}

static void options(void)
{
    static const char *const plain[] = {"x"}, *const nameless[] = {"=x"};
    static const struct {
        gm_chat_options options;
        const char *says;
    } wrong[] = {
        {{.date = "2025-02-29"}, "--chat-date '2025-02-29': expected a date, YYYY-MM-DD"},
        {{.date = "today"}, "expected a date"},
        {{.settings = plain, .n_settings = 1}, "expected NAME=VALUE"},
        {{.settings = nameless, .n_settings = 1}, "expected NAME=VALUE"},
        {{.system = "\xff"}, "--system '\\xff': expected UTF-8 text"},
    };
    gm_chat chat;
    gm_error err = {0};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CHECK_FAILS(make_with(&chat, TULU, &wrong[i].options, &err), err, GM_EARG, wrong[i].says);
    CHECK_FAILS(gm_chat_check(&(gm_chat_options){.date = "2025-01-02"}, false, &err), err, GM_EARG,
                "--chat-date needs --chat");
    const gm_chat_options system = {.system = " Be kind. "};
    static const char deaf[] = "{{ messages[-1].content }}";
    CHECK_FAILS(make_with(&chat, deaf, &system, &err), err, GM_EARG,
                "has no place for a system message");

    CHECK_OK(
        make_with(&chat, "{{ messages[0].content|trim }}{{ messages[-1].content }}", &system, &err),
        err);
    gm_chat_clear(&chat);
    const gm_chat_options blank = {.system = " \n"}; /* is nothing that could be left out */
    CHECK_OK(make_with(&chat, deaf, &blank, &err), err);
    gm_chat_clear(&chat);

    static const char dated[] =
        "{{ strftime_now('%d.%m.%Y') }} {{ messages[0].content }} {{ a }}{{ b + 1 }}";
    const char *const settings[] = {"a=x y", "b=2"};
    CHECK_OK(
        make_with(&chat, dated,
                  &(gm_chat_options){
                      .date = "2024-02-29", .settings = settings, .n_settings = 2, .answer = " So"},
                  &err),
        err);
    CHECK_TEXT(chat.before.at, "29.02.2024 ");
    CHECK_TEXT(chat.after.at, " x y3 So");
    CHECK_TEXT(chat.date, "2024-02-29");
    gm_chat_clear(&chat);
    CHECK_OK(
        make_with(&chat, dated, &(gm_chat_options){.settings = settings, .n_settings = 2}, &err),
        err);
    CHECK_TEXT(chat.date, GM_CHAT_DATE);
    gm_chat_clear(&chat);
    gm_text months = {0}; /* the longest that a format says */
    CHECK_OK(gm_text_add(&months, "{{ strftime_now('", &err), err);
    for (int k = 0; k < 31; k++) CHECK_OK(gm_text_add(&months, "%B", &err), err);
    CHECK_OK(gm_text_add(&months, "') }}{{ messages[0].content }}", &err), err);
    CHECK_OK(make_with(&chat, months.at, &(gm_chat_options){.date = "2024-09-01"}, &err), err);
    CHECK_INT(chat.before.n, 31 * strlen("September"));
    gm_text_clear(&months);
    gm_chat_clear(&chat);
}

/* ---- folders ---- */

static gm_status open_model(gm_chat *chat, const char *system, gm_error *err)
{
    const gm_chat_options options = {.system = system};
    return gm_chat_open(chat, "model", &options, err);
}

static void folders(void)
{
    gm_chat chat;
    gm_error err = {0};
    mkdir("model", 0755);
    remove("model/chat_template.jinja");
    remove("model/tokenizer_config.json");
    CHECK_FAILS(open_model(&chat, NULL, &err), err, GM_EIO,
                "cannot open 'model/tokenizer_config.json'");
    put_text("model/chat_template.jinja", TULU); /* is enough: then no special token has a name */
    CHECK_OK(open_model(&chat, "S", &err), err);
    CHECK_TEXT(chat.before.at, "<|system|>\nS\n<|user|>\n");
    gm_chat_clear(&chat);
    remove("model/chat_template.jinja");
    put_text("model/tokenizer_config.json", "[]");
    CHECK_FAILS(open_model(&chat, NULL, &err), err, GM_EFORMAT, "not a JSON object");
    static const char *const without[] = {"{}", "{\"chat_template\": null}",
                                          "{\"chat_template\": [3, {}, {\"name\": \"tool\"}]}",
                                          "{\"chat_template\": [{\"name\": \"default\"}]}"};
    for (size_t i = 0; i < sizeof without / sizeof *without; i++) {
        put_text("model/tokenizer_config.json", without[i]);
        CHECK_FAILS(open_model(&chat, NULL, &err), err, GM_EFORMAT, "has no 'chat_template'");
    }
    put_text("model/tokenizer_config.json",
             "{\"bos_token\": {\"content\": \"<b>\"}, \"chat_template\": [{\"name\": \"default\", "
             "\"template\": \"{{bos_token}}{% for m in messages %}{{m.role + ': ' + m.content + "
             "'\\n\\n'}}"
             "{% endfor %}{{'Assistant:'}}\"}]}");
    CHECK_OK(open_model(&chat, "S", &err), err);
    CHECK_TEXT(chat.before.at, "<b>system: S\n\nuser: ");
    CHECK_TEXT(chat.after.at, "\n\nAssistant:");
    gm_chat_clear(&chat);
    put_text("model/chat_template.jinja", TULU "\n"); /* goes before the other */
    CHECK_OK(open_model(&chat, NULL, &err), err);
    CHECK_TEXT(chat.before.at, "<b><|user|>\n");
    gm_chat_clear(&chat);
    remove("model/chat_template.jinja"); /* a link to nothing is not taken for none */
    CHECK(symlink("nowhere", "model/chat_template.jinja") == 0);
    CHECK_FAILS(open_model(&chat, NULL, &err), err, GM_EIO, "cannot open 'model/chat_template.ji");
    remove("model/chat_template.jinja");
}

/* ---- tokens ---- */

static void whose_tokens(void)
{
    gm_tokenizer *tokenizer = NULL;
    gm_encoder *encoder = NULL;
    gm_json *config = NULL;
    static const char bos[] = "{\"bos_token\": \"<s>\"}";
    const gm_chat_options none = {0};
    gm_chat chat;
    gm_ids ids = {0}, whole = {0};
    gm_error err = {0};
    size_t before, after;
    CHECK_OK(gm_tokenizer_open(&tokenizer, TEST_DATA "/golden/models/deepseek-tiny", &err), err);
    CHECK_OK(gm_encoder_create(&encoder, tokenizer, &err), err);
    CHECK_OK(gm_json_parse(&config, bos, sizeof bos - 1, "here", &err), err);
    CHECK_OK(gm_chat_make(&chat, TULU, strlen(TULU), config, &none, "here", &err), err);
    gm_json_free(config);
    CHECK_OK(gm_chat_encode(&chat, encoder, "Hi", 2, &ids, &before, &after, &err), err);
    static const char all[] = "<s><|user|>\nHi\n<|assistant|>\n";
    CHECK_OK(gm_encode(encoder, all, sizeof all - 1, false, &whole, NULL, &err), err);
    CHECK_INT(ids.n, whole.n);
    CHECK_BYTES(ids.at, whole.at, ids.n * sizeof *ids.at);
    gm_text question = {0};
    CHECK_OK(gm_decode(tokenizer, ids.at + before, ids.n - before - after, false, &question, &err),
             err);
    CHECK_TEXT(question.at, "Hi");
    ids.n = 0; /* no question: every token is the template's */
    CHECK_OK(gm_chat_encode(&chat, encoder, "", 0, &ids, &before, &after, &err), err);
    CHECK(before > 0 && after > 0 && before + after + 1 >= ids.n); /* blanks of both may be one */
    CHECK_FAILS(gm_chat_encode(&chat, encoder, "\xff", 1, &ids, &before, &after, &err), err,
                GM_EFORMAT, "UTF-8");
    gm_text_clear(&question);
    gm_ids_clear(&ids);
    gm_ids_clear(&whole);
    gm_chat_clear(&chat);
    gm_encoder_free(encoder);
    gm_tokenizer_close(tokenizer);
}

static gm_status open_one(void *state, gm_error *err)
{
    gm_chat chat;
    (void)state;
    gm_status status = open_model(&chat, "Be kind.", err);
    gm_chat_clear(&chat);
    return status;
}

static void every_allocation(void)
{
    folders();
    check_every_allocation(open_one, NULL);
}

TESTS(TEST(what_does_not_say_the_question_is_refused), TEST(turns_come_before_the_question),
      TEST(limits), TEST(options), TEST(folders), TEST(whose_tokens), TEST(every_allocation))
