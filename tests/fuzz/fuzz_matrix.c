/* fuzz_matrix.c - any bytes as a .npy of any type: refused with a sentence that names the file, or
 * a table of as many numbers as the file has room for.
 */
#include "formats/matrix_file.h"
#include "tests/fuzz/demand.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    gm_matrix matrix;
    gm_error err = {0};
    if (gm_matrix_parse(&matrix, bytes, n, "fuzz.npy", &err) != GM_OK) {
        demand(matrix.at == NULL && strstr(err.text, "fuzz.npy") != NULL);
        return 0;
    }
    demand(matrix.rows > 0 && matrix.cols > 0 && matrix.cols <= n / matrix.rows);
    volatile double last; /* every number can be read, and no compiler leaves that out */
    for (size_t i = 0; i < matrix.rows * matrix.cols; i++) last = matrix.at[i];
    (void)last;
    gm_matrix_clear(&matrix);
    return 0;
}
