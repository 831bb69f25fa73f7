/* test_chat.c - engine/tokenizer/chat.c: which templates are known, from where they are read,
 * which tokens are the template's. That they are rendered as transformers does it:
 * golden/test_chat_golden.c.
 */
#include "engine/tokenizer/chat.h"

#include <string.h>
#include <sys/stat.h>

#include "engine/tokenizer/chat_spelling.h"
#include "tests/check.h"

#define TULU                                                                                 \
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'system' %}"       \
    "{{ '<|system|>\\n' + message['content'] + '\\n' }}{% elif message['role'] == 'user' %}" \
    "{{ '<|user|>\\n' + message['content'] + '\\n' }}{% endif %}{% endfor %}{{ "             \
    "'<|assistant|>\\n' }}"

/* ChatML that says more behind a user's question and before the answer. */
#define CHATML(question, answer)                                                           \
    ("{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + "            \
     "message.content + '<|im_end|>' + '\\n' }}{% if message.role == 'user' %}" question   \
     "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' " \
     "}}" answer "{% endif %}")

static gm_status make(gm_chat *chat, const char *text, gm_error *err)
{
    return gm_chat_make(chat, text, strlen(text), "<s>", NULL, "here", err);
}

static void spelling(void)
{
    static const struct {
        const char *text, *spelt;
        bool all;
    } cases[] = {
        {"{{- message[\"role\"]  +\n 'a \\'b\\'\\n' -}}", "{{role+'a \"b\"\n'}}", true},
        {"{{ message.content }}{# it's not said #}{{ \"{{'}}\" }}", "{{content}}{{'{{\"}}'}}",
         true},
        {"{{ x }} {{ y }}", "{{x}}{{y}}", false},
        {"{{ x }} {{- y }}", "{{x}}{{y}}", true},
        {"{{ x -}} \n {{ y }}", "{{x}}{{y}}", true},
        {"{% x %}\n  {% y %}\n{{ z }}\n", "{%x%}{%y%}{{z}}", true},
        {"{% x %}\n  {{ y }}", "{%x%}{{y}}", false},
        {"{% x %}\n\n{% y %}", "{%x%}{%y%}", false},
        {"{% x %} {% y %}", "{%x%}{%y%}", false},
        {"  {% x %}", "{%x%}", true},
        {"  {{ raise_exception('no') }}\n {% x %}", "{{raise_exception('no')}}{%x%}", true},
        {"<s>{{ x }}", "{{x}}", false},
        {"{{ x }}</s>", "{{x}}", false},
        {"{{ 'open }}", "{{'open }}", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        gm_text out = {0};
        bool all;
        gm_error err = {0};
        CHECK_OK(gm_chat_spell(&out, &all, cases[i].text, strlen(cases[i].text), &err), err);
        CHECK_TEXT(out.at, cases[i].spelt);
        if (all != cases[i].all) TEST_FAILED_("case %zu: tags say all: %d", i, all);
        gm_text_clear(&out);
    }
}

static void what_is_not_known_is_refused(void)
{
    static const char *const unknown[] = {
        "",
        "{{ messages }}",
        "answer: " TULU,
        "{% set content = message['content'] | trim %}" TULU,
        /* a system message of its own */
        ("{{ '<|im_start|>system\\nYou are kind.<|im_end|>\\n' }}"
         "{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}"
         "{{ '<|im_start|>assistant\\n' }}"),
        /* one whose quotes cannot be told */
        ("{% if loop.first and messages[0]['role'] != 'system' %}"
         "{{ \"<|im_start|>system\\nYou're kind.<|im_end|>\\n\" }}{% endif %}"
         "{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}"
         "{{ '<|im_start|>assistant\\n' }}"),
        /* thinks unless told not to, or the other way round */
        ("{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}"
         "{% if enable_thinking %}{{ '<|im_start|>assistant\\n<think>\\n' }}{% endif %}"),
        /* a known one that says more: in front, behind a question, before the answer */
        "{{ 'Be kind. ' }}" TULU,
        TULU "{{ '<think>' }}",
        CHATML("{{ '/no_think' }}", ""),
        CHATML("{{ eos_token }}", ""),
        CHATML("", "{{ '<think>\\n\\n</think>\\n\\n' }}"),
        CHATML("", "{% if true %}{% endif %}{{ 'Sure: ' }}"),
        CHATML("", "{% if x is not defined or x %}{{ '<think>' }}{% endif %}"),
        CHATML("", "{% if not x is defined %}{{ '<think>' }}{% endif %}"),
        CHATML("{% if loop.last %}{{ '/no_think' }}{% endif %}", ""),
        "{% set content = message['content'].strip() %}" TULU,
    };
    gm_chat chat;
    gm_error err = {0};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        CHECK_FAILS(make(&chat, unknown[i], &err), err, GM_EFORMAT,
                    "'here' is none of the chat templates known here (gigachat, ");
        CHECK(chat.name == NULL && chat.before.at == NULL && chat.after.at == NULL);
    }
    const char *same = CHATML("", "{% if x %}{{ 'x' }}{% else %}{{ 'y' }}{% endif %}");
    CHECK_OK(make(&chat, same, &err), err); /* a template's own variables are left alone */
    gm_chat_clear(&chat);
    CHECK_FAILS(gm_chat_make(&chat, TULU "\0{{ 'x' }}", sizeof TULU "\0{{ 'x' }}" - 1, "", NULL,
                             "here", &err),
                err, GM_EFORMAT, "none of the chat templates known");
    const char *plain = "{{ '[INST] ' + message['content'] + ' [/INST]' }}"
                        "{{ raise_exception('Only user and assistant roles are supported!') }}";
    CHECK_OK(make(&chat, plain, &err), err);
    CHECK_TEXT(chat.name, "mistral");
    gm_chat_clear(&chat);
    CHECK_FAILS(gm_chat_make(&chat, plain, strlen(plain), "", "Be kind.", "here", &err), err,
                GM_EARG, "has no place for a system message");
}

/* ---- folders ---- */

static void put(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    fputs(text, file);
    fclose(file);
}

static void folders(void)
{
    gm_chat chat;
    gm_error err = {0};
    mkdir("model", 0755);
    remove("model/chat_template.jinja");
    remove("model/tokenizer_config.json");
    CHECK_FAILS(gm_chat_open(&chat, "model", NULL, &err), err, GM_EIO, "tokenizer_config.json");
    put("model/tokenizer_config.json", "[]");
    CHECK_FAILS(gm_chat_open(&chat, "model", NULL, &err), err, GM_EFORMAT, "not a JSON object");
    static const char *const without[] = {"{}", "{\"chat_template\": null}",
                                          "{\"chat_template\": [3, {}, {\"name\": \"tool\"}]}",
                                          "{\"chat_template\": [{\"name\": \"default\"}]}"};
    for (size_t i = 0; i < sizeof without / sizeof *without; i++) {
        put("model/tokenizer_config.json", without[i]);
        CHECK_FAILS(gm_chat_open(&chat, "model", NULL, &err), err, GM_EFORMAT,
                    "has no 'chat_template'");
    }
    put("model/tokenizer_config.json",
        "{\"bos_token\": {\"content\": \"<b>\"}, \"chat_template\": [{\"name\": \"default\", "
        "\"template\": \"{{bos_token}}{{'User: '+message['content']+'\\n\\n'}}"
        "{{message['content']+'\\n\\n'}}{{'Assistant:'}}\"}]}");
    CHECK_OK(gm_chat_open(&chat, "model", "S", &err), err);
    CHECK_TEXT(chat.before.at, "<b>S\n\nUser: ");
    CHECK_TEXT(chat.after.at, "\n\nAssistant:");
    gm_chat_clear(&chat);
    put("model/chat_template.jinja", TULU "\n"); /* goes before the other */
    CHECK_OK(gm_chat_open(&chat, "model", NULL, &err), err);
    CHECK_TEXT(chat.before.at, "<b><|user|>\n");
    gm_chat_clear(&chat);
}

/* ---- tokens ---- */

static void whose_tokens(void)
{
    gm_tokenizer *tokenizer = NULL;
    gm_encoder *encoder = NULL;
    gm_chat chat;
    gm_ids ids = {0}, whole = {0};
    gm_error err = {0};
    size_t before, after;
    CHECK_OK(gm_tokenizer_open(&tokenizer, TEST_DATA "/golden/models/deepseek-tiny", &err), err);
    CHECK_OK(gm_encoder_create(&encoder, tokenizer, &err), err);
    CHECK_OK(make(&chat, TULU, &err), err);
    CHECK_OK(gm_chat_encode(&chat, encoder, "Hi", 2, &ids, &before, &after, &err), err);
    static const char all[] = "<s><|user|>\nHi\n<|assistant|>\n";
    CHECK_OK(gm_encode(encoder, all, sizeof all - 1, false, &whole, NULL, NULL, NULL, &err), err);
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
    gm_status status = gm_chat_open(&chat, "model", "Be kind.", err);
    gm_chat_clear(&chat);
    return status;
}

static void every_allocation(void)
{
    folders();
    check_every_allocation(open_one, NULL);
}

TESTS(TEST(spelling), TEST(what_is_not_known_is_refused), TEST(folders), TEST(whose_tokens),
      TEST(every_allocation))
