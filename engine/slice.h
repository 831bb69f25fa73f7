/* slice.h - where a matrix of the model lies in a checkpoint. */
#ifndef GM_SLICE_H
#define GM_SLICE_H

#include "base/safetensors.h"

enum { GM_NAME_BYTES = 128 }; /* of a tensor that is looked for, NUL included */

/* How a matrix lies in its tensor: outputs and their inputs, (rows, cols); inputs and their
 * outputs; or outputs and their inputs in blocks (stored.h), in two tensors, that of the scales of
 * bytes. */
typedef enum gm_stored {
    GM_STORED_ROWS,
    GM_STORED_COLUMNS,
    GM_STORED_MXFP4,
    GM_STORED_SCALES
} gm_stored;

enum { GM_MX_BLOCK = 32 }; /* inputs of a scale of MXFP4 */

/* Where a matrix lies: it is a tensor, or it is rows of one of the matrices that a tensor of rank 3
 * stacks; a stack of vectors is one of matrices of one column, of rank 2. Or it is some rows of a
 * tall tensor of rank 2, and of COLUMNS its columns are. */
typedef struct gm_slice {
    char name[GM_NAME_BYTES]; /* of the tensor */
    size_t rows, cols;        /* of the matrix; one row is also a tensor of rank 1 */
    size_t stack;             /* matrices that the tensor stacks; 0: it is this one alone */
    size_t stack_rows;        /* rows of each of them */
    size_t item, first;       /* rows first, first + every, ... of matrix `item` */
    size_t every;             /* 2: rows of two matrices take turns */
    size_t tall;              /* rows of the tall tensor, of which `first` is the matrix's first */
    gm_stored stored;
} gm_slice;

/* The tensor's shape, and its rank. */
int gm_slice_shape(const gm_slice *slice, size_t dim[GM_MAX_RANK]);

/* The scales of a slice of MXFP4. */
gm_slice gm_slice_scales(const gm_slice *slice);

/* The matrix at `slice` of the tensor it names, as a tensor of its own, F32, F16 or BF16 (MXFP4 and
 * its scales: U8); where rows take turns, all of them. *out borrows name and data, and is empty on
 * failure. Errors: GM_EFORMAT another type; GM_ESHAPE. */
gm_status gm_slice_cut(const gm_slice *slice, const gm_tensor *tensor, gm_tensor *out,
                       gm_error *err) GM_MUST_USE;

#endif
