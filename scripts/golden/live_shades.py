#!/usr/bin/env python3
"""live_shades - the page of gm-steer compare in a browser: Debian's Chromium, driven by Playwright.

    live_shades.py BUILD     BUILD: a build folder with the programs

Hostile prompts, two plans, the tiny model; in light and in dark mode: axe-core finds no fault, contrast included; every shade
has a colour of its own, other ones in the dark; a token's value is its tooltip; hostile text stays text; nothing is said on the
console or asked of the network. Exit 3 when something is wrong, 77 without Chromium or Playwright.
"""

import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from golden.live_page import HOSTILE, TINY  # noqa: E402
from golden.live_tokenizer import program  # noqa: E402

NOTE = re.compile(r"[+-]\d+\.\d\d nats: \S+ % without the plan, \S+ % with it")


def make_page(gm_steer, folder):
    (folder / "prompts.jsonl").write_text("".join(json.dumps({"prompt": text + " salt"}) + "\n" for text in HOSTILE), encoding="utf-8")
    for name, expert in (("one", "1:2=5"), ("two<i>", "2:3=-6")):
        subprocess.run([gm_steer, "plan", "--model", TINY, "--expert", expert, "-o", f"{name}.st"], cwd=folder, check=True,
                       stdout=subprocess.DEVNULL)
    subprocess.run([gm_steer, "compare", "--model", TINY, "--plan", "one.st", "--plan", "two<i>.st", "--prompts", "prompts.jsonl",
                    "--max-tokens", "24", "--report", "page.html", "--quiet"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return folder / "page.html"


def look(browser, path, scheme):
    """Papers of the nine shades in the legend, after everything else was found in order."""
    from axe_playwright_python.sync_playwright import Axe

    complaints, requests = [], []
    context = browser.new_context(bypass_csp=True, color_scheme=scheme)
    page = context.new_page()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(path.as_uri())
    assert page.evaluate("window.hacked") is None
    assert page.evaluate("document.querySelectorAll('script, img, iframe, object, link, i').length") == 0
    notes = page.eval_on_selector_all(".shade span[title]", "spans => spans.map(span => span.title)")
    assert len(notes) > 200 and all(NOTE.fullmatch(note) for note in notes), notes[:3]
    assert page.locator(".shade").count() == 4 * len(HOSTILE)
    assert page.locator(".shade .given").count() > 100
    papers = page.eval_on_selector_all(".scale span", "spans => spans.map(span => getComputedStyle(span).backgroundColor)")
    found = [f"{v['id']}: {v['nodes'][0]['html'][:120]}" for v in Axe().run(page).response["violations"]]
    assert not found, found
    assert not complaints and requests == [path.as_uri()], (complaints, requests)
    context.close()
    return papers


def main():
    gm_steer, chromium = program(pathlib.Path(sys.argv[1]).resolve(), "gm-steer"), shutil.which("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        sync_playwright = None
    if gm_steer is None or chromium is None or sync_playwright is None:
        print("live_shades: skipped, gm-steer, Chromium or Playwright is missing")
        return 77
    with tempfile.TemporaryDirectory() as work, sync_playwright() as playwright:
        path = make_page(gm_steer, pathlib.Path(work))
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        try:
            light, dark = (look(browser, path, scheme) for scheme in ("light", "dark"))
        except AssertionError as why:
            print(f"the page of gm-steer compare: {why}")
            return 3
        finally:
            browser.close()
    told_apart = all(len(set(papers)) == 9 for papers in (light, dark)) and all(a != b for a, b in zip(light, dark) if a != light[4])
    print(f"page of gm-steer compare, {len(HOSTILE)} hostile prompts: {'no fault' if told_apart else 'SHADES ALIKE'}")
    return 0 if told_apart else 3


if __name__ == "__main__":
    sys.exit(main())
