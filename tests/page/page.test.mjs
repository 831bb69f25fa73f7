// page.test.mjs - the parts of the atlas's page that need no browser, by values worked out by hand.
import assert from "node:assert/strict";
import test from "node:test";
import {deflateSync} from "node:zlib";

import {colour, colourAt, colourings, inkOn, rgbOfHex} from "../../cluster/page/colours.mjs";
import {compareCells} from "../../cluster/page/clusters.mjs";
import {expertName, linesOf, loadAtlas, loadTexts, shareColumn, shareOf, topExperts,
    usageOf, valueOf} from "../../cluster/page/data.mjs";
import {bytesOfBase64, inflate} from "../../figures/page/unpack.mjs";
import {HeatPair, tickStep} from "../../cluster/page/heat.mjs";
import {logTicks} from "../../cluster/page/tree.mjs";
import {MapView, SIDE, clusterShares, extent, placeLabels} from "../../cluster/page/map.mjs";
import {chosen, frequent, isChoice, isInside, noChoice} from "../../cluster/page/selection.mjs";

const NONE = 0xffff;

/** Six documents, two clusters, two layers of two experts, shares of expert 3 alone. */
function sample() {
    const meta = {
        documents: 6, layers: 2, experts: 2, layerOfMoe: [1, 3], smoothing: 0.05, usageMost: 4, spreadMost: 2,
        clusters: [{size: 3, colour: "#ff0000", middle: [0, 0], keywords: ["wine", "Хлеб"]},
            {size: 2, colour: "#0000ff", middle: [1, 1], keywords: ["court"]}],
        subsets: [{name: "a", colour: "#101010"}, {name: "b", colour: "#202020"}], scripts: [],
        languages: [{name: "en", colour: "#010203"}, {name: "ru", colour: "#040506"}],
        shares: {experts: [3], most: [0.5]}, sequential: ["#ffffff", "#808080", "#000000"],
    };
    return {
        meta, n: 6,
        x: Uint16Array.of(0, 10, 20, 30, 40, 50), y: Uint16Array.of(0, 10, 20, 30, 40, 50),
        cluster: Uint16Array.of(0, 0, 0, 1, 1, NONE), subset: Uint16Array.of(0, 1, 0, 1, 1, 0),
        tokens: Uint32Array.of(100, 200, 300, 400, 500, 600), outlier: new Uint8Array(6),
        probability: Uint8Array.of(255, 0, 0, 0, 0, 0), script: new Uint8Array(0),
        language: Uint8Array.of(0, 1, 0, 0, 0, 1),
        usage: Uint16Array.of(4095, 0, 2048, 0, /**/ 0, 4095, 0, 0, /**/ 2048, 2048, 2048, 0),
        important: Uint8Array.of(1, 0, 1, 0, /**/ 0, 1, 0, 0), spread: Uint16Array.of(2048, 0, 0, 0),
        shares: Uint8Array.of(15, 0, 5, 0, 0, 0),
        ids: ["f:1", "f:2", "f:3", "g:1", "g:2", "g:3"], texts: ["red WINE", "", "two", "law", "law of wine", "x"],
    };
}

/** A page with elements of these bytes or texts. */
function putPage(elements) {
    globalThis.document = {getElementById: (id) => (id in elements ? {textContent: elements[id]} : null)};
}

const packed = (a) => deflateSync(Buffer.from(a.buffer, a.byteOffset, a.byteLength)).toString("base64");

test("base64 and deflate are undone", async () => {
    const bytes = Uint8Array.from({length: 1000}, (_, i) => (i * i) >> 3);
    assert.deepEqual(await inflate(bytesOfBase64(packed(bytes))), bytes);
});

test("lines end each", () => {
    assert.deepEqual(linesOf(new TextEncoder().encode("a\n\nж\n")), ["a", "", "ж"]);
    assert.deepEqual(linesOf(new Uint8Array(0)), []);
});

test("an atlas is read from its elements, and parts that are missing are empty", async () => {
    const wanted = sample();
    const elements = {meta: JSON.stringify(wanted.meta), ids: packed(Buffer.from("f:1\nf:2\n"))};
    elements.xy = packed(Uint16Array.of(...wanted.x, ...wanted.y));
    for (const name of ["cluster", "subset", "tokens", "outlier", "probability", "usage", "important"])
        elements[name] = packed(wanted[name]);
    putPage(elements);
    const atlas = await loadAtlas();
    await loadTexts(atlas);
    for (const name of ["x", "y", "cluster", "subset", "tokens", "outlier", "probability", "usage", "important"])
        assert.deepEqual(atlas[name], wanted[name], name);
    assert.equal(atlas.shares.length + atlas.spread.length + atlas.script.length + atlas.language.length + atlas.texts.length, 0);
    assert.deepEqual(atlas.ids, ["f:1", "f:2"]);
});

test("usage, difference, lift and z of an expert", () => {
    const atlas = sample(), corpus = 4 * (2048 / 4095) ** 2;
    assert.equal(usageOf(atlas, 0, 0), 4);
    assert.equal(valueOf(atlas, "raw", 0, 0), 4);
    assert.ok(Math.abs(valueOf(atlas, "difference", 0, 0) - (4 - corpus)) < 1e-12);
    assert.ok(Math.abs(valueOf(atlas, "lift", 0, 0) - Math.log2(4.05 / (corpus + 0.05))) < 1e-12);
    assert.ok(Math.abs(valueOf(atlas, "z", 0, 0) - (4 - corpus) / (corpus / 2)) < 1e-12);
    assert.equal(valueOf(atlas, "z", 0, 1), 0); // documents do not differ there
    assert.deepEqual(topExperts(atlas, 0, 5).map(({d}) => d), [0, 2]);
    assert.equal(expertName(atlas, 2), "3:0");
});

test("shares of a document", () => {
    const atlas = sample();
    assert.equal(shareColumn(atlas, 0), -1);
    assert.equal(shareColumn(atlas, 3), 0);
    assert.equal(shareOf(atlas, 0, 0), 4 * 0.5);
    assert.ok(Math.abs(shareOf(atlas, 0, 2) - (4 * 0.5) / 9) < 1e-12);
});

test("colours by cluster, by value, and by an expert that the page does not hold", () => {
    const atlas = sample(), rgb = (found, i) => [...found.rgb.subarray(3 * i, 3 * i + 3)];
    const byCluster = colour(atlas, "cluster", -1);
    assert.deepEqual(rgb(byCluster, 0), [255, 0, 0]);
    assert.deepEqual(rgb(byCluster, 5), [150, 150, 150]);
    const byProbability = colour(atlas, "probability", -1);
    assert.deepEqual(rgb(byProbability, 0), [0, 0, 0]);
    assert.deepEqual([byProbability.legend.lo, byProbability.legend.hi], ["0", "1"]);
    const byMean = colour(atlas, "expert", 0);
    assert.deepEqual(rgb(byMean, 0), [0, 0, 0]); // cluster 0 uses it most
    assert.deepEqual(rgb(byMean, 5), [150, 150, 150]); // no cluster, no mean
    assert.match(byMean.legend.title, /mean of each document's cluster/);
    assert.deepEqual(rgbOfHex("#0a10ff"), [10, 16, 255]);
    assert.equal(colourAt(["a", "b", "c"], 2), "c");
    assert.equal(colourAt(["a", "b", "c"], NaN), "a");
});

test("ink on a colour is what has more contrast", () => {
    for (const [hex, ink] of [["#ffffff", "#000"], ["#000000", "#fff"], ["#0000ff", "#fff"], ["#e69f00", "#000"],
        ["#767676", "#000"], ["#757575", "#fff"]]) // a grey of luminance .179 would be between these two
        assert.equal(inkOn(hex), ink, hex);
});

test("colours by language, where there are several", () => {
    const atlas = sample(), {rgb, legend} = colour(atlas, "language", -1);
    assert.deepEqual([...rgb.slice(0, 6)], [1, 2, 3, 4, 5, 6]);
    assert.deepEqual(legend.groups.map((group) => group.name), ["en", "ru"]);
    const names = () => colourings(atlas).map(([value]) => value);
    assert.ok(names().includes("language") && !names().includes("script"));
    atlas.language.fill(1);
    assert.ok(!names().includes("language"));
});

test("inside a polygon", () => {
    const notch = [[0, 0], [10, 0], [10, 10], [5, 2], [0, 10]];
    assert.ok(isInside(notch, 1, 1) && isInside(notch, 9, 7));
    assert.ok(!isInside(notch, 5, 5) && !isInside(notch, 11, 1) && !isInside([], 0, 0));
});

test("documents are chosen by all parts of a choice", () => {
    const atlas = sample(), of = (part) => [...chosen(atlas, {...noChoice(), ...part})].join("");
    assert.equal(of({}), "111111");
    assert.equal(of({cluster: 1}), "000110");
    assert.equal(of({subset: 0}), "101001");
    assert.equal(of({query: "WINE"}), "111010"); // a text, a keyword of cluster 0
    assert.equal(of({query: "хлеб"}), "111000");
    assert.equal(of({query: "g:3"}), "000001");
    assert.equal(of({lasso: [[5, 5], [35, 5], [35, 35], [5, 35]]}), "011100");
    assert.equal(of({lasso: [[5, 5], [35, 5], [35, 35], [5, 35]], cluster: 0, subset: 0}), "001000");
    assert.ok(!isChoice(noChoice()) && isChoice({...noChoice(), subset: 0}));
    const mask = chosen(atlas, noChoice());
    assert.deepEqual(frequent(atlas, mask, (i) => atlas.subset[i], 1), [[0, 3]]); // a tie: the lower
});

test("how much of the square documents take, those without a place left out", () => {
    const of = (x, y) => extent({n: x.length, x: Uint16Array.from(x), y: Uint16Array.from(y)});
    assert.deepEqual(of([0, 65534, 0xffff], [16384, 49151, 0xffff]), [1, 32767 / 65534]);
    assert.deepEqual(of([7], [9]), [1, 1]);
    assert.deepEqual(of([], []), [1, 1]);
});

test("labels do not cover each other, and become shorter before they go", () => {
    const label = (c, x) => ({c, x, y: 50, texts: ["0123456789", "012", "0"]});
    const placed = placeLabels([label(0, 60), label(1, 100), label(2, 110), label(3, 400)], 200, 100, (t) => 6 * t.length);
    assert.deepEqual(placed.map(({c, text, y}) => [c, text, y]), [[0, "0123456789", 36], [1, "0123456789", 64], [2, "012", 36]]);
});

test("labels stand where they hide least of the clusters, or become shorter", () => {
    const label = {c: 0, x: 100, y: 50, texts: ["0123456789", "0"]};
    const place = (hidden) => placeLabels([label], 200, 100, (t) => 6 * t.length, hidden).map(({text, x, y}) => [text, x, y])[0];
    assert.deepEqual(place((box) => (box.top < 40 ? 1 : 0)), ["0123456789", 100, 64]);
    assert.deepEqual(place((box) => (box.right - box.left > 20 ? 1 : 0)), ["0", 100, 36]);
    assert.deepEqual(place(() => 1), ["0123456789", 100, 36]);
});

test("how much of the clusters a rectangle holds", () => {
    const step = SIDE / 512, at = (...cells) => Uint16Array.from(cells, (c) => (c + 0.5) * step);
    const shares = clusterShares({n: 5, x: at(10, 11, 12, 300, 10), y: at(20, 20, 20, 400, 20), cluster: Uint16Array.of(0, 0, 0, 1, NONE)});
    const of = (left, right, bottom, top) => shares(left * step, right * step, bottom * step, top * step).toFixed(3);
    assert.equal(of(9, 11.5, 19, 21), "0.667"); // cells 9 to 11; noise counts for nothing
    assert.equal(of(0, 511, 0, 511), "2.000");
    assert.equal(of(299, 301, 399, 401), "1.000");
    assert.equal(of(13.1, 200, 0, 511), "0.000");
    assert.equal(of(-50, 600, -50, 600), "2.000");
});

test("among documents, where none lies, nothing of the clusters is hidden", () => {
    const n = 3000, x = [], y = [];
    for (let i = 0; i < n; i++) {
        const [px, py] = [(i * 7919) % 60000, (i * 104729) % 60000];
        const inHole = px > 20000 && px < 40000 && py > 20000 && py < 40000;
        x.push(inHole ? px - 20000 : px), y.push(py);
    }
    const shares = clusterShares({n, x, y, cluster: x.map((_, i) => i % 46)});
    for (let at = 21000; at < 38000; at += 1000)
        assert.ok(Math.abs(shares(21000, 39000, at, at + 800)) < 1e-9);
});

test("cells sort as numbers, then as words, dashes last", () => {
    assert.deepEqual(["b", "10", "–", "9", "a"].sort(compareCells), ["9", "10", "a", "b", "–"]);
});

test("an atlas without a cluster shows no heatmaps", () => {
    const section = {hidden: false};
    globalThis.document = {getElementById: () => section};
    HeatPair.prototype.show.call({atlas: {meta: {clusters: []}}}, 0);
    assert.ok(section.hidden);
});

test("axes have at most so many numbers", () => {
    assert.deepEqual(logTicks(0.3, 12, 12), [0.5, 1, 2, 5, 10]);
    assert.deepEqual(logTicks(0.3, 12, 4), [1, 10]);
    assert.deepEqual(logTicks(1e-5, 1e5, 6), [1e-4, 1e-2, 1, 1e2, 1e4]);
    assert.deepEqual(logTicks(1.1, 1.9, 6), []);
    assert.equal(tickStep(64, 20), 4);
    assert.equal(tickStep(5, 20), 1);
});

test("a lasso ends with the pointer, and with Escape before it", () => {
    const root = Object.assign(new EventTarget(), {setPointerCapture: () => {}});
    const chosen = [], picked = [];
    const map = Object.assign(Object.create(MapView.prototype), {root, lassoing: true, nearest: (x) => x, ring: null, drawRing: () => {},
        pixelOf: (e) => [e.at, e.at], placeOf: (x, y) => [x, y],
        on: {lasso: (polygon) => chosen.push(polygon), pick: (i) => picked.push(i)}});
    const down = () => map.lassoFrom({button: 0, shiftKey: false, preventDefault: () => {}, pointerId: 1, at: 0});
    const send = (kind, at) => root.dispatchEvent(Object.assign(new Event(kind), {at}));
    const drag = (kind) => {
        send("pointermove", 1);
        send("pointermove", 2);
        send(kind, 3);
        send("pointermove", 4); // after it
    };
    down();
    drag("pointerup");
    assert.deepEqual(chosen, [[[0, 0], [1, 1], [2, 2]]]);
    map.clicked({at: 3});
    down();
    drag("pointercancel");
    assert.deepEqual(chosen.slice(1), [null]);
    down();
    map.ring = null; // as Escape does
    drag("pointerup");
    assert.equal(chosen.length, 2);
    assert.equal(map.ring, null);
    map.lassoing = false;
    down();
    map.clicked({at: 5}); // without a lasso
    assert.deepEqual(picked, [5]);
});
