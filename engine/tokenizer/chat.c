/* chat.c - see chat.h. */
#include "engine/tokenizer/chat.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "engine/tokenizer/chat_spelling.h"

enum { MAX_CONFIG_BYTES = 1 << 24, MAX_MARKS = 4 };

/* One known template. Its marks are parts of it as chat_spelling.h spells it. */
typedef struct style {
    const char *name;
    const char *mark[MAX_MARKS]; /* all stand in the template */
    const char *never;           /* does not stand in it; NULL: nothing */
    const char *open;      /* a literal ends wherever it has said this: no words follow; NULL */
    const char *own;       /* behind it stands a system message of the template's own; NULL */
    const char *system[2]; /* around the system message; NULL: there is no place for one */
    bool system_opens;     /* it has the place of user[0], not one in front of it */
    const char *user[2];   /* around the question */
    const char *answer;    /* what the answer begins behind */
} style;

static const style styles[] = {
    /* GigaChat-20B-A3B-instruct */
    {.name = "gigachat",
     .mark = {"role+additional_special_tokens[0]+content"
              "+additional_special_tokens[1]",
              "'available functions'+additional_special_tokens[0]+additional_special_tokens[2]"
              "+additional_special_tokens[3]+additional_special_tokens[1]",
              "bos_token+messages[0]['content']+additional_special_tokens[1]",
              "'assistant'+additional_special_tokens[0]"},
     .system = {"", "<|message_sep|>"},
     .user = {"user<|role_sep|>",
              "<|message_sep|>available functions<|role_sep|>[]<|message_sep|>"},
     .answer = "assistant<|role_sep|>"},
    /* Qwen3 where it always thinks; Qwen3, and others trained with ChatML */
    {.name = "chatml-think",
     .mark = {"'<|im_start|>'+role+'\n'+content+'<|im_end|>'+'\n'",
              "'<|im_start|>assistant\n<think>\n'"},
     .never = "enable_thinking",
     .open = "<|im_start|>system\n", /* no message of the template's own */
     .system = {"<|im_start|>system\n", "<|im_end|>\n"},
     .user = {"<|im_start|>user\n", "<|im_end|>\n"},
     .answer = "<|im_start|>assistant\n<think>\n"},
    {.name = "chatml",
     .mark = {"'<|im_start|>'+role+'\n'+content+'<|im_end|>'+'\n'", "'<|im_start|>assistant\n'"},
     .open = "<|im_start|>system\n",
     .system = {"<|im_start|>system\n", "<|im_end|>\n"},
     .user = {"<|im_start|>user\n", "<|im_end|>\n"},
     .answer = "<|im_start|>assistant\n"},
    /* Qwen1.5-MoE-A2.7B-Chat */
    {.name = "chatml",
     .mark = {"'<|im_start|>'+role+'\n'+content+'<|im_end|>'+'\n'", "'<|im_start|>assistant\n'"},
     .own = "{%ifloop.firstandmessages[0]['role']!='system'%}{{'<|im_start|>system\n",
     .system = {"<|im_start|>system\n", "<|im_end|>\n"},
     .user = {"<|im_start|>user\n", "<|im_end|>\n"},
     .answer = "<|im_start|>assistant\n"},
    /* granite-3.0-1b-a400m-instruct */
    {.name = "granite",
     .mark = {"{{'<|start_of_role|>system<|end_of_role|>'+content+'<|end_of_text|>\n'}}",
              "{{'<|start_of_role|>user<|end_of_role|>'+content+'<|end_of_text|>\n'}}",
              "{{'<|start_of_role|>assistant<|end_of_role|>'}}"},
     .open = "<|start_of_role|>system<|end_of_role|>",
     .system = {"<|start_of_role|>system<|end_of_role|>", "<|end_of_text|>\n"},
     .user = {"<|start_of_role|>user<|end_of_role|>", "<|end_of_text|>\n"},
     .answer = "<|start_of_role|>assistant<|end_of_role|>"},
    /* OLMoE-1B-7B-0924-Instruct */
    {.name = "tulu",
     .mark = {"{{'<|system|>\n'+content+'\n'}}", "{{'<|user|>\n'+content+'\n'}}",
              "{{'<|assistant|>\n'}}"},
     .system = {"<|system|>\n", "\n"},
     .user = {"<|user|>\n", "\n"},
     .answer = "<|assistant|>\n"},
    /* Mixtral-8x7B-Instruct-v0.1, now and as it was published */
    {.name = "mistral",
     .mark = {"{{' [INST] '+system_message+'\n\n'+content+' [/INST]'}}",
              "{{' [INST] '+content+' [/INST]'}}"},
     .system = {" [INST] ", "\n\n"},
     .system_opens = true,
     .user = {" [INST] ", " [/INST]"},
     .answer = ""},
    {.name = "mistral",
     .mark = {"{{'[INST] '+content+' [/INST]'}}", "Only user and assistant roles are supported!"},
     .user = {"[INST] ", " [/INST]"},
     .answer = ""},
    /* deepseek-moe-16b-chat */
    {.name = "deepseek",
     .mark = {"{{'User: '+content+'\n\n'}}", "{{content+'\n\n'}}", "{{'Assistant:'}}"},
     .system = {"", "\n\n"},
     .user = {"User: ", "\n\n"},
     .answer = "Assistant:"},
};

/* ---- telling templates apart ---- */

/* Does a literal end wherever it has said `words`? */
static bool stay_open(const char *text, const char *words)
{
    for (const char *at = text; (at = strstr(at, words)) != NULL;) {
        at += strlen(words);
        if (*at != '\'') return false;
    }
    return true;
}

/* The template's own system message, n bytes; NULL: none, or one whose quotes the spelling has
 * changed. */
static const char *own_message(const style *s, const char *text, size_t *n)
{
    const char *at = s->own ? strstr(text, s->own) : NULL;
    if (at == NULL) return NULL;
    at += strlen(s->own);
    const char *end = strstr(at, s->system[1]);
    *n = end ? (size_t)(end - at) : 0;
    return end && memchr(at, '"', *n) == NULL ? at : NULL;
}

static bool has(const char *at, const char *end, const char *words)
{
    const char *found = strstr(at, words);
    return found != NULL && found < end;
}

static bool begins(const char *text, const char *words)
{
    return strncmp(text, words, strlen(words)) == 0;
}

/* Behind the tag at `at`. */
static const char *end_of_tag(const char *at)
{
    bool quoted = false;
    for (at += 2; *at; at++) {
        if (*at == '\'') quoted = !quoted;
        if (!quoted && (*at == '%' || *at == '}') && at[1] == '}') return at + 2;
    }
    return at;
}

/* May an expression be said to every question: one of the marks, or without words of its own? */
static bool may_be_said(const style *s, const char *at, const char *end)
{
    if (begins(at, "{{raise_exception")) return true;
    if (!has(at, end, "'") && !has(at, end, "eos_token")) return true;
    const size_t n = (size_t)(end - at) - 4;
    for (size_t k = 0; k < MAX_MARKS && s->mark[k]; k++) {
        const char *mark = s->mark[k];
        size_t length = strlen(mark);
        if (begins(mark, "{{")) mark += 2, length -= 4;
        if (length == n && memcmp(mark, at + 2, n) == 0) return true;
    }
    return false;
}

/* Is what a statement opens said to every question, as the rest of a loop is, the turn of a user,
 * the beginning of the answer, and what is for those who define no variable? */
static bool is_for_all(const char *at, const char *end)
{
    return begins(at, "{%for") || has(at, end, "role=='user'") || has(at, end, "isnotdefined") ||
           (begins(at, "{%ifnot") && has(at, end, "isdefined")) || begins(at, "{%ifloop.last%}") ||
           (has(at, end, "add_generation_prompt") && !has(at, end, "not"));
}

/* Does a template say nothing to every question but what the style says? */
static bool says_no_more(const style *s, const char *text)
{
    enum { MAX_DEPTH = 64 };
    bool said[MAX_DEPTH] = {true}; /* inside of so many statements */
    size_t depth = 0;
    for (const char *at = text, *end; *at; at = end) {
        end = end_of_tag(at);
        if (begins(at, "{{")) {
            if (said[depth] && !may_be_said(s, at, end)) return false;
        } else if (begins(at, "{%if") || begins(at, "{%for") || begins(at, "{%macro")) {
            if (++depth == MAX_DEPTH) return false;
            said[depth] = said[depth - 1] && is_for_all(at, end);
        } else if (depth > 0 && begins(at, "{%el")) {
            said[depth] = said[depth - 1] && is_for_all(at, end);
        } else if (depth > 0 && begins(at, "{%end") && !begins(at, "{%endset")) {
            depth--;
        }
    }
    return true;
}

/* The style of a template so spelt; NULL: none that is known. A question that is trimmed is
 * changed, which none of these does. */
static const style *find_style(const char *text)
{
    if (strstr(text, "|trim") || strstr(text, "setcontent=content.strip()")) return NULL;
    for (size_t i = 0; i < sizeof styles / sizeof *styles; i++) {
        const style *s = &styles[i];
        size_t n;
        bool fits = (s->never == NULL || strstr(text, s->never) == NULL) &&
                    (s->open == NULL || stay_open(text, s->open)) &&
                    (s->own == NULL || own_message(s, text, &n) != NULL);
        for (size_t k = 0; k < MAX_MARKS && s->mark[k] && fits; k++)
            fits = strstr(text, s->mark[k]) != NULL;
        if (fits && says_no_more(s, text)) return s;
    }
    return NULL;
}

static gm_status unknown(const char *where, gm_error *err)
{
    gm_text names = {0};
    gm_status status = GM_OK;
    for (size_t i = 0; i < sizeof styles / sizeof *styles; i++) {
        if (i > 0 && strcmp(styles[i].name, styles[i - 1].name) == 0) continue;
        GM_TRY(gm_text_printf(&names, err, "%s%s", i ? ", " : "", styles[i].name));
    }
    status = gm_fail(err, GM_EFORMAT,
                     "'%s' is none of the chat templates known here (%s); write its words into "
                     "the prompt instead",
                     where, names.at);
out:
    gm_text_clear(&names);
    return status;
}

/* The system message, or the template's own: written, with what stands around it. */
static gm_status add_system(gm_text *out, const style *s, const char *text, const char *system,
                            gm_error *err)
{
    gm_status status = GM_OK;
    size_t n = system ? strlen(system) : 0;
    if (system == NULL) system = own_message(s, text, &n);
    if (system == NULL) return GM_OK;
    GM_TRY(gm_text_add(out, s->system[0], err));
    GM_TRY(gm_text_append(out, system, n, err));
    GM_TRY(gm_text_add(out, s->system[1], err));
out:
    return status;
}

gm_status gm_chat_make(gm_chat *out, const char *text, size_t n, const char *bos,
                       const char *system, const char *where, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text spelt = {0};
    bool all;
    *out = (gm_chat){0};
    GM_TRY(gm_chat_spell(&spelt, &all, text, n, err));
    const style *s =
        all && spelt.n > 0 && strlen(spelt.at) == spelt.n ? find_style(spelt.at) : NULL;
    if (s == NULL) {
        status = unknown(where, err);
        goto out;
    }
    if (system && s->system[0] == NULL)
        GM_FAIL(GM_EARG, "the chat template of '%s' has no place for a system message", where);
    out->name = s->name;
    if (strstr(spelt.at, "bos_token")) GM_TRY(gm_text_add(&out->before, bos, err));
    GM_TRY(add_system(&out->before, s, spelt.at, system, err));
    if (!system || !s->system_opens) GM_TRY(gm_text_add(&out->before, s->user[0], err));
    GM_TRY(gm_text_add(&out->after, s->user[1], err));
    GM_TRY(gm_text_add(&out->after, s->answer, err));
out:
    gm_text_clear(&spelt);
    if (status != GM_OK) gm_chat_clear(out);
    return status;
}

void gm_chat_clear(gm_chat *chat)
{
    gm_text_clear(&chat->before);
    gm_text_clear(&chat->after);
    *chat = (gm_chat){0};
}

/* ---- a model's folder ---- */

/* A token's spelling: a string, or an object with 'content'; "" for anything else. */
static const char *spelling_of(const gm_json *token)
{
    const char *text = NULL;
    if (token && gm_json_kind_of(token) == GM_JSON_OBJECT) token = gm_json_find(token, "content");
    if (token) text = gm_json_text(token, NULL);
    return text ? text : "";
}

/* The template of a configuration: a string, or the one called "default" of a list. */
static const gm_json *template_of(const gm_json *config)
{
    const gm_json *value = gm_json_find(config, "chat_template");
    if (value == NULL || gm_json_kind_of(value) != GM_JSON_ARRAY) return value;
    for (const gm_json *at = gm_json_first(value); at; at = gm_json_next(at)) {
        const gm_json *name =
            gm_json_kind_of(at) == GM_JSON_OBJECT ? gm_json_find(at, "name") : NULL;
        const char *text = name ? gm_json_text(name, NULL) : NULL;
        if (text && strcmp(text, "default") == 0) return gm_json_find(at, "template");
    }
    return NULL;
}

static bool can_read(const char *path)
{
    FILE *file = fopen(path, "r");
    return file != NULL && fclose(file) == 0;
}

gm_status gm_chat_open(gm_chat *out, const char *folder, const char *system, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text config_path = {0}, path = {0}, file = {0};
    gm_json *config = NULL;
    *out = (gm_chat){0};
    GM_TRY(gm_text_printf(&config_path, err, "%s/tokenizer_config.json", folder));
    GM_TRY(gm_text_printf(&path, err, "%s/chat_template.jinja", folder));
    GM_TRY(gm_json_read_file(&config, config_path.at, MAX_CONFIG_BYTES, err));
    if (gm_json_kind_of(config) != GM_JSON_OBJECT)
        GM_FAIL(GM_EFORMAT, "'%s' is not a JSON object", config_path.at);

    const char *bos = spelling_of(gm_json_find(config, "bos_token"));
    if (can_read(path.at)) {
        GM_TRY(gm_text_read_file(&file, path.at, MAX_CONFIG_BYTES, err));
        GM_TRY(gm_chat_make(out, file.n ? file.at : "", file.n, bos, system, path.at, err));
        goto out;
    }
    size_t n = 0;
    const gm_json *value = template_of(config);
    const char *text = value ? gm_json_text(value, &n) : NULL;
    if (text == NULL)
        GM_FAIL(GM_EFORMAT, "'%s' has no 'chat_template': the model was not trained to answer",
                config_path.at);
    GM_TRY(gm_chat_make(out, text, n, bos, system, config_path.at, err));
out:
    gm_text_clear(&config_path);
    gm_text_clear(&path);
    gm_text_clear(&file);
    gm_json_free(config);
    return status;
}

/* ---- questions ---- */

gm_status gm_chat_encode(const gm_chat *chat, gm_encoder *encoder, const char *text, size_t n,
                         gm_ids *ids, size_t *n_before, size_t *n_after, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text whole = {0};
    gm_ids ends = {0};
    const size_t first = chat->before.n, last = chat->before.n + n;
    *n_before = *n_after = 0;
    if (first > 0) GM_TRY(gm_text_append(&whole, chat->before.at, first, err));
    GM_TRY(gm_text_append(&whole, text, n, err));
    if (chat->after.n > 0) GM_TRY(gm_text_append(&whole, chat->after.at, chat->after.n, err));
    GM_TRY(gm_encode(encoder, whole.at, whole.n, false, ids, NULL, NULL, &ends, err));
    while (*n_before < ends.n && ends.at[*n_before] <= first) ++*n_before;
    while (*n_after + *n_before + 1 < ends.n && ends.at[ends.n - *n_after - 2] >= last) ++*n_after;
out:
    gm_text_clear(&whole);
    gm_ids_clear(&ends);
    return status;
}
