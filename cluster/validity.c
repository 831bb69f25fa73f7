/* validity.c - DBCV. See validity.h. */
#include "cluster/validity.h"

#include "cluster/members.h"

#include <math.h>

/* Members in the order of clusters, then of points. */
typedef struct sorted {
    size_t n, dim, n_clusters; /* members only */
    gm_members members;        /* of the clusters, by number in `at` as given */
    const size_t *first;       /* (C+1) of these */
    double *at;                /* (n,dim) */
    double *core;              /* (n) */
    bool *inner;               /* (n) */
    uint32_t *of;              /* (n) cluster */
    double *nearest;           /* (n) least mutual reachability to an inner point elsewhere */
    double *sparseness;        /* (C) */
} sorted;

static double squared(const sorted *s, size_t i, size_t j)
{
    double sum = 0;
    for (size_t c = 0; c < s->dim; c++) {
        double d = s->at[i * s->dim + c] - s->at[j * s->dim + c];
        sum += d * d;
    }
    return sum;
}

static double reach(const sorted *s, size_t i, size_t j)
{
    return fmax(sqrt(squared(s, i, j)), fmax(s->core[i], s->core[j]));
}

/* ---- one cluster: members [first, end) ---- */

static void find_cores(sorted *s, size_t first, size_t end)
{
    const double dim = (double)s->dim, others = (double)(end - first - 1);
    for (size_t i = first; i < end; i++) {
        double sum = 0;
        for (size_t j = first; j < end; j++) {
            double q = squared(s, i, j);
            if (q > 0) sum += s->dim == 2 ? 1 / q : pow(1 / sqrt(q), dim);
        }
        double mean = sum / others;
        if (sum > 0) s->core[i] = s->dim == 2 ? 1 / sqrt(mean) : pow(mean, -1 / dim);
    }
}

typedef struct reached {
    double weight;   /* of the edge to the tree; below 0: in the tree */
    uint32_t parent; /* the point it hangs on */
} reached;

/* Prim from the first member; tree (n) receives each member's edge, degree (n) counts. */
static void grow_tree(const sorted *s, size_t first, size_t end, reached *tree, double *weight,
                      uint32_t *degree)
{
    for (size_t i = first; i < end; i++) tree[i] = (reached){INFINITY, 0}, degree[i] = 0;
    tree[first].weight = -1;
    for (size_t last = first, left = end - first - 1; left > 0; left--) {
        size_t next = end;
        for (size_t i = first; i < end; i++) {
            if (tree[i].weight < 0) continue;
            double r = reach(s, last, i);
            if (r < tree[i].weight || (r == tree[i].weight && last < tree[i].parent))
                tree[i] = (reached){r, (uint32_t)last};
            if (next == end || tree[i].weight < tree[next].weight) next = i;
        }
        weight[next] = tree[next].weight;
        tree[next].weight = -1;
        degree[next]++, degree[tree[next].parent]++;
        last = next;
    }
}

/* Inner points hang on more than one edge; where there are none, the first stands for them and
 * every edge counts. */
static void measure_cluster(sorted *s, size_t c, reached *tree, double *weight, uint32_t *degree)
{
    const size_t first = s->first[c], end = s->first[c + 1];
    double all = 0, between = -1;
    bool any = false;
    if (end - first < 2) return;
    find_cores(s, first, end);
    grow_tree(s, first, end, tree, weight, degree);
    for (size_t i = first; i < end; i++) any |= s->inner[i] = degree[i] > 1;
    if (!any) s->inner[first] = true;
    for (size_t i = first + 1; i < end; i++) {
        all = fmax(all, weight[i]);
        if (s->inner[i] && s->inner[tree[i].parent]) between = fmax(between, weight[i]);
    }
    s->sparseness[c] = between >= 0 ? between : all;
}

/* ---- all of them ---- */

static void find_separations(sorted *s)
{
#pragma omp parallel for schedule(dynamic, 64)
    for (size_t i = 0; i < s->n; i++) {
        double best = INFINITY;
        if (!s->inner[i]) continue;
        for (size_t j = 0; j < s->n; j++) {
            if (!s->inner[j] || s->of[j] == s->of[i] || !(s->core[j] < best)) continue;
            best = fmin(best, reach(s, i, j));
        }
        s->nearest[i] = best;
    }
}

static gm_status sort_members(sorted *s, const gm_validity_input *in, gm_error *err)
{
    gm_status status = GM_OK;
    s->dim = in->dim;
    s->n_clusters = in->n_clusters;
    GM_TRY(gm_members_find(&s->members, in->label, in->n, s->n_clusters, err));
    s->first = s->members.first;
    s->n = s->first[s->n_clusters];
    s->at = gm_alloc2(s->n, s->dim, sizeof *s->at);
    s->core = gm_alloc(s->n, sizeof *s->core);
    s->inner = gm_alloc(s->n, sizeof *s->inner);
    s->of = gm_alloc(s->n, sizeof *s->of);
    s->nearest = gm_alloc(s->n, sizeof *s->nearest);
    s->sparseness = gm_alloc(s->n_clusters, sizeof *s->sparseness);
    if (!s->at || !s->core || !s->inner || !s->of || !s->nearest || !s->sparseness)
        GM_FAIL(GM_EMEM, "no memory for the validity of %zu clusters", s->n_clusters);
    for (size_t m = 0; m < s->n; m++) {
        const size_t i = s->members.at[m];
        s->of[m] = (uint32_t)in->label[i];
        for (size_t c = 0; c < s->dim; c++) s->at[m * s->dim + c] = (double)in->at[i * s->dim + c];
    }
out:
    return status;
}

static gm_status measure_all(sorted *s, gm_error *err)
{
    reached *tree = gm_alloc(s->n, sizeof *tree);
    double *weight = gm_alloc(s->n, sizeof *weight);
    uint32_t *degree = gm_alloc(s->n, sizeof *degree);
    bool fine = tree && weight && degree;
    if (fine) {
#pragma omp parallel for schedule(dynamic, 1)
        for (size_t c = 0; c < s->n_clusters; c++) measure_cluster(s, c, tree, weight, degree);
    }
    gm_free(tree);
    gm_free(weight);
    gm_free(degree);
    return fine ? GM_OK : gm_fail(err, GM_EMEM, "no memory for the trees of %zu points", s->n);
}

gm_status gm_validity_find(double *whole, double *of_cluster, const gm_validity_input *in,
                           gm_error *err)
{
    gm_status status = GM_OK;
    sorted s = {0};
    double sum = 0;
    bool any = false;
    *whole = (double)NAN;
    GM_TRY(sort_members(&s, in, err));
    GM_TRY(measure_all(&s, err));
    find_separations(&s);
    for (size_t c = 0; c < in->n_clusters; c++) {
        size_t size = s.first[c + 1] - s.first[c];
        double separation = INFINITY, sparse = s.sparseness[c];
        for (size_t i = s.first[c]; i < s.first[c + 1]; i++)
            if (s.inner[i]) separation = fmin(separation, s.nearest[i]);
        double most = fmax(separation, sparse);
        bool known = size >= 2 && isfinite(separation) && most > 0;
        of_cluster[c] = known ? (separation - sparse) / most : (double)NAN;
        if (known) sum += (double)size / (double)in->n * of_cluster[c];
        any |= known;
    }
    if (any) *whole = sum;
out:
    gm_members_clear(&s.members);
    gm_free(s.at);
    gm_free(s.core);
    gm_free(s.inner);
    gm_free(s.of);
    gm_free(s.nearest);
    gm_free(s.sparseness);
    return status;
}
