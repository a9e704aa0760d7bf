#!/usr/bin/env python3
"""Writes the NIR files that mbspike-nir's tests read, with the package `nir` itself.

    pip install nir==1.0.8 h5py==3.16.0
    python scripts/golden/nir_files.py crates/mbspike-nir/tests/fixtures

Numbers follow from shapes (`numbers` below), so that the tests can state them again.
"""

import sys
from pathlib import Path

import h5py
import nir
import numpy as np


def numbers(*shape):
    """0, 1/8, 2/8, … in single precision."""
    return (np.arange(np.prod(shape)).reshape(shape) / 8).astype(np.float32)


def full(shape, value):
    return np.full(shape, value, dtype=np.float32)


def all_nodes():
    """One node of each type, in a row where shapes allow it."""
    v = 3
    nodes = {
        "input": nir.Input(np.array([2, 6, 6])),
        "conv2d": nir.Conv2d((6, 6), numbers(4, 2, 3, 3), (1, 1), (1, 1), (1, 1), 1, numbers(4)),
        "lif": nir.LIF(
            full((4, 6, 6), 2e-4), full((4, 6, 6), 2), full((4, 6, 6), 0), full((4, 6, 6), 1),
            full((4, 6, 6), 0.25),
        ),
        "avg": nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "sum": nir.SumPool2d(np.array([3, 3]), np.array([3, 3]), np.array([0, 0])),
        "flatten": nir.Flatten({"input": np.array([4, 1, 1])}, 0, -1),
        "affine": nir.Affine(numbers(v, 4), numbers(v)),
        "cubalif": nir.CubaLIF(
            full(v, 1e-3), full(v, 2e-3), full(v, 1), full(v, 0), full(v, 1), full(v, -0.5), full(v, 3)
        ),
        "linear": nir.Linear(numbers(v, v)),
        "if": nir.IF(full(v, 1e4), full(v, 1), full(v, 0.5)),
        "scale": nir.Scale(numbers(v)),
        "li": nir.LI(full(v, 1e-3), full(v, 1), full(v, 0.125)),
        "threshold": nir.Threshold(numbers(v)),
        "i": nir.I(numbers(v)),
        "cubali": nir.CubaLI(full(v, 1e-3), full(v, 2e-3), full(v, 1), full(v, 0), full(v, 2)),
        "delay": nir.Delay(full(v, 3e-4)),
        "output": nir.Output(np.array([v])),
    }
    names = list(nodes)
    return nir.NIRGraph(nodes, list(zip(names, names[1:])))


def conv1d():
    nodes = {
        "input": nir.Input(np.array([2, 9])),
        "a": nir.Conv1d(9, numbers(4, 2, 3), 2, 1, 1, 1, numbers(4)),
        "b": nir.Conv1d(5, numbers(4, 4, 3), 1, "same", 1, 1, numbers(4)),
        "c": nir.Conv1d(5, numbers(2, 4, 3), 1, "valid", 2, 1, numbers(2)),
        "output": nir.Output(np.array([2, 1])),
    }
    names = list(nodes)
    return nir.NIRGraph(nodes, list(zip(names, names[1:])))


def metadata():
    about = {
        "text": "grüße",
        "integer": 7,
        "number": 0.1,
        "truth": True,
        "flags": np.array([True, False]),
        "list": [1, 2, 3],
        "names": ["a", "bc", ""],
        "array": numbers(2, 3),
        "big": np.arange(4, dtype=">i4"),
        "half": np.array([0.5, 1.5], dtype=np.float16),
        "bytes": np.arange(3, dtype=np.uint8),
        "inner": {"deeper": {"value": 1.5}},
    }
    linear = nir.Linear(numbers(2, 2).astype(np.float64), metadata=about)
    nodes = {"input": nir.Input(np.array([2])), "w": linear, "output": nir.Output(np.array([2]))}
    edges = [("input", "w"), ("w", "output")]
    return nir.NIRGraph(nodes, edges, metadata={"about": "a graph", "dt": 1e-4})


def recurrent():
    n = 3
    nodes = {
        "input": nir.Input(np.array([n])),
        "lif": nir.LIF(full(n, 2e-4), full(n, 2), full(n, 0), full(n, 1), full(n, 0)),
        "w_rec": nir.Linear(-numbers(n, n)),
        "output": nir.Output(np.array([n])),
    }
    edges = [("input", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output")]
    return nir.NIRGraph(nodes, edges)


def nested():
    nodes = {
        "input": nir.Input(np.array([2])),
        "fc": nir.Affine(numbers(3, 2), numbers(3)),
        "rnn": recurrent(),
        "output": nir.Output(np.array([3])),
    }
    edges = [("input", "fc"), ("fc", "rnn"), ("rnn", "output")]
    return nir.NIRGraph(nodes, edges)


def edit(source, target, change):
    """A copy of a file with a change by hand, for what the package itself would not write."""
    target.write_bytes(source.read_bytes())
    with h5py.File(target, "r+") as file:
        change(file["node"])


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    path = lambda name: folder / f"{name}.nir"
    nir.write(path("all_nodes"), all_nodes())
    nir.write(path("all_nodes_plain"), all_nodes(), compression=None)
    nir.write(path("all_nodes_lzf"), all_nodes(), compression="lzf")
    nir.write(path("conv1d"), conv1d())
    nir.write(path("metadata"), metadata())
    nir.write(path("recurrent"), recurrent())
    nir.write(path("nested"), nested())
    nir.write(path("empty"), nir.NIRGraph({}, []))
    nir.write(path("lone_node"), nir.Scale(numbers(2)))

    def unknown_node(node):
        del node["nodes/lif/type"]
        node["nodes/lif"]["type"] = "FancyLIF"

    def unknown_attribute(node):
        node["nodes/lif"]["refractory"] = 3

    def missing_attribute(node):
        del node["nodes/lif/tau"]

    def without_v_reset(node):
        del node["nodes/lif/v_reset"]

    def wrong_shape(node):
        del node["nodes/lif/r"]
        node["nodes/lif"]["r"] = numbers(2)

    def text_for_numbers(node):
        del node["nodes/lif/tau"]
        node["nodes/lif"]["tau"] = "long"

    def loop(node):
        node["nodes/lif/inner"] = node["nodes/lif"]

    def bad_edge(node):
        del node["edges"]
        node["edges"] = [("input", "nowhere")]

    def double_edge(node):
        del node["edges"]
        node["edges"] = [("input", "lif"), ("input", "lif")]

    def huge(node):
        del node["nodes/lif/tau"]
        node["nodes/lif"].create_dataset("tau", shape=(1 << 40,), dtype="f4", chunks=(1 << 10,))

    def bomb(node):
        del node["nodes/lif/tau"]
        zeros = np.zeros(1 << 22, dtype=np.float32)
        node["nodes/lif"].create_dataset("tau", data=zeros, compression="gzip", compression_opts=9)

    def compound(node):
        del node["nodes/lif/tau"]
        node["nodes/lif"]["tau"] = np.zeros(2, dtype=[("a", "f4"), ("b", "i4")])

    for change in [
        unknown_node, unknown_attribute, missing_attribute, without_v_reset, wrong_shape,
        text_for_numbers, loop, bad_edge, double_edge, huge, bomb, compound,
    ]:
        edit(path("recurrent"), path(change.__name__), change)

    many = path("many_nodes")
    scales = {f"scale_{i}": nir.Scale(numbers(2)) for i in range(40)}
    nodes = {"input": nir.Input(np.array([2])), **scales, "output": nir.Output(np.array([2]))}
    names = list(nodes)
    nir.write(many, nir.NIRGraph(nodes, list(zip(names, names[1:]))), compression=None)


if __name__ == "__main__":
    main()
