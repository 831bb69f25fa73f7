"""optim.py - Muon for the hidden matrices (also stacks of them), AdamW for the rest.

Muon: momentum, then the update is brought near the closest orthogonal matrix by five Newton-Schulz
steps in bf16 (K. Jordan et al., 2024). Stacks of expert matrices are done in one batched product.
"""
import torch


def orthogonal(g, steps=5):
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g.to(torch.bfloat16)
    flip = x.shape[-2] > x.shape[-1]
    if flip:
        x = x.transpose(-1, -2)
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        m = x @ x.transpose(-1, -2)
        x = a * x + (b * m + c * (m @ m)) @ x
    return (x.transpose(-1, -2) if flip else x).float()


class Muon(torch.optim.Optimizer):
    def __init__(self, params, lr=0.02, momentum=0.95, decay=0.05):
        super().__init__(params, dict(lr=lr, base=lr, momentum=momentum, decay=decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                buf = self.state[p].setdefault("momentum", torch.zeros_like(p))
                buf.lerp_(p.grad, 1 - group["momentum"])
                update = orthogonal(p.grad.lerp(buf, group["momentum"]))
                scale = max(1.0, p.shape[-2] / p.shape[-1]) ** 0.5
                p.mul_(1 - group["lr"] * group["decay"]).add_(update, alpha=-group["lr"] * scale)


def make(net, muon_lr=0.02, embed_lr=6e-3, head_lr=3e-3, router_lr=2e-3, norm_lr=3e-3):
    """The two optimizers; the groups' "base" is the rate that the schedule multiplies."""
    hidden, router, norms = [], [], []
    for name, p in net.named_parameters():
        if name in ("embed", "head"):
            continue
        (router if name.endswith("router") else norms if p.dim() == 1 else hidden).append(p)
    groups = [dict(params=[net.embed], lr=embed_lr), dict(params=[net.head], lr=head_lr),
              dict(params=router, lr=router_lr), dict(params=norms, lr=norm_lr)]
    adam = torch.optim.AdamW(groups, betas=(0.9, 0.95), eps=1e-9, weight_decay=0.0, fused=True)
    for group in adam.param_groups:
        group["base"] = group["lr"]
    return [Muon(hidden, muon_lr), adam]


def schedule(optimizers, factor):
    for opt in optimizers:
        for group in opt.param_groups:
            group["lr"] = group["base"] * factor
