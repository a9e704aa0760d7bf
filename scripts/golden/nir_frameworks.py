#!/usr/bin/env python3
r"""Networks as SpikingJelly, snnTorch and Norse write them, and what they compute.

    pip install torch nir==1.0.8 nirtorch spikingjelly snntorch norse safetensors
    python3 scripts/golden/nir_frameworks.py crates/mbspike-nir/tests/fixtures/frameworks \
        crates/mbspike-experiments/tests/checkpoints

Writes one NIR file for each network by the framework's own exporter, `spikes.safetensors` with the
inputs `<name>.x` `[T, B, …]` and the output spikes `<name>.y` `[T, B, n]` that the framework
computed step by step; to the second folder `spikingjelly.pth` and `snntorch.pth`, checkpoints of two. Written
last with nir 1.0.8, nirtorch 2.6, spikingjelly 2.0.0, snntorch 1.0.0, norse 1.1.0, torch 2.15.0;
seeds are in the code.
"""
import pathlib
import sys

import nir
import torch
from safetensors.torch import save_file

STEPS, BATCH = 12, 6
CHECKPOINTS = pathlib.Path(sys.argv[2])


def weights(net, seed, gain=3.0):
    """Weights large enough for neurons to fire in all layers."""
    torch.manual_seed(seed)
    for parameter in net.parameters():
        if parameter.dim() > 1:
            torch.nn.init.kaiming_uniform_(parameter)
            parameter.data *= gain
        elif parameter.requires_grad and parameter.numel() > 1:
            torch.nn.init.uniform_(parameter, -0.2, 0.4)
    return net


def spikes(*shape, seed):
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(STEPS, BATCH, *shape, generator=generator) < 0.4).float()


def spikingjelly(folder, out):
    from spikingjelly.activation_based import functional, layer, neuron
    from spikingjelly.activation_based.nir_exchange import export_to_nir

    lif = lambda **more: neuron.LIFNode(tau=2.0, decay_input=False, v_reset=0.0, **more)
    conv = torch.nn.Sequential(
        layer.Conv2d(2, 3, 3, padding=1, bias=False), lif(), layer.AvgPool2d(2, 2),
        layer.Conv2d(3, 4, 3, padding=1, stride=2, bias=True), lif(v_threshold=0.75),
        layer.Flatten(), layer.Linear(16, 5, bias=False), lif(),
    )
    dense = torch.nn.Sequential(
        layer.Linear(9, 12), neuron.LIFNode(tau=3.0, decay_input=True, v_reset=0.0),
        layer.Linear(12, 7, bias=False), neuron.ParametricLIFNode(init_tau=2.5, v_reset=0.0, decay_input=False),
        layer.Linear(7, 4, bias=False), neuron.IFNode(v_reset=0.0),
    )
    cuba = torch.nn.Sequential(
        layer.Linear(9, 12), neuron.CUBALIFNode(c_decay=0.5, v_decay=0.75, v_reset=0.0),
        layer.Linear(12, 4), neuron.CUBALIFNode(c_decay=0.25, v_decay=0.5, v_reset=0.0),
    )
    for name, net, x, seed in [
        ("spikingjelly_conv", conv, spikes(2, 8, 8, seed=1), 1),
        ("spikingjelly_dense", dense, spikes(9, seed=2), 2),
        ("spikingjelly_cuba", cuba, spikes(9, seed=3), 3),
    ]:
        weights(net, seed)
        with torch.no_grad():
            y = torch.stack([net(step) for step in x])
        functional.reset_net(net)
        export_to_nir(net, x[0, :1], save_path=folder / f"{name}.nir")
        keep(out, name, x, y)
    torch.save({"epoch": 3, "model": conv.state_dict()}, CHECKPOINTS / "spikingjelly.pth")


def snntorch(folder, out):
    import snntorch as snn
    from snntorch.export_nir import export_to_nir

    def leaky(n, beta, **more):
        return snn.Leaky(beta=torch.full((n,), beta), threshold=torch.ones(n), init_hidden=True,
                         reset_mechanism="zero", reset_delay=False, **more)

    dense = torch.nn.Sequential(
        torch.nn.Linear(9, 12), leaky(12, 0.5), torch.nn.Linear(12, 5, bias=False), leaky(5, 0.75),
    )
    recurrent = torch.nn.Sequential(
        torch.nn.Linear(9, 12),
        snn.RLeaky(beta=torch.full((12,), 0.5), threshold=torch.ones(12), linear_features=12,
                   init_hidden=True, reset_mechanism="zero", reset_delay=False),
        torch.nn.Linear(12, 5), leaky(5, 0.5),
    )
    for name, net, seed in [("snntorch_dense", dense, 4), ("snntorch_recurrent", recurrent, 5)]:
        weights(net, seed, gain=1.5 if "recurrent" in name else 3.0)
        x = spikes(9, seed=seed)
        with torch.no_grad():
            y = torch.stack([net(step) for step in x])
        nir.write(folder / f"{name}.nir", export_to_nir(net, x[0, :1], ignore_dims=[0]))
        keep(out, name, x, y)
    torch.save(dense.state_dict(), CHECKPOINTS / "snntorch.pth")


def norse(folder, out):
    import norse.torch as norse
    from norse.torch import LIFBoxCell, LIFBoxParameters, SequentialState

    def lif(n):
        p = LIFBoxParameters(
            tau_mem_inv=torch.full((n,), 500.0), v_th=torch.ones(n), v_leak=torch.zeros(n),
            v_reset=torch.zeros(n),
        )
        return LIFBoxCell(p, dt=1e-3)

    net = weights(SequentialState(torch.nn.Linear(9, 12), lif(12), torch.nn.Linear(12, 5), lif(5)), 6)
    x = spikes(9, seed=6)
    state, steps = None, []
    with torch.no_grad():
        for step in x:
            y, state = net(step, state)
            steps.append(y)
    nir.write(folder / "norse_dense.nir", norse.to_nir(net, x[0, :1]))
    keep(out, "norse_dense", x, torch.stack(steps))


def keep(out, name, x, y):
    assert set(y.unique().tolist()) <= {0.0, 1.0}, name
    assert 0.05 < y.mean() < 0.95, f"{name}: {y.mean()}"
    out[f"{name}.x"], out[f"{name}.y"] = x.contiguous(), y.contiguous()
    print(f"{name}: {tuple(y.shape)}, {y.mean():.3f} of the outputs fire")


def main():
    folder = pathlib.Path(sys.argv[1])
    for each in [folder, CHECKPOINTS]:
        each.mkdir(parents=True, exist_ok=True)
    out = {}
    for part in [spikingjelly, snntorch, norse]:
        part(folder, out)
    save_file(out, folder / "spikes.safetensors")


if __name__ == "__main__":
    main()
