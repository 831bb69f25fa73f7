/* cli_nearest.c - edit distance between names (Wagner and Fischer 1974). */
#include "base/cli_nearest.h"

#include <stdio.h>
#include <string.h>

enum { LONGEST = 40, FAR = LONGEST + 1 };

static int least(int a, int b, int c)
{
    int ab = a < b ? a : b;
    return ab < c ? ab : c;
}

/* Insertions, deletions and substitutions that turn a into b; FAR when long. */
static int edit_distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    int row[LONGEST + 1];
    if (n > LONGEST || m > LONGEST) return FAR;

    for (size_t j = 0; j <= m; j++) row[j] = (int)j;
    for (size_t i = 1; i <= n; i++) {
        int diagonal = row[0]; /* distance of a[..i-1), b[..j-1) */
        row[0] = (int)i;
        for (size_t j = 1; j <= m; j++) {
            int above = row[j];
            row[j] = least(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[m];
}

gm_nearest gm_nearest_to(const char *word)
{
    /* A third of the letters wrong is a typing error; more is another word. */
    size_t n = strlen(word);
    return (gm_nearest){.word = word, .distance = n < LONGEST ? (int)(n / 3) + 2 : 0};
}

/* --max-tokens is no slip of the pen for --min-tokens. */
static bool is_opposite(const char *a, const char *b)
{
    return (strncmp(a, "max-", 4) == 0 && strncmp(b, "min-", 4) == 0) ||
           (strncmp(a, "min-", 4) == 0 && strncmp(b, "max-", 4) == 0);
}

void gm_nearest_offer(gm_nearest *nearest, const char *name)
{
    int distance = edit_distance(nearest->word, name);
    if (distance < nearest->distance && !is_opposite(nearest->word, name)) {
        nearest->distance = distance;
        nearest->name = name;
    }
}

void gm_nearest_offer_options(gm_nearest *nearest, const gm_opt *opts)
{
    for (const gm_opt *opt = opts; opt->kind != GM_OPT_END_; opt++)
        if (opt->kind != GM_OPT_GROUP && opt->name[1] != '\0') gm_nearest_offer(nearest, opt->name);
}

const char *gm_nearest_advice(const gm_nearest *nearest, const char *dashes,
                              char text[GM_ADVICE_BYTES])
{
    text[0] = '\0';
    if (nearest->name) /* of at most LONGEST letters */
        (void)snprintf(text, GM_ADVICE_BYTES, "; did you mean '%s%s'?", dashes, nearest->name);
    return text;
}
