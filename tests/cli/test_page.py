#!/usr/bin/env python3
"""The page of gm-cluster report: its policy names just what it runs, hostile text stays text, the same run gives the same
bytes, with the trace gone it does without; its scripts parse, and pass tests/page, where Node is (else that part is left out)."""
import base64
import hashlib
import html.parser
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import zlib

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("GM_BIN", "build/cpu/bin"))
TINY = SOURCE / "tests" / "golden" / "models" / "deepseek-tiny"
TOPICS = {"soup": "salt onion broth simmer carrot pepper", "ships": "sail harbour anchor captain rigging",
          "stars": "orbit comet telescope nebula planet"}
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)> \u202e \x1b[31m \u2028"


class Parts(html.parser.HTMLParser):
    """What a browser would meet: tags, inline scripts and styles, data by id, attributes that run or load something."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.scripts, self.styles, self.data, self.bad, self.policy = [], [], [], {}, [], ""
        self.into = None
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.tags.append(tag)
        self.bad += [(tag, name) for name in found if name.startswith("on") or name in ("src", "href", "style")]
        if found.get("http-equiv") == "Content-Security-Policy":
            self.policy = found["content"]
        if tag == "script" and "type" in found:
            self.into = "data", found["id"]
        elif tag in ("script", "style"):
            (self.scripts if tag == "script" else self.styles).append("")
            self.into = tag

    def handle_endtag(self, tag):
        self.into = None

    def handle_data(self, text):
        if self.into in ("script", "style"):
            (self.scripts if self.into == "script" else self.styles)[-1] += text
        elif self.into:
            self.data[self.into[1]] = self.data.get(self.into[1], "") + text

    def unpacked(self, name):
        return zlib.decompress(base64.b64decode(self.data[name]))


def run(*arguments, code=0):
    done = subprocess.run([BIN / arguments[0], *arguments[1:]], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert done.returncode == code, (arguments, done.returncode, done.stderr)
    return done.stderr


def make_atlas():
    lines, draw = [], random.Random(1)
    for i in range(60):
        topic = list(TOPICS)[i % 3]
        words = TOPICS[topic].split()
        text = HOSTILE + " " + " ".join(draw.choice(words) for _ in range(40))
        lines.append(json.dumps({"text": text, "meta": {"pile_set_name": topic + "<i>"}}))
    pathlib.Path("c.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    run("gm-probe", "collect", "--model", TINY, "--corpus", "c.jsonl", "--min-tokens", "20", "--doc-tokens", "200", "-o",
        "t.h5", "--quiet", "--force")
    run("gm-cluster", "fit", "t.h5", "-o", "a.h5", "--min-cluster-size", "5", "--report", "fit.html", "--quiet", "--force")


def check_policy(parts, scripts=2):
    def names(directive, texts):
        wanted = {f"'sha256-{base64.b64encode(hashlib.sha256(t.encode()).digest()).decode()}'" for t in texts}
        return set(re.search(directive + " ([^;]*)", parts.policy).group(1).split()) == wanted

    assert parts.policy.startswith("default-src 'none';") and "unsafe" not in parts.policy, parts.policy
    assert names("script-src", parts.scripts) and names("style-src", parts.styles), parts.policy
    assert len(parts.scripts) == scripts and len(parts.styles) == 1, parts.tags
    assert not parts.bad, parts.bad
    assert not {"img", "link", "iframe", "object", "base", "form"} & set(parts.tags)


def check_meanings(page):
    """Every figure of quality says what it means."""
    table = page[page.index("<h2>Quality</h2>"):page.index("<h2>Parameters</h2>")]
    assert re.search(r"<tr><td>noise_by_subset</td><td><div class=\"wide\" tabindex=\"0\"><table><thead><tr>"
                     r"<th scope=\"col\">name</th><th scope=\"col\" class=\"n\">documents</th>"
                     r"<th scope=\"col\" class=\"n\">noise_share</th></tr></thead>\n"
                     r"<tbody><tr><td>soup&lt;i&gt;</td><td class=\"n\">20</td><td class=\"n\">[0-9.]+</td></tr>\n", table), table
    flat = re.sub(r"<div.*?</div>\n", "a table", table[table.index("<tbody>"):], flags=re.DOTALL)
    rows = re.findall(r"<tr><td>(.*?)</td><td>.*?</td><td>(.*?)</td></tr>", flat)
    assert len(rows) > 40 and all(meaning for _, meaning in rows), [name for name, meaning in rows if not meaning]


def check_data(parts):
    meta = json.loads(parts.data["meta"])
    assert meta["documents"] == 60 and len(meta["subsets"]) == 3 and len(meta["clusters"]) >= 2, meta
    assert {s["name"] for s in meta["subsets"]} == {t + "<i>" for t in TOPICS}
    assert len(parts.unpacked("xy")) == 240 and len(parts.unpacked("tokens")) == 240
    texts = parts.unpacked("text").decode().splitlines()
    assert len(texts) == 60 and all(t.startswith("</script><script>alert(1)") for t in texts), texts[0]
    assert all("\\u{202e} \\x1b[31m \\u{2028}" in t for t in texts), texts[0]
    assert parts.unpacked("ids").decode().splitlines()[7] == "c.jsonl:8"
    columns = len(meta["shares"]["experts"])
    assert len(parts.unpacked("shares")) == 60 * columns and len(meta["tree"]) >= len(meta["clusters"])


def check_origin(page):
    """The tab says whose map it is; the last line says by which command it came to be."""
    assert "<title>a.h5: expert atlas</title>" in page
    assert re.search(r'<footer class="made">Made by <code>gm-cluster fit t\.h5 -o a\.h5 [^<]*</code>; this page by version \d', page)


def check_variants(page):
    assert pathlib.Path("fit.html").read_bytes() == page, "fit --report and report write the same page"
    run("gm-cluster", "report", "a.h5", "-o", "none.html", "--snippets", "none", "--force")
    bare = pathlib.Path("none.html").read_text(encoding="utf-8")
    assert "text" not in Parts(bare).data and "It has no texts." in bare and "alert(" not in bare
    run("gm-cluster", "report", "a.h5", "-o", "short.html", "--snippets", "9", "--force")
    assert set(Parts(pathlib.Path("short.html").read_text("utf-8")).unpacked("text").decode().splitlines()) == {"</script>"}
    said = run("gm-cluster", "report", "a.h5", "-o", "never.html", "--snippets", "few", code=2)
    assert "--snippets is 'few', expected auto, none or a number" in said, said
    pathlib.Path("t.h5").rename("moved.h5")
    said = run("gm-cluster", "report", "a.h5", "-o", "lone.html", "--force")
    assert "without texts and shares of experts" in said and len(said.splitlines()) == 1, said
    lone = Parts(pathlib.Path("lone.html").read_text("utf-8"))
    assert "shares" not in lone.data and "xy" in lone.data
    run("gm-cluster", "report", "a.h5", "-o", "found.html", "--trace", "moved.h5", "--force")
    assert pathlib.Path("found.html").read_bytes() == page
    said = run("gm-cluster", "report", "a.h5", "-o", "never.html", "--trace", "gone.h5", code=1)
    assert "gone.h5" in said and not pathlib.Path("never.html").exists()
    pathlib.Path("moved.h5").rename("t.h5")


def check_scripts(parts):
    node = shutil.which("node")
    if node is None:
        print("left out: what needs Node")
        return
    for i, script in enumerate(parts.scripts):
        pathlib.Path(f"script{i}.js").write_text(script, encoding="utf-8")
        subprocess.run([node, "--check", f"script{i}.js"], check=True)
    tests = subprocess.run([node, "--test", SOURCE / "tests" / "page" / "page.test.mjs"], stdout=subprocess.PIPE, text=True)
    assert tests.returncode == 0, tests.stdout


def main():
    make_atlas()
    run("gm-cluster", "report", "a.h5", "-o", "page.html", "--force")
    page = pathlib.Path("page.html").read_bytes()
    parts = Parts(page.decode())
    check_policy(parts)
    check_origin(page.decode())
    check_meanings(page.decode())
    check_data(parts)
    check_variants(page)
    check_scripts(parts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
