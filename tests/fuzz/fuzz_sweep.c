/* fuzz_sweep.c - hostile results of gm-steer sweep: what is let through can be walked.
 *
 * The first byte of an input chooses, modulo 4. 0: the rest overwrites the arrays of a small
 * sweep, place (two bytes) and value (one byte), before it is written, so that HDF5 and the
 * digest are content and only the values are wrong. 1: it overwrites bytes of the written
 * file, place (three bytes) and value. 2, 3: edits of it through HDF5 (h5_edits.h), and the
 * digest that it then has.
 */
#include "base/text.h"
#include "formats/sweep.h"
#include "tests/fuzz/h5_edits.h"
#include "tests/sweep_sample.h"

#include <hdf5.h>

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void patch_values(made_sweep *m, const uint8_t *bytes, size_t n)
{
    char *from = (char *)m->cluster, *end = (char *)m->name;
    for (size_t i = 0; i + 3 <= n; i += 3)
        from[((size_t)bytes[i] << 8 | bytes[i + 1]) % (size_t)(end - from)] = (char)bytes[i + 2];
    /* what is written must lie in memory: the ends of the texts stay */
    m->text_offset[SR] = 5;
    m->prompt_offset[SQ] = 6;
}

/* The valid file, made once. */
static h5_base *valid_sweep(void)
{
    static made_sweep m;
    static h5_base base;
    if (base.file.at) return &base;
    made_sweep_init(&m);
    if (gm_sweep_write("fuzz.sweep.h5", &m.sweep, true, NULL) != GM_OK ||
        gm_text_read_file(&base.file, "fuzz.sweep.h5", 1 << 24, NULL) != GM_OK)
        abort();
    return &base;
}

/* State the digest that the contents have, which the refusal names. */
static void mend_digest(const char *path, const char *refusal)
{
    const char *found = strstr(refusal, "they have digest ");
    if (found == NULL) return;
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT), type = H5Tcopy(H5T_C_S1);
    if (file < 0 || H5Tset_size(type, 64) < 0 || H5Tset_cset(type, H5T_CSET_UTF8) < 0 ||
        H5Tset_strpad(type, H5T_STR_NULLPAD) < 0)
        abort();
    hid_t space = H5Screate(H5S_SCALAR);
    (void)H5Adelete(file, "digest");
    hid_t at = H5Acreate2(file, "digest", type, space, H5P_DEFAULT, H5P_DEFAULT);
    if (at < 0 || H5Awrite(at, type, found + strlen("they have digest ")) < 0) abort();
    H5Aclose(at);
    H5Sclose(space);
    H5Tclose(type);
    if (H5Fclose(file) < 0) abort();
}

/* Every number that is an index or a place, used as one. */
static void use(const gm_sweep *s)
{
    size_t sum = 0;
    for (size_t i = 0; i < s->n_texts; i++) {
        if (s->text_offset[i] > s->text_offset[i + 1]) abort();
        for (uint64_t b = s->text_offset[i]; b < s->text_offset[i + 1]; b++)
            sum += s->text_bytes[b];
        sum += s->arm[s->text_cell[i]];
        sum += s->prompt_half[s->text_prompt[i]];
    }
    for (size_t i = 0; i < s->n_cells; i++)
        sum += strlen(s->arm_name[s->arm[i]]) + strlen(s->filter_name[s->filter[i]]);
    for (size_t i = 0; i < s->n_clusters; i++) sum += strlen(s->class_name[s->cluster_class[i]]);
    if (sum == SIZE_MAX) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static made_sweep m;
    gm_error err = {0};
    gm_sweep *sweep = NULL;
    if (n == 0) return 0;
    h5_base *valid = valid_sweep();
    const long before = gm_alloc_live();
    if (bytes[0] & 2) {
        edit_file("fuzz.patched.h5", valid, bytes + 1, n - 1);
    } else if (bytes[0] & 1) {
        patch_file("fuzz.patched.h5", &valid->file, bytes + 1, n - 1);
    } else {
        made_sweep_init(&m);
        patch_values(&m, bytes + 1, n - 1);
        if (gm_sweep_write("fuzz.patched.h5", &m.sweep, true, &err) != GM_OK) abort();
    }
    gm_status status = gm_sweep_open(&sweep, "fuzz.patched.h5", &err);
    if (status != GM_OK && (bytes[0] & 2)) {
        if (sweep != NULL || err.text[0] == '\0') abort();
        mend_digest("fuzz.patched.h5", err.text);
        err.text[0] = '\0';
        status = gm_sweep_open(&sweep, "fuzz.patched.h5", &err);
    }
    if (status == GM_OK)
        use(sweep);
    else if (sweep != NULL || err.text[0] == '\0')
        abort();
    gm_sweep_close(sweep);
    if (gm_alloc_live() != before) abort();
    return 0;
}
