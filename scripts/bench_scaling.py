#!/usr/bin/env python3
"""How mbspike's training step grows with threads, T, width, precision and checkpointing.

    cargo build --release
    python3 scripts/bench_scaling.py

Prints Markdown tables of `mbspike bench step`, the settings of a table taking turns; the times are
medians over the rounds of the rounds' medians, the ratios are taken within a round. Networks are fresh:
to train one of each width and length first would take hours, and a step takes the same time after.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent


def step(args, settings, threads):
    command = [str(args.mbspike), "bench", "step", "--config", str(ROOT / "configs/quickstart.toml"),
               "--json", "--steps", str(args.steps), "--warm-up", "0"]
    for setting in ("sweep.neuron.bits=[2]", "encoder.time_steps=10", "train.loss=cross-entropy", *settings):
        command += ["--set", setting]
    run = subprocess.run(command, check=True, capture_output=True, text=True,
                         env=dict(os.environ, RAYON_NUM_THREADS=str(threads)))
    return json.loads(run.stdout)


def table(args, title, rows):
    """Rows are (name, settings, threads); ratios are to the first."""
    rounds = [[step(args, settings, threads) for _, settings, threads in rows]
              for _ in range(args.rounds)]
    print(f"\n| {title} | step (ms) | times the first (min–max) | forward (ms) | peak memory (MB) |")
    print("|---|---|---|---|---|")
    for i, (name, _, _) in enumerate(rows):
        ratios = sorted(r[i]["median_s"] / r[0]["median_s"] for r in rounds)
        median = {key: statistics.median(r[i][key] for r in rounds)
                  for key in ("median_s", "forward_s", "peak_rss_bytes")}
        print(f"| {name} | {1e3 * median['median_s']:.1f} "
              f"| {statistics.median(ratios):.2f} ({ratios[0]:.2f}–{ratios[-1]:.2f}) "
              f"| {1e3 * median['forward_s']:.1f} | {median['peak_rss_bytes'] / 1e6:.0f} |",
              flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mbspike", default=ROOT / "target/release/mbspike")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=5)
    args = parser.parse_args()
    cores = os.cpu_count()
    usual = ("train.batch_size=128", "encoder.time_steps=10")
    table(args, "bits", [(bits, (*usual, f"sweep.neuron.bits=[{bits}]"), cores)
                         for bits in (1, 2, 4, 8)])
    table(args, "threads", [(n, usual, n) for n in sorted({1, 2, cores // 2, cores}) if n])
    table(args, "precision, execution", [
        (f"{precision}, {execution}",
         (*usual, f"train.precision={precision}", f"network.execution={execution}"), cores)
        for precision, execution in (("f32", "fused"), ("bf16", "fused"), ("f32", "layered"))])
    table(args, "T, batch 16", [(t, ("train.batch_size=16", f"encoder.time_steps={t}"), cores)
                                for t in (10, 100, 1000)])
    table(args, "T = 1,000, batch 16", [
        (name, ("train.batch_size=16", "encoder.time_steps=1000", *settings), cores)
        for name, settings in (("all steps kept", ()),
                               ("checkpoints every 100 steps", ("network.checkpoint_steps=100",)),
                               ("checkpoints every 32 steps", ("network.checkpoint_steps=32",)),
                               ("checkpoints every 10 steps", ("network.checkpoint_steps=10",)))])
    table(args, "convolutions", [
        (f"{a}, {b} channels", (*usual, f"network.arch=28x28-{a}c5-2a-{b}c5-2a-10o"), cores)
        for a, b in ((8, 16), (16, 32), (32, 64), (64, 128))])


if __name__ == "__main__":
    main()
