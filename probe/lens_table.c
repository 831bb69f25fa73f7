/* lens_table.c - what each expert writes, as tables, JSON and an array: see lens.h. */
#include "base/cli.h"
#include "base/csv.h"
#include "formats/npy.h"
#include "probe/lens.h"
#include "probe/spelt_tokens.h"
#include "text/terminal.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static int layer_of(const gm_lens *lens, const gm_lens_expert *x)
{
    return gm_model_get_info(lens->model)->layer_of_moe[x->l];
}

static double mean(double sum, uint64_t n)
{
    return n > 0 ? sum / (double)n : NAN;
}

/* ---- an expert's columns, which are also its keys in JSON ---- */

static const char *const column[] = {"layer",   "expert",         "tokens",   "first",     "norm",
                                     "largest", "dimension",      "alone",    "halves",    "again",
                                     "nearest", "nearest_cosine", "promotes", "suppresses"};

enum { N_NUMBERS = 12 };

static void list_numbers(const gm_lens *lens, const gm_lens_expert *x, double number[N_NUMBERS])
{
    const gm_expert_sum *s = &x->sum;
    const bool chosen = s->n > 0;
    const double all[N_NUMBERS] = {layer_of(lens, x),
                                   x->e,
                                   (double)s->n,
                                   (double)s->n_first,
                                   mean(s->norms, s->n),
                                   chosen ? (double)s->largest : NAN,
                                   chosen ? (double)s->dimension : NAN,
                                   mean(s->cosines, s->n_first),
                                   x->halves,
                                   isnan(x->halves) ? NAN : (double)x->n_again,
                                   x->nearest < 0 ? NAN : (double)x->nearest,
                                   x->cosine};
    memcpy(number, all, sizeof all);
}

/* " a | b", as they are spelt. */
static gm_status write_list(FILE *to, const gm_lens *lens, const gm_lens_list *list, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text text = {0};
    for (size_t i = 0; i < list->n; i++) {
        if (i > 0) GM_TRY(gm_text_add(&text, " | ", err));
        GM_TRY(gm_spelt_token(&text, lens->tokenizer, list->at[i].id, err));
    }
    gm_csv_put(to, text.at ? text.at : "");
out:
    gm_text_clear(&text);
    return status;
}

gm_status gm_lens_write(FILE *to, const gm_lens *lens, gm_error *err)
{
    gm_status status = GM_OK;
    double number[N_NUMBERS];
    char buf[32];
    for (size_t c = 0; c < N_NUMBERS + 2; c++) fprintf(to, "%s%s", c ? "," : "", column[c]);
    fputs("\r\n", to);
    for (size_t i = 0; i < lens->asked->n; i++) {
        const gm_lens_expert *x = &lens->expert[i];
        list_numbers(lens, x, number);
        for (size_t c = 0; c < N_NUMBERS; c++)
            fprintf(to, "%s,", isnan(number[c]) ? "" : gm_show_exact(buf, number[c]));
        GM_TRY(write_list(to, lens, &x->promoted, err));
        fputc(',', to);
        GM_TRY(write_list(to, lens, &x->suppressed, err));
        fputs("\r\n", to);
    }
out:
    return status;
}

static gm_status put_list(gm_json_out *out, const char *key, const gm_lens *lens,
                          const gm_lens_list *list, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text piece = {0};
    gm_json_open_array(out, key);
    for (size_t i = 0; i < list->n; i++) {
        piece.n = 0;
        GM_TRY(gm_spelt_token(&piece, lens->tokenizer, list->at[i].id, err));
        gm_json_open_object(out, NULL);
        gm_json_put_u64(out, "id", list->at[i].id);
        gm_json_put_text(out, "token", piece.at, piece.n);
        gm_json_put_f64(out, "nats", list->at[i].nats);
        gm_json_put_bool(out, "again", list->at[i].again);
        gm_json_close_object(out);
    }
    gm_json_close_array(out);
out:
    gm_text_clear(&piece);
    return status;
}

gm_status gm_lens_put(const gm_lens *lens, gm_error *err)
{
    gm_status status = GM_OK;
    gm_json_out out = {0};
    double number[N_NUMBERS];
    gm_json_open_object(&out, NULL);
    gm_json_put_u64(&out, "documents", lens->n_documents);
    gm_json_put_u64(&out, "tokens", lens->n_tokens);
    gm_json_put_u64(&out, "bad", lens->n_bad);
    gm_json_put_f64(&out, "sigma", (double)lens->n_tokens / lens->inverse);
    gm_json_put_bool(&out, "plain", lens->plain);
    gm_json_open_array(&out, "layers");
    for (int l = lens->half[0].first; l < lens->half[0].end; l++) {
        gm_json_open_object(&out, NULL);
        gm_json_put_i64(&out, "layer", gm_model_get_info(lens->model)->layer_of_moe[l]);
        gm_json_put_f64(&out, "alone", gm_lens_alone(lens, l));
        gm_json_close_object(&out);
    }
    gm_json_close_array(&out);
    gm_json_open_array(&out, "experts");
    for (size_t i = 0; i < lens->asked->n; i++) {
        const gm_lens_expert *x = &lens->expert[i];
        list_numbers(lens, x, number);
        gm_json_open_object(&out, NULL);
        for (size_t c = 0; c < N_NUMBERS; c++) gm_json_put_f64(&out, column[c], number[c]);
        GM_TRY(put_list(&out, "promotes", lens, &x->promoted, err));
        GM_TRY(put_list(&out, "suppresses", lens, &x->suppressed, err));
        gm_json_close_object(&out);
    }
    gm_json_close_array(&out);
    gm_json_close_object(&out);
    return gm_cli_print_json(&out, err);
out:
    gm_text_clear(&out.text);
    return status;
}

/* ---- shown ---- */

/* Tokens in quotes; "?" after those that do not come back. */
static gm_status print_list(const char *what, const gm_lens *lens, const gm_lens_list *list,
                            gm_error *err)
{
    gm_status status = GM_OK;
    gm_text piece = {0};
    printf("  %s", what);
    for (size_t i = 0; i < list->n; i++) {
        piece.n = 0;
        GM_TRY(gm_spelt_token(&piece, lens->tokenizer, list->at[i].id, err));
        fputs(" \"", stdout);
        gm_print_text(stdout, 0, piece.at ? piece.at : "");
        printf("\"%s", list->at[i].again ? "" : "?");
        if (i == 0) printf(" (%+.2f)", list->at[i].nats);
    }
    putchar('\n');
out:
    gm_text_clear(&piece);
    return status;
}

static gm_status print_expert(const gm_lens *lens, const gm_lens_expert *x, gm_error *err)
{
    char name[32], at[32];
    gm_status status = GM_OK;
    const gm_expert_sum *s = &x->sum;
    snprintf(name, sizeof name, "%d:%d", layer_of(lens, x), x->e);
    printf("%-8s%9" PRIu64, name, s->n);
    if (s->n == 0) {
        puts("  never chosen");
        return GM_OK;
    }
    snprintf(at, sizeof at, "%.3g at %u", (double)s->largest, s->dimension);
    printf("  %8.3g  %-16s", mean(s->norms, s->n), at);
    if (isnan(x->halves))
        printf("  one half alone");
    else
        printf("  %6.3f, %2zu of %zu", x->halves, x->n_again, x->promoted.n);
    if (x->nearest >= 0) printf("   %d:%d (%.2f)", layer_of(lens, x), x->nearest, x->cosine);
    putchar('\n');
    GM_TRY(print_list("+", lens, &x->promoted, err));
    GM_TRY(print_list("-", lens, &x->suppressed, err));
out:
    return status;
}

gm_status gm_lens_print(const gm_lens *lens, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_model_info *info = gm_model_get_info(lens->model);
    printf("%" PRIu64 " documents, %" PRIu64
           " tokens; \"token\"? does not come back in both halves "
           "of the documents\n",
           lens->n_documents, lens->n_tokens);
    for (size_t i = 0; i < lens->asked->n; i++) {
        const gm_lens_expert *x = &lens->expert[i];
        if (i == 0 || x[-1].l != x->l)
            printf("\nlayer %d: what the strongest expert adds alone, and all %d: cosine %.3f\n"
                   "expert     tokens      norm  largest element   halves, tokens   nearest\n",
                   layer_of(lens, x), info->n_chosen, gm_lens_alone(lens, x->l));
        GM_TRY(print_expert(lens, x, err));
    }
out:
    return status;
}

/* ---- the array ---- */

gm_status gm_lens_write_vectors(FILE *to, const gm_lens *lens, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_model_info *info = gm_model_get_info(lens->model);
    const size_t D = (size_t)info->width;
    const uint64_t dim[] = {(uint64_t)info->n_moe_layers, (uint64_t)info->n_experts, D};
    gm_text front = {0};
    double *c = gm_alloc(D, sizeof *c);
    float *row = gm_alloc(D, sizeof *row);
    if (!c || !row) GM_FAIL(GM_EMEM, "no memory for a vector of %zu numbers", D);
    GM_TRY(gm_npy_put_front(&front, "<f4", dim, 3, err));
    fwrite(front.at, 1, front.n, to);
    for (int l = 0; l < info->n_moe_layers; l++)
        for (int e = 0; e < info->n_experts; e++) {
            gm_lens_mean(lens, l, e, c);
            for (size_t i = 0; i < D; i++) row[i] = (float)c[i];
            fwrite(row, sizeof *row, D, to);
        }
out:
    gm_text_clear(&front);
    gm_free(c);
    gm_free(row);
    return status;
}
