// token_card.mjs - all that is known of one token.
import {PHASES, choicesOf, marginOf, nameOf, spellingOf} from "./choices.mjs";
import {expertButton} from "./strip.mjs";

function line(className, text) {
    const p = document.createElement("p");
    p.className = className;
    p.textContent = text;
    return p;
}

/** [token, facts], as sentences. */
export function wordsOf(r, m, t) {
    const spelling = spellingOf(r, t), margin = marginOf(r, m, t), facts = [];
    facts.push(`id ${r.token[t]}`, `position ${r.pos[t]}`, PHASES[r.phase[t]] ?? `phase ${r.phase[t]}`);
    if (r.nll.length > 0 && !Number.isNaN(r.nll[t])) facts.push(`\u2212ln p ${r.nll[t].toFixed(3)}`);
    if (!Number.isNaN(margin)) facts.push(`margin ${margin.toFixed(4)}`);
    return [spelling === null ? `token ${r.token[t]}` : `\u201c${spelling}\u201d`, facts.join(", ")];
}

export function showToken(into, r, m, t, place) {
    const [token, facts] = wordsOf(r, m, t), choices = choicesOf(r, m, t), list = document.createElement("ol");
    const most = Math.max(...choices.map(({gate}) => gate), 1e-9);
    const words = (e, gate) => (r.gate.length > 0 ? `${nameOf(r, m, e)}  ${gate.toFixed(4)}` : nameOf(r, m, e));
    for (const {e, gate} of choices) {
        const item = document.createElement("li"), bar = document.createElement("span");
        bar.className = "bar";
        bar.style.width = `${Math.round(100 * gate / most)}%`;
        item.append(expertButton(r, m, e, place, words(e, gate)), document.createElement("span"));
        item.lastChild.append(bar);
        list.append(item);
    }
    into.replaceChildren(line("token", token), line("facts", facts),
        choices.length > 0 ? list : line("facts", "The router's output is not finite, so no expert was chosen."));
}
