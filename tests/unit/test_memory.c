/* test_memory.c - checked memory and the arena. */
#include "base/arena.h"
#include "base/base.h"
#include "tests/check.h"

#include <stdint.h>

static void blocks_are_zero_and_aligned(void)
{
    for (size_t n = 0; n < 300; n += 7) {
        unsigned char *block = gm_alloc(n, 1);
        CHECK(block != NULL);
        CHECK_INT((uintptr_t)block % 64, 0);
        for (size_t i = 0; i < n; i++) CHECK_INT(block[i], 0);
        memset(block, 0xAB, n);
        gm_free(block);
    }
}

static void pages_are_zero_aligned_and_counted(void)
{
    static const size_t sizes[] = {1, 4096, (2 << 20) - 1, 2 << 20, (5 << 20) + 1};
    const long before = gm_alloc_live();
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        unsigned char *block = gm_pages_alloc(sizes[i]);
        CHECK(block != NULL);
        CHECK_INT((uintptr_t)block % (2 << 20), 0);
        CHECK_INT(gm_alloc_live(), before + 1);
        CHECK_INT(block[0] | block[sizes[i] / 2] | block[sizes[i] - 1], 0);
        memset(block, 0xAB, sizes[i]);
        gm_pages_free(block, sizes[i]);
        CHECK_INT(gm_alloc_live(), before);
    }
    gm_pages_free(NULL, 1);
    CHECK(gm_pages_alloc(0) == NULL);
    CHECK(gm_pages_alloc(SIZE_MAX) == NULL);
    CHECK(gm_pages_alloc((size_t)1 << 60) == NULL);
    gm_alloc_fail_after(0);
    CHECK(gm_pages_alloc(1) == NULL);
    CHECK_INT(gm_alloc_fail_after(-1), -1);
}

static void small_blocks_are_counted(void)
{
    const long before = gm_alloc_live();
    for (size_t n = 0; n < 3; n++) {
        char *block = gm_alloc_small(n);
        CHECK(block != NULL);
        CHECK_INT(gm_alloc_live(), before + 1);
        if (block) memset(block, 0xAB, n);
        gm_free(block);
    }
    CHECK_INT(gm_alloc_live(), before);
    CHECK(gm_alloc_small(SIZE_MAX) == NULL);
    gm_alloc_fail_after(0);
    CHECK(gm_alloc_small(1) == NULL);
    CHECK_INT(gm_alloc_live(), before);
}

static void products_that_overflow_are_refused(void)
{
    CHECK(gm_alloc(SIZE_MAX, 2) == NULL);
    CHECK(gm_alloc((size_t)1 << 33, (size_t)1 << 33) == NULL);
    CHECK(gm_alloc2((size_t)1 << 33, (size_t)1 << 33, 4) == NULL); /* wraps to 0 unchecked */
    CHECK(gm_alloc2(SIZE_MAX / 4, 2, 4) == NULL);
    CHECK(gm_alloc(PTRDIFF_MAX, 2) == NULL);
    CHECK(gm_copy_text("", SIZE_MAX) == NULL);
}

static void growing_keeps_the_old_and_zeroes_the_new(void)
{
    uint32_t *at = gm_alloc(3, sizeof *at);
    for (uint32_t i = 0; i < 3; i++) at[i] = i + 1;
    at = gm_grow(at, 3, 100, sizeof *at);
    for (uint32_t i = 0; i < 100; i++) CHECK_INT(at[i], i < 3 ? i + 1 : 0);
    at = gm_grow(at, 100, 2, sizeof *at);
    CHECK_INT(at[1], 2);
    CHECK(gm_grow(at, 2, SIZE_MAX, sizeof *at) == NULL);
    CHECK_INT(at[1], 2); /* the old block stays */
    gm_free(at);
}

static void the_kth_call_fails_once_and_blocks_are_counted(void)
{
    long before = gm_alloc_live();
    gm_alloc_fail_after(1);
    void *first = gm_alloc(1, 1), *second = gm_alloc(1, 1), *third = gm_alloc(1, 1);
    CHECK(first != NULL && second == NULL && third != NULL);
    CHECK_INT(gm_alloc_fail_after(5), -1); /* the last order was carried out */
    CHECK_INT(gm_alloc_fail_after(-1), 5);
    CHECK_INT(gm_alloc_live(), before + 2);
    gm_free(first);
    gm_free(third);
    gm_free(NULL);
    CHECK_INT(gm_alloc_live(), before);
}

static void copies_end_in_nul(void)
{
    char *copy = gm_copy_text("ab\0c", 4);
    CHECK_BYTES(copy, "ab\0c\0", 5);
    gm_free(copy);
}

static void arena_blocks_are_apart_aligned_and_zero(void)
{
    gm_arena arena = {.chunk_bytes = 256};
    unsigned char *block[100];
    for (size_t i = 0; i < 100; i++) {
        block[i] = gm_arena_alloc(&arena, i, 1);
        CHECK(block[i] != NULL);
        CHECK_INT((uintptr_t)block[i] % (i >= 64 ? 64 : 16), 0);
        for (size_t j = 0; j < i; j++) CHECK_INT(block[i][j], 0);
        memset(block[i], (int)i, i);
    }
    for (size_t i = 0; i < 100; i++)
        for (size_t j = 0; j < i; j++) CHECK_INT(block[i][j], (int)i);
    gm_arena_clear(&arena);
    CHECK(arena.last == NULL);
}

static void a_large_arena_block_leaves_room_in_the_newest_chunk(void)
{
    gm_arena arena = {.chunk_bytes = 256};
    char *small = gm_arena_alloc(&arena, 16, 1);
    long blocks = gm_alloc_live();
    char *large = gm_arena_alloc(&arena, 10000, 1);
    char *next = gm_arena_alloc(&arena, 16, 1);
    CHECK(large != NULL);
    CHECK(next == small + 16);
    CHECK_INT(gm_alloc_live(), blocks + 1);
    CHECK_TEXT(gm_arena_text(&arena, "tail", 3), "tai");
    const char *text = gm_arena_text(&arena, "sixteen letters.", 16); /* as blocks are aligned */
    CHECK_TEXT(gm_arena_text(&arena, "behind", 6), "behind");
    CHECK_TEXT(text, "sixteen letters.");
    gm_arena_clear(&arena);
}

static void arena_refuses_what_cannot_be(void)
{
    gm_arena arena = {0};
    CHECK(gm_arena_alloc(&arena, SIZE_MAX, 2) == NULL);
    CHECK(gm_arena_alloc(&arena, SIZE_MAX, 1) == NULL);
    CHECK(gm_arena_text(&arena, "", SIZE_MAX) == NULL);
    gm_alloc_fail_after(0);
    CHECK(gm_arena_alloc(&arena, 1, 1) == NULL);
    CHECK(arena.last == NULL);
    gm_arena_clear(&arena);
}

TESTS(TEST(blocks_are_zero_and_aligned), TEST(pages_are_zero_aligned_and_counted),
      TEST(small_blocks_are_counted), TEST(products_that_overflow_are_refused),
      TEST(growing_keeps_the_old_and_zeroes_the_new),
      TEST(the_kth_call_fails_once_and_blocks_are_counted), TEST(copies_end_in_nul),
      TEST(arena_blocks_are_apart_aligned_and_zero),
      TEST(a_large_arena_block_leaves_room_in_the_newest_chunk), TEST(arena_refuses_what_cannot_be))
