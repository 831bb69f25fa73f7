#!/usr/bin/env python3
"""live_plan - a plan of ours on models of transformers by notebooks-data/apply_plan.py: the logits and greedy texts of our engine.

    live_plan.py BUILD     BUILD: a build folder with gm-steer and tests/golden/engine_logits

Tiny checkpoints (OLMoE with and without renormalised gates, Qwen2-MoE, Qwen3-MoE, Mixtral, Granite, GLM-4.5, dots.llm1, ERNIE 4.5,
MiniMax-M2, DeepSeek V2 and V3, GLM-4.7-Flash, FlexOlmo, Hunyuan-A13B, gpt-oss in MXFP4 and in bf16, Phi-3.5-MoE, Qwen3-Next,
Qwen3.5-MoE, GraniteMoeHybrid, Nemotron-H, Gemma 4, LFM2-MoE, AFMoE, EXAONE-MoE, Llama 4, Cohere2-MoE, Mellum 2, GraniteMoeShared,
Mistral 4, DBRX, MiMo-V2-Flash, Kimi-Linear) in f32, each under plans made from random biases: on all layers, on two of them, with experts taken out; one by the script
as it is called, which refuses the demo model's family. Rankings of SteerMoE are pickled by this environment's pandas and turned into
plans. Exit 77 when a program is absent, 3 when a bound does not hold.
"""

import copy
import importlib.util
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from golden import checkpoints, common, corrected, dbrx, engine, fp8  # noqa: E402
from golden.live_tokenizer import program  # noqa: E402

MODELS = ("olmoe-tiny", "olmoe-clip", "qwen2-tiny", "qwen3-tiny", "mixtral-tiny", "granite-tiny", "glm-tiny", "dots-tiny", "ernie-tiny",
          "minimax-tiny", "deepseek-v2-tiny", "deepseek-v3-tiny", "glm-lite-tiny", "flexolmo-tiny", "hunyuan-tiny", "gptoss-tiny",
          "gptoss-plain", "phimoe-tiny", "qwen3-next-tiny", "qwen3.5-tiny", "granite-hybrid-tiny", "gemma4-tiny",
          "nemotron-tiny", "lfm-tiny", "afmoe-tiny", "exaone-tiny", "llama4-tiny", "cohere-tiny", "mellum-tiny", "granite-shared-tiny",
          "mistral4-tiny", "dbrx-tiny", "mimo-tiny", "kimi-linear-tiny")
LOGIT = 1e-4
# Gated DeltaNet scales what a head gives to one length, however little it is: in a few rows f32 itself is far from f64, theirs by up to
# 1.4e-4, ours by 1e-4 (the median row: 5e-6).
LOGIT_OF = {"qwen3-next-tiny": 3e-4, "qwen3.5-tiny": 3e-4}
EFFECT = 0.05  # a plan must move the logits by more, or nothing is shown
DOCUMENTS, TOKENS, NEW = 12, 40, 16
PROMPTS = ("Albert Einstein", "water and salt", "0 1 2 3")


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def folder_of(name, work):
    """The golden's folder; where its model has too few ids for a tokenizer, one like it that has more."""
    golden = common.REPO / "tests" / "golden" / "models" / name
    if (golden / "tokenizer.json").exists():
        return golden
    config, shards, seed = copy.deepcopy(checkpoints.MODELS[name])
    config.get("text_config", config)["vocab_size"] = corrected.VOCAB
    if fp8.is_quantised(config):
        del config["quantization_config"]
    engine.write_model(work / name, config, shards, seed)
    return work / name


def make_plans(gm_steer, folder, config, work):
    """(name, plan file, biases in its window): two from random arrays, one from the first with experts taken out."""
    n_layers = config["num_hidden_layers"]
    n_moe = n_layers - len(config.get("mlp_only_layers") or ())
    n_moe -= config.get("num_dense_layers", 0)
    n_moe -= config["mlp_layer_types"].count("dense") if "mlp_layer_types" in config else config.get("first_k_dense_replace", 0)
    n_moe = len(config.get("moe_layers", range(n_moe)))
    n_moe = config.get("hybrid_override_pattern", "E" * n_moe).count("E")
    n_moe = min(n_moe, config.get("moe_layer_end_index", n_moe - 1) + 1)
    n_experts = next(config[key] for key in ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts") if key in config)
    rng = np.random.default_rng(1)
    second = min(1, n_layers - 1)
    for name, layers in (("all layers", f"0-{n_layers - 1}"), ("two layers", f"{second}-{n_layers - 1}"), ("experts taken out", f"0-{second}")):
        bias = rng.normal(scale=1.5, size=(n_moe, n_experts)).astype("<f4")
        if name == "experts taken out":
            bias[:, ::3] = -np.inf
        np.save(work / "bias.npy", bias)
        plan, back = work / f"{layers}.plan.safetensors", work / "back.npy"
        subprocess.run([gm_steer, "plan", "--import", work / "bias.npy", "--model", folder, "--layers", layers, "-o", plan,
                        "--export", back, "--force"], check=True, stdout=subprocess.DEVNULL)
        yield name, plan, np.load(back)


def engine_logits(binary, folder, rows, bias, work):
    """Ours [T,V] of each document, and the smallest margin of each token [T]."""
    words = [len(rows), *map(len, rows), *(token for row in rows for token in row)]
    (work / "documents").write_bytes(np.asarray(words, "<u4").tobytes())
    command = [binary, folder, work / "documents", work / "logits"]
    if bias is not None:
        (work / "bias").write_bytes(bias.astype("<f4").tobytes())
        command.append(work / "bias")
    subprocess.run(command, check=True)
    table = np.fromfile(work / "logits", "<f4").reshape(sum(map(len, rows)), -1)
    return table[:, :-1], table[:, -1]


def their_logits(torch, model, rows):
    with torch.no_grad():
        return np.concatenate([model(torch.tensor([row])).logits[0].numpy() for row in rows])


def greedy_differ(torch, gm_steer, model, folder, plan):
    """Prompts whose greedy ids differ."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    command = [gm_steer, "generate", "--model", folder, "--plan", plan, "--max-tokens", NEW, "--numerics", "f32", "--ignore-eos",
               "--temperature", 0, "--json", "--quiet", *(word for prompt in PROMPTS for word in ("--prompt", prompt))]
    done = subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True)
    differ = 0
    for prompt, result in zip(PROMPTS, json.loads(done.stdout)["results"]):
        ids = tokenizer.encode(prompt).ids
        for _ in range(NEW):
            ids.append(int(their_logits(torch, model, [ids])[-1].argmax()))
        differ += ids[-NEW:] != result["ids"]
    return differ


def check_model(name, gm_steer, binary, work):
    """Whether every bound holds."""
    import torch

    torch.set_num_threads(1)  # its threads spin where they meet
    apply_plan = load(common.REPO / "notebooks-data" / "apply_plan.py")
    folder, good, bound = folder_of(name, work), True, LOGIT_OF.get(name, LOGIT)
    config = json.loads((folder / "config.json").read_text())
    config = dbrx.flat(config.get("text_config", config))
    rows = np.random.default_rng(7).integers(3, config["vocab_size"], (DOCUMENTS, TOKENS)).tolist()
    model = common.transformers_model(folder)
    unsteered = their_logits(torch, model, rows)
    for what, plan, bias in make_plans(gm_steer, folder, config, work):
        hooks = apply_plan.steer(model, plan)
        theirs, (ours, margin) = their_logits(torch, model, rows), engine_logits(binary, folder, rows, bias, work)
        differ = greedy_differ(torch, gm_steer, model, folder, plan)
        for hook in hooks:
            hook.remove()
        worst, effect = float(np.abs(theirs - ours).max()), float(np.abs(theirs - unsteered).max())
        good = good and worst <= bound and effect > EFFECT and differ == 0
        print(f"{name}, {what}: {len(ours)} tokens, logits {worst:.2g} (bound {bound:g}), moved by {effect:.2g}, smallest margin "
              f"{margin.min():.2g}, greedy texts that differ {differ} of {len(PROMPTS)}")
    return good


def check_script(gm_steer, work):
    """The text that the script prints, with its own way to load a model; what it says to a family that transformers has not."""
    folder, demo = common.REPO / "tests/golden/models/deepseek-v2-tiny", common.REPO / "notebooks-data/demo-model"
    script, plan = common.REPO / "notebooks-data/apply_plan.py", work / "script.plan.safetensors"
    subprocess.run([gm_steer, "plan", "--model", folder, "--expert", "1:2=3", "--expert", "2:0=-inf", "-o", plan], check=True, stdout=subprocess.DEVNULL)
    ours = subprocess.run([gm_steer, "generate", "--model", folder, "--plan", plan, "--max-tokens", "100", "--numerics", "f32", "--quiet",
                           "--temperature", "0", "--json", "--prompt", PROMPTS[0]], check=True, capture_output=True, text=True)
    theirs = subprocess.run([sys.executable, script, folder, plan, PROMPTS[0]], check=True, capture_output=True, text=True)
    refused = subprocess.run([sys.executable, script, demo, plan, PROMPTS[0]], check=False, capture_output=True, text=True)
    text = json.loads(ours.stdout)["results"][0]["text"]
    same = len(text) > 100 and theirs.stdout.endswith(text + "\n")
    says = refused.returncode == 1 and "DeepSeek-MoE v1), which transformers does not have" in refused.stderr.splitlines()[-1]
    print(f"apply_plan.py as a program: {'the text' if same else 'ANOTHER TEXT THAN'} of gm-steer, {len(text)} characters; "
          f"{'refuses' if says else 'DOES NOT REFUSE'} the demo model")
    return same and says


def check_ranking(gm_steer, work):
    """A ranking pickled by this pandas gives the experts that pandas reads from it."""
    import pandas

    rng = np.random.default_rng(3)
    table = pandas.DataFrame([{"layer": l, "expert": e, "risk_diff": rng.normal()} for l in range(4) for e in range(16)])
    table["Layer_Expert"] = [f"L{l:02d}_E{e:02d}" for l, e in zip(table["layer"], table["expert"])]
    table["risk_diff_abs"] = table["risk_diff"].abs()
    table = table.sort_values(by="risk_diff_abs", ascending=False).reset_index(drop=True)
    table.to_pickle(work / "ranking.pkl")
    subprocess.run([sys.executable, common.REPO / "scripts" / "steermoe_plan.py", work / "ranking.pkl", "-o",
                    work / "ranking.plan.safetensors", "--promote", "9", "--suppress", "11", "--chosen", "16"],
                   check=True, stdout=subprocess.DEVNULL)
    subprocess.run([gm_steer, "plan", work / "ranking.plan.safetensors", "--export", work / "ranking.npy"], check=True,
                   capture_output=True)
    want = np.zeros((4, 16), np.float32)
    for sign, part in ((1, table[table["risk_diff"] > 0].head(9)), (-1, table[table["risk_diff"] < 0].head(11))):
        want[part["layer"], part["expert"]] = sign
    same = bool(np.array_equal(np.load(work / "ranking.npy"), want))
    print(f"SteerMoE's ranking by pandas {pandas.__version__}: {'the same experts' if same else 'OTHER EXPERTS'}")
    return same


def main():
    gm_steer, binary = program(sys.argv[1], "gm-steer"), program(sys.argv[1], "engine_logits")
    if gm_steer is None or binary is None:
        print("live_plan: skipped, gm-steer or engine_logits is not built")
        return 77
    good = True
    with tempfile.TemporaryDirectory() as folder:
        for name in MODELS:
            good = check_model(name, gm_steer, binary, pathlib.Path(folder)) and good
        good = check_script(gm_steer, pathlib.Path(folder)) and good
        good = check_ranking(gm_steer, pathlib.Path(folder)) and good
    print("agree" if good else "DIFFER")
    return 0 if good else 3


if __name__ == "__main__":
    sys.exit(main())
