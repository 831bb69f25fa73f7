// colours.mjs - a colour for every document, and what the colours mean.
//
// The scales and the colours of clusters and subsets come with the page: figures/palette.c.
import {clusterOf, expertName, shareColumn, shareOf, usageOf} from "./data.mjs";

const GREY = [150, 150, 150];

export function rgbOfHex(hex) {
    return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
}

/** Black or white, whichever has the greater contrast on a colour. Source: WCAG 2.2, relative luminance. */
export function inkOn(hex) {
    const [r, g, b] = rgbOfHex(hex).map((v) => (v <= 10 ? v / 3294.6 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000" : "#fff";
}

/** Colour [r,g,b] of t in [0,1] along the scale's steps. */
export function colourAt(scale, t) {
    const at = Math.round(Math.min(1, Math.max(0, t)) * (scale.length - 1));
    return scale[Number.isNaN(at) ? 0 : at];
}

/** What documents can be coloured by: [value, title]. */
export function colourings(atlas) {
    const found = [["cluster", "cluster"]];
    if (atlas.meta.subsets.length > 1) found.push(["subset", "subset"]);
    if (new Set(atlas.script).size > 1) found.push(["script", "script"]);
    if (new Set(atlas.language).size > 1) found.push(["language", "language"]);
    found.push(["tokens", "length"], ["probability", "probability"], ["outlier", "outlier score"],
        ["expert", "share of an expert"]);
    return found;
}

function byGroup(atlas, groupOf, groups) {
    const rgb = new Uint8Array(3 * atlas.n);
    const colours = groups.map((group) => rgbOfHex(group.colour));
    for (let i = 0; i < atlas.n; i++) rgb.set(colours[groupOf(i)] ?? GREY, 3 * i);
    return rgb;
}

/** The least and the greatest of finite values, [0, 1] when there are none. */
function rangeOf(values) {
    let lo = Infinity, hi = -Infinity;
    for (const v of values) {
        if (v < lo) lo = v;
        if (v > hi) hi = v;
    }
    return lo <= hi ? [lo, hi] : [0, 1];
}

/** Values (n) along a scale; NaN is grey. `show` makes an end of the scale a text. */
function byValue(atlas, values, [lo, hi], title, show) {
    const scale = atlas.meta.sequential.map(rgbOfHex), rgb = new Uint8Array(3 * atlas.n);
    // The scale's light end would vanish on white paper: begin a little above it.
    for (let i = 0; i < atlas.n; i++) {
        const t = hi > lo ? (values[i] - lo) / (hi - lo) : 0;
        rgb.set(Number.isNaN(t) ? GREY : colourAt(scale, 0.15 + 0.85 * t), 3 * i);
    }
    return {rgb, legend: {title, lo: show(lo), hi: show(hi)}};
}

function byExpert(atlas, d) {
    const m = shareColumn(atlas, d), values = new Float32Array(atlas.n);
    const show = (v) => `${v.toFixed(1)} x uniform`;
    for (let i = 0; i < atlas.n; i++) {
        const c = clusterOf(atlas, i);
        values[i] = m >= 0 ? shareOf(atlas, m, i) : c >= 0 ? usageOf(atlas, c, d) : NaN;
    }
    const title = `Expert ${expertName(atlas, d)}: ` +
        (m >= 0 ? "share of each document's usage" : "mean of each document's cluster; this page has no values for single documents");
    return byValue(atlas, values, rangeOf(values), title, show);
}

/** {rgb (3n), legend} by one of `colourings`; d: the expert that was chosen, or -1. */
export function colour(atlas, by, d) {
    const meta = atlas.meta;
    switch (by) {
    case "subset":
        return {rgb: byGroup(atlas, (i) => atlas.subset[i], meta.subsets),
            legend: {title: "Subset", groups: meta.subsets}};
    case "script":
        return {rgb: byGroup(atlas, (i) => atlas.script[i], meta.scripts),
            legend: {title: "Script of most of the letters", groups: meta.scripts}};
    case "language":
        return {rgb: byGroup(atlas, (i) => atlas.language[i], meta.languages),
            legend: {title: "Language", groups: meta.languages}};
    case "tokens": {
        const logs = Float32Array.from(atlas.tokens, (t) => Math.log(Math.max(1, t)));
        return byValue(atlas, logs, rangeOf(logs), "Length, tokens (logarithmic)",
            (v) => String(Math.round(Math.exp(v))));
    }
    case "probability":
        return byValue(atlas, atlas.probability, [0, 255], "Probability of the cluster",
            (v) => String(v / 255));
    case "outlier":
        return byValue(atlas, atlas.outlier, [0, 255], "Outlier score", (v) => String(v / 255));
    case "expert":
        if (d >= 0) return byExpert(atlas, d);
        return {...colour(atlas, "cluster", d), legend: {title: "Choose an expert in a heatmap below"}};
    default:
        return {rgb: byGroup(atlas, (i) => clusterOf(atlas, i), meta.clusters),
            legend: {title: "Clusters, coloured by their place on the map and named there; grey: none"}};
    }
}
