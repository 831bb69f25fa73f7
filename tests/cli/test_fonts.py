#!/usr/bin/env python3
"""Pictures where fonts lack what is to be written: with a font of Latin alone (made here, a box for every letter) Cyrillic words
are left out with a warning and no box stands for them; with no font at all nothing is drawn, and one sentence says so."""
import json
import os
import pathlib
import random
import shutil
import struct
import subprocess
import sys

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("GM_BIN", "build/cpu/bin")).resolve()
TINY = SOURCE / "tests" / "golden" / "models" / "deepseek-tiny"
TOPICS = {"soup": "salt onion broth simmer carrot pepper", "суп": "соль бульон морковь перец миска ложка",
          "звёзды": "орбита комета телескоп планета затмение луна"}
FIRST, LAST = 0x20, 0x7E


def latin_font():
    """A TrueType font of ASCII: every character is the last glyph, a box, the only one that has points."""
    n = LAST - FIRST + 2
    box = struct.pack(">5hHH", 1, 100, 0, 500, 700, 3, 0) + bytes([1] * 4) + struct.pack(">8h", 100, 400, 0, -400, 0, 0, 700, 0)
    name = "Boxes".encode("utf-16-be")
    names = b"".join(struct.pack(">6H", 3, 1, 0x409, number, len(name), 0) for number in (1, 4, 6))
    segments = struct.pack(">9H", LAST, 0xFFFF, 0, FIRST, 0xFFFF, 0, 1, 4, 0)
    tables = {
        b"cmap": struct.pack(">4HI", 0, 1, 3, 1, 12) + struct.pack(">7H", 4, 30 + 2 * n, 0, 4, 4, 1, 0) + segments
        + struct.pack(f">{n - 1}H", *[n - 1] * (n - 1)),
        b"glyf": box,
        b"head": struct.pack(">4I2H2Q4h2H3h", 1 << 16, 1 << 16, 0, 0x5F0F3CF5, 3, 1000, 0, 0, 0, 0, 600, 700, 0, 8, 2, 0, 0),
        b"hhea": struct.pack(">I3hH3h8hhH", 1 << 16, 800, -200, 0, 600, 0, 0, 600, 1, *[0] * 8, 1),
        b"hmtx": struct.pack(">Hh", 600, 100) + bytes(2 * (n - 1)),
        b"loca": struct.pack(f">{n + 1}H", *[0] * n, len(box) // 2),
        b"maxp": struct.pack(">I14H", 1 << 16, n, 4, 1, 0, 0, 2, *[0] * 8),
        b"name": struct.pack(">3H", 0, 3, 6 + len(names)) + names + name,
        b"post": struct.pack(">I2h6I", 3 << 16, *[0] * 8),
    }
    out, at = struct.pack(">I4H", 1 << 16, len(tables), 128, 3, 16 * len(tables) - 128), 12 + 16 * len(tables)
    body = b""
    for tag in sorted(tables):
        data = tables[tag]
        out += struct.pack(">4sIII", tag, 0, at + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    return out + body


def run(*arguments, fonts=None, code=0):
    environment = dict(os.environ)
    if fonts is not None:
        pathlib.Path(fonts + ".conf").write_text(
            f'<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig><dir>{os.path.abspath(fonts)}</dir>'
            f"<cachedir>{os.path.abspath('cache')}</cachedir></fontconfig>")
        environment["FONTCONFIG_FILE"] = os.path.abspath(fonts + ".conf")
    done = subprocess.run([BIN / arguments[0], *arguments[1:]], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env=environment)
    assert done.returncode == code, (arguments, done.returncode, done.stderr)
    return done.stderr


def make_atlas():
    draw = random.Random(7)
    with open("c.jsonl", "w", encoding="utf-8") as out:
        for i in range(60):
            topic = list(TOPICS)[i % 3]
            text = " ".join(draw.choice(TOPICS[topic].split()) for _ in range(40))
            out.write(json.dumps({"text": text, "meta": {"pile_set_name": topic}}, ensure_ascii=False) + "\n")
    run("gm-probe", "collect", "--model", TINY, "--corpus", "c.jsonl", "--min-tokens", "20", "--doc-tokens", "100", "-o", "t.h5",
        "--quiet")
    run("gm-cluster", "fit", "t.h5", "-o", "a.h5", "--min-cluster-size", "5", "--quality", "none", "--quiet")


def main():
    for folder in ("fonts", "none", "cache", "latin", "all"):
        shutil.rmtree(folder, ignore_errors=True)
    os.mkdir("fonts"), os.mkdir("none")
    pathlib.Path("fonts/boxes.ttf").write_bytes(latin_font())
    for name in ("t.h5", "a.h5"):
        pathlib.Path(name).unlink(missing_ok=True)
    make_atlas()

    said = run("gm-cluster", "report", "a.h5", "--figures", "latin", "--format", "svg", fonts="fonts")
    lines = said.splitlines()
    assert len(lines) == 1 and lines[0].startswith("warning: no installed font has all characters of '"), said
    assert "other words or names, which the pictures leave out" in said and any("а" <= c <= "я" for c in said), said
    drawn = sorted(os.listdir("latin"))
    assert "map-clusters.svg" in drawn and "map-subsets.svg" in drawn and "cluster-00.svg" in drawn, drawn

    assert run("gm-cluster", "report", "a.h5", "--figures", "all") == ""  # this machine's fonts have Cyrillic

    said = run("gm-cluster", "report", "a.h5", "--figures", "never", "-o", "page.html", "--force", fonts="none", code=1)
    assert said.splitlines()[-1].startswith("gm-cluster report: no installed font has all characters of 'Documents by"), said
    assert "Pango" not in said and os.listdir("never") == [], said
    assert "бульон" in pathlib.Path("page.html").read_text("utf-8")  # a page is written by the reader's fonts
    return 0


if __name__ == "__main__":
    sys.exit(main())
