#!/usr/bin/env python3
"""live_page - the page of gm-cluster report in a browser: Debian's Chromium, driven by Playwright.

    live_page.py BUILD [DOCUMENTS]    BUILD: a build folder with the programs

First a page about 60 documents whose texts are hostile, with WebGL and without: it draws, hovers, lassoes, searches, filters,
sorts, colours by an expert, can be used by keys alone; nothing is said on the console, nothing is asked of the network, hostile
text stays text; axe-core finds no fault. Then a page about DOCUMENTS (default 40000; 0: left out) from scripts/synthetic_trace.py:
its size is at most 5 MB, and how long it takes to the first picture is printed, not judged. Exit 3 when something is wrong,
77 without Chromium or Playwright.
"""

import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from golden.live_tokenizer import program  # noqa: E402

SOURCE = pathlib.Path(__file__).resolve().parents[2]
TINY = SOURCE / "tests" / "golden" / "models" / "deepseek-tiny"
MOST_BYTES = 5_000_000
TOPICS = {"soup": "salt onion broth simmer carrot pepper bowl stir butter spoon",
          "ships": "sail harbour anchor captain rigging tide deck compass voyage gale",
          "stars": "orbit comet telescope nebula planet gravity lens eclipse moon dust"}
HOSTILE = ("<script>window.hacked=1</script>", "</script><img src=x onerror=window.hacked=2>", "\u202eright to left\u2066",
           "bell\x07 and \x1b[31mred", "<!-- <b>bold</b> &amp; ${window.hacked=3} `", "]]></style>\u2028line")
STEPS = 30  # of the pointer across the map
WORST = ("serious", "critical")  # of axe-core's findings


def make_corpus(path):
    """60 documents in turn about three topics; each begins with something hostile and a word of its own."""
    lines = []
    for i in range(60):
        topic = list(TOPICS)[i % 3]
        words = TOPICS[topic].split()
        text = " ".join(words[(7 * i + k * (1 + i // 3)) % 10] for k in range(40))
        lines.append({"text": f"{HOSTILE[i % len(HOSTILE)]} word{i}end {text}", "meta": {"pile_set_name": topic + "<i>"}})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def make_hostile_page(build, folder):
    make_corpus(folder / "c.jsonl")
    run = dict(cwd=folder, check=True, stdout=subprocess.DEVNULL)
    subprocess.run([program(build, "gm-probe"), "collect", "--model", TINY, "--corpus", "c.jsonl", "--min-tokens", "20",
                    "--doc-tokens", "150", "-o", "t.h5", "--quiet"], **run)
    subprocess.run([program(build, "gm-cluster"), "fit", "t.h5", "-o", "a.h5", "--min-cluster-size", "5", "--report",
                    "page.html", "--quiet"], **run)
    return folder / "page.html"


class Reader:
    """A person in front of the page; every complaint of the browser is remembered."""

    def __init__(self, browser, path, mark="", **how):
        self.complaints, self.requests = [], []
        self.context = browser.new_context(viewport={"width": 1400, "height": 1000}, **how)
        self.page = self.context.new_page()
        self.page.on("console", lambda m: self.complaints.append(f"console {m.type}: {m.text}"))
        self.page.on("pageerror", lambda e: self.complaints.append(f"error: {e}"))
        self.page.on("request", lambda r: self.requests.append(r.url))
        self.url = path.as_uri()
        self.page.goto(self.url + mark)
        self.page.wait_for_selector("html[data-ready=yes]", timeout=120_000)

    def says(self):
        return self.page.text_content("#map-says")

    def wait_says(self, wanted):
        self.page.wait_for_function("w => document.getElementById('map-says').textContent.includes(w)", arg=wanted,
                                    timeout=20_000)

    def box(self, selector):
        box = self.page.locator(selector).bounding_box()
        return box["x"], box["y"], box["width"], box["height"]

    def colours(self, selector):
        """Different colours on a canvas."""
        return self.page.evaluate("""selector => {
            const from = document.querySelector(selector), to = document.createElement("canvas");
            to.width = from.width; to.height = from.height;
            const pen = to.getContext("2d");
            pen.drawImage(from, 0, 0);
            return new Set(new Uint32Array(pen.getImageData(0, 0, to.width, to.height).data.buffer)).size;
        }""", selector)

    def shift_drag(self, corners):
        x, y, width, height = self.box("#map")
        mouse, keyboard = self.page.mouse, self.page.keyboard
        mouse.move(x + corners[0][0] * width, y + corners[0][1] * height)
        keyboard.down("Shift")
        mouse.down()
        for u, v in corners[1:]:
            mouse.move(x + u * width, y + v * height, steps=4)
        mouse.up()
        keyboard.up("Shift")

    def close(self):
        assert not self.complaints, self.complaints
        assert self.requests == [self.url], self.requests
        self.context.close()


def check_hover(reader):
    """Move over the map until a card shows; it holds text only."""
    x, y, width, height = reader.box("#map")
    seen = set()
    for step in range(STEPS * STEPS):
        right, down = (0.03 + 0.94 * at / (STEPS - 1) for at in (step % STEPS, step // STEPS))
        reader.page.mouse.move(x + width * right, y + height * down)
        if reader.page.locator("#hover").is_visible():
            seen.add(reader.page.inner_text("#hover"))
            assert reader.page.evaluate("document.querySelectorAll('#hover script, #hover img, #hover i').length") == 0
            if len(seen) > 6:
                break
    told = "\n".join(seen)
    assert "soup<i>" in told or "ships<i>" in told or "stars<i>" in told, told
    assert re.search(r"word\d+end", told) and "c.jsonl:" in told and "tokens" in told, told


def check_choices(reader):
    page = reader.page
    reader.shift_drag([(0.01, 0.01), (0.99, 0.01), (0.99, 0.99), (0.01, 0.99)])
    reader.wait_says("60 of 60 documents selected")
    reader.shift_drag([(0.01, 0.01), (0.02, 0.01), (0.02, 0.02), (0.01, 0.02)])
    reader.wait_says("0 of 60 documents selected")
    page.keyboard.press("Escape")
    reader.wait_says("60 documents.")
    page.fill("#query", "WORD17end")
    reader.wait_says("1 of 60 documents selected")
    assert "word17end" in page.inner_text(".documents"), "the document found is listed"
    page.locator(".documents button").first.click()
    assert "word17end" in page.inner_text("#hover")
    page.fill("#query", "c.jsonl:42")
    reader.wait_says("1 of 60 documents selected")
    page.fill("#query", "")
    reader.wait_says("60 documents.")
    page.select_option("#only-subset", label="soup<i>")
    reader.wait_says("20 of 60 documents selected")
    page.click("#clear")
    reader.wait_says("60 documents.")


def check_widths(reader):
    """What is wider than a screen scrolls in a box of its own, and the page does not."""
    for width in (1300, 600, 390):
        reader.page.set_viewport_size({"width": width, "height": 1000})
        reader.page.wait_for_function("w => document.documentElement.scrollWidth <= w", arg=width, timeout=5_000)
    reader.page.set_viewport_size({"width": 1400, "height": 1000})


def check_verdict(reader):
    """The verdict is open in a wide window; in a narrow one it is a line, so that the map is on the first screen; on paper, all."""
    page = reader.page
    is_open = "document.getElementById('verdict').open"
    assert page.evaluate(is_open)
    narrow = page.context.new_page()
    narrow.set_viewport_size({"width": 640, "height": 450})
    narrow.goto(reader.url)
    narrow.wait_for_selector("html[data-ready=yes]", timeout=120_000)
    assert not narrow.evaluate(is_open)
    assert re.search(r"\d (doubts?|fair|trust)", narrow.inner_text("#verdict summary"))
    top = narrow.locator("#map").bounding_box()["y"]
    assert top < 300, top
    narrow.emulate_media(media="print")
    narrow.wait_for_function("() => " + is_open, timeout=5_000)
    narrow.emulate_media(media="screen")
    narrow.wait_for_function("() => !" + is_open, timeout=5_000)
    narrow.close()


def check_shape(reader):
    """The map is as tall as the documents lie, and labels leave clusters to be seen, on a narrow screen too."""
    page = reader.page
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_function("() => document.getElementById('labels').viewBox.baseVal.width < 390", timeout=5_000)
    shape = page.evaluate("Number(document.getElementById('map').style.getPropertyValue('--shape'))")
    _, _, width, height = reader.box("#map")
    assert abs(height - min(max(width / shape, 320), 0.8 * 844)) < 2, (width, height, shape)
    page.set_viewport_size({"width": 1400, "height": 1000})
    page.wait_for_function("() => document.getElementById('labels').viewBox.baseVal.width > 390", timeout=5_000)


def check_heads(reader):
    """What stands over numbers ends where they end."""
    off = reader.page.evaluate("""[...document.querySelectorAll('table')].flatMap(t => {
        const row = t.tBodies[0]?.rows[0], heads = t.tHead?.rows[0].cells ?? [];
        return [...row?.cells ?? []].filter((cell, i) => cell.tagName == 'TD' && heads[i]?.className != 'up'
            && (getComputedStyle(cell).textAlign == 'right') != (getComputedStyle(heads[i]).textAlign == 'right'))
            .map(cell => cell.outerHTML);
    })""")
    assert not off, off


def check_paper(reader):
    """On paper, which is laid out without drawing again, points and what lies over them are fitted in alike."""
    drawn, now, fit = reader.page.evaluate("""() => {
        const map = document.getElementById("map"), points = document.getElementById("points");
        return [["labels", "ring"].map(id => document.getElementById(id).getAttribute("viewBox")),
                `0 0 ${map.clientWidth} ${map.clientHeight}`, getComputedStyle(points).objectFit];
    }""")
    assert drawn == [now, now] and fit == "contain", (drawn, now, fit)


def check_table(reader):
    page = reader.page
    sizes = "[...document.querySelectorAll('#clusters tbody tr')].map(r => Number(r.cells[1].textContent))"
    heading = page.locator("#clusters thead button", has_text="documents")
    before = page.evaluate(sizes)
    heading.click()
    assert page.evaluate(sizes) == sorted(before), (before, page.evaluate(sizes))
    heading.click()
    assert page.evaluate(sizes) == sorted(before, reverse=True)
    page.fill("#filter-clusters", "no such word")
    assert page.locator("#clusters tbody tr:visible").count() == 0
    page.fill("#filter-clusters", "")
    row = page.locator("#clusters tbody tr").first
    row.click()
    reader.wait_says(f"{before[0]} of 60 documents selected")
    assert page.evaluate("document.querySelectorAll('#clusters tr.chosen').length") == 1
    page.keyboard.press("Escape")


def check_experts(reader):
    page = reader.page
    assert reader.colours("#heat-all") > 8 and reader.colours("#heat-important") > 4
    x, y, width, height = reader.box("#heat-all")
    page.locator("#heat-all").scroll_into_view_if_needed()
    page.locator("#heat-all").click(position={"x": 40, "y": 10})
    assert page.input_value("#colour-by") == "expert"
    assert re.match(r"Expert \d+:0: share of each document", page.text_content("#legend h3")), page.text_content("#legend h3")
    page.locator("#heat-all").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert ":1:" in page.text_content("#legend h3"), page.text_content("#legend h3")
    for mode in ("difference", "lift", "z", "raw"):
        page.select_option("#heat-mode", mode)
        assert reader.colours("#heat-all") > 8, mode
    for by in ("subset", "tokens", "probability", "outlier", "cluster"):
        page.select_option("#colour-by", by)
        assert page.text_content("#legend h3")


def check_keys_and_tree(reader):
    page = reader.page
    page.focus("#map")
    page.keyboard.press("]")
    reader.wait_says("of 60 documents selected")
    page.keyboard.press("Enter")
    assert page.locator("#chosen .card").count() == 1
    places = "[...document.querySelectorAll('#labels text')].map(t => t.getAttribute('x')).join()"
    for key in ("0", "+", "ArrowLeft", "0"):
        before = page.evaluate(places)
        page.keyboard.press(key)
        assert page.evaluate(places) != before, key
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "query"
    page.keyboard.press("Escape")
    assert page.locator("#tree .axis text").count() > 1
    assert page.locator("#tree rect.cluster").count() == page.locator("#clusters tbody tr").count()
    page.locator("#tree rect.cluster").first.click()
    reader.wait_says("of 60 documents selected")
    page.keyboard.press("Escape")


def check_nothing_ran(reader, path):
    page = reader.page
    assert page.evaluate("window.hacked") is None
    ours = path.read_text(encoding="utf-8").count("<script")
    assert page.evaluate("document.querySelectorAll('script').length") == ours
    assert page.evaluate("document.querySelectorAll('img, iframe, object, link').length") == 0


def check_axe(browser, path, scheme):
    """Findings of axe-core, which has to be put onto the page past its policy."""
    from axe_playwright_python.sync_playwright import Axe

    context = browser.new_context(bypass_csp=True, color_scheme=scheme, viewport={"width": 1400, "height": 1000})
    page = context.new_page()
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-ready=yes]", timeout=120_000)
    found = [f"{v['id']}: {v['nodes'][0]['html'][:120]}" for v in Axe().run(page).response["violations"] if v["impact"] in WORST]
    context.close()
    assert not found, found


def check_hostile(browser, path):
    for mark, renderer in (("", "webgl"), ("#canvas", "canvas")):
        reader = Reader(browser, path, mark)
        assert reader.page.evaluate("document.documentElement.dataset.renderer") == renderer
        assert reader.colours("#points") > 3, "nothing is drawn"
        for check in (check_hover, check_verdict, check_shape, check_heads, check_paper, check_choices, check_table, check_widths, check_experts, check_keys_and_tree):
            check(reader)
        check_nothing_ran(reader, path)
        assert len(reader.page.pdf()) > 10_000
        reader.close()
    paper = []
    for scheme in ("light", "dark"):
        reader = Reader(browser, path, color_scheme=scheme)
        paper.append(reader.page.evaluate("getComputedStyle(document.getElementById('map')).backgroundColor"))
        reader.close()
        check_axe(browser, path, scheme)
    assert paper[0] != paper[1], paper
    print("hostile page: draws, hovers, lassoes, searches, filters; by WebGL, on a canvas, by keys; no fault")


def check_no_cluster(browser, build, folder):
    subprocess.run([program(build, "gm-cluster"), "fit", folder / "t.h5", "-o", folder / "none.h5", "--min-cluster-size", "60",
                    "--quality", "none", "--report", folder / "none.html", "--quiet"], check=True, stdout=subprocess.DEVNULL)
    reader = Reader(browser, folder / "none.html")
    assert reader.says().startswith("60 documents.") and not reader.page.locator("#experts").is_visible()
    reader.close()


def check_large(browser, build, folder, documents):
    trace, atlas, path = folder / "large.trace.h5", folder / "large.atlas.h5", folder / "large.html"
    subprocess.run([sys.executable, SOURCE / "scripts" / "synthetic_trace.py", "-o", trace, "--documents", str(documents)],
                   check=True, stdout=subprocess.DEVNULL)
    subprocess.run([program(build, "gm-cluster"), "fit", trace, "-o", atlas, "--report", path, "--quiet"], check=True,
                   stdout=subprocess.DEVNULL)
    size = path.stat().st_size
    times = []
    for mark in ("", "", "#canvas", "#canvas"):
        reader = Reader(browser, path, mark)
        times.append(reader.page.evaluate("performance.getEntriesByName('drawn')[0].startTime") / 1000)
        assert reader.colours("#points") > 50
        reader.close()
    print(f"{documents} documents: {size / 1e6:.2f} MB, first picture after {min(times[:2]):.2f} s by WebGL in software, "
          f"{min(times[2:]):.2f} s on a canvas")
    assert size <= MOST_BYTES, size


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    build, documents = pathlib.Path(sys.argv[1]).resolve(), int(sys.argv[2]) if len(sys.argv) > 2 else 40000
    chromium = shutil.which("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        chromium = None
    if chromium is None or program(build, "gm-cluster") is None:
        print("skipped: needs Debian's chromium, playwright (scripts/oracles.txt) and the programs")
        return 77
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        folder = pathlib.Path(temporary)
        browser = playwright.chromium.launch(executable_path=chromium,
                                             args=["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"])
        try:
            check_hostile(browser, make_hostile_page(build, folder))
            check_no_cluster(browser, build, folder)
            if documents:
                check_large(browser, build, folder, documents)
        except AssertionError as wrong:
            print(f"differs: {wrong}")
            raise SystemExit(3) from wrong
        finally:
            browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
