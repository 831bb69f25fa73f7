/* loss.c - see loss.h. */
#include "probe/loss.h"

#include "text/terminal.h"

#include <gsl/gsl_cdf.h>

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

void gm_loss_add(gm_document_loss *loss, float a, float b)
{
    if (!isfinite(a) || !isfinite(b)) return;
    loss->n++;
    loss->a += (double)a;
    loss->b += (double)b;
}

gm_loss gm_loss_of(const gm_document_loss *loss, const gm_trace_samples *samples, int64_t subset)
{
    gm_loss of = {.a = NAN, .b = NAN, .change = NAN, .low = NAN, .high = NAN, .p = NAN};
    double a = 0, b = 0, squares = 0;
    for (size_t i = 0; i < samples->n; i++) {
        if (loss[i].n == 0 || (subset >= 0 && samples->subset[i] != subset)) continue;
        of.documents++;
        of.tokens += loss[i].n;
        a += loss[i].a;
        b += loss[i].b;
    }
    if (of.tokens == 0) return of;
    const double T = (double)of.tokens, N = (double)of.documents;
    of.a = a / T;
    of.b = b / T;
    of.change = (b - a) / T;
    if (of.documents < 2) return of;
    for (size_t i = 0; i < samples->n; i++) {
        if (loss[i].n == 0 || (subset >= 0 && samples->subset[i] != subset)) continue;
        double off = loss[i].b - loss[i].a - of.change * (double)loss[i].n;
        squares += off * off;
    }
    const double error = sqrt(N / (N - 1) * squares) / T;
    const double half = gsl_cdf_tdist_Pinv(0.975, N - 1) * error;
    of.low = of.change - half;
    of.high = of.change + half;
    of.p = of.change == 0 ? 1 : 2 * gsl_cdf_tdist_Q(fabs(of.change) / error, N - 1);
    return of;
}

static void put(const gm_loss *loss, gm_json_out *out)
{
    gm_json_put_u64(out, "documents", loss->documents);
    gm_json_put_u64(out, "tokens", loss->tokens);
    gm_json_put_f64(out, "nll", loss->a);
    gm_json_put_f64(out, "nll_against", loss->b);
    gm_json_put_f64(out, "change", loss->change);
    gm_json_put_f64(out, "change_low", loss->low);
    gm_json_put_f64(out, "change_high", loss->high);
    gm_json_put_f64(out, "p", loss->p);
}

void gm_loss_put(const gm_document_loss *loss, const gm_trace_samples *samples, gm_json_out *out)
{
    if (loss == NULL) {
        gm_json_put_null(out, "loss");
        return;
    }
    gm_loss all = gm_loss_of(loss, samples, -1);
    gm_json_open_object(out, "loss");
    put(&all, out);
    gm_json_open_array(out, "subsets");
    for (size_t s = 0; s < samples->n_subsets; s++) {
        gm_loss of = gm_loss_of(loss, samples, (int64_t)s);
        if (of.documents == 0) continue;
        gm_json_open_object(out, NULL);
        gm_json_put_string(out, "subset", samples->subset_name[s]);
        put(&of, out);
        gm_json_close_object(out);
    }
    gm_json_close_array(out);
    gm_json_close_object(out);
}

static void print(const gm_loss *loss)
{
    if (loss->tokens == 0) {
        printf(" %9d %9d %7s %7s  %s\n", 0, 0, "-", "-", "-");
        return;
    }
    printf(" %9" PRIu64 " %9" PRIu64 " %7.4f %7.4f  %+.4f", loss->documents, loss->tokens, loss->a,
           loss->b, loss->change);
    if (loss->documents > 1) printf(" (%+.4f to %+.4f)", loss->low, loss->high);
    printf("\n");
}

void gm_loss_print(const gm_document_loss *loss, const gm_trace_samples *samples)
{
    if (loss == NULL) return;
    printf("\nloss, nats a token       documents    tokens   first  second  change (95 %% over "
           "documents)\n");
    for (size_t s = 0; s < samples->n_subsets; s++) {
        gm_loss of = gm_loss_of(loss, samples, (int64_t)s);
        if (of.documents == 0) continue;
        gm_print_column(stdout, 24, samples->subset_name[s]);
        print(&of);
    }
    gm_loss all = gm_loss_of(loss, samples, -1);
    printf("%-24s", "all");
    print(&all);
}
