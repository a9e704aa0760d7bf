#!/usr/bin/env python3
"""Writes the reference files of kind `network`: ten Adam steps of a small spiking network by
SpikingJelly's LIFNode under PyTorch autograd, in double precision.

    pip install torch spikingjelly safetensors
    python scripts/golden/network.py crates/mbspike-lif/tests/golden

`init.*` are the weights before the first step, rounded to f32 before anything is computed.
Versions used last: torch 2.15, spikingjelly 2.0; seeds below.
"""
import pathlib
import sys

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from spikingjelly.activation_based import functional, layer, neuron

T, B, LR, ALPHA = 4, 6, 2e-3, 4.0


class MultiLevel(torch.autograd.Function):
    """The thesis's spike (eq. 3.1) with its shifted sigmoid gradient (eq. 3.2); x = h - theta."""

    @staticmethod
    def forward(ctx, x, n_levels, shift):
        ctx.save_for_backward(x)
        ctx.shift = shift
        h = x + 1.0
        level = sum((h >= i / n_levels).to(h) for i in range(1, n_levels + 1))
        return level / n_levels

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        s = torch.sigmoid(ALPHA * (x + ctx.shift))
        return grad * ALPHA * s * (1 - s), None, None


class Surrogate(torch.nn.Module):
    def __init__(self, bits):
        super().__init__()
        self.n_levels = 2**bits - 1
        self.shift = (2 ** (bits - 1) - 1) / self.n_levels

    def forward(self, x):
        return MultiLevel.apply(x, self.n_levels, self.shift)


def build(bits):
    def lif():
        return neuron.LIFNode(
            tau=2.0, decay_input=False, v_threshold=1.0, v_reset=None,
            surrogate_function=Surrogate(bits), step_mode="m",
        )

    net = torch.nn.Sequential(
        layer.Conv2d(1, 8, 5, padding=2, bias=False, step_mode="m"), lif(),
        layer.AvgPool2d(2, step_mode="m"),
        layer.Conv2d(8, 16, 5, padding=2, bias=False, step_mode="m"), lif(),
        layer.AvgPool2d(2, step_mode="m"), layer.Flatten(step_mode="m"),
        layer.Linear(784, 10, bias=False, step_mode="m"), lif(),
    )
    for module, scale in ((net[0], 6.0), (net[3], 4.0), (net[7], 4.0)):
        module.weight.data.mul_(scale)  # enough current for every layer to spike
    return net.double()


def main(folder):
    for bits in (1, 2, 4):
        torch.manual_seed(100 + bits)
        net = build(bits)
        names = {"conv1.weight": net[0].weight, "conv2.weight": net[3].weight,
                 "fc1.weight": net[7].weight}
        for weight in names.values():
            weight.data = weight.data.float().double()
        out = {f"init.{name}": w.detach().float().clone() for name, w in names.items()}
        images = F.interpolate(torch.rand(B, 1, 7, 7), size=28, mode="bilinear") ** 2
        x_seq = (torch.rand(T, B, 1, 28, 28) < images).double()
        labels = torch.arange(B) % 10
        rates, losses = [], []
        hooks = [net[i].register_forward_hook(
            lambda _m, _i, y: rates.append(y.ne(0).double().mean().item())) for i in (1, 4, 8)]
        optimizer = torch.optim.Adam(list(names.values()), lr=LR)
        for step in range(10):
            functional.reset_net(net)
            logits = net(x_seq).mean(0)
            loss = F.cross_entropy(logits, labels)
            optimizer.zero_grad()
            loss.backward()
            if step == 0:
                out["logits"] = logits.detach().float().clone()
                out["firing_rate"] = torch.tensor(rates[:3], dtype=torch.float64)
                out |= {f"grad.{name}": w.grad.float().clone() for name, w in names.items()}
            losses.append(loss.item())
            optimizer.step()
        for hook in hooks:
            hook.remove()
        out["losses"] = torch.tensor(losses, dtype=torch.float64)
        out["x_seq"], out["labels"] = x_seq.to(torch.uint8), labels.to(torch.uint8)
        metadata = {
            "kind": "network", "arch": "28x28-8c5-2a-16c5-2a-10o", "bits": bits, "tau": 2.0,
            "v_threshold": 1.0, "alpha": ALPHA, "reset": "soft", "detach_reset": "false",
            "decay_input": "false", "loss": "cross_entropy(mean over T)", "optimizer": "adam",
            "lr": LR, "betas": "0.9,0.999", "eps": "1e-8",
        }
        path = pathlib.Path(folder) / f"network_{bits}bit.safetensors"
        save_file(out, path, {k: str(v) for k, v in metadata.items()})
        print(path, losses[0], losses[-1], [round(r, 3) for r in rates[:3]])


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else ".")
