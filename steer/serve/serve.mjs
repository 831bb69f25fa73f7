// serve.mjs - the server's page: clusters become columns, each with a weight; a prompt is continued
// in all of them at once, from the same draws.
//
// Everything that comes from the server or from a text is put on the page as text, never as markup.

const at = (id) => document.getElementById(id);
const MOST = 6; // columns beside the unsteered one
const LIVELY = 0.8; // temperature where the server's is 0, whose texts run in circles on small models

let about = null;
const columns = []; // {kind, key, title, weight, box, text, note}; the first is unsteered
let running = null; // AbortController of what is being written
let written = []; // the columns that it is written into: others may come and go meanwhile

function make(tag, className, text) {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
}

function say(text, wrong = false) {
    at("state").className = wrong ? "wrong" : "";
    at("state").textContent = text;
}

// ---- columns ----

const isOf = (column, entry) => column.kind === entry.kind && column.key === entry.key;

function addColumn(entry) {
    const column = { ...entry, weight: 2, box: make("article", "column") };
    column.box.append(make("h2", "", column.title));
    if (column.kind !== "unsteered") column.box.prepend(removerOf(entry)), column.box.append(weightOf(column));
    column.text = make("div", "text");
    column.text.tabIndex = -1;
    column.note = make("p", "about");
    column.box.append(column.text, column.note);
    at("columns").append(column.box);
    columns.push(column);
}

function removerOf(entry) {
    const button = make("button", "remove", "\u00d7");
    button.type = "button";
    button.ariaLabel = button.title = `remove ${entry.title}`;
    button.addEventListener("click", () => toggle(entry));
    return button;
}

// A slider and a number that follow each other.
function weightOf(column) {
    const row = make("label", "weight", "weight");
    const slider = make("input"), number = make("input");
    Object.assign(slider, { type: "range", min: -6, max: 6, step: 0.25, value: column.weight });
    Object.assign(number, { type: "number", step: 0.25, value: column.weight });
    slider.ariaLabel = number.ariaLabel = `weight of ${column.title}`;
    const take = (from, to) => {
        if (!Number.isFinite(from.valueAsNumber)) return;
        column.weight = from.valueAsNumber;
        to.value = column.weight;
        showCommands();
    };
    slider.addEventListener("input", () => take(slider, number));
    number.addEventListener("input", () => take(number, slider));
    number.addEventListener("blur", () => { number.value = column.weight; }); // not left empty
    slider.addEventListener("change", () => at("form").requestSubmit());
    number.addEventListener("keydown", (event) => {
        if (event.key === "Enter") at("form").requestSubmit();
    });
    row.append(slider, number);
    return row;
}

function toggle(entry) {
    const i = columns.findIndex((column) => isOf(column, entry));
    if (i > 0) {
        const held = columns[i].box.contains(document.activeElement); // its button goes: a key needs another place
        columns[i].box.remove();
        columns.splice(i, 1);
        if (held) (columns[i] ?? columns[i - 1]).box.querySelector("button, .text").focus();
    } else if (columns.length <= MOST) {
        addColumn(entry);
    } else {
        say(`${MOST} at a time; remove one before you add another`, true);
    }
    markList();
    showCommands();
}

// ---- what there is to steer to ----

function entries() {
    const clusters = (about.clusters ?? []).map((c) => ({
        kind: "cluster",
        key: c.id,
        title: `cluster ${c.id}: ${c.name || c.keywords.slice(0, 4).join(" ")}`,
        words: c.keywords.join(", "),
        size: c.documents,
    }));
    const subsets = (about.subsets ?? []).map((name) => ({ kind: "subset", key: name, title: `subset ${name}`, words: name }));
    const plans = about.plans.map((name) => ({ kind: "plan", key: name, title: `plan ${name}`, words: name }));
    return [...plans, ...clusters, ...subsets];
}

function showList() {
    const wanted = at("find").value.toLowerCase().trim().split(/[\s,]+/).filter(Boolean);
    const shown = entries().filter((e) => {
        const all = `${e.title} ${e.words}`.toLowerCase();
        return wanted.every((word) => (/^\d+$/.test(word) && e.kind === "cluster" ? e.key === Number(word) : all.includes(word)));
    });
    at("list").replaceChildren(...shown.map((entry) => {
        const button = make("button");
        button.type = "button";
        button.tabIndex = -1; // arrows go from one to the next, so that Tab need not
        button.entry = entry;
        if (entry.size !== undefined) button.append(make("span", "about", `${entry.size} text${entry.size === 1 ? "" : "s"}`));
        button.append(make("b", "", `${entry.kind} ${entry.key}`), ` ${entry.kind === "cluster" ? entry.words : ""}`);
        button.addEventListener("click", () => toggle(entry));
        const item = make("li");
        item.append(button);
        return item;
    }));
    const first = at("list").querySelector("button");
    if (first) first.tabIndex = 0;
    markList();
}

function markList() {
    for (const button of at("list").querySelectorAll("button"))
        button.ariaPressed = String(columns.some((column) => isOf(column, button.entry)));
}

// From one button of the list to another.
function moveInList(event) {
    const buttons = [...at("list").querySelectorAll("button")], i = buttons.indexOf(document.activeElement);
    const to = { ArrowDown: i + 1, ArrowUp: i - 1, Home: 0, End: buttons.length - 1 }[event.key];
    if (i < 0 || buttons[to] === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    buttons[to].focus();
}

// ---- requests ----

const rules = () => ({
    filter: at("filter").value,
    scale: at("scale").value,
    mode: at("mode").value,
    phase: at("phase").value,
    schedule: at("schedule").value,
    ...(at("layers").value ? { layers: at("layers").value } : {}),
});

function steerOf(column) {
    if (column.kind === "unsteered") return null;
    if (column.kind === "plan") return { plan: column.key, weight: column.weight };
    // a name may hold "=", after which a weight is looked for
    const key = column.kind === "subset" ? `${column.key}=1` : column.key;
    return { [column.kind]: key, weight: column.weight, ...rules() };
}

function request() {
    const chat = at("chat").checked;
    const messages = [{ role: "user", content: at("prompt").value }];
    if (at("system").value) messages.unshift({ role: "system", content: at("system").value });
    return {
        ...(chat ? { messages } : { prompt: at("prompt").value }),
        max_tokens: at("tokens").valueAsNumber,
        temperature: at("temperature").valueAsNumber,
        seed: at("seed").valueAsNumber,
        stream: true,
        steer: columns.map(steerOf),
    };
}

// What a browser says of a lost connection differs; that it was given up here does not.
function gone(error) {
    throw error.name === "AbortError" ? error : new Error("the server does not answer; is gm-steer serve still running?");
}

// The answer to what is asked; an error says what was wrong with it.
async function ask(path, body, signal) {
    const how = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal };
    const response = await fetch(path, how).catch(gone);
    if (!response.ok) throw new Error((await response.json()).error.message);
    return response;
}

// Each event's JSON, as it comes.
async function* events(response) {
    const decoder = new TextDecoder();
    const reader = response.body.getReader();
    let rest = "";
    for (;;) {
        const { value, done } = await reader.read().catch(gone);
        if (done) return;
        rest += decoder.decode(value, { stream: true });
        const parts = rest.split("\n\n");
        rest = parts.pop();
        for (const part of parts)
            if (part.startsWith("data: ") && part !== "data: [DONE]") yield JSON.parse(part.slice(6));
    }
}

function take(choice) {
    const column = written[choice.index];
    column.text.append(choice.delta?.content ?? choice.text ?? "");
    if (!choice.finish_reason) return;
    const dose = choice.important_share;
    column.note.textContent = dose === null ? "" : `its experts are among those chosen in ${Math.round(100 * dose)} % of tokens and layers`;
}

async function write() {
    running?.abort();
    const mine = (running = new AbortController());
    const chat = at("chat").checked, began = performance.now(), prompt = at("prompt").value;
    const asked = [...columns];
    at("go").textContent = "Stop";
    say("writing");
    try {
        const response = await ask(chat ? "v1/chat/completions" : "v1/completions", request(), mine.signal);
        written = asked; // what is refused leaves the texts that there are
        for (const column of written) {
            column.text.replaceChildren(make("span", "given", prompt + (chat ? "\n" : "")));
            column.note.textContent = "";
        }
        for await (const event of events(response)) {
            if (event.error) throw new Error(event.error.message);
            event.choices.forEach(take);
            if (event.usage) {
                const seconds = (performance.now() - began) / 1000;
                const n = event.usage.completion_tokens;
                say(`${n} token${n === 1 ? "" : "s"} in ${seconds.toFixed(1)} s`);
            }
        }
    } catch (error) {
        if (running !== mine) return; // another has begun
        if (mine.signal.aborted) say("stopped");
        else say(error.message, true);
    } finally {
        if (running === mine) {
            running = null;
            at("go").textContent = "Write";
        }
    }
}

// ---- the same on the command line ----

const quote = (text) => (/^[\w.,:=/+-]+$/.test(text) ? String(text) : `'${String(text).replaceAll("'", "'\\''")}'`);

// Values stand after "=", so that none is taken for an option.
const option = (name, value) => (value === true ? `--${name}` : `--${name}=${quote(value)}`);

function commandOf(column) {
    const words = ["gm-steer", "generate", "--model", quote(about.model)];
    for (const [name, value] of Object.entries(about.options)) words.push(...[value].flat().map((one) => option(name, one)));
    if (column.kind === "plan") words.push("--plan", quote(about.plan_files[about.plans.indexOf(column.key)]));
    else if (column.kind !== "unsteered") {
        words.push("--atlas", quote(about.atlas), option(column.kind, column.kind === "subset" ? `${column.key}=1` : column.key));
        const usual = { filter: "lift", scale: "logratio", mode: "bias", phase: "both", schedule: "constant" };
        for (const [name, value] of Object.entries(rules()))
            if (value !== usual[name]) words.push(option(name, value));
    }
    if (column.kind !== "unsteered") words.push(`--weight=${column.weight}`);
    if (at("chat").checked) words.push("--chat");
    if (at("chat").checked && at("system").value) words.push(option("system", at("system").value));
    words.push("--max-tokens", at("tokens").value, "--temperature", at("temperature").value, "--seed", at("seed").value);
    words.push(option("prompt", at("prompt").value));
    return words.join(" ");
}

function showCommands() {
    at("systems").hidden = !at("chat").checked;
    at("commands").textContent = columns.map(commandOf).join("\n\n");
}

// ---- begin ----

async function begin() {
    about = await (await fetch("about").catch(gone)).json();
    document.title = `${about.model.split("/").pop()}: gm-steer`;
    at("model").textContent = `${about.model}: ${about.layers} layers of ${about.experts} experts, ${about.chosen} a token; ${about.numerics}`;
    at("temperature").value = about.sampling.temperature || LIVELY;
    at("seed").value = about.sampling.seed;
    at("tokens").value = about.sampling.max_tokens;
    at("tokens").max = about.context - 1;
    at("chats").hidden = !about.chat;
    addColumn({ kind: "unsteered", key: "", title: "unsteered" });
    const first = entries()[0];
    if (first) addColumn(first);
    at("choose").hidden = !first;
    if (!first) say("Nothing to steer towards: gm-steer serve --atlas FILE lists clusters, --plan FILE a plan.");
    showList();
    showCommands();
    at("find").addEventListener("input", showList);
    at("list").addEventListener("keydown", moveInList);
    at("list").addEventListener("focusin", (event) => { // Tab comes back to the last one
        for (const button of at("list").querySelectorAll("button")) button.tabIndex = button === event.target ? 0 : -1;
    });
    document.addEventListener("input", showCommands);
    at("form").addEventListener("submit", (event) => {
        event.preventDefault();
        if (running && event.submitter) running.abort();
        else write();
    });
    at("prompt").addEventListener("keydown", (event) => {
        if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) at("form").requestSubmit();
    });
}

begin().catch((error) => say(error.message, true));
