"""engine - goldens of the forward pass, the router, steering and greedy generation for the tiny checkpoints.

They come from transformers, against which each family as written here is held; only DeepSeek v1's, which transformers does not have
in GigaChat's form, come from deepseek_reference, whose parts the other families share. Everything runs on one thread in fp32, and
once more in fp64 to say how far fp32 itself is from the exact result.
"""

import copy
import json
import os
import re

import numpy as np
import torch

from . import checkpoints, common, conv, corrected, dbrx, delta, fp8, global_heads, gpt_oss, kimi, latent, llama, mamba, mellum, mimo, mistral, norms, output_norms, parallel, phimoe, windows
from .deepseek_reference import MODES, Reference, load_weights

LENGTHS = (1, 5, 33)  # into a second block of the cache: goldens stay small
LONG = ("deepseek-tiny", "gptoss-tiny", "gptoss-plain")  # a third block, and windows that end before the first
LONG_LENGTHS = (1, 17, 70)
NORMED = ("olmoe-tiny", "gptoss-plain", "gemma4-tiny")  # with norms of experts' outputs: plain, with biases, with a scale of each expert
STEERED = 1  # the sequence that is steered and continued
NEW_TOKENS = 16
APART = 8  # logits are stored of every eighth token and of the last of each sequence; of all others their nll
LEAST = 1e-2  # a flipped field moves the stored logits by more: a hundred times the tolerance
LEAST_OF_WEIGHTS = 3e-4  # a tensor off by ten per cent moves what is stored by more: three times the tolerance
TOKENIZERS = common.REPO / "tests" / "golden" / "tokenizers" / "tiny"
TOKENIZER = {"deepseek": "gigachat-like"}  # so that the programs can run on the folders

# Config fields that change the mathematics, and a value to flip each to. "differs": the golden must fail;
# "refuse": loading must fail with a sentence; "either": one of the two; "same": it must hold all the same.
FLIPS = (
    ("rms_norm_eps", 0.02, "differs"),
    ("rms_norm_eps", 1e-6, "differs"),
    ("rope_theta", 500.0, "differs"),
    ("norm_topk_prob", "not", "differs"),
    ("num_experts_per_tok", "minus 1", "differs"),
    ("clip_qkv", 0.3, "differs"),
    ("tie_word_embeddings", "not", "either"),
    ("head_dim", "half", "refuse"),
    ("num_attention_heads", "half", "refuse"),
    ("num_key_value_heads", "half", "refuse"),
    ("first_k_dense_replace", 3, "refuse"),
    ("moe_layer_freq", 3, "refuse"),
    ("n_shared_experts", 3, "refuse"),
    ("n_routed_experts", "minus 1", "refuse"),
    ("num_experts", "minus 1", "refuse"),
    ("num_local_experts", "minus 1", "refuse"),
    ("decoder_sparse_step", 2, "refuse"),
    ("mlp_only_layers", [2], "refuse"),
    ("shared_expert_intermediate_size", "half", "refuse"),
    ("qkv_bias", False, "refuse"),
    ("embedding_multiplier", 1.0, "differs"),
    ("attention_multiplier", 1.0, "differs"),
    ("residual_multiplier", 1.0, "differs"),
    ("logits_scaling", 1.0, "differs"),
    ("sliding_window", 16, "refuse"),
    ("use_sliding_window", True, "refuse"),
    ("moe_intermediate_size", "half", "refuse"),
    ("intermediate_size", "half", "refuse"),
    ("num_hidden_layers", "minus 1", "refuse"),
    ("hidden_size", "half", "refuse"),
    ("vocab_size", "minus 1", "refuse"),
    ("hidden_act", "gelu", "refuse"),
    ("scoring_func", "sigmoid", "either"),
    ("attention_bias", True, "refuse"),
    ("rope_scaling", {"type": "linear", "factor": 2.0}, "either"),
)
IDLE = {"qwen3_moe": ("intermediate_size", "sliding_window"), "qwen2_moe": ("sliding_window",),
        "nemotron_h": ("rms_norm_eps", "n_shared_experts")}  # they mean nothing
MAY_BE_ABSENT = ("rms_norm_eps", "rope_theta")
REFERENCES = {  # by the module that a family has to itself
    conv: conv.ConvReference, corrected: corrected.CorrectedReference, dbrx: dbrx.DbrxReference, delta: delta.DeltaReference,
    global_heads: global_heads.GlobalHeadsReference, kimi: kimi.KimiReference, latent: latent.LatentReference, llama: llama.LlamaReference,
    mamba: mamba.MambaReference, mellum: mellum.MellumReference, mimo: mimo.MimoReference, mistral: mistral.MistralReference, norms: norms.NormsReference, parallel: parallel.ParallelReference, phimoe: phimoe.PhiMoEReference, windows: windows.WindowsReference,
}


def make_tokens(config, seed, lengths):
    """The sequences: random ids after a bos; ids of one repeat so that attention has something to find."""
    rng = np.random.Generator(np.random.PCG64(seed + 1000))
    rows = []
    for length in lengths:
        ids = rng.integers(3, delta.flat(config)["vocab_size"], size=length)
        ids[length // 2 :] = ids[: length - length // 2] if length == lengths[-1] else ids[length // 2 :]
        ids[0] = 1
        rows.append([int(i) for i in ids])
    return rows


def reference(config, weights, dtype=torch.float32):
    """The model written plainly."""
    own = gpt_oss.GptOss if config["model_type"] == "gpt_oss" else REFERENCES.get(checkpoints.module_of(config), Reference)
    return own(config, weights, dtype)


def flips(config):
    """Those of FLIPS that say something about the family, and its own."""
    own = gpt_oss if config["model_type"] == "gpt_oss" else checkpoints.module_of(config)
    if own is None:
        return FLIPS
    twice = ("num_experts_per_tok",) if "experts_per_token" in config else ()  # said once more, so that one alone is refused
    further = getattr(own, "FLIPS_OF", {}).get(config["model_type"], ())
    return tuple(flip for flip in FLIPS if flip[0] not in own.OTHERWISE + twice) + own.FLIPS + further


def flipped(config, field, rule):
    """A copy of the config with one field changed by the rule, and the new value; of an object, only the rule's members."""
    changed = copy.deepcopy(config)
    fields = changed.get("text_config", changed)
    old = fields.get(field)
    if isinstance(rule, dict) and isinstance(old, dict) and "type" not in rule:
        value = dict(old)
        for key, member in rule.items():
            value[key] = not old[key] if member == "not" else member
    elif rule == "not":
        value = not old
    elif rule == "minus 1":
        value = old - 1
    elif rule == "half":
        value = old // 2
    else:
        value = rule
    fields[field] = value
    return changed, value


def stored_rows(sequences):
    """The tokens whose logits the golden holds, as rows of the flat stream."""
    ends = np.cumsum([len(ids) for ids in sequences])
    return sorted(set(range(0, ends[-1], APART)) | {end - 1 for end in ends})


def stored_logits(runs, sequences):
    return torch.cat([run["logits"] for run in runs])[stored_rows(sequences)]


def math_fields(config, weights, sequences, logits):
    """The list for the C test: field, value to set, what must happen, and how far the stored logits then move."""
    fields = []
    for field, rule, expect in flips(config):
        if (field not in config.get("text_config", config) and field not in MAY_BE_ABSENT) or field in IDLE.get(config["model_type"], ()):
            continue
        changed, value = flipped(config, field, rule)
        if changed == config:
            continue
        if field == "tie_word_embeddings" and value:
            expect = "same"  # the weights have a head, which is read then too
        entry = {"field": field, "value": value, "expect": expect}
        if isinstance(value, (dict, list)):
            entry["json"] = json.dumps(value)
        if expect == "differs":
            model = reference(changed, weights)
            moved = difference([stored_logits([model.forward(ids) for ids in sequences], sequences)], [logits])
            assert moved > LEAST, f"flipping {field} moves the logits by {moved} only"
            entry["logits_move"] = round(moved, 4)
        fields.append(entry)
    return fields


def is_idle(name, moe_layers, expert_id):
    """Whether a tensor is of an expert that no token chose, or of a layer that predicts further tokens."""
    layer = re.match(r"(?:model|backbone)\.(?:language_model\.)?layers\.(\d+)\.(?:.*\.experts\.(\d+)\.)?", name)
    if layer is None or int(layer[1]) > max(moe_layers):
        return layer is not None or name.startswith(("model.mtp_", "model.mtp.", "mtp.", "model.visual."))
    return layer[2] is not None and int(layer[2]) not in expert_id[moe_layers.index(int(layer[1]))]


def check_weights(config, weights, sequences, tensors, moe_layers):
    """Refuses a golden that would not notice a tensor that is ten per cent too large at every third value (MXFP4: twice)."""
    by_layer = ("router_logits", "margin")
    stored = [torch.from_numpy(tensors[name]) for name in ("logits", "nll", *by_layer)]
    for name, tensor in weights.items():
        if name.endswith("_blocks") or is_idle(name, moe_layers, tensors["expert_id"]):
            continue  # scales stand for their blocks
        third = torch.arange(tensor.numel()).reshape(tensor.shape) % 3 == 0
        off = tensor + third.to(torch.uint8) if name.endswith("_scales") else tensor.float() * (1.0 + 0.1 * third)
        model = reference(config, {**weights, name: off})
        runs = [model.forward(ids) for ids in sequences]
        found = [stored_logits(runs, sequences), all_nll(runs, sequences)]
        found += [torch.cat([run[name] for run in runs], dim=1) for name in by_layer]
        moved = max(float((a - b).nan_to_num().abs().max()) for a, b in zip(found, stored))
        assert moved > LEAST_OF_WEIGHTS, f"'{name}' off by ten per cent moves what is stored by {moved} only"


def transformers_forward(folder, sequences):
    """A model by transformers in fp32, sequence by sequence: logits and, by hooks at the routers' input, router logits."""
    model = common.transformers_model(folder)
    layers = model.transformer.blocks if hasattr(model, "transformer") else model.model.layers  # DBRX's, the others'
    mlps = [next(getattr(layer, name) for name in ("block_sparse_moe", "mlp", "mixer", "feed_forward", "ffn") if getattr(layer, name, None) is not None)
            for layer in layers]  # Granite's, the others', Nemotron-H's, LFM2's, DBRX's
    routers = [getattr(mlp, "router", None) or getattr(mlp, "gate", None) for mlp in mlps]
    routers = [layer.router.proj if hasattr(layer, "router") else router for layer, router in zip(layers, routers)]  # Gemma 4's
    routers = [getattr(module, "wg", getattr(module, "gate", getattr(module, "layer", module))) for module in routers]  # Hunyuan's, AFMoE's, DBRX's
    for ids in sequences:
        router = []
        hooks = [module.register_forward_hook(
            lambda module, args, out: router.append(torch.nn.functional.linear(
                args[0].reshape(-1, args[0].shape[-1]), module.weight, getattr(module, "bias", None))))
            for module in routers if module is not None]
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0]
        for hook in hooks:
            hook.remove()
        yield {"logits": logits, "router_logits": torch.stack(router)}


def nll(logits, ids):
    """-log p(token | those before it); NaN for the first token of a sequence."""
    logp = torch.log_softmax(logits.double(), dim=-1)
    values = [float("nan")] + [-float(logp[t - 1, ids[t]]) for t in range(1, len(ids))]
    return torch.tensor(values, dtype=torch.float32)


def all_nll(runs, sequences):
    return torch.cat([nll(run["logits"], ids) for run, ids in zip(runs, sequences)])


def greedy(model, prompt, eos):
    """NEW_TOKENS greedy tokens (or up to a stop token), and the smallest gap between best and second logit."""
    ids, gap = list(prompt), float("inf")
    for _ in range(NEW_TOKENS):
        best = torch.topk(model.forward(ids)["logits"][-1], 2)
        gap = min(gap, float(best.values[0] - best.values[1]))
        ids.append(int(best.indices[0]))
        if ids[-1] in eos:
            break
    return ids[len(prompt):], gap


def difference(a, b):
    return max(float((x.double() - y.double()).abs().max()) for x, y in zip(a, b))


def write_model(folder, config, shards, seed):
    """The checkpoint, and a link to a tiny tokenizer of the tests if there are enough ids for one."""
    folder.mkdir(parents=True, exist_ok=True)
    checkpoints.write_checkpoint(folder, config, shards, seed)
    if delta.flat(config)["vocab_size"] > corrected.FEW:
        link = folder / "tokenizer.json"
        link.unlink(missing_ok=True)
        link.symlink_to(os.path.relpath(TOKENIZERS / (TOKENIZER.get(config["model_type"], "olmoe-like") + ".json"), folder))


def make_model(folder, name):
    """One checkpoint with its golden.safetensors and golden.json."""
    config, shards, seed = checkpoints.MODELS[name]
    write_model(folder, config, shards, seed)
    weights = fp8.widened(config, load_weights(folder))
    lengths = LONG_LENGTHS if name in LONG else LENGTHS
    sequences = make_tokens(config, seed, lengths)
    model, exact = reference(config, weights), reference(config, weights, torch.float64)
    runs = [model.forward(ids) for ids in sequences]
    info = {"made_by": "deepseek_reference.py", "model": name, "lengths": list(lengths),
            "moe_layers": model.moe_layers, "modes": list(MODES), "steered_sequence": STEERED,
            "versions": common.versions("torch", "safetensors", "numpy", "transformers")}
    logits = [r["logits"] for r in runs]
    info["fp32_against_fp64"] = difference(logits, [exact.forward(ids)["logits"] for ids in sequences])
    if config["model_type"] != "deepseek":
        with fp8.widened_folder(folder, config, weights) as plain:
            theirs = list(transformers_forward(plain, sequences))
        info["made_by"] = f"transformers {config['architectures'][0]} (logits, router logits); steering by deepseek_reference.py"
        info["reference_against_transformers"] = max(
            difference([r[key] for r in runs], [t[key] for t in theirs]) for key in ("logits", "router_logits"))
        assert info["reference_against_transformers"] < 2e-5
        logits = [t["logits"] for t in theirs]
        for run, their in zip(runs, theirs):
            run.update(their)
    tensors = pack(sequences, runs)
    steer(tensors, info, config, model, sequences[STEERED], seed)
    ids, gap = greedy(model, sequences[STEERED], (2,) if config["model_type"] == "deepseek" else (2, 5))
    tensors["greedy.ids"] = np.array(ids, dtype=np.int32)
    info["greedy_smallest_gap"] = gap
    info["logits_std"] = round(float(torch.cat([r["logits"] for r in runs]).std()), 3)
    check_health(info, tensors)
    if hasattr(model, "closest"):
        info["closest_to_counting"] = model.closest
        assert model.closest > phimoe.CLOSEST, info
    info["math_fields"] = math_fields(config, weights, sequences, stored_logits(runs, sequences))
    check_weights(config, weights, sequences, tensors, model.moe_layers)
    common.write_tensors(folder / "golden.safetensors", tensors)
    if name in NORMED:
        write_norms(folder, sequences, tensors["expert_id"], tensors["router_logits"].shape[2])
    common.write_json(folder / "golden.json", info)
    return info


def write_norms(folder, sequences, expert_id, n_experts):
    """norms.safetensors: norm [L, T, K], of what the experts of transformers give, at the places of expert_id; of gpt-oss, whose
    experts have biases, also added [L, E, D], the sums over all tokens of an expert's output times its gate."""
    model = common.transformers_model(folder)
    tensors = {"norm": output_norms.in_order(model, sequences, expert_id)}
    if model.config.model_type == "gpt_oss":
        ids, gates, _, outputs = output_norms.forward(model, output_norms.watch(model, outputs=True), sequences)
        tensors["added"] = output_norms.added(ids, gates, outputs, n_experts)
    common.write_tensors(folder / "norms.safetensors", tensors)


def pack(sequences, runs):
    """All sequences in one flat stream: offset [S+1], per token [T, ...], per MoE layer and token [L, T, ...]; logits
    [P, V] of the tokens logits_at [P]."""
    offset = np.cumsum([0] + [len(ids) for ids in sequences]).astype(np.int32)
    tensors = {"token_id": np.array(sum(sequences, []), dtype=np.int32), "offset": offset}
    tensors["logits_at"] = np.array(stored_rows(sequences), dtype=np.int32)
    tensors["logits"] = stored_logits(runs, sequences).numpy()
    tensors["nll"] = all_nll(runs, sequences).numpy()
    for key in ("router_logits", "expert_id", "gate", "topk_mass", "margin"):
        tensors[key] = torch.cat([r[key] for r in runs], dim=1).numpy()
    tensors["expert_id"] = tensors["expert_id"].astype(np.uint8)
    return tensors


def steer(tensors, info, config, model, ids, seed):
    """The same sequence under a bias [L, E] (nats), once per mode; the bias is large enough to change choices."""
    rng = np.random.Generator(np.random.PCG64(seed + 2000))
    layers, experts = len(model.moe_layers), model.shape.experts
    bias = (rng.standard_normal((layers, experts)) * 0.7).astype(np.float32)
    bias[:, experts // 2] = 0.0
    tensors["steer.bias"] = bias
    plain = model.forward(ids)
    info["steered"] = {}
    for mode in MODES:
        run = model.forward(ids, torch.from_numpy(bias), mode)
        tensors[f"steer.{mode}.logits"] = run["logits"][-1:].numpy()  # what is before shows in the routers
        for key in ("gate", "topk_mass", "margin"):
            tensors[f"steer.{mode}.{key}"] = run[key].numpy()
        tensors[f"steer.{mode}.expert_id"] = run["expert_id"].numpy().astype(np.uint8)
        same = torch.sort(run["expert_id"], -1).values == torch.sort(plain["expert_id"], -1).values
        info["steered"][mode] = {
            "logits_move": round(difference([run["logits"]], [plain["logits"]]), 4),
            "token_layers_with_another_choice": round(1.0 - float(same.all(-1).double().mean()), 4),
            "smallest_margin": float(run["margin"].min()),
        }


def check_health(info, tensors):
    """Refuses a checkpoint whose router is too flat or too near ties to be a fair test."""
    z, margin = tensors["router_logits"], tensors["margin"]
    info["router_logit_std"] = [round(float(s), 3) for s in z.std(axis=(1, 2))]
    info["router_logit_std_over_experts"] = [round(float(s), 3) for s in z.std(axis=2).mean(axis=1)]
    info["share_margin_above_1e-3"] = float((margin > 1e-3).mean())
    info["smallest_margin"] = float(margin.min())
    info["experts_used"] = [int(len(np.unique(layer))) for layer in tensors["expert_id"]]
    assert min(info["router_logit_std_over_experts"]) >= 1.0, info
    assert info["share_margin_above_1e-3"] >= 0.99 and info["smallest_margin"] > 5e-4, info
    assert min(s["smallest_margin"] for s in info["steered"].values()) > 5e-4, info["steered"]
    assert 1.0 <= info["logits_std"] <= 3.0 and info["greedy_smallest_gap"] > 1e-3, info


def make(out):
    """Writes models/NAME for every tiny model below `out`."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for name in checkpoints.MODELS:
        with torch.no_grad():
            info = make_model(out / "models" / name, name)
        print(f"{name}: router std {info['router_logit_std']}, margin > 1e-3 {info['share_margin_above_1e-3']:.4f}, "
              f"smallest {info['smallest_margin']:.2g}, logits std {info['logits_std']}, experts used "
              f"{info['experts_used']}, fp32 to fp64 {info['fp32_against_fp64']:.2g}, "
              f"to transformers {info.get('reference_against_transformers', float('nan')):.2g}")
