/* fuzz_options.c - any words as the options of a command: numbers inside their range, and
 * what a recipe lets through becomes a plan or a sentence.
 *
 * The input is the words, one a line, or, when it begins with '{', a file for --config. The
 * table is that of gm-steer's recipe and one row more of each kind.
 */
#include "base/cli_config.h"
#include "steer/recipe.h"
#include "tests/fuzz/demand.h"
#include "tests/atlas_sample.h"

#include <math.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

#define CONFIG "fuzz.config.json"

enum { MAX_WORDS = 64 };

/* Cut `text` into words, argv[0] the command's name; returns how many there are. */
static int cut(char *text, char **argv)
{
    static char name[] = "fuzz";
    int argc = 0;
    argv[argc++] = name;
    while (*text != '\0' && argc < MAX_WORDS) {
        argv[argc++] = text;
        text += strcspn(text, "\n");
        if (*text == '\n') *text++ = '\0';
    }
    return argc;
}

static void build(const gm_recipe *recipe)
{
    static made_atlas made;
    gm_error err = {0};
    gm_plan plan = {0};
    made_init(&made);
    const gm_shape shape = gm_shape_of_atlas(&made.atlas);
    if (gm_recipe_build(&plan, recipe, &shape, &made.atlas, "a.h5", &err) == GM_OK)
        demand(gm_plan_check_values(&plan, "plan", NULL) == GM_OK);
    else
        demand(plan.bias == NULL && err.text[0] != '\0');
    gm_plan_clear(&plan);
}

/* The words that the input says as a file of options. */
static gm_status expand(gm_arena *arena, const gm_opt *opts, const uint8_t *bytes, size_t n,
                        int *argc, char ***argv, gm_error *err)
{
    static char name[] = "fuzz", option[] = "--config", path[] = CONFIG;
    static char *line[] = {name, option, path};
    write_input(CONFIG, bytes, n);
    *argv = line;
    *argc = 3;
    return gm_opt_expand_config(arena, opts, argc, argv, err);
}

/* What was chosen can be written as such a file. */
static void put(const gm_opt *opts)
{
    gm_json_out out = {0};
    gm_json *root = NULL;
    gm_json_open_object(&out, NULL);
    gm_opt_put_config(&out, opts, NULL);
    gm_json_close_object(&out);
    demand(gm_json_out_done(&out, NULL) == GM_OK);
    demand(gm_json_parse(&root, out.text.at, out.text.n, "options", NULL) == GM_OK);
    gm_json_free(root);
    gm_text_clear(&out.text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    const char *config = NULL;
    int64_t count = 3, whole = 0;
    double share = 0.5, number = 0;
    bool flag = false;
    const char *file = NULL;
    gm_recipe recipe = gm_recipe_defaults();
    const gm_opt opts[] = {
        GM_RECIPE_OPTIONS(&recipe),
        {GM_OPT_I64, "count", &count, 1, 1e6, "N", "a count"},
        {GM_OPT_I64, "whole", &whole, 0, 0, "N", "any integer"},
        {GM_OPT_F64, "share", &share, 0, 1, "X", "a share"},
        {GM_OPT_F64, "number", &number, 0, 0, "X", "any number"},
        {GM_OPT_FLAG, "flag", &flag, 0, 0, NULL, "a flag"},
        {GM_OPT_TEXT, "config", &config, 0, 0, "FILE", "options as JSON"},
        {GM_OPT_TEXT, "o", &file, 0, 0, "FILE", "a file"},
        {.kind = GM_OPT_END_},
    };
    char *words[MAX_WORDS + 1] = {NULL}, **argv = words;
    gm_arena arena = {0};
    gm_error err = {0};
    char *text = gm_copy_text((const char *)bytes, n);
    demand(text != NULL);
    if (n == 0 || strstr(text, "help") != NULL) goto out; /* prints pages */

    int argc = cut(text, argv);
    gm_status status = GM_OK;
    if (bytes[0] == '{') status = expand(&arena, opts, bytes, n, &argc, &argv, &err);
    if (status != GM_OK) {
        demand(strstr(err.text, CONFIG) != NULL);
        goto out;
    }
    const int before = argc;
    status = gm_opt_parse("fuzz", NULL, opts, &argc, argv, &err);
    demand(count >= 1 && count <= 1000000 && share >= 0 && share <= 1 && isfinite(number));
    demand(recipe.weight >= -1e6 && recipe.weight <= 1e6);
    if (status != GM_OK) {
        demand((status == GM_EARG || status == GM_EHELP) && err.text[0] != '\0');
        goto out;
    }
    demand(argc >= 1 && argc <= before);
    status = gm_recipe_check(&recipe, &err);
    demand((status == GM_OK) == (err.text[0] == '\0'));
    if (status == GM_OK) build(&recipe);
    put(opts);
out:
    gm_arena_clear(&arena);
    gm_recipe_clear(&recipe);
    gm_free(text);
    return 0;
}
