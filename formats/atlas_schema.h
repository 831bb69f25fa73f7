/* atlas_schema.h - private to formats: the datasets of an atlas as one table of the
 * members of gm_atlas. Writer and reader both walk it.
 */
#ifndef GM_ATLAS_SCHEMA_H
#define GM_ATLAS_SCHEMA_H

#include "formats/atlas.h"
#include "formats/h5_column.h"

/* How a member is stored. */
typedef enum gm_atlas_kind {
    GM_ATLAS_PLAIN,  /* an array of numbers, as in memory */
    GM_ATLAS_TEXTS,  /* an array of C strings, 64 bytes each */
    GM_ATLAS_SHA,    /* (N,32) bytes, as 64 hex digits each */
    GM_ATLAS_SUBSET, /* u16 numbers, shown as an enum of the subsets */
    GM_ATLAS_SCRIPT, /* the same of the scripts */
    GM_ATLAS_LANGUAGE
} gm_atlas_kind;

typedef struct gm_atlas_column {
    const char *name;
    gm_h5_type type;
    /* N C S L E R; 2; W keywords; X examples; H scripts; I languages; G edges; M N+1; P N-1; Z
     * dimensions of clusters, Q N or, when they are those of the map, 0 */
    const char *shape;
    size_t member; /* offset in gm_atlas */
    gm_atlas_kind kind;
    const char *about;
    int since; /* the schema that brought it */
} gm_atlas_column;

enum { GM_ATLAS_N_COLUMNS = 50 };
extern const gm_atlas_column gm_atlas_columns[GM_ATLAS_N_COLUMNS];

/* Root attributes that are texts, and those of /parameters and /quality. */
typedef struct gm_atlas_text {
    const char *object, *name;
    size_t member;
} gm_atlas_text;

/* Files written before there was the last of them are read as well. */
enum { GM_ATLAS_N_TEXTS = 10, GM_ATLAS_FIRST_TEXTS = GM_ATLAS_N_TEXTS - 1 };
extern const gm_atlas_text gm_atlas_texts[GM_ATLAS_N_TEXTS];

uint64_t gm_atlas_size(const gm_atlas *atlas, char letter);
/* The layout of a column. `stored` is left to the caller. */
gm_h5_layout gm_atlas_layout(const gm_atlas_column *column, const gm_atlas *atlas);

/* Refuse values that cannot be: GM_EFORMAT names the place. Every array is there. */
gm_status gm_atlas_check(const gm_atlas *atlas, hid_t file, gm_error *err) GM_MUST_USE;

/* Fill n items of a column that a file may lack with its value for "not known". `at` holds as many
 * items, or texts, of the column. */
void gm_atlas_fill_unknown(void *at, const gm_atlas_column *column, size_t n);

/* Recompute the digest of a file's contents; a gm_commit_digest. */
gm_status gm_atlas_file_digest(const char *path, char hex[65], gm_error *err);

#endif
