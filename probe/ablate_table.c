/* ablate_table.c - the table of gm-probe ablate: see ablate_table.h. */
#include "probe/ablate_table.h"

#include "base/cli.h"
#include "base/csv.h"
#include "formats/plan.h"
#include "text/terminal.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const column[] = {"experts",     "layer",       "expert",    "mode",
                                     "group",       "documents",   "tokens",    "chosen",
                                     "nll",         "nll_without", "change",    "change_low",
                                     "change_high", "p",           "p_adjusted"};

enum { N_COLUMNS = sizeof column / sizeof *column, NLL_WITHOUT = 9, CHANGE, LOW, HIGH, P };

enum { NAME_CELLS = 24 }; /* of a group, printed */

static const double FALSE_DISCOVERY_RATE = 0.05; /* of the changes that are called found */

/* ---- as text ---- */

static const char *show_u64(char buf[32], uint64_t value)
{
    snprintf(buf, 32, "%" PRIu64, value);
    return buf;
}

static const char *show_f64(char buf[32], double value)
{
    return isnan(value) ? "" : gm_show_exact(buf, value);
}

static double adjusted(const gm_ablate *a, const gm_ablate_row *row)
{
    return a->adjusted ? a->adjusted[row - a->row] : NAN;
}

/* What stands in a column of the line of knock-out x and row g of its rows. */
static const char *field(const gm_ablate *a, size_t x, size_t g, size_t at, char buf[32])
{
    const gm_model_info *info = gm_model_get_info(a->model);
    const gm_knockout *k = &a->out->at[x];
    const gm_ablate_row *row = &gm_ablate_rows(a, x)[g];
    const uint32_t E = (uint32_t)info->n_experts;
    switch (at) {
    case 0: return k->name;
    case 1: return k->n > 1 ? "" : show_u64(buf, (uint64_t)info->layer_of_moe[k->at[0] / E]);
    case 2: return k->n > 1 ? "" : show_u64(buf, k->at[0] % E);
    case 3: return gm_plan_mode_name((gm_plan_mode)a->mode);
    case 4: return g == 0 ? "" : a->texts->group_name[g - 1];
    case 5: return show_u64(buf, row->loss.documents);
    case 6: return show_u64(buf, row->loss.tokens);
    case 7: return show_u64(buf, row->chosen);
    case 8: return show_f64(buf, row->loss.a);
    case NLL_WITHOUT: return show_f64(buf, row->loss.b);
    case CHANGE: return show_f64(buf, row->loss.change);
    case LOW: return show_f64(buf, row->loss.low);
    case HIGH: return show_f64(buf, row->loss.high);
    case P: return show_f64(buf, row->loss.p);
    default: return show_f64(buf, adjusted(a, row));
    }
}

void gm_ablate_table_write(FILE *to, const gm_ablate *a)
{
    char buf[32];
    for (size_t c = 0; c < N_COLUMNS; c++) fprintf(to, "%s%s", c ? "," : "", column[c]);
    fputs("\r\n", to);
    for (size_t x = 0; x < a->n_done; x++)
        for (size_t g = 0; g <= a->texts->n_groups; g++) {
            for (size_t c = 0; c < N_COLUMNS; c++) {
                if (c > 0) fputc(',', to);
                gm_csv_put(to, field(a, x, g, c, buf));
            }
            fputs("\r\n", to);
        }
}

/* ---- read back ---- */

/* A figure of a line; an empty one is not known. */
static bool parse(const char *text, double *out)
{
    *out = NAN;
    return text[0] == '\0' || (gm_parse_f64(text, out) && isfinite(*out));
}

/* The G+1 lines of the next knock-out, from line `first` of the table on. */
static bool take(gm_ablate *a, const gm_csv *table, size_t first)
{
    char buf[32];
    const size_t x = a->n_done;
    gm_ablate_row *row = gm_ablate_take(a);
    for (size_t g = 0; g <= a->texts->n_groups; g++) {
        char **line = table->field + (first + g) * N_COLUMNS;
        gm_loss *loss = &row[g].loss;
        if (!parse(line[NLL_WITHOUT], &loss->b) || !parse(line[CHANGE], &loss->change) ||
            !parse(line[LOW], &loss->low) || !parse(line[HIGH], &loss->high) ||
            !parse(line[P], &loss->p))
            return false;
        for (size_t c = 0; c <= P; c++)
            if (strcmp(field(a, x, g, c, buf), line[c]) != 0) return false;
    }
    return true;
}

gm_status gm_ablate_table_take(gm_ablate *a, const char *path, gm_error *err)
{
    gm_status status = GM_OK;
    gm_csv table = {0};
    const size_t lines = a->texts->n_groups + 1;
    GM_TRY(gm_csv_read(&table, path, err));
    bool own = table.n_columns == N_COLUMNS && table.n_rows % lines == 0 &&
               table.n_rows / lines <= a->out->n;
    for (size_t c = 0; own && c < N_COLUMNS; c++) own = strcmp(table.name[c], column[c]) == 0;
    for (size_t r = 0; own && r < table.n_rows; r += lines) own = take(a, &table, r);
    if (!own)
        GM_FAIL(GM_EFORMAT,
                "'%s' is from a run with other texts, groups, experts, mode or model, or on "
                "another device; give --force to start over",
                path);
out:
    gm_csv_clear(&table);
    return status;
}

/* ---- shown ---- */

gm_status gm_ablate_put(const gm_ablate *a, gm_error *err)
{
    char buf[32];
    gm_json_out out = {0};
    gm_json_open_object(&out, NULL);
    gm_json_put_u64(&out, "documents", a->texts->n);
    gm_json_put_string(&out, "mode", gm_plan_mode_name((gm_plan_mode)a->mode));
    gm_json_open_array(&out, "rows");
    for (size_t i = 0; i < a->n_done * (a->texts->n_groups + 1); i++) {
        const size_t x = i / (a->texts->n_groups + 1), g = i % (a->texts->n_groups + 1);
        const gm_ablate_row *row = &gm_ablate_rows(a, x)[g];
        gm_json_open_object(&out, NULL);
        gm_json_put_string(&out, "experts", a->out->at[x].name);
        for (size_t c = 1; c <= 2; c++) {
            const char *number = field(a, x, g, c, buf);
            gm_json_put_raw(&out, column[c], *number ? number : "null");
        }
        gm_json_put_string(&out, "group", g == 0 ? NULL : a->texts->group_name[g - 1]);
        if (a->texts->group_words)
            gm_json_put_string(&out, "keywords", g == 0 ? NULL : a->texts->group_words[g - 1]);
        gm_json_put_u64(&out, "documents", row->loss.documents);
        gm_json_put_u64(&out, "tokens", row->loss.tokens);
        gm_json_put_u64(&out, "chosen", row->chosen);
        gm_json_put_f64(&out, "nll", row->loss.a);
        gm_json_put_f64(&out, "nll_without", row->loss.b);
        gm_json_put_f64(&out, "change", row->loss.change);
        gm_json_put_f64(&out, "change_low", row->loss.low);
        gm_json_put_f64(&out, "change_high", row->loss.high);
        gm_json_put_f64(&out, "p", row->loss.p);
        gm_json_put_f64(&out, "p_adjusted", adjusted(a, row));
        gm_json_close_object(&out);
    }
    gm_json_close_array(&out);
    gm_json_close_object(&out);
    return gm_cli_print_json(&out, err);
}

/* A knock-out and how much it changed a group. */
typedef struct ranked {
    double change;
    size_t x;
} ranked;

/* Largest change first; what is not known last; ties in the order of the list. */
static int by_change(const void *p, const void *q)
{
    const ranked *a = p, *b = q;
    const double x = isnan(a->change) ? -INFINITY : a->change,
                 y = isnan(b->change) ? -INFINITY : b->change;
    if (x != y) return x > y ? -1 : 1;
    return (a->x > b->x) - (a->x < b->x);
}

/* A group in a column, a cluster's keywords after its number as far as they fit. */
static void print_name(const gm_held_texts *t, size_t g)
{
    const char *name = g == 0 ? "all" : t->group_name[g - 1];
    const char *words = g == 0 || t->group_words == NULL ? "" : t->group_words[g - 1];
    const int left = NAME_CELLS - gm_text_cells(name) - 1;
    if (words[0] == '\0' || left < 1) {
        gm_print_column(stdout, NAME_CELLS, name);
    } else {
        printf("%s ", name);
        gm_print_column(stdout, left, words);
    }
}

/* Of a group the experts that it loses most without. */
static void print_group(const gm_ablate *a, size_t g, const ranked *order, size_t top)
{
    for (size_t i = 0; i < top; i++) {
        const gm_ablate_row *row = &gm_ablate_rows(a, order[i].x)[g];
        const gm_loss *loss = &row->loss;
        if (i == 0) {
            print_name(a->texts, g);
            printf(" %9" PRIu64 " %9" PRIu64 " %7.4f", loss->documents, loss->tokens, loss->a);
        } else {
            printf("%52s", "");
        }
        printf("  %-12s %5.1f %%  %+.4f", a->out->at[order[i].x].name,
               100 * (double)row->chosen / (double)loss->tokens, loss->change);
        if (loss->documents > 1)
            printf(" (%+.4f to %+.4f)  %.2g", loss->low, loss->high, adjusted(a, row));
        putchar('\n');
    }
}

/* How many of all changes there are, by their adjusted p. */
static void print_found(const gm_ablate *a)
{
    size_t n_tests = 0, n_found = 0;
    for (size_t i = 0; i < a->n_done * (a->texts->n_groups + 1); i++) {
        if (isnan(a->adjusted[i])) continue;
        n_tests++;
        if (a->adjusted[i] <= FALSE_DISCOVERY_RATE) n_found++;
    }
    if (n_tests > 0)
        printf("%zu of %zu change%s %s significant at a false discovery rate of %g %%\n", n_found,
               n_tests, gm_plural(n_tests), n_found == 1 ? "is" : "are",
               100 * FALSE_DISCOVERY_RATE);
}

gm_status gm_ablate_print(const gm_ablate *a, size_t top, gm_error *err)
{
    const size_t X = a->n_done;
    ranked *order = gm_alloc(X, sizeof *order);
    if (order == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu knock-outs", X);
    printf(
        "loss, nats a token       documents    tokens    loss  without      chosen  change (95 %% "
        "over documents), adjusted p\n");
    for (size_t g = 0; g <= a->texts->n_groups; g++) {
        if (gm_ablate_rows(a, 0)[g].loss.documents == 0) continue;
        for (size_t x = 0; x < X; x++) order[x] = (ranked){gm_ablate_rows(a, x)[g].loss.change, x};
        qsort(order, X, sizeof *order, by_change);
        print_group(a, g, order, top < X ? top : X);
    }
    print_found(a);
    if (gm_ablate_rows(a, 0)[0].loss.documents == 0)
        puts("no document has a loss: no token has a finite -ln p");
    gm_free(order);
    return GM_OK;
}
