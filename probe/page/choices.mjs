// choices.mjs - what the page's elements of data hold (probe/reading_page.h), as arrays.
//
// Sizes: T tokens of all texts, M layers, E experts, K chosen for a token.
import {unpack} from "../../figures/page/unpack.mjs";

const NO_EXPERT = 0xffff;
export const TEMPLATE = 2; // a phase: added by the tokenizer or a chat template, and not counted
export const PHASES = ["prompt", "generated", "template"];

/** The number whose IEEE half has these bits. */
export function ofHalf(bits) {
    const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    if (exponent === 0) return sign * fraction * 2 ** -24;
    return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

export async function loadReading() {
    const meta = JSON.parse(document.getElementById("meta").textContent);
    const names = ["token", "pos", "phase", "nll", "expert", "gate", "margin", "corpus"];
    const blocks = await Promise.all(names.map(unpack));
    const at = Object.fromEntries(names.map((name, i) => [name, blocks[i]]));
    return {
        meta, T: at.phase.length, M: meta.layers.length, E: meta.experts, K: meta.chosen,
        token: new Uint32Array(at.token.buffer), pos: new Uint32Array(at.pos.buffer), phase: at.phase,
        nll: new Float32Array(at.nll.buffer), corpus: new Float32Array(at.corpus.buffer),
        expert: new Uint16Array(at.expert.buffer), gate: new Uint16Array(at.gate.buffer),
        margin: new Uint16Array(at.margin.buffer),
    };
}

/** The i-th gate; 1 in a trace without gates. */
function gateAt(r, i) {
    return r.gate.length > 0 ? ofHalf(r.gate[i]) : 1;
}

/** The experts of token t in the m-th layer, strongest first: [{e, gate}]; none where the router failed. */
export function choicesOf(r, m, t) {
    const from = (m * r.T + t) * r.K, found = [];
    for (let i = from; i < from + r.K; i++)
        if (r.expert[i] !== NO_EXPERT) found.push({e: r.expert[i], gate: gateAt(r, i)});
    return found;
}

/** The strongest expert, or -1. */
export function strongestOf(r, m, t) {
    const e = r.expert[(m * r.T + t) * r.K];
    return e === NO_EXPERT ? -1 : e;
}

/** The gate of expert e, 0 where it was not chosen. */
export function gateOf(r, m, t, e) {
    const from = (m * r.T + t) * r.K;
    for (let i = from; i < from + r.K; i++) if (r.expert[i] === e) return gateAt(r, i);
    return 0;
}

/** NaN in a trace without margins. */
export function marginOf(r, m, t) {
    return r.margin.length > 0 ? ofHalf(r.margin[m * r.T + t]) : NaN;
}

/** Share of the tokens first .. first+n-1 that chose each expert (E); template tokens and bad rows aside. */
export function usageOf(r, m, first, n) {
    const share = new Float64Array(r.E);
    let tokens = 0;
    for (let t = first; t < first + n; t++) {
        if (r.phase[t] === TEMPLATE || strongestOf(r, m, t) < 0) continue;
        tokens++;
        for (const {e} of choicesOf(r, m, t)) share[e]++;
    }
    return share.map((count) => (tokens > 0 ? count / tokens : 0));
}

export function corpusOf(r, m, e) {
    return r.corpus[m * r.E + e];
}

/** Experts that a text uses more than the corpus does, by the difference: [{e, share, corpus}], `most` at most. */
export function raisedIn(r, m, share, most) {
    const found = Array.from(share, (s, e) => ({e, share: s, corpus: corpusOf(r, m, e)}));
    return found.filter((x) => x.share > x.corpus)
        .sort((a, b) => b.share - b.corpus - (a.share - a.corpus) || a.e - b.e).slice(0, most);
}

/** The layer in which the texts differ most from the corpus: where a page begins that was asked for no expert. */
export function tellingLayer(r) {
    let best = 0, most = -1;
    for (let m = 0; m < r.M; m++) {
        let sum = 0;
        for (const p of r.meta.passages)
            usageOf(r, m, p.first, p.tokens).forEach((s, e) => { sum += Math.abs(s - corpusOf(r, m, e)); });
        if (sum > most) [best, most] = [m, sum];
    }
    return best;
}

/** "layer:expert" with the model's number of the layer. */
export function nameOf(r, m, e) {
    return `${r.meta.layers[m]}:${e}`;
}

/** How a token is spelt, null when the page does not know. */
export function spellingOf(r, t) {
    const {ids, spellings} = r.meta, id = r.token[t];
    if (spellings === null) return null;
    let lo = 0, hi = ids.length - 1;
    while (lo < hi) {
        const middle = (lo + hi) >> 1;
        if (ids[middle] < id) lo = middle + 1;
        else hi = middle;
    }
    return ids[lo] === id && spellings[lo] !== "" ? spellings[lo] : null;
}
