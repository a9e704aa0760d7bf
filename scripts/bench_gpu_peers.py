"""Times what mbspike's GPU kernels and steps are compared with, each backend that is installed:

* SpikingJelly's multi-step LIFNode, forward and with backward, on the first layer of the Fashion-MNIST
  network, T = 10, batch 128, f32: the shape of examples/cuda_bandwidth.rs;
* whole training steps of 28x28-8c5-2a-16c5-2a-10o with Adam at 1 bit, f32 and bf16 autocast: plain
  PyTorch, torch.compile, and SpikingJelly: the shape of check-gpu.sh's stage `steps`.

SpikingJelly 2.0 chooses between PyTorch, CuPy and Triton kernels itself; earlier versions are told each.
A line of JSON a measurement, with the median of its rounds and the fastest and slowest of them.

`--device cpu` tries the script where there is no GPU; its times say nothing then.
"""

import argparse
import json
import statistics
import sys
import time

import torch
import torch.nn.functional as F

LAYER = (10, 128, 8, 28, 28)
ALPHA = 4.0


class Spike(torch.autograd.Function):
    """The 1-bit spike with the thesis's sigmoid surrogate; x = h - theta."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return (x >= 0).to(x.dtype)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        s = torch.sigmoid(ALPHA * x)
        return grad * ALPHA * s * (1 - s)


class PlainLif(torch.nn.Module):
    """Soft reset, theta = 1, tau = 2, input not decayed: the thesis's neuron, step by step."""

    def forward(self, x_seq):
        v = torch.zeros_like(x_seq[0])
        s_seq = []
        for x in x_seq:
            h = 0.5 * v + x
            s = Spike.apply(h - 1.0)
            v = h - s
            s_seq.append(s)
        return torch.stack(s_seq)


def spikingjelly_backends(device):
    """What LIFNode can be told of its backend: one choice of its own since version 2."""
    import inspect

    from spikingjelly.activation_based import neuron

    if "backend" not in inspect.signature(neuron.LIFNode.__init__).parameters:
        return [{}]
    names = ["torch"] if device.type == "cpu" else ["torch", "cupy", "triton"]
    return [{"backend": name} for name in names]


def spikingjelly_lif(backend):
    from spikingjelly.activation_based import functional, neuron, surrogate

    class Lif(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.node = neuron.LIFNode(
                tau=2.0,
                decay_input=False,
                v_reset=None,
                surrogate_function=surrogate.Sigmoid(alpha=ALPHA),
                step_mode="m",
                **backend,
            )

        def forward(self, x_seq):
            functional.reset_net(self.node)
            return self.node(x_seq)

    return Lif


class Net(torch.nn.Module):
    """28x28-8c5-2a-16c5-2a-10o without biases; class scores are mean spikes over time."""

    def __init__(self, lif):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(1, 8, 5, padding=2, bias=False)
        self.conv2 = torch.nn.Conv2d(8, 16, 5, padding=2, bias=False)
        self.fc1 = torch.nn.Linear(784, 10, bias=False)
        self.lif = torch.nn.ModuleList(lif() for _ in range(3))

    def forward(self, x_seq):
        def over_time(layer, x):
            return layer(x.flatten(0, 1)).unflatten(0, x.shape[:2])

        x = over_time(lambda y: F.avg_pool2d(y, 2), self.lif[0](over_time(self.conv1, x_seq)))
        x = over_time(lambda y: F.avg_pool2d(y, 2), self.lif[1](over_time(self.conv2, x)))
        return self.lif[2](over_time(self.fc1, x.flatten(2))).mean(0)


def times(call, device, n_calls, n_rounds=11):
    def wait():
        if device.type == "cuda":
            torch.cuda.synchronize()

    rounds = []
    for _ in range(n_rounds + 1):
        wait()
        started = time.perf_counter()
        for _ in range(n_calls):
            call()
        wait()
        rounds.append(1e3 * (time.perf_counter() - started) / n_calls)
    rounds = sorted(rounds[1:])
    return {"ms": statistics.median(rounds), "fastest_ms": rounds[0], "slowest_ms": rounds[-1]}


def time_layer(lif, device, n_calls):
    x = (2 * torch.rand(LAYER, device=device) - 0.5).requires_grad_()
    module = lif().to(device)

    def both():
        x.grad = None
        module(x).sum().backward()

    forward = times(lambda: module(x), device, n_calls)
    return {"forward": forward, "with_backward": times(both, device, n_calls)}


def time_step(lif, compiled, autocast, device, n_calls):
    torch.manual_seed(1)
    net = Net(lif).to(device)
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    x_seq = (torch.rand(10, 128, 1, 28, 28, device=device) < 0.3).float()
    labels = torch.randint(0, 10, (128,), device=device)
    forward = torch.compile(net) if compiled else net

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=autocast):
            loss = F.cross_entropy(forward(x_seq).float(), labels)
        loss.backward()
        optimizer.step()

    return times(step, device, n_calls)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--calls", type=int, default=50, help="calls of a round, of which there are 12")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(json.dumps({"torch": torch.__version__, "device": name}), flush=True)

    n_measured = 0

    def report(what, measure):
        nonlocal n_measured
        try:
            record = {"peer": what, **measure()}
            n_measured += 1
        except Exception as error:  # a backend that is not installed or does not know the neuron
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            record = {"peer": what, "not_measured": reason}
        print(json.dumps(record), flush=True)

    try:
        backends = spikingjelly_backends(device)
    except ImportError as error:
        print(json.dumps({"peer": "SpikingJelly", "not_measured": str(error)}))
        backends = []
    n_calls = arguments.calls
    report("layer, plain PyTorch", lambda: time_layer(PlainLif, device, n_calls))
    for backend in backends:
        report(
            " ".join(["layer, SpikingJelly", *backend.values()]),
            lambda: time_layer(spikingjelly_lif(backend), device, n_calls),
        )
    for autocast in (False, True):
        precision = "bf16 autocast" if autocast else "f32"
        for compiled in (False, True):
            report(
                f"step, {'torch.compile' if compiled else 'plain PyTorch'}, {precision}",
                lambda: time_step(PlainLif, compiled, autocast, device, n_calls),
            )
        for backend in backends:
            report(
                " ".join(["step, SpikingJelly", *backend.values()]) + f", {precision}",
                lambda: time_step(spikingjelly_lif(backend), False, autocast, device, n_calls),
            )
    sys.exit(0 if n_measured else "nothing could be measured")


main()
