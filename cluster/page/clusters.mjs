// clusters.mjs - the table of clusters: sorted by its headings, filtered by words, a row chosen.
import {make} from "./side.mjs";

/** Order of two cells' texts: numbers by value and before texts, "–" last. */
export function compareCells(p, q) {
    const a = parseFloat(p), b = parseFloat(q);
    if (!Number.isNaN(a) && !Number.isNaN(b)) return a - b;
    if (Number.isNaN(a) !== Number.isNaN(b)) return Number.isNaN(a) ? 1 : -1;
    return p < q ? -1 : p > q ? 1 : 0;
}

export class ClusterTable {
    /** `onCluster(c)` when a row is chosen. */
    constructor(colours, onCluster) {
        this.root = document.getElementById("clusters");
        this.table = this.root.querySelector("table");
        this.body = this.table?.tBodies[0];
        this.rows = [...this.body?.rows ?? []];
        this.onCluster = onCluster;
        if (this.rows.length === 0) return; // there is no cluster
        this.rows.forEach((row, c) => this.enliven(row, c, colours[c]));
        [...this.table.tHead.rows[0].cells].forEach((cell, at) => this.makeSortable(cell, at));
        this.addFilter();
    }

    enliven(row, c, colour) {
        const cell = row.cells[0], button = make("button", "", String(c));
        button.type = "button";
        button.style.borderLeftColor = colour;
        button.setAttribute("aria-pressed", "false");
        cell.replaceChildren(button);
        row.addEventListener("click", () => this.onCluster(c));
    }

    makeSortable(cell, at) {
        const button = make("button", "", ...cell.childNodes);
        button.type = "button";
        cell.replaceChildren(button);
        button.addEventListener("click", () => {
            const down = cell.getAttribute("aria-sort") === "ascending";
            for (const other of this.table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
            cell.setAttribute("aria-sort", down ? "descending" : "ascending");
            this.sort(at, down ? -1 : 1);
        });
    }

    sort(at, sign) {
        const text = (row) => row.cells[at].textContent;
        const sorted = [...this.rows].sort((p, q) => sign * compareCells(text(p), text(q)));
        this.body.append(...sorted);
    }

    addFilter() {
        const input = make("input", "");
        input.type = "search";
        input.id = "filter-clusters";
        input.placeholder = "keyword or subset";
        input.addEventListener("input", () => {
            const wanted = input.value.toLowerCase();
            for (const row of this.rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
        });
        this.table.parentElement.before(make("div", "tools", make("label", "", "Filter ", input)));
    }

    /** Mark the row of cluster c; -1: none. */
    mark(c) {
        this.rows.forEach((row, at) => {
            row.classList.toggle("chosen", at === c);
            row.cells[0].firstChild.setAttribute("aria-pressed", String(at === c));
        });
    }
}
