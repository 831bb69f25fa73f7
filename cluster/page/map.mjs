// map.mjs - the scatter map: zoom and pan, labels, hovering, lasso, keys.
//
// A place is u16 in a square, y upwards, and the documents stand in the middle of it; the square stands in the middle of the
// map's element, as large as the documents allow.
import {clusterOf, isPlaced} from "./data.mjs";
import {clusterTitle} from "./side.mjs";
import {glRenderer} from "./map_gl.mjs";
import {plainRenderer} from "./map_plain.mjs";

export const SIDE = 65534; // of the square of places
const MARGIN = 0.94; // of the element that the whole map takes
const REACH = 12; // pixels from the pointer to a point
const LABEL_LIFT = 14, LABEL_HALF = 8; // pixels
const CELLS = 512; // of the square, each way, in which documents are counted
const HIDDEN = 0.3; // of a cluster that a label may cover before a shorter one, or another place, is tried
const DIM = 26, FULL = 215, FAINT = 120; // opacities, of 255: not chosen, chosen, no cluster

/** How much of the square the documents take, across and up: shares of its side. */
export function extent(atlas) {
    const span = (place) => {
        let lo = SIDE, hi = 0;
        for (let i = 0; i < atlas.n; i++) {
            if (!isPlaced(atlas, i)) continue;
            lo = Math.min(lo, place[i]);
            hi = Math.max(hi, place[i]);
        }
        return hi > lo ? (hi - lo) / SIDE : 1;
    };
    return [span(atlas.x), span(atlas.y)];
}

/** How much of the clusters lies in a rectangle of places: hidden(left, right, bottom, top) is a sum over
 * clusters of the share of their documents. Four look-ups in a table of sums, whatever the rectangle. */
export function clusterShares(atlas) {
    const row = CELLS + 1, sum = new Float64Array(row * row), size = new Map();
    for (let i = 0; i < atlas.n; i++) size.set(atlas.cluster[i], (size.get(atlas.cluster[i]) ?? 0) + 1);
    const cell = (place) => Math.min(CELLS, Math.max(0, Math.floor((place * CELLS) / (SIDE + 1))));
    for (let i = 0; i < atlas.n; i++)
        if (isPlaced(atlas, i) && clusterOf(atlas, i) >= 0)
            sum[(cell(atlas.y[i]) + 1) * row + cell(atlas.x[i]) + 1] += 1 / size.get(atlas.cluster[i]);
    for (let y = 1; y < row; y++)
        for (let x = 1; x < row; x++)
            sum[y * row + x] += sum[(y - 1) * row + x] + sum[y * row + x - 1] - sum[(y - 1) * row + x - 1];
    return (left, right, bottom, top) => {
        const [x0, x1, y0, y1] = [cell(left), cell(right) + 1, cell(bottom), cell(top) + 1].map((v) => Math.min(v, CELLS));
        return sum[y1 * row + x1] - sum[y0 * row + x1] - sum[y1 * row + x0] + sum[y0 * row + x0];
    };
}

/** Labels that do not cover each other, the first ones first: a label has `texts` to choose from,
 * the fullest first, and stands just above (x, y), or below or beside it where it would hide less of the
 * clusters. `widthOf(text)` in pixels; `hidden(box)`: see clusterShares. */
export function placeLabels(labels, width, height, widthOf, hidden = () => 0) {
    const placed = [];
    const fits = (box) => box.left >= 0 && box.right <= width && box.top >= 0 && box.bottom <= height &&
        !placed.some((p) => box.left < p.right && p.left < box.right && box.top < p.bottom && p.top < box.bottom);
    for (const label of labels) {
        let best = null;
        for (const text of label.texts) {
            const half = widthOf(text) / 2 + 3, aside = half + LABEL_HALF;
            for (const [right, down] of [[0, -LABEL_LIFT], [0, LABEL_LIFT], [aside, 0], [-aside, 0]]) {
                const x = label.x + right, y = label.y + down;
                const box = {c: label.c, text, x, y, left: x - half, right: x + half, top: y - LABEL_HALF, bottom: y + LABEL_HALF};
                if (!fits(box)) continue;
                box.hides = hidden(box);
                if (best === null || box.hides < best.hides - 1e-6) best = box;
            }
            if (best !== null && best.hides <= HIDDEN) break;
        }
        if (best !== null) placed.push(best);
    }
    return placed;
}

/** The whole view of the documents; `on` is told: hover(i, x, y), pick(i), lasso(polygon),
 * cluster(c), step(by), clear(). i is -1 for no document. */
export class MapView {
    constructor(atlas, on, wantsPlain) {
        this.atlas = atlas;
        this.on = on;
        this.root = document.getElementById("map");
        this.canvas = document.getElementById("points");
        this.renderer = (wantsPlain ? null : glRenderer(this.canvas)) ?? this.plain();
        this.transform = d3.zoomIdentity;
        this.extent = extent(atlas);
        this.root.style.setProperty("--shape", this.extent[0] / this.extent[1]); // page.css: how tall it is
        this.lassoing = false;
        this.highlight = -1;
        this.listen();
        new ResizeObserver(() => this.resize()).observe(this.root);
    }

    /** Without WebGL; on a new canvas, since one that WebGL had failed on gives nothing else. */
    plain() {
        const canvas = this.canvas.cloneNode();
        this.canvas.replaceWith(canvas);
        this.canvas = canvas;
        return plainRenderer(canvas);
    }

    listen() {
        const root = d3.select(this.root);
        this.zoom = d3.zoom().scaleExtent([0.5, 200])
            .filter(() => !this.lassoing && !d3.event.shiftKey && !d3.event.button)
            .on("zoom", () => {
                this.transform = d3.event.transform;
                this.draw();
            });
        root.call(this.zoom).on("dblclick.zoom", null);
        this.root.addEventListener("pointermove", (e) => this.pointed(e));
        this.root.addEventListener("pointerleave", () => this.on.hover(-1, 0, 0));
        this.root.addEventListener("click", (e) => this.clicked(e));
        this.root.addEventListener("keydown", (e) => this.key(e));
        this.root.addEventListener("pointerdown", (e) => this.lassoFrom(e));
    }

    pixelOf(e) {
        const box = this.canvas.getBoundingClientRect();
        return [e.clientX - box.left, e.clientY - box.top];
    }

    // ---- geometry ----

    resize() {
        this.width = this.root.clientWidth;
        this.height = this.root.clientHeight;
        if (!this.width || !this.height) return;
        this.ratio = window.devicePixelRatio || 1;
        this.renderer.resize(Math.round(this.width * this.ratio), Math.round(this.height * this.ratio));
        for (const layer of ["labels", "ring"]) // paper is another size: labels keep to the points, which page.css fits in
            document.getElementById(layer).setAttribute("viewBox", `0 0 ${this.width} ${this.height}`);
        this.side = MARGIN * Math.min(this.width / this.extent[0], this.height / this.extent[1]);
        this.draw();
    }

    /** The view in pixels of the page: pixel = origin + scale * place. */
    view() {
        const {k, x, y} = this.transform, unit = (k * this.side) / SIDE;
        return {kx: unit, ky: -unit, x: x + (k * (this.width - this.side)) / 2,
            y: y + (k * (this.height + this.side)) / 2};
    }

    placeOf(px, py) {
        const v = this.view();
        return [(px - v.x) / v.kx, (py - v.y) / v.ky];
    }

    pixelOfPlace(x, y) {
        const v = this.view();
        return [v.x + v.kx * x, v.y + v.ky * y];
    }

    /** The chosen document nearest to a pixel, within `reach` pixels; -1: none. */
    nearest(px, py, reach) {
        if (!this.tree) {
            const {atlas} = this, all = [];
            for (let i = 0; i < atlas.n; i++) if (isPlaced(atlas, i) && this.mask[i]) all.push(i);
            this.tree = d3.quadtree(all, (i) => atlas.x[i], (i) => atlas.y[i]);
        }
        const [x, y] = this.placeOf(px, py);
        return this.tree.find(x, y, reach / this.view().kx) ?? -1;
    }

    // ---- drawing ----

    /** Colours (3n) and chosen documents (n); unchosen ones lie behind, pale. */
    paint(rgb, mask, someChosen) {
        const {atlas} = this, order = [];
        this.mask = mask;
        this.tree = null;
        const rank = (i) => (mask[i] ? 2 : 0) + (clusterOf(atlas, i) < 0 ? 0 : 1);
        for (let wanted = 0; wanted < 4; wanted++)
            for (let i = 0; i < atlas.n; i++) if (rank(i) === wanted && isPlaced(atlas, i)) order.push(i);
        const places = new Uint16Array(2 * order.length), rgba = new Uint8Array(4 * order.length);
        order.forEach((i, at) => {
            places[2 * at] = atlas.x[i];
            places[2 * at + 1] = atlas.y[i];
            rgba.set(rgb.subarray(3 * i, 3 * i + 3), 4 * at);
            const whole = clusterOf(atlas, i) < 0 && !someChosen ? FAINT : FULL;
            rgba[4 * at + 3] = mask[i] ? whole : DIM;
        });
        this.renderer.upload(places, rgba);
        this.draw();
    }

    draw() {
        if (!this.width || !this.mask) return;
        const v = this.view(), r = this.ratio, paper = d3.color(getComputedStyle(this.root).backgroundColor);
        const size = Math.min(14, Math.max(2.2, 260 / Math.sqrt(this.atlas.n + 1)) * Math.sqrt(this.transform.k));
        this.renderer.draw({x: v.x * r, y: v.y * r, kx: v.kx * r, ky: v.ky * r}, size * r,
            [paper.r, paper.g, paper.b]);
        this.drawLabels();
        this.drawRing();
    }

    drawLabels() {
        const pen = (this.pen ??= document.createElement("canvas").getContext("2d"));
        pen.font = "600 13px system-ui, sans-serif";
        const wanted = this.atlas.meta.clusters.map((cluster, c) => {
            const [x, y] = this.pixelOfPlace(cluster.middle[0] * SIDE, cluster.middle[1] * SIDE);
            return {c, x, y, texts: [`${c} ${clusterTitle(cluster, 3)}`, `${c} ${clusterTitle(cluster, 1)}`, String(c)]};
        });
        const first = wanted.filter((l) => l.c === this.highlight);
        const rest = wanted.filter((l) => l.c !== this.highlight);
        const widthOf = (text) => pen.measureText(text).width;
        this.shares ??= clusterShares(this.atlas);
        const hidden = (box) => {
            const [left, bottom] = this.placeOf(box.left, box.bottom), [right, top] = this.placeOf(box.right, box.top);
            return this.shares(left, right, bottom, top);
        };
        d3.select("#labels").selectAll("text")
            .data(placeLabels([...first, ...rest], this.width, this.height, widthOf, hidden), (l) => l.c).join("text")
            .attr("x", (l) => l.x).attr("y", (l) => l.y)
            .attr("class", (l) => (l.c === this.highlight ? "chosen" : null))
            .text((l) => l.text)
            .on("click", (l) => {
                d3.event.stopPropagation();
                this.on.cluster(l.c);
            });
    }

    drawRing() {
        const points = (this.ring ?? []).map(([x, y]) => this.pixelOfPlace(x, y));
        d3.select("#ring").selectAll("polygon").data(points.length ? [points] : []).join("polygon")
            .attr("points", (p) => p.map((at) => at.join()).join(" "));
    }

    /** Bring a document or a place of the square to the middle, at least `k` times enlarged. */
    goTo(x, y, k) {
        const unit = this.side / SIDE, scale = Math.max(k, this.transform.k);
        const px = (this.width - this.side) / 2 + unit * x, py = (this.height + this.side) / 2 - unit * y;
        d3.select(this.root).call(this.zoom.transform, d3.zoomIdentity
            .translate(this.width / 2 - scale * px, this.height / 2 - scale * py).scale(scale));
    }

    whole() {
        d3.select(this.root).call(this.zoom.transform, d3.zoomIdentity);
    }

    // ---- pointer and keys ----

    pointed(e) {
        if (e.buttons) return;
        const [px, py] = this.pixelOf(e);
        this.on.hover(this.nearest(px, py, REACH), px, py);
    }

    /** The end of a lasso is a click, too, which would put a document's card in the place of its list. */
    clicked(e) {
        if (!this.lassoed) this.on.pick(this.nearest(...this.pixelOf(e), REACH));
    }

    lassoFrom(e) {
        this.lassoed = false;
        if (e.button || !(this.lassoing || e.shiftKey)) return;
        e.preventDefault();
        this.root.setPointerCapture(e.pointerId);
        const ring = [this.placeOf(...this.pixelOf(e))], drag = new AbortController();
        this.ring = ring;
        const move = (next) => {
            ring.push(this.placeOf(...this.pixelOf(next)));
            this.drawRing();
        };
        const end = (last) => {
            drag.abort();
            this.lassoed = true;
            if (this.ring !== ring) return; // Escape came first
            this.ring = last.type === "pointerup" && ring.length > 2 ? ring : null;
            this.drawRing();
            this.on.lasso(this.ring);
        };
        for (const [kind, listener] of [["pointermove", move], ["pointerup", end], ["pointercancel", end]])
            this.root.addEventListener(kind, listener, {signal: drag.signal});
    }

    key(e) {
        if (e.ctrlKey || e.metaKey || e.altKey) return;
        const root = d3.select(this.root), step = 60 / this.transform.k;
        const pan = (x, y) => root.call(this.zoom.translateBy, x * step, y * step);
        const actions = {
            ArrowLeft: () => pan(1, 0), ArrowRight: () => pan(-1, 0),
            ArrowUp: () => pan(0, 1), ArrowDown: () => pan(0, -1),
            "+": () => root.call(this.zoom.scaleBy, 1.5), "=": () => root.call(this.zoom.scaleBy, 1.5),
            "-": () => root.call(this.zoom.scaleBy, 1 / 1.5), "0": () => this.whole(),
            "[": () => this.on.step(-1), "]": () => this.on.step(1),
            Enter: () => this.on.pick(this.nearest(this.width / 2, this.height / 2, Infinity)),
        };
        if (!actions[e.key]) return;
        e.preventDefault();
        actions[e.key]();
    }
}
