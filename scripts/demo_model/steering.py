"""steering.py - does choosing a topic's experts make the model speak about it? A check in PyTorch.

The plan is the signed log-ratio ln((p_c + e) / (p + e)) of a domain's expert rates over the corpus's,
clipped to +-2, times a weight, added to the router's logits before the softmax at every token. Its
control is the same values shuffled within each layer. Judge: TF-IDF (words) and multinomial logistic
regression trained on other documents; continuations of prompts that belong to no domain.
"""
import numpy as np
import torch

from demo_model import data, evaluate

PROMPTS = [
    "One day", "It was late in the evening when", "I think that", "The first thing to know is",
    "She opened the door and", "In this way", "There is", "The old man said", "We have seen that",
    "When you", "It is important to", "At the end of the", "This means that", "He did not know",
    "For example,", "The most", "After that, the", "You can", "Some people", "In the beginning",
    "The next morning", "If the", "A long time ago", "They came to", "The other", "Now the", "To do this,",
    "Many of the", "As a result,", "The name of"]


def rates(counts):
    u = counts.reshape(len(counts), -1).astype(float)
    return (u / u.sum(1, keepdims=True)).mean(0).reshape(counts.shape[1:])


def log_ratio(p_c, p):
    e = 0.05 / p.size
    return np.clip(np.log((p_c + e) / (p + e)), -2, 2)


def shuffled(plan, rng):
    return np.stack([rng.permutation(row) for row in plan])


@torch.no_grad()
def generate(model, tok, prompts, plan, length=60, temperature=0.8, seed=0):
    """One continuation a prompt; plan [L, E] or None. The window is recomputed, there is no cache."""
    gen = torch.Generator().manual_seed(seed)
    bias = None if plan is None else torch.tensor(plan, dtype=torch.float32)[:, None, None]
    ids = [[data.BOS] + tok.encode(p, add_special_tokens=False).ids for p in prompts]
    start = [len(i) for i in ids]
    size = max(start) + length
    table = torch.zeros(len(ids), size, dtype=torch.long)
    for i, row in enumerate(ids):
        table[i, :len(row)] = torch.tensor(row)
    end = torch.tensor(start)
    rows = torch.arange(len(ids))
    for _ in range(length):
        h, _ = model.hidden(table[:, :int(end.max())], bias=bias)
        logits = h[rows, end - 1] @ model.head.t()
        logits[:, :3] = -1e9
        pick = torch.multinomial(torch.softmax(logits / temperature, -1), 1, generator=gen)[:, 0]
        table[rows, end] = pick
        end += 1
    return [tok.decode(table[i, start[i]:end[i]].tolist()) for i in range(len(ids))]


def classifier(texts, labels):
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    return make_pipeline(TfidfVectorizer(sublinear_tf=True, max_features=30000),
                         LogisticRegression(C=10.0, max_iter=200)).fit(texts, labels)


def permutation_p(a, b, rng, rounds=4000):
    """one-sided: mean(a) > mean(b)"""
    both, n, seen = np.concatenate([a, b]), len(a), a.mean() - b.mean()
    more = 0
    for _ in range(rounds):
        q = rng.permutation(both)
        more += q[:n].mean() - q[n:].mean() >= seen
    return (more + 1) / (rounds + 1)


def trial(model, tok, held, favoured, weights, rounds=2, draws=2, domains=None):
    """For each demo domain and weight: share and mean log-odds of continuations that the judge puts in
    the domain, with the plan, with shuffled plans, and unsteered."""
    rng = np.random.default_rng(0)
    names = sorted(d for d in (favoured or held) if d in held)
    texts, labels, counts = [], [], {}
    for domain in names:
        docs = evaluate.documents(held, domain, 256, 240)
        texts += [tok.decode(d[:100].tolist()) for d in docs[60:]]
        labels += [domain] * len(docs[60:])
        counts[domain] = evaluate.run(model, docs[:60])[1]
    judge = classifier(texts, labels)
    p = rates(np.concatenate(list(counts.values())))
    prompts = PROMPTS * rounds

    def score(plan, seed):
        out = generate(model, tok, prompts, plan, seed=seed)
        logp = judge.predict_log_proba(out)
        return out, logp, judge.predict(out)

    base = score(None, 1)
    result = {}
    for domain in domains or names:
        k = list(judge.classes_).index(domain)
        odds = lambda lp: lp[:, k] - np.log1p(-np.exp(np.minimum(lp[:, k], -1e-6)))
        plan = log_ratio(rates(counts[domain]), p)
        rows = {"unsteered": [round(float((base[2] == domain).mean()), 3), round(float(odds(base[1]).mean()), 2)]}
        for w in weights:
            steered = score(w * plan, 2)
            control = [score(w * shuffled(plan, rng), 3 + i) for i in range(draws)]
            co = np.concatenate([odds(c[1]) for c in control])
            rows[f"weight {w:g}"] = {
                "plan": [round(float((steered[2] == domain).mean()), 3), round(float(odds(steered[1]).mean()), 2)],
                "shuffled": [round(float(np.mean([(c[2] == domain).mean() for c in control])), 3),
                             round(float(co.mean()), 2)],
                "p": round(permutation_p(odds(steered[1]), co, rng), 4), "sample": steered[0][:2]}
        result[domain] = rows
        print(domain, rows, flush=True)
    return result
