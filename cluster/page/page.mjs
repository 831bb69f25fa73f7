// page.mjs - the page as a whole: its state, and who hears of what.
//
// state = choice (selection.mjs), the colouring and the expert it is of. Whatever changes it calls
// update(), which shows it everywhere. `#canvas` at the end of the page's address switches WebGL off.
import {loadAtlas, loadTexts} from "./data.mjs";
import {colour, colourings} from "./colours.mjs";
import {chosen, isChoice, noChoice} from "./selection.mjs";
import {MapView, SIDE} from "./map.mjs";
import {showChosen, showDocument, showHover, showLegend, showNothing} from "./side.mjs";
import {ClusterTable} from "./clusters.mjs";
import {HeatPair} from "./heat.mjs";
import {drawTree, markTree} from "./tree.mjs";

const PAUSE = 150; // milliseconds without a key before a search begins

class Page {
    constructor(atlas) {
        this.atlas = atlas;
        this.choice = noChoice();
        this.by = "cluster";
        this.expert = -1;
        for (const section of document.querySelectorAll(".live")) section.hidden = false;
        this.foldVerdict();
        const onCluster = (c) => this.chooseCluster(c === this.choice.cluster ? -1 : c);
        this.map = new MapView(atlas, {
            hover: (i, x, y) => showHover(atlas, i, x, y, this.expert),
            pick: (i) => { if (i >= 0) showDocument(atlas, i, this.expert); },
            lasso: (polygon) => this.choose({lasso: polygon}),
            cluster: onCluster,
            step: (by) => this.step(by),
        }, location.hash === "#canvas");
        this.table = new ClusterTable(atlas.meta.clusters.map((c) => c.colour), onCluster);
        this.heat = new HeatPair(atlas, (d) => this.chooseExpert(d), (c) => this.chooseCluster(c));
        this.fillTools();
        drawTree(atlas, onCluster);
        document.addEventListener("keydown", (e) => this.key(e));
        matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
            this.map.draw();
            this.heat.draw();
        });
        this.map.resize();
        this.update();
        this.heat.show(0);
    }

    fillTools() {
        const by = document.getElementById("colour-by"), subset = document.getElementById("only-subset");
        for (const [value, title] of colourings(this.atlas)) by.append(new Option(title, value));
        by.addEventListener("change", () => {
            this.by = by.value;
            this.recolour();
        });
        subset.append(new Option("all", -1));
        this.atlas.meta.subsets.forEach((s, at) => subset.append(new Option(s.name, at)));
        subset.addEventListener("change", () => this.choose({subset: Number(subset.value)}));

        const query = document.getElementById("query");
        let timer = 0;
        query.addEventListener("input", () => {
            clearTimeout(timer);
            timer = setTimeout(() => this.choose({query: query.value.trim()}), PAUSE);
        });
        document.getElementById("lasso").addEventListener("click", () => this.toggleLasso());
        document.getElementById("clear").addEventListener("click", () => this.clear());
        document.getElementById("whole").addEventListener("click", () => this.map.whole());
    }

    /** In a narrow or enlarged window the verdict is its first line, so that the map is seen;
     * paper has all of it. */
    foldVerdict() {
        const verdict = document.getElementById("verdict");
        if (verdict === null) return;
        const narrow = matchMedia("(max-width: 60rem)");
        verdict.open = !narrow.matches;
        matchMedia("print").addEventListener("change", (e) => { verdict.open = e.matches || !narrow.matches; });
    }

    toggleLasso() {
        this.map.lassoing = !this.map.lassoing;
        document.getElementById("lasso").setAttribute("aria-pressed", String(this.map.lassoing));
        this.map.root.classList.toggle("lassoing", this.map.lassoing);
    }

    choose(part) {
        Object.assign(this.choice, part);
        this.update();
    }

    chooseCluster(c) {
        this.choose({cluster: c});
        if (c < 0) return;
        this.heat.show(c);
    }

    /** The next cluster, or the one before, and its place in the middle of the map. */
    step(by) {
        const {clusters} = this.atlas.meta, n = clusters.length;
        if (n === 0) return;
        const from = this.choice.cluster < 0 && by < 0 ? 0 : this.choice.cluster;
        const c = (from + by + n) % n;
        this.chooseCluster(c);
        this.map.goTo(clusters[c].middle[0] * SIDE, clusters[c].middle[1] * SIDE, 1);
    }

    chooseExpert(d) {
        this.expert = d;
        this.by = "expert";
        document.getElementById("colour-by").value = "expert";
        this.recolour();
    }

    clear() {
        this.choice = noChoice();
        this.map.ring = null;
        document.getElementById("query").value = "";
        document.getElementById("only-subset").value = "-1";
        if (this.map.lassoing) this.toggleLasso();
        this.update();
    }

    /** After a change of what is chosen. */
    update() {
        const some = isChoice(this.choice);
        this.mask = chosen(this.atlas, this.choice);
        this.map.highlight = this.choice.cluster;
        this.table.mark(this.choice.cluster);
        markTree(this.choice.cluster);
        this.recolour();
        if (some) showChosen(this.atlas, this.mask, this.choice.cluster, (i) => this.goToDocument(i));
        else showNothing(this.atlas);
    }

    recolour() {
        const {rgb, legend} = colour(this.atlas, this.by, this.expert);
        showLegend(this.atlas, legend, (s) => {
            if (this.by !== "subset") return;
            document.getElementById("only-subset").value = String(s);
            this.choose({subset: s});
        });
        this.map.paint(rgb, this.mask, isChoice(this.choice));
    }

    goToDocument(i) {
        this.map.goTo(this.atlas.x[i], this.atlas.y[i], 4);
        showHover(this.atlas, i, this.map.width / 2, this.map.height / 2, this.expert);
    }

    key(e) {
        const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(e.target.tagName);
        if (e.key === "Escape") this.clear();
        else if (typing || e.ctrlKey || e.metaKey || e.altKey) return;
        else if (e.key === "/") document.getElementById("query").focus();
        else if (e.key === "l" || e.key === "L") this.toggleLasso();
        else return;
        e.preventDefault();
    }
}

async function start() {
    const page = new Page(await loadAtlas());
    performance.mark("drawn");
    document.documentElement.dataset.renderer = page.map.renderer.name;
    if (document.readyState === "loading")
        await new Promise((done) => document.addEventListener("DOMContentLoaded", done));
    await loadTexts(page.atlas);
    if (isChoice(page.choice)) page.update();
    document.documentElement.dataset.ready = "yes";
}

start().catch((error) => {
    const note = document.createElement("p");
    note.className = "note";
    note.textContent = `The map cannot be shown: ${error.message}. The tables below are complete.`;
    document.querySelector("main").prepend(note);
    throw error;
});
