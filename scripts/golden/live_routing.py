#!/usr/bin/env python3
"""live_routing - experts that transformers chooses, recorded by notebooks-data/record_routing.py and imported, against our own trace.

    live_routing.py BUILD     BUILD: a build folder with gm-probe

The tiny checkpoints of live_plan.py in f32, on documents of ../shared/minipile. Every (token, layer) pair must have the same experts, and
each document the same tokens. Exit 77 when something is absent, 3 when a bound does not hold.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from golden import common  # noqa: E402
from golden.live_plan import MODELS, folder_of, load  # noqa: E402
from golden.live_tokenizer import program  # noqa: E402
from golden.tokenizer import unzstd  # noqa: E402

DOCUMENTS, LEAST_SAME = 12, 0.9995  # near ties of a router in f32 may fall either way


def check_model(name, gm_probe, record_routing, lines, work):
    """Whether both chose the same."""
    from transformers import AutoTokenizer

    folder = folder_of(name, work)
    model, tokenizer = common.transformers_model(folder), AutoTokenizer.from_pretrained(folder)
    seen = record_routing.watch(model)
    with open(work / "theirs.jsonl", "w") as file:
        for line in lines:
            print(json.dumps(record_routing.document_of(json.loads(line), tokenizer, model, seen)), file=file)
    (work / "corpus.jsonl").write_text("".join(lines))

    def run(*words):
        return subprocess.run([gm_probe, *words], check=True, capture_output=True, text=True).stdout

    run("import", work / "theirs.jsonl", "--model", folder, "-o", work / "theirs.h5", "--force")
    run("collect", "--model", folder, "--corpus", work / "corpus.jsonl", "--min-tokens", "1", "--doc-tokens", "500", "--numerics", "f32",
        "-o", work / "ours.h5", "--force")
    found = json.loads(run("stats", work / "ours.h5", "--against", work / "theirs.h5", "--json"))
    pairs = sum(layer["pairs"] for layer in found["layers"])
    same, first = (sum(layer[key] * layer["pairs"] for layer in found["layers"]) / pairs for key in ("same_set", "same_first"))
    print(f"{name}: {found['documents']} documents, {found['tokens']} tokens, {pairs} choices: the same experts {same:.5f}, the same "
          f"strongest {first:.5f}")
    return same >= LEAST_SAME and found["documents"] == len(lines) and found["tokens_left_out"] == 0


def check_script(record_routing, work):
    """As a program it says in f32 the experts that were just recorded in f32, and in bf16 some others."""
    from transformers import AutoTokenizer

    folder, script = common.REPO / "tests" / "golden" / "models" / "deepseek-v2-tiny", common.REPO / "notebooks-data" / "record_routing.py"
    lines = (work / "corpus.jsonl").read_text().splitlines()
    model, tokenizer = common.transformers_model(folder), AutoTokenizer.from_pretrained(folder)
    seen, said = record_routing.watch(model), []
    recorded = [record_routing.document_of(json.loads(line), tokenizer, model, seen)["routed_experts"] for line in lines]
    for dtype in ([], ["--dtype", "bfloat16"]):
        subprocess.run([sys.executable, script, folder, work / "corpus.jsonl", work / "said.jsonl", *dtype], check=True, capture_output=True)
        said.append([json.loads(line)["routed_experts"] for line in (work / "said.jsonl").read_text().splitlines()])
    same, other = said[0] == recorded, said[1] != said[0]
    print(f"record_routing.py as a program: {'the same' if same else 'OTHER'} experts in f32, {'others' if other else 'THE SAME'} in bf16")
    return same and other


def main():
    gm_probe, shared = program(sys.argv[1], "gm-probe"), common.shared_dir()
    if gm_probe is None or shared is None:
        print("live_routing: skipped, gm-probe is not built or ../shared is absent")
        return 77
    import torch

    torch.set_num_threads(1)  # its threads spin where they meet
    sys.path.insert(0, str(common.REPO / "notebooks-data"))
    record_routing = load(common.REPO / "notebooks-data" / "record_routing.py")
    lines = unzstd(shared / "minipile" / "test.jsonl.zst").decode("utf-8").splitlines(keepends=True)[:DOCUMENTS]
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        good = all([check_model(name, gm_probe, record_routing, lines, work) for name in MODELS] + [check_script(record_routing, work)])
    print("agree" if good else "DIFFER")
    return 0 if good else 3


if __name__ == "__main__":
    sys.exit(main())
