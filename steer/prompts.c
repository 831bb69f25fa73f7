/* prompts.c - see prompts.h. */
#include "steer/prompts.h"

#include "base/json.h"

#include <string.h>

enum { MAX_FILE_BYTES = 1 << 28 };

static const char *const show_set[] = {
    "Старый смотритель маяка просыпался раньше чаек. Каждое утро он поднимался по лестнице, "
    "протирал стёкла и записывал в тетрадь погоду, а вечером ждал, когда на горизонте появится "
    "лодка его внучки.",
    "Ada Lovelace",
    "Rain had been falling on the empty station since noon, and the last train was already late",
    NULL,
};
static const char *const tune_set[] = {
    "The first thing you should know is",
    "In the morning we",
    "There are many reasons why",
    "She opened the letter and read",
    "It is often said that",
    "When the work was done,",
    "Он остановился и",
    "В этом году",
    "We had been waiting for",
    "What matters here is",
    "Some years ago there was",
    "The room was empty except for",
    "Many readers will ask",
    "It took a long time before",
    "I remember that",
    "The next step is",
    "On the other side of",
    "Nothing is as simple as",
    "A few things are worth knowing:",
    "The answer to this question",
    "Later that day",
    "You may have noticed that",
    "In other words,",
    "This is why the",
    "The child looked at",
    "Two of them",
    "Before we go on,",
    "На следующий день",
    "Вопрос в том, как",
    "Никто не заметил, что",
    NULL,
};
static const char *const test_set[] = {
    "Once upon a time",
    "The most important part of",
    "After a long day, he",
    "One of the questions people ask is",
    "It was a quiet evening when",
    "They had never seen",
    "This is a short description of",
    "My friend told me that",
    "At the end of the road",
    "Let us begin with",
    "For example, the",
    "Nobody knew what",
    "The old man said",
    "Here is what happened next:",
    "As soon as the door closed,",
    "If you want to",
    "Однажды вечером",
    "Самое главное в том, что",
    "Мой друг рассказал, что",
    "Когда всё закончилось,",
    "It begins with",
    "Another way to see this is",
    "The letter said that",
    "Most of the time",
    "There is a place where",
    "The second reason is",
    "Yesterday I found",
    "We can now turn to",
    "Как известно,",
    "За окном",
    NULL,
};

void gm_prompts_clear(gm_prompts *prompts)
{
    gm_free(prompts->at);
    gm_arena_clear(&prompts->arena);
    *prompts = (gm_prompts){0};
}

gm_status gm_prompts_add(gm_prompts *prompts, const char *text, size_t n, const char *where,
                         gm_error *err)
{
    if (gm_utf8_valid(text, n) != n)
        return gm_fail(err, GM_EFORMAT, "'%s': the prompt is not valid UTF-8 at byte %zu", where,
                       gm_utf8_valid(text, n));
    if (n == 0) return gm_fail(err, GM_EARG, "'%s': the prompt is empty", where);
    if (prompts->n == prompts->cap) {
        size_t cap = prompts->cap ? 2 * prompts->cap : 16;
        gm_prompt *more = gm_grow(prompts->at, prompts->n, cap, sizeof *more);
        if (more == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu prompts", cap);
        prompts->at = more;
        prompts->cap = cap;
    }
    char *copy = gm_arena_text(&prompts->arena, text, n);
    if (copy == NULL) return gm_fail(err, GM_EMEM, "no memory for a prompt of %zu bytes", n);
    prompts->at[prompts->n++] = (gm_prompt){copy, n};
    return GM_OK;
}

static gm_status append_json(gm_prompts *prompts, const char *line, size_t n, const char *where,
                             gm_error *err)
{
    gm_status status = GM_OK;
    gm_json *root = NULL;
    size_t n_text = 0;
    GM_TRY(gm_json_parse(&root, line, n, where, err));
    const gm_json *value = root;
    if (gm_json_kind_of(root) == GM_JSON_OBJECT) {
        value = gm_json_find(root, "prompt");
        if (value == NULL) value = gm_json_find(root, "text");
    }
    const char *text = value ? gm_json_text(value, &n_text) : NULL;
    if (text == NULL) GM_FAIL(GM_EFORMAT, "'%s': expected a string in 'prompt' or 'text'", where);
    GM_TRY(gm_prompts_add(prompts, text, n_text, where, err));
out:
    gm_json_free(root);
    return status;
}

static gm_status append_file(gm_prompts *prompts, const char *path, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text file = {0}, where = {0};
    size_t line = 0, before = prompts->n;
    GM_TRY(gm_text_read_file(&file, path, MAX_FILE_BYTES, err));
    const bool marked = file.n >= 3 && memcmp(file.at, "\xEF\xBB\xBF", 3) == 0; /* byte order */
    for (size_t at = marked ? 3 : 0; at < file.n;) {
        const char *start = file.at + at;
        const char *newline = memchr(start, '\n', file.n - at);
        size_t n = newline ? (size_t)(newline - start) : file.n - at;
        at += n + 1;
        line++;
        if (n > 0 && start[n - 1] == '\r') n--;
        if (n == 0) continue;
        where.n = 0;
        GM_TRY(gm_text_printf(&where, err, "%s:%zu", path, line));
        if (*start == '{' || *start == '"')
            GM_TRY(append_json(prompts, start, n, where.at, err));
        else
            GM_TRY(gm_prompts_add(prompts, start, n, where.at, err));
    }
    if (prompts->n == before) GM_FAIL(GM_EFORMAT, "'%s' contains no prompt", path);
out:
    gm_text_clear(&file);
    gm_text_clear(&where);
    return status;
}

gm_status gm_prompts_read(gm_prompts *prompts, const gm_opt_list *texts, const char *path,
                          gm_error *err)
{
    gm_status status = GM_OK;
    for (size_t i = 0; i < texts->n; i++)
        GM_TRY(gm_prompts_add(prompts, texts->at[i], strlen(texts->at[i]), "--prompt", err));
    if (path) GM_TRY(append_file(prompts, path, err));
out:
    return status;
}

gm_status gm_prompts_own(gm_prompts *prompts, gm_prompt_set set, gm_error *err)
{
    static const char *const *const sets[] = {show_set, tune_set, test_set};
    gm_status status = GM_OK;
    for (const char *const *p = sets[set]; *p; p++)
        GM_TRY(gm_prompts_add(prompts, *p, strlen(*p), "prompt", err));
out:
    return status;
}
