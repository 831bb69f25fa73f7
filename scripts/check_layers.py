#!/usr/bin/env python3
"""Checks the shape of the house: who may include whom, and a few habits.

usage: check_layers.py [ROOT]      prints each breach as file:line and exits 1
"""
import os
import re
import subprocess
import sys

# folder: the folders whose headers it may include, besides its own
MAY_INCLUDE = {
    "base": [],
    "base/cuda": ["base"],
    "formats": ["base"],
    "text": ["base"],
    "figures": ["base"],
    "engine": ["base"],
    "engine/cpu": ["base", "engine"],
    "engine/cuda": ["base", "base/cuda", "engine"],
    "engine/tokenizer": ["base", "engine"],
    "engine/chat": ["base", "engine/tokenizer"],
    "probe": ["base", "engine", "engine/chat", "engine/tokenizer", "formats", "text", "figures"],
    "cluster": ["base", "formats", "text", "figures"],
    "cluster/cuda": ["base", "base/cuda", "cluster"],
    "steer": ["base", "engine", "engine/chat", "engine/tokenizer", "formats", "text", "figures", "steer/sweep", "steer/serve"],
    "steer/sweep": ["base", "engine", "engine/chat", "engine/tokenizer", "formats", "text", "figures", "steer"],
    "steer/serve": ["base", "engine", "engine/chat", "engine/tokenizer", "formats", "text", "figures", "steer"],
}
# The file that chooses the backend names the backends' tables; it may see them all.
EXTRA = {"engine": ["engine/cpu", "engine/cuda"], "cluster": ["cluster/cuda"]}

# header of a library: where alone it may be included
LIBRARY_LIVES_IN = [
    (re.compile(r"(hdf5|hdf5_hl|H5\w+)\.h"), re.compile(r"formats/")),
    (re.compile(r"cjson/"), re.compile(r"base/json")),
    (re.compile(r"(cairo|pango)"), re.compile(r"figures/")),
    (re.compile(r"omp\.h"), re.compile(r"base/threads\.h")),
    (re.compile(r"(cuda|cublas)\w*\.h"), re.compile(r"(base|engine|cluster)/cuda/")),
]
GENERATED = {"version_info.h"}
# The most that git may keep in a folder ("" is the whole tree), in bytes; and what is not asked to become smaller.
MOST_BYTES = {"": 40e6, "tests/golden/": 5e6}
AS_LARGE_AS_IT_IS = "notebooks-data/demo-model/"
# What stands at the top of the tree; anything else that git keeps there is a test's litter.
TOP = {".ci", ".clang-format", ".clang-tidy", ".cppcheck", ".gitignore", "CITATION.cff", "CMakeLists.txt",
       "CMakePresets.json", "CONTRIBUTING.md", "LICENSE", "README.md", "base", "cluster", "engine", "figures", "formats", "notebooks-data",
       "probe", "scripts", "steer", "tests", "text"}
MAX_LINES = 500
SOURCE = (".c", ".h", ".cu", ".cuh", ".cpp", ".py", ".mjs", ".css")
SKIPPED = re.compile(r"^(\.|build|out$|__pycache__$|Testing$)")
INCLUDE = re.compile(r'\s*#\s*include\s*(["<])([^">]+)[">]')
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
# What a header declares: types, macros, functions; and the names in the braces of an enum.
DECLARED = re.compile(r"^#define (GM_\w+)|}\s*(gm_\w+)(?=;)|^\w[^{}();=]*?[ *](gm_\w+)(?=[;(\[])", re.MULTILINE)
ENUM = re.compile(r"\benum\b[^{};()]*{([^}]*)}")
CONSTANT = re.compile(r"(?:^|,)\s*(GM_\w+)")


def sources(root):
    """Every source file below root, as paths relative to it."""
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(f for f in folders if not SKIPPED.match(f))
        for name in sorted(files):
            if name.endswith(SOURCE):
                yield os.path.relpath(os.path.join(folder, name), root)


def check_include(path, quote, header):
    """The complaint about one #include, or None."""
    folder = os.path.dirname(path)
    if quote == "<":
        for library, home in LIBRARY_LIVES_IN:
            free = path.startswith("tests/") and header != "omp.h"  # without OpenMP tests are built too
            if library.match(header) and not home.match(path) and not free:
                return f"<{header}> may be included in {home.pattern}* only"
        return None
    if header in GENERATED or folder not in MAY_INCLUDE:
        return None
    target = os.path.dirname(header)
    if target == "":
        return f'"{header}" is not written from the root'
    if target not in [folder, *MAY_INCLUDE[folder], *EXTRA.get(folder, [])]:
        return f'{folder}/ may not include "{header}"'
    return None


def check_file(root, path, seen):
    """Complaints about one file as (line, text)."""
    with open(os.path.join(root, path), encoding="utf-8") as file:
        lines = file.read().split("\n")
    if len(lines) - 1 > MAX_LINES:
        yield MAX_LINES + 1, f"{len(lines) - 1} lines, at most {MAX_LINES}"
    name = os.path.basename(path)
    if name != "__init__.py" and seen.setdefault(name, path) != path:
        yield 1, f"the name {name} is taken by {seen[name]}"
    if path.endswith((".py", ".mjs", ".css")):
        return
    after = None  # the library's header that stands before this line in the same block of includes
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        if match:
            quote, header = match.groups()
            complaint = check_include(path, quote, header)
            if complaint:
                yield number, complaint
            if quote == '"' and after:
                yield number, f'"{header}" stands after <{after}>: own header, the project\'s, libraries, C library'
            after = header if quote == "<" else after
        elif line.strip():
            after = None


def check_names(root, paths):
    """A name means one thing: what the headers of one folder declare, those of no other do."""
    declared = {}
    for path in paths:
        if path.startswith("tests/") or not path.endswith((".h", ".cuh")):
            continue
        with open(os.path.join(root, path), encoding="utf-8") as file:
            text = COMMENT.sub(lambda comment: "\n" * comment[0].count("\n"), file.read())
        found = [(match[match.lastindex], match.start(match.lastindex)) for match in DECLARED.finditer(text)]
        for enum in ENUM.finditer(text):
            found += [(match[1], enum.start(1) + match.start(1)) for match in CONSTANT.finditer(enum[1])]
        for name, at in found:
            other = declared.setdefault(name, path)
            if os.path.dirname(other) != os.path.dirname(path):
                yield path, text.count("\n", 0, at) + 1, f"{name} is declared in {other} too"


def check_cuda_switch(root, paths):
    """GM_HAVE_CUDA is looked at in one file of a folder, where the backend is chosen."""
    chosen = {}
    for path in paths:
        if path.startswith("tests/") or not path.endswith((".c", ".h", ".cu", ".cuh")):
            continue
        with open(os.path.join(root, path), encoding="utf-8") as file:
            if not re.search(r"^\s*#.*GM_HAVE_CUDA", file.read(), re.MULTILINE):
                continue
        other = chosen.setdefault(os.path.dirname(path), path)
        if other != path:
            yield path, 1, f"looks at GM_HAVE_CUDA, and so does {other}"


def tracked(root):
    """What git keeps of the tree; nothing without git."""
    try:
        done = subprocess.run(["git", "-C", root, "ls-files", "-z"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return []
    return [path for path in done.stdout.split("\0") if path and os.path.lexists(os.path.join(root, path))]


def check_top(root):
    """Names at the top of the tree that git keeps and nobody put there on purpose; without git there are none."""
    for name in sorted({path.split("/")[0] for path in tracked(root)} - TOP):
        yield name, 1, "does not belong at the top of the tree"


def check_sizes(root):
    """Folders that hold more than they may, with the largest file that could be smaller."""
    size = {path: os.lstat(os.path.join(root, path)).st_size for path in tracked(root)}  # of a link: its own
    for folder, limit in MOST_BYTES.items():
        inside = {path: n for path, n in size.items() if path.startswith(folder)}
        if sum(inside.values()) > limit:
            largest = max((path for path in inside if not path.startswith(AS_LARGE_AS_IT_IS)), key=inside.get, default=folder)
            yield largest, 1, (f"with its {inside.get(largest, 0) / 1e3:.0f} kB the largest file of '{folder or '.'}', which holds "
                               f"{sum(inside.values()) / 1e6:.2f} MB, at most {limit / 1e6:g} are allowed")


def check_citation(root):
    """What is cited is the version that CMake builds."""
    found = {}
    for path, pattern in (("CMakeLists.txt", r"project\(gm VERSION (\S+)"), ("CITATION.cff", r"(?m)^version: (\S+)$")):
        with open(os.path.join(root, path), encoding="utf-8") as file:
            match = re.search(pattern, file.read())
        found[path] = match and match[1]
    if len(set(found.values())) > 1 or None in found.values():
        yield "CITATION.cff", 1, f"its version is {found['CITATION.cff']}, that of the project {found['CMakeLists.txt']}"


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else "."
    if root == "--help":
        print(__doc__.strip())
        return 0
    paths = list(sources(root))
    seen, breaches = {}, []
    for path in paths:
        breaches += [(path, line, text) for line, text in check_file(root, path, seen)]
    breaches += check_names(root, paths)
    breaches += check_cuda_switch(root, paths)
    breaches += check_top(root)
    breaches += check_sizes(root)
    breaches += check_citation(root)
    for folder in sorted({os.path.dirname(path) for path in paths} - {""}):
        if not os.path.exists(os.path.join(root, folder, "README.md")):
            breaches.append((folder, 1, "no README.md"))
    for path, line, text in breaches:
        print(f"{path}:{line}: {text}")
    print(f"{len(paths)} files, {len(breaches)} breaches")
    return 1 if breaches or not paths else 0


if __name__ == "__main__":
    sys.exit(main())
