"""net.py - the demo model in PyTorch: DeepSeek-MoE v1 as GigaChat-20B-A3B has it, at small size.

Pre-norm Llama blocks, grouped-query attention with half-split RoPE (fp32 angles), first layer dense,
then MoE layers: softmax over all experts in fp32, top-k, weights not renormalised, one shared expert
added with weight 1. Master weights and the residual stream are fp32, GEMM inputs are bf16.

All experts run in one padded batched product a matrix (place: at most 2.5 times the mean load, what
does not fit is dropped, in training only). Shapes: B sequences, S positions, D width, E experts, F expert
width, K chosen; the shared expert is the last of E+1.
"""
import dataclasses

import torch
import torch.nn as nn
import torch.nn.functional as F


@dataclasses.dataclass
class Config:
    vocab: int = 6144
    width: int = 256
    layers: int = 6
    dense_width: int = 768
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 64
    experts: int = 32
    top_k: int = 4
    expert_width: int = 64
    theta: float = 10000.0
    eps: float = 1e-5
    context: int = 2048


def rope_table(cfg, length, device):
    inv = 1.0 / cfg.theta ** (torch.arange(0, cfg.head_dim, 2, device=device).float() / cfg.head_dim)
    angle = torch.arange(length, device=device).float()[:, None] * inv[None]
    angle = torch.cat([angle, angle], -1)
    return angle.cos(), angle.sin()


def rotate(x, cos, sin):
    """x [B, heads, S, head_dim] fp32; half-split rotation"""
    half = x.shape[-1] // 2
    return x * cos + torch.cat([-x[..., half:], x[..., :half]], -1) * sin


def norm(x, weight, eps):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight


class Attention(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.cfg = cfg
        q, kv = cfg.heads * cfg.head_dim, cfg.kv_heads * cfg.head_dim
        self.norm = nn.Parameter(torch.ones(cfg.width))
        self.q = nn.Parameter(torch.randn(q, cfg.width) * 0.02)
        self.k = nn.Parameter(torch.randn(kv, cfg.width) * 0.02)
        self.v = nn.Parameter(torch.randn(kv, cfg.width) * 0.02)
        self.o = nn.Parameter(torch.randn(cfg.width, q) * 0.006)

    def forward(self, x, cos, sin):
        c, (B, S, _), low = self.cfg, x.shape, torch.bfloat16
        h = norm(x, self.norm, c.eps).to(low)
        qkv = h @ torch.cat([self.q, self.k, self.v]).to(low).t()
        qkv = qkv.view(B, S, c.heads + 2 * c.kv_heads, c.head_dim).transpose(1, 2)
        qk = rotate(qkv[:, :c.heads + c.kv_heads].float(), cos, sin).to(low)
        q, k, v = qk[:, :c.heads], qk[:, c.heads:], qkv[:, c.heads + c.kv_heads:]
        rep = c.heads // c.kv_heads
        k = k[:, :, None].expand(-1, -1, rep, -1, -1).reshape(B, c.heads, S, c.head_dim)
        v = v[:, :, None].expand(-1, -1, rep, -1, -1).reshape(B, c.heads, S, c.head_dim)
        if x.device.type == "cpu":
            q, k, v = (t.reshape(-1, S, c.head_dim) for t in (q, k, v))
            score = torch.bmm(q, k.transpose(1, 2)).float() * c.head_dim ** -0.5
            mask = torch.ones(S, S, dtype=torch.bool, device=x.device).triu(1)
            y = torch.bmm(score.masked_fill(mask, -1e30).softmax(-1).to(low), v).view(B, c.heads, S, -1)
        else:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return x + (y.transpose(1, 2).reshape(B, S, -1) @ self.o.to(low).t()).float()


class Dense(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.cfg = cfg
        self.norm = nn.Parameter(torch.ones(cfg.width))
        self.gate = nn.Parameter(torch.randn(cfg.dense_width, cfg.width) * 0.02)
        self.up = nn.Parameter(torch.randn(cfg.dense_width, cfg.width) * 0.02)
        self.down = nn.Parameter(torch.randn(cfg.width, cfg.dense_width) * 0.006)

    def forward(self, x):
        low = torch.bfloat16
        h = norm(x, self.norm, self.cfg.eps).to(low)
        a = F.silu(h @ self.gate.to(low).t()) * (h @ self.up.to(low).t())
        return x + (a @ self.down.to(low).t()).float()


class Experts(nn.Module):
    """gate, up [E+1, F, D]; down [E+1, D, F]; router [E, D]"""

    def __init__(self, cfg):
        super().__init__()
        self.cfg = cfg
        n, f, d = cfg.experts + 1, cfg.expert_width, cfg.width
        self.norm = nn.Parameter(torch.ones(d))
        self.router = nn.Parameter(torch.randn(cfg.experts, d) * 0.02)
        self.gate = nn.Parameter(torch.randn(n, f, d) * 0.02)
        self.up = nn.Parameter(torch.randn(n, f, d) * 0.02)
        self.down = nn.Parameter(torch.randn(n, d, f) * 0.02)

    def pick(self, x, bias, pool):
        """The router: normed input, chosen ids and gates [B, S, K], and what the losses need.

        bias is added to the logits before the softmax; pool [B, 2] says for each sequence how it is
        biased by its own mean gates (pool_bias). Mean gates and load are those of free routing.
        """
        h = norm(x, self.norm, self.cfg.eps)
        logits = F.linear(h, self.router)
        p = torch.softmax(logits, -1)
        free = torch.topk(p.detach(), self.cfg.top_k, -1, sorted=False).indices
        if pool is not None:
            bias = bias + pool_bias(p, pool, self.cfg.experts)
        q = torch.softmax(logits + bias, -1)
        gate, chosen = torch.topk(q, self.cfg.top_k, -1, sorted=False)
        load = F.one_hot(free, self.cfg.experts).sum((1, 2)).float()
        z = torch.logsumexp(logits, -1).pow(2).mean()
        return h.to(torch.bfloat16), gate, chosen, p.mean((0, 1)), load, z


class Gather(torch.autograd.Function):
    """rows of h by token number; the gradient of a token is the sum over its K slots"""

    @staticmethod
    def forward(ctx, h, token, slot):
        ctx.save_for_backward(slot)
        return h.index_select(0, token)

    @staticmethod
    def backward(ctx, g):
        slot, = ctx.saved_tensors
        return g.index_select(0, slot.view(-1)).view(*slot.shape, -1).sum(1), None, None


class Combine(torch.autograd.Function):
    """the dual of Gather: the sum over a token's K slots"""

    @staticmethod
    def forward(ctx, y, token, slot):
        ctx.save_for_backward(token)
        return y.index_select(0, slot.view(-1)).view(*slot.shape, -1).sum(1)

    @staticmethod
    def backward(ctx, g):
        return g.index_select(0, ctx.saved_tensors[0]), None, None


@torch.no_grad()
def place(chosen, experts, drop=True):
    """Slots of a padded [E, C] table for chosen [N, K]: token and flat choice of each slot, slot of each
    choice. C is the smallest step that holds the largest load, at most 2.5 times the mean; what does not
    fit shares the last slot of expert 0, whose gate is 0, so it is dropped; drop=False makes C large
    enough for all."""
    n, k = chosen.shape
    flat = chosen.reshape(-1)
    order = flat.argsort(stable=True)
    count = torch.bincount(flat, minlength=experts)
    mean = n * k // experts
    cap = next((int(mean * f) for f in (1.25, 1.5, 2.0) if count.max() < int(mean * f)), mean * 5 // 2)
    if not drop:
        cap = int(count.max()) + 1
    at = torch.arange(n * k, device=flat.device) - (count.cumsum(0) - count)[flat[order]]
    spare = cap - 1
    slot = flat[order] * cap + at
    slot = torch.where((at < cap) & (slot != spare), slot, spare)
    choice = torch.full((experts * cap,), n * k, device=flat.device)
    choice[slot] = order
    choice[spare] = n * k
    back = torch.empty_like(flat)
    back[order] = slot
    return (choice // k).clamp_(max=n - 1), choice, back.view(n, k), cap


def pool_bias(p, pool, experts):
    """The document-level code that makes experts causal for topics, without gradient.

    pool [B, 2]: (size, strength). size > 0: only the `size` experts with the largest mean gate over the
    document stay. strength > 0: the signed log-ratio of the document's mean gates over the batch's,
    clipped to +-2, times strength. Both 0: free routing. Returns [B, 1, E].
    """
    with torch.no_grad():
        mean = p.mean(1)
        order = mean.argsort(-1, descending=True).argsort(-1)
        hard = torch.where((pool[:, :1] > 0) & (order >= pool[:, :1]), -30.0, 0.0)
        floor = 0.05 / experts
        ratio = torch.log((mean + floor) / (mean.mean(0, keepdim=True) + floor)).clamp(-2, 2)
        return (hard + ratio * pool[:, 1:])[:, None]


class Head(torch.autograd.Function):
    """Mean cross entropy of h @ weight.T in chunks of rows, its gradient made on the way forward."""

    @staticmethod
    def forward(ctx, h, weight, target):
        low, n = torch.bfloat16, h.shape[0]
        h, w = h.to(low), weight.to(low)
        dh, dw = torch.empty_like(h), torch.zeros_like(weight)
        total, chunk = torch.zeros((), device=h.device), 1024 if h.device.type == "cpu" else 32768
        for i in range(0, n, chunk):
            part, goal = h[i:i + chunk], target[i:i + chunk, None]
            logits = (part @ w.t()).float()
            lse = logits.logsumexp(-1, keepdim=True)
            total += (lse - logits.gather(1, goal)).sum()
            grad = logits.sub_(lse).exp_()
            grad.scatter_add_(1, goal, torch.full_like(goal, -1, dtype=torch.float32))
            grad = grad.mul_(1.0 / n).to(low)
            dh[i:i + chunk] = grad @ w
            dw += (grad.t() @ part).float()
        ctx.save_for_backward(dh, dw)
        return total / n

    @staticmethod
    def backward(ctx, g):
        dh, dw = ctx.saved_tensors
        return (dh * g).float(), dw * g, None


class Net(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.cfg = cfg
        self.embed = nn.Parameter(torch.randn(cfg.vocab, cfg.width) * 0.05)
        self.attn = nn.ModuleList(Attention(cfg) for _ in range(cfg.layers))
        self.mlp = nn.ModuleList([Dense(cfg)] + [Experts(cfg) for _ in range(cfg.layers - 1)])
        self.norm = nn.Parameter(torch.ones(cfg.width))
        self.head = nn.Parameter(torch.randn(cfg.vocab, cfg.width) * 0.02)
        self.parts, self.drop = {}, True

    def compile_blocks(self):
        torch._dynamo.config.recompile_limit = 64
        for name in ("front", "experts", "shared", "dense"):
            self.parts[name] = torch.compile(getattr(self, name), dynamic=False)

    def front(self, i, x, cos, sin, bias, pool):
        x = self.attn[i](x, cos, sin)
        return x, *self.mlp[i].pick(x, bias, pool)

    @staticmethod
    def experts(rows, weight, gate, up, down):
        """rows [E, C, D] bf16, weight [E, C]: each expert's own tokens through it, times their gates"""
        low = torch.bfloat16
        a = F.silu(torch.bmm(rows, gate[:-1].to(low).transpose(1, 2)))
        a = a * torch.bmm(rows, up[:-1].to(low).transpose(1, 2)) * weight[..., None].to(low)
        return torch.bmm(a, down[:-1].to(low).transpose(1, 2))

    @staticmethod
    def shared(x, h, y, gate, up, down):
        low = torch.bfloat16
        a = F.silu(h @ gate[-1].to(low).t()) * (h @ up[-1].to(low).t())
        return x + (a @ down[-1].to(low).t()).float() + y.float()

    def dense(self, x, cos, sin):
        return self.mlp[0](self.attn[0](x, cos, sin))

    def part(self, name):
        return self.parts.get(name) or getattr(self, name)

    def layer(self, i, x, cos, sin, bias, pool):
        """One MoE layer. Returns x and (mean gates, load, z, chosen)."""
        c = self.cfg
        x, h, gate, chosen, mean, load, z = self.part("front")(i, x, cos, sin, bias, pool)
        token, choice, slot, cap = place(chosen.flatten(0, 1), c.experts, self.drop)
        rows = Gather.apply(h.flatten(0, 1), token, slot)
        at = F.pad(gate.reshape(-1), (0, 1)).index_select(0, choice)
        m = self.mlp[i]
        y = self.part("experts")(rows.view(c.experts, cap, -1), at.view(c.experts, cap), m.gate, m.up, m.down)
        y = Combine.apply(y.flatten(0, 1), token, slot).view_as(x)
        return self.part("shared")(x, h, y, m.gate, m.up, m.down), (mean, load, z, chosen)

    def hidden(self, ids, pool=None, bias=None):
        """ids [B, S]; bias None or [layers-1, 1 or B, 1, E]. Returns normed [B, S, D], stats by layer."""
        cos, sin = rope_table(self.cfg, ids.shape[1], ids.device)
        x = self.part("dense")(F.embedding(ids, self.embed), cos, sin)
        stats = []
        for i in range(1, self.cfg.layers):
            b = torch.zeros(1, 1, self.cfg.experts, device=ids.device) if bias is None else bias[i - 1]
            x, stat = self.layer(i, x, cos, sin, b, pool)
            stats.append(stat)
        return norm(x, self.norm, self.cfg.eps), stats

    def loss(self, ids, targets, pool=None, bias=None):
        h, stats = self.hidden(ids, pool, bias)
        return Head.apply(h.flatten(0, 1), self.head, targets.flatten()), stats
