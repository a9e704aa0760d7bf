#!/usr/bin/env python3
"""Searches for learning rate, time constant and bits with Optuna; a trial is a run of mbspike.

    pip install optuna
    python scripts/optuna_search.py configs/smoke.toml --trials 20

All trials are runs in one folder, so that `mbspike collect` makes one table of them, and a trial that was
done before is not trained again. The study is a file beside them: the same command goes on with it, after
Ctrl-C or a crash, and several may work on one study at once.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import optuna


def objective(trial, arguments):
    """The test accuracy of a run with the trial's values."""
    values = {
        "train.optimizer.lr": trial.suggest_float("train.optimizer.lr", 1e-4, 1e-1, log=True),
        "neuron.tau": trial.suggest_float("neuron.tau", 1.5, 4.0, step=0.25),
        "neuron.bits": trial.suggest_int("neuron.bits", 1, 4),
    }
    # Of a sweep with one value each: runs of one experiment, which share a folder.
    settings = [f"sweep.{key}=[{value}]" for key, value in values.items()]
    command = [arguments.mbspike, "run", arguments.config, "--out", arguments.out, "--json"]
    command += ["--quiet", "--no-figures", "--resume"]
    command += [part for setting in settings + arguments.set for part in ("--set", setting)]
    answer = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if answer.returncode not in (0, 1):
        sys.exit(f"{' '.join(command)} ended with {answer.returncode}")
    runs = json.loads(answer.stdout)["runs"]
    if not runs or runs[0]["status"] == "diverged":
        raise optuna.TrialPruned("diverged")
    trial.set_user_attr("run", runs[0]["id"])
    return runs[0]["final_test_accuracy"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", help="a config without [sweep]")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--out", default="runs/optuna")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--mbspike", default="mbspike")
    arguments = parser.parse_args()
    Path(arguments.out).mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        study_name=Path(arguments.config).stem,
        storage=f"sqlite:///{arguments.out}/study.db",
        direction="maximize",
        load_if_exists=True,
    )
    # A study that is gone on with draws other numbers than when it began.
    study.sampler = optuna.samplers.TPESampler(seed=arguments.seed + len(study.trials))
    study.optimize(lambda trial: objective(trial, arguments), n_trials=arguments.trials)
    print(json.dumps({"accuracy": study.best_value, "run": study.best_trial.user_attrs["run"], **study.best_params}))


if __name__ == "__main__":
    main()
