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

/* Sixteen lanes one step on. */
TARGET INLINE void NAME(vector)(vector *p, const gm_step *step, const float *at, const field *f)
{
    const float together = 1e-30f; /* closer than this neither pulls nor pushes */
    v16i now = GATHER_I(step, p->next), place = now & ~1, pushed = -(now & 1), more = p->left > 0;
    v16 x = GATHER(at, place), y = GATHER(at + 1, place);
    v16 dx = p->x - x, dy = p->y - y, d2 = dx * dx + dy * dy;
    v16i moves = (d2 > together) & more;
    d2 = choose(moves, d2, all(1.0f));
    v16 d2b = power(d2, f->b);
    v16 over = choose(pushed, f->push, f->pull * d2b);
    v16 under = choose(pushed, 0.001f + d2, d2);
    v16 by = choose(moves, over / (under * (f->a * d2b + 1.0f)), all(0.0f));
    p->x += f->alpha * clip(by * dx);
    p->y += f->alpha * clip(by * dy);
    p->next -= more; /* true is -1 */
    p->left += more;
}

TARGET static void NAME(lanes)(gm_lanes *lanes, int count, const gm_step *step, const gm_place *at,
                               const gm_forces *forces)
{
    const float *flat = &at[0].x;
    const field f = {all(forces->a), all(forces->b), all(forces->alpha),
                     all(-2.0f * forces->a * forces->b), all(2.0f * forces->repulsion * forces->b)};
    vector p[VECTORS];
    int busy[VECTORS], n_busy = 0;
    for (int v = 0; v < VECTORS; v++) {
        int32_t some = 0;
        memcpy(&p[v].x, lanes->x + v * WIDE, sizeof p[v].x);
        memcpy(&p[v].y, lanes->y + v * WIDE, sizeof p[v].y);
        memcpy(&p[v].next, lanes->next + v * WIDE, sizeof p[v].next);
        memcpy(&p[v].left, lanes->left + v * WIDE, sizeof p[v].left);
        for (int l = 0; l < WIDE; l++) some |= lanes->left[v * WIDE + l];
        busy[n_busy] = v;
        n_busy += some != 0;
    }
    /* A step waits for the one before it; meanwhile the other vectors take theirs. */
    for (int t = 0; t < count; t++)
        for (int b = 0; b < n_busy; b++) NAME(vector)(&p[busy[b]], step, flat, &f);
    for (int v = 0; v < VECTORS; v++) {
        memcpy(lanes->x + v * WIDE, &p[v].x, sizeof p[v].x);
        memcpy(lanes->y + v * WIDE, &p[v].y, sizeof p[v].y);
        memcpy(lanes->next + v * WIDE, &p[v].next, sizeof p[v].next);
        memcpy(lanes->left + v * WIDE, &p[v].left, sizeof p[v].left);
    }
}

#undef all
#undef choose
#undef power
#undef clip
#undef NAME
#undef TARGET
#undef GATHER
#undef GATHER_I
