"""Writes crates/mbspike-lif/tests/golden/training.safetensors: what PyTorch's optimizers, learning-rate
schedules, losses, gradient clipping and weight averaging do on fixed numbers.

Usage: python scripts/golden/training.py crates/mbspike-lif/tests/golden/training.safetensors
Written with torch 2.15.0, numpy 2.4.6 and safetensors 0.8.0; seed 2025.

Tensors (T = f32 or f64; two parameters `a` [7, 5] and `b` [11], 12 steps):
  input.{a,b}                     f64, starting values (exact in f32)
  input.grad.{a,b}                f64 [12, ...], the gradient of each step (exact in f32)
  lr                              f64 [12], the learning rate of each step
  optimizer.NAME.T.{a,b}          [12, ...], the values after each step
  clip.MAX_NORM.T.{a,b}, clip.MAX_NORM.T.norm
  average.T.a                     the average after each step, of decay 0.9
  schedule.NAME                   f64 [n_epochs], the learning rate of each epoch, from 0.1
  loss.{logits,targets}           f64 [4, 10];  loss.NAME.{value,grad}
The settings of the optimizers and schedules are in the metadata as JSON.
"""

import json
import math
import sys

import torch
from safetensors.torch import save_file

N_STEPS = 12
torch.manual_seed(2025)
out, meta = {}, {}

SHAPES = {"a": (7, 5), "b": (11,)}
start = {k: torch.randn(s, dtype=torch.float32).double() for k, s in SHAPES.items()}
# From tiny to large, so that eps and the bias corrections matter; one element never moves.
grads = {
    k: (torch.randn(N_STEPS, *s) * 10.0 ** torch.randint(-6, 2, (N_STEPS, *s))).float().double()
    for k, s in SHAPES.items()
}
grads["b"][:, 0] = 0.0
lrs = torch.tensor([1e-2 * (1.0 + 0.5 * math.sin(i)) for i in range(N_STEPS)], dtype=torch.float64)
for k in SHAPES:
    out[f"input.{k}"], out[f"input.grad.{k}"] = start[k], grads[k]
out["lr"] = lrs

OPTIMIZERS = {
    "adam": (torch.optim.Adam, {}),
    "adam-weight-decay": (torch.optim.Adam, {"betas": (0.8, 0.95), "eps": 1e-4, "weight_decay": 0.1}),
    "adamw": (torch.optim.AdamW, {}),
    "adamw-weight-decay": (torch.optim.AdamW, {"weight_decay": 0.3}),
    "sgd": (torch.optim.SGD, {}),
    "sgd-momentum": (torch.optim.SGD, {"momentum": 0.9}),
    "sgd-weight-decay": (torch.optim.SGD, {"momentum": 0.7, "weight_decay": 0.1}),
    "sgd-nesterov": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    "rmsprop": (torch.optim.RMSprop, {}),
    "rmsprop-momentum": (
        torch.optim.RMSprop,
        {"alpha": 0.9, "eps": 0.0316, "momentum": 0.9, "weight_decay": 0.01},
    ),
}
for name, (cls, settings) in OPTIMIZERS.items():
    kind = name.split("-")[0]
    meta[f"optimizer.{name}"] = json.dumps({"kind": kind, "lr": 1e-2, **settings})
    for dtype, suffix in [(torch.float32, "f32"), (torch.float64, "f64")]:
        params = {k: torch.nn.Parameter(v.to(dtype).clone()) for k, v in start.items()}
        optimizer = cls(params.values(), lr=1e-2, foreach=False, **settings)
        history = {k: [] for k in SHAPES}
        for i in range(N_STEPS):
            for k, p in params.items():
                p.grad = grads[k][i].to(dtype).clone()
            optimizer.param_groups[0]["lr"] = lrs[i].item()
            optimizer.step()
            for k, p in params.items():
                history[k].append(p.detach().clone())
        for k in SHAPES:
            out[f"optimizer.{name}.{suffix}.{k}"] = torch.stack(history[k])

for max_norm in [1.0, 1e4]:
    for dtype, suffix in [(torch.float32, "f32"), (torch.float64, "f64")]:
        params = {k: torch.nn.Parameter(v.to(dtype).clone()) for k, v in start.items()}
        for k, p in params.items():
            p.grad = grads[k][0].to(dtype).clone()
        norm = torch.nn.utils.clip_grad_norm_(params.values(), max_norm, foreach=False)
        out[f"clip.{max_norm:g}.{suffix}.norm"] = norm
        for k, p in params.items():
            out[f"clip.{max_norm:g}.{suffix}.{k}"] = p.grad

for dtype, suffix in [(torch.float32, "f32"), (torch.float64, "f64")]:
    model = torch.nn.Module()
    model.a = torch.nn.Parameter(start["a"].to(dtype).clone())
    # The average of torchvision's ExponentialMovingAverage.
    average = torch.optim.swa_utils.AveragedModel(
        model, avg_fn=lambda avg, p, _: 0.9 * avg + (1 - 0.9) * p
    )
    history = []
    for i in range(N_STEPS):
        with torch.no_grad():
            model.a -= 0.01 * grads["a"][i].to(dtype).clone()
        average.update_parameters(model)
        history.append(average.module.a.detach().clone())
    out[f"average.{suffix}.a"] = torch.stack(history)


def schedule(name, config, n_epochs, make_main, make_warm_up=None, n_warm_up=0):
    """torchvision's references/classification/train.py, stepped once an epoch."""
    meta[f"schedule.{name}"] = json.dumps(config)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = main = make_main(optimizer)
    if make_warm_up:
        scheduler = torch.optim.lr_scheduler.SequentialLR(
            optimizer, schedulers=[make_warm_up(optimizer), main], milestones=[n_warm_up]
        )
    rates = []
    for _ in range(n_epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    out[f"schedule.{name}"] = torch.tensor(rates, dtype=torch.float64)


from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, ExponentialLR, LinearLR, StepLR

linear = lambda f, n: lambda o: LinearLR(o, start_factor=f, total_iters=n)
constant = lambda f, n: lambda o: ConstantLR(o, factor=f, total_iters=n)
schedule("cosine", {"kind": "cosine"}, 20, lambda o: CosineAnnealingLR(o, T_max=20))
schedule(
    "cosine-linear-warm-up",
    {"kind": "cosine", "min_lr": 0.001, "warm_up": {"kind": "linear", "epochs": 5, "factor": 0.01}},
    20, lambda o: CosineAnnealingLR(o, T_max=15, eta_min=0.001), linear(0.01, 5), 5,
)
schedule("step", {"kind": "step", "step_size": 3, "gamma": 0.1}, 10, lambda o: StepLR(o, 3, 0.1))
schedule(
    "step-constant-warm-up",
    {"kind": "step", "step_size": 4, "gamma": 0.5,
     "warm_up": {"kind": "constant", "epochs": 3, "factor": 0.1}},
    16, lambda o: StepLR(o, 4, 0.5), constant(0.1, 3), 3,
)
schedule(
    "exponential-linear-warm-up",
    {"kind": "exponential", "gamma": 0.9, "warm_up": {"kind": "linear", "epochs": 2, "factor": 0.3}},
    12, lambda o: ExponentialLR(o, 0.9), linear(0.3, 2), 2,
)

logits = (torch.randn(4, 10) * torch.tensor([0.1, 1.0, 10.0, 100.0])[:, None]).float().double()
targets = torch.rand(4, 10).float().double()
targets[0] = torch.nn.functional.one_hot(torch.tensor(3), 10)
targets[2, :5] = 0.0
out["loss.logits"], out["loss.targets"] = logits, targets
for name, criterion in {
    "cross-entropy": torch.nn.CrossEntropyLoss(),
    "cross-entropy-smoothed": torch.nn.CrossEntropyLoss(label_smoothing=0.1),
    "mse": torch.nn.MSELoss(),
}.items():
    x = logits.clone().requires_grad_()
    value = criterion(x, targets)
    value.backward()
    out[f"loss.{name}.value"], out[f"loss.{name}.grad"] = value.detach(), x.grad

save_file({k: v.detach().clone().contiguous() for k, v in out.items()}, sys.argv[1], metadata=meta)
