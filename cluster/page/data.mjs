// data.mjs - what the page's elements of data hold (cluster/page_data.h), as arrays.
//
// Sizes: n documents, C clusters, D = layers * experts. Rows of C + 1 end with the corpus.
import {unpack} from "../../figures/page/unpack.mjs";

const NOWHERE = 0xffff; // as place: none; as cluster: none
const USAGE_LEVELS = 4096;
const SHARE_LEVELS = 16;

/** One text a line; the last line ends too. */
export function linesOf(bytes) {
    if (bytes.length === 0) return [];
    const lines = new TextDecoder().decode(bytes).split("\n");
    lines.pop();
    return lines;
}

/** Everything that the first picture needs. */
export async function loadAtlas() {
    const meta = JSON.parse(document.getElementById("meta").textContent);
    const names = ["xy", "cluster", "subset", "tokens", "outlier", "probability", "usage",
        "important", "spread", "shares", "script", "language"];
    const blocks = await Promise.all(names.map(unpack));
    const at = Object.fromEntries(names.map((name, i) => [name, blocks[i]]));
    const n = meta.documents;
    const places = new Uint16Array(at.xy.buffer);
    return {
        meta, n,
        x: places.subarray(0, n), y: places.subarray(n),
        cluster: new Uint16Array(at.cluster.buffer), subset: new Uint16Array(at.subset.buffer),
        tokens: new Uint32Array(at.tokens.buffer),
        outlier: at.outlier, probability: at.probability, script: at.script,
        language: at.language,
        usage: new Uint16Array(at.usage.buffer), important: at.important,
        spread: new Uint16Array(at.spread.buffer), shares: at.shares,
        ids: [], texts: [],
    };
}

/** Names and texts, which may come after the first picture. */
export async function loadTexts(atlas) {
    atlas.ids = linesOf(await unpack("ids"));
    atlas.texts = linesOf(await unpack("text"));
}

export function isPlaced(atlas, i) {
    return atlas.x[i] !== NOWHERE || atlas.y[i] !== NOWHERE;
}

/** Number of a document's cluster, or -1. */
export function clusterOf(atlas, i) {
    return atlas.cluster[i] === NOWHERE ? -1 : atlas.cluster[i];
}

function squareOfLevel(level, levels, most) {
    const root = level / (levels - 1);
    return most * root * root;
}

/** Usage of expert d in cluster c, 1: the uniform rate; c = C: in the corpus. */
export function usageOf(atlas, c, d) {
    const size = atlas.meta.layers * atlas.meta.experts;
    return squareOfLevel(atlas.usage[c * size + d], USAGE_LEVELS, atlas.meta.usageMost);
}

export function isImportant(atlas, c, d) {
    return atlas.important[c * atlas.meta.layers * atlas.meta.experts + d] !== 0;
}

/** Ways to look at a cluster's usage; `z` asks for the spread over documents. */
export const MODES = {
    raw: {title: "usage, x uniform", diverging: false},
    difference: {title: "difference from the corpus, x uniform", diverging: true},
    lift: {title: "lift over the corpus, log2", diverging: true},
    z: {title: "difference in standard deviations of documents", diverging: true},
};

export function hasMode(atlas, mode) {
    return mode !== "z" || atlas.spread.length > 0;
}

export function valueOf(atlas, mode, c, d) {
    const here = usageOf(atlas, c, d);
    if (mode === "raw") return here;
    const corpus = usageOf(atlas, atlas.meta.clusters.length, d);
    if (mode === "lift") return Math.log2(liftOf(atlas, here, corpus));
    if (mode === "difference") return here - corpus;
    const spread = squareOfLevel(atlas.spread[d], USAGE_LEVELS, atlas.meta.spreadMost);
    return spread > 0 ? (here - corpus) / spread : 0;
}

function liftOf(atlas, here, corpus) {
    return (here + atlas.meta.smoothing) / (corpus + atlas.meta.smoothing);
}

/** The important experts of cluster c, highest lift first: [{d, lift}]. */
export function topExperts(atlas, c, most) {
    const size = atlas.meta.layers * atlas.meta.experts, found = [];
    for (let d = 0; d < size; d++) {
        if (!isImportant(atlas, c, d)) continue;
        const corpus = usageOf(atlas, atlas.meta.clusters.length, d);
        found.push({d, lift: liftOf(atlas, usageOf(atlas, c, d), corpus)});
    }
    return found.sort((p, q) => q.lift - p.lift || p.d - q.d).slice(0, most);
}

/** "layer:expert" with the model's layer number. */
export function expertName(atlas, d) {
    return `${atlas.meta.layerOfMoe[Math.floor(d / atlas.meta.experts)]}:${d % atlas.meta.experts}`;
}

/** Where the shares of expert d stand, or -1 when the page does not hold them. */
export function shareColumn(atlas, d) {
    return atlas.meta.shares === null ? -1 : atlas.meta.shares.experts.indexOf(d);
}

/** Share of column m in document i, 1: the uniform share. */
export function shareOf(atlas, m, i) {
    const size = atlas.meta.layers * atlas.meta.experts;
    return size * squareOfLevel(atlas.shares[m * atlas.n + i], SHARE_LEVELS, atlas.meta.shares.most[m]);
}
