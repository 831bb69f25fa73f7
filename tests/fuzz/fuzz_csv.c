/* fuzz_csv.c - any bytes as comma-separated values: refused with a sentence that names the file,
 * or a table that, written out, is read back the same.
 */
#include "base/csv.h"
#include "base/outfile.h"
#include "tests/fuzz/demand.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void put_row(FILE *to, char *const *field, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (i > 0) fputc(',', to);
        if (field[i][0] == '\0')
            fputs("\"\"", to); /* a row of one empty field would be an empty line */
        else
            gm_csv_put(to, field[i]);
    }
    fputc('\n', to);
}

/* Each column is found by its name, the first of that name; another is not, and which there are is
 * said. */
static void look_columns_up(const gm_csv *table)
{
    size_t column;
    gm_error err = {0};
    for (size_t i = 0; i < table->n_columns; i++)
        demand(gm_csv_find(table, table->name[i], "fuzz.csv", &column, NULL) == GM_OK &&
               column <= i);
    const bool has = gm_csv_has(table, "cluster");
    demand((gm_csv_find(table, "cluster", "fuzz.csv", &column, &err) == GM_OK) == has);
    demand(has || strstr(err.text, "no column 'cluster'; its columns are ") != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    gm_csv table, back;
    gm_outfile *file;
    gm_error err = {0};
    if (gm_csv_parse(&table, (const char *)bytes, n, "fuzz.csv", &err) != GM_OK) {
        demand(table.field == NULL && strstr(err.text, "fuzz.csv") != NULL);
        return 0;
    }
    look_columns_up(&table);
    demand(gm_outfile_open(&file, "fuzz.csv", true, NULL) == GM_OK);
    fputs("\xEF\xBB\xBF", gm_outfile_stream(file)); /* a name may begin with a second mark */
    put_row(gm_outfile_stream(file), table.name, table.n_columns);
    for (size_t r = 0; r < table.n_rows; r++)
        put_row(gm_outfile_stream(file), table.field + r * table.n_columns, table.n_columns);
    demand(gm_outfile_commit(file, NULL) == GM_OK);
    demand(gm_csv_read(&back, "fuzz.csv", NULL) == GM_OK);
    demand(back.n_rows == table.n_rows && back.n_columns == table.n_columns);
    for (size_t i = 0; i < table.n_rows * table.n_columns; i++)
        demand(strcmp(back.field[i], table.field[i]) == 0);
    gm_csv_clear(&back);
    gm_csv_clear(&table);
    return 0;
}
