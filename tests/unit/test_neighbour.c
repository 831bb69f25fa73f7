/* test_neighbour.c - cluster/neighbour.h: the nearest of many, in whatever order they come. */
#include "cluster/neighbour.h"

#include "base/rng.h"
#include "tests/check.h"

static int by_order(const void *a, const void *b)
{
    return gm_neighbour_before(*(const gm_neighbour *)b, *(const gm_neighbour *)a) -
           gm_neighbour_before(*(const gm_neighbour *)a, *(const gm_neighbour *)b);
}

static void the_list_is_the_head_of_all_sorted(void)
{
    enum { N = 60, MOST = 9 };
    gm_rng rng = gm_rng_make(1, 1);
    for (int t = 0; t < 20; t++) {
        gm_neighbour all[N], best[MOST];
        size_t n = 0;
        for (uint32_t i = 0; i < N; i++)
            all[i] = (gm_neighbour){(double)gm_rng_below(&rng, 6) - 3, (i * 7 + 3) % N};
        for (size_t i = 0; i < N; i++) {
            gm_neighbour_insert(best, &n, MOST, all[i]);
            CHECK_INT(n, i + 1 < MOST ? i + 1 : MOST);
        }
        qsort(all, N, sizeof *all, by_order);
        for (size_t i = 0; i < MOST; i++) {
            CHECK_NEAR(best[i].s, all[i].s, 0);
            CHECK_INT(best[i].index, all[i].index);
        }
    }
}

TESTS(TEST(the_list_is_the_head_of_all_sorted))
