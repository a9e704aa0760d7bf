"""Times SpikingJelly's multi-step LIFNode, forward and forward with backward, on the GPU with each
backend that is installed, on the first layer of the Fashion-MNIST network: T = 10, batch 128,
8 channels of 28x28, f32. The kernels of examples/cuda_bandwidth.rs work on the same shape."""

import torch
from spikingjelly.activation_based import functional, neuron

SHAPE = (10, 128, 8, 28, 28)


def median_us(call, n_calls=50, n_rounds=11):
    times = []
    for _ in range(n_rounds + 1):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(n_calls):
            call()
        end.record()
        torch.cuda.synchronize()
        times.append(1e3 * start.elapsed_time(end) / n_calls)
    return sorted(times[1:])[n_rounds // 2]


def main():
    x = (2 * torch.rand(SHAPE, device="cuda") - 0.5).requires_grad_()
    for backend in ("torch", "cupy", "triton"):
        try:
            node = neuron.LIFNode(
                tau=2.0, decay_input=False, v_reset=None, step_mode="m", backend=backend
            ).cuda()

            def forward():
                functional.reset_net(node)
                return node(x)

            def both():
                x.grad = None
                forward().sum().backward()

            print(f"{backend}: forward {median_us(forward):.1f} us, with backward {median_us(both):.1f} us")
        except Exception as error:  # a backend that is not installed or does not know the neuron
            print(f"{backend}: {type(error).__name__}: {error}")


main()
