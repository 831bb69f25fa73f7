"""bench_machine - what the benchmarks say of the machine they ran on, and where they keep their CSV."""
import os
import pathlib
import platform
import re

ROOT = pathlib.Path(__file__).resolve().parents[1]


def machine():
    """CPU, the instructions that matter here, processors, memory in GB."""
    model, flags = platform.machine(), []
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
        if line.startswith(("flags", "Features")):
            flags = line.split()
    has = [name for name in ("asimd", "avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in flags]
    memory = next(line for line in open("/proc/meminfo") if line.startswith("MemTotal")).split()[1]
    return {"cpu": model, "instructions": " ".join(has), "processors": os.cpu_count(), "memory_gb": round(int(memory) * 1024 / 1e9, 1)}


def csv_path(what, about):
    name = re.sub(r"[^a-z0-9]+", "-", about["cpu"].lower()).strip("-")
    return ROOT / f"notebooks-data/bench/{what}-{name}-{about['processors']}.csv"
