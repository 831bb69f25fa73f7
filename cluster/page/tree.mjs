// tree.mjs - the condensed tree as icicles: a branch is as wide as it has documents, and reaches
// down from the density at which it is born to the one at which it ends.
import {inkOn} from "./colours.mjs";
import {clusterName} from "./side.mjs";

const HEIGHT = 320, LEAST_BRANCH = 6, LABELLED = 16; // pixels

/** [parent, size, cluster, birth, end, words] of each branch, as nodes with places x0 to x1 across,
 * in [0, 1]: a branch lies within its parent, as wide as it has documents. */
export function layoutTree(branches) {
    const nodes = branches.map(([parent, size, cluster, birth, end, words], id) =>
        ({id, parent: id === 0 ? null : parent, size, cluster, birth, end, words: words ?? []}));
    const root = d3.stratify().id((n) => n.id).parentId((n) => n.parent)(nodes);
    root.each((n) => { n.value = n.data.size; });
    return d3.partition()(root).descendants();
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
    if (treeLeftOut > 0) says.textContent = `Small branches that are not drawn: ${treeLeftOut}.`;
    const width = svg.node().parentElement.clientWidth, nodes = layoutTree(tree);
    const log = (lambda) => Math.log(Math.max(lambda, 1e-12));
    const born = nodes.filter((n) => n.data.birth > 0).map((n) => log(n.data.birth));
    const top = Math.min(...born, log(nodes[0].data.end)) - 0.3;
    const bottom = Math.max(...nodes.map((n) => log(n.data.end)));
    const y = (lambda) => (lambda > 0 ? (HEIGHT * (log(lambda) - top)) / (bottom - top || 1) : 0);
    svg.attr("viewBox", `0 0 ${width} ${HEIGHT + 4}`).attr("width", width).attr("height", HEIGHT + 4);
    const groups = svg.selectAll("g").data(nodes).join("g");
    groups.append("rect")
        .attr("x", (n) => n.x0 * width).attr("width", (n) => Math.max(0.5, (n.x1 - n.x0) * width - 0.5))
        .attr("y", (n) => Math.max(0, y(n.data.birth)))
        .attr("height", (n) => Math.max(LEAST_BRANCH, y(n.data.end) - Math.max(0, y(n.data.birth))))
        .attr("fill", (n) => (n.data.cluster >= 0 ? atlas.meta.clusters[n.data.cluster].colour : null))
        .attr("class", (n) => (n.data.cluster >= 0 ? "cluster" : "branch"))
        .attr("data-cluster", (n) => n.data.cluster)
        .on("click", (n) => { if (n.data.cluster >= 0) onCluster(n.data.cluster); })
        .append("title").text((n) => `${n.data.size} document${n.data.size === 1 ? "" : "s"}` + (n.data.cluster >= 0
            ? `, cluster ${clusterName(atlas, n.data.cluster)}` : `: ${n.data.words.join(", ")}`));
    groups.filter((n) => n.data.cluster >= 0 && (n.x1 - n.x0) * width >= LABELLED).append("text")
        .attr("x", (n) => ((n.x0 + n.x1) / 2) * width)
        .attr("y", (n) => Math.max(0, y(n.data.birth)) + 13)
        .attr("fill", (n) => inkOn(atlas.meta.clusters[n.data.cluster].colour))
        .text((n) => n.data.cluster);
}

export function markTree(c) {
    d3.select("#tree").selectAll("rect").classed("chosen", (n) => c >= 0 && n.data.cluster === c);
}
