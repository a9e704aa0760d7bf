#!/usr/bin/env python3
"""Writes one recording in the formats of event cameras, with the programs of others.

    pip install numpy expelliarmus dv-processing
    python scripts/golden/event_formats.py crates/mbspike-data/tests/cases/formats

Written with numpy 2.4.6, expelliarmus 1.1.12 and dv-processing 2.0.4, seed 7. `truth.csv` holds the events.
Each file is read back by the program that wrote it, and the AEDAT 4
files by the package `aedat` too, where it is installed.
"""

import sys
from pathlib import Path

import dv_processing as dv
import numpy as np
from expelliarmus import Wizard

N, WIDTH, HEIGHT = 150, 64, 48


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(7)
    events = np.empty(N, dtype=[("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "u1")])
    events["t"] = np.sort(random.integers(0, 40_000, N))
    # No EVT 3: expelliarmus 1.1.12 writes the high part of the time once only, which no camera does.
    events["x"] = random.integers(0, WIDTH, N)
    events["y"] = random.integers(0, HEIGHT, N)
    events["p"] = random.integers(0, 2, N)
    rows = [f"{e['t']},{e['x']},{e['y']},{e['p']}" for e in events]
    (folder / "truth.csv").write_text("\n".join(["t,x,y,p", *rows, ""]))

    for encoding, name in [("dat", "e.dat"), ("evt2", "evt2.raw")]:
        path = folder / name
        path.unlink(missing_ok=True)
        Wizard(encoding=encoding).save(fpath=str(path), arr=events)
        reader = Wizard(encoding=encoding)
        reader.set_file(str(path))
        back = reader.read()
        for field in events.dtype.names:
            assert np.array_equal(back[field], events[field]), (encoding, field)

    for name, compression in [
        ("none", dv.CompressionType.NONE),
        ("lz4", dv.CompressionType.LZ4),
        ("zstd", dv.CompressionType.ZSTD),
    ]:
        path = folder / f"{name}.aedat4"
        config = dv.io.MonoCameraWriter.EventOnlyConfig("made", (WIDTH, HEIGHT), compression)
        writer = dv.io.MonoCameraWriter(str(path), config)
        store = dv.EventStore()
        for t, x, y, p in events.tolist():
            store.push_back(t, x, y, bool(p))
        writer.writeEvents(store)
        del writer
        back = dv.io.MonoCameraRecording(str(path)).getNextEventBatch().numpy()
        assert np.array_equal(back["timestamp"], events["t"]), name
        compare_with_aedat(path, events)


def compare_with_aedat(path: Path, events: np.ndarray) -> None:
    try:
        import aedat
    except ImportError:
        return
    times = [p["events"]["t"] for p in aedat.Decoder(str(path)) if "events" in p]
    assert np.array_equal(np.concatenate(times), events["t"].astype("u8")), path


if __name__ == "__main__":
    main(Path(sys.argv[1]))
