/* languages.c - see languages.h. */
#include "cluster/languages.h"

#include "text/language.h"

#include <stdlib.h>
#include <string.h>

static const char UNKNOWN[] = "unknown", OTHER[] = "(other)";

/* A document and its language, then a language and its first document in that order. */
typedef struct named {
    const char *name;
    size_t document, n;
} named;

void gm_languages_clear(gm_languages *languages)
{
    gm_free(languages->code);
    gm_free(languages->name);
    gm_free(languages->texts);
    *languages = (gm_languages){0};
}

static int by_name(const void *p, const void *q)
{
    const named *a = p, *b = q;
    return a->name == b->name ? 0 : strcmp(a->name, b->name);
}

static int by_number(const void *p, const void *q)
{
    const named *a = p, *b = q;
    if (a->n != b->n) return a->n < b->n ? 1 : -1;
    return strcmp(a->name, b->name);
}

/* What the corpus says of each document, or its text; NULL: no memory to tell. */
static void name_documents(named *all, const gm_trace *trace, const gm_usage *usage,
                           const char *const *text, const size_t *n_bytes)
{
    const char *const *given = gm_trace_get_samples(trace)->language;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < usage->n; i++) {
        const char *name = given ? given[usage->place[i]] : "";
        if (strcmp(name, OTHER) == 0) name = ""; /* that one is ours */
        if (name[0] == '\0' && text) name = gm_language_of(text[i], n_bytes[i]);
        all[i] = (named){.name = name == NULL || name[0] ? name : UNKNOWN, .document = i};
    }
}

/* Sort (n) documents into languages, most first: group (n); returns how many there are. */
static size_t group(named *groups, named *all, size_t n)
{
    size_t n_groups = 0;
    qsort(all, n, sizeof *all, by_name);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || by_name(&all[i - 1], &all[i]) != 0)
            groups[n_groups++] = (named){.name = all[i].name, .document = i};
        groups[n_groups - 1].n++;
    }
    qsort(groups, n_groups, sizeof *groups, by_number);
    return n_groups;
}

/* Copies of the names, of which the last stands for all after it where there are too many. */
static gm_status keep_names(gm_languages *out, const named *groups, size_t n_groups, gm_error *err)
{
    size_t n_bytes = sizeof OTHER;
    for (size_t g = 0; g < n_groups; g++) n_bytes += strlen(groups[g].name) + 1;
    out->n = n_groups < GM_MAX_LANGUAGES ? n_groups : GM_MAX_LANGUAGES;
    out->name = gm_alloc(out->n, sizeof *out->name);
    out->texts = gm_alloc(n_bytes, 1);
    if (!out->name || !out->texts)
        return gm_fail(err, GM_EMEM, "no memory for %zu languages", n_groups);
    char *at = out->texts;
    for (size_t g = 0; g < out->n; g++) {
        const bool rest = g + 1 == GM_MAX_LANGUAGES && n_groups > GM_MAX_LANGUAGES;
        const char *name = rest ? OTHER : groups[g].name;
        const size_t n = strlen(name) + 1;
        out->name[g] = memcpy(at, name, n);
        at += n;
    }
    return GM_OK;
}

gm_status gm_languages_find(gm_languages *out, const gm_trace *trace, const gm_usage *usage,
                            const char *const *text, const size_t *n_bytes, gm_error *err)
{
    gm_status status = GM_OK;
    gm_languages found = {0};
    named *all = NULL, *groups = NULL;
    const size_t n = usage->n;
    *out = (gm_languages){0};
    const bool given = gm_trace_get_samples(trace)->language != NULL;
    if (!given && (text == NULL || !gm_language_is_there())) return GM_OK;
    all = gm_alloc(n, sizeof *all);
    groups = gm_alloc(n, sizeof *groups);
    found.code = gm_alloc(n, sizeof *found.code);
    if (!all || !groups || !found.code)
        GM_FAIL(GM_EMEM, "no memory for the languages of %zu documents", n);
    found.given = given;
    name_documents(all, trace, usage, text, n_bytes);
    for (size_t i = 0; i < n; i++)
        if (all[i].name == NULL) GM_FAIL(GM_EMEM, "no memory to tell a document's language");
    const size_t n_groups = group(groups, all, n);
    GM_TRY(keep_names(&found, groups, n_groups, err));
    for (size_t g = 0; g < n_groups; g++)
        for (size_t k = 0; k < groups[g].n; k++)
            found.code[all[groups[g].document + k].document] =
                (uint16_t)(g < found.n ? g : found.n - 1);
    *out = found;
    found = (gm_languages){0};
out:
    gm_languages_clear(&found);
    gm_free(all);
    gm_free(groups);
    return status;
}
