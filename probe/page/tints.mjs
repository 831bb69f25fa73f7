// tints.mjs - a class for every token, which reading.css turns into a colour.
//
// Eight colours (c0 to c7) are all that readers tell apart, colour-blind ones too; so the experts
// that are strongest for most tokens shown get one each, the next eight the same underlined (m1),
// the next eight dotted (m2), and so on from the beginning.
import {gateOf, strongestOf} from "./choices.mjs";

export const COLOURS = 8, MARKS = 3, SHADES = 9;

/** The place (E) of each expert of the m-th layer by how many tokens it is strongest for; ties by number. */
export function places(r, m) {
    const count = new Uint32Array(r.E), place = new Uint16Array(r.E);
    for (let t = 0; t < r.T; t++) {
        const e = strongestOf(r, m, t);
        if (e >= 0) count[e]++;
    }
    const order = Array.from(count, (_, e) => e).sort((a, b) => count[b] - count[a] || a - b);
    order.forEach((e, at) => { place[e] = at; });
    return place;
}

export function classOfPlace(place) {
    const mark = Math.floor(place / COLOURS) % MARKS;
    return mark ? `c${place % COLOURS} m${mark}` : `c${place % COLOURS}`;
}

/** The classes (T) by strongest expert; "bad" where the router failed. */
export function byStrongest(r, m) {
    const place = places(r, m), classes = new Array(r.T);
    for (let t = 0; t < r.T; t++) {
        const e = strongestOf(r, m, t);
        classes[t] = e < 0 ? "bad" : classOfPlace(place[e]);
    }
    return classes;
}

/** The classes (T) by the gate of one expert, "" where it was not chosen, and the gate of the darkest. */
export function byGate(r, m, e) {
    const gates = new Float32Array(r.T), classes = new Array(r.T);
    let most = 0;
    for (let t = 0; t < r.T; t++) {
        gates[t] = gateOf(r, m, t, e);
        if (gates[t] > most) most = gates[t];
    }
    for (let t = 0; t < r.T; t++) {
        if (strongestOf(r, m, t) < 0) classes[t] = "bad";
        else classes[t] = gates[t] > 0 ? `g${Math.max(1, Math.ceil(SHADES * gates[t] / most))}` : "";
    }
    return {classes, most};
}
