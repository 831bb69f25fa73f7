/* slice.h - where a checkpoint has a matrix of the model. */
#ifndef GM_SLICE_H
#define GM_SLICE_H

#include "base/safetensors.h"

enum { GM_NAME_BYTES = 128 }; /* of a tensor that is looked for, NUL included */

/* How a matrix is stored in its tensor (stored.h). */
typedef enum gm_stored {
    GM_STORED_ROWS,    /* (outputs, inputs) */
    GM_STORED_COLUMNS, /* (inputs, outputs) */
    GM_STORED_GRID,    /* the scales of rows or columns in F8_E4M3: floats */
    GM_STORED_MXFP4,   /* outputs, with their inputs in blocks of 4-bit codes */
    GM_STORED_SCALES   /* the scales of those: bytes */
} gm_stored;

/* How codes of four bits lie in a tensor of 32-bit words (stored.h). */
typedef enum gm_packing {
    GM_PACKING_NONE,
    GM_PACKING_ROWS, /* (outputs, inputs / 8): compressed-tensors */
    GM_PACKING_GPTQ, /* (inputs / 8, outputs) */
    GM_PACKING_AWQ   /* (inputs, outputs / 8) */
} gm_packing;

/* Weights of F8_E4M3 come with a second tensor: one scale for every `rows` rows and `cols` columns
 * of the first (0: for all of them); the last blocks may be smaller. A tensor that stacks matrices
 * has one for each of them. Weights of four bits have a scale for every `cols` inputs of an output,
 * and take the place of the tensor that they were made of, under names of their own (located.h). */
typedef struct gm_scale_blocks {
    const char *suffix; /* of the scales' names, of F8_E4M3 after the weight's; NULL: no scales */
    size_t rows, cols;
    bool fixed; /* there are scales of activations too, which are not read */
    gm_packing packing;
    bool zeros;     /* of four bits: there is a zero beside each scale; otherwise it is 8, */
    unsigned above; /* and so much above the one that is stored */
    bool ordered;   /* of GPTQ: a list has to say which group each input is in */
} gm_scale_blocks;

enum { GM_MX_BLOCK = 32 }; /* inputs that share a scale of MXFP4 */

/* A matrix is a whole tensor; or some rows of one of the matrices that a tensor of rank 3 stacks (a
 * stack of vectors has rank 2, its matrices one column); or some rows of a tall tensor of rank 2
 * (stored as COLUMNS: some of its columns). */
typedef struct gm_slice {
    char name[GM_NAME_BYTES]; /* of the tensor */
    size_t rows, cols;        /* of the matrix; one row is also a tensor of rank 1 */
    size_t stack;             /* matrices that the tensor stacks; 0: it is this one alone */
    size_t stack_rows;        /* rows of each of them */
    size_t item, first;       /* rows first, first + every, ... of matrix `item` */
    size_t every;             /* 2: rows of two matrices alternate, */
    bool halves;              /* or follow one another: all are read at once, as of COLUMNS */
    size_t tall;              /* rows of the tall tensor, of which `first` is the matrix's first */
    size_t heads;             /* matrices, one a head, that make up the role; 0: it is this one */
    bool middle;              /* the tensor has a dimension of one between rows and columns */
    bool centred;             /* values are stored less 1 */
    gm_stored stored;
    gm_scale_blocks blocks; /* of a tensor that may be F8_E4M3 or of four bits */
} gm_slice;

/* The scales of a matrix in F8_E4M3: that of its tensor's element (r, c) is
 * scale[r / rows * per_row + c / cols]. Of four bits: scale and zero of output r and input c are
 * number r * per_row + g * per_col of theirs, where g is c / cols or, if there is a list, group[c]:
 * whole numbers, as floats like the others. */
typedef struct gm_grid {
    const float *scale, *zero, *group;
    size_t rows, cols, per_row, per_col;
    size_t first; /* the matrix's first row in the tensor, those of a stack one after another */
    gm_packing packing;
    size_t outputs, inputs; /* of the packed tensor */
} gm_grid;

/* The tensor's shape, and its rank. */
int gm_slice_shape(const gm_slice *slice, size_t dim[GM_MAX_RANK]);

/* Outputs and inputs of the whole tensor that a slice which is not stacked is part of. */
size_t gm_slice_outputs(const gm_slice *slice);
size_t gm_slice_inputs(const gm_slice *slice);

/* The scales of a slice in MXFP4; in F8_E4M3, all scales of its tensor. */
gm_slice gm_slice_scales(const gm_slice *slice);

/* The grid of the latter, with scale NULL. */
gm_grid gm_slice_grid(const gm_slice *slice);

/* The slice of the tensor it names, as a tensor of its own: F32, F16 or BF16, with blocks also
 * F8_E4M3, for MXFP4 and its scales U8. Of two matrices that are read at once it has both. *out
 * borrows name and data, and is empty on failure. GM_EFORMAT: another type; GM_ESHAPE. */
gm_status gm_slice_cut(const gm_slice *slice, const gm_tensor *tensor, gm_tensor *out,
                       gm_error *err) GM_MUST_USE;

#endif
