/* pairs.c - see pairs.h. */
#include "probe/pairs.h"

#include "base/cli.h"

#include <stdlib.h>
#include <string.h>

/* What two documents of a pair have in common, and which document it is of. */
typedef struct key {
    const char *text; /* (n) */
    size_t n;
    int64_t number;
    uint32_t document;
    uint8_t of_a;
} key;

static const char *const EXPECTED[] = {
    [GM_PAIRED_NAME] = "files of one name in two folders",
    [GM_PAIRED_LINE] = "the same lines of two files",
    [GM_PAIRED_NEXT] = "lines 1 and 2, 3 and 4, ... of a file",
};

/* The line that "FILE:LINE" ends with; *n: bytes of the file's name. */
static bool find_line(const char *id, size_t *n, int64_t *line)
{
    const char *colon = strrchr(id, ':');
    *n = colon ? (size_t)(colon - id) : 0;
    return colon && gm_parse_i64(colon + 1, line) && *line > 0;
}

static gm_status make_key(key *k, const char *id, gm_pairing how, gm_error *err)
{
    const char *slash = strrchr(id, '/');
    if (how == GM_PAIRED_NAME) {
        k->text = slash ? slash + 1 : id;
        k->n = strlen(k->text);
        return GM_OK;
    }
    if (!find_line(id, &k->n, &k->number))
        return gm_fail(err, GM_EARG, "--paired: '%.70s' is not a line of a file; expected %s", id,
                       EXPECTED[how]);
    k->text = id;
    if (how == GM_PAIRED_LINE)
        k->n = 0;
    else
        k->number = (k->number - 1) / 2;
    return GM_OK;
}

static int same(const key *a, const key *b)
{
    if (a->n != b->n) return a->n < b->n ? -1 : 1;
    const int order = memcmp(a->text, b->text, a->n);
    return order != 0 ? order : (a->number > b->number) - (a->number < b->number);
}

static int by_key(const void *x, const void *y)
{
    const key *a = x, *b = y;
    const int order = same(a, b);
    if (order != 0) return order;
    if (a->of_a != b->of_a) return a->of_a ? -1 : 1;
    return (a->document > b->document) - (a->document < b->document);
}

gm_status gm_pairs_find(uint32_t *pair, size_t *n_pairs, const char *const *id, const uint8_t *of_a,
                        size_t n, gm_pairing how, gm_error *err)
{
    gm_status status = GM_OK;
    key *k = gm_alloc(n, sizeof *k);
    *n_pairs = 0;
    if (k == NULL) GM_FAIL(GM_EMEM, "no memory to pair %zu documents", n);
    for (size_t i = 0; i < n; i++) {
        k[i] = (key){.document = (uint32_t)i, .of_a = of_a[i]};
        GM_TRY(make_key(&k[i], id[i], how, err));
    }
    if (n > 0) qsort(k, n, sizeof *k, by_key);
    for (size_t i = 1; i < n; i++) {
        if (same(&k[i - 1], &k[i]) != 0) continue;
        if (k[i - 1].of_a == k[i].of_a)
            GM_FAIL(GM_EARG, "--paired: '%.70s' and '%.70s' are in the same group; expected %s",
                    id[k[i - 1].document], id[k[i].document], EXPECTED[how]);
        pair[2 * *n_pairs] = k[i - 1].document;
        pair[2 * *n_pairs + 1] = k[i].document;
        ++*n_pairs;
    }
    if (*n_pairs == 0) GM_FAIL(GM_EARG, "--paired: found no pair; expected %s", EXPECTED[how]);
out:
    gm_free(k);
    return status;
}
