/* false_discovery.c - see false_discovery.h. */
#include "probe/false_discovery.h"

#include <math.h>
#include <stdlib.h>

typedef struct test {
    double p;
    size_t at;
} test;

static int largest_first(const void *p, const void *q)
{
    const test *a = p, *b = q;
    return (a->p < b->p) - (a->p > b->p);
}

gm_status gm_false_discovery(double *p, size_t n, gm_error *err)
{
    size_t m = 0;
    test *tests = gm_alloc(n, sizeof *tests);
    if (tests == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu p values", n);
    for (size_t i = 0; i < n; i++)
        if (!isnan(p[i])) tests[m++] = (test){p[i], i};
    qsort(tests, m, sizeof *tests, largest_first);
    double least = 1;
    for (size_t i = 0; i < m; i++) {
        const double raised = tests[i].p * (double)m / (double)(m - i);
        if (raised < least) least = raised;
        p[tests[i].at] = least;
    }
    gm_free(tests);
    return GM_OK;
}
