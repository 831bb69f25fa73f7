/* test_sha256.c - the vectors of FIPS 180-4 and its validation suite. */
#include "base/sha256.h"

#include "base/rng.h"
#include "base/sha256_blocks.h"
#include "tests/check.h"

static void check_digest(const void *bytes, size_t n, const char *want)
{
    uint8_t digest[32];
    char hex[65];
    gm_sha256_of(bytes, n, digest);
    gm_sha256_hex(digest, hex);
    CHECK_TEXT(hex, want);
}

static void published_vectors_come_out(void)
{
    check_digest(NULL, 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    check_digest("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    check_digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
                 "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

static void a_million_letters_in_odd_pieces(void)
{
    char letters[997];
    gm_sha256 hash;
    uint8_t digest[32];
    char hex[65];
    memset(letters, 'a', sizeof letters);
    gm_sha256_init(&hash);
    size_t left = 1000000;
    for (size_t n = 1; left > 0; n = n % 997 + 1) {
        if (n > left) n = left;
        gm_sha256_update(&hash, letters, n);
        left -= n;
    }
    gm_sha256_final(&hash, digest);
    gm_sha256_hex(digest, hex);
    CHECK_TEXT(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void pieces_do_not_matter(void)
{
    uint8_t bytes[200], whole[32], pieces[32];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 37);
    for (size_t n = 0; n <= sizeof bytes; n++) {
        gm_sha256 hash;
        gm_sha256_of(bytes, n, whole);
        gm_sha256_init(&hash);
        gm_sha256_update(&hash, bytes, n / 3);
        gm_sha256_update(&hash, bytes + n / 3, n - n / 3);
        gm_sha256_final(&hash, pieces);
        CHECK_BYTES(pieces, whole, 32);
    }
}

/* From any state, any blocks, at any address. */
static void instructions_give_the_same(void)
{
    enum { BLOCKS = 5, ROUNDS = 200 };
    gm_rng rng = gm_rng_make(1, 256);
    if (!gm_sha256_has_x86()) TEST_SKIP("no SHA instructions here");
    for (int r = 0; r < ROUNDS; r++) {
        uint8_t bytes[64 * BLOCKS + 16];
        uint32_t plain[8], fast[8];
        for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)gm_rng_next(&rng);
        for (int i = 0; i < 8; i++) plain[i] = fast[i] = gm_rng_next(&rng);
        const size_t n = (size_t)r % (BLOCKS + 1);
        gm_sha256_blocks_plain(plain, bytes + r % 16, n);
        gm_sha256_blocks_x86(fast, bytes + r % 16, n);
        CHECK_BYTES(fast, plain, sizeof plain);
    }
}

static void digests_are_read_back(void)
{
    uint8_t digest[32], back[32];
    char hex[65];
    gm_sha256_of("abc", 3, digest);
    gm_sha256_hex(digest, hex);
    CHECK(gm_sha256_from_hex(back, hex) && memcmp(back, digest, 32) == 0);
    for (size_t i = 0; i < 64; i += 63) {
        const char digit = hex[i];
        for (const char *wrong = "gFA-\xff"; *wrong; wrong++) {
            hex[i] = *wrong;
            CHECK(!gm_sha256_from_hex(back, hex));
        }
        hex[i] = '\0';
        CHECK(!gm_sha256_from_hex(back, hex));
        hex[i] = digit;
    }
}

TESTS(TEST(digests_are_read_back), TEST(published_vectors_come_out),
      TEST(a_million_letters_in_odd_pieces), TEST(pieces_do_not_matter),
      TEST(instructions_give_the_same))
