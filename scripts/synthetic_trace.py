#!/usr/bin/env python3
"""synthetic_trace - writes a trace of invented routers whose truth is known: topics, their words, their experts.

    synthetic_trace.py -o FILE [--documents 40000] [--layers 27] [--experts 64] [--chosen 6] [--topics 60] [--seed 1]
                       [--close 0.5] [--tokens N] [--no-text] [--choices]

Sizes: N documents, L layers, E experts, K chosen, S topics. Needs h5py and numpy. The file follows the schema at the top of
formats/trace.h (as of --record counts, or choices), attributes and digest as formats/trace_schema.c lists them; no code of ours
writes it, so `gm-probe verify` on it checks the schema as well. What is true is written beside it, in a group that our programs do not read:

    /truth/topic     u16 (N)      the topic a document was drawn from; /samples/subset says the same by name
    /truth/second    u16 (N)      the topic mixed into it, its own when none; /truth/share f32 (N): how much of it
    /truth/expert    u8 (S,L,E)   1: planted, see below
    /truth/word      text (S,W)   the forms of the words that this topic alone has

How documents come about. In every layer an expert has a base rate (Dirichlet, so that some are nearly always on); a language,
a domain (five topics of one language) and a topic each draw their own profile around the one above (Dirichlet, ever closer);
a domain then multiplies some experts by 1.3 to 2, and a topic multiplies PLANTED experts a layer (40 in all by default; never
more than K/2 in a layer, none that is always on) by 2 to 3.5: these, and no others, are its *planted experts*. A document has
64 to 4096 tokens (log-normal), draws its own profile around its topic's (Dirichlet; the larger --close, the closer, and the
easier are topics told apart), and one in four mixes in up to SECOND of another topic, mostly of its own domain; then its
tokens choose. Its text is of its topic's language: stop words, common words, words that the five topics of a domain share, and
words of the topic alone, its *planted words*; every word comes in several endings, so that stemming has something to do.
Common words are Zipf's from about rank 30 on: what would come before are the stop words.

With --choices every token has an id (Zipf's) and its choices, gates, mass and margin, and the counts are those of the choices. They
come from POOL rows that each topic draws from its profile, a token id having VARIANTS of them: experts tell of id and topic, and a
file compresses about as a model's does. 40,000 documents are 20 million tokens, 9 GB and half an hour.

With --tokens every document has that many, whose choices are such rows too, recorded or not. Documents of one token then have at most
S*POOL different usage vectors, as those of a model have at most one for each word of its vocabulary.

Deterministic: the same arguments give the same content (seen with numpy 1.24 and 2.4), and document i is the same for any N above it
(drawn in blocks of 512, each from its own stream).
"""

import argparse
import hashlib
import json
import os
import sys

import h5py
import numpy as np

BLOCK = 512  # documents drawn together
PER_DOMAIN = 5  # topics
ALWAYS_ON = 2.0  # times the even share: such an expert is not planted
PLANTED = 1.5  # experts a layer, on average; at least 24 a topic
SECOND = 0.45  # the most that another topic has in a document
# How closely a profile follows the one above it: the sum of its Dirichlet's parameters, in experts of a layer.
CLOSE = {"base": 4, "language": 8, "domain": 25, "topic": 60}  # of a document: --close
LENGTH = {"median": 330, "sigma": 0.9, "least": 64, "most": 4096}  # tokens
WORDS_A_TOKEN = 0.6
SHARE = {"stop": 0.35, "common": 0.45, "domain": 0.08, "topic": 0.12}  # of the words of a text
POOL, VARIANTS, IDS = 1024, 4, 50000  # rows of routing a topic; of them one id's; token ids
LEMMAS = {"common": 4000, "domain": 40, "topic": 30}

STOP = {
    "en": "the of and to in is that it for was on as with be by at this are from or an have not which but they".split(),
    "ru": "и в не на я что он с как это по но из у за от так же для бы то все она к до или".split(),
}
SYLLABLES = {
    "en": "bar cor del fen gan hol jun kel lor mar nel pol quin ros sel tor ven wil zan dro flin gra plo stre".split(),
    "ru": "бар вел гор дон жит зар кол лун мор нил пол руш сол тан фер хлад чен шум бра гно дре кре пло стри".split(),
}
ENDINGS = {"en": ["", "s", "ing", "ed"], "ru": ["а", "ы", "ой", "у"]}


# ---- what is true ----


class World:
    """Profiles of topics (S,L,E), their planted experts, and all words."""

    def __init__(self, how):
        self.how = how
        self.language = np.arange(how.topics) // PER_DOMAIN % 2  # of a topic: 0 en, 1 ru
        self.domain = np.arange(how.topics) // PER_DOMAIN
        rng = np.random.default_rng([how.seed, 0])
        self.make_profiles(rng)
        self.make_words(rng)
        self.pool = Pool(self) if how.choices or how.tokens else None
        self.weight = rng.uniform(0.6, 1.4, how.topics)  # topics are not equally frequent
        self.weight /= self.weight.sum()
        self.names = [f"topic-{t:02}-{('en', 'ru')[self.language[t]]}" for t in range(how.topics)]

    def make_profiles(self, rng):
        how, shape = self.how, (self.how.layers, self.how.experts)
        base = around(rng, np.full(shape, 1 / how.experts), CLOSE["base"])
        language = [around(rng, base, CLOSE["language"]) for _ in range(2)]
        domain = []
        for d in range(self.domain[-1] + 1):
            profile = around(rng, language[d % 2], CLOSE["domain"])
            raised = plant(rng, base, how.chosen, planted_of(how))
            domain.append(limit(profile * np.where(raised, rng.uniform(1.3, 2.0, shape), 1), how.chosen))
        self.profile = np.empty((how.topics, *shape))
        self.planted = np.zeros((how.topics, *shape), np.uint8)
        for t in range(how.topics):
            profile = around(rng, domain[self.domain[t]], CLOSE["topic"])
            self.planted[t] = plant(rng, base, how.chosen, planted_of(how))
            raised = np.where(self.planted[t], np.maximum(profile, base) * rng.uniform(2.0, 3.5, shape), profile)
            self.profile[t] = limit(raised, how.chosen)

    def make_words(self, rng):
        """self.word: all forms, as bytes; a lemma has len(ENDINGS) forms one after another."""
        self.n_forms = len(ENDINGS["en"])
        self.word, self.first = [], {}
        taken = set()
        for language in ("en", "ru"):
            self.first["stop", language] = len(self.word)
            self.word += [word.encode() for word in STOP[language]]
            self.add_lemmas(rng, "common", language, language, LEMMAS["common"], taken)
        for kind, of in (("domain", self.domain), ("topic", np.arange(self.how.topics))):
            for number in range(of[-1] + 1):
                language = ("en", "ru")[self.language[np.flatnonzero(of == number)[0]]]
                self.add_lemmas(rng, kind, number, language, LEMMAS[kind], taken)
        self.word = np.array(self.word, dtype=object)

    def add_lemmas(self, rng, kind, key, language, n, taken):
        self.first[kind, key] = len(self.word)
        while n > 0:
            stem = "".join(rng.choice(SYLLABLES[language], rng.integers(2, 4)))
            if stem in taken:
                continue
            taken.add(stem)
            self.word += [(stem + ending).encode() for ending in ENDINGS[language]]
            n -= 1

    def topic_words(self, topic):
        first = self.first["topic", topic]
        return self.word[first : first + LEMMAS["topic"] * self.n_forms]


def planted_of(how):
    """How many experts a topic has, at most K/2 a layer."""
    return min(max(24, round(PLANTED * how.layers)), how.layers * max(1, how.chosen // 2))


def around(rng, profile, close):
    """A Dirichlet draw whose mean is `profile` (..., E)."""
    draw = rng.standard_gamma(np.maximum(profile * profile.shape[-1] * close, 1e-3))
    return draw / draw.sum(axis=-1, keepdims=True)


def limit(profile, chosen):
    """Rows that sum to 1 in which no expert is wanted by more than nine tokens in ten."""
    most = 0.9 / chosen if profile.shape[-1] > chosen else 1
    for _ in range(8):
        profile = np.minimum(profile / profile.sum(axis=-1, keepdims=True), most)
    return profile / profile.sum(axis=-1, keepdims=True)


def plant(rng, base, chosen, n):
    """n experts (L,E), at most K/2 a layer, none that is always on."""
    able = base * base.shape[1] < ALWAYS_ON
    order = np.where(able, rng.random(base.shape), 2).argsort(axis=1).argsort(axis=1)  # a rank in every layer
    candidates = np.flatnonzero((order < max(1, chosen // 2)) & able)
    out = np.zeros(base.size, np.uint8)
    out[rng.choice(candidates, min(n, len(candidates)), replace=False)] = 1
    return out.reshape(base.shape)


# ---- documents ----


def draw_block(world, number):
    """BLOCK documents: a dict of arrays, and the list of their texts."""
    how, rng = world.how, np.random.default_rng([world.how.seed, 1, number])
    topic = rng.choice(how.topics, BLOCK, p=world.weight)
    sibling = topic - topic % PER_DOMAIN + rng.integers(0, PER_DOMAIN, BLOCK)
    other = np.where(rng.random(BLOCK) < 0.7, np.minimum(sibling, how.topics - 1), rng.integers(0, how.topics, BLOCK))
    mixed = rng.random(BLOCK) < 0.25
    share = np.where(mixed & (other != topic), rng.uniform(0, SECOND, BLOCK), 0).astype(np.float32)
    second = np.where(share > 0, other, topic)
    tokens = np.exp(rng.normal(np.log(LENGTH["median"]), LENGTH["sigma"], BLOCK))
    tokens = np.clip(tokens, LENGTH["least"], LENGTH["most"]).astype(np.uint32)
    if how.tokens:
        tokens[:] = how.tokens
    else:
        part = share[:, None, None].astype(np.float64)
        profile = world.profile[topic] * (1 - part) + world.profile[second] * part
        profile = limit(around(rng, profile, how.close), how.chosen)
        counts = choose(rng, profile, tokens, how.chosen)
    if world.pool:
        counts = world.pool.counts(how, world.pool.tokens(how, number, topic, tokens)[1], tokens)
    text = draw_texts(world, rng, topic, second, share, tokens) if how.text else []
    return {"subset": topic, "second": second, "share": share, "tokens": tokens, "counts": counts}, text


def choose(rng, profile, tokens, chosen):
    """Counts (B,L,E): every token chooses K distinct experts, so none is above the number of tokens."""
    counts = rng.multinomial(tokens[:, None] * np.uint32(chosen), profile).astype(np.int64)
    most = tokens[:, None, None].astype(np.int64)
    for b, l in np.argwhere((counts > most).any(axis=2)):
        row, cap = counts[b, l], int(tokens[b])
        spare = int(np.maximum(row - cap, 0).sum())
        np.minimum(row, cap, out=row)
        for e in np.argsort(-profile[b, l], kind="stable"):
            take = min(spare, cap - int(row[e]))
            row[e] += take
            spare -= take
    return counts.astype(np.uint32)


class Pool:
    """Rows of routing: expert (S*POOL,L,K), strongest gate first, their gates, mass and margin."""

    def __init__(self, world):
        how = world.how
        rng, shape = np.random.default_rng([how.seed, 2]), (how.topics * POOL, how.layers)
        self.expert, self.gate = np.empty((*shape, how.chosen), np.uint16), np.empty((*shape, how.chosen), np.float16)
        self.mass, self.margin = np.empty(shape, np.float16), np.empty(shape, np.float16)
        for t in range(how.topics):
            here = slice(t * POOL, (t + 1) * POOL)
            score = np.log(np.maximum(world.profile[t], 1e-9)) + rng.gumbel(size=(POOL, how.layers, how.experts))
            order = np.argsort(-score, axis=2, kind="stable")[:, :, : how.chosen + 1]
            top = np.take_along_axis(score, order, axis=2)
            share = np.exp(top[:, :, : how.chosen] - top[:, :, :1])
            share /= np.exp(score - top[:, :, :1]).sum(axis=2, keepdims=True)
            self.expert[here], self.gate[here] = order[:, :, : how.chosen], share
            self.mass[here] = share.sum(axis=2)
            self.margin[here] = top[:, :, how.chosen - 1] - top[:, :, -1] if how.chosen < how.experts else np.inf

    def tokens(self, how, number, topic, n_tokens):
        """Of the first documents of block `number`: ids (n) and rows of the pool (n) of all tokens."""
        ids = zipf(np.random.default_rng([how.seed, 3, number]), IDS, int(n_tokens.sum()), 3, 1.0)
        variant = np.random.default_rng([how.seed, 4, number]).integers(0, VARIANTS, len(ids))
        row = (ids * 2654435761 + variant) % POOL
        return ids, np.repeat(topic, n_tokens).astype(np.int64) * POOL + row

    def counts(self, how, row, n_tokens):
        """(B,L,E) of documents one after another."""
        out = np.zeros((len(n_tokens), how.layers * how.experts), np.uint32)
        first = np.arange(how.layers)[:, None] * how.experts
        for b, part in enumerate(np.split(row, np.cumsum(n_tokens)[:-1])):
            out[b] = np.bincount((self.expert[part] + first).ravel(), minlength=out.shape[1])
        return out.reshape(-1, how.layers, how.experts)


def draw_texts(world, rng, topic, second, share, tokens):
    """A text of about WORDS_A_TOKEN words a token for each document."""
    n_words = np.maximum(1 if world.how.tokens else 8, (tokens * WORDS_A_TOKEN).astype(np.int64))
    doc = np.repeat(np.arange(len(topic)), n_words)
    about = np.where(rng.random(len(doc)) < share[doc], second[doc], topic[doc])  # the topic a word is about
    kind = rng.choice(len(SHARE), len(doc), p=list(SHARE.values()))
    word = np.empty(len(doc), np.int64)
    for k, name in enumerate(SHARE):
        here = np.flatnonzero(kind == k)
        of, language = about[here], world.language[topic[doc[here]]]
        if name == "stop":
            first = np.array([world.first[name, "en"], world.first[name, "ru"]])[language]
            word[here] = first + rng.integers(0, min(map(len, STOP.values())), len(here))
            continue
        keys = {"common": ["en", "ru"], "domain": range(world.domain[-1] + 1), "topic": range(world.how.topics)}[name]
        index = {"common": language, "domain": world.domain[of], "topic": of}[name]
        first = np.array([world.first[name, key] for key in keys])[index]
        rank = zipf(rng, LEMMAS[name], len(here), *((30, 1.0) if name == "common" else (1, 0.4)))
        word[here] = first + rank * world.n_forms + rng.integers(0, world.n_forms, len(here))
    forms, ends = world.word[word].tolist(), np.cumsum(n_words).tolist()
    return [b" ".join(forms[end - n : end]) + b"." for end, n in zip(ends, n_words.tolist())]


def zipf(rng, n, size, first, power):
    """Ranks below n, each as frequent as (first + rank)^-power."""
    sums = np.cumsum(np.arange(first, first + n) ** -power)
    return np.minimum(np.searchsorted(sums, rng.random(size) * sums[-1]), n - 1)


# ---- the file ----

FIELD = {"expert_id": "expert", "gate": "gate", "topk_mass": "mass", "margin": "margin"}  # of the pool


class Writer:
    """Datasets with the scales and filters of the schema, and the digest over their rows."""

    def __init__(self, path, scales):
        self.file = h5py.File(path, "w")
        self.digest = {}
        for name, size in scales.items():
            self.scale(name, size)

    def scale(self, name, size):
        if name in ("layer", "expert", "rank"):
            values = np.arange(size, dtype="<i4") + (name == "layer")  # layer 0 of the model is dense
            self.file.create_dataset(name, data=values).make_scale(name)
        else:  # a length without values, as netCDF has it
            self.file.create_dataset(name, (size,), ">f4").make_scale(
                f"This is a netCDF dimension but not a netCDF variable.{size:10}")

    def column(self, name, rows, kind, scales, chunk_rows=4096, counted=True):
        """Write all rows; an iterator of pieces is given with its shape as (shape, pieces)."""
        shape, pieces = rows if isinstance(rows, tuple) else (np.shape(rows), [np.asarray(rows)])
        text = h5py.string_dtype("utf-8", 64) if kind == "text" else None
        chunks = (min(chunk_rows, shape[0]), *shape[1:]) if shape[0] else None
        packed = {"compression": "gzip", "compression_opts": 1, "shuffle": kind not in ("text", "u1"), "fletcher32": True}
        packed = packed if chunks else {}
        data = self.file.create_dataset(name, shape, text or kind, chunks=chunks, track_times=False, **packed)
        hash_ = hashlib.sha256()
        first = 0
        for piece in pieces:
            piece = np.ascontiguousarray(piece, dtype=text or kind)
            if len(piece):
                data[first : first + len(piece)] = piece
            first += len(piece)
            hash_.update(piece.tobytes())
        for axis, scale in enumerate(scales):
            data.dims[axis].attach_scale(self.file[scale])
        if counted:
            self.digest["/" + name] = hash_.digest()

    def attributes(self, values):
        for name, value in values.items():
            if isinstance(value, str):
                raw = value.encode()
                self.file.attrs.create(name, np.bytes_(raw), dtype=h5py.string_dtype("utf-8", max(1, len(raw))))
            elif isinstance(value, float):
                self.file.attrs.create(name, value, dtype="<f8")
            else:
                self.file.attrs.create(name, value, dtype="<i8")

    def close(self, fingerprint):
        whole = hashlib.sha256(fingerprint.encode())
        for name in ORDER:
            if name in self.digest:
                whole.update(name.encode() + self.digest[name])
        self.attributes({"digest": whole.hexdigest()})
        self.file.close()


# The order in which formats/trace_schema.c lists what these traces have: the digest runs over it.
ORDER = ["/routing/" + name for name in ("expert_id", "gate", "topk_mass", "margin")] + [
    "/tokens/" + name for name in ("token_id", "sample", "pos", "phase")] + [
    "/samples/" + name for name in
         ("offset", "id", "sha", "subset", "subset_name", "n_tokens", "bad", "truncated", "counts")] + [
             "/text/bytes", "/text/offset", "/corpus/reason", "/corpus/skipped"]


def attributes_of(size, how):
    options = json.dumps(how)
    words = {"schema_name": "gm-trace", "record": size.get("record", "counts"), "model": "synthetic", "architecture": "none", "family": "none",
             "model_digest": "", "tokenizer_digest": "", "numerics": "f32", "kernels": "none", "device": "cpu",
             "invariance": "A", "scoring": "softmax", "command": "synthetic_trace.py " + options, "options": options,
             "fingerprint": hashlib.sha256(options.encode()).hexdigest(),
             "provenance": json.dumps({"program": "synthetic_trace.py", "numpy": np.__version__}), "steering": ""}
    return {**words, "schema": 1, "n_layers": size["L"], "n_experts": size["E"], "n_chosen": size["K"],
            "has_text": int(size["text"]), "has_nll": 0, "logits_rate": 0.0, "renormalised": 0, "routed_scale": 1.0,
            "block": 0, "block_more": 0, "block_read": size["N"]}


def chunk_rows(row_bytes):
    rows = 256
    while rows < 8192 and rows * 2 * row_bytes <= 384 << 10:
        rows *= 2
    return rows


def write_choices(out, size, routing):
    """Columns by token, from routing(name): an iterator of pieces. T: size["T"]."""
    n, layers, chosen = size["T"], size["L"], size["K"]
    out.scale("token", n)
    narrow = size["E"] <= 255
    for name, kind, tail in (("expert_id", "u1" if narrow else "<u2", (layers, chosen)), ("gate", "<f2", (layers, chosen)),
                             ("topk_mass", "<f2", (layers,)), ("margin", "<f2", (layers,))):
        rows = chunk_rows(np.dtype(kind).itemsize * int(np.prod(tail)))
        out.column("routing/" + name, ((n, *tail), routing(name)), kind, ["token", "layer", "rank"][: 1 + len(tail)], rows)
    for name, kind in (("token_id", "<u4"), ("sample", "<u4"), ("pos", "<u4"), ("phase", "u1")):
        out.column("tokens/" + name, ((n,), routing(name)), kind, ["token"], 8192)


def write_trace(path, size, counts, column, names, how, truth, routing=None):
    """Write a trace under `path`, which appears when it is complete.

    size     {"N", "L", "E", "K", "text": whether there are texts}
    counts   pieces of (N,L,E), an iterator; it may fill `column` while it runs
    column   "subset" (N), numbers into names; "tokens" (N); "id" (N) bytes; "text" (N) bytes, of which only the sha is
             written when size["text"] is False
    how      the options, an object of JSON
    routing  None, or as write_choices takes it
    truth    name: (array, type), written to /truth
    """
    n = size["N"]
    out = Writer(str(path) + ".part", {"layer": size["L"], "expert": size["E"], "rank": size["K"], "document": n,
                                       "bound": n + 1, "subset": len(names), "reason": 0})
    row_bytes, rows = 4 * size["L"] * size["E"], 1
    while rows < 1024 and rows * 2 * row_bytes <= 512 << 10:
        rows *= 2
    out.column("samples/counts", ((n, size["L"], size["E"]), counts), "<u4", ["document", "layer", "expert"], rows)
    texts = column["text"]
    offset = np.zeros(n + 1, np.uint64)
    if routing:
        offset[1:] = np.cumsum(column["tokens"], dtype=np.uint64)
        size = {**size, "record": "choices", "T": int(offset[-1])}
        write_choices(out, size, routing)
    out.column("samples/offset", offset, "<u8", ["bound"])
    out.column("samples/id", column["id"], "text", ["document"])
    out.column("samples/sha", [hashlib.sha256(text).hexdigest().encode() for text in texts], "text", ["document"])
    enum = h5py.enum_dtype({name: i for i, name in enumerate(names)}, basetype="<u2") if names else "<u2"
    out.column("samples/subset", column["subset"], enum, ["document"])
    out.column("samples/subset_name", [name.encode() for name in names], "text", ["subset"])
    out.column("samples/n_tokens", column["tokens"], "<u4", ["document"])
    out.column("samples/bad", column.get("bad", np.zeros(n)), "<u4", ["document"])
    out.column("samples/truncated", np.zeros(n), "u1", ["document"])
    if size["text"]:
        whole = np.frombuffer(b"".join(texts), np.uint8)
        out.scale("byte", len(whole))
        out.column("text/bytes", whole, "u1", ["byte"], 256 << 10)
        out.column("text/offset", np.cumsum([0] + [len(text) for text in texts]), "<u8", ["bound"])
    out.column("corpus/reason", [], "text", ["reason"])
    out.column("corpus/skipped", [], "<u8", ["reason"])
    for name, (rows, kind) in truth.items():
        out.column("truth/" + name, rows() if callable(rows) else rows, kind, [], counted=False)
    attributes = attributes_of(size, how)
    out.attributes(attributes)
    out.close(attributes["fingerprint"])
    os.replace(str(path) + ".part", path)


def write(path, how):
    """Make the trace; `how` has the members of the command line."""
    world, n = World(how), how.documents
    column = {"text": [], "id": [f"synthetic:{i}".encode() for i in range(n)]}
    for name in ("subset", "second", "share", "tokens"):
        column[name] = np.zeros(n, np.float32 if name == "share" else np.uint32)

    def draw():  # counts, block by block; everything else is kept
        for first in range(0, n, BLOCK):
            block, text = draw_block(world, first // BLOCK)
            keep = min(BLOCK, n - first)
            for name in ("subset", "second", "share", "tokens"):
                column[name][first : first + keep] = block[name][:keep]
            column["text"] += text[:keep] or [f"{how.seed}:{i}".encode() for i in range(first, first + keep)]
            yield block["counts"][:keep]

    def routing(name):  # of all tokens, block by block
        for first in range(0, n, BLOCK):
            here = slice(first, min(first + BLOCK, n))
            tokens = column["tokens"][here]
            sample = np.repeat(np.arange(here.start, here.stop), tokens)
            if name in ("sample", "phase"):
                yield sample if name == "sample" else np.zeros(len(sample))
            elif name == "pos":
                yield np.arange(len(sample)) - np.repeat(np.cumsum(tokens) - tokens, tokens)
            else:
                ids, row = world.pool.tokens(how, first // BLOCK, column["subset"][here], tokens)
                yield ids if name == "token_id" else getattr(world.pool, FIELD[name])[row]

    size = {"N": n, "L": how.layers, "E": how.experts, "K": how.chosen, "text": how.text}
    options = {name: getattr(how, name) for name in ("documents", "layers", "experts", "chosen", "topics", "seed", "close", "text", "choices")}
    if how.tokens:
        options["tokens"] = how.tokens
    words = [world.topic_words(t).astype("S64") for t in range(how.topics)]
    truth = {"topic": (column["subset"], "<u2"), "second": (column["second"], "<u2"), "share": (column["share"], "<f4"),
             "expert": (world.planted, "u1"), "word": (words, "text")}
    write_trace(path, size, draw(), column, world.names, options, truth, routing if how.choices else None)


def options(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", dest="out", required=True, metavar="FILE", help="the trace to write; an existing file is replaced")
    for name, value, help_ in (("documents", 40000, "documents"), ("layers", 27, "MoE layers"), ("experts", 64, "experts a layer"),
                               ("chosen", 6, "experts a token chooses"), ("topics", 60, "topics"), ("seed", 1, "of every draw")):
        parser.add_argument("--" + name, type=int, default=value, metavar="N", help=f"{help_} (default {value})")
    parser.add_argument("--close", type=float, default=0.5, metavar="C", help="how close documents are to their topics (default 0.5)")
    parser.add_argument("--tokens", type=int, default=0, metavar="N", help="tokens of every document (default: drawn, 64 to 4096)")
    parser.add_argument("--no-text", dest="text", action="store_false", help="leave the texts out")
    parser.add_argument("--choices", action="store_true", help="record every token's choices")
    how = parser.parse_args(argv)
    if min(how.layers, how.experts, how.chosen, how.topics) < 1 or min(how.documents, how.tokens) < 0 \
            or how.chosen > how.experts or not how.close > 0:
        parser.error("expected at least one layer, expert and topic, 1 to E chosen, and C above 0")
    return how


def main():
    how = options()
    write(how.out, how)


if __name__ == "__main__":
    sys.exit(main())
