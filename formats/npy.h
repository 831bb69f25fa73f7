/* npy.h - the front of a NumPy file (.npy, format 1.0), for arrays in C order whose values
 * follow it.
 *
 * Source: NumPy's reference, "A simple file format for NumPy arrays".
 */
#ifndef GM_NPY_H
#define GM_NPY_H

#include "base/text.h"

enum { GM_NPY_MAX_RANK = 4 };

/* Append what stands before the values of an array dim[0..rank) of the type `descr` ("<f4",
 * "<u4", "|u1", ...), the bytes that numpy.save gives. rank is 1 to GM_NPY_MAX_RANK. GM_EMEM. */
gm_status gm_npy_put_front(gm_text *out, const char *descr, const uint64_t *dim, int rank,
                           gm_error *err) GM_MUST_USE;

#endif
