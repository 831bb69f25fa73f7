/* layout_lanes_body.h - the step of the lanes, included by layout_lanes.c once for each instruction
 * set. Before: NAME(x), TARGET, and GATHER(base, at), GATHER_I: base[at] lane by lane. They do not
 * go by way of memory: a vector loaded from where its lanes have just been stored waits until they
 * are there, and with it everything that could be done meanwhile.
 */

/* The compiler wants the same target of a caller and what it inlines. */
#define all    NAME(all)
#define choose NAME(choose)
#define power  NAME(power)
#define clip   NAME(clip)

TARGET INLINE v16 all(float x)
{
    return (v16){0} + x;
}

/* yes where the mask is all ones, no where it is zero */
TARGET INLINE v16 choose(v16i mask, v16 yes, v16 no)
{
    return (v16)((mask & (v16i)yes) | (~mask & (v16i)no));
}

/* gm_powf of elementary.h, lane by lane the same bits. */
TARGET INLINE v16 power(v16 x, v16 y)
{
    v16i n = (v16i)((v16u)x - 0x3f3504f3u) >> 23;
    v16 m = (v16)((v16u)x - ((v16u)n << 23));
    v16 t = (m - 1.0f) / (m + 1.0f), t2 = t * t;
    v16 series = ((0.41219859f * t2 + 0.57707802f) * t2 + 0.96179669f) * t2 + 2.8853901f;
    v16 e = y * (__builtin_convertvector(n, v16) + t * series);

    e = choose(e < -125.0f, all(-125.0f), e);
    e = choose(e > 126.0f, all(126.0f), e);
    n = __builtin_convertvector(e + choose(e < 0.0f, all(-0.5f), all(0.5f)), v16i);
    v16 r = e - __builtin_convertvector(n, v16), sum = all(1.5403530e-4f);
    sum = sum * r + 1.3333558e-3f;
    sum = sum * r + 9.6181291e-3f;
    sum = sum * r + 5.5504109e-2f;
    sum = sum * r + 2.4022651e-1f;
    sum = sum * r + 6.9314718e-1f;
    sum = sum * r + 1.0f;
    return sum * (v16)((v16u)(n + 127) << 23);
}

TARGET INLINE v16 clip(v16 v)
{
    v = choose(v > 4.0f, all(4.0f), v);
    return choose(v < -4.0f, all(-4.0f), v);
}

/* densMAP's pull at squared distance d2, as gm_density_pull. */
TARGET INLINE v16 NAME(densely)(const vector *p, const field *f, v16i other, v16 d2, v16 d2b)
{
    v16i share = 2 * other;
    v16 over = f->a * d2b, phi = 1.0f / (1.0f + over);
    v16 first = p->term[0] + GATHER(f->term, share);
    v16 second = p->term[1] + GATHER(f->term + 1, share);
    v16 both = (1.0f - f->b * (1.0f - phi)) * second + f->b * over / d2 * phi * first;
    return f->scale * phi * GATHER(f->inverse, p->next) * both;
}

/* Sixteen lanes one step on. `dim` and `dense` are constants where it is called. The first two
 * dimensions are written out: where there are no more, all stay in registers. */
TARGET INLINE void NAME(vector)(vector *p, const field *f, const int dim, const bool dense)
{
    const float together = 1e-30f; /* closer than this neither pulls nor pushes */
    v16i now = GATHER_I(f->step, p->next), other = now >> 1, pushed = -(now & 1);
    v16i more = p->left > 0, place = other * dim;
    v16 d[GM_MAX_LAYOUT_DIM];
    d[0] = p->at[0] - GATHER(f->at, place), d[1] = p->at[1] - GATHER(f->at + 1, place);
    v16 d2 = d[0] * d[0] + d[1] * d[1];
    for (int c = 2; c < dim; c++) {
        d[c] = p->at[c] - GATHER(f->at + c, place);
        d2 += d[c] * d[c];
    }
    v16i moves = (d2 > together) & more;
    d2 = choose(moves, d2, all(1.0f));
    v16 d2b = power(d2, f->b);
    v16 over = choose(pushed, f->push, f->pull * d2b);
    v16 under = choose(pushed, 0.001f + d2, d2);
    v16 by = choose(moves, over / (under * (f->a * d2b + 1.0f)), all(0.0f));
    v16 also = all(0.0f);
    if (dense) also = choose(moves & ~pushed, NAME(densely)(p, f, other, d2, d2b), also);
    p->at[0] += f->alpha * (dense ? clip(by * d[0]) + clip(also * d[0]) : clip(by * d[0]));
    p->at[1] += f->alpha * (dense ? clip(by * d[1]) + clip(also * d[1]) : clip(by * d[1]));
    for (int c = 2; c < dim; c++)
        p->at[c] += f->alpha * (dense ? clip(by * d[c]) + clip(also * d[c]) : clip(by * d[c]));
    p->next -= more; /* true is -1 */
    p->left += more;
}

/* Vector number v of the lanes into registers, and back. */
TARGET INLINE void NAME(take)(vector *p, const gm_lanes *lanes, int v, const int dim)
{
    memcpy(&p->at[0], lanes->at[0] + v * WIDE, sizeof p->at[0]);
    memcpy(&p->at[1], lanes->at[1] + v * WIDE, sizeof p->at[1]);
    for (int c = 2; c < dim; c++) memcpy(&p->at[c], lanes->at[c] + v * WIDE, sizeof p->at[c]);
    for (int c = 0; c < 2; c++) memcpy(&p->term[c], lanes->term[c] + v * WIDE, sizeof p->term[c]);
    memcpy(&p->next, lanes->next + v * WIDE, sizeof p->next);
    memcpy(&p->left, lanes->left + v * WIDE, sizeof p->left);
}

TARGET INLINE void NAME(put)(gm_lanes *lanes, const vector *p, int v, const int dim)
{
    memcpy(lanes->at[0] + v * WIDE, &p->at[0], sizeof p->at[0]);
    memcpy(lanes->at[1] + v * WIDE, &p->at[1], sizeof p->at[1]);
    for (int c = 2; c < dim; c++) memcpy(lanes->at[c] + v * WIDE, &p->at[c], sizeof p->at[c]);
    memcpy(lanes->next + v * WIDE, &p->next, sizeof p->next);
    memcpy(lanes->left + v * WIDE, &p->left, sizeof p->left);
}

TARGET INLINE void NAME(go)(gm_lanes *lanes, int count, const field *f, const int dim,
                            const bool dense)
{
    vector p[VECTORS];
    int busy[VECTORS], n_busy = 0;
    for (int v = 0; v < VECTORS; v++) {
        int32_t some = 0;
        NAME(take)(&p[v], lanes, v, dim);
        for (int l = 0; l < WIDE; l++) some |= lanes->left[v * WIDE + l];
        busy[n_busy] = v;
        n_busy += some != 0;
    }
    /* A step waits for the one before it; meanwhile the other vectors take theirs. */
    for (int t = 0; t < count; t++)
        for (int b = 0; b < n_busy; b++) NAME(vector)(&p[busy[b]], f, dim, dense);
    for (int v = 0; v < VECTORS; v++) NAME(put)(lanes, &p[v], v, dim);
}

TARGET static void NAME(lanes)(gm_lanes *lanes, int count, const gm_layout_step *step,
                               const float *inverse, const float *at, int dim,
                               const gm_forces *forces)
{
    const field f = {.a = all(forces->a),
                     .b = all(forces->b),
                     .alpha = all(forces->alpha),
                     .pull = all(-2.0f * forces->a * forces->b),
                     .push = all(2.0f * forces->repulsion * forces->b),
                     .step = step,
                     .inverse = inverse,
                     .term = forces->term,
                     .at = at,
                     .scale = all(forces->scale)};
    if (dim == 2 && inverse == NULL)
        NAME(go)(lanes, count, &f, 2, false);
    else if (inverse == NULL)
        NAME(go)(lanes, count, &f, dim, false);
    else
        NAME(go)(lanes, count, &f, dim, true);
}

#undef all
#undef choose
#undef power
#undef clip
#undef NAME
#undef TARGET
#undef GATHER
#undef GATHER_I
