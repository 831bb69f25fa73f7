"""data.py - texts, the tokenizer, token arrays, and the sampler of training batches.

Documents come from Pile-shaped files (.jsonl or .jsonl.zst). The tokenizer is a byte-level BPE in
exactly the construction of GigaChat-20B-A3B. Token arrays are cached in the work folder as .npz.
"""
import json
import os
import subprocess

import numpy as np

# Domains whose terms do not allow training weights that are published.
NOT_FOR_WEIGHTS = {
    "Philosophy", "News", "Sports News", "Finance News (Reuters)", "Hotel Reviews", "Chemistry Textbook",
    "Physics Textbook", "Astronomy Textbook", "Biology Textbook", "Psychology Textbook",
    "US History Textbook", "Children's Stories", "Twitter"}
UNK, BOS, EOS = 0, 1, 2
SPLIT = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def read_documents(path):
    """(domain, text) of every line; a line without a domain gets the file's name."""
    if path.endswith(".zst"):
        raw = subprocess.run(["zstd", "-dc", path], check=True, stdout=subprocess.PIPE).stdout
    else:
        with open(path, "rb") as file:
            raw = file.read()
    for line in raw.split(b"\n"):
        if line.strip():
            row = json.loads(line)
            yield row.get("meta", {}).get("pile_set_name", os.path.basename(path)), row["text"]


def load_split(paths, half=None):
    """All documents of the files, by domain; half train|test keeps one half of the demo corpus."""
    out = {}
    for path in paths:
        for domain, text in read_documents(path):
            if domain not in NOT_FOR_WEIGHTS and (half is None or demo_half(text) == half):
                out.setdefault(domain, []).append(text)
    return out


def demo_half(text):
    """The rule of scripts/demo_corpus: last hex digit of the SHA-256, even is train."""
    import hashlib
    return "test" if int(hashlib.sha256(text.encode()).hexdigest()[-1], 16) & 1 else "train"


def is_russian(domain):
    return "Russian" in domain or "(ru)" in domain


def train_tokenizer(docs, vocab, path, seed=0):
    """docs: domain -> texts. Each domain gives text by the square root of its size; Russian a fifth."""
    from tokenizers import Tokenizer, Regex, decoders, models, pre_tokenizers, processors, trainers
    rng = np.random.default_rng(seed)
    size = {d: sum(map(len, t)) for d, t in docs.items()}
    weight = {d: s ** 0.5 for d, s in size.items()}
    russian = sum(w for d, w in weight.items() if is_russian(d))
    other = sum(weight.values()) - russian
    total, sample = 24e6, []
    for domain, texts in docs.items():
        share = 0.22 / russian if is_russian(domain) else 0.78 / other
        budget = min(total * share * weight[domain], size[domain])
        for i in rng.permutation(len(texts)):
            if budget <= 0:
                break
            sample.append(texts[i])
            budget -= len(texts[i])
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLIT), behavior="removed", invert=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    trainer = trainers.BpeTrainer(vocab_size=vocab, special_tokens=["<unk>", "<s>", "</s>"],
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                  show_progress=False, max_token_length=24)
    tok.train_from_iterator(sample, trainer)
    tok.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="$A $B:1", special_tokens=[("<unk>", 0), ("<s>", 1), ("</s>", 2)])
    tok.decoder = decoders.ByteLevel()
    tok.save(path)
    return tok


def encode(tok, docs):
    """domain -> (tokens uint16 [T], offsets int64 [N+1]); no special tokens."""
    out = {}
    for domain in sorted(docs):
        ids = [e.ids for e in tok.encode_batch(docs[domain], add_special_tokens=False)]
        offset = np.zeros(len(ids) + 1, np.int64)
        np.cumsum([len(i) for i in ids], out=offset[1:])
        out[domain] = (np.fromiter((x for i in ids for x in i), np.uint16, offset[-1]), offset)
    return out


def save_tokens(path, tokens):
    np.savez(path, **{f"{kind}:{d}": a for d, pair in tokens.items() for kind, a in zip("to", pair)})


def load_tokens(path):
    with np.load(path) as z:
        return {k[2:]: (z[k], z["o:" + k[2:]]) for k in z.files if k.startswith("t:")}


class Sampler:
    """Batches of one document a sequence; what is left is filled with documents of the same domain.

    Domains by the square root of their tokens, demo domains weighted up, Russian at least a sixth.
    """

    def __init__(self, tokens, favoured=(), favour=2.0, russian=0.17, seed=0):
        self.tokens, self.names = tokens, sorted(tokens)
        self.rng = np.random.default_rng(seed)
        w = np.array([len(tokens[d][0]) ** 0.5 * (favour if d in favoured else 1.0) for d in self.names])
        ru = np.array([is_russian(d) for d in self.names])
        w /= w.sum()
        if 0 < w[ru].sum() < russian:
            w = np.where(ru, w * russian / w[ru].sum(), w * (1 - russian) / w[~ru].sum())
        self.weight = w
        self.queue = {d: [] for d in self.names}

    def next_document(self, domain):
        if not self.queue[domain]:
            self.queue[domain] = list(self.rng.permutation(len(self.tokens[domain][1]) - 1))
        i = self.queue[domain].pop()
        data, offset = self.tokens[domain]
        return data[offset[i]:offset[i + 1]]

    def sequence(self, domain, length):
        out, filled = np.zeros(length + 1, np.int64), 0
        while filled < length + 1:
            doc = self.next_document(domain)
            if filled == 0 and len(doc) > 64:
                middle = 0.5 if len(doc) > length else 1 / 3
                if self.rng.random() < middle:
                    top = len(doc) - length if len(doc) > length + 8 else len(doc) * 2 // 3
                    doc = doc[self.rng.integers(1, max(2, top)):]
            piece = np.concatenate([[BOS], doc, [EOS]])[: length + 1 - filled]
            out[filled:filled + len(piece)] = piece
            filled += len(piece)
        return out

    def batch(self, count, length):
        """inputs, targets int64 [count, length] and domain numbers [count]"""
        chosen = self.rng.choice(len(self.names), count, p=self.weight)
        rows = np.stack([self.sequence(self.names[c], length) for c in chosen])
        return rows[:, :-1], rows[:, 1:], chosen
