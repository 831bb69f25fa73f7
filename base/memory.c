/* memory.c - zeroed, 64-byte aligned memory with every product checked.
 *
 * 64 bytes are a cache line and the widest vector load, so kernels may assume
 * aligned rows. The two counters are the only mutable state of base that
 * threads share; tests read and set them.
 */
#define _GNU_SOURCE /* madvise */

#include "base/base.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { ALIGNMENT = 64, HUGE_PAGE = 2 << 20 };

static atomic_long live_blocks;
static atomic_long fail_in = -1; /* calls until one fails; -1: never */

long gm_alloc_fail_after(long k)
{
    return atomic_exchange(&fail_in, k);
}

long gm_alloc_live(void)
{
    return atomic_load(&live_blocks);
}

/* True for exactly one call: the k-th after gm_alloc_fail_after(k). */
static bool must_fail(void)
{
    long k = atomic_load_explicit(&fail_in, memory_order_relaxed);
    while (k >= 0)
        if (atomic_compare_exchange_weak(&fail_in, &k, k - 1)) return k == 0;
    return false;
}

void *gm_alloc(size_t n, size_t size)
{
    size_t bytes;
    void *block;

    if (must_fail()) return NULL;
    if (__builtin_mul_overflow(n, size, &bytes) || bytes > PTRDIFF_MAX) return NULL;
    if (posix_memalign(&block, ALIGNMENT, bytes ? bytes : 1) != 0) return NULL;
    memset(block, 0, bytes);
    atomic_fetch_add_explicit(&live_blocks, 1, memory_order_relaxed);
    return block;
}

void *gm_alloc_small(size_t n)
{
    void *block = must_fail() || n > PTRDIFF_MAX ? NULL : malloc(n ? n : 1);
    if (block) atomic_fetch_add_explicit(&live_blocks, 1, memory_order_relaxed);
    return block;
}

void *gm_alloc2(size_t rows, size_t cols, size_t size)
{
    size_t n;
    if (__builtin_mul_overflow(rows, cols, &n)) return NULL;
    return gm_alloc(n, size);
}

void *gm_grow(void *block, size_t old_n, size_t n, size_t size)
{
    void *grown = gm_alloc(n, size);
    if (grown == NULL) return NULL;
    if (block != NULL) memcpy(grown, block, (old_n < n ? old_n : n) * size);
    gm_free(block);
    return grown;
}

char *gm_copy_text(const char *bytes, size_t n)
{
    char *copy = n < SIZE_MAX ? gm_alloc(n + 1, 1) : NULL;
    if (copy != NULL && n > 0) memcpy(copy, bytes, n);
    return copy;
}

void gm_free(void *block)
{
    if (block == NULL) return;
    atomic_fetch_sub_explicit(&live_blocks, 1, memory_order_relaxed);
    free(block);
}

void *gm_pages_alloc(size_t bytes)
{
    if (must_fail() || bytes == 0 || bytes > PTRDIFF_MAX - 2L * HUGE_PAGE) return NULL;
    const size_t whole = (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    char *map =
        mmap(NULL, whole + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) return NULL;
    const size_t before = (HUGE_PAGE - (uintptr_t)map % HUGE_PAGE) % HUGE_PAGE;
    char *block = map + before;
    if (before > 0) munmap(map, before);
    if (before < HUGE_PAGE) munmap(block + whole, HUGE_PAGE - before);
    (void)madvise(block, whole, MADV_HUGEPAGE); /* a system without them does without */
    atomic_fetch_add_explicit(&live_blocks, 1, memory_order_relaxed);
    return block;
}

void gm_pages_free(void *block, size_t bytes)
{
    if (block == NULL) return;
    atomic_fetch_sub_explicit(&live_blocks, 1, memory_order_relaxed);
    munmap(block, (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE);
}
