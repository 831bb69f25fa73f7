#!/usr/bin/env python3
"""The page of gm-probe read: experts, gates, margins and losses on it are those that gm-probe export writes of the same
documents; shares are those of the counts; hostile text stays text; what its policy names is all that runs; the same run
gives the same bytes; a full disk leaves nothing. Its scripts parse and pass tests/page, where Node is."""
import array
import json
import pathlib
import shutil
import struct
import subprocess
import sys

from test_page import BIN, HOSTILE, SOURCE, TINY, TOPICS, Parts, check_policy, run

DOCUMENTS = 12
TEMPLATE = 2  # the phase of tokens that are of no text
CUT = "\u20ac\U0001f600 \u0442\u0435\u043a\u0441\u0442 caf\u00e9"  # characters of more than one token


def collect(name, *more, corpus="c.jsonl"):
    run("gm-probe", "collect", "--model", TINY, "--corpus", corpus, "--min-tokens", "20", "--doc-tokens", "200", "-o", name,
        "--quiet", "--force", *more)


def make_traces():
    lines = []
    for i in range(DOCUMENTS):
        topic = list(TOPICS)[i % 3]
        words = TOPICS[topic].split()
        text = f"{HOSTILE} \"quoted\" \\ <!-- {CUT}\n\t" + " ".join(words[(i + 3 * k) % len(words)] for k in range(30))
        lines.append(json.dumps({"text": text, "meta": {"pile_set_name": topic + "</script>"}}))
    pathlib.Path("c.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    collect("t.h5", "--nll")


def read(*options, trace="t.h5", page="p.html"):
    run("gm-probe", "read", trace, "-o", page, "--force", "--quiet", *options)
    return Parts(pathlib.Path(page).read_text(encoding="utf-8"))


class Reading:
    """The data of a page, as its script has it."""

    def __init__(self, parts):
        self.meta = json.loads(parts.data["meta"])
        self.layers, self.chosen = len(self.meta["layers"]), self.meta["chosen"]
        for name, kind in (("token", "I"), ("pos", "I"), ("phase", "B"), ("expert", "H"), ("margin", "e"), ("gate", "e"),
                           ("corpus", "f"), ("nll", "f")):
            data = parts.unpacked(name) if name in parts.data else b""
            setattr(self, name, struct.unpack(f"<{len(data) // struct.calcsize(kind)}{kind}", data))
        self.tokens = len(self.phase)

    def choices(self, values, token):
        """(L,K) of a token."""
        at = [(layer * self.tokens + token) * self.chosen for layer in range(self.layers)]
        return [list(values[i:i + self.chosen]) for i in at]


def exported(trace="t.h5"):
    run("gm-probe", "export", trace, "--gates", "-o", "x.jsonl", "--force", "--quiet")
    return [json.loads(line) for line in pathlib.Path("x.jsonl").read_text(encoding="utf-8").splitlines()]


def array_of(name, kind):
    run("gm-probe", "export", "t.h5", "--array", name, "-o", "x.npy", "--force", "--quiet")
    data = pathlib.Path("x.npy").read_bytes()
    return array.array(kind, data[10 + int.from_bytes(data[8:10], "little"):])


def same(a, b):
    return a == b or (a != a and b != b)


def check_numbers():
    """Every document, one page of all, against export."""
    lines = exported()
    page = Reading(read("--model", TINY, *(word for i in range(len(lines)) for word in ("--doc", str(i)))))
    margins, losses, counts = array_of("margin", "f"), array_of("nll", "f"), array_of("counts", "I")
    first = 0
    assert [p["sha"] for p in page.meta["passages"]] == [line["sha"] for line in lines]
    for passage, line in zip(page.meta["passages"], lines):
        assert (passage["id"], passage["subset"]) == (line["id"], line["subset"])
        assert (passage["first"], passage["tokens"]) == (first, len(line["token_ids"]))
        for t, token in enumerate(line["token_ids"]):
            at = first + t
            assert (page.token[at], page.pos[at], page.phase[at]) == (token, t, line["phase"][t])
            assert page.choices(page.expert, at) == line["routed_experts"][t]
            assert page.choices(page.gate, at) == line["gates"][t]
            assert same(page.nll[at], losses[at])
            for layer in range(page.layers):
                assert same(page.margin[layer * page.tokens + at], margins[at * page.layers + layer])
        first += passage["tokens"]
    assert first == page.tokens == len(losses)

    experts, n = page.meta["experts"], sum(line["phase"].count(0) for line in lines)
    for i, share in enumerate(page.corpus):
        count = sum(counts[i::page.layers * experts])
        assert abs(share - count / n) <= 1e-6 * (count / n), (i, share, count, n)


def check_texts(parts):
    """The page as a text is the documents, and nothing in it runs."""
    check_policy(parts, scripts=1)
    meta = json.loads(parts.data["meta"])
    spelt = dict(zip(meta["ids"], meta["spellings"]))
    assert all("\n" not in s and "\x1b" not in s for s in spelt.values())
    page = pathlib.Path("p.html").read_text(encoding="utf-8")
    text = page[page.index('<div class="tokens"'):page.index("</div>\n</article>")]
    for part in ("alert", "\\x1b", "\\u{202e}", "\\u{2028}", "\u20ac", "\U0001f600", "<i>\u21b5</i>\n", "<i>\u2192</i>\t"):
        bare = "".join(text.split("<span>")).replace("</span>", "").replace('<span class="more">', "")
        assert part in bare, (part, bare[:600])


def check_choices():
    parts = read("--model", TINY)
    meta = json.loads(parts.data["meta"])
    assert [p["subset"] for p in meta["passages"]] == [t + "</script>" for t in TOPICS for _ in range(2)], meta["passages"]
    first = pathlib.Path("p.html").read_bytes()
    read("--model", TINY)
    assert pathlib.Path("p.html").read_bytes() == first, "the same run, the same bytes"

    # an expert's passages have its largest gates in the texts, one a document
    lines = exported()
    layers = meta["layers"]
    for expert in (0, 7):
        gates = []
        for line in lines:
            tokens = zip(line["routed_experts"], line["gates"], line["phase"])
            found = [g for ids, gs, phase in tokens if phase != TEMPLATE for i, g in zip(ids[1], gs[1]) if i == expert]
            gates += [max(found)] if found else []
        page = Reading(read("--expert", f"{layers[1]}:{expert}", "--passages", "4", "--limit", "1"))
        assert page.meta["expert"] == {"layer": 1, "id": expert}
        shown = []
        for passage in page.meta["passages"]:
            if passage["hit"] >= 0:
                token = passage["first"] + passage["hit"]
                shown.append(page.choices(page.gate, token)[1][page.choices(page.expert, token)[1].index(expert)])
        assert shown == sorted(gates, reverse=True)[:4], (shown, gates)

    one = Reading(read("--doc", "c.jsonl:3", "--layer", str(layers[1])))
    assert one.meta["layers"] == [layers[1]] and one.meta["spellings"] is None
    assert one.choices(one.expert, 5) == [lines[2]["routed_experts"][5][1]]


def check_size():
    """As many texts as are promised to fit do; one more is refused before it is read (probe/reading_page.h)."""
    meta = Reading(read("--doc", "0")).meta
    layer = 4 * meta["chosen"] + 2
    most = (16 << 20) // (40 + (13 + len(meta["layers"]) * layer) * 4 // 3) // meta["passages"][0]["tokens"]
    read(*["--doc", "0"] * most)
    assert pathlib.Path("p.html").stat().st_size <= 16 << 20
    options = [BIN / "gm-probe", "read", "t.h5", "-o", "large.html", "--force", *["--doc", "0"] * (most + 1)]
    done = subprocess.run(options, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "above the limit of 16.8 MB" in done.stderr, (done.returncode, done.stderr)
    assert not pathlib.Path("large.html").exists()


def check_dropped():
    """Of texts that nobody asked for, as many are shown as fit, and it is said how many."""
    lines = pathlib.Path("c.jsonl").read_text(encoding="utf-8").splitlines()
    pathlib.Path("many.jsonl").write_text("\n".join(lines * 100) + "\n", encoding="utf-8")
    collect("many.h5", corpus="many.jsonl")
    done = subprocess.run([BIN / "gm-probe", "read", "many.h5", "--limit", "1000", "-o", "many.html", "--force", "--quiet"],
                          capture_output=True, text=True, check=True)
    meta = Reading(Parts(pathlib.Path("many.html").read_text(encoding="utf-8"))).meta
    tokens = [passage["tokens"] for passage in meta["passages"]]
    most = (16 << 20) // (40 + (9 + len(meta["layers"]) * (4 * meta["chosen"] + 2)) * 4 // 3)
    assert most - max(tokens) < sum(tokens) <= most, (sum(tokens), most)
    assert f"the page has {len(tokens)} of {100 * len(lines)} texts" in done.stderr, done.stderr


def check_full_disk():
    limited = "ulimit -f 8; trap '' XFSZ; exec \"$0\" read t.h5 -o full.html --quiet"
    done = subprocess.run(["bash", "-c", limited, BIN / "gm-probe"], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "full.html" in done.stderr, done
    assert not list(pathlib.Path(".").glob("full.html*")), "nothing is left"


def check_scripts(parts):
    node = shutil.which("node")
    if node is None:
        print("left out: what needs Node")
        return
    pathlib.Path("script.js").write_text(parts.scripts[0], encoding="utf-8")
    subprocess.run([node, "--check", "script.js"], check=True)
    tests = subprocess.run([node, "--test", SOURCE / "tests" / "page" / "reading.test.mjs"], stdout=subprocess.PIPE, text=True,
                           check=False)
    assert tests.returncode == 0, tests.stdout


def main():
    make_traces()
    check_numbers()
    parts = read("--model", TINY, "--doc", "0")
    check_texts(parts)
    check_scripts(parts)
    check_choices()
    check_size()
    check_dropped()
    check_full_disk()
    return 0


if __name__ == "__main__":
    sys.exit(main())
