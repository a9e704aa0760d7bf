#!/usr/bin/env python3
"""Training steps of mbspike and of PyTorch frameworks, side by side on this machine's CPU.

    cargo build --release
    python3 scripts/compare_peers.py            # batch 128, T = 10, 1, 2, 4 and 8 bits
    python3 scripts/compare_peers.py --full     # the whole grid: about half an hour
    python3 scripts/compare_peers.py --zoo      # other networks, in f32 and bf16

Makes a virtual environment with torch, spikingjelly, snntorch and norse (about 5 GB) under
target/peers unless --python names one that has them. Every framework trains the network
28x28-8c5-2a-16c5-2a-10o with Adam on the same spikes: each first computes the logits of the
reference file crates/mbspike-lif/tests/golden/network_1bit.safetensors, which mbspike's own tests
hold it to, and is left out with a message if it does not. Then the programs take turns, a block of
steps each, round after round, and the ratio of a round's medians is taken within the round.

Each is timed with the weights that it starts from and with those of a network that mbspike has
trained (--warm-up iterations on the subset of Fashion-MNIST in the program): what a step costs can
depend on its numbers, and users wait for trained networks.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "crates/mbspike-lif/tests/golden/network_1bit.safetensors"
CONFIG = ROOT / "configs/fashion-mnist.toml"
ALPHA = 4.0


# ---------------------------------------------------------------- the peers, each in its process


def worker(name, bits, batch, steps, threads):
    """Answers `logits` and `block N` on standard input with one JSON line each."""
    import resource

    import torch
    import torch.nn.functional as F
    from safetensors.torch import load_file

    torch.set_num_threads(threads)
    n_levels = 2**bits - 1
    shift = (2 ** (bits - 1) - 1) / n_levels

    class ClosedForm(torch.autograd.Function):
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

    class ThesisLoop(ClosedForm):
        """The same spike, level by level, as the thesis's listing computes it."""

        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            r = (x >= 0).float()
            for i in range(1, n_levels):
                above, below = x >= -float(i) / n_levels, x >= -float(i - 1) / n_levels
                r += (above ^ below) * float(n_levels - i) / n_levels
            return r.to(x)

    def convolutions():
        conv1 = torch.nn.Conv2d(1, 8, 5, padding=2, bias=False)
        conv2 = torch.nn.Conv2d(8, 16, 5, padding=2, bias=False)
        return conv1, conv2, torch.nn.Linear(784, 10, bias=False)

    layers = convolutions()

    def over_time(f, x):
        return f(x.flatten(0, 1)).unflatten(0, x.shape[:2])

    if name.startswith("spikingjelly"):
        from spikingjelly.activation_based import functional, neuron

        spike = ThesisLoop if name.endswith("thesis-loop") else ClosedForm

        class Surrogate(torch.nn.Module):
            def forward(self, x):
                return spike.apply(x)

        lif = [neuron.LIFNode(tau=2.0, decay_input=False, v_reset=None, step_mode="m",
                              surrogate_function=Surrogate()) for _ in range(3)]

        def forward(x):
            for node in lif:
                functional.reset_net(node)
            x = F.avg_pool2d(lif[0](over_time(layers[0], x)).flatten(0, 1), 2)
            x = x.unflatten(0, (-1, batch_of(x)))
            x = F.avg_pool2d(lif[1](over_time(layers[1], x)).flatten(0, 1), 2)
            x = layers[2](x.flatten(1)).unflatten(0, (-1, batch_of(x)))
            return lif[2](x).mean(0)

        def batch_of(_):
            return current_batch[0]
    elif name == "snntorch":
        import snntorch

        lif = [snntorch.Leaky(beta=0.5, threshold=1.0, reset_mechanism="subtract",
                              reset_delay=False, spike_grad=ClosedForm.apply) for _ in range(3)]

        def forward(x):
            v = [node.init_leaky() for node in lif]
            total = 0
            for step in x:
                s, v[0] = lif[0](layers[0](step), v[0])
                s, v[1] = lif[1](layers[1](F.avg_pool2d(s, 2)), v[1])
                s, v[2] = lif[2](layers[2](F.avg_pool2d(s, 2).flatten(1)), v[2])
                total = total + s
            return total / x.shape[0]
    else:
        # Norse scales the input by dt / tau_mem as well, so it is given twice the current; its
        # spikes are binary.
        from norse.torch.functional.lif_box import (
            LIFBoxFeedForwardState, LIFBoxParameters, lif_box_feed_forward_step)
        from norse.torch.functional.reset import reset_subtract

        parameters = LIFBoxParameters(tau_mem_inv=torch.as_tensor(500.0), method="super",
                                      alpha=torch.as_tensor(ALPHA), reset_method=reset_subtract)

        def forward(x):
            state = [LIFBoxFeedForwardState(v=torch.zeros(())) for _ in range(3)]
            total = 0
            for step in x:
                s, state[0] = lif_box_feed_forward_step(2 * layers[0](step), state[0], parameters)
                x1 = 2 * layers[1](F.avg_pool2d(s, 2))
                s, state[1] = lif_box_feed_forward_step(x1, state[1], parameters)
                x2 = 2 * layers[2](F.avg_pool2d(s, 2).flatten(1))
                s, state[2] = lif_box_feed_forward_step(x2, state[2], parameters)
                total = total + s
            return total / x.shape[0]

    current_batch = [0]
    weights = [layer.weight for layer in layers]
    names = ("conv1.weight", "conv2.weight", "fc1.weight")
    optimizer = torch.optim.Adam(weights, lr=2e-3)
    torch.manual_seed(0)
    images = torch.rand(batch, 1, 28, 28) ** 2 * 0.86  # about the mean of Fashion-MNIST
    spikes = (torch.rand(steps, batch, 1, 28, 28) < images).float()
    labels = torch.arange(batch) % 10
    fresh = [w.detach().clone() for w in weights]

    def load(values):
        with torch.no_grad():
            for w, value in zip(weights, values):
                w.copy_(value)
        optimizer.state.clear()

    for line in sys.stdin:
        command = line.rstrip("\n").split(" ", 1)
        if command[0] == "weights":
            checkpoint = load_file(command[1])
            load([checkpoint[name] for name in names])
            print("null", flush=True)
        elif command[0] == "fresh":
            load(fresh)
            print("null", flush=True)
        elif command[0] == "logits":
            golden = load_file(GOLDEN)
            saved = [w.detach().clone() for w in weights]
            with torch.no_grad():
                for w, name in zip(weights, names):
                    w.copy_(golden[f"init.{name}"])
                current_batch[0] = golden["x_seq"].shape[1]
                logits = forward(golden["x_seq"].float())
                for w, old in zip(weights, saved):
                    w.copy_(old)
            off = (logits - golden["logits"]).norm() / golden["logits"].norm()
            print(json.dumps(off.item()), flush=True)
        elif command[0] == "block":
            current_batch[0] = batch
            times, forwards = [], []
            for _ in range(int(command[1])):
                start = time.perf_counter()
                loss = F.cross_entropy(forward(spikes), labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                times.append(time.perf_counter() - start)
                start = time.perf_counter()
                with torch.no_grad():
                    forward(spikes)
                forwards.append(time.perf_counter() - start)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            print(json.dumps({"median_s": statistics.median(times),
                              "forward_s": statistics.median(forwards),
                              "peak_rss_bytes": peak}), flush=True)


class Peer:
    def __init__(self, name, python, bits, batch, steps, threads):
        self.name = name
        environment = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_")}
        self.process = subprocess.Popen(
            [python, __file__, "--worker", name, "--bits", str(bits), "--batch", str(batch),
             "--steps", str(steps), "--threads", str(threads)],
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


def settings(bits, batch, steps):
    of = (f"sweep.neuron.bits=[{bits}]", f"train.batch_size={batch}", f"encoder.time_steps={steps}",
          "dataset.name=fashion-mnist-subset", "train.loss=cross-entropy", "sweep.repeats=1")
    return [part for setting in of for part in ("--set", setting)]


def run(args, arguments):
    """The standard output of a command of mbspike."""
    environment = dict(os.environ, RAYON_NUM_THREADS=str(args.threads))
    return subprocess.run([str(args.mbspike), *arguments], check=True, stdout=subprocess.PIPE,
                          text=True, env=environment).stdout


def trained(args, bits, folder):
    """The checkpoint of a run of about --warm-up iterations at batch 128, T = 10."""
    n_train, batch = 6000, 128
    epochs = max(1, round(args.warm_up / -(-n_train // batch)))
    report = run(args, ["run", str(CONFIG), *settings(bits, batch, 10),
                        "--set", f"train.epochs={epochs}", "--out", str(folder), "--no-figures",
                        "--json", "--quiet"])
    report = json.loads(report)
    return pathlib.Path(report["folder"]) / report["runs"][0]["id"] / "checkpoint.safetensors"


def mbspike(args, bits, batch, steps, n, checkpoint):
    """Times of a fresh network and of the trained one, with the peak memory of both."""
    times = json.loads(run(args, ["bench", "step", "--config", str(CONFIG), "--json", "--steps", str(n),
                                  "--checkpoint", str(checkpoint), *settings(bits, batch, steps)]))
    return {network: dict(times[network], peak_rss_bytes=times["peak_rss_bytes"])
            for network in ("trained", "fresh")}


def compare(args, bits, batch, steps, checkpoint):
    # What the frameworks need for a step, by their peaks at batch 128, T = 10.
    needed = 1.4e9 / 1280 * batch * steps
    available = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > 0.8 * available:
        for network, times in mbspike(args, bits, batch, steps, 2, checkpoint).items():
            print(f"| {bits} | {batch} | {steps} | {network} | mbspike | {1e3 * times['median_s']:.1f} "
                  f"| | | {times['peak_rss_bytes'] / 1e6:.0f} |")
        print(f"| {bits} | {batch} | {steps} | | the others | need about {needed / 1e9:.0f} GB "
              "| | | |", flush=True)
        return
    block = max(1, min(4 * args.block, args.block * 1280 // (batch * steps)))
    names = ["spikingjelly", "snntorch"] + (["norse"] if bits == 1 else [])
    if args.thesis_loop and batch == 128 and steps == 10:
        names.append("spikingjelly-thesis-loop")
    peers = []
    for name in names:
        peer = Peer(name, args.python, bits, batch, steps, args.threads)
        if bits == 1:
            off = peer.ask("logits")
            if not off < 1e-2 and name != "snntorch":
                print(f"{name}: its logits are off by {off}: left out", file=sys.stderr)
                peer.close()
                continue
        peer.ask("block 1")
        peers.append(peer)
    rounds = {"trained": [], "fresh": []}
    for _ in range(args.rounds):
        ours = mbspike(args, bits, batch, steps, block, checkpoint)
        for network, weights in (("trained", f"weights {checkpoint}"), ("fresh", "fresh")):
            times = {"mbspike": ours[network]}
            for peer in peers:
                peer.ask(weights)
                times[peer.name] = peer.ask(f"block {block}")
            rounds[network].append(times)
    for peer in peers:
        peer.close()
    for network, of_network in rounds.items():
        for name in of_network[0]:
            of = [r[name] for r in of_network]
            ratios = sorted(r[name]["median_s"] / r["mbspike"]["median_s"] for r in of_network)
            forward = statistics.median(r[name]["forward_s"] / r["mbspike"]["forward_s"]
                                        for r in of_network)
            print(f"| {bits} | {batch} | {steps} | {network} | {name} "
                  f"| {1e3 * statistics.median(t['median_s'] for t in of):.1f} "
                  f"| {statistics.median(ratios):.2f} ({ratios[0]:.2f}–{ratios[-1]:.2f}) "
                  f"| {forward:.2f} | {max(t['peak_rss_bytes'] for t in of) / 1e6:.0f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", help="an interpreter that has the frameworks")
    parser.add_argument("--mbspike", default=ROOT / "target/release/mbspike")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--block", type=int, default=5, help="steps in a turn at batch 128, T = 10; fewer or more as steps take")
    parser.add_argument("--warm-up", type=int, default=300,
                        help="iterations behind the trained network, in whole epochs")
    parser.add_argument("--full", action="store_true", help="bits x batch x T")
    parser.add_argument("--zoo", action="store_true", help="the networks of peer_zoo.py")
    parser.add_argument("--thesis-loop", action="store_true", help="time the thesis's own spike too")
    parser.add_argument("--worker")
    parser.add_argument("--bits", type=int)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--steps", type=int)
    args = parser.parse_args()
    if args.worker:
        return worker(args.worker, args.bits, args.batch, args.steps, args.threads)
    if not args.python:
        folder = ROOT / "target/peers"
        args.python = folder / "bin/python"
        if not args.python.exists():
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
            subprocess.run([args.python, "-m", "pip", "install", "--quiet", "torch",
                            "spikingjelly", "snntorch", "norse", "safetensors"], check=True)
    if args.zoo:
        import peer_zoo

        return peer_zoo.main(args)
    print(f"{args.threads} threads, {args.rounds} rounds of {args.block} steps")
    print("| bits | batch | T | network | program | step (ms) | times mbspike's step (min–max) "
          "| times its forward pass | peak memory (MB) |")
    print("|---|---|---|---|---|---|---|---|---|")
    grid = [(bits, 128, 10) for bits in (1, 2, 4, 8)]
    if args.full:
        grid = [(bits, batch, steps) for bits in (1, 2, 4, 8) for batch in (16, 128, 512)
                for steps in (4, 10, 100)]
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = {bits: trained(args, bits, pathlib.Path(folder) / str(bits))
                       for bits in sorted({bits for bits, _, _ in grid})}
        for bits, batch, steps in grid:
            compare(args, bits, batch, steps, checkpoints[bits])


if __name__ == "__main__":
    main()
