#!/usr/bin/env python3
"""gm-probe from outside: what info says of a model and of a trace, the exit codes of verify, a row that is not finite,
merge and merge --index, and that recording more changes nothing of what is recorded less."""
import json
import math
import os
import pathlib
import re
import shutil
import struct
import subprocess

SOURCE = pathlib.Path(__file__).resolve().parents[2]
PROBE = pathlib.Path(os.environ.get("GM_BIN", "build/cpu/bin")) / "gm-probe"
MODEL = SOURCE / "tests/golden/models/deepseek-tiny"
DOCUMENTS = 30


def run(*words, code=0):
    """(stdout, stderr) of gm-probe, which must exit with `code`."""
    done = subprocess.run([PROBE, *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
    return done.stdout, done.stderr


def collect(out, *words, model=MODEL, code=0):
    shown = run("collect", "--model", model, "--corpus", "corpus.jsonl", "-o", out, "--min-tokens", "4", "--doc-tokens",
                "24", "--force", "--quiet", "--json", *words, code=code)[0]
    return json.loads(shown)


def info(path):
    return json.loads(run("info", path, "--json")[0])


def write_corpus():
    with open("corpus.jsonl", "w", encoding="utf-8") as corpus:
        for i in range(DOCUMENTS):
            text = "zebra quiz" if i == 7 else f"the road {i} and the river"
            corpus.write(json.dumps({"text": text, "meta": {"pile_set_name": "AB"[i % 2]}}) + "\n")
        corpus.write("no json\n" + json.dumps({"text": "x"}) + "\n")


def spoil(folder, token):
    """A copy of the model whose embedding of one token is NaN."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(MODEL, folder)
    for shard in pathlib.Path(folder).glob("model*.safetensors"):
        data = bytearray(shard.read_bytes())
        size = struct.unpack("<Q", data[:8])[0]
        tensor = json.loads(data[8 : 8 + size]).get("model.embed_tokens.weight")
        if tensor:
            width = 2 * tensor["shape"][1]
            begin = 8 + size + tensor["data_offsets"][0] + token * width
            data[begin : begin + width] = struct.pack("<e", float("nan")) * tensor["shape"][1]
            shard.write_bytes(data)
            return
    raise AssertionError("no embedding")


def check_memory():
    """A model larger than this machine is refused when that is asked for; its file is sparse, of vocabulary rows."""
    rows, memory = 2**28 - 1, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGESIZE")
    if memory > 80e9:
        print(f"left out: a model larger than {memory / 1e9:.0f} GB")
        return
    shutil.rmtree("huge", ignore_errors=True)
    pathlib.Path("huge").mkdir()
    shutil.copy(MODEL / "tokenizer.json", "huge")
    config = json.loads((MODEL / "config.json").read_text())
    vocabulary = config["vocab_size"]
    pathlib.Path("huge/config.json").write_text(json.dumps(config | {"vocab_size": rows}))
    header, end = {}, 0
    for shard in sorted(MODEL.glob("model-*.safetensors")):
        data = shard.read_bytes()
        for name, tensor in json.loads(data[8 : 8 + struct.unpack("<Q", data[:8])[0]]).items():
            if name != "__metadata__":
                shape = [rows if n == vocabulary else n for n in tensor["shape"]]
                begin, past = tensor["data_offsets"]
                size = (past - begin) * math.prod(shape) // math.prod(tensor["shape"])
                header[name] = tensor | {"shape": shape, "data_offsets": [end, end + size]}
                end += size
    text = json.dumps(header).encode()
    with open("huge/model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)
    said = run("collect", "--model", "huge", "--corpus", "corpus.jsonl", "-o", "huge.h5", "--quiet", "--strict-memory",
               code=1)[1]
    assert re.search(r"the weights need \S+ GB of memory.*refused by --strict-memory", said), said
    assert not info("huge")["fits_f32"]
    shutil.rmtree("huge")


def check_info():
    model = info(MODEL)
    config = json.loads((MODEL / "config.json").read_text())
    assert model["kind"] == "model" and model["family"] == "deepseek-moe-v1"
    assert model["experts"] == config["n_routed_experts"] and model["vocabulary"] == config["vocab_size"]
    assert 0 < model["active_parameters"] < model["parameters"]
    assert model["bytes_f32"] == 2 * model["bytes_bf16"] == 4 * model["parameters"]
    assert model["fits_f32"] is True and model["memory_here_bytes"] > 1 << 20
    shown = run("info", MODEL)[0]
    assert "parameters " in shown and " kB" in shown

    trace = info("t.h5")
    assert trace["kind"] == "trace" and trace["record"] == "choices" and trace["documents"] == DOCUMENTS
    assert trace["skipped"]["not_json"] == 1 and trace["skipped"]["too_short"] == 1
    assert trace["recorded_tokens"] == trace["counted_tokens"] + DOCUMENTS  # one template token each
    assert trace["options"]["doc_tokens"] == 24 and "version" in trace["provenance"]
    assert "not_json           1" in run("info", "t.h5")[0]
    run("info", "corpus.jsonl", code=1)


def check_levels(choices):
    counts, logits = collect("counts.h5", "--record", "counts"), collect("logits.h5", "--record", "logits:0.5", "--nll")
    assert counts["tokens"] == choices["tokens"] == logits["tokens"]
    assert counts["bytes"] < choices["bytes"] < logits["bytes"]
    assert set(counts["checks"]) < set(choices["checks"]) < set(logits["checks"])
    try:
        import h5py
    except ImportError:
        return
    with h5py.File("t.h5") as t, h5py.File("counts.h5") as c, h5py.File("logits.h5") as g:
        assert (t["samples/counts"][:] == c["samples/counts"][:]).all() and "routing" not in c
        assert (t["routing/expert_id"][:] == g["routing/expert_id"][:]).all()
        kept = g["routing/logits_token"][:]
        assert 0.3 < len(kept) / len(g["tokens/pos"]) < 0.7
        best = g["routing/logits"][:].argmax(axis=2)  # the strongest logit is the strongest gate
        assert (best == g["routing/expert_id"][:][kept][:, :, 0]).mean() > 0.99  # but for ties in f16


def check_verify():
    assert run("verify", "t.h5")[0].count(" ok\n") >= 12
    assert json.loads(run("verify", "t.h5", "--json")[0])["passed"] is True
    run("verify", "absent.h5", code=1)
    run("verify", "corpus.jsonl", code=1)
    run("verify", code=2)
    try:
        import h5py
    except ImportError:
        return
    shutil.copy("t.h5", "changed.h5")
    with h5py.File("changed.h5", "r+") as trace:
        trace["samples/counts"][3, 0, 0] += 1
    shown, said = run("verify", "changed.h5", code=3)
    assert "digest " in shown and "counts_sum" in shown and "fails check digest" in said
    found = json.loads(run("verify", "changed.h5", "--json", code=3)[0])
    assert found["passed"] is False and found["checks"]["ids_distinct"] == "ok"
    assert found["checks"]["counts_match"] != "ok" != found["checks"]["counts_sum"]


def check_bad_rows():
    word = json.loads(run("tokenize", "--model", MODEL, "corpus.jsonl")[0].splitlines()[7])
    others = {t for line in run("tokenize", "--model", MODEL, "corpus.jsonl")[0].splitlines()[:7] for t in json.loads(line)}
    token = next(t for t in word if t not in others)
    spoil("spoiled", token)
    found = collect("bad.h5", model="spoiled", code=3)
    assert 0 < found["bad_tokens"] <= len(word) and found["passed"] is False
    assert [name for name, said in found["checks"].items() if said != "ok"] == ["bad_rows"]
    run("verify", "bad.h5", code=3)
    run("verify", "bad.h5", "--allow-bad")
    assert collect("bad.h5", "--allow-bad", model="spoiled")["passed"] is True


def check_merge():
    shutil.rmtree("m.h5.parts", ignore_errors=True)
    pathlib.Path("m.h5").unlink(missing_ok=True)
    for task in range(2):
        run("collect", "--model", MODEL, "--corpus", "corpus.jsonl", "-o", "m.h5", "--min-tokens", "4", "--doc-tokens", "24",
            "--shard", f"{task}/2", "--quiet")
    run("merge", "m.h5.parts", "-o", "m.h5", "--force")
    assert info("m.h5")["digest"] == info("t.h5")["digest"]
    run("merge", "m.h5.parts", "-o", "m.h5", code=0)  # the same content is kept
    run("merge", "m.h5.parts", "-o", "counts.h5", code=1)
    run("merge", "m.h5.parts/000000.h5", "-o", "one.h5", "--force")
    assert info("one.h5")["digest"] == info("t.h5")["digest"]
    run("merge", "m.h5.parts", "--index", "-o", "i.h5", "--force")
    assert info("i.h5")["documents"] == DOCUMENTS
    run("verify", "i.h5")
    os.rename("m.h5.parts", "gone.parts")
    assert "000000.h5" in run("verify", "i.h5", code=1)[1]
    os.rename("gone.parts", "m.h5.parts")
    os.remove("m.h5.parts/000000.h5")
    run("merge", "m.h5.parts", "-o", "none.h5", code=1)


def main():
    write_corpus()
    shutil.rmtree("m.h5.parts", ignore_errors=True)
    choices = collect("t.h5")
    assert choices["documents"] == DOCUMENTS and choices["passed"] is True and choices["bad_tokens"] == 0
    check_info()
    check_memory()
    check_levels(choices)
    check_verify()
    check_bad_rows()
    check_merge()
    dry = json.loads(run("collect", "--model", MODEL, "--corpus", "corpus.jsonl", "--min-tokens", "4", "--doc-tokens", "24",
                         "--dry-run", "--json", "--quiet")[0])
    assert dry["documents"] == DOCUMENTS and dry["left_out"] == 2 and dry["file_bytes_at_most"] > 0
    print("info, levels, verify, bad rows, merge: as stated")


if __name__ == "__main__":
    main()
