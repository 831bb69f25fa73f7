/* test_steer_prompts.c - steer/prompts.c: where prompts come from. */
#include "steer/prompts.h"

#include "base/text.h"
#include "tests/put_file.h"

static void the_command_line_then_the_file(void)
{
    const char *given[] = {"first", "second"};
    const gm_opt_list list = {given, 2};
    gm_prompts p = {0};
    gm_error err = {0};
    put_text("prompts.txt", /* Windows's, with a byte order mark */
             "\xEF\xBB\xBF{\"text\": \"marked\"}\nplain, with {braces}\r\n\n{\"prompt\": \"one "
             "\\\"object\\\"\"}\n"
             "{\"text\": \"another\", \"meta\": 1}\n\"a\\nstring\"\nlast without newline");
    CHECK_OK(gm_prompts_read(&p, &list, "prompts.txt", &err), err);
    static const char *const want[] = {
        "first",          "second",  "marked",    "plain, with {braces}",
        "one \"object\"", "another", "a\nstring", "last without newline"};
    CHECK_INT(p.n, 8);
    for (size_t i = 0; i < p.n && i < 8; i++) {
        CHECK_TEXT(p.at[i].text, want[i]);
        CHECK_INT(p.at[i].n, strlen(want[i]));
    }
    gm_prompts_clear(&p);
    CHECK(p.at == NULL && p.n == 0);
}

static void what_is_wrong_names_the_line(void)
{
    static const struct {
        const char *file, *part;
        gm_status code;
    } bad[] = {
        {"fine\n{\"prompt\": 3}\n", "'prompts.txt:2': expected a string", GM_EFORMAT},
        {"{\"promt\": \"x\"}", "prompts.txt:1", GM_EFORMAT},
        {"{\"prompt\"", "prompts.txt:1", GM_EFORMAT},
        {"\"half", "prompts.txt:1", GM_EFORMAT},
        {"ok\nab\xff\n", "prompts.txt:2': the prompt is not valid UTF-8 at byte 2", GM_EFORMAT},
        {"\"\"", "prompts.txt:1': the prompt is empty", GM_EARG},
        {"\n\n", "contains no prompt", GM_EFORMAT},
        {"", "contains no prompt", GM_EFORMAT},
    };
    const gm_opt_list none = {0};
    gm_error err = {0};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        gm_prompts p = {0};
        put_text("prompts.txt", bad[i].file);
        CHECK_FAILS(gm_prompts_read(&p, &none, "prompts.txt", &err), err, bad[i].code, bad[i].part);
        gm_prompts_clear(&p);
    }
    gm_prompts p = {0};
    CHECK_FAILS(gm_prompts_read(&p, &none, "absent.txt", &err), err, GM_EIO, "'absent.txt'");
    gm_prompts_clear(&p);
}

static bool has(const gm_prompts *p, const char *text)
{
    for (size_t i = 0; i < p->n; i++)
        if (strcmp(p->at[i].text, text) == 0) return true;
    return false;
}

static void our_own_sets_do_not_overlap(void)
{
    gm_prompts show = {0}, tune = {0}, test = {0};
    gm_error err = {0};
    CHECK_OK(gm_prompts_own(&show, GM_PROMPTS_SHOW, &err), err);
    CHECK_OK(gm_prompts_own(&tune, GM_PROMPTS_TUNE, &err), err);
    CHECK_OK(gm_prompts_own(&test, GM_PROMPTS_TEST, &err), err);
    CHECK_INT(show.n, 3);
    for (size_t i = 0; i < tune.n; i++) CHECK(!has(&test, tune.at[i].text));
    for (size_t i = 0; i < test.n; i++) CHECK(gm_utf8_valid(test.at[i].text, test.at[i].n) > 0);
    gm_prompts_clear(&show);
    gm_prompts_clear(&tune);
    gm_prompts_clear(&test);
}

static gm_status read_some(void *state, gm_error *err)
{
    const char *given[] = {"first"};
    const gm_opt_list list = {given, 1};
    gm_prompts p = {0};
    (void)state;
    gm_status status = gm_prompts_read(&p, &list, "prompts.txt", err);
    gm_prompts_clear(&p);
    return status;
}

static void every_allocation_may_fail(void)
{
    put_text("prompts.txt", "plain\n{\"prompt\": \"object\"}\n");
    check_every_allocation(read_some, NULL);
}

/* Half a million prompts: with a copy of all at each it would take hours. */
static void a_long_file_is_read_in_time(void)
{
    enum { LINES = 500000 };
    gm_prompts prompts = {0};
    gm_error err = {0};
    gm_text text = {0};
    for (int i = 0; i < LINES; i++) CHECK_OK(gm_text_add(&text, i % 2 ? "a\n" : "bc\n", &err), err);
    put_text("prompts.txt", text.at);
    CHECK_OK(gm_prompts_read(&prompts, &(gm_opt_list){0}, "prompts.txt", &err), err);
    CHECK_INT(prompts.n, LINES);
    if (prompts.n == LINES) CHECK_TEXT(prompts.at[LINES - 1].text, "a");
    gm_prompts_clear(&prompts);
    gm_text_clear(&text);
}

TESTS(TEST(the_command_line_then_the_file), TEST(what_is_wrong_names_the_line),
      TEST(our_own_sets_do_not_overlap), TEST(every_allocation_may_fail),
      TEST(a_long_file_is_read_in_time))
