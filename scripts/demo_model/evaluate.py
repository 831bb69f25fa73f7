"""evaluate.py - the figures of the model card: held-out loss by domain, router balance, mutual information
of expert and domain, neighbourhood purity of usage vectors against bags of tokens, and topic steering.

Everything is measured on the exported bf16 weights with free routing, on held-out documents (one a
sequence, first 256 tokens). No token is dropped: the padded expert table is as large as it must be.
"""
import json

import numpy as np
import torch

from demo_model import data, export, net


def load(folder):
    with open(folder + "/config.json", encoding="utf-8") as file:
        c = json.load(file)
    cfg = net.Config(c["vocab_size"], c["hidden_size"], c["num_hidden_layers"], c["intermediate_size"],
                     c["num_attention_heads"], c["num_key_value_heads"], c["head_dim"],
                     c["n_routed_experts"], c["num_experts_per_tok"], c["moe_intermediate_size"],
                     c["rope_theta"], c["rms_norm_eps"], c["max_position_embeddings"])
    model = net.Net(cfg)
    export.load(model, folder)
    model.drop = False
    return model.eval()


def documents(tokens, domain, length, limit, least=128):
    """The first `limit` documents of a domain with enough tokens, cut to length; a list of arrays."""
    ids, offset = tokens[domain]
    out = []
    for i in range(len(offset) - 1):
        doc = ids[offset[i]:offset[i + 1]][:length]
        if len(doc) >= least:
            out.append(doc.astype(np.int64))
        if len(out) == limit:
            break
    return out


@torch.no_grad()
def run(model, docs, bias=None, batch=32):
    """nll [N] (mean a document), counts [N, L, E] and token totals of documents, which begin with <s>."""
    nll, counts, c = [], [], model.cfg
    for at in range(0, len(docs), batch):
        part = docs[at:at + batch]
        size = max(map(len, part)) + 1
        ids = torch.zeros(len(part), size, dtype=torch.long)
        mask = torch.zeros(len(part), size, dtype=torch.bool)
        ids[:, 0] = data.BOS
        for i, doc in enumerate(part):
            ids[i, 1:len(doc) + 1] = torch.from_numpy(doc)
            mask[i, 1:len(doc) + 1] = True
        h, stats = model.hidden(ids, bias=bias)
        logp = torch.log_softmax((h[:, :-1].to(torch.bfloat16) @ model.head.to(torch.bfloat16).t()).float(), -1)
        loss = -logp.gather(-1, ids[:, 1:, None])[..., 0] * mask[:, 1:]
        nll += (loss.sum(1) / mask[:, 1:].sum(1)).tolist()
        use = [torch.nn.functional.one_hot(s[3], c.experts).sum(2) * mask[..., None] for s in stats]
        counts.append(torch.stack([u.sum(1) for u in use], 1).numpy())
    return np.array(nll), np.concatenate(counts)


def mutual_information(counts, labels):
    """bits between expert and domain by layer; every domain weighs the same. counts [N, L, E]"""
    rate = np.stack([counts[labels == d].sum(0) for d in np.unique(labels)]).astype(float)
    rate /= rate.sum(-1, keepdims=True)
    mean = rate.mean(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nansum(rate * np.log2(rate / mean), -1).mean(0)


def purity(vectors, labels, k=15):
    """mean share of the k nearest (cosine) that have the same label"""
    v = vectors / (np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-12)
    near = v @ v.T
    np.fill_diagonal(near, -2)
    top = np.argpartition(-near, k, axis=1)[:, :k]
    return float((labels[top] == labels[:, None]).mean())


def figures(model, held, favoured, per_domain=60):
    loss, all_counts, labels, bags = {}, [], [], []
    for number, domain in enumerate(sorted(held)):
        docs = documents(held, domain, 256, per_domain, 64)
        if not docs:
            continue
        nll, counts = run(model, docs)
        loss[domain] = round(float(nll.mean()), 3)
        all_counts.append(counts)
        labels += [number] * len(docs)
        bags += [np.bincount(d, minlength=model.cfg.vocab) for d in docs]
    counts, labels, bags = np.concatenate(all_counts), np.array(labels), np.array(bags, float)
    load = np.stack([counts[labels == d].sum(0) / counts[labels == d].sum((0, 2))[:, None]
                     for d in np.unique(labels)]).mean(0) * model.cfg.experts
    usage = counts.reshape(len(counts), -1).astype(float)
    usage = np.sqrt(usage / usage.sum(1, keepdims=True))
    idf = np.log(len(bags) / (1 + (bags > 0).sum(0)))
    share = np.bincount(labels) / len(labels)
    info = mutual_information(counts, labels)
    return {
        "heldout_loss": round(float(np.mean(list(loss.values()))), 3),
        "heldout_loss_demo_domains": round(float(np.mean([v for d, v in loss.items() if d in favoured])), 3),
        "heldout_loss_by_domain": loss, "documents": len(labels), "domains": len(loss),
        "load_max_over_mean": [round(float(x), 2) for x in load.max(1)],
        "load_min_over_mean": [round(float(x), 3) for x in load.min(1)],
        "dead_experts": int((load < 0.01).sum()),
        "mutual_information_bits": [round(float(x), 3) for x in info],
        "mutual_information_mean": round(float(info.mean()), 3),
        "purity15_usage": round(purity(usage, labels), 3),
        "purity15_tokens": round(purity(np.sqrt(bags), labels), 3),
        "purity15_tokens_tfidf": round(purity(bags * idf, labels), 3),
        "purity15_chance": round(float((share ** 2).sum()), 3)}


def report(args, tok, held, favoured):
    model = load(args.evaluate)
    result = figures(model, held, favoured)
    result["parameters"] = sum(p.numel() for p in model.parameters())
    if args.steer:
        from demo_model import steering
        result["steering"] = steering.trial(model, tok, held, favoured, args.steer)
    print(json.dumps(result, indent=1, ensure_ascii=False))
    if args.json:
        export.write_json(args.json, result)
