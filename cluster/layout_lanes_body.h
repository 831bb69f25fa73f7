/* layout_lanes_body.h - the step of the lanes, included by layout_lanes.c once for each instruction
 * set. Before: NAME(x), TARGET, and GATHER(base, at), GATHER_I: base[at] lane by lane. They do not
 * go by way of memory: a vector loaded from where its lanes have just been stored waits until they
 * are there, and with it everything that could be done meanwhile.
 */

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
    vector p;
    memcpy(&p.x, lanes->x, sizeof p.x);
    memcpy(&p.y, lanes->y, sizeof p.y);
    memcpy(&p.next, lanes->next, sizeof p.next);
    memcpy(&p.left, lanes->left, sizeof p.left);
    for (int t = 0; t < count; t++) NAME(vector)(&p, step, flat, &f);
    memcpy(lanes->x, &p.x, sizeof p.x);
    memcpy(lanes->y, &p.y, sizeof p.y);
    memcpy(lanes->next, &p.next, sizeof p.next);
    memcpy(lanes->left, &p.left, sizeof p.left);
}

#undef NAME
#undef TARGET
#undef GATHER
#undef GATHER_I
