/* interactive.c - see interactive.h. */
#include "steer/interactive.h"

#include "base/cli.h"
#include "text/terminal.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "TEXT                continue TEXT\n"
    "/cluster ID [W]     steer to a cluster, with weight W\n"
    "/subset NAME [W]    steer to a labelled subset\n"
    "/expert L:ID=B [W]  set one expert by hand, in logits; -inf takes it out\n"
    "/weight W           change the weight; 0 turns steering off\n"
    "/off                stop steering\n"
    "/plan               describe the plan\n"
    "/help               this list\n"
    "Ctrl-C              end the text that is being written, or the program\n"
    "/quit               end (or close the input)\n";

typedef struct dialogue {
    gm_setup *setup;
    gm_plan *plan;
    const char *path;     /* of the plan file in use; NULL: the recipe's */
    gm_recipe recipe;     /* the lists below replace its own */
    const char *entry[1]; /* what the list of clusters, subsets or experts holds */
    char name[256];
    uint64_t n_prompts; /* also the stream of the next draws */
} dialogue;

static void say(void *context, const gm_continuation *c, const char *bytes, size_t n)
{
    (void)context;
    (void)c;
    fwrite(bytes, 1, n, stdout);
    fflush(stdout);
}

static gm_status answer(dialogue *d, const char *text, size_t n, gm_error *err)
{
    gm_status status = GM_OK;
    gm_continuation c = {0};
    const gm_prompt prompt = {text, n};
    const gm_edit edit = gm_setup_edit(d->plan);
    gm_continue_options options = gm_setup_continue(d->setup, &edit, 1);
    options.schedules = &d->plan->schedule;
    options.on_text = say;
    options.quiet = true;

    if (gm_utf8_valid(text, n) != n) GM_FAIL(GM_EFORMAT, "the prompt is not valid UTF-8");
    GM_TRY(gm_setup_prepare(d->setup, &c, &prompt, d->n_prompts++, err));
    c.edit = 0;
    say(NULL, &c, text, n);
    if (d->setup->chat.name[0]) putchar('\n');
    GM_TRY(gm_continue(&c, 1, d->setup->model, d->setup->tokenizer, &options, err));
out:
    if (c.prompt.n > 0) putchar('\n');
    fflush(stdout);
    gm_continuation_clear(&c);
    return status;
}

/* Build the plan again from a file or a recipe; the old one stays on failure. */
static gm_status rebuild(dialogue *d, const gm_recipe *recipe, const char *path, gm_error *err)
{
    gm_plan plan;
    gm_status status = gm_setup_plan(&plan, d->setup, recipe, path, err);
    if (status != GM_OK) return status;
    gm_plan_clear(d->plan);
    *d->plan = plan;
    d->recipe = *recipe;
    d->path = path;
    return GM_OK;
}

/* Steer to what `rest` names: NAME, or NAME and after the last blank a weight. */
static gm_status steer_to(dialogue *d, const char *what, char *rest, gm_error *err)
{
    gm_recipe recipe = d->recipe;
    char before[sizeof d->name], *blank = strrchr(rest, ' ');
    double weight;
    if (*rest == '\0')
        return gm_fail(err, GM_EARG, "/%s: expected a name or number to steer towards", what);
    if (blank && gm_parse_f64(blank + 1, &weight)) {
        recipe.weight = weight;
        while (blank > rest && blank[-1] == ' ') blank--;
        *blank = '\0';
    } else if (blank && what[0] != 's') {
        return gm_fail(err, GM_EARG, "/%s: the weight '%s' is not a number", what, blank + 1);
    }
    memcpy(before, d->name, sizeof before);
    snprintf(d->name, sizeof d->name, "%s", rest);
    d->entry[0] = d->name;
    recipe.clusters = recipe.subsets = recipe.experts = (gm_opt_list){0};
    *(what[0] == 'c'   ? &recipe.clusters
      : what[0] == 's' ? &recipe.subsets
                       : &recipe.experts) = (gm_opt_list){d->entry, 1};
    gm_status status = gm_recipe_check(&recipe, err);
    if (status == GM_OK) status = rebuild(d, &recipe, NULL, err);
    if (status != GM_OK) memcpy(d->name, before, sizeof before);
    return status;
}

/* Cut the first word of a line off, in place; the rest has no blanks around it. */
static char *cut_word(char *line)
{
    for (char *c = line; *c; c++)
        if (*c == '\t') *c = ' ';
    char *rest = line + strcspn(line, " ");
    if (*rest) *rest++ = '\0';
    rest += strspn(rest, " ");
    for (size_t n = strlen(rest); n > 0 && rest[n - 1] == ' ';) rest[--n] = '\0';
    return rest;
}

static gm_status command(dialogue *d, char *line, bool *quit, gm_error *err)
{
    const char *name = line + 1;
    char *rest = cut_word(line + 1);
    gm_recipe recipe = d->recipe;

    if (strcmp(name, "cluster") == 0 || strcmp(name, "subset") == 0 || strcmp(name, "expert") == 0)
        return steer_to(d, name, rest, err);
    if (strcmp(name, "weight") == 0) {
        if (!gm_parse_f64(rest, &recipe.weight))
            return gm_fail(err, GM_EARG, "/weight: expected a number, found '%s'", rest);
        gm_status status = gm_recipe_check(&recipe, err);
        return status == GM_OK ? rebuild(d, &recipe, d->path, err) : status;
    }
    const bool off = strcmp(name, "off") == 0, plan = strcmp(name, "plan") == 0;
    const bool explain = strcmp(name, "help") == 0, leave = strcmp(name, "quit") == 0;
    if (!off && !plan && !explain && !leave)
        return gm_fail(err, GM_EARG, "'/%s' is not a command; /help lists all of them", name);
    if (*rest != '\0')
        return gm_fail(err, GM_EARG, "/%s takes no argument, found '%s'", name, rest);
    if (off) {
        recipe.clusters = recipe.subsets = recipe.experts = (gm_opt_list){0};
        return rebuild(d, &recipe, NULL, err);
    }
    if (plan) {
        gm_print_text(stderr, 0, d->plan->source);
        fputc('\n', stderr);
        return GM_OK;
    }
    if (explain) fputs(help, stderr);
    *quit = leave;
    return GM_OK;
}

gm_status gm_interactive(gm_setup *setup, gm_plan *plan, const gm_recipe *recipe, const char *path,
                         FILE *in, gm_error *err)
{
    gm_status status = GM_OK;
    dialogue d = {.setup = setup, .plan = plan, .path = path, .recipe = *recipe};
    char *line = NULL;
    size_t cap = 0;
    bool quit = false, person = isatty(STDIN_FILENO) != 0;

    while (!quit) {
        if (person) fputs("> ", stderr);
        ssize_t n = getline(&line, &cap, in);
        if (gm_interrupted()) GM_FAIL(GM_EINTERRUPTED, "interrupted");
        if (n < 0) break;
        while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r')) line[--n] = '\0';
        if (n == 0) continue;

        gm_error wrong = {0};
        gm_status s =
            line[0] == '/' ? command(&d, line, &quit, &wrong) : answer(&d, line, (size_t)n, &wrong);
        if (s == GM_EINTERRUPTED && gm_interrupt_taken()) continue; /* the text ends, no more */
        if (s == GM_EINTERRUPTED || s == GM_EMEM) GM_FAIL(s, "%s", wrong.text);
        if (s != GM_OK) fprintf(stderr, "%s\n", wrong.text);
    }
out:
    free(line); /* of getline */
    return status;
}
