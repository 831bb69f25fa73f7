/* profile.c - cluster numbers, means, lift, important experts. */
#include "cluster/profile.h"

#include "cluster/members.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct group {
    uint32_t number; /* the old one */
    size_t size;
    const uint8_t *sha; /* the smallest of its members' */
} group;

static int larger_first(const void *p, const void *q)
{
    const group *a = p, *b = q;
    if (a->size != b->size) return a->size > b->size ? -1 : 1;
    int order = a->sha && b->sha ? memcmp(a->sha, b->sha, 32) : 0;
    return order != 0 ? order : (a->number > b->number) - (a->number < b->number);
}

gm_status gm_profile_number(int32_t *label, size_t n, const uint8_t (*sha)[32], size_t n_clusters,
                            uint32_t *order, gm_error *err)
{
    gm_status status = GM_OK;
    group *groups = gm_alloc(n_clusters, sizeof *groups);
    int32_t *new_number = gm_alloc(n_clusters, sizeof *new_number);
    if (!groups || !new_number) GM_FAIL(GM_EMEM, "no memory to number %zu clusters", n_clusters);
    for (size_t c = 0; c < n_clusters; c++) groups[c].number = (uint32_t)c;
    for (size_t i = 0; i < n; i++) {
        if (label[i] < 0) continue;
        group *g = &groups[label[i]];
        g->size++;
        if (g->sha == NULL || memcmp(sha[i], g->sha, 32) < 0) g->sha = sha[i];
    }
    qsort(groups, n_clusters, sizeof *groups, larger_first);
    for (size_t c = 0; c < n_clusters; c++) {
        order[c] = groups[c].number;
        new_number[groups[c].number] = (int32_t)c;
    }
    for (size_t i = 0; i < n; i++)
        if (label[i] >= 0) label[i] = new_number[label[i]];
out:
    gm_free(groups);
    gm_free(new_number);
    return status;
}

/* sum (2,D) over the documents member[0..size) by parity, n (2) how many they are. */
static void sum_group(double *sum, size_t n[2], const gm_usage *usage, const uint32_t *member,
                      size_t size)
{
    const size_t dim = usage->dim;
    n[0] = n[1] = 0;
    memset(sum, 0, 2 * dim * sizeof *sum);
    for (size_t i = 0; i < size; i++) {
        size_t odd = usage->sha[member[i]][0] & 1;
        const float *row = usage->row[member[i]]; /* (D) */
        double *to = sum + odd * dim;
        for (size_t c = 0; c < dim; c++) to[c] += (double)row[c];
        n[odd]++;
    }
}

gm_status gm_profile_means(float *mean, float *half, const gm_usage *usage, const int32_t *label,
                           size_t n_groups, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t dim = usage->dim;
    gm_members members = {0};
    double *sum = gm_alloc2(2, dim, sizeof *sum);
    if (sum == NULL) GM_FAIL(GM_EMEM, "no memory for mean usage vectors");
    GM_TRY(gm_members_find(&members, label, usage->n, n_groups, err));
    for (size_t g = 0; g < n_groups; g++) {
        const size_t first = members.first[g];
        size_t n[2];
        sum_group(sum, n, usage, members.at + first, members.first[g + 1] - first);
        for (size_t c = 0; c < dim; c++) {
            double all = (double)(n[0] + n[1]);
            if (mean) mean[g * dim + c] = all > 0 ? (float)((sum[c] + sum[dim + c]) / all) : 0;
            for (size_t h = 0; half && h < 2; h++)
                half[(2 * g + h) * dim + c] = n[h] ? (float)(sum[h * dim + c] / (double)n[h]) : 0;
        }
    }
out:
    gm_free(sum);
    gm_members_clear(&members);
    return status;
}

static double lift_of(float rate, float corpus, size_t dim)
{
    double e = GM_LIFT_SMOOTH / (double)dim;
    return ((double)rate + e) / ((double)corpus + e);
}

void gm_profile_lift(float *lift, const float *rate, const float *corpus, size_t dim)
{
    for (size_t c = 0; c < dim; c++) lift[c] = (float)lift_of(rate[c], corpus[c], dim);
}

void gm_profile_important(uint8_t *important, const float *rate, const float *half,
                          const float *corpus, size_t n_layers, size_t n_experts, size_t n_chosen)
{
    const size_t dim = n_layers * n_experts;
    memset(important, 0, dim);
    for (size_t l = 0; l < n_layers; l++) {
        for (size_t k = 0; k < n_chosen; k++) { /* the best that is not taken yet */
            size_t best = dim;
            double best_lift = 0;
            for (size_t c = l * n_experts; c < (l + 1) * n_experts; c++) {
                if (important[c]) continue;
                double lift = lift_of(rate[c], corpus[c], dim);
                if (lift > best_lift && lift_of(half[c], corpus[c], dim) >= GM_LIFT_MIN &&
                    lift_of(half[dim + c], corpus[c], dim) >= GM_LIFT_MIN)
                    best = c, best_lift = lift;
            }
            if (best == dim) break;
            important[best] = 1;
        }
    }
}

double gm_profile_correlation(const float *x, const float *x_corpus, const float *y,
                              const float *y_corpus, size_t dim)
{
    const float *const vector[2] = {x, y}, *const corpus[2] = {x_corpus, y_corpus};
    double sum[2] = {0}, xx = 0, yy = 0, xy = 0;
    double total[2] = {0};
    for (size_t c = 0; c < dim; c++) {
        for (size_t h = 0; h < 2; h++) {
            total[h] += (double)vector[h][c];
            sum[h] += (double)vector[h][c] - (double)corpus[h][c];
        }
    }
    if (!(total[0] > 0) || !(total[1] > 0)) return NAN;
    for (size_t c = 0; c < dim; c++) {
        double dx = (double)x[c] - (double)x_corpus[c] - sum[0] / (double)dim;
        double dy = (double)y[c] - (double)y_corpus[c] - sum[1] / (double)dim;
        xx += dx * dx, yy += dy * dy, xy += dx * dy;
    }
    return xy / sqrt(xx * yy);
}

double gm_profile_agreement(const float *half, const float *corpus, size_t dim)
{
    return gm_profile_correlation(half, corpus, half + dim, corpus, dim);
}
