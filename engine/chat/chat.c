/* chat.c - see chat.h. */
#include "engine/chat/chat.h"

#include "base/folder.h"
#include "base/sha256.h"

#include <string.h>

enum { MAX_CONFIG_BYTES = 1 << 24 };

/* A question that no template changes, and none says by itself. */
static const char MARK[] = "gm0question0mark";

/* ---- options ---- */

static bool is_utf8(const char *text)
{
    return text == NULL || gm_utf8_valid(text, strlen(text)) == strlen(text);
}

gm_status gm_chat_check(const gm_chat_options *o, bool chat, gm_error *err)
{
    const char *const words[][2] = {{"system", o->system},
                                    {"answer", o->answer},
                                    {"chat-date", o->date},
                                    {"chat-set", o->n_settings ? o->settings[0] : NULL}};
    for (int i = 0; i < 4; i++) {
        const char *text = words[i][1];
        if (text && !chat) return gm_fail(err, GM_EARG, "--%s needs --chat", words[i][0]);
        if (!is_utf8(text))
            return gm_fail(err, GM_EARG, "--%s '%s': expected UTF-8 text", words[i][0], text);
    }
    if (o->date && !gm_jinja_is_date(o->date))
        return gm_fail(err, GM_EARG, "--chat-date '%s': expected a date, YYYY-MM-DD", o->date);
    for (size_t i = 0; i < o->n_settings; i++) {
        const char *equals = strchr(o->settings[i], '=');
        if (equals == NULL || equals == o->settings[i] || !is_utf8(o->settings[i]))
            return gm_fail(err, GM_EARG, "--chat-set '%s': expected NAME=VALUE in UTF-8",
                           o->settings[i]);
    }
    for (size_t i = 0; i < o->n_turns; i++)
        if (gm_utf8_valid(o->turn[i].text, o->turn[i].n) != o->turn[i].n)
            return gm_fail(err, GM_EARG, "message %zu of the chat is not valid UTF-8", i + 1);
    return GM_OK;
}

void gm_chat_put(const gm_chat_options *o, const char *date, gm_json_out *json)
{
    gm_json_put_string(json, "system", o->system);
    gm_json_put_string(json, "answer", o->answer);
    if (o->n_settings > 0) {
        gm_json_open_array(json, "chat_set");
        for (size_t i = 0; i < o->n_settings; i++) gm_json_put_string(json, NULL, o->settings[i]);
        gm_json_close_array(json);
    }
    if (date) gm_json_put_string(json, "chat_date", date);
}

/* ---- what a template is given ---- */

/* A token's spelling: a string, or an object with 'content'; "" for anything else. */
static const char *spelling_of(const gm_json *token)
{
    const char *text = NULL;
    if (token && gm_json_kind_of(token) == GM_JSON_OBJECT) token = gm_json_find(token, "content");
    if (token) text = gm_json_text(token, NULL);
    return text ? text : "";
}

/* The special tokens that a configuration names. */
static void put_tokens(gm_json_out *out, const gm_json *config)
{
    static const char *const keys[] = {"bos_token", "eos_token", "unk_token",  "sep_token",
                                       "pad_token", "cls_token", "mask_token", NULL};
    static const char *const lists[] = {"additional_special_tokens", "extra_special_tokens", NULL};
    for (const char *const *key = keys; *key; key++) {
        const char *text = spelling_of(gm_json_find(config, *key));
        if (*text) gm_json_put_string(out, *key, text);
    }
    for (const char *const *key = lists; *key; key++) {
        const gm_json *list = gm_json_find(config, *key);
        if (list == NULL || gm_json_kind_of(list) != GM_JSON_ARRAY) continue;
        gm_json_open_array(out, *key);
        for (const gm_json *at = gm_json_first(list); at; at = gm_json_next(at))
            gm_json_put_string(out, NULL, spelling_of(at));
        gm_json_close_array(out);
    }
}

/* All variables but for the messages: the template's own ones, and those that are set. */
static gm_status make_variables(gm_json **out, const gm_json *config, const gm_chat_options *o,
                                gm_error *err)
{
    gm_status status = GM_OK;
    gm_json_out json = {0};
    gm_text name = {0};
    gm_json_open_object(&json, NULL);
    gm_json_open_object(&json, "own");
    gm_json_put_bool(&json, "add_generation_prompt", true);
    gm_json_put_null(&json, "tools");
    gm_json_put_null(&json, "documents");
    if (config) put_tokens(&json, config);
    gm_json_close_object(&json);
    gm_json_open_object(&json, "set");
    for (size_t i = 0; i < o->n_settings; i++) {
        const char *equals = strchr(o->settings[i], '=');
        gm_json *value = NULL;
        name.n = 0;
        GM_TRY(gm_text_append(&name, o->settings[i], (size_t)(equals - o->settings[i]), err));
        status = gm_json_parse(&value, equals + 1, strlen(equals + 1), "--chat-set", err);
        gm_json_free(value);
        if (status == GM_EMEM) goto out;
        if (status == GM_OK)
            gm_json_put_raw(&json, name.at, equals + 1);
        else
            gm_json_put_string(&json, name.at, equals + 1);
    }
    gm_json_close_object(&json);
    gm_json_close_object(&json);
    GM_TRY(gm_json_out_done(&json, err));
    GM_TRY(gm_json_parse(out, json.text.at, json.text.n, "--chat-set", err));
out:
    gm_text_clear(&name);
    gm_text_clear(&json.text);
    return status;
}

static void put_message(gm_json_out *json, const char *role, const char *text, size_t n)
{
    gm_json_open_object(json, NULL);
    gm_json_put_string(json, "role", role);
    gm_json_put_text(json, "content", text, n);
    gm_json_close_object(json);
}

/* The question's message, after the system's and the earlier turns. */
static gm_status make_messages(gm_json **out, const gm_chat *chat, const char *text, size_t n,
                               gm_error *err)
{
    gm_status status = GM_OK;
    gm_json_out json = {0};
    gm_json_open_object(&json, NULL);
    gm_json_open_array(&json, "messages");
    if (chat->system) put_message(&json, "system", chat->system, strlen(chat->system));
    for (size_t i = 0; i < chat->n_turns; i++)
        put_message(&json, chat->turn[i].role, chat->turn[i].text, chat->turn[i].n);
    put_message(&json, "user", text, n);
    gm_json_close_array(&json);
    gm_json_close_object(&json);
    GM_TRY(gm_json_out_done(&json, err));
    GM_TRY(gm_json_parse(out, json.text.at, json.text.n, "a question", err));
out:
    gm_text_clear(&json.text);
    return status;
}

/* ---- questions ---- */

/* What the template says, without the answer's beginning. */
static gm_status render(const gm_chat *chat, const char *text, size_t n, bool *said_date,
                        gm_text *out, gm_error *err)
{
    gm_status status = GM_OK;
    gm_json *messages = NULL;
    GM_TRY(make_messages(&messages, chat, text, n, err));
    const gm_json *const variables[] = {gm_json_find(chat->variables, "own"),
                                        gm_json_find(chat->variables, "set"), messages};
    const gm_jinja_input input = {variables, sizeof variables / sizeof *variables, chat->today};
    GM_TRY(gm_jinja_render(chat->template, &input, out, said_date, err));
out:
    gm_json_free(messages);
    return status;
}

gm_status gm_chat_render(const gm_chat *chat, const char *text, size_t n, gm_text *out,
                         gm_error *err)
{
    gm_status status = GM_OK;
    if (gm_utf8_valid(text, n) != n) GM_FAIL(GM_EFORMAT, "a question is not valid UTF-8");
    GM_TRY(render(chat, text, n, NULL, out, err));
    if (chat->answer) GM_TRY(gm_text_add(out, chat->answer, err));
out:
    return status;
}

gm_status gm_chat_encode(const gm_chat *chat, gm_encoder *encoder, const char *text, size_t n,
                         gm_ids *ids, size_t *n_before, size_t *n_after, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text whole = {0};
    gm_ids ends = {0};
    size_t first = 0, last = 0;
    *n_before = *n_after = 0;
    GM_TRY(gm_chat_render(chat, text, n, &whole, err));
    while (first < whole.n && first < chat->before.n && whole.at[first] == chat->before.at[first])
        first++;
    while (last < whole.n - first && last < chat->after.n &&
           whole.at[whole.n - 1 - last] == chat->after.at[chat->after.n - 1 - last])
        last++;
    gm_encoded about = {.ends = &ends};
    GM_TRY(gm_encode(encoder, whole.n ? whole.at : "", whole.n, false, ids, &about, err));
    while (*n_before < ends.n && ends.at[*n_before] <= first) ++*n_before;
    while (*n_after + *n_before + 1 < ends.n && ends.at[ends.n - *n_after - 2] >= whole.n - last)
        ++*n_after;
out:
    gm_text_clear(&whole);
    gm_ids_clear(&ends);
    return status;
}

/* ---- templates ---- */

/* What stands around a question, from one that no template changes. */
static gm_status find_ends(gm_chat *chat, const char *where, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text whole = {0};
    bool said_date = false;
    const size_t n = sizeof MARK - 1;
    GM_TRY(render(chat, MARK, n, &said_date, &whole, err));
    const char *at = whole.n ? strstr(whole.at, MARK) : NULL;
    if (at == NULL || strstr(at + n, MARK) || strlen(whole.at) != whole.n)
        GM_FAIL(
            GM_EFORMAT,
            "the chat template of '%s' does not repeat a user's message exactly once and unchanged",
            where);
    const size_t first = (size_t)(at - whole.at);
    GM_TRY(gm_text_append(&chat->before, whole.at, first, err));
    GM_TRY(gm_text_append(&chat->after, at + n, whole.n - first - n, err));
    if (chat->answer) GM_TRY(gm_text_add(&chat->after, chat->answer, err));
    if (said_date) chat->date = chat->today;
out:
    gm_text_clear(&whole);
    return status;
}

static bool holds(const gm_text *text, const char *words, size_t n)
{
    for (size_t i = 0; i + n <= text->n; i++)
        if (memcmp(text->at + i, words, n) == 0) return true;
    return false;
}

/* Is the system message there, but for blanks around it? */
static gm_status find_system(const gm_chat *chat, const char *where, gm_error *err)
{
    const char *words = chat->system;
    size_t n = words ? strlen(words) : 0;
    while (n > 0 && strchr(" \t\r\n", *words)) words++, n--;
    while (n > 0 && strchr(" \t\r\n", words[n - 1])) n--;
    if (n == 0 || holds(&chat->before, words, n) || holds(&chat->after, words, n)) return GM_OK;
    return gm_fail(err, GM_EARG, "the chat template of '%s' has no place for a system message",
                   where);
}

gm_status gm_chat_make(gm_chat *out, const char *text, size_t n, const gm_json *config,
                       const gm_chat_options *options, const char *where, gm_error *err)
{
    gm_status status = GM_OK;
    uint8_t digest[32];
    char hex[65];
    const char *date = options->date ? options->date : GM_CHAT_DATE;
    *out = (gm_chat){.system = options->system,
                     .answer = options->answer,
                     .today = date,
                     .turn = options->turn,
                     .n_turns = options->n_turns};
    GM_TRY(gm_chat_check(options, true, err));
    GM_TRY(gm_jinja_parse(&out->template, text, n, where, err));
    GM_TRY(make_variables(&out->variables, config, options, err));
    GM_TRY(find_ends(out, where, err));
    if (out->system) GM_TRY(find_system(out, where, err));
    gm_sha256_of(text, n, digest);
    gm_sha256_hex(digest, hex);
    memcpy(out->name, hex, sizeof out->name - 1);
out:
    if (status != GM_OK) gm_chat_clear(out);
    return status;
}

void gm_chat_clear(gm_chat *chat)
{
    gm_text_clear(&chat->before);
    gm_text_clear(&chat->after);
    gm_jinja_free(chat->template);
    gm_json_free(chat->variables);
    *chat = (gm_chat){0};
}

/* ---- a model's folder ---- */

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

gm_status gm_chat_open(gm_chat *out, const char *folder, const gm_chat_options *options,
                       gm_error *err)
{
    gm_status status = GM_OK;
    gm_text config_path = {0}, path = {0}, file = {0};
    gm_json *config = NULL;
    *out = (gm_chat){0};
    GM_TRY(gm_text_printf(&config_path, err, "%s/tokenizer_config.json", folder));
    GM_TRY(gm_text_printf(&path, err, "%s/chat_template.jinja", folder));
    const bool has_file = gm_path_is_taken(path.at);
    if (!has_file || gm_path_is_taken(config_path.at)) {
        GM_TRY(gm_json_read_file(&config, config_path.at, MAX_CONFIG_BYTES, err));
        if (gm_json_kind_of(config) != GM_JSON_OBJECT)
            GM_FAIL(GM_EFORMAT, "'%s' is not a JSON object", config_path.at);
    }
    if (has_file) {
        GM_TRY(gm_text_read_file(&file, path.at, MAX_CONFIG_BYTES, err));
        GM_TRY(gm_chat_make(out, file.n ? file.at : "", file.n, config, options, path.at, err));
        goto out;
    }
    size_t n = 0;
    const gm_json *value = template_of(config);
    const char *text = value ? gm_json_text(value, &n) : NULL;
    if (text == NULL)
        GM_FAIL(GM_EFORMAT, "'%s' has no 'chat_template': the model was not trained for chat",
                config_path.at);
    GM_TRY(gm_chat_make(out, text, n, config, options, config_path.at, err));
out:
    gm_text_clear(&config_path);
    gm_text_clear(&path);
    gm_text_clear(&file);
    gm_json_free(config);
    return status;
}
