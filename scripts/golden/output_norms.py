"""output_norms - norms of what the experts of transformers' models give, choice by choice.

What an expert gives is what the layer's own module of experts gives when it is called with one choice of every token, weighted by 1.
"""

import numpy as np


def watch(model, outputs=False):
    """A list that gets (ids, gates, norms), float64 of shape (T,K), of every layer with experts, in a forward pass; with `outputs` these too,
    (T,K,D). Gemma 4's scale of each expert counts as the output's, not the gate's."""
    import torch

    seen = []

    def before(scale):
        def hook(module, args, kwargs):
            hidden, ids, gates = (list(args) + [kwargs[key] for key in ("top_k_index", "top_k_weights") if key in kwargs])[:3]
            one = torch.ones(len(ids), 1, dtype=hidden.dtype)
            given = [module.forward(hidden, ids[:, k : k + 1], one) for k in range(ids.shape[1])]
            given = torch.stack([y.reshape(len(ids), -1).double() for y in given], dim=1)
            norms = given.norm(dim=2)
            by = torch.ones_like(norms) if scale is None else scale.double()[ids]
            seen.append([x.detach().numpy() for x in (ids, gates.double() / by, norms * by.abs(), *[given] * outputs)])

        return hook

    scales = [router.per_expert_scale for router in model.modules() if hasattr(router, "per_expert_scale")]
    modules = [module for name, module in model.named_modules() if name.endswith(".experts")]
    for module, scale in zip(modules, scales or [None] * len(modules)):
        module.register_forward_pre_hook(before(scale), with_kwargs=True)
    return seen


def forward(model, seen, sequences):
    """ids, gates, norms (L,T,K), and what else watch gives, of the tokens of all sequences, one after another; `seen` is what watch gave."""
    import torch

    every = []
    for ids in sequences:
        seen.clear()
        with torch.no_grad():
            model(torch.as_tensor(np.asarray(ids, np.int64))[None], use_cache=False)
        every.append([np.stack(part) for part in zip(*seen)])
    return [np.concatenate(part, axis=1) for part in zip(*every)]


def added(ids, gates, outputs, n_experts):
    """Sums (L,E,D), f32, over tokens of outputs times gates."""
    sums = np.zeros((len(ids), n_experts, outputs[0].shape[-1]))
    for l in range(len(ids)):
        np.add.at(sums[l], ids[l], gates[l][..., None] * outputs[l])
    return sums.astype(np.float32)


def by_expert(ids, values, n_experts):
    """Values (T,K) of choices as (T,E), NaN where an expert was not chosen."""
    table = np.full((len(ids), n_experts), np.nan)
    np.put_along_axis(table, ids.astype(int), values, axis=1)
    return table


def in_order(model, sequences, expert_id):
    """Norms, f32, at the places of the choices expert_id (L,T,K), which must be the model's."""
    ids, _, norms = forward(model, watch(model), sequences)
    assert np.array_equal(np.sort(ids, axis=2), np.sort(expert_id, axis=2)), "other experts were chosen"
    tables = [by_expert(i, n, expert_id.max() + 1) for i, n in zip(ids, norms)]
    return np.stack([np.take_along_axis(table, at, axis=1) for table, at in zip(tables, expert_id)]).astype(np.float32)
