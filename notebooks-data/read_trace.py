#!/usr/bin/env python3
"""A trace in ten lines of h5py: which experts the documents of each subset prefer.

usage: python3 notebooks-data/read_trace.py run.trace.h5
"""
import sys

import h5py
import numpy as np

with h5py.File(sys.argv[1]) as trace:
    counts = trace["samples/counts"][:].astype(float)  # (N,L,E): how often each expert was chosen
    subset = trace["samples/subset"][:]  # (N)
    names = h5py.check_enum_dtype(trace["samples/subset"].dtype)  # {name: number}
    layers = trace["layer"][:]  # (L): numbers of the model's layers
    print(trace.attrs["model"].decode(), "-", len(counts), "documents,", counts.shape[1:], "layers and experts")

usage = counts / counts.sum(axis=(1, 2), keepdims=True)  # a document's usage vector sums to 1
for name, number in names.items():
    lift = usage[subset == number].mean(axis=0) / (usage.mean(axis=0) + 1e-9)  # (L,E)
    layer, expert = np.unravel_index(lift.argmax(), lift.shape)
    print(f"{name:24} expert {expert:3} of layer {layers[layer]:2}, chosen {lift.max():.1f} times as often as on average")
