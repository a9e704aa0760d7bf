#!/usr/bin/env python3
"""Networks of Loihi 2's numbers as Lava's Python models compute them.

    python3.10 -m venv lava && lava/bin/pip install lava-nc==0.10.0 safetensors
    lava/bin/python scripts/golden/loihi.py crates/mbspike-lif/tests/golden/loihi.safetensors

Dense connections and binary neurons are Lava's own (`lava.proc.dense`, `lava.proc.lif`, `fixed_pt`); graded
neurons and convolutions are the process models that `mbspike export --format loihi` writes, imported from
the source tree. The convolution is compared here with Lava's own (`lava.proc.conv`), sums that wrap
included. For each network `<name>`: its header as JSON in the metadata, `<name>.<layer>.weight` (I16),
`.bias` (I32), `<name>.x` `[T, C, H, W]`, `<name>.y` `[T + layers, n]`, and the membranes after each step
`<name>.<layer>.v`. Written last with lava-nc 0.10.0, numpy 1.26.4; seeds are in the code.
"""
import importlib.util
import json
import pathlib
import sys

import numpy as np
from safetensors.numpy import save_file

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SOURCE = ROOT / "crates/mbspike-experiments/src/exchange/lava_network.py"
spec = importlib.util.spec_from_file_location("lava_network", SOURCE)
lava_network = importlib.util.module_from_spec(spec)
sys.modules["lava_network"] = lava_network
spec.loader.exec_module(lava_network)


def layer(rng, name, given, output, fire, kernel=None, stride=1, padding=0, du=4095, dv=2048, shift=6,
          bias=0, largest=254):
    """A layer with random even weights; a convolution where a kernel is given."""
    is_dense = kernel is None
    side = list(given[1:]) if is_dense else [kernel, kernel]
    weight = 2 * rng.integers(-largest // 2, largest // 2 + 1, (output[0], given[0], *side))
    return {
        "name": name, "input": list(given), "output": list(output), "kernel": side, "stride": stride,
        "padding": padding, "is_dense": is_dense, "unit": 1.0,
        "cell": {"du": du, "dv": dv, "shift": shift, "bias_exp": 6, "fire": fire},
        "weight": weight.astype(np.int32),
        "bias": rng.integers(-bias, bias + 1, output[0]).astype(np.int32),
    }


def networks():
    binary = lambda vth: {"kind": "binary", "vth": vth}
    graded = lambda level, levels, soft=True: {
        "kind": "staircase", "level": level, "levels": levels, "soft": soft,
    }
    rng = np.random.default_rng(21)
    yield "binary", 1, [
        layer(rng, "conv1", (2, 6, 6), (3, 6, 6), binary(300), kernel=3, padding=1, bias=60),
        layer(rng, "conv2", (3, 6, 6), (4, 3, 3), binary(350), kernel=4, stride=2, padding=1, dv=1024),
        layer(rng, "fc1", (4, 3, 3), (6, 1, 1), binary(200), du=2047, dv=1365, bias=90),
        layer(rng, "fc2", (6, 1, 1), (5, 1, 1), binary(120), du=1023),
    ], rng
    yield "graded", 7, [
        layer(rng, "conv1", (1, 8, 8), (3, 8, 8), graded(500, 3), kernel=5, padding=2, bias=100),
        layer(rng, "conv2", (3, 8, 8), (4, 4, 4), graded(900, 15), kernel=6, stride=2, padding=2, shift=4),
        layer(rng, "fc1", (4, 4, 4), (8, 1, 1), graded(2000, 7, soft=False), shift=3, dv=3000),
        layer(rng, "fc2", (8, 1, 1), (5, 1, 1), graded(700, 1), du=2047),
    ], rng
    # Sums, currents and membranes beyond 24 bits.
    yield "overflowing", 120, [
        layer(rng, "conv1", (40, 6, 6), (3, 6, 6), graded(9000, 7), kernel=5, padding=2, du=1023),
        layer(rng, "fc1", (3, 6, 6), (8, 1, 1), graded(1500, 15), du=255, dv=64),
        layer(rng, "fc2", (8, 1, 1), (5, 1, 1), binary(3000), du=255, dv=64, bias=4000),
    ], rng


def check_convolution():
    """`Conv2d` against `lava.proc.conv`, which has maps `[x, y, channel]` and kernels `[out, x, y, in]`."""
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.proc.conv.process import Conv
    from lava.proc.io.sink import RingBuffer as Sink
    from lava.proc.io.source import RingBuffer as Source

    rng = np.random.default_rng(3)
    weight = 2 * rng.integers(-128, 128, (4, 60, 5, 5)).astype(np.int32)
    x = rng.integers(0, 30_000, (60, 9, 9, 4)).astype(np.int32)
    results = []
    for kind in ["here", "lava"]:
        if kind == "here":
            source = Source(data=x)
            conv = lava_network.Conv2d(
                weight=weight, shape_in=(60, 9, 9), shape_out=(4, 5, 5), stride=2, padding=2
            )
        else:
            source = Source(data=x.transpose(2, 1, 0, 3))
            # Lava turns kernels around, as `netx` does before.
            kernel = weight[:, :, ::-1, ::-1].transpose(0, 3, 2, 1)
            conv = Conv(weight=kernel, input_shape=(9, 9, 60), stride=(2, 2),
                        padding=(2, 2), num_message_bits=24)
        sink = Sink(shape=conv.a_out.shape, buffer=5)
        source.s_out.connect(conv.s_in)
        conv.a_out.connect(sink.a_in)
        sink.run(condition=RunSteps(num_steps=5), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
        y = sink.data.get()
        sink.stop()
        results.append(y if kind == "here" else y.transpose(2, 1, 0, 3))
    here, there = results
    assert (here == there).all(), "the convolution differs from Lava's"
    exact = np.abs(weight.astype(np.int64)).sum(axis=(1, 2, 3)).max() * 30_000
    print(f"convolution as lava.proc.conv, {(here != 0).sum()} sums, up to {exact / 2**23:.0f} times 2^23")


def main():
    check_convolution()
    out, headers = {}, {}
    for name, largest, layers, rng in networks():
        codes = rng.integers(0, largest + 1, (20, *layers[0]["input"])).astype(np.int32)
        codes[rng.random(codes.shape) < 0.6] = 0
        membranes = []
        payloads = lava_network.run(layers, codes, membranes)
        # What is saved must lie row by row.
        out[f"{name}.x"] = np.ascontiguousarray(codes)
        out[f"{name}.y"] = np.ascontiguousarray(payloads.astype(np.int32))
        header = []
        for part, v in zip(layers, membranes):
            part = dict(part)
            out[f"{name}.{part['name']}.weight"] = np.ascontiguousarray(part.pop("weight"), np.int16)
            out[f"{name}.{part['name']}.bias"] = part.pop("bias")
            out[f"{name}.{part['name']}.v"] = np.ascontiguousarray(v.reshape(len(v), -1)).astype(np.int32)
            header.append(part)
        headers[name] = json.dumps({
            "layers": header, "readout": "mean-spike", "group": 1, "input_step": 1.0,
            "largest_input": largest, "synaptic_delay": True,
        })
        fired = [int((v != 0).mean() * 100) for v in membranes]
        print(f"{name}: payloads {np.bincount(payloads.flat)}, membranes not 0 in % {fired}")
    save_file(out, sys.argv[1], metadata=headers)


if __name__ == "__main__":
    main()
