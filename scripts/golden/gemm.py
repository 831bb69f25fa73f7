"""gemm - bf16 products in the one defined order (engine/cpu/kernels.h), by exact rational arithmetic.

Per block of 32 along K: one chain of fused multiply-adds over the even and one over the odd indices, both from +0; then
c = c + (even + odd). Every step is rounded once to f32 (nearest even); inputs and results below 2^-126 become zero of the
same sign. Nothing here uses the processor's own fp32, so flags and instruction sets cannot matter.
"""

import math
from fractions import Fraction

import numpy as np
import torch

from . import common

BLOCK = 32
CASES = {  # name: (M, N, K, kind)
    "one-block": (1, 16, 32, "normal"),
    "tail": (3, 5, 33, "normal"),
    "odd-sizes": (7, 17, 100, "normal"),
    "short": (2, 3, 7, "normal"),
    "cancelling": (4, 6, 96, "cancelling"),
    "tiny": (4, 6, 64, "tiny"),
    "wide-range": (4, 6, 96, "wide"),
}
SMALLEST = Fraction(1, 1 << 126)


def round_f32(x):
    """The f32 nearest to a non-zero Fraction, ties to even; below 2^-126 after rounding: zero of its sign. No overflow."""
    sign, x = (-1.0 if x < 0 else 1.0), abs(x)
    exponent = x.numerator.bit_length() - x.denominator.bit_length()
    if Fraction(2) ** exponent > x:
        exponent -= 1
    unit = Fraction(2) ** (exponent - 23)
    value = round(x / unit) * unit  # Python rounds halves of a Fraction to even
    return math.copysign(0.0, sign) if value < SMALLEST else sign * float(value)


def fma(a, b, c):
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    return round_f32(exact) if exact else a * b + c  # a zero's sign as IEEE has it


def add(a, b):
    return fma(a, 1.0, b)


def flush(x):
    """bf16 or f32 inputs below the smallest normal number are read as zero of their sign."""
    return math.copysign(0.0, x) if abs(x) < float(SMALLEST) else float(x)


def product(row, column):
    c = 0.0
    for start in range(0, len(row), BLOCK):
        chain = [0.0, 0.0]
        for k in range(start, min(start + BLOCK, len(row))):
            chain[k % 2] = fma(row[k], column[k], chain[k % 2])
        c = add(c, add(chain[0], chain[1]))
    return c


def to_bf16(x):
    """f32 -> bf16, nearest even, by integer arithmetic on the bits (no NaN here)."""
    bits = x.astype(np.float32).view(np.uint32).astype(np.uint64)
    return (((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16) & 0xFFFF).astype(np.uint16)


def from_bf16(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


def inputs(rng, rows, k, kind):
    x = rng.standard_normal((rows, k))
    if kind == "cancelling":
        x[:, k // 2 :] = -x[:, : k - k // 2] * (1.0 + 2.0**-7 * rng.integers(0, 2, size=(rows, k - k // 2)))
    elif kind == "tiny":  # products around 2^-126, some inputs below it, zeros of both signs
        x *= 2.0 ** rng.integers(-70, -60, size=x.shape)
        x[:, ::9] = 2.0**-130
        x[:, 4::9] = -0.0
    elif kind == "wide":
        x *= 2.0 ** rng.integers(-20, 21, size=x.shape)
    return x.astype(np.float32)


def make(out):
    """Writes gemm/bf16.safetensors: CASE.a f32 [M,K], CASE.a_bf16, CASE.w bf16 [N,K], CASE.out f32 [M,N]."""
    from safetensors.torch import save_file

    tensors, info = {}, {"versions": common.versions("numpy", "torch"), "cases": {}}
    for i, (name, (m, n, k, kind)) in enumerate(CASES.items()):
        rng = np.random.Generator(np.random.PCG64(500 + i))
        a = inputs(rng, m, k, kind)
        a[0, : min(3, k)] = [1.00390625, 1.01171875, -1.00390625][: min(3, k)]  # halfway between two bf16
        a_bits = to_bf16(a)
        w_bits = to_bf16(inputs(rng, n, k, "normal" if kind == "cancelling" else kind))
        rows = [[flush(v) for v in row] for row in from_bf16(a_bits)]
        columns = [[flush(v) for v in column] for column in from_bf16(w_bits)]
        result = np.array([[product(row, column) for column in columns] for row in rows], dtype=np.float32)
        exact = from_bf16(a_bits).astype(np.float64) @ from_bf16(w_bits).astype(np.float64).T
        info["cases"][name] = {"kind": kind, "zeros": int((result == 0).sum()),
                               "not_correctly_rounded": int((result != exact.astype(np.float32)).sum())}
        tensors[f"{name}.a"] = torch.from_numpy(a)
        tensors[f"{name}.a_bf16"] = torch.from_numpy(a_bits.view(np.int16)).view(torch.bfloat16)
        tensors[f"{name}.w"] = torch.from_numpy(w_bits.view(np.int16)).view(torch.bfloat16)
        tensors[f"{name}.out"] = torch.from_numpy(result)
    folder = out / "gemm"
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "bf16.safetensors")
    (folder / "bf16.safetensors").chmod(0o644)
    common.write_json(folder / "bf16.json", info)
    print("gemm:", info["cases"])
