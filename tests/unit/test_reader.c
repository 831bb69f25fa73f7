/* test_reader.c - engine/reader.c: what of a file is in the page cache. */
#define _GNU_SOURCE /* MAP_ANONYMOUS */
#include "engine/reader.h"

#include "tests/check.h"

#include <sys/mman.h>

/* More than one piece, as a matrix of columns is read; one page that is not there is found in
 * whichever piece it lies. */
static void what_is_cached_may_be_long(void)
{
    const size_t n = (size_t)2 * GM_READ_BYTES + 3 * GM_DISK_PAGE, end = n / GM_DISK_PAGE;
    char *map = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(map != MAP_FAILED);
    if (map == MAP_FAILED) return;
    (void)madvise(map, n, MADV_NOHUGEPAGE); /* pages come one by one */
    for (size_t p = 0; p < end; p++)
        if (p != end - 2) map[p * GM_DISK_PAGE] = 1;
    CHECK(gm_is_cached(map + 5, n - 3 * GM_DISK_PAGE));
    CHECK(!gm_is_cached(map + 5, n - 5));
    map[(end - 2) * GM_DISK_PAGE] = 1;
    CHECK(gm_is_cached(map, n));
    CHECK(gm_is_cached(map, 0));
    munmap(map, n);
}

TESTS(TEST(what_is_cached_may_be_long))
