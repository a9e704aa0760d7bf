#!/usr/bin/env python3
"""Small HDF5 files in the layouts of published recordings, for the tests of mbspike-data.

    pip install h5py hdf5plugin numpy
    python scripts/golden/hdf5_recordings.py crates/mbspike-data/tests/cases/hdf5

MADE UP: nothing in them is measured, and nothing is taken from the published files. Numbers follow rules that
the tests know (`tests/hdf5.rs`). Written with h5py 3.16 and hdf5plugin 7.1.

`shd_train.h5`, `shd_test.h5` have the layout of the Spiking Heidelberg Digits (Cramer et al. 2020,
https://zenkelab.org/resources/spiking-heidelberg-datasets-shd/): spikes/times and spikes/units are
sequences of float16 seconds and of line numbers. `dsec.h5` and `dsec_blosc*.h5` have that of DSEC's events
(Gehrig et al. 2021), all but the first compressed by Blosc as the published ones, by several codecs. `metavision.h5` has the table of Prophesee's
Metavision.
"""

import sys
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np

CLASSES = ["zero", "one", "null", "eins"]


def n_spikes(sample):
    return 3 * sample + 2


def heidelberg(path, first, n_samples):
    samples = range(first, first + n_samples)
    with h5py.File(path, "w") as file:
        kinds = {"times": np.float16, "units": np.uint16}
        for name, kind in kinds.items():
            rows = file.create_dataset(
                f"spikes/{name}", (n_samples,), dtype=h5py.vlen_dtype(kind)
            )
            for row, sample in enumerate(samples):
                k = np.arange(n_spikes(sample))
                values = k / 1024 if name == "times" else (37 * k + sample) % 700
                rows[row] = values.astype(kind)
        file["labels"] = np.array([sample % len(CLASSES) for sample in samples], np.uint16)
        file["extra/keys"] = np.array([name.encode() for name in CLASSES])
        file["extra/speaker"] = np.zeros(n_samples, np.uint16)


def columns(n):
    k = np.arange(n)
    return {
        "t": (10 * k).astype(np.uint32),
        "x": (k * 7 % 640).astype(np.uint16),
        "y": (k * 5 % 480).astype(np.uint16),
        "p": (k % 2).astype(np.uint8),
    }


def dsec(path, chunk=128, **compression):
    with h5py.File(path, "w") as file:
        for name, values in columns(300).items():
            file.create_dataset(f"events/{name}", data=values, chunks=(chunk,), **compression)
        file["t_offset"] = np.int64(49_599_304_000)
        file["ms_to_idx"] = np.arange(4, dtype=np.uint64)


def metavision(path):
    kind = np.dtype([("x", "<u2"), ("y", "<u2"), ("p", "<i2"), ("t", "<i8")])
    table = np.zeros(300, kind)
    for name, values in columns(300).items():
        table[name] = values
    with h5py.File(path, "w") as file:
        file.create_dataset("CD/events", data=table, chunks=(64,), compression="gzip", shuffle=True)
        file.attrs["geometry"] = "1280x720"
        file.attrs["format"] = "ECF"


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    heidelberg(folder / "shd_train.h5", 0, 12)
    heidelberg(folder / "shd_test.h5", 12, 8)
    dsec(folder / "dsec.h5", compression="gzip")
    dsec(folder / "dsec_blosc.h5", **hdf5plugin.Blosc(cname="zstd"))
    # LZ4 divides a block into a stream for each byte of its numbers.
    dsec(folder / "dsec_blosc_lz4.h5", 300, **hdf5plugin.Blosc(cname="lz4"))
    dsec(folder / "dsec_blosc_zlib.h5", 300, **hdf5plugin.Blosc(cname="zlib", shuffle=0))
    dsec(folder / "dsec_blosclz.h5", 300, **hdf5plugin.Blosc(cname="blosclz"))
    metavision(folder / "metavision.h5")


if __name__ == "__main__":
    main()
