// side.mjs - what stands beside the map: the meaning of its colours, the card of a document,
// the list of the chosen ones. Texts of strangers go in by textContent only.
import {clusterOf, shareColumn, shareOf, expertName} from "./data.mjs";
import {frequent} from "./selection.mjs";

const LISTED = 40, EXAMPLES = 3; // documents
const CARD_TEXT = 400; // characters

/** A new element with a class and children, texts or elements. */
export function make(tag, className, ...children) {
    const element = document.createElement(tag);
    if (className) element.className = className;
    element.append(...children);
    return element;
}

/** A text of a stranger, which may run from right to left, kept in its own place. */
function strange(tag, className, text) {
    const element = make(tag, className, text);
    element.dir = "auto";
    return element;
}

/** A small square of a colour. The policy forbids style attributes, not this. */
function swatch(colour) {
    const element = make("i", "swatch");
    element.style.backgroundColor = colour;
    return element;
}

export function clusterName(atlas, c) {
    if (c < 0) return "no cluster";
    return `${c} ${clusterTitle(atlas.meta.clusters[c], 4)}`;
}

/** The name it was given, or its first keywords. */
export function clusterTitle(cluster, most) {
    return cluster.name || cluster.keywords.slice(0, most).join(", ");
}

/** What the colours mean; onGroup(s) when one of a legend's groups is chosen. */
export function showLegend(atlas, legend, onGroup) {
    const root = document.getElementById("legend");
    root.replaceChildren(make("h3", "", legend.title));
    if (legend.groups) {
        const list = make("ul", "groups");
        legend.groups.forEach((group, s) => {
            const button = make("button", "", swatch(group.colour), group.name);
            button.type = "button";
            button.addEventListener("click", () => onGroup(s));
            list.append(make("li", "", button));
        });
        root.append(list);
    } else if (legend.lo !== undefined) {
        const bar = make("div", "scale");
        bar.style.backgroundImage = `linear-gradient(to right, ${atlas.meta.sequential.slice(9).join()})`;
        root.append(bar, make("div", "ends", make("span", "", legend.lo), make("span", "", legend.hi)));
    }
}

/** What is known of document i, as lines of a card. */
function cardLines(atlas, i, expert) {
    const c = clusterOf(atlas, i), lines = [];
    const subset = atlas.meta.subsets[atlas.subset[i]];
    lines.push(make("b", "", clusterName(atlas, c)));
    const facts = [`${atlas.tokens[i]} token${atlas.tokens[i] === 1 ? "" : "s"}`];
    if (c >= 0) facts.push(`probability ${(atlas.probability[i] / 255).toFixed(2)}`);
    const column = expert >= 0 ? shareColumn(atlas, expert) : -1;
    if (column >= 0)
        facts.push(`expert ${expertName(atlas, expert)}: about ${shareOf(atlas, column, i).toFixed(1)} x uniform`);
    if (subset) facts.unshift(subset.name);
    lines.push(make("div", "facts", facts.join(" · ")));
    if (atlas.texts[i]) lines.push(strange("p", "text", atlas.texts[i].slice(0, CARD_TEXT)));
    if (atlas.ids[i]) lines.push(strange("div", "id", atlas.ids[i]));
    return lines;
}

/** The card at a pixel of the map; i < 0: none. */
export function showHover(atlas, i, x, y, expert) {
    const card = document.getElementById("hover"), map = document.getElementById("map");
    card.hidden = i < 0;
    if (i < 0) return;
    card.replaceChildren(...cardLines(atlas, i, expert));
    const left = x > map.clientWidth / 2, above = y > map.clientHeight / 2;
    card.style.left = left ? "" : `${x + 14}px`;
    card.style.right = left ? `${map.clientWidth - x + 14}px` : "";
    card.style.top = above ? "" : `${y + 14}px`;
    card.style.bottom = above ? `${map.clientHeight - y + 14}px` : "";
}

/** One document, in full, and said aloud. */
export function showDocument(atlas, i, expert) {
    document.getElementById("chosen").replaceChildren(make("div", "card", ...cardLines(atlas, i, expert)));
    say(`${clusterName(atlas, clusterOf(atlas, i))}. ${atlas.texts[i] ?? ""}`.slice(0, CARD_TEXT));
}

export function say(text) {
    document.getElementById("map-says").textContent = text;
}

function shareLines(title, pairs, total, nameOf) {
    const list = make("ul", "shares");
    for (const [group, number] of pairs)
        list.append(make("li", "", `${((100 * number) / total).toFixed(0)} % `, nameOf(group)));
    return [make("h3", "", title), list];
}

/** Documents as a list of buttons. */
function documentList(atlas, title, documents, onDocument) {
    const list = make("ol", "documents");
    for (const i of documents) {
        const button = strange("button", "", atlas.texts[i] || atlas.ids[i] || `document ${i}`);
        button.type = "button";
        button.addEventListener("click", () => onDocument(i));
        list.append(make("li", "", button));
    }
    return documents.length ? [make("h3", "", title), list] : [];
}

/** The chosen documents (mask, n): how many, of which clusters and subsets, which ones. `cluster`:
 * the one whose typical documents are shown too, or -1. */
export function showChosen(atlas, mask, cluster, onDocument) {
    const root = document.getElementById("chosen"), listed = [];
    let total = 0;
    for (let i = 0; i < atlas.n; i++) {
        if (!mask[i]) continue;
        total++;
        if (listed.length < LISTED) listed.push(i);
    }
    say(`${total} of ${atlas.n} documents selected.`);
    root.replaceChildren();
    if (cluster >= 0) {
        const {typical, odd, keywords} = atlas.meta.clusters[cluster];
        root.append(make("p", "", make("b", "", `Cluster ${clusterName(atlas, cluster)}`), `: ${keywords.join(", ")}`),
            ...documentList(atlas, "Typical documents", typical.slice(0, EXAMPLES), onDocument),
            ...documentList(atlas, "Odd documents", odd.slice(0, EXAMPLES), onDocument));
    }
    if (total === 0) return;
    root.append(...shareLines("Clusters", frequent(atlas, mask, (i) => clusterOf(atlas, i), 5), total,
        (c) => clusterName(atlas, c)));
    if (atlas.meta.subsets.length > 1)
        root.append(...shareLines("Subsets", frequent(atlas, mask, (i) => atlas.subset[i], 5), total,
            (s) => atlas.meta.subsets[s].name));
    root.append(...documentList(atlas, total > LISTED ? `The first ${LISTED} documents` : "Documents", listed, onDocument));
}

export function showNothing(atlas) {
    document.getElementById("chosen").replaceChildren();
    say(`${atlas.n} documents. Point at one, draw a lasso, search, or choose a cluster.`);
}
