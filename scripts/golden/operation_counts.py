#!/usr/bin/env python3
"""Writes the reference files of kind `operation-counts`: synaptic operations of a small spiking
network, counted by SpikingJelly's operation counters during its forward pass, in double precision.

    pip install torch spikingjelly safetensors
    python scripts/golden/operation_counts.py crates/mbspike-experiments/tests/golden

For each layer of weights (`conv1`, `conv2`, `fc1`), as strings in the metadata:

* `<layer>.synops`: `SynOpCounter` during the network's own forward pass. It counts a layer only if
  its input is all zeros and ones.
* `<layer>.macs`: `MACCounter` likewise: dense multiply-adds of a layer whose input is not.
* `<layer>.events`: `SynOpCounter` given the layer with the 0/1 mask of its input.
* `<layer>.events_before_pool`: the same with the mask of the spikes before the pooling, one of the
  pooled pixels at a time.

Versions used last: torch 2.15, spikingjelly 2.0; seeds below.
"""
import pathlib
import sys

import torch
from safetensors.torch import save_file
from spikingjelly.activation_based import functional
from spikingjelly.activation_based.op_counter import (
    DispatchCounterMode,
    MACCounter,
    SynOpCounter,
)

from network import build

T, B = 4, 3


def count(counter, module, x):
    """What `counter` finds when `module` is given `x`."""
    functional.reset_net(module)
    with torch.no_grad(), DispatchCounterMode([counter]):
        module(x)
    return int(counter.get_total())


def main(folder):
    for bits in (1, 2):
        torch.manual_seed(40 + bits)
        net = build(bits)
        for p in net.parameters():
            p.data = p.data.float().double()
        # Denser to the right and below, so that borders matter.
        ramp = torch.linspace(0.0, 0.6, 28)
        x_seq = (torch.rand(T, B, 1, 28, 28) < ramp[None, :] * ramp[:, None] + 0.05).double()

        sequences = []
        hooks = [
            m.register_forward_hook(lambda _m, i, o: sequences.append((i[0], o))) for m in net
        ]
        with torch.no_grad():
            net(x_seq)
        for hook in hooks:
            hook.remove()

        metadata = {"kind": "operation-counts", "bits": str(bits), "tau": "2.0"}
        for name, index, pool in (("conv1", 0, None), ("conv2", 3, 2), ("fc1", 7, 5)):
            module, inputs = net[index], sequences[index][0]
            mask = (inputs != 0).double()
            metadata[f"{name}.synops"] = str(count(SynOpCounter(), module, inputs))
            metadata[f"{name}.macs"] = str(count(MACCounter(), module, inputs))
            metadata[f"{name}.events"] = str(count(SynOpCounter(), module, mask))
            before = mask
            if pool is not None:
                before = (sequences[pool][0] != 0).double()
                parts = [before[..., y::2, x::2] for y in (0, 1) for x in (0, 1)]
                if name == "fc1":
                    parts = [part.flatten(2) for part in parts]
                events = sum(count(SynOpCounter(), module, part.contiguous()) for part in parts)
            else:
                events = count(SynOpCounter(), module, mask)
            metadata[f"{name}.events_before_pool"] = str(events)
            sent = sequences[index + 1][1]
            metadata[f"{name}.received"] = str(int(before.count_nonzero()))
            metadata[f"{name}.sent"] = str(int(sent.count_nonzero()))

        tensors = {"x_seq": x_seq.to(torch.uint8)}
        for name, index in (("conv1", 0), ("conv2", 3), ("fc1", 7)):
            tensors[f"{name}.weight"] = net[index].weight.data.float().contiguous()
        path = folder / f"operation_counts_{bits}bit.safetensors"
        save_file(tensors, path, metadata)
        print(path, metadata)


if __name__ == "__main__":
    target = pathlib.Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    main(target)
