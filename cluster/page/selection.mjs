// selection.mjs - which documents are chosen, by cluster, subset, words and lasso together.
import {clusterOf} from "./data.mjs";

/** Is (x, y) inside the polygon [[x, y], ...]? By crossings of a ray to the right. */
export function isInside(polygon, x, y) {
    let inside = false;
    for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
        const [xi, yi] = polygon[i], [xj, yj] = polygon[j];
        if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) inside = !inside;
    }
    return inside;
}

/** Documents (n) of 1 whose text, id or cluster's keywords hold `query`, letters' case aside. */
export function search(atlas, query) {
    const wanted = query.toLowerCase(), found = new Uint8Array(atlas.n);
    const named = atlas.meta.clusters.map((c) => c.keywords.join(" ").toLowerCase().includes(wanted));
    for (let i = 0; i < atlas.n; i++) {
        const c = clusterOf(atlas, i);
        found[i] = (c >= 0 && named[c]) || (atlas.texts[i] ?? "").toLowerCase().includes(wanted) ||
            (atlas.ids[i] ?? "").toLowerCase().includes(wanted) ? 1 : 0;
    }
    return found;
}

/** Nothing is chosen: all documents are. */
export function noChoice() {
    return {cluster: -1, subset: -1, query: "", lasso: null};
}

export function isChoice(choice) {
    return choice.cluster >= 0 || choice.subset >= 0 || choice.query !== "" || choice.lasso !== null;
}

/** Documents (n) of 1 that every part of the choice holds; lasso in places of [0,65534]. */
export function chosen(atlas, choice) {
    const mask = choice.query === "" ? new Uint8Array(atlas.n).fill(1) : search(atlas, choice.query);
    for (let i = 0; i < atlas.n; i++) {
        if (choice.cluster >= 0 && clusterOf(atlas, i) !== choice.cluster) mask[i] = 0;
        if (choice.subset >= 0 && atlas.subset[i] !== choice.subset) mask[i] = 0;
        if (mask[i] && choice.lasso && !isInside(choice.lasso, atlas.x[i], atlas.y[i])) mask[i] = 0;
    }
    return mask;
}

/** The most frequent of groupOf(i) over the chosen: [[group, number], ...], ties to the lower. */
export function frequent(atlas, mask, groupOf, most) {
    const count = new Map();
    for (let i = 0; i < atlas.n; i++)
        if (mask[i]) count.set(groupOf(i), (count.get(groupOf(i)) ?? 0) + 1);
    return [...count].sort((p, q) => q[1] - p[1] || p[0] - q[0]).slice(0, most);
}
