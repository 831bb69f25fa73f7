// tree.mjs - the condensed tree as icicles: a branch is as wide as it has documents, and reaches
// down from the density at which it is born to the one at which it ends.
import {inkOn} from "./colours.mjs";
import {clusterName} from "./side.mjs";

const HEIGHT = 320, LEAST_BRANCH = 6, LABELLED = 16, AXIS = 44, TICK_APART = 26; // pixels

/** [parent, size, cluster, birth, end, words] of each branch, as nodes with places x0 to x1 across,
 * in [0, 1]: a branch lies within its parent, as wide as it has documents. */
export function layoutTree(branches) {
    const nodes = branches.map(([parent, size, cluster, birth, end, words], id) =>
        ({id, parent: id === 0 ? null : parent, size, cluster, birth, end, words: words ?? []}));
    const root = d3.stratify().id((n) => n.id).parentId((n) => n.parent)(nodes);
    root.each((n) => { n.value = n.data.size; });
    return d3.partition()(root).descendants();
}

/** Round numbers from lo to hi for a logarithmic axis: 1, 2 and 5 times powers of ten, or powers alone, or fewer, so that they are
 * at most `most`. */
export function logTicks(lo, hi, most) {
    const from = Math.floor(Math.log10(lo)), to = Math.ceil(Math.log10(hi));
    const within = (factors, every) => {
        const ticks = [];
        for (let power = from; power <= to; power++)
            for (const factor of factors)
                if (power % every === 0) ticks.push(Number(`${factor}e${power}`));
        return ticks.filter((tick) => tick >= lo && tick <= hi);
    };
    const rounds = [within([1, 2, 5], 1), within([1], 1)];
    for (let every = 2; rounds[rounds.length - 1].length > most; every++) rounds.push(within([1], every));
    return rounds.find((ticks) => ticks.length <= most);
}

/** Numbers left of the branches, and fine lines behind them. */
function drawDensity(svg, width, y, lo, hi) {
    const axis = svg.append("g").attr("class", "axis");
    const round = logTicks(lo, hi, HEIGHT / TICK_APART);
    for (const tick of round.length > 1 ? round : [lo, hi]) {
        axis.append("line").attr("x1", AXIS - 4).attr("x2", width).attr("y1", y(tick)).attr("y2", y(tick));
        axis.append("text").attr("x", AXIS - 6).attr("y", y(tick)).text(Number(tick.toPrecision(2)));
    }
}

/** Draw it; `onCluster(c)` when a cluster's branch is clicked. */
export function drawTree(atlas, onCluster) {
    const {tree, treeLeftOut} = atlas.meta, svg = d3.select("#tree");
    const says = document.getElementById("tree-says");
    if (tree.length === 0) {
        says.textContent = "Not computed: this atlas was written by an older version and has no tree.";
        svg.remove();
        return;
    }
    if (tree.length === 1) {
        says.textContent = "Here it is a single branch: nowhere do the documents part.";
        svg.remove();
        return;
    }
    if (treeLeftOut > 0) says.textContent = `Small branches that are not drawn: ${treeLeftOut}.`;
    const width = svg.node().parentElement.clientWidth, across = width - AXIS, nodes = layoutTree(tree);
    const log = (lambda) => Math.log(Math.max(lambda, 1e-12));
    const born = nodes.filter((n) => n.data.birth > 0).map((n) => log(n.data.birth));
    const top = Math.min(...born, log(nodes[0].data.end)) - 0.3;
    const bottom = Math.max(...nodes.map((n) => log(n.data.end)));
    const y = (lambda) => (lambda > 0 ? (HEIGHT * (log(lambda) - top)) / (bottom - top || 1) : 0);
    svg.attr("viewBox", `0 0 ${width} ${HEIGHT + 4}`).attr("width", width).attr("height", HEIGHT + 4);
    drawDensity(svg, width, y, Math.exp(top), Math.exp(bottom));
    const groups = svg.selectAll("g.node").data(nodes).join("g").attr("class", "node");
    groups.append("rect")
        .attr("x", (n) => AXIS + n.x0 * across).attr("width", (n) => Math.max(0.5, (n.x1 - n.x0) * across - 0.5))
        .attr("y", (n) => Math.max(0, y(n.data.birth)))
        .attr("height", (n) => Math.max(LEAST_BRANCH, y(n.data.end) - Math.max(0, y(n.data.birth))))
        .attr("fill", (n) => (n.data.cluster >= 0 ? atlas.meta.clusters[n.data.cluster].colour : null))
        .attr("class", (n) => (n.data.cluster >= 0 ? "cluster" : "branch"))
        .attr("data-cluster", (n) => n.data.cluster)
        .on("click", (n) => { if (n.data.cluster >= 0) onCluster(n.data.cluster); })
        .append("title").text((n) => `${n.data.size} document${n.data.size === 1 ? "" : "s"}` + (n.data.cluster >= 0
            ? `, cluster ${clusterName(atlas, n.data.cluster)}` : `: ${n.data.words.join(", ")}`));
    groups.filter((n) => n.data.cluster >= 0 && (n.x1 - n.x0) * across >= LABELLED).append("text")
        .attr("x", (n) => AXIS + ((n.x0 + n.x1) / 2) * across)
        .attr("y", (n) => Math.max(0, y(n.data.birth)) + 13)
        .attr("fill", (n) => inkOn(atlas.meta.clusters[n.data.cluster].colour))
        .text((n) => n.data.cluster);
}

export function markTree(c) {
    d3.select("#tree").selectAll("rect").classed("chosen", (n) => c >= 0 && n.data.cluster === c);
}
