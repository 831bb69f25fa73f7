/* rope.c - see rope.h. */
#include "engine/rope.h"

#include "engine/arch_keys.h"
#include "engine/families.h"

#include <math.h>
#include <string.h>

static const char part_key[] = "partial_rotary_factor";
static const char *const plain_keys[] = {"type", "rope_type", "rope_theta", NULL};
static const char *const partial_keys[] = {"type", "rope_type", "rope_theta", part_key, NULL};
/* Positions of images have three parts, by which pairs turn in turn; those of text are the same. */
static const char *const grid_keys[] = {
    "type", "rope_type", "rope_theta", part_key, "mrope_section", "mrope_interleaved", NULL};

#define YARN_KEYS                                                                                 \
    "type", "rope_type", "rope_theta", "factor", "original_max_position_embeddings", "beta_fast", \
        "attention_factor", "beta_slow", "truncate"
#define DEEPSEEK_YARN_KEYS YARN_KEYS, "mscale", "mscale_all_dim"

static const char *const yarn_keys[] = {YARN_KEYS, NULL};
static const char *const deepseek_yarn_keys[] = {DEEPSEEK_YARN_KEYS, NULL};
/* The last three are read by the family, or say again what it reads. */
static const char *const growing_yarn_keys[] = {DEEPSEEK_YARN_KEYS, "llama_4_scaling_beta",
                                                "max_position_embeddings", part_key, NULL};

static const char *const llama_keys[] = {
    "type",   "rope_type",       "rope_theta",       "original_max_position_embeddings",
    "factor", "low_freq_factor", "high_freq_factor", NULL,
};

/* What stands beside alpha is idle. */
static const char *const ntk_keys[] = {
    "type",      "rope_type", "rope_theta", "alpha",          "factor",
    "beta_fast", "beta_slow", "mscale",     "mscale_all_dim", NULL,
};

static const char *const long_keys[] = {
    "type",         "rope_type",   "rope_theta",  "original_max_position_embeddings",
    "short_factor", "long_factor", "long_mscale", "short_mscale",
    NULL,
};

/* Amplitude and attention's factor, the plain form where neither mscale is there (0: absent). With
 * one of them DeepSeek's own code takes the other's default, transformers the plain amplitude. */
static gm_status read_mscale(gm_rope *rope, double *amplitude, const gm_json *part,
                             const char *where, gm_error *err)
{
    gm_status status = GM_OK;
    const double log_factor = 0.1 * log(rope->factor);
    double mscale, all;
    GM_TRY(gm_json_get_f64_or(part, "mscale", 0, 1e3, 0, &mscale, where, err));
    GM_TRY(gm_json_get_f64_or(part, "mscale_all_dim", 0, 1e3, 0, &all, where, err));
    if ((mscale > 0.0) != (all > 0.0))
        GM_FAIL(GM_EFORMAT,
                "'%s': 'mscale' is %g and 'mscale_all_dim' is %g, expected both or neither: "
                "DeepSeek's code and transformers disagree on what one alone means",
                where, mscale, all);
    if (!(mscale > 0.0)) goto out;
    *amplitude = (mscale * log_factor + 1.0) / (all * log_factor + 1.0);
    rope->attention = (all * log_factor + 1.0) * (all * log_factor + 1.0);
out:
    return status;
}

static gm_status read_yarn(gm_rope *rope, bool deepseek, const gm_json *part, const char *where,
                           gm_error *err)
{
    gm_status status = GM_OK;
    double amplitude;
    rope->yarn = true;
    GM_TRY(gm_json_get_f64(part, "factor", 1, 1e6, &rope->factor, where, err));
    GM_TRY(gm_json_get_f64(part, "original_max_position_embeddings", 1, 1e9, &rope->first_context,
                           where, err));
    GM_TRY(gm_json_get_f64_or(part, "beta_fast", 1e-6, 1e6, 32, &rope->beta_fast, where, err));
    GM_TRY(gm_json_get_f64_or(part, "beta_slow", 1e-6, 1e6, 1, &rope->beta_slow, where, err));
    GM_TRY(gm_json_get_bool_or(part, "truncate", true, &rope->whole, where, err));
    amplitude = 0.1 * log(rope->factor) + 1.0;
    if (deepseek) GM_TRY(read_mscale(rope, &amplitude, part, where, err));
    GM_TRY(gm_json_get_f64_or(part, "attention_factor", 1e-6, 1e6, amplitude, &rope->amplitude,
                              where, err));
out:
    return status;
}

/* Llama 3's; its two factors are turns. */
static gm_status read_turns(gm_rope *rope, const gm_json *part, const char *where, gm_error *err)
{
    static const char low[] = "low_freq_factor", high[] = "high_freq_factor";
    gm_status status = GM_OK;
    rope->turns = true;
    GM_TRY(gm_json_get_f64(part, "factor", 1, 1e6, &rope->factor, where, err));
    GM_TRY(gm_json_get_f64(part, "original_max_position_embeddings", 1, 1e9, &rope->first_context,
                           where, err));
    GM_TRY(gm_json_get_f64(part, low, 1e-6, 1e6, &rope->beta_slow, where, err));
    GM_TRY(gm_json_get_f64(part, high, 1e-6, 1e6, &rope->beta_fast, where, err));
    if (rope->beta_fast < rope->beta_slow)
        GM_FAIL(GM_EFORMAT, "'%s': '%s' is %g, expected at least '%s', %g", where, high,
                rope->beta_fast, low, rope->beta_slow);
out:
    return status;
}

/* LongRoPE for heads of which `dim` elements turn. */
static gm_status read_long(gm_rope *rope, size_t dim, const gm_json *part, const char *where,
                           gm_error *err)
{
    static const char key[] = "short_factor";
    gm_status status = GM_OK;
    const gm_json *list = gm_json_find(part, key);
    size_t n = 0;
    GM_TRY(gm_json_get_f64(part, "original_max_position_embeddings", 1, 1e9, &rope->first_context,
                           where, err));
    GM_TRY(gm_json_get_f64(part, "short_mscale", 1e-6, 1e6, &rope->amplitude, where, err));
    if (list == NULL || gm_json_kind_of(list) != GM_JSON_ARRAY || gm_json_n_items(list) != dim / 2)
        GM_FAIL(GM_EFORMAT, "'%s': '%s' is not a list of %zu numbers, one for each pair of a head",
                where, key, dim / 2);
    rope->divisor = gm_alloc(dim / 2, sizeof *rope->divisor);
    if (rope->divisor == NULL) GM_FAIL(GM_EMEM, "no memory for the angles of '%s'", where);
    for (const gm_json *v = gm_json_first(list); v; v = gm_json_next(v), n++)
        if (!gm_json_f64(v, &rope->divisor[n]) ||
            !(rope->divisor[n] > 0.0 && rope->divisor[n] <= 1e9))
            GM_FAIL(GM_EFORMAT, "'%s': '%s' contains a value that is not a positive number", where,
                    key);
out:
    return status;
}

void gm_rope_clear(gm_rope *rope)
{
    gm_free(rope->divisor);
    rope->divisor = NULL;
}

static bool divides_same(const gm_rope *a, const gm_rope *b, size_t dim)
{
    if (a->divisor == NULL || b->divisor == NULL) return a->divisor == b->divisor;
    return memcmp(a->divisor, b->divisor, dim / 2 * sizeof *a->divisor) == 0;
}

static bool is_same(const gm_rope *a, const gm_rope *b, size_t dim)
{
    return divides_same(a, b, dim) && a->yarn == b->yarn && a->turns == b->turns &&
           a->whole == b->whole && a->factor == b->factor && a->first_context == b->first_context &&
           a->beta_fast == b->beta_fast && a->beta_slow == b->beta_slow &&
           a->amplitude == b->amplitude && a->alpha == b->alpha && a->attention == b->attention;
}

gm_status gm_rope_set_dim(gm_rope *rope, double dim, size_t head_dim, const char *key,
                          const char *where, gm_error *err)
{
    if (!(dim >= 2.0 && dim <= (double)head_dim && fmod(dim, 2.0) == 0.0))
        return gm_fail(err, GM_EFORMAT,
                       "'%s': '%s' rotates %g of a head's %zu elements, expected an even number",
                       where, key, dim, head_dim);
    rope->dim = (size_t)dim;
    return GM_OK;
}

static gm_status set_part(gm_rope *rope, double part, size_t head_dim, const char *where,
                          gm_error *err)
{
    return gm_rope_set_dim(rope, floor((double)head_dim * part), head_dim, part_key, where, err);
}

/* The part of a head that turns: what `holder` says, or else the config, or else the family. */
static gm_status read_part(gm_rope *rope, const gm_json *config, const gm_json *holder,
                           const gm_family *family, size_t head_dim, const char *where,
                           gm_error *err)
{
    gm_status status = GM_OK;
    double outer, part;
    rope->dim = head_dim;
    if (!(family->rotary_part > 0.0)) goto out;
    GM_TRY(gm_json_get_f64_or(config, part_key, 0, 1, family->rotary_part, &outer, where, err));
    GM_TRY(gm_json_get_f64_or(holder, part_key, 0, 1, outer, &part, where, err));
    GM_TRY(set_part(rope, part, head_dim, where, err));
out:
    return status;
}

/* How a family may have angles besides plain ones, as configs name it; "" when it may not. */
static const char *form_of(const gm_family *family)
{
    return family->yarn      ? "yarn"
           : family->turns   ? "llama3"
           : family->divided ? "longrope"
           : family->ntk     ? "dynamic"
                             : "";
}

/* The keys that an object of that form, or of plain angles, may have. */
static const char *const *keys_of(const gm_family *family, bool plain)
{
    if (plain)
        return family->grid ? grid_keys : family->rotary_part > 0.0 ? partial_keys : plain_keys;
    if (family->yarn)
        return family->grows ? growing_yarn_keys : family->latent ? deepseek_yarn_keys : yarn_keys;
    return family->turns ? llama_keys : family->divided ? long_keys : ntk_keys;
}

/* What a member called `name` says: plain, or in the form that the family may have. */
static gm_status read_angles(gm_rope *rope, const gm_json *part, const char *name,
                             const gm_family *family, size_t head_dim, const char *where,
                             gm_error *err)
{
    gm_status status = GM_OK;
    const char *type, *old_type, *form = form_of(family);
    *rope = (gm_rope){.amplitude = 1.0, .attention = 1.0, .alpha = 1.0};
    if (gm_json_kind_of(part) != GM_JSON_OBJECT)
        GM_FAIL(GM_EFORMAT, "'%s': '%s' is not an object", where, name);
    GM_TRY(gm_json_get_text_or(part, "type", "default", &old_type, where, err));
    GM_TRY(gm_json_get_text_or(part, "rope_type", old_type, &type, where, err));
    if (family->yarn && family->latent && strcmp(type, "deepseek_yarn") == 0) type = form;
    const bool plain = strcmp(type, "default") == 0;
    if (!plain && (*form == '\0' || strcmp(type, form) != 0))
        GM_FAIL(GM_EFORMAT, "'%s': '%s' has type '%s', but only 'default'%s%s%s is supported",
                where, name, type, *form ? " or '" : "", form, *form ? "'" : "");
    GM_TRY(gm_config_check_part(part, name, keys_of(family, plain), where, err));
    if (plain) goto out;
    if (family->yarn) GM_TRY(read_yarn(rope, family->latent, part, where, err));
    if (family->turns) GM_TRY(read_turns(rope, part, where, err));
    if (family->divided) GM_TRY(read_long(rope, head_dim, part, where, err));
    if (family->ntk) GM_TRY(gm_json_get_f64(part, "alpha", 1, 1e6, &rope->alpha, where, err));
out:
    return status;
}

gm_status gm_rope_read(gm_rope *out, const gm_json *config, const gm_family *family,
                       size_t head_dim, const char *where, gm_error *err)
{
    static const char *const names[] = {"rope_scaling", "rope_parameters"};
    gm_status status = GM_OK;
    const gm_json *holder = config; /* newer files keep theta inside "rope_parameters" */
    const gm_json *last = config;
    int n_parts = 0;
    gm_rope rope = {0};
    *out = (gm_rope){.amplitude = 1.0, .attention = 1.0, .alpha = 1.0};

    for (int i = 0; i < 2; i++) {
        const gm_json *part = gm_json_find(config, names[i]);
        if (part == NULL || gm_json_kind_of(part) == GM_JSON_NULL) continue;
        GM_TRY(read_angles(&rope, part, names[i], family, head_dim, where, err));
        if (n_parts++ > 0 && !is_same(&rope, out, head_dim))
            GM_FAIL(GM_EFORMAT, "'%s': '%s' and '%s' disagree", where, names[0], names[1]);
        gm_rope_clear(out);
        *out = rope;
        rope.divisor = NULL; /* *out's */
        last = part;
        const gm_json *theta = gm_json_find(part, "rope_theta");
        if (theta && gm_json_kind_of(theta) != GM_JSON_NULL) holder = part;
    }
    GM_TRY(gm_json_get_f64_or(holder, "rope_theta", 1, 1e12, family->rope_theta, &out->theta, where,
                              err));
    GM_TRY(read_part(out, config, last, family, head_dim, where, err));
    if (out->alpha > 1.0 && out->dim <= 2)
        GM_FAIL(GM_EFORMAT, "'%s': an 'alpha' of %g needs heads wider than %zu", where, out->alpha,
                out->dim);
    if (out->alpha > 1.0)
        out->theta *= pow(out->alpha, (double)out->dim / ((double)out->dim - 2.0));
out:
    gm_rope_clear(&rope);
    if (status != GM_OK) gm_rope_clear(out);
    return status;
}

gm_status gm_rope_read_type(gm_rope *out, const gm_json *config, const gm_family *family,
                            const char *type, const gm_rope *otherwise, size_t head_dim,
                            const char *where, gm_error *err)
{
    static const char parameters[] = "rope_parameters";
    gm_status status = GM_OK;
    const gm_json *all = gm_json_find(config, parameters);
    const gm_json *part = all ? gm_json_find(all, type) : NULL;
    const bool divided = family->rotary_part > 0.0; /* a part of the head has all the angles */
    const char *form;
    double turning = 1.0;
    *out = *otherwise;
    out->dim = head_dim;
    if (divided)
        GM_TRY(
            gm_json_get_f64_or(config, part_key, 0, 1, family->rotary_part, &turning, where, err));
    if (all == NULL || gm_json_kind_of(all) == GM_JSON_NULL) {
        if (divided) status = set_part(out, turning, head_dim, where, err);
        goto out;
    }
    if (part == NULL || gm_json_kind_of(part) != GM_JSON_OBJECT)
        GM_FAIL(GM_EFORMAT, "'%s': '%s' has no object '%s'", where, parameters, type);
    GM_TRY(gm_json_get_text(part, "rope_type", &form, where, err));
    const bool yarn = family->yarn && strcmp(form, "yarn") == 0;
    const bool partial = !family->yarn && !divided && strcmp(form, "proportional") == 0;
    if (!yarn && !partial && strcmp(form, "default") != 0)
        GM_FAIL(GM_EFORMAT, "'%s': '%s' has type '%s', but only 'default'%s is supported", where,
                type, form,
                family->yarn ? " or 'yarn'"
                : divided    ? ""
                             : " or 'proportional'");
    GM_TRY(gm_config_check_part(part, type,
                                yarn                 ? yarn_keys
                                : partial || divided ? partial_keys
                                                     : plain_keys,
                                where, err));
    if (yarn) GM_TRY(read_yarn(out, false, part, where, err));
    GM_TRY(gm_json_get_f64(part, "rope_theta", 1, 1e12, &out->theta, where, err));
    GM_TRY(gm_json_get_f64_or(part, part_key, 0, 1, turning, &turning, where, err));
    if (divided) GM_TRY(set_part(out, turning, head_dim, where, err));
    out->turning = partial ? (size_t)(0.5 * turning * (double)head_dim) : 0;
    if (partial && out->turning == 0)
        GM_FAIL(GM_EFORMAT,
                "'%s': '%s' of '%s' is %g, which turns no pair of a head's %zu elements", where,
                part_key, type, turning, head_dim);
out:
    return status;
}

static const double TWO_PI = 6.283185307179586;

/* The pair, a fraction, that turns so many times over the first context. */
static double pair_that_turns(const gm_rope *rope, double dim, double turns)
{
    return dim * log(rope->first_context / (turns * TWO_PI)) / (2.0 * log(rope->theta));
}

/* How much of a pair's step Llama 3's form keeps whole: 0 to 1. */
static double share_of_turns(const gm_rope *rope, double step)
{
    const double turns = rope->first_context * step / TWO_PI;
    if (turns < rope->beta_slow) return 0.0;
    if (turns >= rope->beta_fast) return 1.0; /* so also where the two are equal */
    return (turns - rope->beta_slow) / (rope->beta_fast - rope->beta_slow);
}

double gm_rope_step(const gm_rope *rope, size_t i)
{
    const double dim = (double)rope->dim, plain = pow(rope->theta, -2.0 * (double)i / dim);
    if (rope->turning > 0 && i >= rope->turning) return 0.0;
    if (rope->divisor) return plain / rope->divisor[i];
    if (rope->turns) {
        const double keep = share_of_turns(rope, plain);
        return plain * keep + plain / rope->factor * (1.0 - keep);
    }
    if (!rope->yarn) return plain;
    double low = pair_that_turns(rope, dim, rope->beta_fast);
    double high = pair_that_turns(rope, dim, rope->beta_slow);
    if (rope->whole) low = floor(low), high = ceil(high);
    low = fmax(low, 0.0);
    high = fmin(high, dim - 1.0);
    if (low == high) high += 0.001;
    const double slow = fmin(fmax(((double)i - low) / (high - low), 0.0), 1.0);
    return plain * (1.0 - slow) + plain / rope->factor * slow;
}

void gm_rope_fill(const gm_rope *rope, size_t n, size_t stride, float *cosine, float *sine)
{
    for (size_t i = 0; i < rope->dim / 2; i++) {
        const double step = gm_rope_step(rope, i);
        for (size_t p = 0; p < n; p++) {
            const double angle = (double)p * step;
            cosine[p * stride + i] = (float)(rope->amplitude * cos(angle));
            sine[p * stride + i] = (float)(rope->amplitude * sin(angle));
        }
    }
}
