#!/usr/bin/env python3
# label: slow
# label: long
"""--help against what the programs do, for every command: each option it lists is accepted, with every value that its
range and choices allow and none outside; no other option is; each default that it states is the one that is used and
recorded, and another value is recorded in its place.

Options are read in order, so that an option is accepted when the complaint is about a later one that nobody knows."""
import json
import os
import pathlib
import random
import re
import subprocess

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("GM_BIN", "build/cpu/bin"))
MODEL = SOURCE / "tests/golden/models/deepseek-tiny"
NOBODY = "--nobody-knows-this"
OPTION = re.compile(r"  (--?[A-Za-z][\w-]*)(?: (\S.*?))?(?:  +(\S.*))?")
NUMBER = re.compile(r"\(default (\S+); (\S+) to (\S+)\)$")
DEFAULT = re.compile(r"\(default (.*?)(?:; .* to .*)?\)$")


def run(*words, leaks=True):
    """leaks: looked for where a sanitizer does; that takes as long as a refusal itself."""
    how = os.environ.get("ASAN_OPTIONS", "") + ("" if leaks else ":detect_leaks=0")
    return subprocess.run([BIN / words[0], *map(str, words[1:])], capture_output=True, text=True, check=False,
                          env=dict(os.environ, ASAN_OPTIONS=how))


def commands():
    """(program, command), as each program's own help lists them."""
    for program in ("gm-probe", "gm-cluster", "gm-steer", "gm-bench"):
        done = run(program, "--help")
        assert done.returncode == 0 and done.stderr == "", done
        listed = re.findall(r"^  (\w+) +\S", done.stdout, re.M)
        assert len(listed) >= 3, done.stdout
        for command in listed:
            yield program, command


def options_of(program, command):
    """{"--name": (argument or None, sentence)} of a command's help, which must fit a terminal of 100 columns."""
    done = run(program, command, "--help")
    assert done.returncode == 0 and done.stderr == "", done
    found, last = {}, None
    for line in done.stdout.splitlines():
        assert len(line) <= 100 or "|" in line, line  # a list of choices stays whole
        option = OPTION.fullmatch(line)
        if option:
            last = option[1]
            assert last not in found, (program, command, last)
            found[last] = (option[2], option[3] or "")
        elif last and line.startswith(" " * 28):
            found[last] = (found[last][0], (found[last][1] + " " + line.strip()).strip())
        else:
            last = None
    assert found.pop("--help")
    flags = any(argument is None and not name.startswith("--no-") for name, (argument, _) in found.items())
    assert flags == (found.pop("--no-FLAG", None) is not None)
    for name, (_, sentence) in found.items():
        assert sentence, (program, command, name)
    return found


def bound(text):
    return 2.0 ** int(text[2:]) if text.startswith("2^") else float(text)


def written(value, whole):
    return str(int(value)) if whole else repr(value)


class Command:
    def __init__(self, program, command):
        self.words = (program, command)
        self.options = options_of(program, command)
        self.n_read = {True: 0, False: 0}  # integers, other numbers

    def complaint(self, *words, leaks=False):
        """What the command says to a usage error: one sentence, exit 2, nothing done."""
        done = run(*self.words, *words, leaks=leaks)
        assert done.returncode == 2 and done.stdout == "", (self.words, words, done)
        first, second = done.stderr.splitlines()
        assert second == f"Try '{' '.join(self.words)} --help'.", done.stderr
        return first.removeprefix(f"{' '.join(self.words)}: ")

    def refuses(self, part, *words):
        said = self.complaint(*words, NOBODY)
        assert part in said, (self.words, words, said)

    def check_examples(self):
        """An example at least, of options that the command has; -h is --help."""
        text = run(*self.words, "--help").stdout
        examples = re.findall(rf"^  ({' '.join(self.words)} \S.*(?:\\\n .*)*)$", text, re.M)
        assert examples, (self.words, "no example")
        for example in examples:
            used = set(re.findall(r" (--?[a-z][\w-]*)", example.split(" | ")[0]))
            assert used <= set(self.options), (example, used - set(self.options))
            assert all(len(line) <= 100 for line in example.splitlines()), example
        short = run(*self.words, "-h", leaks=False)
        assert (short.returncode, short.stdout, short.stderr) == (0, text, ""), self.words

    def check(self):
        """All that is accepted stands on one line, before what nobody knows; each refusal has a line of its own."""
        self.check_examples()
        accepted = []
        for name, (argument, sentence) in self.options.items():
            check = self.check_flag if argument is None else self.check_value
            accepted += check(name, argument, sentence)
        assert self.complaint(*accepted, NOBODY, leaks=True) == f"unknown option '{NOBODY}'", (self.words, accepted)
        for spelling in ("--o", "-H", "--version", "--help=yes", "-model", "--jso"):
            assert f"unknown option '{spelling.split('=')[0]}'" in self.complaint(spelling), (self.words, spelling)

    def check_flag(self, name, _argument, _sentence):
        row = name.replace("--no-", "--")
        off = row if name != row else name.replace("--", "--no-", 1)
        assert self.complaint(f"{name}=yes") == f"{row} takes no value", (self.words, name)
        return [name, off]

    def check_value(self, name, argument, sentence):
        """The spellings that must be accepted."""
        other = next(n for n in self.options if n.startswith("--"))
        assert self.complaint(name) == f"{name} needs a value ({argument})"
        self.refuses(f"{name} needs a value", name, other)
        number = NUMBER.search(sentence)
        if number:
            return self.check_number(name, number)
        if "|" not in argument:
            return [name, "text", f"{name}={other}"]
        choices = argument.split("|")
        assert DEFAULT.search(sentence)[1] in choices, sentence
        for word in ("", choices[0] + "|" + choices[1], choices[0].upper()):
            self.refuses(f"{name} is '{word}', expected one of {argument}", name, word)
        return [word for choice in choices for word in (name, choice)]

    def check_number(self, name, number):
        default, low, high = number.groups()
        whole = "expected an integer" in self.complaint(name, "many", NOBODY)
        assert bound(low) <= bound(default) <= bound(high), (self.words, name)
        step = 1 if whole else 1e-3
        below = written(bound(low) - step, whole)
        self.refuses(f"{name} is {below}, expected {low} to {high}", name, below)
        if bound(high) < 2**53:
            above = written(bound(high) + max(step, bound(high) * 1e-9), whole)
            self.refuses(f"{name} is {above}, expected {low} to {high}", name, above)
        others = ("", "1x", "nan", "9" * 30 if whole else "1 ")
        seen = self.n_read[whole]  # all the first time, then in turn: one function reads them
        for other in others if seen == 0 else [others[seen % 4]]:
            self.refuses(f"{name} is '{other}', expected", name, other)
        self.n_read[whole] += 1
        return [word for value in (low, high) for word in (name, written(bound(value), whole))]


# ---- options whose values are words of their own ----

# What a command needs beside the option: nothing of it is there, so that what is refused is refused before it is read.
NEEDS = {
    "gm-probe collect": "--model absent --corpus absent -o absent/t.h5", "gm-probe stats": "absent",
    "gm-probe export": "absent -o absent.npy", "gm-cluster fit": "absent -o absent/a.h5",
    "gm-cluster matrix": "absent -o absent/rows.csv", "gm-cluster report": "absent -o absent/page.html",
    "gm-cluster show": "absent", "gm-steer plan": "--atlas absent --cluster 0",
    "gm-steer generate": "--model absent --atlas absent --cluster 0 --prompt soup",
    "gm-steer compare": "--model absent --atlas absent --cluster 0 --prompt soup",
    "gm-steer sweep": "--model absent --atlas absent --classifier-corpus absent",
    "gm-bench speed": "--shape olmoe-1b-7b", "gm-bench serve": "--shape olmoe-1b-7b", "gm-bench ceilings": "",
    "gm-bench checkpoint": "--shape olmoe-1b-7b -o absent/c"}
WORDS = {
    "--kernels": ("mmx", "", "AVX2", "amx "), "--device": ("gpu", "", "cuda:", "cuda:-1", "cuda:x", "CPU"),
    "--shape": ("olmoe", ""), "--snippets": ("all", "", "0", "-1", "1e3"), "--shard": ("1", "", "0/0", "3/2", "-1/2", "1/2x"),
    "--record": ("all", "", "logits", "logits:0", "logits:2", "logits:nan"),
    "--filter": ("best", "", "top:", "top:0", "top:x", "quantile:2", "quantile:nan", "lift:2"),
    "--schedule": ("soon", "", "first:", "first:0", "rise:1e9"), "--layers": ("", "x", "3-1", "1-", "-"),
    "--control": ("noise", "", "other:", "other:x", "half", "half:1"), "--doses": ("", "x", "2,1", "1,1", "nan", "-1", "1,,2", "1." + "0" * 46 + "x"),
    "--expert": ("", "1", "1:", "x:1=1", "1:1=nan", "1:1=")}


def check_words(command, read):
    """Each of them that a command has, with values that are none: wrong usage, said before anything is read. The first
    command that has an option gets all of them, the others one each: what reads them is shared. `read` {name: commands}"""
    needs = NEEDS.get(" ".join(command.words), "").split()
    for name in WORDS.keys() & command.options.keys():
        if name in ("--record", "--layers") and command.options[name][0] in ("FILE", "N"):
            continue  # another one of that name
        seen, words = read.get(name, 0), WORDS[name]
        read[name] = seen + 1
        for word in words if seen == 0 else [words[seen % len(words)]]:
            said = command.complaint(*needs, f"{name}={word}")
            assert "absent" not in said, (command.words, name, word, said)


# ---- defaults: what the help states is what is recorded ----


def same(recorded, stated):
    if isinstance(recorded, (bool, type(None), str)):
        return recorded == stated
    return float(recorded) == bound(stated)


def check_recorded(command, recorded, keys, *, others=()):
    """Each option of `keys` {"--name": key} is recorded with its default, or with the value in `others`."""
    for name, key in keys.items():
        stated = DEFAULT.search(command.options[name][1])[1]
        wanted = dict(others).get(name, stated)
        assert same(recorded[key], wanted), (command.words, name, wanted, recorded[key])


def run_json(*words):
    done = run(*words)
    assert done.returncode == 0, (words, done.stderr)
    return json.loads(done.stdout)


def flat(pairs):
    return [word for pair in pairs.items() for word in pair]


def write_corpus():
    """60 documents of two subsets, of over 128 tokens."""
    topics = ("salt onion broth simmer carrot pepper bowl stir".split(), "orbit comet lens nebula planet moon".split())
    for i in range(120):
        with open("corpus.jsonl" if i < 60 else "other.jsonl", "a" if i % 60 else "w", encoding="utf-8") as corpus:
            words = topics[i % 2]
            text = " ".join(random.Random(i).choices(words, k=80))
            corpus.write(json.dumps({"text": text, "body": text, "meta": {"pile_set_name": "ab"[i % 2]}}) + "\n")


def check_collect(command):
    keys = {f"--{key.replace('_', '-')}": key for key in
            ("record", "doc_tokens", "min_tokens", "limit", "sample", "per_subset", "seed", "text_field", "subset_field")}
    fixed = ("gm-probe", "collect", "--model", MODEL, "--corpus", "corpus.jsonl", "--quiet", "--force", "-o")
    run_json(*fixed, "t.h5", "--json")
    check_recorded(command, run_json("gm-probe", "info", "t.h5", "--json")["options"], keys)
    others = {"--record": "counts", "--doc-tokens": "140", "--min-tokens": "100", "--limit": "50", "--sample": "20",
              "--seed": "7", "--text-field": "body", "--subset-field": "none"}
    run_json(*fixed, "u.h5", "--json", *flat(others))
    trace = run_json("gm-probe", "info", "u.h5", "--json")
    check_recorded(command, trace["options"], keys, others=others)
    assert (trace["documents"], trace["record"], trace["counted_tokens"]) == (20, "counts", 20 * 140), trace
    assert trace["subsets"] <= 1, trace


def check_fit(command):
    names = {"--set-op-mix": "set_op_mix", "--n-neighbors": "n_neighbors"}
    keys = names | {f"--{key.replace('_', '-')}": key for key in
                    ("usage", "metric", "min_dist", "spread", "learning_rate", "repulsion", "negative_samples", "layout",
                     "seed", "selection", "epsilon", "max_cluster_size", "keywords", "stop_words")}
    assert run("gm-cluster", "fit", "t.h5", "-o", "a.h5", "--min-cluster-size", "5", "--quiet", "--force").returncode == 0
    shown = run_json("gm-cluster", "show", "a.h5", "--json")["parameters"]
    check_recorded(command, shown, keys)
    assert shown["stems"] and not shown["allow_single_cluster"] and shown["epochs"] == 500
    others = {"--usage": "gates", "--metric": "cosine", "--n-neighbors": "10", "--min-dist": "0.2", "--spread": "1.5",
              "--set-op-mix": "0.5", "--learning-rate": "0.5", "--repulsion": "2", "--negative-samples": "3",
              "--layout": "reference", "--seed": "1", "--selection": "leaf", "--epsilon": "0.01",
              "--max-cluster-size": "40", "--keywords": "class", "--stop-words": "none"}
    extra = {"--epochs": "20", "--min-cluster-size": "6", "--min-samples": "4"}
    done = run("gm-cluster", "fit", "t.h5", "-o", "b.h5", *flat(others | extra), "--no-stems", "--allow-single-cluster",
               "--quiet", "--force")
    assert done.returncode == 0, done.stderr
    shown = run_json("gm-cluster", "show", "b.h5", "--json")["parameters"]
    check_recorded(command, shown, keys, others=others)
    assert not shown["stems"] and shown["allow_single_cluster"]
    assert (shown["epochs"], shown["min_cluster_size"], shown["min_samples"]) == (20, 6, 4), shown


RULES = {"--weight": "weight", "--filter": "filter", "--scale": "scale", "--mode": "mode", "--phase": "phase",
         "--schedule": "schedule", "--control-seed": "control_seed"}
RULES_OTHERWISE = {"--weight": "2", "--filter": "none", "--scale": "logit", "--mode": "gate", "--phase": "generated",
                   "--schedule": "first:9", "--control-seed": "3"}


def check_plan(command):
    fixed = ("gm-steer", "plan", "--atlas", "a.h5", "--subset", "a", "--json")
    check_recorded(command, run_json(*fixed)["source"], RULES)
    shown = run_json(*fixed, *flat(RULES_OTHERWISE), "--layers", "2-3", "--mass-match", "--control", "random")["source"]
    check_recorded(command, shown, RULES, others=RULES_OTHERWISE)
    assert (shown["first_layer"], shown["last_layer"], shown["mass_matched"]) == (2, 3, True), shown
    assert shown["control"] == "random", shown


def check_writers(generate, compare):
    """What generate and compare say of how they sampled; "below 0: as the model says" is the model's own."""
    others = {"--max-tokens": "3", "--seed": "5", "--temperature": "0.5", "--top-k": "4", "--top-p": "0.9",
              "--repetition-penalty": "1.1", "--numerics": "bf16", "--kernels": "portable"}
    for command in (generate, compare):
        fixed = (*command.words, "--model", MODEL, "--atlas", "a.h5", "--subset", "a", "--prompt", "soup", "--json", "--quiet")
        for given in ({}, others):
            shown = run_json(*fixed, *flat(given))
            how = shown["sampling"]
            for key in ("max_tokens", "seed"):
                check_recorded(command, how, {f"--{key.replace('_', '-')}": key}, others=given)
            wanted = [float(given.get(f"--{key.replace('_', '-')}", own)) for key, own in
                      (("temperature", 0), ("top_k", 0), ("top_p", 1), ("repetition_penalty", 1))]
            assert [how[k] for k in ("temperature", "top_k", "top_p", "repetition_penalty")] == wanted, how
            assert shown["numerics"] == given.get("--numerics", "f32"), shown
            assert given == {} or shown["kernels"] == "portable", shown


def check_sweep(command):
    """What it records as "config" is every option that a result depends on."""
    fixed = ("gm-steer", "sweep", "--model", MODEL, "--atlas", "a.h5", "--classifier-corpus", "other.jsonl", "--quiet",
             "--cluster", "0", "--max-tokens", "2", "--json")
    others = {"--doses": "0.5,1", "--draws": "1", "--band-draws": "0", "--shuffles": "0", "--seeds": "2",
              "--n-clusters": "3", "--min-purity": "0.1", "--max-kl": "9", "--passages": "3", "--off-prompts": "1",
              "--filter": "lift,none", "--scale": "logit"}
    keys = {name: name[2:] for name in others}
    for given in ({"--draws": "1"}, others):
        done = run(*fixed, *flat(given))
        assert done.returncode in (0, 3), done.stderr
        shown = json.loads(done.stdout)
        check_recorded(command, shown["config"], keys, others=given)
        check_recorded(command, shown["sampling"], {"--temperature": "temperature", "--seed": "seed"})
        assert shown["sampling"]["max_tokens"] == 2, shown


def main():
    known = {words: Command(*words) for words in commands()}
    assert {" ".join(words) for words in known} >= NEEDS.keys()
    for command in known.values():
        command.check()
    read = {}
    for command in known.values():
        check_words(command, read)
    assert read.keys() == WORDS.keys(), WORDS.keys() - read.keys()
    write_corpus()
    check_collect(known["gm-probe", "collect"])
    check_fit(known["gm-cluster", "fit"])
    check_plan(known["gm-steer", "plan"])
    check_writers(known["gm-steer", "generate"], known["gm-steer", "compare"])
    check_sweep(known["gm-steer", "sweep"])


if __name__ == "__main__":
    main()
