#!/usr/bin/env python3
"""bench_engine - gm-bench beside transformers and llama.cpp: the same OLMoE shape, weights and threads, one after the other.

    bench_engine.py [--only STAGE]... [--layers N] [--threads N] [--build DIR] [--work DIR] [--out CSV]

A checkpoint of random weights is made by gm-bench and written as GGUF for llama.cpp (bf16, and q8_0 by its own quantiser); made
once in --work, measured as often as you like. Every measurement is a process of its own. A stage takes two or three minutes, and
replaces its own rows in the CSV; without --only all are measured:

    product     512 x 3584 x 2048 in bf16: ours, and oneDNN's as torch's linear
    probe       documents of 512 tokens, no LM head, router choices kept: ours at steps of 4096; transformers at its best batch of
                1, 4 and 8 documents and its best way of computing experts; llama.cpp, which records nothing, at its best ubatch of
                512 and 2048
    decode      tokens one by one after 512 others, greedy: ours, llama.cpp, transformers, in bf16
    int8        both of these, ours with int8 weights and llama.cpp with q8_0
    avx512bf16, avx512f, avx2
                the probe without AMX, transformers with oneDNN held to the same instructions
    contexts    ours alone, all layers of the shape in bf16: prefill and decode after 1, 512 and 4096 tokens
    context-32768
                the same after 32768, with as many layers as for peers
    serve       ours alone: requests of 220 tokens for 250 more, one and eight at once
    stream      gm-probe collect, a block of 65,151 tokens through four layers of GigaChat's shape: weights resident and streamed

Ours is measured before and after the others, and the slower of the two counts. llama.cpp should be built for the machine:
`scripts/oracles --llama` builds it in the venv's folder llama; GM_LLAMA names another folder. Else the venv's own is used, built
for any x86-64 with AVX2; the CSV says which.
"""

import argparse
import csv
import datetime
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys

from bench_machine import csv_path, machine

ROOT = pathlib.Path(__file__).resolve().parents[1]
DOCUMENT = 512
SHAPE = "olmoe-1b-7b"


class CannotMeasure(Exception):
    """A program of ours failed; what it said."""


class Bench:
    """The rows of one stage, and how they come about."""

    def __init__(self, a):
        self.a, self.rows, self.layers, self.model = a, [], a.layers, ("--model", a.peer_work / "model")

    def row(self, program, setting, value, unit):
        self.rows.append({"program": program, "setting": setting, "value": f"{value:.4g}", "unit": unit})
        print(f"{program:56} {setting:30} {value:9.4g} {unit}", flush=True)

    def ours(self, command, *words):
        device = [] if command == "ceilings" else ["--device", "cpu"]
        line = [self.a.build / "bin/gm-bench", command, "--threads", self.a.threads, "--json", *device, *words]
        done = subprocess.run(list(map(str, line)), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise CannotMeasure(done.stderr.strip())
        said = json.loads(done.stdout)
        self.layers = said.get("layers", self.layers)
        return said

    def peer(self, part, *words, environment=None):
        """None where it cannot be measured, which is said."""
        line = [sys.executable, "-W", "ignore", ROOT / "scripts/bench_peers.py", part, "--work", self.a.peer_work]
        line += ["--threads", self.a.threads, *words]
        environment = {**os.environ, **(environment or {})}
        done = subprocess.run(list(map(str, line)), capture_output=True, text=True, check=False, env=environment)
        if done.returncode == 0:
            return json.loads(done.stdout.splitlines()[-1])
        why = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        print(f"{part} {' '.join(map(str, words))}: {why}", file=sys.stderr)
        return None

    def collect(self, *words):
        """What gm-probe collect says of its run, and the most memory it held, in GB."""
        line = [self.a.build / "bin/gm-probe", "collect", "--threads", self.a.threads, "--device", "cpu", "--json", "--quiet", "--force", *words]
        with subprocess.Popen(list(map(str, line)), stdout=subprocess.PIPE, text=True) as run:
            said = run.stdout.read()
            _, status, usage = os.wait4(run.pid, 0)
            run.returncode = os.waitstatus_to_exitcode(status)
        if run.returncode != 0:
            raise CannotMeasure(f"gm-probe collect ended with {run.returncode}")
        return json.loads(said), usage.ru_maxrss * 1024 / 1e9

    def fastest(self, program, rates):
        setting = max(rates, key=rates.get)
        self.row(program, setting, rates[setting], "tok/s")


# ---- stages ----


def product(b):
    ceilings = b.ours("ceilings", "--rows", 512, "--outputs", 3584, "--inputs", 2048)
    b.row("gm-bench", "512 x 3584 x 2048 bf16", ceilings["bf16_gflop_s"], "GFLOP/s")
    if r := b.peer("torch_product"):
        b.row(r["version"], "512 x 3584 x 2048 bf16", r["gflop_s"], "GFLOP/s")


def probe_rate(r):
    return r["probe_tok_s"]


def decode_rate(r):
    return r["contexts"][0]["decode_tok_s"]


def beside(ours, theirs, rate_of):
    """Ours before and after the others: the slower of the two; and the others that could be measured."""
    first, others, second = ours(), theirs(), ours()
    return min(first, second, key=rate_of), [r for r in others if r]


def put_probe(b, numerics, r):
    b.row("gm-bench", f"512 x 2048 x 2048 {numerics}", r["product_gflop_s"], "GFLOP/s")
    b.row("gm-bench", f"{numerics}, steps of 4096", r["probe_tok_s"], "tok/s")
    b.row("gm-bench", f"{numerics}, of the product's rate", 100 * r["probe_share"], "%")
    b.row("gm-bench", f"{numerics}, peak memory", r["peak_bytes"] * 1e-9, "GB")


def put_decode(b, numerics, r):
    at = r["contexts"][0]
    b.row("gm-bench", f"{numerics}, context {DOCUMENT}", at["decode_tok_s"], "tok/s")
    b.row("gm-bench", f"{numerics}, of reading memory", 100 * at["decode_share"], "%")
    b.row("gm-bench", f"reading memory beside {numerics}", r["read_gb_s"], "GB/s")


def probe(b):
    r, others = beside(
        lambda: b.ours("speed", *b.model, "--context", 0, "--repeats", 5),
        lambda: [b.peer("llama", "--jobs", "probe"), b.peer("hugging_face", "--jobs", "probe")],
        probe_rate,
    )
    put_probe(b, "bf16", r)
    for other in others:
        b.fastest(other["version"], other["probe"])


def decode(b):
    r, others = beside(
        lambda: b.ours("speed", *b.model, "--context", DOCUMENT, "--repeats", 0, "--tokens", 8),
        lambda: [b.peer("llama", "--jobs", "decode"), b.peer("hugging_face", "--jobs", "decode")],
        decode_rate,
    )
    put_decode(b, "bf16", r)
    for other in others:
        b.fastest(other["version"], other["decode"])


def int8(b):
    # llama.cpp's AMX tiles end in a segmentation fault when GCC 12 built it: then it goes without
    r, others = beside(
        lambda: b.ours("speed", *b.model, "--numerics", "int8", "--context", DOCUMENT, "--repeats", 5, "--tokens", 8),
        lambda: [b.peer("llama", "--weights", "q8_0") or b.peer("llama", "--weights", "q8_0", "--plain")],
        decode_rate,
    )
    put_probe(b, "int8", r)
    put_decode(b, "int8", r)
    for other in others:
        b.fastest(f"{other['version']}, q8_0, probe", other["probe"])
        b.fastest(f"{other['version']}, q8_0, decode", other["decode"])


def without_amx(kernels, numerics, isa):
    def stage(b):
        how = ("--kernels", kernels, "--numerics", numerics, "--context", 0, "--repeats", 2, "--step", 2048)
        r = b.ours("speed", *b.model, *how)
        b.row(f"gm-bench, {kernels}", f"{numerics}, steps of 2048", r["probe_tok_s"], "tok/s")
        limit = {"ONEDNN_MAX_CPU_ISA": isa, "ATEN_CPU_CAPABILITY": isa.split("_")[0].lower()}
        if r := b.peer("hugging_face", "--quick", "--jobs", "probe", environment=limit):
            b.fastest(f"{r['version']}, oneDNN {isa}", r["probe"])

    return stage


def at_contexts(*contexts, whole=True):
    def stage(b):
        words = [word for context in contexts for word in ("--context", context)]
        if not whole:
            words += ["--layers", b.a.layers, "--repeats", 0, "--tokens", 2]
        r = b.ours("speed", "--shape", SHAPE, *words)
        if r["probe_tok_s"]:
            b.row("gm-bench", "bf16, steps of 4096", r["probe_tok_s"], "tok/s")
            b.row("gm-bench", "bf16, of the product's rate", 100 * r["probe_share"], "%")
        for at in r["contexts"]:
            where = f"context {at['context']}"
            if at["prefill_tok_s"] is not None:
                b.row("gm-bench", f"prefill up to {where}", at["prefill_tok_s"], "tok/s")
                b.row("gm-bench", f"prefill up to {where}, of the product's", 100 * at["prefill_share"], "%")
            b.row("gm-bench", f"decode, {where}", at["decode_tok_s"], "tok/s")
            b.row("gm-bench", f"decode, {where}, of reading", 100 * at["decode_share"], "%")
        for name in ("weight", "kv", "peak"):
            b.row("gm-bench", f"{name} bytes", r[f"{name}_bytes"] * 1e-9, "GB")
        b.row("gm-bench", "reading memory", r["read_gb_s"], "GB/s")

    return stage


def serve(b):
    for at_once, requests in ((1, 4), (8, 16)):
        r = b.ours("serve", *b.model, "--requests", requests, "--at-once", at_once)
        for name, key, unit in (
            ("Req/s", "req_s", "1/s"), ("Output Token/s", "output_tok_s", "tok/s"), ("Total Token/s", "total_tok_s", "tok/s"),
            ("first token", "first_token_s", "s"), ("each further token", "next_token_s", "s"),
        ):
            b.row("gm-bench", f"{at_once} at once: {name}", r[key], unit)


def stream(b):
    folder, corpus = b.a.work / "stream", b.a.work / "stream.jsonl"
    rate = {}
    for how in ("resident", "streamed"):
        words = ("--stream",) if how == "streamed" else ()
        run, peak = b.collect("--model", folder, "--corpus", corpus, "-o", b.a.work / "stream.trace.h5", *words)
        rate[how] = run["tokens_per_second"]
        b.layers = 4
        b.row("gm-probe collect", f"gigachat-20b-a3b, {how}", rate[how], "tok/s")
        b.row("gm-probe collect", f"{how}, waited for layers", run["seconds_waited"], "s")
        b.row("gm-probe collect", f"{how}, peak memory", peak, "GB")
    b.row("gm-probe collect", "streamed beside resident", 100 * rate["streamed"] / rate["resident"], "%")


STAGES = {
    "product": product,
    "probe": probe,
    "decode": decode,
    "int8": int8,
    "avx512bf16": without_amx("avx512bf16", "bf16-dot", "AVX512_CORE_BF16"),
    "avx512f": without_amx("avx512f", "bf16", "AVX512_CORE"),
    "avx2": without_amx("avx2", "bf16", "AVX2"),
    "contexts": at_contexts(1, 512, 4096),
    "context-32768": at_contexts(32768, whole=False),
    "serve": serve,
    "stream": stream,
}


# ---- files ----


def checkpoint(a, shape, layers, folder):
    if not (folder / "config.json").exists():
        subprocess.run([a.build / "bin/gm-bench", "checkpoint", "--shape", shape, "--layers", str(layers), "-o", folder], check=True)


def prepare(a, stages):
    """Checkpoints, GGUFs and a corpus of nonsense, as far as the stages need them and they are not there yet."""
    a.peer_work.mkdir(parents=True, exist_ok=True)
    if not {"product", "contexts", "context-32768", "stream"}.issuperset(stages):
        checkpoint(a, SHAPE, a.layers, a.peer_work / "model")
    if {"probe", "decode", "int8"}.intersection(stages) and not (a.peer_work / "q8_0.gguf").exists():
        Bench(a).peer("write_gguf")
    if "stream" in stages:
        checkpoint(a, "gigachat-20b-a3b", 4, a.work / "stream")
        shutil.copy(ROOT / "notebooks-data/demo-model/tokenizer.json", a.work / "stream/tokenizer.json")
        draw = random.Random(1)
        word = ["".join(draw.choices("aeiourstlnm", k=6)) for _ in range(4000)]
        with open(a.work / "stream.jsonl", "w") as file:
            for _ in range(127):  # a little less than the most tokens of a block
                print(json.dumps({"text": " ".join(draw.choices(word, k=DOCUMENT))}), file=file)


def keep(path, stage, rows, about):
    """The CSV with the rows of this stage in place of those it had."""
    fields = ["stage", *rows[0], *about]
    kept = []
    if path.exists():
        with open(path, newline="") as file:
            table = csv.DictReader(file)
            if table.fieldnames != fields:
                sys.exit(f"bench_engine: '{path}' has other columns; choose another --out")
            kept = [row for row in table if row["stage"] != stage]
    kept += [{"stage": stage, **row, **about} for row in rows]
    kept.sort(key=lambda row: list(STAGES).index(row["stage"]))
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with open(part, "w", newline="") as file:
        out = csv.DictWriter(file, fields)
        out.writeheader()
        out.writerows(kept)
    part.rename(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=STAGES, help="a stage; may be repeated (default: all)")
    parser.add_argument("--layers", type=int, default=4, help="layers, of 16, for stages that measure peers (default 4)")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/cpu")
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "build/bench", help="checkpoint and GGUF files (build/bench)")
    parser.add_argument("--out", type=pathlib.Path, help="the CSV (notebooks-data/bench/engine-CPU.csv)")
    parser.add_argument("--prepare", action="store_true", help="make the files and stop")
    a = parser.parse_args()
    a.peer_work = a.work / f"{a.layers}-layers"
    stages = a.only or list(STAGES)
    prepare(a, stages)
    if a.prepare:
        return 0
    about = machine()
    path = a.out or csv_path("engine", about)
    status = 0
    for stage in stages:
        print(f"== {stage}", flush=True)
        b = Bench(a)
        try:
            STAGES[stage](b)
        except CannotMeasure as why:  # the rows that it had are kept
            print(f"{stage}: {why}", file=sys.stderr)
            status = 1
            continue
        about["layers"], about["threads"], about["date"] = b.layers, a.threads, datetime.date.today().isoformat()
        keep(path, stage, b.rows, about)
    print(path)
    return status


if __name__ == "__main__":
    sys.exit(main())
