#!/usr/bin/env python3
"""scripts/setup without root, with packages made here in place of Debian's and an apt-get that has only these: what it
unpacks is found and works where it lies, goes with what is installed, and is not fetched twice."""
import os
import pathlib
import shutil
import subprocess
import sys

SOURCE = pathlib.Path(__file__).resolve().parents[2]
if not shutil.which("dpkg-deb"):
    sys.exit(77)
shutil.rmtree("work", ignore_errors=True)
WORK = pathlib.Path("work").resolve()
CHECKOUT, DEPS, FAKES, DEBS = WORK / "a checkout", WORK / "deps", WORK / "bin", WORK / "debs"
LIB = "usr/lib/x86_64-linux-gnu"


def put(path, text, mode=0o644):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def make_package(name, files, links=()):
    tree = WORK / "tree" / name
    put(tree / "DEBIAN/control", f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: none <none@localhost>\nDescription: test\n")
    for path, text in files.items():
        put(tree / path, text, 0o755)
    for path, target in links:
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).symlink_to(target)
    DEBS.mkdir(exist_ok=True)
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", tree, DEBS / f"{name}_1_all.deb"], check=True, stdout=subprocess.DEVNULL)


def run(*words, path=f"{FAKES}:{os.environ['PATH']}", code=0):
    done = subprocess.run(words, cwd=CHECKOUT, env=dict(os.environ, PATH=path, FAKES=str(FAKES), DEBS=str(DEBS)), text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    assert done.returncode == code, (words, done.returncode, done.stdout)
    return done.stdout


make_package("libgreet", {"lib/x86_64-linux-gnu/libgreet.so.1": "the library"})
make_package("libgreet-dev", {
    f"{LIB}/pkgconfig/greet.pc": "prefix=/usr\nlibdir=/usr/lib\nCflags: -I/usr/include/greet\nLibs: -L${libdir} -L/usr/lib/greet\n",
    "usr/bin/greet": "#!/bin/sh\necho greetings", "usr/lib/python3/dist-packages/greet_module.py": "WORD = 'greetings'"},
    [(f"{LIB}/libgreet.so", "/lib/x86_64-linux-gnu/libgreet.so.1"), (f"{LIB}/libnear.so", "libgreet.so.1"),
     ("usr/bin/lent", "sh"), ("usr/bin/nowhere", "no-such-file")])
make_package("libc6", {f"{LIB}/libc.so.6": "not this machine's"})
for script in ("setup", "unpack_packages"):
    put(CHECKOUT / "scripts" / script, (SOURCE / "scripts" / script).read_text(), 0o755)
put(CHECKOUT / "scripts/packages.txt", "# build\nlibgreet-dev\ninstalled\n\n# check (tools)\ncppcheck\n")
put(FAKES / "id", "#!/bin/sh\necho 1000", 0o755)
put(FAKES / "sudo", '#!/bin/sh\ntouch "$FAKES/asked"; exit 1', 0o755)
put(FAKES / "dpkg-query", "#!/bin/sh\nfor word; do :; done\n[ $word != installed ] || echo installed", 0o755)
put(FAKES / "apt-get", """#!/bin/sh
echo "$@" >>"$FAKES/calls"
case "$*" in
*update*) echo "a source is out of reach" && exit 100 ;;
*) [ ! -e "$FAKES/broken" ] && cp "$DEBS"/*.deb "${APT_CONFIG%apt.conf}apt/archives" ;;
esac
""", 0o755)

assert "missing: libgreet-dev cppcheck" in run("scripts/setup", "--check", code=1)

# all but the tools of the checks is installed: nothing is to be unpacked
put(CHECKOUT / "scripts/packages.txt", "# build\ninstalled\n\n# check (tools)\ncppcheck\n")
assert "all 1 are here" in run("scripts/setup") and not (FAKES / "calls").exists()
put(CHECKOUT / "scripts/packages.txt", "# build\nlibgreet-dev\ninstalled\n\n# check (tools)\ncppcheck\n")
(FAKES / "asked").unlink()

# files that are unpacked cannot name a path with a blank
assert "a checkout/deps' has a blank or one of " in run("scripts/setup", "--user", code=1) and not (FAKES / "calls").exists()
(CHECKOUT / "deps").rmdir()
DEPS.mkdir()
(CHECKOUT / "deps").symlink_to(DEPS)

# --user asks for no password; what cannot be fetched is said, and nothing counts as there
put(FAKES / "broken", "")
assert "unpack_packages deps libgreet-dev' failed" in run("scripts/setup", "--user", code=1)
(FAKES / "broken").unlink()
assert not (DEPS / "packages").exists() and not (FAKES / "asked").exists()

# sudo refuses: unpacked instead, without the tools of the checks and what is installed
said = run("scripts/setup")
assert "neither root nor sudo" in said and "fetch: libgreet-dev \n" in said and "all 2 are here" in said, said
assert (DEPS / "packages").read_text() == "libgreet-dev\n"
assert (FAKES / "calls").read_text().splitlines()[-1].endswith("--download-only --no-install-recommends libgreet-dev")

# one tree; links lead to what is there or on the machine; files say where they lie
assert (DEPS / LIB / "libgreet.so.1").read_text() == "the library"
assert (DEPS / LIB / "libgreet.so").read_text() == (DEPS / LIB / "libnear.so").read_text() == "the library"
assert (DEPS / "usr/bin/lent").resolve() == pathlib.Path("/usr/bin/sh").resolve()
assert not (DEPS / LIB / "libc.so.6").exists(), "the machine's own goes with its loader"
pc = (DEPS / LIB / "pkgconfig/greet.pc").read_text()
assert pc == f"prefix={DEPS}/usr\nlibdir={DEPS}/usr/lib\nCflags: -I{DEPS}/usr/include/greet\nLibs: -L${{libdir}} -L{DEPS}/usr/lib/greet\n", pc
said = run("sh", "-c", ". deps/env && greet && python3 -c 'import greet_module; print(greet_module.WORD)' && echo $LD_LIBRARY_PATH")
assert said.startswith("greetings\ngreetings\n") and f"{DEPS}/{LIB}:" in said, said
assert str(DEPS / "usr/share/fonts") in (DEPS / "fonts.conf").read_text()

# again: nothing is fetched, and nobody is asked for a password
(FAKES / "asked").unlink()
calls = (FAKES / "calls").read_text()
for words in ([], ["--check"], ["--user"]):
    assert "all 2 are here" in run("scripts/setup", *words)
assert (FAKES / "calls").read_text() == calls and not (FAKES / "asked").exists()

# a package that the list gained is added
put(CHECKOUT / "scripts/packages.txt", "# build\nlibgreet-dev\ninstalled\nlater\n")
assert "fetch: later \n" in run("scripts/setup") and "all 3 are here" in run("scripts/setup", "--check")
assert pc == (DEPS / LIB / "pkgconfig/greet.pc").read_text(), "files are not told twice where they lie"

# no Debian: a sentence
shutil.rmtree(DEPS)
(FAKES / "apt-get").unlink()
for tool in ("sed", "grep", "tr", "dirname", "mktemp", "rm", "cat"):
    (FAKES / tool).symlink_to(shutil.which(tool))
assert "this is not Debian; CONTRIBUTING" in run("/bin/sh", "scripts/setup", path=str(FAKES), code=1)
