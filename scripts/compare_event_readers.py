#!/usr/bin/env python3
"""Event recordings read and integrated by mbspike, SpikingJelly and Tonic, side by side.

    cargo build --release
    cargo build --release -p mbspike-data --example integrate_folder
    python3 scripts/compare_event_readers.py FOLDER

FOLDER holds recordings of N-MNIST (.bin files, in folders of any depth). First the frames of every
recording are compared, whole arrays: T in 1, 2, 10, 16 by number and by time against SpikingJelly,
and Tonic's ToFrame by time window, event count, time bins and event bins. Then the three take turns
in reading all files and integrating each into T = 10 frames by number (Tonic: n_event_bins), round
after round; a ratio is taken within a round. Exits with 1 if any frame differs.

Makes a virtual environment with torch, spikingjelly, tonic and safetensors (about 5 GB) under
target/peers unless --python names one that has them.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
T = 10
SENSOR = (34, 34)

# ---------------------------------------------------------------- in the interpreter with the peers


def peers():
    """For each: a function that reads a file, and one that integrates what was read."""
    import importlib.util
    import types

    import numpy as np

    # The package imports torchaudio for its speech data, which needs not be there for its readers.
    package = types.ModuleType("spikingjelly.datasets")
    place = pathlib.Path(importlib.util.find_spec("spikingjelly").origin).parent / "datasets"
    package.__path__ = [str(place)]
    sys.modules["spikingjelly.datasets"] = package
    from spikingjelly.datasets import utils
    from tonic.functional import to_frame_numpy
    from tonic.io import read_mnist_file

    dtype = np.dtype([("x", int), ("y", int), ("t", int), ("p", int)])

    def spikingjelly(events, split, n_frames):
        return utils.integrate_events_by_fixed_frames_number(events, split, n_frames, *SENSOR)

    def tonic(events, **how):
        return to_frame_numpy(events, (SENSOR[1], SENSOR[0], 2), **how)

    return {"spikingjelly": (utils.load_ATIS_bin, spikingjelly),
            "tonic": (lambda file: read_mnist_file(file, dtype), tonic)}


def files_in(folder):
    return sorted(pathlib.Path(folder).rglob("*.bin"))


def worker(name, folder):
    """Goes through the folder once for every line on standard input."""
    read, integrate = peers()[name]
    how = dict(split="number", n_frames=T) if name == "spikingjelly" else dict(n_event_bins=T)
    files = files_in(folder)
    for _ in sys.stdin:
        start, n_events = time.perf_counter(), 0
        for file in files:
            events = read(str(file))
            integrate(events, **how)
            n_events += len(events["t"])
        print(json.dumps({"s": time.perf_counter() - start, "n_recordings": len(files),
                          "n_events": n_events}), flush=True)


def check(folder, program):
    """Compares whole arrays of frames and prints how many agree."""
    import numpy as np
    import tonic
    from safetensors.numpy import load_file

    cases = [("spikingjelly", f"{split}, T = {n}", dict(split=split, n_frames=n),
              ["--split", split, "--time-steps", str(n)])
             for split in ("number", "time") for n in (1, 2, 10, 16)]
    for n in (1, 2, 10, 16):
        for bins in ("time", "event"):
            cases.append(("tonic", f"n_{bins}_bins = {n}", {f"n_{bins}_bins": n},
                          ["--split", f"tonic-{bins}-bins", "--time-steps", str(n)]))
    for incomplete in (False, True):
        more = ["--include-incomplete"] if incomplete else []
        for us, overlap in ((50_000, 0), (30_000, 10_000)):
            cases.append(("tonic", f"time_window = {us}, overlap {overlap}, "
                          f"include_incomplete = {incomplete}",
                          dict(time_window=us, overlap=overlap, include_incomplete=incomplete),
                          ["--split", "tonic-time-window", "--us", str(us), "--overlap",
                           str(overlap)] + more))
        for count, overlap in ((1000, 0), (600, 200)):
            cases.append(("tonic", f"event_count = {count}, overlap {overlap}, "
                          f"include_incomplete = {incomplete}",
                          dict(event_count=count, overlap=overlap, include_incomplete=incomplete),
                          ["--split", "tonic-event-count", "--count", str(count), "--overlap",
                           str(overlap)] + more))
    libraries, n_different = peers(), 0
    version = getattr(tonic, "__version__", "unknown")
    print(f"NumPy {np.__version__}, Tonic {version}")
    print("| library | frames | equal | different | the library fails |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        out = os.path.join(temporary, "frames.safetensors")
        for name, label, how, options in cases:
            read, integrate = libraries[name]
            n_equal = n_unequal = n_failed = 0
            for file in files_in(folder):
                subprocess.run([program, "--quiet", "data", "frames", str(file), "--out", out]
                               + options, check=True, stdout=subprocess.DEVNULL)
                try:
                    theirs = np.asarray(integrate(read(str(file)), **how))
                except IndexError:  # SpikingJelly on a frame without events
                    n_failed += 1
                    continue
                ours = load_file(out)["frames"]
                is_equal = ours.shape == theirs.shape and bool((ours == theirs).all())
                n_equal, n_unequal = n_equal + is_equal, n_unequal + (not is_equal)
            n_different += n_unequal
            print(f"| {name} | {label} | {n_equal} | {n_unequal} | {n_failed} |", flush=True)
    sys.exit(1 if n_different else 0)


# ---------------------------------------------------------------- in any interpreter


class Turn:
    def __init__(self, name, command, **environment):
        kept = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_")}
        self.name = name
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, env=dict(kept, **environment))
        self.once()  # files are in the page cache, libraries are loaded

    def once(self):
        print("", file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended: see its message above")
        return json.loads(line)


def compare(args):
    example = str(ROOT / "target/release/examples/integrate_folder")
    turns = [Turn("mbspike", [example, args.folder, str(T)], RAYON_NUM_THREADS="1")]
    turns.append(Turn(f"mbspike, {os.cpu_count()} threads", [example, args.folder, str(T)],
                      RAYON_NUM_THREADS=str(os.cpu_count())))
    for name in ("spikingjelly", "tonic"):
        turns.append(Turn(name, [str(args.python), __file__, args.folder, "--worker", name]))
    rounds = [{turn.name: turn.once() for turn in turns} for _ in range(args.rounds)]
    n, n_events = (rounds[0]["mbspike"][key] for key in ("n_recordings", "n_events"))
    print(f"{n} recordings, {n_events:.0f} events, {args.rounds} rounds")
    print("| program | ms a recording | times mbspike's time (min–max) |\n|---|---|---|")
    for turn in turns:
        times = [r[turn.name]["s"] / r[turn.name]["n_recordings"] for r in rounds]
        ratios = sorted(r[turn.name]["s"] / r["mbspike"]["s"] for r in rounds)
        print(f"| {turn.name} | {1e3 * statistics.median(times):.4f} "
              f"| {statistics.median(ratios):.2f} ({ratios[0]:.2f}–{ratios[-1]:.2f}) |")
        turn.process.stdin.close()
        turn.process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="recordings of N-MNIST")
    parser.add_argument("--python", help="an interpreter that has the frameworks")
    parser.add_argument("--mbspike", default=ROOT / "target/release/mbspike")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker == "check":
        return check(args.folder, args.mbspike)
    if args.worker:
        return worker(args.worker, args.folder)
    if not args.python:
        folder = ROOT / "target/peers"
        args.python = folder / "bin/python"
        if not args.python.exists():
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([args.python, "-m", "pip", "install", "--quiet", "torch", "spikingjelly",
                        "tonic", "safetensors"], check=True)
    kept = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_")}
    checked = subprocess.run([str(args.python), __file__, args.folder, "--worker", "check",
                              "--mbspike", str(args.mbspike)], env=kept)
    if checked.returncode == 0:
        compare(args)
    sys.exit(checked.returncode)


if __name__ == "__main__":
    main()
