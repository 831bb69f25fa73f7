/* cli_options.c - reading the command line by a table, and help from the same table. */
#include "base/cli.h"
#include "base/cli_nearest.h"
#include "base/text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const char *gm_opt_choice(const char *choices, int k, size_t *n)
{
    for (; choices != NULL && k > 0; k--) {
        choices = strchr(choices, '|');
        if (choices != NULL) choices++;
    }
    if (choices == NULL) return NULL;
    *n = strcspn(choices, "|");
    return choices;
}

/* ---- help ---- */

enum { HELP_COLUMN = 28, HELP_WIDTH = 80 };

/* Print `text` from HELP_COLUMN on, wrapped at spaces; `at` is the column now. */
static void print_wrapped(const char *text, int at)
{
    if (at >= HELP_COLUMN - 1) {
        putchar('\n');
        at = 0;
    }
    printf("%*s", HELP_COLUMN - at, "");
    at = HELP_COLUMN;
    while (*text != '\0') {
        int n = (int)strcspn(text, " ");
        if (at + n > HELP_WIDTH && at > HELP_COLUMN) {
            printf("\n%*s", HELP_COLUMN, "");
            at = HELP_COLUMN;
        }
        printf("%.*s", n, text);
        at += n;
        text += n;
        if (*text == ' ') {
            text++;
            if (at + 1 + (int)strcspn(text, " ") <= HELP_WIDTH)
                putchar(' '), at++;
            else
                at = HELP_WIDTH + 1;
        }
    }
    putchar('\n');
}

static const char *dashes(const gm_opt *opt)
{
    return opt->name[1] == '\0' ? "-" : "--";
}

/* The bound of a range, exactly: "4096", "2^53", "1e+15". */
static const char *show_bound(char text[24], double bound)
{
    int power;
    if (bound > 1e5 && frexp(bound, &power) == 0.5)
        (void)snprintf(text, 24, "2^%d", power - 1);
    else
        (void)snprintf(text, 24, "%.15g", bound);
    return text;
}

/* What a number may be, and what every value is when nothing is said: " (default 5; 1 to 100)". */
static void describe_default(const gm_opt *opt, char *text, size_t cap)
{
    size_t n;
    char range[64] = "", lo[24], hi[24];
    text[0] = '\0';
    if (opt->lo != 0 || opt->hi != 0)
        (void)snprintf(range, sizeof range, "; %s to %s", show_bound(lo, opt->lo),
                       show_bound(hi, opt->hi));
    if (opt->kind == GM_OPT_I64) {
        (void)snprintf(text, cap, " (default %" PRId64 "%s)", *(const int64_t *)opt->value, range);
    } else if (opt->kind == GM_OPT_F64) {
        (void)snprintf(text, cap, " (default %.15g%s)", *(const double *)opt->value, range);
    } else if (opt->kind == GM_OPT_CHOICE) {
        const char *name = gm_opt_choice(opt->arg, *(const int *)opt->value, &n);
        if (name != NULL) (void)snprintf(text, cap, " (default %.*s)", (int)n, name);
    } else if (opt->kind == GM_OPT_LIST) {
        (void)snprintf(text, cap, "; may be repeated");
    } else if (opt->kind == GM_OPT_TEXT && *(const char *const *)opt->value != NULL) {
        (void)snprintf(text, cap, " (default %s)", *(const char *const *)opt->value);
    }
}

/* A flag that is on is shown as what turns it off. */
static void print_option(const gm_opt *opt)
{
    char defaults[128], text[512];
    if (opt->kind == GM_OPT_GROUP) {
        printf("\n%s:\n", opt->help);
        return;
    }
    bool on = opt->kind == GM_OPT_FLAG && *(const bool *)opt->value;
    int at = printf("  %s%s%s", dashes(opt), on ? "no-" : "", opt->name);
    if (opt->kind != GM_OPT_FLAG) at += printf(" %s", opt->arg ? opt->arg : "VALUE");
    describe_default(opt, defaults, sizeof defaults);
    (void)snprintf(text, sizeof text, "%s%s", opt->help, defaults);
    print_wrapped(text, at);
}

static void print_help(const char *synopsis, const char *details, const gm_opt *opts)
{
    printf("Usage: %s\n", synopsis);
    if (opts->kind != GM_OPT_GROUP) printf("\nOptions:\n");
    bool flags = false;
    for (const gm_opt *opt = opts; opt->kind != GM_OPT_END_; opt++) {
        print_option(opt);
        flags = flags || (opt->kind == GM_OPT_FLAG && !*(const bool *)opt->value);
    }
    if (flags) printf("  --no-FLAG%*sturn a flag off again\n", HELP_COLUMN - 11, "");
    printf("  --help%*sprint this and exit\n", HELP_COLUMN - 8, "");
    if (details != NULL) printf("\n%s\n", details);
}

/* ---- values ---- */

static gm_status set_number(const gm_opt *opt, const char *text, gm_error *err)
{
    bool any = opt->lo == 0 && opt->hi == 0; /* no range given */
    int64_t integer = 0;
    double number = 0;

    if (opt->kind == GM_OPT_I64) {
        if (!gm_parse_i64(text, &integer))
            return gm_fail(err, GM_EARG, "--%s is '%s', expected an integer", opt->name, text);
        number = (double)integer;
    } else if (!gm_parse_f64(text, &number) || isnan(number) || (any && isinf(number))) {
        return gm_fail(err, GM_EARG, "--%s is '%s', expected a finite number", opt->name, text);
    }
    bool inside = number >= opt->lo && number <= opt->hi;
    if (inside && opt->kind == GM_OPT_I64) /* 2^53 + 1 is 2^53 as a double */
        inside = integer >= (int64_t)opt->lo && integer <= (int64_t)opt->hi;
    if (!any && !inside) {
        char lo[24], hi[24];
        return gm_fail(err, GM_EARG, "--%s is %s, expected %s to %s", opt->name, text,
                       show_bound(lo, opt->lo), show_bound(hi, opt->hi));
    }
    if (opt->kind == GM_OPT_I64)
        *(int64_t *)opt->value = integer;
    else
        *(double *)opt->value = number;
    return GM_OK;
}

static gm_status set_choice(const gm_opt *opt, const char *text, gm_error *err)
{
    size_t n;
    const char *name;
    for (int k = 0; (name = gm_opt_choice(opt->arg, k, &n)) != NULL; k++) {
        if (strlen(text) == n && memcmp(name, text, n) == 0) {
            *(int *)opt->value = k;
            return GM_OK;
        }
    }
    return gm_fail(err, GM_EARG, "--%s is '%s', expected one of %s", opt->name, text, opt->arg);
}

static gm_status add_to_list(const gm_opt *opt, const char *text, gm_error *err)
{
    gm_opt_list *list = opt->value;
    const char **at = gm_grow(list->at, list->n, list->n + 1, sizeof *at);
    if (at == NULL) return gm_fail(err, GM_EMEM, "no memory for --%s", opt->name);
    at[list->n++] = text;
    list->at = at;
    return GM_OK;
}

void gm_opt_list_clear(gm_opt_list *list)
{
    gm_free(list->at);
    *list = (gm_opt_list){0};
}

static gm_status set_value(const gm_opt *opt, const char *text, gm_error *err)
{
    switch (opt->kind) {
    case GM_OPT_TEXT: *(const char **)opt->value = text; return GM_OK;
    case GM_OPT_LIST: return add_to_list(opt, text, err);
    case GM_OPT_I64:
    case GM_OPT_F64: return set_number(opt, text, err);
    case GM_OPT_CHOICE: return set_choice(opt, text, err);
    default: return gm_fail(err, GM_EARG, "--%s takes no value", opt->name);
    }
}

/* ---- the line ---- */

static bool is_named(const gm_opt *opt, const char *name, size_t n)
{
    return opt->kind != GM_OPT_GROUP && strlen(opt->name) == n && memcmp(opt->name, name, n) == 0;
}

/* The row that `word`, "--name", "--name=VALUE" or "-x", asks for, NULL when there is none;
 * *name is set to the name in it, *n to its length. A flag also answers to "no-" and its
 * name; *on says which it was. */
static const gm_opt *find_option(const gm_opt *opts, const char *word, const char **at,
                                 size_t *size, bool *on)
{
    bool is_long = word[1] == '-';
    const char *name = *at = word + (is_long ? 2 : 1);
    size_t n = *size = strcspn(name, "=");
    *on = true;
    if ((n == 1) == is_long) return NULL;
    for (const gm_opt *opt = opts; opt->kind != GM_OPT_END_; opt++)
        if (is_named(opt, name, n)) return opt;
    *on = false;
    if (n > 3 && memcmp(name, "no-", 3) == 0)
        for (const gm_opt *opt = opts; opt->kind != GM_OPT_END_; opt++)
            if (opt->kind == GM_OPT_FLAG && is_named(opt, name + 3, n - 3)) return opt;
    return NULL;
}

/* Whether `word` is a long option of the table, and so hardly the value of another. */
static bool is_option(const gm_opt *opts, const char *word)
{
    const char *name;
    size_t n;
    bool on;
    if (word[0] != '-' || word[1] != '-') return false;
    return strcmp(word, "--help") == 0 || find_option(opts, word, &name, &n, &on) != NULL;
}

static gm_status unknown_option(const gm_opt *opts, const char *word, size_t n, gm_error *err)
{
    char typed[64], advice[GM_ADVICE_BYTES];
    if (access(word, F_OK) == 0)
        return gm_fail(err, GM_EARG, "unknown option '%s'; to name the file, write './%s'", word,
                       word);
    (void)snprintf(typed, sizeof typed, "%.*s", (int)(n < 60 ? n : 60), word);
    gm_nearest nearest = gm_nearest_to(typed + strspn(typed, "-"));
    gm_nearest_offer_options(&nearest, opts);
    return gm_fail(err, GM_EARG, "unknown option '%s'%s", typed,
                   gm_nearest_advice(&nearest, "--", advice));
}

/* Read the option argv[i]; *used is set to how many words it took. */
static gm_status read_option(const gm_opt *opts, int argc, char **argv, int i, int *used,
                             gm_error *err)
{
    const char *word = argv[i], *name;
    size_t n;
    bool on;
    const gm_opt *opt = find_option(opts, word, &name, &n, &on);

    *used = 1;
    if (opt == NULL) return unknown_option(opts, word, (size_t)(name - word) + n, err);
    if (opt->kind == GM_OPT_FLAG && name[n] == '\0') {
        *(bool *)opt->value = on;
        return GM_OK;
    }
    if (name[n] == '=') return set_value(opt, name + n + 1, err);
    if (i + 1 >= argc)
        return gm_fail(err, GM_EARG, "%s needs a value (%s)", word, opt->arg ? opt->arg : "VALUE");
    if (is_option(opts, argv[i + 1]))
        return gm_fail(err, GM_EARG,
                       "%s needs a value (%s), found the option '%s'; if that is the value, write "
                       "%s=%s",
                       word, opt->arg ? opt->arg : "VALUE", argv[i + 1], word, argv[i + 1]);
    *used = 2;
    return set_value(opt, argv[i + 1], err);
}

gm_status gm_opt_parse(const char *synopsis, const char *details, const gm_opt *opts, int *argc,
                       char **argv, gm_error *err)
{
    int kept = 1; /* argv[0] and the positional arguments so far */
    bool options_end = false;

    for (int i = 1, used; i < *argc; i += used) {
        const char *word = argv[i];
        used = 1;
        if (options_end || word[0] != '-' || word[1] == '\0') {
            argv[kept++] = argv[i];
        } else if (strcmp(word, "--") == 0) {
            options_end = true;
        } else if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            print_help(synopsis, details, opts);
            return gm_fail(err, GM_EHELP, "%s", gm_status_text(GM_EHELP));
        } else {
            gm_status status = read_option(opts, *argc, argv, i, &used, err);
            if (status != GM_OK) return status;
        }
    }
    *argc = kept;
    return GM_OK;
}
