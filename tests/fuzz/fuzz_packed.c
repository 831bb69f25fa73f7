/* fuzz_packed.c - any bytes as a cache of packed weights: what is opened is whole and of its
 * key, and a section that reads has the sum that was written.
 *
 * The input is the file, or after an 'e' edits of a whole one.
 */
#include "engine/packed.h"
#include "engine/reader.h"
#include "tests/fuzz/demand.h"

#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

enum { N_SECTIONS = 3, SECTION = GM_DISK_PAGE };

static const gm_section section[N_SECTIONS] = {
    {0, SECTION, false}, {SECTION, SECTION, true}, {2 * SECTION, SECTION, false}};
static const uint8_t key[GM_PACKED_KEY] = "a key of the fuzzer's making";

/* A whole cache, as the writer makes it; its bytes. */
static const gm_text *whole_cache(void)
{
    static gm_text text;
    static unsigned char image[SECTION];
    gm_packed_out *out = NULL;
    if (text.n > 0) return &text;
    demand(gm_packed_begin(&out, "fuzz.whole", key, section, N_SECTIONS, NULL) == GM_OK);
    for (size_t i = 0; i < N_SECTIONS; i++) {
        memset(image, (int)i + 1, sizeof image);
        gm_packed_put(out, image);
    }
    demand(gm_packed_commit(out, NULL) == GM_OK);
    demand(gm_text_read_file(&text, "fuzz.whole", 1 << 20, NULL) == GM_OK);
    return &text;
}

static void use(const gm_packed *packed)
{
    static unsigned char room[SECTION + GM_DISK_PAGE];
    unsigned char *to = room + (GM_DISK_PAGE - (uintptr_t)room % GM_DISK_PAGE) % GM_DISK_PAGE;
    for (size_t i = 0; i < N_SECTIONS; i++) {
        gm_error err = {0};
        gm_status status = gm_packed_read(packed, i, to, &err);
        demand(status == GM_OK || (status == GM_EFORMAT && err.text[0] != '\0'));
        const unsigned char *mapped = (const unsigned char *)gm_packed_image(packed) + i * SECTION;
        demand(memcmp(mapped, to, SECTION) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    const gm_text *whole = whole_cache();
    gm_packed *packed = NULL;
    gm_error err = {0};
    /* Edits of a whole cache, four bytes each: where (3), which bits; or the bytes as they are. */
    const bool edits = n > 0 && bytes[0] == 'e';
    if (edits) {
        gm_text file = {0};
        demand(gm_text_append(&file, whole->at, whole->n, NULL) == GM_OK);
        for (size_t i = 1; i + 4 <= n; i += 4) {
            size_t at = bytes[i] | (size_t)bytes[i + 1] << 8 | (size_t)bytes[i + 2] << 16;
            file.at[at % file.n] = (char)(file.at[at % file.n] ^ bytes[i + 3]);
        }
        write_input("fuzz.packed", file.at, file.n);
        gm_text_clear(&file);
    } else {
        write_input("fuzz.packed", bytes, n);
    }
    gm_status status = gm_packed_open(&packed, "fuzz.packed", key, section, N_SECTIONS, &err);
    if (status != GM_OK) {
        demand(packed == NULL && err.text[0] != '\0');
        return 0;
    }
    use(packed);
    gm_packed_close(packed);
    return 0;
}
