#!/usr/bin/env python3
# label: slow
"""README.md and probe/README.md do what they say: every line of their shell blocks is run, and every Python block, in a
folder where the names of a user's checkpoints and corpora (HERE) are the demo model and small ones. In every README of
the tree each program's command and option that is named exists, each script that is shown can be started, each file that
is named is there."""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys

try:
    import h5py  # noqa: F401  README's Python wants it
    import numpy
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)
if shutil.which("zstd") is None:
    print("skipped: no zstd to pack corpora with")
    sys.exit(77)

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("GM_BIN", "build/cpu/bin")).resolve()

# What a user has, by the names that README.md gives them; its clusters are those of 40,000 documents.
HERE = {name: SOURCE / "notebooks-data/demo-model" for name in ("GigaChat-20B-A3B-base", "early-checkpoint")}
CORPORA = ("pile/00.jsonl.zst", "other.jsonl.zst")
CLUSTERS = {"25": "0", "27": "1"}


def has_preset(kind, name):
    return any(preset["name"] == name for preset in json.loads((SOURCE / "CMakePresets.json").read_text())[kind])


# Set-up and whole runs, which tests of their own make: (line, what must hold all the same).
NOT_RUN = {
    "./scripts/demo": lambda: os.access(SOURCE / "scripts/demo", os.X_OK),
    "./scripts/test": lambda: os.access(SOURCE / "scripts/test", os.X_OK),
    "scripts/setup": lambda: os.access(SOURCE / "scripts/setup", os.X_OK),
    "cmake --preset cpu": lambda: has_preset("configurePresets", "cpu"),
    'cmake --build --preset cpu -j "$(nproc)"': lambda: has_preset("buildPresets", "cpu"),
    "PATH=$PWD/build/cpu/bin:$PATH": lambda: BIN.name == "bin" and (BIN / "gm-probe").exists(),
}

# gm-steer writes less here; the last of two options counts.
LESS = """#!/bin/sh
case "$1" in
generate | compare) set -- "$@" --max-tokens 4 ;;
sweep) set -- "$@" --max-tokens 4 --doses 1 --draws 1 --shuffles 0 --passages 1 ;;
esac
exec {program} "$@"
"""

TOPICS = {
    "cooking": "Add the chopped onion and salt to the hot butter, stir for {} minutes, then pour in the broth and simmer "
    "the soup until the carrots are soft.",
    "code": "for (int i = 0; i < {}; i++) {{ if (buffer[i] == NULL) return -1; total += strlen(buffer[i]); }}",
    "russian": "Корабль вышел из гавани рано утром, и через {} дней капитан увидел на горизонте берег неизвестной земли.",
}


def write_corpus(path, first):
    """90 documents of three topics, of over 128 tokens, compressed."""
    lines = []
    for i in range(90):
        topic = list(TOPICS)[i % 3]
        text = " ".join(TOPICS[topic].format(first + i * 7 + k) for k in range(9))
        lines.append(json.dumps({"text": text, "meta": {"pile_set_name": topic}}))
    pathlib.Path(path).parent.mkdir(exist_ok=True)
    subprocess.run(["zstd", "-q", "-o", path], input="\n".join(lines).encode(), check=True)


def set_up():
    shutil.rmtree("user", ignore_errors=True)
    os.mkdir("user")
    os.chdir("user")  # nothing is cleared of the folder that a test is started in by hand
    for name, target in HERE.items():
        pathlib.Path(name).symlink_to(target)
    for first, path in enumerate(CORPORA):
        write_corpus(path, 1000 * first)
    numpy.save("mine.npy", numpy.random.default_rng(1).normal(size=(60, 4)))
    pathlib.Path("bin").mkdir()
    pathlib.Path("bin/gm-steer").write_text(LESS.format(program=BIN / "gm-steer"))
    pathlib.Path("bin/gm-steer").chmod(0o755)


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


def lines_of(block):
    """The commands of a shell block: continued lines joined, comments and blanks left out."""
    for line in block.replace("\\\n", " ").splitlines():
        line = re.sub(r"(^|\s)#.*", "", line).strip()
        if line:
            yield line


def serve(line, environment):
    """A server is asked to end once it says where it listens; a build without libmicrohttpd says that it is none."""
    process = subprocess.Popen([*line.split(), "--port", "0"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    where = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, complaint = process.communicate(timeout=60)
    if "libmicrohttpd was not found" in complaint and process.returncode == 1:
        return
    assert where.startswith("listening at http") and process.returncode == 0, (line, where, process.returncode)


def run_shell(text):
    environment = os.environ | {"PATH": f"{os.getcwd()}/bin:{BIN}:{os.environ['PATH']}"}
    n_run, missed = 0, set(NOT_RUN)
    for block in blocks(text, "sh"):
        for line in lines_of(block):
            if line in NOT_RUN:
                assert NOT_RUN[line](), line
                missed.discard(line)
                continue
            here = re.sub(r"--cluster (\d+)", lambda m: "--cluster " + CLUSTERS[m[1]], line)
            if here.startswith("gm-steer serve"):
                serve(here, environment)
                continue
            done = subprocess.run(["bash", "-euo", "pipefail", "-c", here], env=environment, capture_output=True,
                                  text=True, check=False)
            measured = done.returncode == 3 and " sweep " in line  # too little here to decide it
            assert done.returncode == 0 or measured, (line, done.returncode, done.stdout, done.stderr)
            assert done.stdout, line
            n_run += 1
    assert n_run >= 10 and not missed, (n_run, missed)


def run_python(text):
    """Each Python block by itself, as a program; it must print something."""
    for block in blocks(text, "python"):
        done = subprocess.run([sys.executable, "-W", "error", "-c", block], capture_output=True, text=True, check=False)
        assert done.returncode == 0 and done.stdout, (block, done.stdout, done.stderr)
    assert blocks(text, "python")


# ---- what every README says of programs, scripts and files ----

PROGRAMS = ("gm-probe", "gm-cluster", "gm-steer")
# Names of what a user makes, of downloads, of patterns.
NOT_HERE = re.compile(r"OUT|NAME|FILE|CASE|^(config|generation_config|tokenizer|golden)\.json$|^prompts\.txt$|\.trace\.h5|\.atlas\.h5")
A_FILE = re.compile(r"[\w./-]+\.(?:c|h|cu|py|md|txt|cmd|sh|cmake)$|(?:[\w-]+/)+$")


def helps():
    """{program: {command: the words of its help}}"""
    known = {}
    for program in PROGRAMS:
        text = subprocess.run([BIN / program, "--help"], capture_output=True, text=True, check=True).stdout
        known[program] = {}
        for command in re.findall(r"^  (\w+) +\S", text, re.M):
            text = subprocess.run([BIN / program, command, "--help"], capture_output=True, text=True, check=True).stdout
            known[program][command] = set(re.findall(r"--?[\w-]+", text)) | {"--no-force", "--no-quiet"}
    return known


def check_command(where, words, known):
    """`gm-probe collect ... --nll`: the command is one of the program's, the options are the command's."""
    program, command = words[0], words[1] if len(words) > 1 else ""
    if not re.fullmatch(r"[a-z]+", command):
        return
    assert command in known[program], (where, words)
    for word in words[2:]:
        option = word.split("=")[0].rstrip("]|,")
        if option.startswith("--") and len(option) > 2:
            assert option in known[program][command], (where, words, option)


def check_names(path, text, known, tree):
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    for code in re.findall(r"`([^`\n]+)`", prose):
        words = code.split()
        if words[0] in PROGRAMS:
            check_command(path, words, known)
        for word in words:
            if A_FILE.match(word) and not NOT_HERE.search(word):
                name = word.rstrip("/")
                near = (path.parent / name).exists() or (SOURCE / name).exists()
                assert near or any(file.endswith("/" + name) for file in tree), (path, code)
    for link in re.findall(r"\]\(([^)#:]+)\)", prose):
        assert (path.parent / link).exists(), (path, link)
    shown = [line for block in blocks(text, "sh") for line in lines_of(block)]
    shown += [line.strip() for line in re.findall(r"^    (\S.*)$", prose, re.M)]
    for line in shown:
        words = re.sub(r"(^|\s)#.*", "", line).split()
        script = SOURCE / words[0] if words else SOURCE
        if words and words[0] in PROGRAMS:
            check_command(path, words, known)
        elif words and re.match(r"(\./)?(scripts|tests)/", words[0]):
            assert os.access(script, os.X_OK), (path, line)


def main():
    set_up()
    text = "".join((SOURCE / path).read_text(encoding="utf-8") for path in ("README.md", "probe/README.md"))
    run_shell(text)
    run_python(text)
    known = helps()
    tree = [str(p) for folder in ("base", "cluster", "engine", "figures", "formats", "notebooks-data", "probe", "scripts",
                                  "steer", "tests", "text") for p in (SOURCE / folder).rglob("*")]
    pages = [p for p in (*SOURCE.glob("*.md"), *(pathlib.Path(p) for p in tree if p.endswith(".md")))]
    assert len(pages) > 15
    for path in pages:
        check_names(path, path.read_text(encoding="utf-8"), known, tree)


if __name__ == "__main__":
    main()
