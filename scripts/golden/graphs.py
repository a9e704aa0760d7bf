#!/usr/bin/env python3
"""Writes reference files of kind `network` whose networks are given as in a run's config: ten Adam
steps under PyTorch autograd in double precision, with SpikingJelly's neurons where it has them.

    pip install torch spikingjelly safetensors
    python scripts/golden/graphs.py crates/mbspike-lif/tests/golden

`config` in the metadata is the text of `[network]` and `[neuron]`; tensors are named as in a checkpoint.
`init.*` are the weights before the first step, rounded to f32 before anything is computed, and cloned.
Versions used last: torch 2.15, spikingjelly 2.0; seeds below.
"""
import pathlib
import sys

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from spikingjelly.activation_based import functional, layer, neuron, surrogate

T, B, LR, ALPHA = 5, 4, 2e-3, 4.0


class MultiLevel(torch.autograd.Function):
    """`k/L`, `k = clamp(floor(h L/theta), 0, L)`, with the centred sigmoid's gradient in h and theta."""

    @staticmethod
    def forward(ctx, h, theta, n_levels):
        ctx.save_for_backward(h, theta)
        ctx.share = (n_levels + 1) / 2 / n_levels  # theta - shift = share theta
        return torch.clamp(torch.floor(h * n_levels / theta), 0, n_levels) / n_levels

    @staticmethod
    def backward(ctx, grad):
        h, theta = ctx.saved_tensors
        s = torch.sigmoid(ALPHA * (h - ctx.share * theta))
        slope = ALPHA * s * (1 - s)
        return grad * slope, grad * slope * -ctx.share, None


class Lif(torch.nn.Module):
    """The multi-bit neuron and its relatives, step by step, by autograd."""

    def __init__(self, bits=1, levels=None, tau=2.0, tau_syn=None, adaptation=None, n=None):
        super().__init__()
        self.levels = levels or 2**bits - 1
        self.tau, self.tau_syn, self.adaptation = torch.tensor(tau), tau_syn, adaptation
        self.v_threshold = torch.tensor(1.0)
        self.recurrent = torch.nn.Parameter(torch.randn(n, n) / n**0.5) if n else None

    def forward(self, x_seq):
        shape = [1, -1] + [1] * (x_seq.dim() - 3)
        beta = 1 - 1 / self.tau.double().reshape(shape if self.tau.dim() else [])
        v = i = a = torch.zeros_like(x_seq[0])
        s, out = None, []
        for x in x_seq:
            if self.recurrent is not None and s is not None:
                x = x + s @ self.recurrent.t()
            if self.tau_syn:
                i = i * (1 - 1 / self.tau_syn) + x
                x = i
            h = beta * v + x
            theta = self.v_threshold.double().reshape(shape if self.v_threshold.dim() else []).expand_as(h)
            if self.adaptation:
                theta = theta + self.adaptation[1] * a
            s = MultiLevel.apply(h, theta, self.levels)
            v = h - theta * s
            if self.adaptation:
                rho = 1 - 1 / self.adaptation[0]
                a = rho * a + (1 - rho) * s
            out.append(s)
        return torch.stack(out)


def sj_lif():
    return neuron.LIFNode(tau=2.0, decay_input=False, v_threshold=1.0, v_reset=None,
                          surrogate_function=surrogate.Sigmoid(ALPHA), step_mode="m")


def ilif(levels):
    return neuron.ILIFNode(surrogate_function=surrogate.MultiLevelSpikeCount(levels),
                           detach_reset=True, step_mode="m")


def ternary():
    return neuron.TernaryLIFNode(tau=2.0, decay_input=False, v_threshold=1.0, v_reset=None,
                                 surrogate_function=surrogate.Sigmoid(ALPHA), step_mode="m")


def conv(i, o, k, stride=1, groups=1, dilation=1):
    return layer.Conv2d(i, o, k, stride=stride, padding=dilation * (k - 1) // 2, dilation=dilation,
                        groups=groups, bias=False, step_mode="m")


def bn(n):
    return layer.BatchNorm2d(n, step_mode="m")


def fc(i, o):
    return layer.Linear(i, o, bias=False, step_mode="m")


class Net(torch.nn.Module):
    """Named layers in the order of a checkpoint, and a function that runs them."""

    def __init__(self, modules, run):
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)
        self.run = run

    def forward(self, x):
        return self.run(x, self._modules)


def row(modules):
    def run(x, m):
        for name in m:
            if name.startswith("fc") and x.dim() > 3:
                x = x.flatten(2)
            x = m[name](x)
        return x

    return Net(modules, run)


def cases():
    pool = layer.AvgPool2d
    bits2 = "bits = 2\n"
    yield "batch_norm", "8x8x2-4c3-bn-2a-6c3-bn-2m-12-bn-5o", bits2, (8, 8, 2), 5, row({
        "conv1": conv(2, 4, 3), "bn1": bn(4), "lif1": Lif(2), "p1": pool(2, step_mode="m"),
        "conv2": conv(4, 6, 3), "bn2": bn(6), "lif2": Lif(2), "p2": layer.MaxPool2d(2, step_mode="m"),
        "fc1": fc(24, 12), "bn3": layer.BatchNorm1d(12, step_mode="m"), "lif3": Lif(2),
        "fc2": fc(12, 5), "lif4": Lif(2)})
    yield "stride", "9x8x2-4c3s2-6c5s2-5o", bits2, (9, 8, 2), 5, row({
        "conv1": conv(2, 4, 3, 2), "lif1": Lif(2), "conv2": conv(4, 6, 5, 2), "lif2": Lif(2),
        "fc1": fc(6 * 3 * 2, 5), "lif3": Lif(2)})
    yield "groups", "8x8x2-6c3g2-dw3s2-8c1-8c3g4d2-2s-5o", bits2, (8, 8, 2), 5, row({
        "conv1": conv(2, 6, 3, groups=2), "lif1": Lif(2), "conv2": conv(6, 6, 3, 2, groups=6),
        "lif2": Lif(2), "conv3": conv(6, 8, 1), "lif3": Lif(2),
        "conv4": conv(8, 8, 3, groups=4, dilation=2), "lif4": Lif(2), "sum": Sum(), "fc1": fc(32, 5),
        "lif5": Lif(2)})

    def sew(x, m):
        x = m["lif1"](m["bn1"](m["conv1"](x)))
        y = m["lif2"](m["bn2"](m["conv2"](x)))
        x = m["lif3"](m["bn3"](m["conv3"](y))) + x
        y = m["lif4"](m["bn4"](m["conv4"](x)))
        y = m["lif5"](m["bn5"](m["conv5"](y)))
        x = y + m["lif6"](m["bn6"](m["conv6"](x)))
        return m["lif7"](m["fc1"](x.flatten(2)))

    yield ("residual_spikes",
           "8x8x2-4c3-bn-res(4c3-bn-4c3-bn)-res(6c3s2-bn-6c3-bn|6c1s2-bn)-5o", "bits = 1\n", (8, 8, 2), 5,
           Net({"conv1": conv(2, 4, 3), "bn1": bn(4), "lif1": sj_lif(), "conv2": conv(4, 4, 3),
                "bn2": bn(4), "lif2": sj_lif(), "conv3": conv(4, 4, 3), "bn3": bn(4), "lif3": sj_lif(),
                "conv4": conv(4, 6, 3, 2), "bn4": bn(6), "lif4": sj_lif(), "conv5": conv(6, 6, 3),
                "bn5": bn(6), "lif5": sj_lif(), "conv6": conv(4, 6, 1, 2), "bn6": bn(6),
                "lif6": sj_lif(), "fc1": fc(96, 5), "lif7": sj_lif()}, sew))

    def currents(x, m):
        x = m["lif1"](m["conv1"](x))
        x = m["lif3"](m["conv3"](m["lif2"](m["conv2"](x))) + x)
        y = m["bn2"](m["conv5"](m["lif4"](m["bn1"](m["conv4"](x)))))
        x = m["lif5"](y + m["bn3"](m["conv6"](x)))
        return m["lif6"](m["fc1"](x.flatten(2)))

    yield ("residual_currents", "8x8x2-4c3-resc(4c3-4c3)-resc(6c3s2-bn-6c3-bn|6c1s2-bn)-5o", bits2,
           (8, 8, 2), 5,
           Net({"conv1": conv(2, 4, 3), "lif1": Lif(2), "conv2": conv(4, 4, 3), "lif2": Lif(2),
                "conv3": conv(4, 4, 3), "lif3": Lif(2), "conv4": conv(4, 6, 3, 2), "bn1": bn(6),
                "lif4": Lif(2), "conv5": conv(6, 6, 3), "bn2": bn(6), "conv6": conv(4, 6, 1, 2),
                "bn3": bn(6), "lif5": Lif(2), "fc1": fc(96, 5), "lif6": Lif(2)}, currents))
    yield "recurrent", "20-12r-8-5o", bits2, (1, 20, 1), 5, row({
        "fc1": fc(20, 12), "lif1": Lif(2, n=12), "fc2": fc(12, 8), "lif2": Lif(2), "fc3": fc(8, 5),
        "lif3": Lif(2)})
    plif = {"conv1": conv(2, 4, 3), "lif1": Lif(2), "p": pool(2, step_mode="m"), "fc1": fc(64, 5),
            "lif2": Lif(2)}
    for name in ("lif1", "lif2"):
        plif[name].tau = torch.nn.Parameter(torch.tensor([2.5]))
    yield ("plif", "8x8x2-4c3-2a-5o", bits2 + "tau = 2.5\nlearnable_tau = true\n", (8, 8, 2), 5,
           row(plif))
    learned = {"conv1": conv(2, 4, 3), "lif1": Lif(2), "fc1": fc(256, 5), "lif2": Lif(2)}
    for name, n in (("lif1", 4), ("lif2", 5)):
        learned[name].tau = torch.nn.Parameter(torch.full([n], 3.0))
        learned[name].v_threshold = torch.nn.Parameter(torch.full([n], 0.9))
    yield ("learned_by_channel", "8x8x2-4c3-5o",
           bits2 + "tau = 3.0\nv_threshold = 0.9\nlearnable_tau = true\nlearnable_threshold = true\n"
           'learned_by = "channel"\n', (8, 8, 2), 5, row(learned))
    yield "layer_bits", "8x8x2-4c3-2a-6c3-5o", "bits = 1\nlayer_bits = [1, 3, 2]\n", (8, 8, 2), 5, row({
        "conv1": conv(2, 4, 3), "lif1": Lif(1), "p": pool(2, step_mode="m"), "conv2": conv(4, 6, 3),
        "lif2": Lif(3), "fc1": fc(96, 5), "lif3": Lif(2)})
    yield "ilif", "8x8x2-4c3-2a-6c3-5o", 'preset = "ilif"\nlevels = 3\n', (8, 8, 2), 5, row({
        "conv1": conv(2, 4, 3), "lif1": ilif(3), "p": pool(2, step_mode="m"), "conv2": conv(4, 6, 3),
        "lif2": ilif(3), "fc1": fc(96, 5), "lif3": ilif(3)})
    yield "ternary", "8x8x2-4c3-2a-6c3-5o", 'preset = "ternary"\n', (8, 8, 2), 5, row({
        "conv1": conv(2, 4, 3), "lif1": ternary(), "p": pool(2, step_mode="m"), "conv2": conv(4, 6, 3),
        "lif2": ternary(), "fc1": fc(96, 5), "lif3": ternary()})
    yield "five_levels", "8x8x2-4c3-5o", "levels = 5\n", (8, 8, 2), 5, row({
        "conv1": conv(2, 4, 3), "lif1": Lif(levels=5), "fc1": fc(256, 5), "lif2": Lif(levels=5)})
    yield "cuba", "8x8x2-4c3-5o", bits2 + "tau_syn = 3.0\n", (8, 8, 2), 5, row({
        "conv1": conv(2, 4, 3), "lif1": Lif(2, tau_syn=3.0), "fc1": fc(256, 5),
        "lif2": Lif(2, tau_syn=3.0)})
    yield ("alif", "8x8x2-4c3-5o", bits2 + "adaptation = { tau = 4.0, strength = 0.7 }\n", (8, 8, 2), 5,
           row({"conv1": conv(2, 4, 3), "lif1": Lif(2, adaptation=(4.0, 0.7)), "fc1": fc(256, 5),
                "lif2": Lif(2, adaptation=(4.0, 0.7))}))


class Sum(torch.nn.Module):
    def forward(self, x):
        return F.avg_pool2d(x.flatten(0, 1), 2).mul(4).unflatten(0, x.shape[:2])


def drawn(net, seed):
    """The network in double precision, with weights of f32 under which every layer spikes."""
    torch.manual_seed(seed)
    for name, parameter in net.named_parameters():
        if parameter.dim() > 1:
            parameter.data.normal_(0, 1.6 / parameter[0].numel() ** 0.5)
            if "recurrent" not in name:
                parameter.data.add_(0.8 / parameter[0].numel() ** 0.75)
    net = net.double()
    for parameter in net.parameters():
        parameter.data = parameter.data.float().double()
    return net


def main(folder):
    for seed, (name, arch, neurons, (h, w, c), n_classes, net) in enumerate(cases()):
        net = drawn(net, 200 + seed)
        named = dict(net.named_parameters())
        out = {f"init.{n}": p.detach().float().clone() for n, p in named.items()}
        x_seq = (torch.rand(T, B, c, h, w) < 0.5).double()
        if h == 1:
            x_seq = (torch.rand(T, B, 1, 1, w) < 0.5).double()
        labels = torch.arange(B) % n_classes
        rates, losses = [], []
        lifs = [m for n, m in net._modules.items() if n.startswith("lif")]
        hooks = [m.register_forward_hook(
            lambda _m, _i, y: rates.append(y.ne(0).double().mean().item())) for m in lifs]
        optimizer = torch.optim.Adam(list(named.values()), lr=LR)
        order = [n for n in net._modules if n.startswith("lif")]
        for step in range(10):
            functional.reset_net(net)
            x = x_seq.flatten(2) if h == 1 else x_seq
            logits = net(x).mean(0)
            loss = F.cross_entropy(logits, labels)
            optimizer.zero_grad()
            loss.backward()
            if step == 0:
                out["logits"] = logits.detach().float().clone()
                out["firing_rate"] = torch.tensor(rates[:len(order)], dtype=torch.float64)
                out |= {f"grad.{n}": p.grad.float().clone() for n, p in named.items()}
            losses.append(loss.item())
            optimizer.step()
        for hook in hooks:
            hook.remove()
        out["losses"] = torch.tensor(losses, dtype=torch.float64)
        out["x_seq"], out["labels"] = x_seq.to(torch.uint8), labels.to(torch.uint8)
        metadata = {
            "kind": "network", "config": f'[network]\narch = "{arch}"\n[neuron]\n{neurons}',
            "loss": "cross_entropy(mean over T)", "optimizer": "adam", "lr": LR, "betas": "0.9,0.999",
            "eps": "1e-8",
        }
        path = pathlib.Path(folder) / f"graph_{name}.safetensors"
        save_file(out, path, {k: str(v) for k, v in metadata.items()})
        smallest = min(p.grad.abs().max().item() for p in named.values())
        print(path.name, round(losses[0], 4), round(losses[-1], 4), f"{smallest:.1e}",
              [round(r, 3) for r in rates[:len(order)]])


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else ".")
