"""tokenizer - ids and decoded text by Hugging Face's tokenizers: tiny files, and the real ones of the shared folder."""

import base64
import hashlib
import json
import subprocess

import numpy as np

from . import chat, common, nasty, tiny_tokenizers

REAL = {  # short name: (file in shared/tokenizers, full ids or only hashes)
    "gigachat-base": ("ai-sage__GigaChat-20B-A3B-base", True),
    "gigachat-instruct": ("ai-sage__GigaChat-20B-A3B-instruct", True),
    "olmoe": ("allenai__OLMoE-1B-7B-0924", True),
    "gigachat3": ("ai-sage__GigaChat3-10B-A1.8B-base", False),
    "qwen2": ("Qwen__Qwen2-0.5B", False),
    "deepseek-v3.1": ("deepseek-ai__DeepSeek-V3.1", False),
    "granite": ("ibm-granite__granite-3.0-2b-instruct", False),
    "phi-moe": ("microsoft__Phi-mini-MoE-instruct", False),
    "mixtral": ("mistralai__Mixtral-8x7B-v0.1", False),
    "gpt-oss": ("openai__gpt-oss-20b", False),
}
DIGESTED = ("gigachat-base", "gigachat-instruct", "olmoe")  # whose ids of every minipile document are hashed
LONG_TINY = ("gigachat-like", "olmoe-like", "sentencepiece-like")
STREAMED = ("emoji", "russian", "chinese", "mixed-scripts", "brackets", "chat", "each-utf8-length", "leading-spaces")
LONG = 1 << 20  # repeats above this only for DIGESTED and LONG_TINY
FULL = 400  # more ids than this are stored as count and hash


def b64(text):
    return base64.b64encode(text.encode("utf-8")).decode("ascii")


def write_inputs(path):
    """The texts all goldens refer to by name."""
    inputs = [{"name": name, "base64": b64(text)} for name, text in nasty.texts()]
    inputs += [{"name": name, "base64": b64(piece), "repeat": count} for name, piece, count in nasty.repeats()]
    common.write_json(path, {"inputs": inputs})


def digest(ids):
    return {"count": len(ids), "fnv1a32": common.fnv1a32_rows(ids)}


def encode_all(tokenizer, long_too, full):
    """Ids of every input as encode(text) gives them, and how many of them the post-processor put first."""
    front = len(tokenizer.encode("").ids)
    results = []
    for name, text in nasty.texts():
        ids = tokenizer.encode(text).ids
        assert tokenizer.encode(text, add_special_tokens=False).ids == ids[front:]
        results.append({"name": name, **({"ids": ids} if full and len(ids) <= FULL else digest(ids))})
    for name, piece, count in nasty.repeats():
        if long_too or len(piece) * count < LONG:
            results.append({"name": name, **digest(tokenizer.encode(piece * count).ids)})
    return front, results


def decode_all(tokenizer, encoded, seed):
    """Decoded text of the ids of every input (by name), then of random ids: of the whole vocabulary and of bytes.

    The input itself isn't said again: where it is what all ids give, or its end after what is "before" it; without special
    tokens the text is then the input, too, or else the same as with them, unless it is said.
    """
    texts = dict(nasty.texts())
    rows = [({"name": entry["name"]}, entry["ids"]) for entry in encoded if entry.get("ids")]
    rng = np.random.Generator(np.random.PCG64(seed))
    size = tokenizer.get_vocab_size()
    random = [rng.integers(0, size, size=10) for _ in range(12)] + \
        [rng.integers(0, min(size, 270), size=12) for _ in range(18)]
    for ids in random:
        ids = [int(i) for i in ids if tokenizer.id_to_token(int(i)) is not None]
        rows.append(({"ids": ids}, ids))
    results = []
    for entry, ids in rows:
        kept, skipped = (tokenizer.decode(ids, skip_special_tokens=skip) for skip in (False, True))
        text = texts.get(entry.get("name"))
        if text is None or not kept.endswith(text):
            entry["keep_special"] = b64(kept)
            text = kept
        elif kept != text:
            entry["before"] = b64(kept.removesuffix(text))
        if skipped != text:
            entry["skip_special"] = b64(skipped)
        results.append(entry)
    return results


def stream_all(tokenizer):
    """What DecodeStream gives after each token ("" for nothing yet). Ours may give a character earlier, never later."""
    from tokenizers.decoders import DecodeStream

    texts, results = dict(nasty.texts()), []
    for name in STREAMED:
        ids = tokenizer.encode(texts[name]).ids
        stream = DecodeStream(skip_special_tokens=True)
        chunks = [stream.step(tokenizer, i) or "" for i in ids]
        results.append({"name": name, "chunks": [b64(chunk) for chunk in chunks]})
    return results


def golden(text, source, long_too, full, seed):
    """Everything for one tokenizer.json, given as text."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(text)
    front, encoded = encode_all(tokenizer, long_too, full)
    result = {"tokenizer": source, "sha256": hashlib.sha256(text.encode()).hexdigest(), "template_tokens": front,
              "versions": common.versions("tokenizers"), "encode": encoded}
    if full:
        result["decode"] = decode_all(tokenizer, encoded, seed)
        result["stream"] = stream_all(tokenizer)
    return tokenizer, result


def compact(value):
    """JSON with one line per case."""
    head = {k: v for k, v in value.items() if not isinstance(v, list)}
    lines = [f" {json.dumps(k)}: {json.dumps(v, sort_keys=True)}" for k, v in sorted(head.items())]
    for key in sorted(k for k, v in value.items() if isinstance(v, list)):
        rows = ",\n".join(json.dumps(row, sort_keys=True, separators=(",", ":")) for row in value[key])
        lines.append(f" {json.dumps(key)}: [\n{rows}\n ]")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def unzstd(path):
    return subprocess.run(["zstd", "-dcq", str(path)], check=True, stdout=subprocess.PIPE).stdout


def minipile_digests(tokenizers, documents):
    """Per tokenizer: FNV-1a 32 of the ids (bit pattern in i32) [N] of every document."""
    tensors = {}
    for name, tokenizer in tokenizers.items():
        rows = [e.ids for e in tokenizer.encode_batch(documents)]
        hashes = np.array([common.fnv1a32_rows(ids) for ids in rows], dtype=np.uint32)
        tensors[f"{name}.fnv1a32"] = hashes.view(np.int32)
    return tensors


def make(out):
    """Writes tokenizers/: nasty.json, chat.json, tiny files with goldens, and (where the shared folder is found) the real ones."""
    folder = out / "tokenizers"
    write_inputs(folder / "nasty.json")
    chat.make(out)
    for i, name in enumerate(tiny_tokenizers.TINY):
        text = tiny_tokenizers.as_text(name)
        (folder / "tiny").mkdir(exist_ok=True)
        (folder / "tiny" / f"{name}.json").write_text(text)
        _, result = golden(text, f"tiny/{name}.json", name in LONG_TINY, True, i)
        (folder / "tiny" / f"{name}.golden.json").write_text(compact(result))
    shared = common.shared_dir()
    if shared is None:
        print("tokenizer: no shared folder (GM_SHARED or ../shared): real tokenizers left out")
        return
    digested = {}
    for i, (name, (file, full)) in enumerate(REAL.items()):
        text = unzstd(shared / "tokenizers" / f"{file}.json.zst").decode("utf-8")
        tokenizer, result = golden(text, f"{file}.json.zst", name in DIGESTED, full, 100 + i)
        (folder / f"{name}.golden.json").write_text(compact(result))
        if name in DIGESTED:
            digested[name] = tokenizer
    lines = unzstd(shared / "minipile" / "test.jsonl.zst").decode("utf-8").splitlines()
    documents = [json.loads(line)["text"] for line in lines if line]
    made_by = json.dumps({"documents": len(documents), "versions": common.versions("tokenizers")}, sort_keys=True)
    common.write_tensors(folder / "minipile-test.safetensors", minipile_digests(digested, documents),
                         metadata={"made_by": made_by})
    print(f"tokenizer: {len(tiny_tokenizers.TINY)} tiny, {len(REAL)} real, {len(documents)} documents hashed")
