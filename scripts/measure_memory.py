#!/usr/bin/env python3
"""The estimate of a run's peak memory against what the run takes.

    cargo build --release && python3 scripts/measure_memory.py target/release/mbspike

The configs are none of those that the constants in `mbspike-lif/src/memory.rs` and
`mbspike-experiments/src/memory.rs` were fitted to. Prints a table in Markdown; ends with 1 if an estimate
is further off than the share given with `--within`.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

CONFIG = """
name = "memory"
seed = 5
[dataset]
name = "fashion-mnist-subset"
train_size = {train_size}
test_size = {test_size}
[encoder]
kind = "poisson"
time_steps = {time_steps}
[network]
arch = "{arch}"
[neuron]
bits = {bits}
[train]
epochs = 1
batch_size = {batch_size}
optimizer = {{ kind = "adam", lr = 1e-3 }}
"""

# What it is, network, time steps, batch size, bits, more settings.
CASES = [
    ("fused", "28x28-16c5-2a-32c5-2a-10o", 30, 256, 3, []),
    ("fused, segments of steps", "28x28-16c5-2a-32c5-2a-10o", 200, 128, 4, ["network.checkpoint_steps=8"]),
    ("dense", "28x28-1000-500-10o", 24, 256, 2, []),
    ("batch norm", "28x28-20c3-bn-2a-40c3-bn-2a-10o", 8, 160, 2, []),
    ("batch norm without pooling", "28x28-16c3-bn-8c3-bn-10o", 6, 128, 2, []),
    ("residual", "28x28-8c3-res(8c3-bn-8c3-bn)-2a-16c3-bn-7a-10o", 6, 96, 2, []),
    ("averaged weights, bf16", "28x28-8c5-2a-16c5-2a-256-10o", 40, 256, 8, ["train.ema=0.99", "train.precision=bf16"]),
    ("double precision", "28x28-6c5-2a-12c5-2a-10o", 10, 160, 2, ["train.precision=f64"]),
    ("layered", "28x28-12c3-2a-24c3-2a-128-10o", 10, 160, 2, ["network.execution=layered"]),
    ("recurrent", "28x28-4a-600r-10o", 30, 200, 2, []),
    ("synaptic currents", "28x28-10c3-2a-20c3-2a-10o", 8, 96, 2, ["neuron.tau_syn=2.0"]),
    ("rising thresholds", "28x28-200-10o", 20, 256, 2, ["neuron.adaptation={tau=20.0, strength=1.8}"]),
    ("population coding", "28x28x12-8c3-2a-16c3-2a-10o", 8, 200, 2, ["encoder.kind=population", "encoder.neurons=12"]),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", type=Path)
    parser.add_argument("--within", type=float, default=1.0, help="the largest share to be off")
    parser.add_argument("--steps", type=int, default=5, help="training iterations")
    parser.add_argument("--repeats", type=int, default=3, help="runs, the largest of which counts")
    options = parser.parse_args()
    program, worst = options.program.resolve(), 0.0
    print("| run | network | T | batch | estimate (MiB) | peak (MiB) | off |")
    print("|---|---|---|---|---|---|---|")
    for name, arch, time_steps, batch_size, bits, more in CASES:
        with tempfile.TemporaryDirectory() as folder:
            config = Path(folder) / "memory.toml"
            sizes = {"train_size": batch_size * options.steps, "test_size": batch_size}
            values = {"arch": arch, "time_steps": time_steps, "batch_size": batch_size, "bits": bits}
            config.write_text(CONFIG.format(**values, **sizes))
            settings = [part for key in more for part in ("--set", key)]
            say = subprocess.run(
                [program, "check", config, "--json", *settings], capture_output=True, text=True
            )
            if say.returncode:
                sys.exit(f"{name}: {say.stderr}")
            estimate = find(json.loads(say.stdout), "peak_bytes")
            run = [program, "run", config, "--quiet", "--no-figures", "--out"]
            outs = (str(Path(folder) / str(i)) for i in range(options.repeats))
            peak = max(peak_of([*run, out, *settings]) for out in outs)
        off = estimate / peak - 1.0
        worst = max(worst, abs(off))
        row = [name, f"`{arch}`", time_steps, batch_size]
        row += [f"{estimate / 2**20:.0f}", f"{peak / 2**20:.0f}", f"{100 * off:+.1f} %"]
        print("| " + " | ".join(map(str, row)) + " |", flush=True)
    sys.exit(worst > options.within)


def find(value, key):
    """The first entry of that name in nested JSON."""
    if isinstance(value, dict) and key in value:
        return value[key]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return next((found for part in inner if (found := find(part, key)) is not None), None)


def peak_of(command):
    """The peak resident memory of a command, in bytes, from a process of its own."""
    script = (
        "import resource, subprocess, sys\n"
        "done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
        "sys.exit(done.returncode)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, *command], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    unit = 1 if sys.platform == "darwin" else 1024
    return int(done.stdout) * unit


if __name__ == "__main__":
    main()
