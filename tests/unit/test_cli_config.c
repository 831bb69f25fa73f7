/* test_cli_config.c - base/cli_config.c: options as JSON, and back through the parser. */
#include "base/cli_config.h"

#include "tests/put_file.h"

typedef struct values {
    bool fast, loud;
    const char *name, *doses, *config;
    gm_opt_list file;
    int64_t n;
    double x;
    int mode;
} values;

#define TABLE(v)                                                                            \
    {                                                                                       \
        {GM_OPT_GROUP, NULL, NULL, 0, 0, NULL, "Group"},                                    \
            {GM_OPT_FLAG, "fast", &(v)->fast, 0, 0, NULL, "h"},                             \
            {GM_OPT_FLAG, "loud", &(v)->loud, 0, 0, NULL, "h"},                             \
            {GM_OPT_TEXT, "name", &(v)->name, 0, 0, "T", "h"},                              \
            {GM_OPT_TEXT, "doses", &(v)->doses, 0, 0, "T", "h"},                            \
            {GM_OPT_TEXT, "config", &(v)->config, 0, 0, "F", "h"},                          \
            {GM_OPT_LIST, "file", &(v)->file, 0, 0, "F", "h"},                              \
            {GM_OPT_I64, "n", &(v)->n, 0, 9, "N", "h"},                                     \
            {GM_OPT_F64, "x", &(v)->x, -9, 9, "X", "h"},                                    \
            {GM_OPT_CHOICE, "mode", &(v)->mode, 0, 0, "a|b|c", "h"}, {.kind = GM_OPT_END_}, \
    }

/* Parse a line that may name c.json. */
static gm_status parse(values *v, gm_arena *arena, int argc, const char *const *line, gm_error *err)
{
    const gm_opt opts[] = TABLE(v);
    static char text[8][32]; /* values point into it */
    char *words[8], **argv = words;
    for (int i = 0; i < argc; i++) {
        snprintf(text[i], sizeof text[i], "%s", line[i]);
        words[i] = text[i];
    }
    gm_status status = gm_opt_expand_config(arena, opts, &argc, &argv, err);
    if (status == GM_OK) status = gm_opt_parse("c", NULL, opts, &argc, argv, err);
    return status;
}

static const char *const line[] = {"c", "-n", "7", "--config", "c.json", "--file=z"};
static const char *const alone[] = {"c", "--config", "c.json"};

static void members_stand_in_front_of_the_line(void)
{
    values v = {.loud = true};
    gm_arena arena = {0};
    gm_error err = {0};
    put_text(
        "c.json",
        "{\"fast\": true, \"loud\": false, \"name\": \"a b\", \"doses\": [-1, 0.5, \"x\"], \"n\": "
        "3,"
        " \"x\": null, \"file\": [\"p\", \"q\"], \"mode\": \"c\", \"config\": \"old.json\"}");
    CHECK_OK(parse(&v, &arena, 6, line, &err), err);
    CHECK(v.fast && !v.loud && v.mode == 2 && v.x == 0);
    CHECK(strcmp(v.name, "a b") == 0 && strcmp(v.doses, "-1,0.5,x") == 0);
    CHECK_INT(v.n, 7); /* what is typed wins */
    CHECK_INT(v.file.n, 3);
    CHECK(strcmp(v.file.at[0], "p") == 0 && strcmp(v.file.at[2], "z") == 0);
    gm_opt_list_clear(&v.file);
    gm_arena_clear(&arena);
}

static void a_line_without_one_stays(void)
{
    values v = {0};
    gm_arena arena = {0};
    gm_error err = {0};
    const char *const plain[] = {"c", "-n", "2"};
    CHECK_OK(parse(&v, &arena, 3, plain, &err), err);
    CHECK_INT(v.n, 2);
    CHECK(arena.last == NULL);
}

static void wrong_files_are_refused(void)
{
    static const struct {
        const char *json, *part;
        gm_status status;
    } wrong[] = {{"[1]", "type array, expected an object of options", GM_EFORMAT},
                 {"{\"n\": 30}", "expected 0 to 9", GM_EARG},
                 {"{\"nam\": 1}", "did you mean '--name'", GM_EARG},
                 {"{\"name\": {}}", "is an object", GM_EFORMAT},
                 {"{\"doses\": [[1]]}", "is an array", GM_EFORMAT},
                 {"{\"doses\": [null]}", "'doses' is null, expected", GM_EFORMAT},
                 {"{\"name\": \"a\\u0000b\"}", "'name' contains a NUL", GM_EFORMAT},
                 {"{\"fast\": 1}", "takes no value", GM_EARG},
                 {"{\"n\"", "c.json", GM_EFORMAT}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        values v = {0};
        gm_arena arena = {0};
        gm_error err = {0};
        put_text("c.json", wrong[i].json);
        CHECK_FAILS(parse(&v, &arena, 3, alone, &err), err, wrong[i].status, wrong[i].part);
        gm_opt_list_clear(&v.file);
        gm_arena_clear(&arena);
    }
}

static void what_is_written_reads_back(void)
{
    static const char *const without[] = {"loud", "config", NULL};
    const char *files[] = {"p", "q"};
    values v = {.fast = true,
                .loud = true,
                .name = "a \"b\"",
                .file = {files, 2},
                .n = 4,
                .x = 0.1,
                .mode = 1};
    values back = {0};
    const gm_opt opts[] = TABLE(&v);
    gm_arena arena = {0};
    gm_error err = {0};
    gm_json_out json = {0};
    gm_json_open_object(&json, NULL);
    gm_opt_put_config(&json, opts, without);
    gm_json_close_object(&json);
    CHECK_OK(gm_json_out_done(&json, &err), err);
    CHECK(strstr(json.text.at, "loud") == NULL && strstr(json.text.at, "\"doses\":null") != NULL);
    put_text("c.json", json.text.at);
    CHECK_OK(parse(&back, &arena, 3, alone, &err), err);
    CHECK(back.fast && !back.loud && back.n == 4 && back.x == 0.1 && back.mode == 1);
    CHECK(strcmp(back.name, v.name) == 0 && back.doses == NULL && back.file.n == 2);
    gm_opt_list_clear(&back.file);
    gm_arena_clear(&arena);
    gm_text_clear(&json.text);
}

static gm_status attempt(void *state, gm_error *err)
{
    values v = {0};
    gm_arena arena = {0};
    (void)state;
    gm_status status = parse(&v, &arena, 6, line, err);
    gm_opt_list_clear(&v.file);
    gm_arena_clear(&arena);
    return status;
}

static void every_allocation_may_fail(void)
{
    put_text("c.json", "{\"name\": \"a\", \"file\": [\"p\"], \"n\": 3}");
    check_every_allocation(attempt, NULL);
}

static gm_status take(values *v, gm_arena *arena, const char *json, gm_error *err)
{
    const gm_opt opts[] = TABLE(v);
    gm_json *object = NULL;
    gm_status status = gm_json_parse(&object, json, strlen(json), "here", err);
    if (status == GM_OK) status = gm_opt_take_object(arena, opts, object, "here", err);
    gm_json_free(object); /* texts are the arena's */
    return status;
}

static void an_object_sets_options(void)
{
    static const struct {
        const char *json, *part;
    } bad[] = {{"[]", "expected an object of options"},
               {"{\"nn\": 1}", "'here': unknown option 'nn'"},
               {"{\"help\": true}", "unknown option 'help'"},
               {"{\"n\": 10}", "10"},
               {"{\"x\": \"much\"}", "much"},
               {"{\"mode\": \"d\"}", "mode"},
               {"{\"name\": {}}", "expected a string"},
               {"{\"n\": true}", "true"}};
    values v = {.loud = true, .n = 2};
    gm_arena arena = {0};
    gm_error err = {0};
    CHECK_OK(take(&v, &arena,
                  "{\"fast\": true, \"loud\": false, \"name\": \"--x\", \"file\": [1, \"q\"], "
                  "\"x\": -0.5, \"mode\": \"b\", \"n\": null}",
                  &err),
             err);
    CHECK(v.fast && !v.loud && v.n == 2 && v.x == -.5 && v.mode == 1);
    CHECK_TEXT(v.name, "--x");
    CHECK_INT(v.file.n, 2);
    CHECK_TEXT(v.file.at[0], "1");
    gm_opt_list_clear(&v.file);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        gm_status status = take(&v, &arena, bad[i].json, &err);
        CHECK(status == GM_EFORMAT || status == GM_EARG);
        CHECK_HAS(err.text, bad[i].part);
    }
    gm_arena_clear(&arena);
}

TESTS(TEST(members_stand_in_front_of_the_line), TEST(a_line_without_one_stays),
      TEST(wrong_files_are_refused), TEST(what_is_written_reads_back),
      TEST(every_allocation_may_fail), TEST(an_object_sets_options))
