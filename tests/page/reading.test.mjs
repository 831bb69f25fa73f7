// reading.test.mjs - the parts of gm-probe read's page that need no browser, by values worked out by hand.
import assert from "node:assert/strict";
import {readFileSync} from "node:fs";
import test from "node:test";
import {deflateSync} from "node:zlib";

import {choicesOf, gateOf, loadReading, marginOf, nameOf, ofHalf, raisedIn, spellingOf, strongestOf, tellingLayer,
    usageOf} from "../../probe/page/choices.mjs";
import {seekFrom, stepFrom} from "../../probe/page/reading.mjs";
import {percent} from "../../probe/page/strip.mjs";
import {byGate, byStrongest, classOfPlace, places} from "../../probe/page/tints.mjs";
import {wordsOf} from "../../probe/page/token_card.mjs";

const NONE = 0xffff;
const HALF = {1: 0x3c00, 0.5: 0x3800, 0.25: 0x3400, 0.125: 0x3000, 0: 0};
const halves = (...values) => Uint16Array.from(values, (v) => HALF[v]);

/** Four tokens, the first of a template, the last bad; layers 1 and 4 of three experts, two chosen. */
function sample() {
    return {
        meta: {model: "m", experts: 3, chosen: 2, layers: [1, 4], expert: null, ids: [5, 7, 300], spellings: ["a", "", "\\n"],
            passages: [{id: "f:1", subset: "s", sha: "00", first: 0, tokens: 3, hit: -1},
                {id: "f:2", subset: "", sha: "01", first: 3, tokens: 1, hit: 0}]},
        T: 4, M: 2, E: 3, K: 2,
        token: Uint32Array.of(5, 300, 7, 5), pos: Uint32Array.of(0, 1, 2, 0), phase: Uint8Array.of(2, 0, 1, 0),
        nll: Float32Array.of(NaN, 1.25, 0.5, 2), corpus: Float32Array.of(0.5, 1, 0.5, /**/ 1, 0, 1),
        expert: Uint16Array.of(0, 1, 2, 1, 2, 0, NONE, NONE, /**/ 0, 2, 0, 2, 2, 0, NONE, NONE),
        gate: halves(0.5, 0.25, 0.5, 0.25, 1, 0.125, 0, 0, /**/ 0.5, 0.5, 0.5, 0.25, 0.5, 0.25, 0, 0),
        margin: halves(0.5, 0.25, 0.125, 0, /**/ 1, 1, 1, 0),
    };
}

const packed = (a) => deflateSync(Buffer.from(a.buffer, a.byteOffset, a.byteLength)).toString("base64");

test("a reading is read from its elements; nll may be missing", async () => {
    const wanted = sample(), elements = {meta: JSON.stringify(wanted.meta)};
    for (const name of ["token", "pos", "phase", "expert", "gate", "margin", "corpus"]) elements[name] = packed(wanted[name]);
    globalThis.document = {getElementById: (id) => (id in elements ? {textContent: elements[id]} : null)};
    const r = await loadReading();
    delete globalThis.document;
    for (const name of ["T", "M", "E", "K", "token", "pos", "phase", "expert", "gate", "margin", "corpus"])
        assert.deepEqual(r[name], wanted[name], name);
    assert.equal(r.nll.length, 0);
});

test("halves are exact", () => {
    assert.deepEqual([0, 1, 0x3ff, 0x400, 0x3555, 0x3c00, 0xc000, 0x7bff, 0x7c00, 0xfc00].map(ofHalf),
        [0, 2 ** -24, 1023 * 2 ** -24, 2 ** -14, 0.333251953125, 1, -2, 65504, Infinity, -Infinity]);
    assert.ok(Number.isNaN(ofHalf(0x7e00)));
});

test("choices of a token", () => {
    const r = sample();
    assert.deepEqual(choicesOf(r, 0, 2), [{e: 2, gate: 1}, {e: 0, gate: 0.125}]);
    assert.deepEqual(choicesOf(r, 1, 3), []);
    assert.deepEqual([0, 1, 2, 3].map((t) => strongestOf(r, 0, t)), [0, 2, 2, -1]);
    assert.deepEqual([0, 1, 2].map((e) => gateOf(r, 0, 1, e)), [0, 0.25, 0.5]);
    assert.equal(marginOf(r, 0, 1), 0.25);
    assert.equal(nameOf(r, 1, 2), "4:2");
});

test("without gates a choice counts as one, and there are no margins", () => {
    const r = {...sample(), gate: new Uint16Array(0), margin: new Uint16Array(0)};
    assert.deepEqual(choicesOf(r, 0, 2), [{e: 2, gate: 1}, {e: 0, gate: 1}]);
    assert.deepEqual([0, 1, 2].map((e) => gateOf(r, 0, 1, e)), [0, 1, 1]);
    assert.deepEqual(byGate(r, 0, 2), {classes: ["", "g9", "g9", "bad"], most: 1});
    assert.equal(wordsOf(r, 0, 0)[1], "id 5, position 0, template");
});

test("usage leaves template tokens and bad rows out", () => {
    const r = sample();
    assert.deepEqual([...usageOf(r, 0, 0, 4)], [0.5, 0.5, 1]);
    assert.deepEqual([...usageOf(r, 0, 3, 1)], [0, 0, 0]);
    assert.deepEqual(raisedIn(r, 0, usageOf(r, 0, 0, 4), 5), [{e: 2, share: 1, corpus: 0.5}]);
    assert.equal(tellingLayer(r), 0); // layer 4 has the corpus's shares but for the bad text, layer 1 has not
    assert.deepEqual([percent(0.0994), percent(0.0995), percent(1)], ["9.9 %", "10 %", "100 %"]);
});

test("the experts strongest for most tokens have colours of their own", () => {
    const r = sample();
    assert.deepEqual([...places(r, 0)], [1, 2, 0]);
    assert.deepEqual(byStrongest(r, 0), ["c1", "c0", "c0", "bad"]);
    assert.deepEqual([0, 7, 8, 16, 23, 24].map(classOfPlace), ["c0", "c7", "c0 m1", "c0 m2", "c7 m2", "c0"]);
});

test("the gate of one expert is its shade", () => {
    assert.deepEqual(byGate(sample(), 0, 2), {classes: ["", "g5", "g9", "bad"], most: 1});
    assert.deepEqual(byGate(sample(), 1, 1), {classes: ["", "", "", "bad"], most: 0});
});

test("what is said of a token", () => {
    const r = sample();
    assert.equal(spellingOf(r, 0), "a");
    assert.equal(spellingOf(r, 2), null);
    assert.deepEqual(wordsOf(r, 0, 0), ["\u201ca\u201d", "id 5, position 0, template, margin 0.5000"]);
    assert.deepEqual(wordsOf(r, 0, 1), ["\u201c\\n\u201d", "id 300, position 1, prompt, \u2212ln p 1.250, margin 0.2500"]);
    r.meta.spellings = null;
    assert.equal(wordsOf(r, 0, 2)[0], "token 7");
});

test("arrow keys go along lines and from line to line", () => {
    // two lines of three, a third of one
    const box = (i) => ({left: [0, 10, 30, 0, 18, 40, 0][i], top: [0, 0, 0, 20, 20, 20, 40][i]});
    const step = (i, key) => stepFrom(i, 7, key, box);
    assert.deepEqual([step(0, "ArrowLeft"), step(0, "ArrowRight"), step(6, "ArrowRight")], [0, 1, 6]);
    assert.deepEqual([step(3, "Home"), step(3, "End")], [0, 6]);
    assert.deepEqual([step(1, "ArrowDown"), step(2, "ArrowDown"), step(5, "ArrowDown")], [4, 5, 6]);
    assert.deepEqual([step(6, "ArrowUp"), step(4, "ArrowUp"), step(1, "ArrowUp"), step(6, "ArrowDown")], [3, 1, 1, 6]);
});

test("n and N go round through the wanted tokens, from either end at first", () => {
    const from = (i, by, wanted = [1, 4]) => seekFrom(i, 5, by, (t) => wanted.includes(t));
    assert.deepEqual([from(-1, 1), from(1, 1), from(4, 1), from(2, 1)], [1, 4, 1, 4]);
    assert.deepEqual([from(-1, -1), from(4, -1), from(1, -1), from(0, -1)], [4, 1, 4, 4]);
    assert.deepEqual([from(-1, -1, []), from(3, 1, [3]), seekFrom(-1, 0, 1, () => true)], [-1, 3, -1]);
});

// ---- the colours ----

const linear = (byte) => (byte / 255 <= 0.04045 ? byte / 255 / 12.92 : ((byte / 255 + 0.055) / 1.055) ** 2.4);
const times = (matrix, v) => matrix.map((row) => row.reduce((sum, x, i) => sum + x * v[i], 0));
const ofHex = (hex) => [1, 3, 5].map((at) => linear(parseInt(hex.slice(at, at + 2), 16)));

/** Source: Ottosson 2020, "A perceptual color space for image processing". */
function oklab(rgb) {
    const lms = times([[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005]], rgb.map((v) => Math.min(1, Math.max(0, v))));
    return times([[0.2104542553, 0.793617785, -0.0040720468], [1.9779984951, -2.428592205, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.808675766]], lms.map(Math.cbrt));
}

/** What is seen without long, middle or short cones. Source: Machado et al. 2009, severity 1. */
const SIGHTS = {
    all: [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    protan: [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    deutan: [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    tritan: [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
};

const brightness = (rgb) => 0.2126 * rgb[0] + 0.7152 * rgb[1] + 0.0722 * rgb[2];

function contrast(a, b) {
    const [hi, lo] = [brightness(a), brightness(b)].sort((x, y) => y - x);
    return (hi + 0.05) / (lo + 0.05);
}

test("colours are told apart by every reader, and text on them is read", () => {
    const css = readFileSync(new URL("../../probe/page/reading.css", import.meta.url), "utf8");
    const found = [...css.matchAll(/--(on|c\d): (#[0-9a-f]{6});/g)], papers = ["#ffffff", "#17181a"];
    assert.equal(found.length, 18);
    papers.forEach((paper, mode) => {
        const [on, ...colours] = found.slice(9 * mode, 9 * mode + 9).map((match) => ofHex(match[2]));
        for (const colour of colours) assert.ok(contrast(colour, on) >= 4.5, `contrast ${contrast(colour, on)}`);
        for (const [who, sight] of Object.entries(SIGHTS)) {
            const seen = [...colours, ofHex(paper)].map((rgb) => oklab(times(sight, rgb)));
            seen.forEach((a, i) => seen.slice(0, i).forEach((b, k) => {
                const distance = Math.hypot(...a.map((v, at) => v - b[at]));
                assert.ok(distance >= 0.08, `mode ${mode}, ${who}: c${i} and c${k} ${distance}`);
            }));
        }
    });
});
