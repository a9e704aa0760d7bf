#!/usr/bin/env python3
"""Event files of runs as TensorBoard reads them, against metrics.jsonl.

    pip install tensorboard 'setuptools<81'
    mbspike run configs/smoke.toml --set train.tensorboard=true
    python3 scripts/check_tensorboard.py runs/smoke

Takes folders of runs, or of folders of runs. Every number of every record must be there once, under
its tag and step, as the nearest single-precision number, and nothing else. Exits with 1 if not, or
if there is no event file. Used last with tensorboard 2.21.
"""
import argparse
import collections
import json
import pathlib
import struct
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

PLACES = {"record", "epoch", "iteration", "n_iterations"}


def single(value):
    return struct.unpack("f", struct.pack("f", value))[0]


def recorded(run):
    """Tag to (step, value) of each record, from metrics.jsonl."""
    positions = json.loads((run / "summary.json").read_text())["positions"]
    scalars = collections.defaultdict(list)
    for line in (run / "metrics.jsonl").read_text().splitlines():
        record = json.loads(line)
        for field in record.keys() - PLACES:
            tag, value = f"{record['record']}/{field}", record[field]
            named = zip(positions, value) if isinstance(value, list) else [(None, value)]
            for position, number in named:
                key = tag if position is None else f"{tag}/{position}"
                scalars[key].append((record["iteration"], single(number)))
    return dict(scalars)


def read_by_tensorboard(folder):
    # Without size_guidance TensorBoard keeps a sample of the events.
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    assert sum(map(bool, (v for k, v in events.Tags().items() if k != "scalars"))) == 0
    tags = events.Tags()["scalars"]
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in tags}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=pathlib.Path)
    runs = [file.parents[1] for f in parser.parse_args().folders
            for file in sorted(f.glob("**/tensorboard/events.out.tfevents.*"))]
    failed = not runs
    for run in runs:
        expected, read = recorded(run), read_by_tensorboard(run / "tensorboard")
        wrong = [tag for tag in expected.keys() | read.keys() if expected.get(tag) != read.get(tag)]
        n_scalars = sum(map(len, read.values()))
        print(f"{run}: {len(read)} tags, {n_scalars} scalars", f"WRONG: {wrong}" if wrong else "agree")
        failed |= bool(wrong) or not read
    sys.exit("no event file" if not runs else int(failed))


if __name__ == "__main__":
    main()
