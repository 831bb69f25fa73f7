// reading.mjs - the page as a whole: its state, and what is done with it.
//
// state = layer (m), the expert that was chosen (e, or -1: all, by the strongest), the one that is
// pointed at (lit, or -1), the token that the arrow keys have reached.
import {corpusOf, gateOf, loadReading, nameOf, strongestOf, tellingLayer} from "./choices.mjs";
import {byGate, byStrongest, places} from "./tints.mjs";
import {drawStrip, percent} from "./strip.mjs";
import {showToken} from "./token_card.mjs";

const NEAR = 3; // pixels that two tokens of one line may differ in height

/** Where an arrow key leads from token i of n: another, or i. `box` gives a token's place on the page. */
export function stepFrom(i, n, key, box) {
    if (key === "ArrowRight") return Math.min(n - 1, i + 1);
    if (key === "ArrowLeft") return Math.max(0, i - 1);
    if (key === "Home") return 0;
    if (key === "End") return n - 1;
    const by = key === "ArrowDown" ? 1 : -1, from = box(i);
    let best = i, line = null, off = Infinity;
    for (let k = i + by; k >= 0 && k < n; k += by) {
        const to = box(k);
        if (Math.abs(to.top - from.top) <= NEAR) continue;
        line ??= to.top;
        if (Math.abs(to.top - line) > NEAR) break;
        if (Math.abs(to.left - from.left) < off) [best, off] = [k, Math.abs(to.left - from.left)];
    }
    return best;
}

/** The next token (by 1) or the one before (-1) of n in a ring that is wanted, from i on, or from an end when
 *  i is -1; -1: none. */
export function seekFrom(i, n, by, wanted) {
    const from = i < 0 && by < 0 ? 0 : i;
    for (let k = 1; k <= n; k++) {
        const t = (from + by * k + n) % n;
        if (wanted(t)) return t;
    }
    return -1;
}

class Page {
    constructor(reading) {
        this.r = reading;
        this.spans = [...document.querySelectorAll(".tokens > span")];
        this.spans.forEach((span, t) => {
            span.at = t;
            span.own = span.className; // template, hit, more
        });
        this.card = document.getElementById("card");
        this.lit = this.cursor = -1;
        const asked = reading.meta.expert;
        this.m = asked ? asked.layer : tellingLayer(reading);
        this.e = asked ? asked.id : -1;
        this.fillTools();
        this.listen();
        for (const part of document.querySelectorAll(".live")) part.hidden = false;
        this.chooseLayer(this.m);
    }

    fillTools() {
        const {meta} = this.r, layer = document.getElementById("choose-layer"), to = document.getElementById("choose-text");
        meta.layers.forEach((number, m) => layer.append(new Option(number, m)));
        meta.passages.forEach((p, i) => {
            const name = p.hit < 0 ? p.id : `${p.id}, a passage`;
            to.append(new Option(p.subset ? `${p.subset}: ${name}` : name, i));
        });
        layer.addEventListener("change", () => this.chooseLayer(Number(layer.value)));
        to.addEventListener("change", () => document.getElementById(`text${to.value}`).scrollIntoView());
        const expert = document.getElementById("choose-expert");
        expert.addEventListener("change", () => this.chooseExpert(Number(expert.value)));
        document.getElementById("all").addEventListener("click", () => this.chooseExpert(-1));
    }

    listen() {
        const expertAt = (target) => {
            const found = target.closest("[data-expert]");
            return found ? Number(found.dataset.expert) : -1;
        };
        const light = (e) => this.light(expertAt(e.target));
        for (const kind of ["pointerover", "focusin"]) document.addEventListener(kind, light);
        document.addEventListener("pointerover", (e) => {
            if (e.target.at !== undefined) this.tell(e.target.at);
        });
        document.addEventListener("click", (e) => {
            const chosen = e.target.at === undefined ? expertAt(e.target) : strongestOf(this.r, this.m, e.target.at);
            if (e.target.at !== undefined) this.moveTo(e.target.at);
            if (chosen >= 0) this.chooseExpert(chosen === this.e ? -1 : chosen);
        });
        for (const text of document.querySelectorAll(".tokens")) {
            text.addEventListener("focus", () => {
                if (this.cursor < 0 || this.spans[this.cursor].parentNode !== text)
                    this.moveTo(text.querySelector(":scope > span")?.at ?? -1);
            });
            text.addEventListener("keydown", (e) => this.walk(e, text));
        }
        document.addEventListener("keydown", (e) => this.key(e));
    }

    chooseLayer(m) {
        const {r} = this, expert = document.getElementById("choose-expert");
        this.m = m;
        this.place = places(r, m);
        document.getElementById("choose-layer").value = String(m);
        expert.replaceChildren(new Option("all, coloured by the strongest", -1));
        for (let e = 0; e < r.E; e++)
            expert.append(new Option(`${nameOf(r, m, e)}  (${percent(corpusOf(r, m, e))} of the corpus)`, e));
        document.querySelectorAll(".strip").forEach((strip, i) => drawStrip(strip, r, m, r.meta.passages[i], this.place));
        this.chooseExpert(this.e);
    }

    chooseExpert(e) {
        const {r, m} = this, legend = document.getElementById("legend");
        this.e = e;
        this.lit = -1;
        document.body.classList.remove("lighting");
        document.getElementById("choose-expert").value = String(e);
        document.getElementById("all").hidden = e < 0;
        const {classes, most} = e < 0 ? {classes: byStrongest(r, m), most: 0} : byGate(r, m, e);
        this.spans.forEach((span, t) => { span.className = span.own ? `${span.own} ${classes[t]}` : classes[t]; });
        if (this.cursor >= 0) this.spans[this.cursor].classList.add("at");
        for (const bar of document.querySelectorAll(".strip g"))
            bar.classList.toggle("chosen", Number(bar.dataset.expert) === e);
        legend.textContent = e < 0
            ? "Colour: the strongest expert. Point at an expert to see only its tokens."
            : most === 0 ? `No token here chose ${nameOf(r, m, e)}.`
                : r.gate.length === 0 ? `Shaded: the tokens that chose ${nameOf(r, m, e)}.`
                    : `Shade: the gate of ${nameOf(r, m, e)}, darkest ${most.toFixed(4)}.`;
        if (this.told >= 0) this.tell(this.told);
    }

    /** Dim all tokens but those whose strongest expert it is; -1: none. */
    light(e) {
        if (e === this.lit || this.e >= 0) return;
        this.lit = e;
        document.body.classList.toggle("lighting", e >= 0);
        this.spans.forEach((span, t) => span.classList.toggle("lit", e >= 0 && strongestOf(this.r, this.m, t) === e));
    }

    tell(t) {
        this.told = t;
        showToken(this.card, this.r, this.m, t, this.place);
    }

    moveTo(t) {
        if (this.cursor >= 0) this.spans[this.cursor].classList.remove("at");
        this.cursor = t;
        if (t < 0) return;
        this.spans[t].classList.add("at");
        this.tell(t);
    }

    walk(event, text) {
        const spans = [...text.querySelectorAll(":scope > span")], first = spans[0]?.at ?? 0;
        if (event.key === "Enter" && this.cursor >= 0) {
            const e = strongestOf(this.r, this.m, this.cursor);
            this.chooseExpert(e === this.e ? -1 : e);
        } else if (/^(Arrow|Home$|End$)/.test(event.key) && this.cursor >= 0) {
            const box = (i) => spans[i].getBoundingClientRect();
            this.moveTo(first + stepFrom(this.cursor - first, spans.length, event.key, box));
            this.spans[this.cursor].scrollIntoView({block: "nearest"});
        } else return;
        event.preventDefault();
    }

    /** The next token that chose the expert, or the one before. */
    seek(by) {
        const {r, m, e} = this, t = seekFrom(this.cursor, r.T, by, (at) => gateOf(r, m, at, e) !== 0);
        if (t < 0) return;
        this.spans[t].parentNode.focus({preventScroll: true});
        this.moveTo(t);
        this.spans[t].scrollIntoView({block: "center"});
    }

    key(event) {
        const layer = {"[": -1, "]": 1}[event.key];
        if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) || event.ctrlKey || event.metaKey || event.altKey) return;
        if (event.key === "Escape") this.chooseExpert(-1);
        else if (layer && this.r.M > 0) this.chooseLayer((this.m + layer + this.r.M) % this.r.M);
        else if (/^n$/i.test(event.key) && this.e >= 0) this.seek(event.key === "n" ? 1 : -1);
        else return;
        event.preventDefault();
    }
}

async function start() {
    new Page(await loadReading());
    document.documentElement.dataset.ready = "yes";
}

if (typeof document !== "undefined")
    start().catch((error) => {
        const note = document.createElement("p");
        note.className = "note";
        note.textContent = `The colours cannot be shown: ${error.message}.`;
        document.querySelector("main").prepend(note);
        throw error;
    });
