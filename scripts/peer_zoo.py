"""The networks of `compare_peers.py --zoo`, in mbspike's notation, for PyTorch frameworks.

Convolutions, batch normalization, pooling and dense layers run over all steps and samples at once, as
in multi-step mode; only the neurons differ between frameworks. Every framework is first held to a plain
loop over steps in double precision with the same weights.
"""
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

# name, network, bits, time steps, batch
NETWORKS = [
    ("thesis, 1 bit", "28x28-8c5-2a-16c5-2a-10o", 1, 10, 128),
    ("thesis, 8 bits", "28x28-8c5-2a-16c5-2a-10o", 8, 10, 128),
    ("thesis with batch norm", "28x28-8c5-bn-2a-16c5-bn-2a-10o", 2, 10, 128),
    ("wide with batch norm", "28x28-32c3-bn-2a-64c3-bn-2a-128-10o", 2, 4, 64),
    ("dense", "28x28-512-512-10o", 2, 10, 128),
    ("wide", "28x28-64c3-2a-128c3-2a-256-10o", 2, 4, 64),
    ("deep", "28x28-64c3-64c3-2a-128c3-128c3-2a-256-10o", 1, 4, 32),
]
FRAMEWORKS = ["spikingjelly", "snntorch", "norse"]
ALPHA = 4.0


def config(network, precision):
    """A config of mbspike for one of NETWORKS."""
    _, arch, bits, steps, batch = network
    return f"""
name = "zoo"
seed = 2025
[dataset]
name = "fashion-mnist-subset"
[encoder]
kind = "poisson"
time_steps = {steps}
[network]
arch = "{arch}"
[neuron]
bits = {bits}
[train]
epochs = 1
batch_size = {batch}
precision = "{precision}"
optimizer = {{ kind = "adam", lr = 2e-3 }}
"""


def worker(framework, index, precision, threads):
    """Answers `spikes` and `block N` on standard input with one JSON line each."""
    import resource

    import torch
    import torch.nn.functional as F
    from torch import nn

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    _, arch, bits, steps, batch = NETWORKS[index]
    n_levels = 2**bits - 1
    shift = (2 ** (bits - 1) - 1) / n_levels

    class Spike(torch.autograd.Function):
        """The multi-bit spike in closed form; x = h - theta."""

        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return torch.clamp(torch.floor((x + 1) * n_levels), 0, n_levels) / n_levels

        @staticmethod
        def backward(ctx, grad):
            (x,) = ctx.saved_tensors
            s = torch.sigmoid(ALPHA * (x + shift))
            return grad * ALPHA * s * (1 - s)

    def plain(x):
        v, spikes = torch.zeros_like(x[0]), []
        for step in x:
            h = v / 2 + step
            spikes.append(Spike.apply(h - 1))
            v = h - spikes[-1]
        return torch.stack(spikes)

    def neurons():
        if framework == "spikingjelly":
            from spikingjelly.activation_based import functional, neuron

            class Surrogate(nn.Module):
                def forward(self, x):
                    return Spike.apply(x)

            node = neuron.LIFNode(tau=2.0, decay_input=False, v_reset=None, step_mode="m",
                                  surrogate_function=Surrogate())

            def run(x):
                functional.reset_net(node)
                return node(x)
        elif framework == "snntorch":
            import snntorch

            node = snntorch.Leaky(beta=0.5, threshold=1.0, reset_mechanism="subtract",
                                  reset_delay=False, spike_grad=Spike.apply)

            def run(x):
                v, spikes = node.init_leaky(), []
                for step in x:
                    s, v = node(step, v)
                    spikes.append(s)
                return torch.stack(spikes)
        else:
            from norse.torch.functional.lif_box import (
                LIFBoxFeedForwardState, LIFBoxParameters, lif_box_feed_forward_step)
            from norse.torch.functional.reset import reset_subtract

            parameters = LIFBoxParameters(tau_mem_inv=torch.as_tensor(500.0), method="super",
                                          alpha=torch.as_tensor(ALPHA), reset_method=reset_subtract)

            def run(x):
                state, spikes = LIFBoxFeedForwardState(v=torch.zeros(())), []
                for step in x:
                    # Norse scales the input by dt / tau_mem as well: twice the current.
                    s, state = lif_box_feed_forward_step(2 * step, state, parameters)
                    spikes.append(s)
                return torch.stack(spikes)
        return run

    layers, modules = [], nn.ModuleList()
    parts = arch.split("-")
    shape = [int(n) for n in parts[0].split("x")]
    channels, (height, width) = (shape[2] if len(shape) > 2 else 1), shape[:2]

    def add(module):
        modules.append(module)
        layers.append(module)

    for part, following in zip(parts[1:], parts[2:] + [""]):
        if match := re.fullmatch(r"(\d+)c(\d+)", part):
            out, kernel = int(match[1]), int(match[2])
            add(nn.Conv2d(channels, out, kernel, padding=kernel // 2, bias=False))
            channels = out
            if following != "bn":
                layers.append("neurons")
        elif part == "bn":
            add(nn.BatchNorm2d(channels))
            layers.append("neurons")
        elif match := re.fullmatch(r"(\d+)([am])", part):
            add((nn.AvgPool2d if match[2] == "a" else nn.MaxPool2d)(int(match[1])))
            height, width = height // int(match[1]), width // int(match[1])
        elif match := re.fullmatch(r"(\d+)o?", part):
            if height * width > 1:
                layers.append("flatten")
            add(nn.Linear(channels * height * width, int(match[1]), bias=False))
            channels, height, width = int(match[1]), 1, 1
            layers.append("neurons")
        else:
            raise ValueError(f"{part} is not in the zoo")
    nodes = [neurons() for layer in layers if layer == "neurons"]

    def forward(x, run=None, seen=None):
        n_steps, at = x.shape[0], 0
        x = x.flatten(0, 1)
        for layer in layers:
            if layer == "flatten":
                x = x.flatten(1)
            elif layer == "neurons":
                x = (run or nodes[at])(x.unflatten(0, (n_steps, -1))).flatten(0, 1)
                at += 1
                if seen is not None:
                    seen.append(x.flatten().double())
            else:
                x = layer(x)
        return x.unflatten(0, (n_steps, -1)).mean(0)

    images = torch.rand(batch, 1, *shape[:2]) ** 2 * 0.86  # about the mean of Fashion-MNIST
    spikes = (torch.rand(steps, batch, 1, *shape[:2]) < images).float()
    labels = torch.arange(batch) % 10
    optimizer = torch.optim.Adam(modules.parameters(), lr=2e-3)
    autocast = torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16")

    for line in sys.stdin:
        command = line.split()
        if command[0] == "spikes":
            with torch.no_grad():
                got, want = [], []
                forward(spikes[:, :8], seen=got)
                modules.double()
                forward(spikes[:, :8].double(), plain, want)
                modules.float()
            got, want = torch.cat(got), torch.cat(want)
            print(json.dumps(((got - want).norm() / want.norm()).item()), flush=True)
        elif command[0] == "block":
            times, forwards = [], []
            for _ in range(int(command[1])):
                start = time.perf_counter()
                with autocast:
                    loss = F.cross_entropy(forward(spikes), labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                times.append(time.perf_counter() - start)
                start = time.perf_counter()
                with torch.no_grad(), autocast:
                    forward(spikes)
                forwards.append(time.perf_counter() - start)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            print(json.dumps({"median_s": statistics.median(times), "min_s": min(times),
                              "forward_s": statistics.median(forwards),
                              "peak_rss_bytes": peak}), flush=True)


class Peer:
    """A framework in a process of its own."""

    def __init__(self, args, framework, index, precision):
        self.name = framework
        environment = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_")}
        self.process = subprocess.Popen(
            [str(args.python), __file__, framework, str(index), precision, str(args.threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)

    def ask(self, command):
        print(command, file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended: see its message above")
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def mbspike(args, path, n):
    """Times of `n` steps of mbspike."""
    environment = dict(os.environ, RAYON_NUM_THREADS=str(args.threads))
    command = [str(args.mbspike), "bench", "step", "--config", str(path), "--json", "--warm-up", "0", "--steps", str(n)]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    times = json.loads(out.stdout)
    return dict(times.get("fresh", times), peak_rss_bytes=times["peak_rss_bytes"])


def compare(args, index, precision, path):
    """One network: rounds in which the programs take turns, and the ratios within rounds."""
    name, arch, bits, steps, batch = NETWORKS[index]
    path.write_text(config(NETWORKS[index], precision))
    peers = []
    for framework in FRAMEWORKS:
        if framework == "norse" and bits > 1:
            continue  # its spikes are binary
        peer = Peer(args, framework, index, precision)
        off = peer.ask("spikes")
        if not off < 1e-2:
            print(f"{framework}, {name}: its spikes are off by {off}: left out", file=sys.stderr)
            peer.close()
            continue
        peer.ask("block 1")
        peers.append(peer)
    rounds = []
    for _ in range(args.rounds):
        times = {"mbspike": mbspike(args, path, args.block)}
        for peer in peers:
            times[peer.name] = peer.ask(f"block {args.block}")
        rounds.append(times)
    for peer in peers:
        peer.close()
    for program in rounds[0]:
        of = [r[program] for r in rounds]
        ratios = sorted(r[program]["median_s"] / r["mbspike"]["median_s"] for r in rounds)
        forward = statistics.median(r[program]["forward_s"] / r["mbspike"]["forward_s"] for r in rounds)
        print(f"| {name} | `{arch}` | {bits}, {steps}, {batch} | {precision} | {program} "
              f"| {1e3 * statistics.median(t['median_s'] for t in of):.1f} "
              f"| {statistics.median(ratios):.2f} ({ratios[0]:.2f}–{ratios[-1]:.2f}) | {forward:.2f} "
              f"| {max(t['peak_rss_bytes'] for t in of) / 1e6:.0f} |", flush=True)


def processor():
    """The processor's name and those of its instructions that matter here."""
    text = pathlib.Path("/proc/cpuinfo").read_text()
    name = re.search(r"model name\s*: (.*)", text)
    flags = [f for f in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if f" {f}" in text]
    return f"{name[1] if name else 'unknown processor'} ({', '.join(flags)})"


def main(args):
    print(f"{processor()}, {args.threads} threads, {args.rounds} rounds of {args.block} steps")
    print("| network | layers | bits, T, batch | precision | program | step (ms) | times mbspike's step "
          "(min–max) | times its forward pass | peak memory (MB) |")
    print("|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for precision in ("f32", "bf16"):
            for index in range(len(NETWORKS)):
                compare(args, index, precision, pathlib.Path(folder) / "zoo.toml")


if __name__ == "__main__":
    worker(sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
