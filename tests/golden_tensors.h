/* golden_tensors.h - tensors of tests/golden/ as doubles: F64 too, which is no weight
 * format and base/safetensors.h does not read. And the JSON beside them.
 */
#ifndef GM_GOLDEN_TENSORS_H
#define GM_GOLDEN_TENSORS_H

#include "base/json.h"
#include "tests/check.h"

typedef struct golden_file {
    gm_text bytes;
    gm_json *header;
    size_t data; /* where the tensors begin */
} golden_file;

/* Open TEST_DATA/golden/NAME; an unreadable file fails the test and gives no tensors. */
static inline golden_file golden_open(const char *name)
{
    golden_file file = {0};
    gm_error err = {0};
    char path[1024];
    uint64_t n = 0;
    snprintf(path, sizeof path, TEST_DATA "/golden/%s", name);
    CHECK_OK(gm_text_read_file(&file.bytes, path, (size_t)1 << 30, &err), err);
    if (file.bytes.n < sizeof n) return file;
    memcpy(&n, file.bytes.at, sizeof n);
    file.data = sizeof n + n;
    CHECK_OK(gm_json_parse(&file.header, file.bytes.at + sizeof n, n, name, &err), err);
    return file;
}

static inline void golden_close(golden_file *file)
{
    gm_text_clear(&file->bytes);
    gm_json_free(file->header);
}

/* The tensor as n doubles, freed with gm_free; a missing one fails the test and is NULL. */
static inline double *golden_read(const golden_file *file, const char *name, size_t *n)
{
    const gm_json *entry = file->header ? gm_json_find(file->header, name) : NULL;
    int64_t begin = 0, end = 0;
    *n = 0;
    if (entry == NULL) {
        TEST_FAILED_("no golden '%s'", name);
        return NULL;
    }
    const char *dtype = gm_json_text(gm_json_find(entry, "dtype"), NULL);
    const gm_json *offset = gm_json_first(gm_json_find(entry, "data_offsets"));
    gm_json_i64(offset, &begin);
    gm_json_i64(gm_json_next(offset), &end);
    const bool is_signed = strcmp(dtype, "I8") == 0,
               is_byte = is_signed || strcmp(dtype, "U8") == 0;
    size_t size = strcmp(dtype, "F64") == 0 ? 8 : is_byte ? 1 : 4;
    *n = (size_t)(end - begin) / size;
    double *out = gm_alloc(*n, sizeof *out);
    for (size_t i = 0; out && i < *n; i++) {
        const char *at = file->bytes.at + file->data + (size_t)begin + i * size;
        float f;
        int32_t v;
        if (size == 8) {
            memcpy(&out[i], at, sizeof out[i]);
        } else if (size == 1) {
            out[i] = is_signed ? (signed char)*at : (unsigned char)*at;
        } else if (strcmp(dtype, "F32") == 0) {
            memcpy(&f, at, sizeof f);
            out[i] = (double)f;
        } else {
            memcpy(&v, at, sizeof v);
            out[i] = v;
        }
    }
    return out;
}

static inline float *golden_floats(const golden_file *file, const char *name, size_t *n)
{
    double *from = golden_read(file, name, n);
    float *out = gm_alloc(*n, sizeof *out);
    for (size_t i = 0; out && i < *n; i++) out[i] = (float)from[i];
    gm_free(from);
    return out;
}

/* TEST_DATA/golden/NAME, freed with gm_json_free; an unreadable file fails the test. */
static inline gm_json *golden_json(const char *name)
{
    gm_json *root = NULL;
    gm_error err = {0};
    char path[1024];
    snprintf(path, sizeof path, TEST_DATA "/golden/%s", name);
    CHECK_OK(gm_json_read_file(&root, path, (size_t)1 << 26, &err), err);
    return root;
}

/* NaN when it is no number, which no comparison passes. */
static inline double golden_number(const gm_json *value)
{
    double v = NAN;
    gm_json_f64(value, &v);
    return v;
}

#endif
