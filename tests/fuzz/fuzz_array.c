/* fuzz_array.c - any bytes as a .npy and as ds4's file: refused with a sentence that names
 * the file, or numbers that the writer takes and that read back the same.
 */
#include "formats/array_file.h"
#include "tests/fuzz/demand.h"

#include <math.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void parse(const uint8_t *bytes, size_t n, const char *path)
{
    gm_array array, back;
    gm_error err = {0};
    if (gm_array_parse(&array, bytes, n, path, &err) != GM_OK) {
        demand(array.at == NULL && strstr(err.text, path) != NULL);
        return;
    }
    size_t n_values = array.n_rows * array.n_cols;
    demand(n_values > 0 && n_values <= n); /* a byte each at least */
    for (size_t i = 0; i < n_values; i++) demand(array.at[i] < INFINITY);
    demand(gm_array_write(path, array.at, array.n_rows, array.n_cols, true, NULL) == GM_OK);
    demand(gm_array_read(&back, path, NULL) == GM_OK);
    demand(back.n_rows == array.n_rows && back.n_cols == array.n_cols);
    demand(memcmp(back.at, array.at, n_values * sizeof(float)) == 0);
    gm_array_clear(&back);
    gm_array_clear(&array);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    parse(bytes, n, "fuzz.npy");
    parse(bytes, n, "fuzz.f32");
    return 0;
}
