#!/usr/bin/env python3
"""The baseline beside docs/results/temporal.md: the nearest neighbour by dynamic time warping.

    pip install aeon==1.6.0
    python scripts/dtw_baseline.py DIR [DATASET…]

DIR holds what scripts/datasets-from-packages.sh wrote. Each series of the test set gets the class of the
training series that is nearest by DTW without a window (of several channels: one path for all, "dependent"),
series as they are, of whatever length. Written with aeon 1.6.0.
"""

import sys
from pathlib import Path

import numpy as np
from aeon.datasets import load_from_ts_file
from aeon.distances import dtw_distance

NAMES = ["JapaneseVowels", "BasicMotions", "GunPoint", "ArrowHead", "PickupGestureWiimoteZ"]


def main():
    folder = Path(sys.argv[1])
    for name in sys.argv[2:] or NAMES:
        (x, y), (x_test, y_test) = (
            load_from_ts_file(str(folder / name / f"{name}_{part}.ts")) for part in ("TRAIN", "TEST")
        )
        right = 0
        for sample, label in zip(x_test, y_test):
            distances = [dtw_distance(np.asarray(sample, float), np.asarray(other, float)) for other in x]
            right += y[int(np.argmin(distances))] == label
        print(f"{name}: {right / len(x_test):.4f} of {len(x_test)}, {len(x)} to compare with", flush=True)


if __name__ == "__main__":
    main()
