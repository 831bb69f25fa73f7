/* array_file.h - a bias [layers, experts] as other tools keep it: a plain f32 array, without mode,
 * window or model (formats/plan.h has these).
 *
 *   NAME.npy   a table as gm_matrix_read takes it (matrix_file.h), its numbers as f32;
 *              written: '<f4'
 *   NAME.f32   ds4's expert steering file: 43 x 256 little-endian f32 and nothing else,
 *              entry [layer * 256 + expert]; its layers are 0 to 42
 *
 * Values are finite or -inf (an expert taken out; ds4 multiplies by a scale of either
 * sign, so there they are finite); a number that f32 cannot hold is refused.
 * Source: the user guide of ds4's expert steering, "File format".
 */
#ifndef GM_ARRAY_FILE_H
#define GM_ARRAY_FILE_H

#include "base/base.h"

typedef struct gm_array {
    size_t n_rows, n_cols;
    float *at;       /* (n_rows, n_cols), owned */
    char sha256[65]; /* of the file's bytes, lower-case hex; "" when it was not read */
} gm_array;

void gm_array_clear(gm_array *array);

/* Does `path` have the ending of ds4's file? */
bool gm_array_is_ds4(const char *path);

/* Read the file `path`, whose ending says which of the two it is. At least one row and
 * column. Errors: GM_EARG (another name), GM_EIO, GM_EFORMAT, GM_ESHAPE, GM_ENUMERIC
 * (names row and column), GM_EMEM. */
gm_status gm_array_read(gm_array *out, const char *path, gm_error *err) GM_MUST_USE;

/* The same from the n bytes of a file called `path`. */
gm_status gm_array_parse(gm_array *out, const void *bytes, size_t n, const char *path,
                         gm_error *err) GM_MUST_USE;

/* Write values (n_rows, n_cols), by base/outfile.h. A .npy has the bytes that
 * numpy.save gives. Errors: those of gm_array_read for name, shape and values,
 * GM_EEXIST unless `replace`, GM_EBUSY, GM_EIO, GM_EMEM. */
gm_status gm_array_write(const char *path, const float *values, size_t n_rows, size_t n_cols,
                         bool replace, gm_error *err) GM_MUST_USE;

#endif
