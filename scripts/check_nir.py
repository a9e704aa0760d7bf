#!/usr/bin/env python3
"""Networks that leave for SpikingJelly, snnTorch and Norse, and networks that come from there.

    pip install torch nir==1.0.8 nirtorch spikingjelly snntorch norse safetensors
    cargo build --release
    python3 scripts/check_nir.py target/release/mbspike

Trains two small 1-bit networks with hard reset on the images that are part of the program, directly
encoded, so that each program sees the same inputs; exports them, reads the files with
`nir.read(type_check=True)`, runs them in the three frameworks, and compares whole confusion matrices
with those of `mbspike eval`. Then the other way: networks of the frameworks, written by their own
exporters and as checkpoints, are imported and compared. Exits with 1 at the first difference. A checkpoint
of the thesis's network, trained in SpikingJelly, is held to the same accuracy. Written for nir 1.0.8,
nirtorch 2.6, spikingjelly 2.0.0, snntorch 1.0.0, norse 1.1.0, torch 2.15.

What the frameworks do differently, and what is done about it here:

* snnTorch (`import_nir.py`, `nir.Flatten` → `torch.nn.Flatten(node.start_dim, …)`) and Norse (the
  same line in its `import_nir.py`) take NIR's dimension 0 for the batch: flattening is moved by one.
* Norse knows no `r` and no `AvgPool2d` (`import_nir.py`): `r` goes into the weights before, and only
  the dense network is run there. Its step `lif_box_feed_forward_step` resets to `v_reset = 0`.
* snnTorch hands a recurrent subgraph to nirtorch 2.6, which ends at its own `GraphModule` (`'items'` in
  `nir_interpreter.py`, `_construct_state_recursive`): recurrent networks leave for SpikingJelly only.
* Nothing is changed for SpikingJelly, which fires at `v ≥ θ` (`neuron/base_node.py`); exported
  thresholds are one number lower, which no membrane here meets.
"""
import argparse
import gzip
import json
import pathlib
import subprocess
import sys
import tempfile

import nir
import numpy as np
import torch

ROOT = pathlib.Path(__file__).resolve().parent.parent
DATA = ROOT / "crates/mbspike-data/data/fashion-mnist-subset"
STEPS = 6
# Images of the test set: the first of each class, as `dataset.test_size` takes them.
N_TEST = 200
CONFIG = f"""
name = "exchange"
seed = 5
[dataset]
name = "fashion-mnist-subset"
test_size = {N_TEST}
[encoder]
kind = "direct"
time_steps = {STEPS}
[network]
arch = "ARCH"
[neuron]
bits = 1
tau = 2.0
reset = {{ kind = "hard" }}
[train]
epochs = EPOCHS
batch_size = 50
optimizer = {{ kind = "adam", lr = 2e-3 }}
"""
DENSE, CONV = "28x28-64-10o", "28x28-4c5-2a-8c5-2a-10o"
RECURRENT, STRIDED = "28x28-32r-10o", "28x28-4c5s2-8c3s2-10o"
THESIS = "28x28-8c5-2a-16c5-2a-10o"


def images(split="t10k"):
    with gzip.open(DATA / f"{split}-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read()[16:], dtype=np.uint8).reshape(-1, 1, 28, 28)
    with gzip.open(DATA / f"{split}-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read()[8:], dtype=np.uint8)
    if split == "t10k":
        of_class = [np.flatnonzero(labels == k)[:N_TEST // 10] for k in range(10)]
        chosen = np.sort(np.concatenate(of_class))
        pixels, labels = pixels[chosen], labels[chosen]
    return torch.from_numpy(pixels.astype(np.float32) / np.float32(255)), labels


class Program:
    def __init__(self, path, folder):
        self.path, self.folder = pathlib.Path(path).resolve(), folder

    def __call__(self, *arguments):
        command = [str(self.path), *map(str, arguments), "--json", "--quiet"]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{' '.join(command)}\n{done.stderr}")
        return json.loads(done.stdout)

    def config(self, arch, epochs=1, bias=False, reset="hard"):
        text = CONFIG.replace("ARCH", arch).replace("EPOCHS", str(epochs))
        text = text.replace('kind = "hard"', f'kind = "{reset}"')
        if bias:
            text = text.replace("[neuron]", "bias = true\n[neuron]")
        path = self.folder / f"{abs(hash((arch, epochs, bias, reset)))}.toml"
        path.write_text(text)
        return path

    def confusion(self, run):
        return np.array(self("eval", run)["confusion"])


def confusion(scores, labels):
    """Of equal scores the first counts, as in `mbspike eval`."""
    matrix = np.zeros((10, 10), dtype=int)
    for row, label in zip(scores.numpy(), labels):
        matrix[label, int(np.argmax(row))] += 1
    return matrix


@torch.no_grad()
def stateful(module, x):
    """Mean output of a module that takes and gives its state."""
    state, total = None, 0
    for _ in range(STEPS):
        y, state = module(x, state)
        total = total + y
    return total / STEPS


def compare(what, expected, got):
    n, same = expected.sum(), np.minimum(expected, got).sum()
    accuracy = np.trace(got) / n
    print(f"{what:<50} accuracy {accuracy:.4f}, {'the same' if same == n else 'DIFFERENT'}")
    if same != n:
        print(f"expected accuracy {np.trace(expected) / n:.4f}; {n - same} cells apart")
        sys.exit(1)


def moved_flatten(graph):
    for node in graph.nodes.values():
        if isinstance(node, nir.Flatten):
            node.start_dim += node.start_dim >= 0
            node.end_dim += node.end_dim >= 0
    return graph


def gain_in_weights(graph, dt):
    """`r` of each LIF node in the weights of the node before it, for what knows no `r`."""
    for name, node in graph.nodes.items():
        if isinstance(node, nir.LIF):
            gain = float(node.r.flat[0])
            (before,) = [graph.nodes[a] for a, b in graph.edges if b == name]
            before.weight = (before.weight * gain).astype(np.float32)
            if hasattr(before, "bias"):
                before.bias = (before.bias * gain).astype(np.float32)
            node.r = np.ones_like(node.r)
    return graph


def in_spikingjelly(file, x):
    from spikingjelly.activation_based.nir_exchange import import_from_nir

    return stateful(import_from_nir(file), x)


@torch.no_grad()
def in_snntorch(file, x):
    import snntorch
    from snntorch.import_nir import import_from_nir

    module = import_from_nir(moved_flatten(nir.read(file, type_check=True)))
    return stateful_or_hidden(module, x, snntorch)


@torch.no_grad()
def stateful_or_hidden(module, x, snntorch):
    for part in module.modules():
        if isinstance(part, snntorch.Leaky):
            part.reset_mem() if hasattr(part, "reset_mem") else None
    total, state = 0, None
    for _ in range(STEPS):
        y = module(x, state) if state is not None else module(x)
        if isinstance(y, tuple):
            y, state = y
        total = total + y
    return total / STEPS


def in_norse(file, x):
    import norse.torch

    graph = gain_in_weights(moved_flatten(nir.read(file, type_check=True)), 1e-4)
    return stateful(norse.torch.from_nir(graph, dt=1e-4), x)


def leaving(program, x, labels):
    for name, arch, frameworks in [
        ("dense", DENSE, [in_spikingjelly, in_snntorch, in_norse]),
        ("conv", CONV, [in_spikingjelly, in_snntorch]),
        ("strided", STRIDED, [in_spikingjelly, in_snntorch]),
        ("recurrent", RECURRENT, [in_spikingjelly]),
    ]:
        program("run", program.config(arch, epochs=2), "--no-figures", "--out", name)
        (run,) = [p.parent for p in (program.folder / name).glob("exchange/*/checkpoint.safetensors")]
        report = program("eval", run)
        expected, n_fired = np.array(report["confusion"]), report["nonzero_rate"][-1] * STEPS
        file = program.folder / f"{name}.nir"
        program("export", run, "--out", file)
        nir.read(file, type_check=True)
        for framework in frameworks:
            scores = framework(file, x)
            what = f"{arch} {framework.__name__.replace('_', ' ')}"
            compare(what, expected, confusion(scores, labels))
            # As many output spikes, over all samples and steps.
            fired = float(scores.mean()) * STEPS
            assert abs(fired - n_fired) < 0.5 / scores.numel(), f"{what}: {fired}, not {n_fired}"


def importing(program, what, file, x, scores, labels, arch, *options, bias=False):
    out = f"run-{abs(hash(what))}"
    config = program.config(arch, bias=bias)
    report = program("import", file, "--config", config, "--out", out, *options)
    assert 0.02 < scores.mean() < 0.98, f"{what}: nothing to compare"
    expected = confusion(scores, labels)
    compare(what, expected, program.confusion(out))
    assert report["n_samples"] == len(labels)


def random_weights(net, seed=1):
    torch.manual_seed(seed)
    for parameter in net.parameters():
        if parameter.dim() > 1:
            # Large enough for neurons to fire in all layers.
            torch.nn.init.kaiming_uniform_(parameter)
            parameter.data *= 3


@torch.no_grad()
def coming_from_spikingjelly(program, x, labels):
    from safetensors.torch import save_file
    from spikingjelly.activation_based import functional, layer, neuron
    from spikingjelly.activation_based.nir_exchange import export_to_nir

    lif = lambda: neuron.LIFNode(tau=2.0, decay_input=False, v_reset=0.0)
    for bias in [False, True]:
        net = torch.nn.Sequential(
            layer.Conv2d(1, 4, 5, padding=2, bias=bias), lif(), layer.AvgPool2d(2, 2),
            layer.Conv2d(4, 8, 5, padding=2, bias=bias), lif(), layer.AvgPool2d(2, 2),
            layer.Flatten(), layer.Linear(392, 10, bias=bias), lif(),
        )
        random_weights(net)
        scores = sum(net(x) for _ in range(STEPS)) / STEPS
        functional.reset_net(net)
        said = "with bias" if bias else "without bias"
        file = program.folder / f"spikingjelly-{bias}.nir"
        export_to_nir(net, x[:1], save_path=file)
        importing(program, f"from SpikingJelly, {said}, NIR", file, x, scores, labels, CONV,
                  "--threshold-fires", bias=bias)
        weights = {name: value for name, value in net.state_dict().items()}
        for what, save in [
            ("pth", lambda f: torch.save(weights, f)),
            ("pth, in a checkpoint", lambda f: torch.save({"epoch": 3, "model": weights}, f)),
            ("safetensors", lambda f: save_file(weights, f)),
        ]:
            suffix = what.split(",")[0]
            file = program.folder / f"{abs(hash(what))}-{bias}.{suffix}"
            save(str(file))
            importing(program, f"from SpikingJelly, {said}, {what}", file, x, scores, labels, CONV,
                      bias=bias)


@torch.no_grad()
def coming_from_snntorch(program, x, labels):
    import snntorch as snn
    from snntorch.export_nir import export_to_nir

    lif = lambda: snn.Leaky(beta=torch.full((64,), 0.5), init_hidden=True, reset_mechanism="zero",
                            reset_delay=False, threshold=torch.ones(64))
    out = snn.Leaky(beta=torch.full((10,), 0.5), init_hidden=True, reset_mechanism="zero",
                    reset_delay=False, threshold=torch.ones(10))
    net = torch.nn.Sequential(torch.nn.Linear(784, 64), lif(), torch.nn.Linear(64, 10), out)
    random_weights(net)
    flat = x.flatten(1)
    scores = sum(net(flat) for _ in range(STEPS)) / STEPS
    file = program.folder / "snntorch.nir"
    nir.write(file, export_to_nir(net, flat[:1], ignore_dims=[0]))
    importing(program, "from snnTorch, NIR", file, x, scores, labels, DENSE, bias=True)
    file = program.folder / "snntorch.pth"
    torch.save(net.state_dict(), file)
    importing(program, "from snnTorch, pth", file, x, scores, labels, DENSE, bias=True)


@torch.no_grad()
def coming_from_norse(program, x, labels):
    import norse.torch as norse
    from norse.torch import LIFBoxCell, LIFBoxParameters, SequentialState

    def lif(n):
        p = LIFBoxParameters(
            tau_mem_inv=torch.full((n,), 500.0), v_th=torch.ones(n), v_leak=torch.zeros(n),
            v_reset=torch.zeros(n),
        )
        return LIFBoxCell(p, dt=1e-3)

    net = SequentialState(torch.nn.Linear(784, 64), lif(64), torch.nn.Linear(64, 10), lif(10))
    random_weights(net)
    flat = x.flatten(1)
    scores = stateful(net, flat)
    graph = norse.to_nir(net, flat[:1])
    # Norse writes `tau = dt / tau_mem_inv` (export_nir.py), the time constant times the time step:
    # 2 steps of 10⁻³ s are read as 2 steps of 10⁻⁶ s.
    file = program.folder / "norse.nir"
    nir.write(file, graph)
    importing(program, "from Norse, NIR", file, x, scores, labels, DENSE, "--dt", "1e-6", bias=True)


def a_checkpoint(program, x, labels):
    """The thesis's network, trained in SpikingJelly, as its `train_classify` saves it."""
    from spikingjelly.activation_based import functional, layer, neuron, surrogate

    for reset in ["soft", "hard"]:
        v_reset = None if reset == "soft" else 0.0
        lif = lambda: neuron.LIFNode(
            tau=2.0, decay_input=False, v_reset=v_reset, surrogate_function=surrogate.Sigmoid(4.0)
        )
        torch.manual_seed(11)
        net = torch.nn.Sequential(
            layer.Conv2d(1, 8, 5, padding=2, bias=False), lif(), layer.AvgPool2d(2, 2),
            layer.Conv2d(8, 16, 5, padding=2, bias=False), lif(), layer.AvgPool2d(2, 2),
            layer.Flatten(), layer.Linear(784, 10, bias=False), lif(),
        )
        run = lambda x: sum(net(x) for _ in range(STEPS)) / STEPS
        images_, targets = images("train")
        optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
        epochs = [torch.randperm(len(images_))[:300 * 20] for _ in range(3)]
        order = torch.cat(epochs).reshape(-1, 20)
        for batch in order:
            loss = torch.nn.functional.cross_entropy(
                run(images_[batch]), torch.from_numpy(targets[batch].astype(np.int64)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            functional.reset_net(net)
        with torch.no_grad():
            scores = run(x)
        functional.reset_net(net)
        file = program.folder / f"checkpoint_max_test_acc1_{reset}.pth"
        torch.save({"model": net.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 0}, file)
        out = f"thesis-{reset}"
        config = program.config(THESIS, reset=reset)
        program("import", file, "--config", config, "--out", out)
        expected, got = confusion(scores, labels), program.confusion(out)
        there, here = np.trace(expected) / len(labels), np.trace(got) / len(labels)
        n_moved = len(labels) - np.minimum(expected, got).sum()
        print(f"checkpoint of SpikingJelly, {reset} reset: {there:.4f} there, {here:.4f} here, "
              f"{n_moved} of {len(labels)} samples in another class")
        # Sums in another order can flip a spike that lies at its threshold.
        assert n_moved <= 2 and there > 0.6


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("--only", choices=["leaving", "spikingjelly", "snntorch", "norse", "checkpoint"])
    arguments = parser.parse_args()
    x, labels = images()
    parts = {
        "leaving": leaving, "spikingjelly": coming_from_spikingjelly,
        "snntorch": coming_from_snntorch, "norse": coming_from_norse, "checkpoint": a_checkpoint,
    }
    with tempfile.TemporaryDirectory() as folder:
        program = Program(arguments.program, pathlib.Path(folder))
        for name, part in parts.items():
            if arguments.only in (None, name):
                part(program, x, labels)


if __name__ == "__main__":
    main()
