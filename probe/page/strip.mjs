// strip.mjs - over each text: how often it uses each expert of the layer, beside the corpus.
import {corpusOf, nameOf, raisedIn, usageOf} from "./choices.mjs";
import {classOfPlace} from "./tints.mjs";

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 36, RAISED = 5;

function element(name, attributes) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
}

export function percent(share) {
    return `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`;
}

/** A button that names an expert and has its colour. */
export function expertButton(r, m, e, place, words) {
    const button = document.createElement("button"), swatch = document.createElement("span");
    button.type = "button";
    button.dataset.expert = e;
    swatch.className = `swatch ${classOfPlace(place[e])}`;
    button.append(swatch, words);
    return button;
}

function bars(r, m, share, place) {
    const width = Math.min(18, Math.max(4, Math.floor(720 / r.E))), gap = width > 6 ? 2 : 1;
    const corpus = Array.from(share, (_, e) => corpusOf(r, m, e));
    const most = Math.max(...share, ...corpus, 1e-9);
    const svg = element("svg", {width: width * r.E, height: HEIGHT, "aria-hidden": "true"});
    share.forEach((s, e) => {
        const bar = element("g", {"data-expert": e}), title = element("title", {});
        const y = HEIGHT * (1 - s / most), line = Math.min(HEIGHT - 1, HEIGHT * (1 - corpus[e] / most));
        title.textContent = `expert ${nameOf(r, m, e)}: chosen by ${percent(s)} of the tokens here, ${percent(corpus[e])} in the corpus`;
        bar.append(title,
            element("rect", {class: "room", x: e * width, y: 0, width, height: HEIGHT}),
            element("rect", {class: classOfPlace(place[e]), x: e * width, y, width: width - gap, height: HEIGHT - y}),
            element("rect", {class: "corpus", x: e * width, y: line - 1, width: width - gap, height: 2}));
        svg.append(bar);
    });
    return svg;
}

/** Fill the strip of passage p anew. */
export function drawStrip(into, r, m, p, place) {
    const share = usageOf(r, m, p.first, p.tokens), scroll = document.createElement("div");
    const words = document.createElement("p");
    scroll.className = "scroll";
    scroll.append(bars(r, m, share, place));
    words.append(`Layer ${r.meta.layers[m]}, used more than in the corpus (line): `);
    for (const {e, share: s, corpus} of raisedIn(r, m, share, RAISED))
        words.append(expertButton(r, m, e, place, `${nameOf(r, m, e)} ${percent(s)} (${percent(corpus)})`), " ");
    into.replaceChildren(scroll, words);
}
