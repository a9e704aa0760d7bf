#!/usr/bin/env python3
"""What `mbspike export --format loihi` writes, run by Lava.

    python3.10 -m venv lava && lava/bin/pip install lava-nc==0.10.0 safetensors h5py
    lava/bin/pip install --no-deps lava-dl==0.6.0
    lava/bin/python scripts/check_loihi.py target/release/mbspike

Trains a binary network with a hard reset and one of 2 bits with a soft one on the images that are part of
the program, directly encoded; exports them; runs the `.net` file by lava-dl's `netx` and the tensors by the
process model beside them on a few test images; and compares each image's class with `mbspike eval --loihi
--synaptic-delay`. Exits with 1 at the first difference. `netx` imports PyTorch for resonate-and-fire
neurons and modules of its own; modules of nothing stand in for those here. For lava-nc 0.10.0, lava-dl 0.6.0.
"""
import gzip
import json
import pathlib
import subprocess
import sys
import tempfile
import types

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
DATA = ROOT / "crates/mbspike-data/data/fashion-mnist-subset"
STEPS, N_IMAGES = 6, 20
CONFIG = f"""
name = "loihi"
seed = 5
[dataset]
name = "fashion-mnist-subset"
[encoder]
kind = "direct"
time_steps = {STEPS}
[network]
arch = "28x28-4c5-2a-8c5-2a-10o"
[neuron]
bits = BITS
reset = "RESET"
[train]
epochs = 1
batch_size = 50
optimizer = {{ kind = "adam", lr = 5e-3 }}
"""


def run(program, folder, *arguments):
    command = [program, *map(str, arguments), "--json", "--quiet"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    return json.loads(done.stdout)


def images():
    """The first images of each class, as `dataset.test_size` takes them, and their labels."""
    with gzip.open(DATA / "t10k-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read()[16:], dtype=np.uint8).reshape(-1, 1, 28, 28)
    with gzip.open(DATA / "t10k-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read()[8:], dtype=np.uint8)
    chosen = np.sort(np.concatenate([np.flatnonzero(labels == k)[:N_IMAGES // 10] for k in range(10)]))
    x = pixels[chosen].astype(np.float32) / np.float32(255)
    # The input's codes: 127 steps up to the largest value.
    return np.rint(x / (np.float32(1) / np.float32(127))).astype(np.int32), labels[chosen]


def by_netx(file, codes):
    stub = types.ModuleType("lava.lib.dl.slayer.neuron.rf")
    stub.neuron_params = None
    for name in ["lava.lib.dl.slayer", "lava.lib.dl.slayer.neuron", "lava.lib.dl.netx.sequential_modules"]:
        sys.modules.setdefault(name, types.ModuleType(name))
    sys.modules.setdefault(stub.__name__, stub)
    from lava.lib.dl.netx import hdf5
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.proc.io.sink import RingBuffer as Sink
    from lava.proc.io.source import RingBuffer as Source

    network = hdf5.Network(net_config=str(file), input_message_bits=8)
    n_steps = STEPS + len(network)
    steps = np.zeros((28, 28, 1, n_steps), dtype=np.int32)
    steps[..., :STEPS] = codes.transpose(2, 1, 0)[..., None]
    source, sink = Source(data=steps), Sink(shape=network.out.shape, buffer=n_steps)
    source.s_out.connect(network.inp)
    network.out.connect(sink.a_in)
    network.run(condition=RunSteps(num_steps=n_steps), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
    payloads = sink.data.get()
    network.stop()
    return payloads[:, len(network):].sum(axis=1)


def by_model(file, codes):
    sys.path.insert(0, str(file.parent))
    import lava_network

    layers, _ = lava_network.load(file)
    payloads = lava_network.run(layers, np.repeat(codes[None], STEPS, axis=0))
    return payloads[len(layers):].sum(axis=0)


def main():
    program = str(pathlib.Path(sys.argv[1]).resolve())
    codes, labels = images()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for bits, reset, name, scores in [(1, "hard", "loihi.net", by_netx), (2, "soft", "loihi.safetensors", by_model)]:
            (folder / "loihi.toml").write_text(CONFIG.replace("BITS", str(bits)).replace("RESET", reset))
            run(program, folder, "run", "loihi.toml", "--no-figures", "--out", reset)
            (where,) = [p.parent for p in (folder / reset).glob("loihi/*/checkpoint.safetensors")]
            written = run(program, folder, "export", where, "--format", "loihi", "--out", folder / name)
            got = np.zeros((10, 10), dtype=int)
            for x, label in zip(codes, labels):
                got[label, int(np.argmax(scores(folder / name, x)))] += 1
            report = run(program, folder, "eval", where, "--loihi", "--synaptic-delay",
                         "--set", f"dataset.test_size={N_IMAGES}")
            expected = np.array(report["confusion"])
            overflows = [layer["overflows"] for layer in report["layers"]]
            print(f"{bits} bits, {reset} reset, {written['format']}: accuracy {np.trace(got) / len(labels)} of "
                  f"{len(labels)} images, {'the same' if (got == expected).all() else 'DIFFERENT'}, {overflows}")
            if (got != expected).any():
                print(expected - got)
                sys.exit(1)


if __name__ == "__main__":
    main()
