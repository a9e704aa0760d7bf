#!/usr/bin/env python3
"""Whether a step takes as long after five epochs as at the start: last hundred steps against the first.

Trains the thesis's network on the whole of Fashion-MNIST for five epochs, with both losses, 1, 2 and
8 bits, three time constants, with and without decay of the input; times a hundred steps of the fresh
network and of the trained one on the same batch (`mbspike bench step`), and says whether any step of
the training met a subnormal number, over which some processors take their time (the processor's own
flags, x86-64). Needs nothing but Python and the program:

    cargo build --release
    python3 scripts/bench_trained_steps.py target/release/mbspike
"""

import argparse
import itertools
import json
import os
import subprocess

LOSSES = ["cross-entropy", "mse"]
DECAYS = ["false", "true"]
TAUS = [2, 1.25, 20]
BITS = [1, 2, 8]
N_TRAINING_IMAGES = 60_000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("program")
    parser.add_argument("--config", default="configs/thesis/accuracy-fashion-mnist.toml")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--skip", type=int, default=0, help="rows that an earlier run printed")
    args = parser.parse_args()
    n_warm_up = args.epochs * -(-N_TRAINING_IMAGES // args.batch)
    print("| loss | decay of the input | τ | bits | first (ms) | last (ms) | last / first | subnormal numbers |")
    print("|---|---|---|---|---|---|---|---|")
    combinations = itertools.product(LOSSES, DECAYS, TAUS, BITS)
    for loss, decay, tau, bits in itertools.islice(combinations, args.skip, None):
        keys = {
            "train.loss": f'"{loss}"',
            "train.batch_size": args.batch,
            "neuron.decay_input": decay,
            "neuron.tau": float(tau),
            "sweep.neuron.bits": [bits],
        }
        sets = [word for key, value in keys.items() for word in ("--set", f"{key}={value}")]
        command = [args.program, "bench", "step", "--config", args.config, "--json", "--steps"]
        command += [str(args.steps), "--warm-up", str(n_warm_up), *sets]
        environment = os.environ | {"RAYON_NUM_THREADS": str(args.threads)}
        output = subprocess.run(command, check=True, capture_output=True, env=environment).stdout
        times = json.loads(output)
        first, last = times["fresh"]["median_s"], times["trained"]["median_s"]
        met = {True: "met", False: "none", None: "unknown"}[times["trained"]["met_subnormals"]]
        row = [loss, "yes" if decay == "true" else "no", tau, bits]
        row += [f"{1e3 * first:.1f}", f"{1e3 * last:.1f}", f"{last / first:.2f}", met]
        print("|", " | ".join(map(str, row)), "|", flush=True)


if __name__ == "__main__":
    main()
