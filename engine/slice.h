/* slice.h - where a matrix of the model lies in a checkpoint. */
#ifndef GM_SLICE_H
#define GM_SLICE_H

#include "base/safetensors.h"

enum { GM_NAME_BYTES = 128 }; /* of a tensor that is looked for, NUL included */

/* How a matrix lies in its tensor: outputs and their inputs, (rows, cols); inputs and their
 * outputs; or outputs and their inputs in blocks (stored.h), in two tensors, that of the scales of
 * bytes. GRID: the scales of rows or columns that are F8_E4M3, floats. */
typedef enum gm_stored {
    GM_STORED_ROWS,
    GM_STORED_COLUMNS,
    GM_STORED_GRID,
    GM_STORED_MXFP4,
    GM_STORED_SCALES
} gm_stored;

/* Weights of F8_E4M3 come with a second tensor: one scale for every `rows` rows and `cols` columns
 * of the first (0: for all of them), at the far ends for what is left. */
typedef struct gm_blocks {
    const char *suffix; /* its name, behind the first one's; NULL: weights are not F8_E4M3 */
    size_t rows, cols;
} gm_blocks;

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
    size_t heads;             /* how many matrices of heads make up the role; 0: it is this one */
    bool middle;              /* the tensor has a dimension of one between rows and columns */
    bool centred;             /* its values are those that are meant less 1 */
    gm_stored stored;
    gm_blocks blocks; /* of a tensor that may be F8_E4M3 */
} gm_slice;

/* How the scales of a matrix of F8_E4M3 lie beside it: that of its tensor's element (r, c) is
 * number r / rows * per_row + c / cols. */
typedef struct gm_grid {
    const float *scale;
    size_t rows, cols, per_row;
    size_t first; /* row of the tensor that the matrix begins with */
} gm_grid;

/* The tensor's shape, and its rank. */
int gm_slice_shape(const gm_slice *slice, size_t dim[GM_MAX_RANK]);

/* The scales of a slice of MXFP4, or of one of F8_E4M3: all of its tensor's. */
gm_slice gm_slice_scales(const gm_slice *slice);

/* How the latter lie, without the scales themselves. */
gm_grid gm_slice_grid(const gm_slice *slice);

/* The matrix at `slice` of the tensor it names, as a tensor of its own, F32, F16 or BF16, with
 * blocks also F8_E4M3 (MXFP4 and its scales: U8); where rows take turns, all of them. *out borrows
 * name and data, and is empty on failure. Errors: GM_EFORMAT another type; GM_ESHAPE. */
gm_status gm_slice_cut(const gm_slice *slice, const gm_tensor *tensor, gm_tensor *out,
                       gm_error *err) GM_MUST_USE;

#endif
