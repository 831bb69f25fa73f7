#!/usr/bin/env python3
"""live_llama - the engine against llama.cpp in f32: logits of every token, and greedy continuations.

    live_llama.py BUILD     BUILD: a build folder with the programs and tests/golden/engine_logits

The tiny checkpoints of tests/golden and the demo model are written as GGUF files and run by llama-cpp-python with a cache in f32.
Where llama.cpp's graph has no word for something, the weights say it, exactly but for rounding:

    deepseek        GigaChat's graph: leading dense layers, shared experts, no renormalisation. It wants heads x head_dim =
                    width: a smaller width is padded with zeros, and what a norm divides by is put right
    bailingmoe      the same with renormalisation and without dense layers: a dense layer becomes shared experts beside routed
                    experts of zero
    olmoe           OLMoE: q/k norm, no renormalisation (so olmoe-clip, which renormalises, is left out)
    qwen2moe        Qwen2-MoE: biases, a gate for the shared expert; a dense layer becomes a shared expert of twice the size after
                    a gate of about zero, whose sigmoid is a half, beside routed experts of zero
    granitemoe      GraniteMoE: four scales
    glm4moe, dots1, minimax-m2
                    GLM-4.5, dots.llm1, MiniMax-M2: sigmoids, corrections, groups, a part of a head
    ernie4_5-moe    ERNIE 4.5 without the least sum, which it has no word for; a dense layer after the others becomes shared
                    experts beside routed experts of zero

Tokens after a choice with a margin below CLOSE, in their document, are listed apart: there the two may rightly choose
otherwise. Exit 77 when llama-cpp-python or a program is absent, 3 when a bound does not hold.
"""

import ctypes
import importlib.util
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from golden import common  # noqa: E402
from golden.checkpoints import shape_of  # noqa: E402
from golden.deepseek_reference import load_weights, plain_weights  # noqa: E402
from golden.live_tokenizer import program  # noqa: E402
from golden.tokenizer import unzstd  # noqa: E402

TINY = {"deepseek-tiny": "deepseek", "deepseek-tied": "bailingmoe", "olmoe-tiny": "olmoe", "qwen2-tiny": "qwen2moe",
        "granite-tiny": "granitemoe", "glm-tiny": "glm4moe", "dots-tiny": "dots1", "ernie-tiny": "ernie4_5-moe",
        "minimax-tiny": "minimax-m2"}
AS_STORED = ("olmoe", "qwen2moe", "glm4moe", "dots1", "ernie4_5-moe", "minimax-m2")  # whose rotation takes the pairs that the checkpoint has
LEADING = ("deepseek", "glm4moe", "dots1")  # who have a word for leading dense layers
LOGIT = 2e-4
CLOSE = 1e-4
DOCUMENTS, TOKENS, PROMPT, NEW = 8, 512, 200, 48  # of the demo model: tokens of a document, characters of a prompt


# ---- writing GGUF ----


def pad(array, *sizes):
    """The array with zeros after it, up to `sizes` (None: as it is)."""
    return np.pad(array, [(0, 0 if size is None else size - n) for n, size in zip(array.shape, sizes)])


def pairs_together(w, heads):
    """Rows of q or k for a rotation of neighbours instead of halves."""
    return w.reshape(heads, 2, -1, w.shape[1]).swapaxes(1, 2).reshape(w.shape)


class Converter:
    """Tensors of a checkpoint under llama.cpp's names, in f32."""

    def __init__(self, arch, config, weights):
        self.arch, self.config, self.shape = arch, config, shape_of(config)
        self.w = {name: tensor.float().numpy() for name, tensor in plain_weights(config["model_type"], weights).items()}
        s = self.shape
        self.width = s.heads * s.head_dim if arch == "deepseek" else s.width
        self.norm_scale = np.float32(np.sqrt(s.width / self.width))
        self.eps = s.eps * s.width / self.width
        self.expert_width = config.get("moe_intermediate_size", config["intermediate_size"])
        widest = max(config["intermediate_size"], s.shared * self.expert_width)
        self.shared = -(-widest // self.expert_width) if arch in ("bailingmoe", "ernie4_5-moe") else s.shared
        self.corrected = getattr(s, "correction", False)

    def take(self, name, out=None, into=None):
        """A matrix, padded to (out, into)."""
        return pad(self.w[name], out, into)

    def norm(self, name):
        return pad(self.w[name] * self.norm_scale, self.width)

    def attention(self, i, p):
        s, d = self.shape, self.width
        q, k = self.take(p + "q_proj.weight", None, d), self.take(p + "k_proj.weight", None, d)
        if self.arch not in AS_STORED:
            q, k = pairs_together(q, s.heads), pairs_together(k, s.kv_heads)
        yield f"blk.{i}.attn_q.weight", q
        yield f"blk.{i}.attn_k.weight", k
        yield f"blk.{i}.attn_v.weight", self.take(p + "v_proj.weight", None, d)
        yield f"blk.{i}.attn_output.weight", self.take(p + "o_proj.weight", d, None)
        for name in "qkv" if s.qkv_bias else "":
            yield f"blk.{i}.attn_{name}.bias", self.w[f"{p}{name}_proj.bias"]
        if s.qk_norm:
            yield f"blk.{i}.attn_q_norm.weight", self.w[p + "q_norm.weight"]
            yield f"blk.{i}.attn_k_norm.weight", self.w[p + "k_norm.weight"]

    def mlp(self, i, p, suffix, wide=None):
        yield f"blk.{i}.ffn_gate{suffix}.weight", self.take(p + "gate_proj.weight", wide, self.width)
        yield f"blk.{i}.ffn_up{suffix}.weight", self.take(p + "up_proj.weight", wide, self.width)
        yield f"blk.{i}.ffn_down{suffix}.weight", self.take(p + "down_proj.weight", self.width, wide)

    def experts(self, i, p):
        """Router and routed experts; in a dense layer zeros."""
        s, d, f = self.shape, self.width, self.expert_width
        router = self.w.get(p + "gate.weight")
        yield f"blk.{i}.ffn_gate_inp.weight", np.zeros((s.experts, d), np.float32) if router is None else pad(router, None, d)
        for name, shape in (("gate", (f, d)), ("up", (f, d)), ("down", (d, f))):
            if router is None:
                stack = np.zeros((s.experts, *shape), np.float32)
            else:
                stack = np.stack([self.take(f"{p}experts.{e}.{name}_proj.weight", *shape) for e in range(s.experts)])
            yield f"blk.{i}.ffn_{name}_exps.weight", stack
        if self.corrected:
            correction = self.w.get(p + "gate.e_score_correction_bias", np.zeros(s.experts, np.float32))
            yield f"blk.{i}.exp_probs_b.bias", correction.reshape(-1)

    def gated_mlp(self, i, p, moe):
        """The shared expert and its gate, or a dense layer in its place; its sigmoid is silu(x) / x there, so x is not quite 0."""
        wide = max(self.config["intermediate_size"], self.config["shared_expert_intermediate_size"])
        for name, matrix in self.mlp(i, p + "shared_experts." if moe else p, "_shexp", wide):
            yield name, matrix if moe or "down" not in name else 2 * matrix
        gate = self.w[p + "shared_expert_gate.weight"][0] if moe else np.full(self.width, 1e-8, np.float32)
        yield f"blk.{i}.ffn_gate_inp_shexp.weight", gate

    def layer(self, i):
        p = f"model.layers.{i}."
        yield f"blk.{i}.attn_norm.weight", self.norm(p + "input_layernorm.weight")
        norm = "post_attention_norm" if self.arch == "glm4moe" else "ffn_norm"
        yield f"blk.{i}.{norm}.weight", self.norm(p + "post_attention_layernorm.weight")
        yield from self.attention(i, p + "self_attn.")
        moe = self.shape.is_moe(i)
        if not moe and self.arch in LEADING:
            yield from self.mlp(i, p + "mlp.", "")
            return
        yield from self.experts(i, p + "mlp.")
        if self.arch == "qwen2moe":
            yield from self.gated_mlp(i, p + "mlp.", moe)
        elif self.shared:
            yield from self.mlp(i, p + ("mlp.shared_experts." if moe else "mlp."), "_shexp", self.shared * self.expert_width)

    def tensors(self):
        yield "token_embd.weight", self.take("model.embed_tokens.weight", None, self.width)
        yield "output_norm.weight", self.norm("model.norm.weight")
        head = "model.embed_tokens.weight" if self.shape.tied else "lm_head.weight"
        yield "output.weight", self.take(head, None, self.width)
        for i in range(self.shape.layers):
            yield from self.layer(i)

    def write(self, path):
        import gguf

        s, c = self.shape, self.config
        assert self.corrected or self.arch in ("bailingmoe", "granitemoe") or not s.renorm and s.moe_every == 1 and s.clip is None
        out = gguf.GGUFWriter(path, self.arch)
        if self.arch == "qwen2moe":
            out.add_expert_shared_feed_forward_length(max(c["intermediate_size"], c["shared_expert_intermediate_size"]))
        if self.corrected:
            out.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID if s.sigmoid else gguf.ExpertGatingFuncType.SOFTMAX)
            if s.groups > 1:
                out.add_expert_group_count(s.groups)
                out.add_expert_group_used_count(s.top_groups)
        if self.arch == "ernie4_5-moe":
            out.add_expert_shared_feed_forward_length(self.shared * self.expert_width)
            out.add_interleave_moe_layer_step(1)
        if self.arch == "granitemoe":
            out.add_attention_scale(s.attention_scale)
            out.add_embedding_scale(s.embed_scale)
            out.add_residual_scale(s.residual_scale)
            out.add_logit_scale(s.logits_divisor)
        for add, value in (
            (out.add_context_length, c["max_position_embeddings"]), (out.add_embedding_length, self.width),
            (out.add_block_count, s.layers), (out.add_feed_forward_length, c["intermediate_size"]),
            (out.add_head_count, s.heads), (out.add_head_count_kv, s.kv_heads), (out.add_key_length, s.head_dim),
            (out.add_value_length, s.head_dim), (out.add_rope_dimension_count, getattr(s, "turning", s.head_dim)), (out.add_rope_freq_base, s.theta),
            (out.add_layer_norm_rms_eps, self.eps), (out.add_vocab_size, c["vocab_size"]), (out.add_expert_count, s.experts),
            (out.add_expert_used_count, s.chosen), (out.add_expert_feed_forward_length, self.expert_width),
            (out.add_expert_shared_count, self.shared), (out.add_leading_dense_block_count, s.first_moe),
            (out.add_expert_weights_scale, getattr(s, "scale", 1.0)), (out.add_expert_weights_norm, s.renorm), (out.add_file_type, 0),
            (out.add_tokenizer_model, "no_vocab"),
        ):
            add(value)
        for name, array in self.tensors():
            out.add_tensor(name, np.ascontiguousarray(array, dtype=np.float32))
        out.write_header_to_file()
        out.write_kv_data_to_file()
        out.write_tensors_to_file()
        out.close()


# ---- running llama.cpp ----


class Llama:
    """A GGUF file in llama.cpp: one sequence, cache in f32, plain attention."""

    def __init__(self, path, vocab):
        import llama_cpp

        self.c, self.vocab = llama_cpp, vocab
        self.quiet = llama_cpp.llama_log_callback(lambda level, text, data: None)
        llama_cpp.llama_log_set(self.quiet, None)
        llama_cpp.llama_backend_init()
        self.model = llama_cpp.llama_model_load_from_file(str(path).encode(), llama_cpp.llama_model_default_params())
        assert self.model, f"llama.cpp cannot read {path}"
        options = llama_cpp.llama_context_default_params()
        options.n_ctx = options.n_batch = options.n_ubatch = 2 * TOKENS
        options.n_outputs_max = options.n_outputs_max_per_seq = 2 * TOKENS
        options.n_seq_max = options.n_threads = options.n_threads_batch = 1  # its threads spin where they meet
        options.type_k = options.type_v = 0  # GGML_TYPE_F32
        options.flash_attn_type = 0  # disabled
        self.context = llama_cpp.llama_init_from_model(self.model, options)
        assert self.context, "llama.cpp makes no context"

    def forget(self):
        self.c.llama_memory_clear(self.c.llama_get_memory(self.context), True)

    def feed(self, ids, position):
        """Logits of every fed token."""
        batch = self.c.llama_batch_init(len(ids), 0, 1)
        batch.n_tokens = len(ids)
        for i, token in enumerate(ids):
            batch.token[i], batch.pos[i], batch.logits[i] = token, position + i, 1
            batch.n_seq_id[i], batch.seq_id[i][0] = 1, 0
        code = self.c.llama_decode(self.context, batch)
        assert code == 0, f"llama_decode gives {code}"
        logits = self.c.llama_get_logits(self.context)
        rows = np.ctypeslib.as_array(ctypes.cast(logits, ctypes.POINTER(ctypes.c_float)), (len(ids), self.vocab)).copy()
        self.c.llama_batch_free(batch)
        return rows

    def logits(self, ids):
        self.forget()
        return self.feed(ids, 0)

    def greedy(self, ids, n, stop):
        """n ids at most, up to a stop, and by how much each was ahead."""
        row = self.logits(ids)[-1]
        out, ahead = [], []
        while len(out) < n:
            second, best = np.argsort(row)[-2:]
            out.append(int(best))
            ahead.append(float(row[best] - row[second]))
            if out[-1] in stop:
                break
            row = self.feed([out[-1]], len(ids) + len(out) - 1)[-1]
        return out, ahead

    def close(self):
        self.c.llama_free(self.context)
        self.c.llama_model_free(self.model)


# ---- comparing ----


def our_logits(binary, folder, rows, vocab, work):
    """Logits and smallest margin of every token, document by document."""
    (work / "documents").write_bytes(np.array([len(rows), *map(len, rows), *sum(rows, [])], "<u4").tobytes())
    subprocess.run([str(word) for word in (binary, folder, work / "documents", work / "logits")], check=True)
    values = np.fromfile(work / "logits", "<f4").reshape(-1, vocab + 1)
    return np.split(values, np.cumsum([len(ids) for ids in rows])[:-1])


def compare_logits(name, llama, ours, rows):
    worst, close, n_close, n = 0.0, 0.0, 0, 0
    for ids, mine in zip(rows, ours):
        apart = np.abs(llama.logits(ids) - mine[:, :-1]).max(axis=1)
        behind = np.minimum.accumulate(mine[:, -1]) < CLOSE
        worst, close = max(worst, apart[~behind].max(initial=0)), max(close, apart[behind].max(initial=0))
        n, n_close = n + len(ids), n_close + int(behind.sum())
        if not np.isfinite(apart).all():
            worst = float("inf")
    print(f"{name}: {n} tokens, logits within {worst:.2g} (spread {np.std(ours[-1][:, :-1]):.2f}); {n_close} after a margin "
          f"below {CLOSE:g}: {close:.2g}")
    if not worst <= LOGIT:
        print(f"{name}: logits are off by {worst:.2g}, bound {LOGIT:g}")
    return 0 if worst <= LOGIT else 3


def same_start(name, ours, theirs, ahead):
    """Ids or pieces of text agree up to the first place where llama.cpp's best is ahead by less than the bound."""
    sure = next((i for i, gap in enumerate(ahead) if gap <= 2 * LOGIT), len(ahead))
    if ours[:sure] == theirs[:sure]:
        return sure
    print(f"{name}: greedy continues with {ours}, llama.cpp with {theirs}")
    return -1


def without(folder, config, key, copy):
    """A copy of the folder whose config does not say `key`."""
    shutil.copytree(folder, copy)
    (copy / "config.json").write_text(json.dumps({k: v for k, v in config.items() if k != key}))
    return copy


def compare_tiny(name, arch, build, work):
    from safetensors.numpy import load_file

    folder = common.REPO / "tests" / "golden" / "models" / name
    config = json.loads((folder / "config.json").read_text())
    golden = load_file(folder / "golden.safetensors")
    rows = [golden["token_id"][a:b].tolist() for a, b in zip(golden["offset"], golden["offset"][1:])]
    if "moe_norm_min" in config:  # which llama.cpp does not know
        folder, config = without(folder, config, "moe_norm_min", work / name), config | {"moe_norm_min": 1e-12}
    Converter(arch, config, load_weights(folder)).write(work / "model.gguf")
    llama = Llama(work / "model.gguf", config["vocab_size"])
    ours = our_logits(program(build, "engine_logits"), folder, rows, config["vocab_size"], work)
    status = compare_logits(f"{name} as {arch}", llama, ours, rows)
    if folder.parent == work:  # no golden
        llama.close()
        return status
    want = golden["greedy.ids"].tolist()  # which test_engine_golden.c holds the engine to
    stop = json.loads((folder / "generation_config.json").read_text())["eos_token_id"]
    got, ahead = llama.greedy(rows[1], len(want), stop if isinstance(stop, list) else [stop])
    sure = same_start(name, want, got, ahead)
    print(f"{name}: {max(sure, 0)} of {len(want)} greedy ids agree")
    llama.close()
    return status or (0 if sure == len(want) else 3)


def our_greedy(binary, folder, prompts):
    command = [binary, "generate", "--model", folder, "--numerics", "f32", "--temperature", 0, "--repetition-penalty", 1,
               "--max-tokens", NEW, "--json", "--quiet"]
    for prompt in prompts:
        command += ["--prompt", prompt]
    result = subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True)
    return json.loads(result.stdout)["results"]


def compare_demo(build, work):
    """Real documents when the shared folder is there; prompts and text by gm-steer."""
    from tokenizers import Tokenizer

    shared, folder = common.shared_dir(), common.REPO / "notebooks-data" / "demo-model"
    if shared is None:
        print("demo model: skipped, no shared folder")
        return 0
    config = json.loads((folder / "config.json").read_text())
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    corpus = unzstd(shared / "minipile" / "test.jsonl.zst").decode("utf-8").splitlines()
    texts = [json.loads(line)["text"] for line in corpus[:DOCUMENTS]]
    Converter("deepseek", config, load_weights(folder)).write(work / "demo.gguf")
    llama = Llama(work / "demo.gguf", config["vocab_size"])
    rows = [tokenizer.encode(text).ids[:TOKENS] for text in texts]
    status = compare_logits("demo model as deepseek", llama,
                            our_logits(program(build, "engine_logits"), folder, rows, config["vocab_size"], work), rows)
    prompts = [text[:PROMPT] for text in texts]
    agreed = n = 0
    for prompt, ours in zip(prompts, our_greedy(program(build, "gm-steer"), folder, prompts)):
        got, ahead = llama.greedy(tokenizer.encode(prompt).ids, NEW, [config["eos_token_id"]])
        if got and got[-1] == config["eos_token_id"]:
            got.pop()  # the end is no text
        sure = same_start("demo model", ours["ids"], got, ahead[: len(got)])
        if sure < 0 or (sure == len(got) and tokenizer.decode(got) != ours["text"]):
            status = 3
        agreed, n = agreed + max(sure, 0), n + len(got)
    print(f"demo model: {agreed} of {n} greedy ids of {len(prompts)} prompts agree"
          + ("" if agreed == n else f"; the others follow a lead below {2 * LOGIT:g}"))
    llama.close()
    return status


def main():
    build = sys.argv[1]
    missing = [name for name in ("gm-steer", "engine_logits") if program(build, name) is None]
    missing += [name for name in ("llama_cpp", "gguf") if importlib.util.find_spec(name) is None]
    if missing:
        print("live_llama: skipped, without", ", ".join(missing))
        return 77
    status = 0
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        for name, arch in TINY.items():
            status |= compare_tiny(name, arch, build, work)
        status |= compare_demo(build, work)
    return status


if __name__ == "__main__":
    sys.exit(main())
