#!/usr/bin/env python3
"""A sweep through a real Slurm, with all that can happen to it, against an uninterrupted run.

Starts munged, slurmctld and slurmd on loopback in a folder of their own (Debian: slurm-wlm and munge; as
root), submits a sweep of eight runs, two at a time, and meanwhile kills one task with SIGKILL, lets Slurm
end another at its time limit, and restarts the controller. In the end all weights and all records, times
apart, must be those of `mbspike run`. Takes some five minutes.

    scripts/check_slurm.py [path of mbspike]
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

NEEDED = ["munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol"]
# The longest of the runs takes so long here, so that a limit of one minute ends it.
LONG_S = 85
LONG = "neuron.bits-4"

SWEEP = """
name = "cluster"
seed = 11
[dataset]
name = "fashion-mnist-subset"
train_size = 1000
test_size = 200
[encoder]
kind = "poisson"
time_steps = 6
[network]
arch = "28x28-6c5-2a-8c5-2a-10o"
[neuron]
bits = 2
[train]
epochs = 1
batch_size = 20
log_every = 5
checkpoint_every_s = 2.0
optimizer = {{ kind = "adam", lr = 5e-3 }}
[sweep]
[[sweep.point]]
"neuron.bits" = 1
"train.epochs" = 4
[[sweep.point]]
"neuron.bits" = 4
"train.epochs" = {long}
[[sweep.point]]
"neuron.bits" = 3
"train.epochs" = {killed}
[[sweep.point]]
"neuron.bits" = 2
"train.epochs" = 4
[[sweep.point]]
"neuron.bits" = 5
"train.epochs" = 3
[[sweep.point]]
"neuron.bits" = 6
"train.epochs" = 3
[[sweep.point]]
"neuron.bits" = 7
"train.epochs" = 2
[[sweep.point]]
"neuron.bits" = 8
"train.epochs" = 2
"""

CONF = """
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
SlurmctldPort={port}
SlurmdPort={node_port}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
MpiDefault=none
KillWait=10
SchedulerParameters=sched_interval=5
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=2000 State=UNKNOWN
PartitionName=p Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def say(text):
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


def wait_for(what, is_so, seconds=300):
    end = time.monotonic() + seconds
    while not (answer := is_so()):
        if time.monotonic() > end:
            sys.exit(f"no {what} in {seconds} s")
        time.sleep(0.5)
    return answer


class Slurm:
    """A controller and a node, in a folder of their own."""

    def __init__(self, folder):
        self.folder = folder
        for name in ["state", "spool"]:
            (folder / name).mkdir()
        host = subprocess.check_output(["hostname", "-s"], text=True).strip()
        port = 20000 + os.getpid() % 20000
        conf = CONF.format(folder=folder, host=host, cpus=max(2, os.cpu_count()), port=port, node_port=port + 1)
        (folder / "slurm.conf").write_text(conf)
        self.env = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
        key = folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        self.start("munged", "--force", f"--key-file={key}", f"--socket={folder}/munge.socket",
                   f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log",
                   f"--seed-file={folder}/munge.seed")
        self.start("slurmctld", "-f", str(folder / "slurm.conf"))
        time.sleep(1)
        self.start("slurmd", "-f", str(folder / "slurm.conf"))
        wait_for("node", lambda: "idle" in self.ask("sinfo", "--noheader", "--format=%T"), 60)

    def start(self, *command):
        subprocess.run(command, env=self.env, check=True, timeout=60)

    def ask(self, *command):
        answer = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=60)
        return answer.stdout if answer.returncode == 0 else ""

    def end(self, name):
        file = self.folder / f"{name}.pid"
        try:
            pid = int(file.read_text())
            os.kill(pid, signal.SIGTERM)
        except (OSError, ValueError):
            return
        for _ in range(100):
            if not Path(f"/proc/{pid}").exists():
                return
            time.sleep(0.1)
        os.kill(pid, signal.SIGKILL)

    def restart_controller(self):
        self.end("slurmctld")
        time.sleep(2)
        self.start("slurmctld", "-f", str(self.folder / "slurm.conf"))

    def close(self):
        self.ask("scancel", "--user=root")
        time.sleep(1)
        for name in ["slurmd", "slurmctld", "munged"]:
            self.end(name)


def records(run):
    """The records of a run, without what a clock decides."""
    def is_time(key):
        return key.endswith("time_s") or key == "loader_share"

    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if not is_time(k)} for line in lines]


def main():
    program = Path(sys.argv[1] if len(sys.argv) > 1 else "target/debug/mbspike").resolve()
    missing = [name for name in NEEDED if not shutil.which(name)]
    if missing or os.getuid() != 0:
        why = f"there is no {', '.join(missing)} (Debian: slurm-wlm, munge)" if missing else "it must be root"
        print(f"NOT RUN: the sweep through Slurm: {why}")
        return
    with tempfile.TemporaryDirectory(prefix="mbspike-slurm-") as name:
        check(program, Path(name))


def check(program, folder):
    def mbspike(*arguments, env=None, code=0):
        answer = subprocess.run([program, *arguments], cwd=folder, env=env, capture_output=True, text=True)
        if answer.returncode != code:
            sys.exit(f"mbspike {' '.join(arguments)}: {answer.returncode}\n{answer.stdout}{answer.stderr}")
        return answer.stdout

    def states(env=None):
        status = json.loads(mbspike("status", "shared/cluster", "--json", env=env))
        return {run["id"]: run for run in status["runs"]}

    # How long an epoch takes here decides how many the long run has.
    config = folder / "sweep.toml"
    config.write_text(SWEEP.format(long=1, killed=1))
    started = time.monotonic()
    single = ["--set", "sweep.point=[{ \"neuron.bits\" = 4, \"train.epochs\" = 6 }]"]
    mbspike("run", "sweep.toml", "--out", "calibration", "--no-figures", "--quiet", *single)
    epoch_s = (time.monotonic() - started) / 6
    long = max(2, round(LONG_S / epoch_s))
    killed = max(8, round(20 / epoch_s))
    config.write_text(SWEEP.format(long=long, killed=killed))
    say(f"an epoch takes {epoch_s:.2f} s: the long run has {long} epochs, the killed one {killed}")
    started = time.monotonic()
    mbspike("run", "sweep.toml", "--out", "whole", "--no-figures", "--quiet")
    say(f"uninterrupted: {time.monotonic() - started:.0f} s")

    (folder / "slurm").mkdir()
    slurm = Slurm(folder / "slurm")
    try:
        run(slurm, mbspike, states, folder)
    except BaseException:
        for log in ["slurmctld.log", "slurmd.log"]:
            path = slurm.folder / log
            print(f"--- {log}\n{path.read_text()[-3000:] if path.exists() else ''}", file=sys.stderr)
        for log in sorted((folder / "shared/cluster/slurm").glob("*.log")):
            print(f"--- {log.name}\n{log.read_text()[-2000:]}", file=sys.stderr)
        raise
    finally:
        slurm.close()


def run(slurm, mbspike, states, folder):
    submit = ["slurm", "sweep.toml", "--out", "shared", "--submit", "--throttle", "2", "--time", "1",
              "--signal-before", "15", "--cpus", "1", "--json"]
    first = json.loads(mbspike(*submit, env=slurm.env))["submission"]
    assert (first["n_runs"], first["n_tasks"]) == (8, 8), first
    say(f"submitted array {first['array']} and job {first['next']}")
    again = json.loads(mbspike(*submit, env=slurm.env))["submission"]
    assert (again["n_runs"], again["n_queued"]) == (0, 8), again
    say("submitted again: nothing, as all eight wait")

    def killed():
        run = next(run for id, run in states(slurm.env).items() if id.startswith("bits-3"))
        is_ready = run["state"] == "running" and (folder / "shared/cluster" / run["id"] / "state.safetensors").exists()
        return run if is_ready else None

    victim = wait_for("task to kill", killed)
    n_running = sum(run["state"] == "running" for run in states(slurm.env).values())
    assert n_running <= 2, n_running
    os.kill(victim["process"], signal.SIGKILL)
    say(f"killed process {victim['process']} of {victim['id']} (job {victim['job']}); {n_running} were running")
    time.sleep(3)
    after = states(slurm.env)[victim["id"]]["state"]
    assert after == "interrupted", after
    slurm.restart_controller()
    say("restarted the controller")

    def is_over():
        runs = states(slurm.env)
        queue = slurm.ask("squeue", "--noheader")
        return all(run["state"] == "done" for run in runs.values()) and not queue.strip()

    wait_for("end of the sweep", is_over, 900)
    rounds = json.loads((folder / "shared/cluster/slurm/rounds.json").read_text())["rounds"]
    say(f"over after {len(rounds)} rounds: {[len(r['tasks']) for r in rounds]} tasks")
    logs = "".join(log.read_text() for log in (folder / "shared/cluster/slurm").glob("*_*.log"))
    assert "stopping after this iteration" in logs, "no task was told to end: " + logs
    assert len(rounds) >= 2, rounds
    whole, shared = folder / "whole/cluster", folder / "shared/cluster"
    names = sorted(path.parent.name for path in whole.glob("*/summary.json"))
    assert len(names) == 8 and names == sorted(path.parent.name for path in shared.glob("*/summary.json"))
    for name in names:
        weights = [(root / name / "checkpoint.safetensors").read_bytes() for root in (whole, shared)]
        assert weights[0] == weights[1], f"{name}: other weights"
        assert records(whole / name) == records(shared / name), f"{name}: other records"
    assert len((shared / "results.csv").read_text().splitlines()) == 9
    assert (shared / "report.html").is_file() and any((shared / "figures").iterdir())
    left = [str(path) for path in shared.rglob(".*") if path.is_file()]
    assert not left, left
    say("all eight runs are bit-identical with an uninterrupted run, and collected")


if __name__ == "__main__":
    main()
