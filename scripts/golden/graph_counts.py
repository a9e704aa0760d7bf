#!/usr/bin/env python3
"""Writes reference files of kind `graph-counts`: synaptic operations of networks beyond a row of plain
layers (strides, groups, residual sums, recurrent edges, counted and signed spikes), counted by
SpikingJelly's `SynOpCounter` on each layer of weights, in double precision.

    pip install torch spikingjelly safetensors
    python scripts/golden/graph_counts.py crates/mbspike-experiments/tests/golden

The networks are those of `graphs.py`; `config` in the metadata is the text of `[network]` and `[neuron]`. For
each layer of weights, as strings in the metadata: `<layer>.events`, the operations that the counter finds
when the layer is given the 0/1 mask of its input, as the counter takes spikes of value 1 alone; for each
layer of neurons `<neurons>.sent`, the outputs that are not zero. A recurrent edge, `<neurons>.recurrent`, is
a linear layer that reads the spikes of the step before.
Versions used last: torch 2.15, spikingjelly 2.0; seeds below.
"""
import pathlib
import sys

import torch
from safetensors.torch import save_file
from spikingjelly.activation_based import functional, layer
from spikingjelly.activation_based.op_counter import SynOpCounter

from graphs import B, T, cases, drawn
from operation_counts import count

NAMES = ["stride", "groups", "residual_spikes", "recurrent", "layer_bits", "ilif", "ternary", "five_levels"]


def events(module, x_seq):
    return str(count(SynOpCounter(), module, (x_seq != 0).double()))


def main(folder):
    for seed, (name, arch, neurons, (h, w, c), _, net) in enumerate(cases()):
        if name not in NAMES:
            continue
        net = drawn(net, 300 + seed).eval()
        x_seq = (torch.rand(T, B, c, h, w) < 0.5).double()
        seen = {}
        hooks = [
            m.register_forward_hook(lambda _m, i, o, n=n: seen.update({n: (i[0], o)}))
            for n, m in net._modules.items()
        ]
        with torch.no_grad():
            net(x_seq.flatten(2) if h == 1 else x_seq)
        for hook in hooks:
            hook.remove()
        functional.reset_net(net)

        metadata = {"kind": "graph-counts"}
        metadata["config"] = f'[network]\narch = "{arch}"\n[neuron]\n{neurons}'
        for n, m in net._modules.items():
            if n not in seen:
                continue
            x, y = seen[n]
            if n.startswith(("conv", "fc")):
                metadata[f"{n}.events"] = events(m, x)
            elif n.startswith("lif"):
                metadata[f"{n}.sent"] = str(int(y.count_nonzero()))
                if getattr(m, "recurrent", None) is not None:
                    edge = layer.Linear(*m.recurrent.shape, bias=False, step_mode="m").double()
                    before = torch.cat([torch.zeros_like(y[:1]), y[:-1]])
                    metadata[f"{n}.recurrent.events"] = events(edge, before)
        out = {n: p.detach().float().clone().contiguous() for n, p in net.named_parameters()}
        out["x_seq"] = x_seq.to(torch.uint8)
        path = pathlib.Path(folder) / f"graph_counts_{name}.safetensors"
        save_file(out, path, metadata)
        print(path.name, {k: v for k, v in metadata.items() if k not in ("kind", "config")})


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else ".")
