/* npy.h - the front of a NumPy file (.npy, format 1.0), whose values follow it.
 *
 * Source: NumPy's reference, "A simple file format for NumPy arrays".
 */
#ifndef GM_NPY_H
#define GM_NPY_H

#include "base/text.h"

enum { GM_NPY_MAX_RANK = 4 };

typedef struct gm_npy_front {
    char type[16]; /* as the file spells it: "<f4" */
    size_t rank;
    size_t dim[GM_NPY_MAX_RANK]; /* the first of them when there are more */
    size_t first;                /* the byte at which the values begin */
    bool by_column;              /* NumPy's Fortran order: the first index runs fastest */
} gm_npy_front;

/* Read the front of the n bytes of a file called `path`. Other versions of the format are refused
 * by name; type, shape and order are for the caller to judge. Errors: GM_EFORMAT. */
gm_status gm_npy_read_front(gm_npy_front *out, const char *bytes, size_t n, const char *path,
                            gm_error *err) GM_MUST_USE;

/* Append what comes before the values of an array dim[0..rank) of the type `descr` ("<f4",
 * "<u4", "|u1", ...), the bytes that numpy.save gives. rank is 1 to GM_NPY_MAX_RANK. GM_EMEM. */
gm_status gm_npy_put_front(gm_text *out, const char *descr, const uint64_t *dim, int rank,
                           gm_error *err) GM_MUST_USE;

#endif
