"""tiny_tokenizers - small tokenizer.json files, one for each way in which the real ones differ.

The merges are learnt here from a few sentences, by a trainer with a total order, so that the files are the same
wherever they are made.
"""

import collections
import json

TEXT = (
    "The expert chosen by the router is one of the experts of the layer. There were other choices, there were other "
    "layers, and the other router chose the other expert. Then the cook put the bread in the oven and the water on "
    "the fire. In the morning the teams play the game, in the evening the teams go home. "
    "Команда вышла на поле, и команда играла хорошо. Повар поставил хлеб в печь, а воду на огонь. По утрам он читал "
    "о погоде, по вечерам он писал о людях. Мороз и солнце, день чудесный, ещё ты дремлешь. "
    "for (int i = 0; i < n; i++) { sum += value[i]; } return sum; the end of the text\n"
)

# The pre-tokenizer pattern of GigaChat and gpt-oss.
O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)


def byte_symbols():
    """The 256 characters that stand for bytes, in byte order."""
    printable = set(range(0x21, 0x7F)) | set(range(0xA1, 0xAD)) | set(range(0xAE, 0x100))
    others = iter(range(0x100, 0x200))
    return [chr(b) if b in printable else chr(next(others)) for b in range(256)]


def learn_merges(pieces, count):
    """The `count` most frequent pairs, merged one after another; equal counts: the smaller pair of strings first."""
    words = collections.Counter(tuple(piece) for piece in pieces)
    merges = []
    for _ in range(count):
        pairs = collections.Counter()
        for word, n in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += n
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        merged = collections.Counter()
        for word, n in words.items():
            out, i = [], 0
            while i < len(word):
                step = 2 if word[i : i + 2] == best else 1
                out.append("".join(word[i : i + step]))
                i += step
            merged[tuple(out)] += n
        words = merged
    return merges


def added(id, content, flags="special"):
    """One added token; flags: words out of special, normalized, lstrip, rstrip, single_word."""
    names = ("special", "normalized", "lstrip", "rstrip", "single_word")
    return {"id": id, "content": content, **{name: name in flags.split() for name in names}}


def byte_level(**changes):
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True, **changes}


def split(pattern, behavior, invert=False):
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": behavior, "invert": invert}


def sequence(*steps):
    return {"type": "Sequence", "pretokenizers": list(steps)}


def template(*specials):
    """A post-processor that puts special tokens [(content, id)] first."""
    single = [{"SpecialToken": {"id": content, "type_id": 0}} for content, _ in specials]
    return {
        "type": "TemplateProcessing",
        "single": single + [{"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {c: {"id": c, "ids": [i], "tokens": [c]} for c, i in specials},
    }


def assemble(first, symbols, n_merges, **parts):
    """tokenizer.json with vocab = first tokens, symbols, one token per merge. The pre-tokenizer cuts the training text."""
    from tokenizers import Tokenizer

    model = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
             "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False}
    model.update(parts.pop("model", {}))
    whole = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
             "pre_tokenizer": None, "post_processor": None, "decoder": None}
    whole.update(parts)
    strings = model.pop("merges_as_strings", False)
    extra = model.pop("extra_vocab", [])
    vocab = {token: i for i, token in enumerate(first + symbols)}
    bare = dict(whole, added_tokens=[], post_processor=None, model=dict(model, vocab=vocab, merges=[]))
    tokenizer = Tokenizer.from_str(json.dumps(bare))
    text = tokenizer.normalizer.normalize_str(TEXT) if tokenizer.normalizer else TEXT
    if tokenizer.pre_tokenizer:
        pieces = [piece for piece, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text)]
    else:  # words with their mark; characters without a symbol separate
        known = "".join(c if c in vocab else " " for c in text)
        pieces = known.replace("\u2581", " \u2581").split()
    merges = learn_merges(pieces, n_merges)
    for token in ["".join(pair) for pair in merges] + extra:
        vocab.setdefault(token, len(vocab))
    model["vocab"] = vocab
    model["merges"] = [" ".join(pair) for pair in merges] if strings else [list(pair) for pair in merges]
    for token in whole["added_tokens"]:
        if token["id"] is None:
            token["id"] = vocab.get(token["content"])
            if token["id"] is None:
                token["id"] = vocab_size(whole, vocab)
    whole["added_tokens"].sort(key=lambda token: token["id"])
    whole["model"] = model
    return whole


def vocab_size(whole, vocab):
    """The next free id."""
    return 1 + max([len(vocab) - 1] + [t["id"] for t in whole["added_tokens"] if t["id"] is not None])


def gigachat_like():
    """GigaChat instruct: bos template, Split Removed+invert, merges as arrays, `[` and `]` special, all bytes there."""
    return assemble(
        ["<unk>", "<s>", "</s>"], byte_symbols(), 48,
        added_tokens=[added(1, "<s>"), added(None, "["), added(None, "]"), added(None, "<|role_sep|>"),
                      added(None, "<|message_sep|>")],
        pre_tokenizer=sequence(split(O200K, "Removed", True), byte_level(use_regex=False)),
        post_processor=template(("<s>", 1)),
        decoder=byte_level(add_prefix_space=True),
    )


def olmoe_like():
    """OLMoE: NFC, GPT-2 regex, 13 bytes absent, merges as strings, added tokens with every flag, no bos."""
    absent = {0xC0, 0xC1, *range(0xF5, 0x100)}
    symbols = [s for b, s in enumerate(byte_symbols()) if b not in absent]
    return assemble(
        ["|||IP_ADDRESS|||", "<|padding|>", "<|endoftext|>"], symbols, 30,
        model={"merges_as_strings": True},
        added_tokens=[
            added(0, "|||IP_ADDRESS|||", "normalized"), added(1, "<|padding|>"), added(2, "<|endoftext|>"),
            added(None, "    ", "normalized"), added(None, "   ", "normalized"), added(None, "  ", "normalized"),
            added(None, "<mask>", "special lstrip"), added(None, "<right>", "special rstrip"),
            added(None, "<both>", "normalized lstrip rstrip"), added(None, "word", "normalized single_word"),
            added(None, "cafe\u0301", "normalized"), added(None, "<fim_prefix>", "special normalized"),
        ],
        normalizer={"type": "NFC"},
        pre_tokenizer=byte_level(),
        post_processor=template(),
        decoder=byte_level(),
    )


def ignore_merges():
    """gpt-oss: ignore_merges, Split Isolated; two whole words in the vocabulary that no merge can reach."""
    return assemble(
        [], byte_symbols(), 20,
        model={"ignore_merges": True, "extra_vocab": ["Ġteams", "weather", "ÐºÐ¾Ð¼Ð°Ð½Ð´Ð°"]},
        added_tokens=[added(None, "<|startoftext|>"), added(None, "<|endoftext|>")],
        pre_tokenizer=sequence(split(O200K, "Isolated"), byte_level(use_regex=False)),
        post_processor=byte_level(add_prefix_space=True, trim_offsets=False),
        decoder=byte_level(add_prefix_space=True),
    )


def qwen_like():
    """Qwen2 and DeepSeek-V3: NFC, a chain of Split steps (digits one by one, Han apart), prefix and suffix empty."""
    return assemble(
        [], byte_symbols(), 20,
        model={"continuing_subword_prefix": "", "end_of_word_suffix": "", "merges_as_strings": True},
        added_tokens=[added(None, "<|endoftext|>"), added(None, "<|im_start|>"), added(None, "<|im_end|>")],
        normalizer={"type": "NFC"},
        pre_tokenizer=sequence(split(r"\p{N}{1,3}", "Isolated"), split("[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+", "Isolated"),
                               split(QWEN, "Isolated"), byte_level(use_regex=False, trim_offsets=False)),
        post_processor=byte_level(use_regex=False, trim_offsets=False),
        decoder=byte_level(use_regex=False, trim_offsets=False),
    )


def prefix_digits():
    """Starcoder's kind: Digits one by one, then ByteLevel with a space put first; a byte missing and no unk."""
    symbols = [s for b, s in enumerate(byte_symbols()) if b != ord("~")]
    return assemble(
        ["<|endoftext|>"], symbols, 12,
        added_tokens=[added(0, "<|endoftext|>")],
        pre_tokenizer=sequence({"type": "Digits", "individual_digits": True}, byte_level(add_prefix_space=True)),
        decoder=byte_level(),
    )


LETTERS = "\u2581etaoinsrhldcumfpgwybvk.,'TI-MSABCEоеаинтсрвлкмдпуяыьгзбчйхжшюцщэфё\n0123456789"


def sentencepiece_like():
    """Mixtral: Prepend and Replace, no pre-tokenizer, byte_fallback with all 256 bytes, fuse_unk, bos; Phi's rstrip."""
    return assemble(
        ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)], list(LETTERS), 30,
        model={"unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True, "merges_as_strings": True},
        added_tokens=[added(0, "<unk>"), added(1, "<s>"), added(2, "</s>", "rstrip"),
                      added(None, "<|endoftext|>", "special rstrip")],
        normalizer={"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "\u2581"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]},
        post_processor=template(("<s>", 1)),
        decoder={"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}, {"type": "ByteFallback"},
            {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
    )


def gemma_like():
    """Gemma: as above, but no leading mark, pieces that end with a space (of which none is left by then), line ends and
    marks in a row as tokens, markup that is added and not special."""
    whole = assemble(
        ["<pad>", "<eos>", "<bos>", "<unk>"] + [f"<0x{b:02X}>" for b in range(256)], list(LETTERS), 30,
        model={"unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True, "extra_vocab": ["\n\n", "\u2581\u2581"]},
        added_tokens=[added(0, "<pad>"), added(1, "<eos>"), added(2, "<bos>"), added(3, "<unk>"), added(None, "<|turn>"),
                      added(None, "<turn|>"), added(None, "\n\n", ""), added(None, "\u2581\u2581", ""), added(None, "<strong>", "")],
        normalizer={"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"},
        post_processor=template(("<bos>", 2)),
        decoder={"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}]},
    )
    whole["pre_tokenizer"] = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}
    return whole


def unknown_fused(fuse=True):
    """As above without byte_fallback: unknown characters become <unk>, a run of them one or many."""
    whole = sentencepiece_like()
    vocab = [t for t in whole["model"]["vocab"] if not t.startswith("<0x")]
    whole["model"].update(byte_fallback=False, fuse_unk=fuse, vocab={t: i for i, t in enumerate(vocab)})
    for token in whole["added_tokens"]:
        token["id"] = whole["model"]["vocab"].get(token["content"], len(vocab))
    return whole


TINY = {
    "gigachat-like": gigachat_like,
    "olmoe-like": olmoe_like,
    "ignore-merges": ignore_merges,
    "qwen-like": qwen_like,
    "prefix-digits": prefix_digits,
    "sentencepiece-like": sentencepiece_like,
    "unknown-fused": unknown_fused,
    "unknown-single": lambda: unknown_fused(False),
    "gemma-like": gemma_like,
}


def as_text(name):
    """The bytes of one tokenizer.json."""
    return json.dumps(TINY[name](), ensure_ascii=True) + "\n"
