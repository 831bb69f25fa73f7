/* matrix_file.h - a table of numbers as NumPy keeps it, for gm-cluster matrix: .npy, format 1.0,
 * two dimensions, by row or by column (Fortran order, as pandas has most of its tables).
 *
 * Read: '<f2', '<f4', '<f8', whole numbers of 1, 2, 4 and 8 bytes ('|i1', '<u2') and '|b1', as
 * double (whole numbers beyond 2^53 are rounded). Any value is allowed, NaN and infinities too.
 * Written: '<f8'.
 */
#ifndef GM_MATRIX_FILE_H
#define GM_MATRIX_FILE_H

#include "base/base.h"

typedef struct gm_matrix {
    size_t rows, cols;
    double *at; /* (rows, cols), owned */
} gm_matrix;

void gm_matrix_clear(gm_matrix *matrix);

/* Read the file `path`: at least one row and column. The file and the doubles are in memory
 * together for a while. Errors: GM_EIO, GM_EFORMAT (another file, format or type),
 * GM_ESHAPE, GM_EMEM. */
gm_status gm_matrix_read(gm_matrix *out, const char *path, gm_error *err) GM_MUST_USE;

/* The bytes that this takes, file and doubles, from the first n bytes of the file; of any other
 * kind of file, its size. */
uint64_t gm_matrix_memory(const void *bytes, size_t n, uint64_t file_bytes);

/* gm_matrix_read from the n bytes of a file called `path`. */
gm_status gm_matrix_parse(gm_matrix *out, const void *bytes, size_t n, const char *path,
                          gm_error *err) GM_MUST_USE;

/* Write values (rows, cols) by base/outfile.h, with the bytes that numpy.save gives. Errors:
 * GM_EEXIST unless `replace`, GM_EBUSY, GM_EIO, GM_EMEM. */
gm_status gm_matrix_write(const char *path, const double *values, size_t rows, size_t cols,
                          bool replace, gm_error *err) GM_MUST_USE;

#endif
