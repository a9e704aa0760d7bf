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

# name, network, bits, time steps, batch; `plif` where time constants are learned
NETWORKS = [
    ("thesis, 1 bit", "28x28-8c5-2a-16c5-2a-10o", 1, 10, 128),
    ("thesis, 8 bits", "28x28-8c5-2a-16c5-2a-10o", 8, 10, 128),
    ("thesis with batch norm", "28x28-8c5-bn-2a-16c5-bn-2a-10o", 2, 10, 128),
    ("wide with batch norm", "28x28-32c3-bn-2a-64c3-bn-2a-128-10o", 2, 4, 64),
    ("dense", "28x28-512-512-10o", 2, 10, 128),
    ("wide", "28x28-64c3-2a-128c3-2a-256-10o", 2, 4, 64),
    ("deep", "28x28-64c3-64c3-2a-128c3-128c3-2a-256-10o", 1, 4, 32),
    ("SEW-ResNet-18, slim",
     "32x32x3-16c3-bn-res(16c3-bn-16c3-bn)-res(16c3-bn-16c3-bn)"
     "-res(32c3s2-bn-32c3-bn|32c1s2-bn)-res(32c3-bn-32c3-bn)"
     "-res(64c3s2-bn-64c3-bn|64c1s2-bn)-res(64c3-bn-64c3-bn)"
     "-res(128c3s2-bn-128c3-bn|128c1s2-bn)-res(128c3-bn-128c3-bn)-4a-10o", 2, 4, 64),
    ("recurrent", "700-128r-20o", 1, 100, 128),
    ("learned time constants", "28x28-8c5-bn-2a-16c5-bn-2a-10o plif", 2, 10, 128),
    ("gestures of PLIF",
     "128x128x2-128c3-bn-2m-128c3-bn-2m-128c3-bn-2m-128c3-bn-2m-128c3-bn-2m-512-110o", 1, 20, 1),
]
FRAMEWORKS = ["spikingjelly", "snntorch", "norse"]
ALPHA = 4.0
# Share of ones in made-up inputs.
RATE = 0.3


def parts_of(arch):
    """Its layers, with those between brackets in one piece."""
    return re.findall(r"[^-(]+(?:\([^)]*\))?", arch)


def input_of(arch):
    """Channels, height and width of the input; a row is all channels."""
    sizes = [int(n) for n in parts_of(arch)[0].split("x")]
    if len(sizes) == 1:
        return sizes[0], 1, 1
    return (sizes[2] if len(sizes) > 2 else 1), sizes[0], sizes[1]


def n_classes_of(arch):
    """Outputs."""
    return int(re.search(r"(\d+)o", arch)[1])


def config(network, precision, folder):
    """A config of mbspike for one of NETWORKS; its data in the folder, where it is no picture of 28x28."""
    _, arch, bits, steps, batch = network
    arch, _, learned = arch.partition(" ")
    dataset, encoder = 'name = "fashion-mnist-subset"', 'kind = "poisson"'
    channels, height, width = input_of(arch)
    if (channels, height, width) != (1, 28, 28):
        import numpy

        dataset = f'name = "arrays"\npath = "{folder}/zoo.npz"\ntest_fraction = 0.5'
        rng, n = numpy.random.default_rng(0), 2 * batch
        labels = (numpy.arange(n) % n_classes_of(arch)).astype("uint8")
        if height == 1:
            samples = (rng.random((n, steps, channels)) < RATE).astype("float32")
            # A sequence has channels, where the notation of a row has a width.
            arch = f"1x1x{arch}"
            encoder = 'kind = "direct"'
        else:
            shape = (n, channels, height, width)
            samples = (255 * 2 * RATE * rng.random(shape)).astype("uint8")
        numpy.savez(f"{folder}/zoo.npz", samples=samples, labels=labels)
    return f"""
name = "zoo"
seed = 2025
[dataset]
{dataset}
[encoder]
{encoder}
time_steps = {steps}
[network]
arch = "{arch}"
[neuron]
bits = {bits}
learnable_tau = {str(learned == "plif").lower()}
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

    arch, _, learned = arch.partition(" ")
    is_plif = learned == "plif"

    def plain(x, hears=None):
        v, spikes = torch.zeros_like(x[0]), []
        for step in x:
            if hears is not None and spikes:
                step = step + F.linear(spikes[-1], hears.weight)
            h = v / 2 + step
            spikes.append(Spike.apply(h - 1))
            v = h - spikes[-1]
        return torch.stack(spikes)

    def neurons(hears=None):
        """A layer of neurons, which hear each other through a linear layer if there is one."""
        if framework == "spikingjelly":
            from spikingjelly.activation_based import functional, neuron

            class Surrogate(nn.Module):
                def forward(self, x):
                    return Spike.apply(x)

            kind, more = (neuron.ParametricLIFNode, {"init_tau": 2.0}) if is_plif else (
                neuron.LIFNode, {"tau": 2.0})
            node = kind(decay_input=False, v_reset=None, step_mode="m" if hears is None else "s",
                        surrogate_function=Surrogate(), **more)
            if is_plif:
                modules.append(node)

            def run(x):
                functional.reset_net(node)
                if hears is None:
                    return node(x)
                spikes = []
                for step in x:
                    spikes.append(node(step + hears(spikes[-1]) if spikes else step))
                return torch.stack(spikes)
        elif framework == "snntorch":
            import snntorch

            node = snntorch.Leaky(beta=0.5, threshold=1.0, reset_mechanism="subtract",
                                  reset_delay=False, spike_grad=Spike.apply, learn_beta=is_plif)
            if is_plif:
                modules.append(node)

            def run(x):
                v, spikes = node.init_leaky(), []
                for step in x:
                    if hears is not None and spikes:
                        step = step + hears(spikes[-1])
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
                    if hears is not None and spikes:
                        step = step + hears(spikes[-1])
                    # Norse scales the input by dt / tau_mem as well: twice the current.
                    s, state = lif_box_feed_forward_step(2 * step, state, parameters)
                    spikes.append(s)
                return torch.stack(spikes)
        return run

    modules = nn.ModuleList()

    def build(parts, channels, height, width):
        """The layers of some parts, as functions of (x, n_steps, run, seen), and the size after them."""
        layers = []

        def add(module):
            modules.append(module)
            layers.append(lambda x, *_: module(x))

        def spiking(hears=None):
            run = neurons(hears)

            def layer(x, n_steps, plainly, seen):
                x = x.unflatten(0, (n_steps, -1))
                x = plain(x, hears) if plainly else run(x)
                x = x.flatten(0, 1)
                if seen is not None:
                    seen.append(x.flatten().double())
                return x

            layers.append(layer)

        for part, following in zip(parts, parts[1:] + [""]):
            if match := re.fullmatch(r"(\d+)c(\d+)(?:s(\d+))?", part):
                out, kernel, stride = int(match[1]), int(match[2]), int(match[3] or 1)
                add(nn.Conv2d(channels, out, kernel, stride, padding=kernel // 2, bias=False))
                channels, height, width = out, -(-height // stride), -(-width // stride)
                if following != "bn":
                    spiking()
            elif part == "bn":
                add(nn.BatchNorm2d(channels))
                spiking()
            elif match := re.fullmatch(r"(\d+)([am])", part):
                add((nn.AvgPool2d if match[2] == "a" else nn.MaxPool2d)(int(match[1])))
                height, width = height // int(match[1]), width // int(match[1])
            elif match := re.fullmatch(r"(\d+)([or]?)", part):
                layers.append(lambda x, *_: x.flatten(1))
                out = int(match[1])
                add(nn.Linear(channels * height * width, out, bias=False))
                channels, height, width = out, 1, 1
                hears = None
                if match[2] == "r":
                    hears = nn.Linear(out, out, bias=False)
                    modules.append(hears)
                spiking(hears)
            elif match := re.fullmatch(r"res\((.*)\)", part):
                sides = [build(side.split("-"), channels, height, width) for side in match[1].split("|")]
                channels, height, width = sides[0][1:]

                def block(x, *rest, sides=tuple(side[0] for side in sides)):
                    y = x
                    for layer in sides[0]:
                        y = layer(y, *rest)
                    for layer in sides[1] if len(sides) > 1 else []:
                        x = layer(x, *rest)
                    return y + x

                layers.append(block)
            else:
                raise ValueError(f"{part} is not in the zoo")
        return layers, channels, height, width

    shape = input_of(arch)
    n_classes = n_classes_of(arch)
    layers = build(parts_of(arch)[1:], *shape)[0]

    def forward(x, plainly=False, seen=None):
        n_steps = x.shape[0]
        x = x.flatten(0, 1)
        for layer in layers:
            x = layer(x, n_steps, plainly, seen)
        return x.unflatten(0, (n_steps, -1)).mean(0)

    if shape == (1, 28, 28):
        images = torch.rand(batch, *shape) ** 2 * 0.86  # about the mean of Fashion-MNIST
    else:
        images = torch.rand(batch, *shape) * 2 * RATE
    spikes = (torch.rand(steps, batch, *shape) < images).float()
    if shape[1:] == (1, 1):
        spikes = spikes.flatten(2)
    labels = torch.arange(batch) % n_classes
    optimizer = torch.optim.Adam(modules.parameters(), lr=2e-3)
    autocast = torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16")

    for line in sys.stdin:
        command = line.split()
        if command[0] == "spikes":
            with torch.no_grad():
                got, want = [], []
                forward(spikes[:, :8], seen=got)
                modules.double()
                forward(spikes[:, :8].double(), True, want)
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
    path.write_text(config(NETWORKS[index], precision, path.parent))
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
