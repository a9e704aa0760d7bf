#!/usr/bin/env python3
"""Two hosts that share a folder, and nothing else, race for the same runs: none is trained twice.

The hosts are namespaces of Linux (network, names, processes), so that neither can ask after the other's
processes; the folder is all they have in common. In each round both start the same sweep at once. Whoever
comes to a run that the other is at goes on to the next one.

    scripts/check_two_hosts.py [path of mbspike] [rounds]
"""

import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

SWEEP = """
name = "race"
seed = 11
[dataset]
name = "fashion-mnist-subset"
train_size = 20
test_size = 10
[encoder]
kind = "poisson"
time_steps = 1
[network]
arch = "28x28-1c3-4a-10o"
[neuron]
bits = 2
[train]
epochs = 2
batch_size = 10
optimizer = { kind = "adam", lr = 5e-3 }
[sweep]
"neuron.bits" = [1, 2, 3]
"""

HOST = ["unshare", "--user", "--map-root-user", "--net", "--uts", "--pid", "--fork", "--mount-proc"]


def main():
    program = Path(sys.argv[1] if len(sys.argv) > 1 else "target/debug/mbspike").resolve()
    n_rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 50
    if not shutil.which("unshare") or subprocess.run([*HOST, "true"], capture_output=True).returncode:
        print("NOT RUN: the race of two hosts: there are no namespaces here (unshare)")
        return
    n_shared = 0
    for i in range(n_rounds):
        with tempfile.TemporaryDirectory(prefix="mbspike-race-") as name:
            n_shared += race(program, Path(name), i)
    print(f"{n_rounds} rounds of two hosts: each run was trained once; in {n_shared} of them both hosts trained some")


def race(program, folder, number):
    (folder / "sweep.toml").write_text(SWEEP)
    command = f'hostname "$1" && exec "{program}" run sweep.toml --no-figures'
    hosts = {
        name: subprocess.Popen(
            [*HOST, "sh", "-c", command, "sh", name],
            cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for name in ["alpha", "beta"]
    }
    trained = Counter()
    n_trained = {}
    texts = {}
    for name, host in hosts.items():
        _, stderr = host.communicate(timeout=600)
        texts[name] = stderr
        # 75: the other was still at a run.
        assert host.returncode in (0, 75), f"round {number}: {name} ended with {host.returncode}: {stderr}"
        runs = [line.split(":")[0] for line in stderr.splitlines() if ": test accuracy" in line]
        trained.update(runs)
        n_trained[name] = len(runs)
    sweep = folder / "runs/race"
    over = sorted(path.parent.name for path in sweep.glob("*/summary.json"))
    assert len(over) == 3 and sorted(trained) == over, f"round {number}: {over}, {trained}, {texts}"
    assert all(n == 1 for n in trained.values()), f"round {number}: trained twice: {trained}, {texts}"
    assert not list(sweep.rglob(".*")), f"round {number}: left over: {list(sweep.rglob('.*'))}"
    assert len((sweep / "results.csv").read_text().splitlines()) == 4, f"round {number}: the table is not whole"
    return int(all(n_trained.values()))


if __name__ == "__main__":
    main()
