/* h5_edits.h - edits of an HDF5 file through HDF5 itself, for the fuzzers of its readers:
 * what they leave is a file whose checksums are right and whose contents are not.
 *
 * An edit is EDIT_BYTES bytes: what to do, with which object, and four that say how.
 */
#ifndef GM_FUZZ_H5_EDITS_H
#define GM_FUZZ_H5_EDITS_H

#include "base/text.h"
#include "tests/fuzz/demand.h"

#include <hdf5.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EDIT_BYTES = 6, EDIT_MOST = 8, EDIT_NAMES = 128, EDIT_VALUES = 1 << 16 };

/* Paths of the datasets and groups of a file, and the root's attributes. */
typedef struct h5_names {
    char object[EDIT_NAMES][64], attribute[EDIT_NAMES][64];
    unsigned n_objects, n_attributes;
} h5_names;

static herr_t edit_keep_object(hid_t file, const char *name, const H5L_info_t *info, void *to)
{
    h5_names *names = to;
    (void)file;
    (void)info;
    if (names->n_objects < EDIT_NAMES)
        snprintf(names->object[names->n_objects++], 64, "/%.60s", name);
    return 0;
}

static herr_t edit_keep_attribute(hid_t file, const char *name, const H5A_info_t *info, void *to)
{
    h5_names *names = to;
    (void)file;
    (void)info;
    if (names->n_attributes < EDIT_NAMES)
        snprintf(names->attribute[names->n_attributes++], 64, "%.63s", name);
    return 0;
}

static inline void edit_names(h5_names *names, hid_t file)
{
    *names = (h5_names){0};
    if (H5Lvisit(file, H5_INDEX_NAME, H5_ITER_INC, edit_keep_object, names) < 0 ||
        H5Aiterate2(file, H5_INDEX_NAME, H5_ITER_INC, NULL, edit_keep_attribute, names) < 0)
        abort();
}

/* A type by number; *made when it is the caller's to close. */
static inline hid_t edit_type(unsigned which, bool *made)
{
    const hid_t type[] = {H5T_STD_U8LE,  H5T_STD_U16LE,  H5T_STD_U32LE,  H5T_STD_U64LE,
                          H5T_STD_I32LE, H5T_IEEE_F32LE, H5T_IEEE_F64LE, H5T_STD_I8LE,
                          H5T_STD_U32BE, H5T_IEEE_F32BE, H5T_STD_B8LE,   H5T_STD_REF_OBJ};
    *made = false;
    which %= sizeof type / sizeof *type + 3;
    if (which < sizeof type / sizeof *type) return type[which];
    const size_t size[] = {64, 1, H5T_VARIABLE};
    hid_t text = H5Tcopy(H5T_C_S1);
    *made = true;
    if (H5Tset_size(text, size[which - sizeof type / sizeof *type]) < 0) abort();
    return text;
}

static inline hid_t edit_space(unsigned rank, unsigned which, hsize_t dim[4])
{
    static const hsize_t some[] = {0,  1,   2,   3,        5,          6,
                                   40, 301, 317, 1u << 20, 1ull << 33, 1ull << 62};
    const unsigned n = sizeof some / sizeof *some;
    rank %= 5;
    for (unsigned i = 0; i < 4; i++, which = which * 5 + 1) dim[i] = some[which % n];
    return rank == 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple((int)rank, dim, NULL);
}

/* A dataset of another type, shape and layout in place of the one called `name`. */
static inline void edit_replace(hid_t file, const char *name, const uint8_t how[4])
{
    hsize_t dim[4];
    bool made;
    hid_t type = edit_type(how[0], &made), space = edit_space(how[1], how[2], dim);
    hid_t list = H5Pcreate(H5P_DATASET_CREATE);
    unsigned rank = how[1] % 5;
    if (how[3] % 3 == 1 && rank > 0) { /* chunks as large as the whole, where that can be */
        for (unsigned i = 0; i < rank; i++) dim[i] = dim[i] == 0 ? 1 : dim[i];
        (void)H5Pset_chunk(list, (int)rank, dim);
        if (how[3] & 64) (void)H5Pset_deflate(list, 1);
        if (how[3] & 32) (void)H5Pset_scaleoffset(list, H5Z_SO_INT, 0);
    } else if (how[3] % 3 == 2) {
        (void)H5Pset_external(list, "/etc/hostname", 0, H5F_UNLIMITED);
    }
    (void)H5Ldelete(file, name, H5P_DEFAULT);
    hid_t set = H5Dcreate2(file, name, type, space, H5P_DEFAULT, list, H5P_DEFAULT);
    if (set >= 0) H5Dclose(set);
    H5Pclose(list);
    H5Sclose(space);
    if (made) H5Tclose(type);
}

/* One byte of a dataset's values. */
static inline void edit_value(hid_t file, const char *name, const uint8_t how[4])
{
    static char value[EDIT_VALUES];
    hid_t set = H5Dopen2(file, name, H5P_DEFAULT);
    if (set < 0) return; /* a group, or replaced before */
    hid_t type = H5Dget_type(set), space = H5Dget_space(set);
    hssize_t n = H5Sget_simple_extent_npoints(space);
    size_t size = H5Tget_size(type);
    bool fits = n > 0 && (uint64_t)n <= EDIT_VALUES / size && H5Tis_variable_str(type) <= 0;
    if (fits && H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, value) >= 0) {
        size_t at = ((size_t)how[0] << 8 | how[1]) % ((size_t)n * size);
        value[at] = (char)how[2];
        if (how[3] & 1) memset(value + at / size * size, how[2], size); /* the whole item */
        (void)H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, value);
    }
    H5Sclose(space);
    H5Tclose(type);
    H5Dclose(set);
}

/* Another attribute of that name: a number, a text, or a list of numbers. */
static inline void edit_attribute(hid_t file, const char *name, const uint8_t how[4])
{
    static const int64_t whole[] = {0, 1, -1, 2, 255, 65535, 65536, INT64_MAX, INT64_MIN};
    static const double real[] = {0, -1, 1e300, 0.5, INFINITY, NAN};
    static const char *const text[] = {"",       "{}",          "{\"a\":", "gm-trace", "gm-atlas",
                                       "counts", "esc \x1b[2J", "\xff",    "logits"};
    hid_t type = H5T_STD_I64LE, space = H5Screate(H5S_SCALAR), made = H5I_INVALID_HID;
    const void *value = &whole[how[1] % (sizeof whole / sizeof *whole)];
    if (how[0] % 4 == 1) {
        type = H5T_IEEE_F64LE;
        value = &real[how[1] % (sizeof real / sizeof *real)];
    } else if (how[0] % 4 == 2) {
        const char *chosen = text[how[1] % (sizeof text / sizeof *text)];
        type = made = H5Tcopy(H5T_C_S1);
        if (H5Tset_size(made, strlen(chosen) + 1) < 0) abort();
        value = chosen;
    } else if (how[0] % 4 == 3) {
        hsize_t two = 2;
        H5Sclose(space);
        space = H5Screate_simple(1, &two, NULL);
        value = whole;
    }
    (void)H5Adelete(file, name);
    hid_t at = H5Acreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    if (at >= 0 && H5Awrite(at, type, value) < 0) abort();
    if (at >= 0) H5Aclose(at);
    if (made >= 0) H5Tclose(made);
    H5Sclose(space);
}

static inline void edit_once(hid_t file, const h5_names *names, const uint8_t edit[EDIT_BYTES])
{
    const char *object = names->object[edit[1] % names->n_objects];
    const char *other = names->object[edit[2] % names->n_objects];
    const char *attribute = names->attribute[edit[1] % names->n_attributes];
    switch (edit[0] % 8) {
    case 0: (void)H5Ldelete(file, object, H5P_DEFAULT); break;
    case 1: edit_replace(file, object, edit + 2); break;
    case 2: /* the same dataset under two names */
        (void)H5Ldelete(file, object, H5P_DEFAULT);
        (void)H5Lcreate_hard(file, other, file, object, H5P_DEFAULT, H5P_DEFAULT);
        break;
    case 3:
        (void)H5Ldelete(file, object, H5P_DEFAULT);
        (void)(edit[3] & 1 ? H5Lcreate_external("fuzz.other.h5", other, file, object, H5P_DEFAULT,
                                                H5P_DEFAULT)
                           : H5Lcreate_soft(other, file, object, H5P_DEFAULT, H5P_DEFAULT));
        break;
    case 4: (void)H5Adelete(file, attribute); break;
    case 5: edit_attribute(file, attribute, edit + 2); break;
    default: edit_value(file, object, edit + 2);
    }
}

/* A valid file to edit, and what is in it. */
typedef struct h5_base {
    gm_text file;
    h5_names names; /* found at the first edit */
} h5_base;

/* Write the file to `path` and edit it there. */
static inline void edit_file(const char *path, h5_base *base, const uint8_t *bytes, size_t n)
{
    const gm_text *valid = &base->file;
    h5_names *names = &base->names;
    write_input(path, valid->at, valid->n);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    if (access < 0 || H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110) < 0) abort();
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, access);
    if (file < 0) abort();
    if (names->n_objects == 0) edit_names(names, file);
    for (size_t i = 0; i < EDIT_MOST && (i + 1) * EDIT_BYTES <= n; i++)
        edit_once(file, names, bytes + i * EDIT_BYTES);
    if (H5Fclose(file) < 0) abort();
    H5Pclose(access);
    H5Eclear2(H5E_DEFAULT);
}

/* A file of the valid bytes, some of them overwritten: four bytes of the input say where (three)
 * and what. */
static inline void patch_file(const char *path, const gm_text *valid, const uint8_t *bytes,
                              size_t n)
{
    char *copy = gm_copy_text(valid->at, valid->n);
    demand(copy != NULL);
    for (size_t i = 0; i + 4 <= n; i += 4) {
        size_t at = (size_t)bytes[i] << 16 | (size_t)bytes[i + 1] << 8 | bytes[i + 2];
        copy[at % valid->n] = (char)bytes[i + 3];
    }
    write_input(path, copy, valid->n);
    gm_free(copy);
}

#endif
