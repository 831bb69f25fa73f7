// heat.mjs - the heatmap pair of a cluster: layers down, experts across; all experts, and the
// important ones alone. A click on an expert colours the map by it.
import {MODES, expertName, hasMode, isImportant, topExperts, valueOf} from "./data.mjs";
import {colourAt} from "./colours.mjs";
import {clusterName, make} from "./side.mjs";

const LEFT = 34, TOP = 4, BELOW = 34, BAR = 12; // pixels around the cells
const LEAST_CELL = 3, MOST_CELL = 22;
const TOP_LISTED = 20;

/** A step between numbers on an axis, so that there are at most `most` of them. */
export function tickStep(n, most) {
    let step = 1;
    while (n / step > most) step *= 2;
    return step;
}

export class HeatPair {
    constructor(atlas, onExpert, onCluster) {
        this.atlas = atlas;
        this.onExpert = onExpert;
        this.cluster = 0;
        this.mode = "raw";
        this.cursor = -1;
        this.panels = ["all", "important"].map((name) => ({
            canvas: document.getElementById(`heat-${name}`), onlyImportant: name === "important"}));
        this.fillChoices(onCluster);
        for (const panel of this.panels) this.listen(panel);
        new ResizeObserver(() => this.draw()).observe(document.querySelector(".pair"));
    }

    fillChoices(onCluster) {
        const clusters = document.getElementById("heat-cluster"), modes = document.getElementById("heat-mode");
        this.atlas.meta.clusters.forEach((_, c) => clusters.append(new Option(clusterName(this.atlas, c), c)));
        clusters.addEventListener("change", () => onCluster(Number(clusters.value)));
        for (const [mode, {title}] of Object.entries(MODES)) {
            const option = new Option(title, mode);
            option.disabled = !hasMode(this.atlas, mode);
            modes.append(option);
        }
        modes.addEventListener("change", () => {
            this.mode = modes.value;
            this.draw();
        });
    }

    listen(panel) {
        const at = (e) => {
            const box = panel.canvas.getBoundingClientRect();
            return this.expertAt(e.clientX - box.left, e.clientY - box.top);
        };
        panel.canvas.addEventListener("pointermove", (e) => this.describe(at(e)));
        panel.canvas.addEventListener("click", (e) => {
            if (at(e) >= 0) this.onExpert(at(e));
        });
        panel.canvas.addEventListener("keydown", (e) => this.key(e));
    }

    key(e) {
        const {experts, layers} = this.atlas.meta, size = experts * layers;
        const move = {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -experts, ArrowDown: experts}[e.key];
        if (e.key === "Enter" && this.cursor >= 0) this.onExpert(this.cursor);
        else if (move === undefined) return;
        else this.cursor = Math.min(size - 1, Math.max(0, this.cursor < 0 ? 0 : this.cursor + move));
        e.preventDefault();
        this.describe(this.cursor);
        this.draw();
    }

    describe(d) {
        const says = document.getElementById("heat-says");
        if (d < 0) return;
        const value = valueOf(this.atlas, this.mode, this.cluster, d);
        const [layer, expert] = expertName(this.atlas, d).split(":");
        says.textContent = `layer ${layer}, expert ${expert}: ${value.toFixed(2)}` +
            (isImportant(this.atlas, this.cluster, d) ? ", important" : "");
    }

    /** Cluster c; the section is hidden where the atlas has none. */
    show(c) {
        const {atlas} = this, none = atlas.meta.clusters.length === 0;
        document.getElementById("experts").hidden = none;
        if (none) return;
        this.cluster = c;
        document.getElementById("heat-cluster").value = String(c);
        document.getElementById("experts-of").textContent = `cluster ${clusterName(atlas, c)}`;
        const buttons = topExperts(atlas, c, TOP_LISTED).map(({d, lift}) => {
            const button = make("button", "", `${expertName(atlas, d)} x${lift.toFixed(1)}`);
            button.type = "button";
            button.addEventListener("click", () => this.onExpert(d));
            return button;
        });
        document.getElementById("heat-top").replaceChildren(...(buttons.length ? buttons : ["none stands out"]));
        this.draw();
    }

    expertAt(x, y) {
        const {experts, layers} = this.atlas.meta;
        const col = Math.floor((x - LEFT) / this.cellX), row = Math.floor((y - TOP) / this.cellY);
        return col >= 0 && row >= 0 && col < experts && row < layers ? row * experts + col : -1;
    }

    draw() {
        const {experts, layers} = this.atlas.meta, room = this.panels[0].canvas.parentElement.clientWidth;
        if (room <= LEFT || this.atlas.meta.clusters.length === 0) return;
        this.cellX = Math.min(MOST_CELL, (room - LEFT - 2) / experts);
        this.cellY = Math.min(MOST_CELL, Math.max(LEAST_CELL, Math.min(2 * this.cellX, 420 / layers)));
        const values = Float64Array.from({length: experts * layers},
            (_, d) => valueOf(this.atlas, this.mode, this.cluster, d));
        const most = values.reduce((m, v) => Math.max(m, Math.abs(v)), 0) || 1;
        for (const panel of this.panels) this.drawPanel(panel, values, most);
    }

    drawPanel({canvas, onlyImportant}, values, most) {
        const {experts, layers} = this.atlas.meta, ratio = window.devicePixelRatio || 1;
        const width = LEFT + this.cellX * experts + 2, height = TOP + this.cellY * layers + BELOW + BAR;
        canvas.width = Math.round(width * ratio);
        canvas.height = Math.round(height * ratio);
        canvas.style.width = `${width}px`;
        canvas.style.height = `${height}px`;
        const pen = canvas.getContext("2d"), {diverging} = MODES[this.mode];
        const scale = diverging ? this.atlas.meta.diverging : this.atlas.meta.sequential;
        pen.scale(ratio, ratio);
        const whole = (pixels) => Math.round(pixels * ratio) / ratio; // cells meet at pixels of the screen: no seams
        values.forEach((v, d) => {
            const col = d % experts, row = Math.floor(d / experts);
            const empty = onlyImportant && !isImportant(this.atlas, this.cluster, d);
            pen.fillStyle = colourAt(scale, empty ? (diverging ? 0.5 : 0) : diverging ? 0.5 + v / most / 2 : v / most);
            const x = whole(LEFT + col * this.cellX), y = whole(TOP + row * this.cellY);
            pen.fillRect(x, y, whole(LEFT + (col + 1) * this.cellX) - x, whole(TOP + (row + 1) * this.cellY) - y);
        });
        this.drawAxes(pen, scale, most, diverging);
        if (this.cursor >= 0) {
            pen.strokeStyle = "#d40";
            pen.lineWidth = 2;
            pen.strokeRect(LEFT + (this.cursor % experts) * this.cellX,
                TOP + Math.floor(this.cursor / experts) * this.cellY, this.cellX, this.cellY);
        }
    }

    /** Layer numbers, expert numbers, and the scale with its ends. */
    drawAxes(pen, scale, most, diverging) {
        const {experts, layers, layerOfMoe} = this.atlas.meta, bottom = TOP + this.cellY * layers;
        pen.fillStyle = getComputedStyle(document.body).color;
        pen.font = "11px system-ui, sans-serif";
        pen.textBaseline = "middle";
        pen.textAlign = "right";
        const down = tickStep(layers, (layers * this.cellY) / 13), across = tickStep(experts, (experts * this.cellX) / 30);
        for (let l = 0; l < layers; l += down)
            pen.fillText(String(layerOfMoe[l]), LEFT - 4, TOP + (l + 0.5) * this.cellY);
        pen.textAlign = "center";
        for (let e = 0; e < experts; e += across)
            pen.fillText(String(e), LEFT + (e + 0.5) * this.cellX, bottom + 9);
        const y = bottom + 20, width = Math.min(200, experts * this.cellX * 0.5);
        pen.textAlign = "left";
        pen.fillText(`${MODES[this.mode].title}: ${diverging ? (-most).toFixed(1) : "0"} to ${most.toFixed(1)}`,
            LEFT + width + 8, y + BAR / 2);
        scale.forEach((colour, i) => {
            pen.fillStyle = colour;
            pen.fillRect(LEFT + (i * width) / scale.length, y, width / scale.length + 0.5, BAR);
        });
    }
}
