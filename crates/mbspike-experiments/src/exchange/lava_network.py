"""A network of graded spikes for Loihi 2, as Lava processes.

    import lava_network, numpy
    layers, config = lava_network.load("network.safetensors")
    payloads = lava_network.run(layers, codes)      # codes [T, C, H, W], payloads [T + layers, n]

`mbspike export --format loihi` wrote this file beside the tensors. Each layer is Lava's own dense
connection (`lava.proc.dense`, 8-bit weights, graded messages), or for a convolution `Conv2d` below, and
`Staircase`, a neuron for the chip's programmable cores: `k = clamp(floor(v / level), 0, levels)`, and with
a soft reset `v -= k level`. Needs lava-nc (written for 0.10), numpy and safetensors; Python 3.10.
"""
import json

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.process.variable import Var
from lava.magma.core.resources import CPU
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from lava.proc.dense.process import Dense
from lava.proc.io.sink import RingBuffer as Sink
from lava.proc.io.source import RingBuffer as Source
from lava.proc.lif.process import LIF

STATE_BITS = 24


class Staircase(AbstractProcess):
    """Neurons that send how many levels their membranes are at or above, as a graded spike."""

    def __init__(self, *, shape, du, dv, shift, bias, level, levels, soft, **kwargs):
        super().__init__(shape=shape, **kwargs)
        self.a_in = InPort(shape=shape)
        self.s_out = OutPort(shape=shape)
        self.u = Var(shape=shape, init=0)
        self.v = Var(shape=shape, init=0)
        self.du = Var(shape=(1,), init=du)
        self.dv = Var(shape=(1,), init=dv)
        self.shift = Var(shape=(1,), init=shift)
        self.bias = Var(shape=shape, init=bias)
        self.level = Var(shape=(1,), init=level)
        self.levels = Var(shape=(1,), init=levels)
        self.soft = Var(shape=(1,), init=int(soft))


@implements(proc=Staircase, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyStaircaseFixed(PyLoihiProcessModel):
    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)
    u: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=24)
    v: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=24)
    du: np.ndarray = LavaPyType(np.ndarray, np.int32)
    dv: np.ndarray = LavaPyType(np.ndarray, np.int32)
    shift: np.ndarray = LavaPyType(np.ndarray, np.int32)
    bias: np.ndarray = LavaPyType(np.ndarray, np.int32)
    level: np.ndarray = LavaPyType(np.ndarray, np.int32)
    levels: np.ndarray = LavaPyType(np.ndarray, np.int32)
    soft: np.ndarray = LavaPyType(np.ndarray, np.int32)

    @staticmethod
    def decayed(x, decay):
        product = np.int64(x) * (4096 - decay)
        return np.sign(product) * np.right_shift(np.abs(product), 12)

    def run_spk(self):
        limit = 1 << (STATE_BITS - 1)
        a = np.int64(self.a_in.recv())
        u = self.decayed(self.u, self.du + 1) + np.left_shift(a, self.shift)
        # As lava.proc.lif.models: once around.
        once = np.where(u > limit, u - 2 * limit, u)
        u = np.where(once <= -limit, u + 2 * limit, once)
        self.u[:] = u
        v = np.clip(self.decayed(self.v, self.dv) + u + self.bias, 1 - limit, limit - 1)
        level = np.left_shift(self.level, self.shift)
        k = np.clip(v // level, 0, self.levels)
        self.v[:] = v - k * level if self.soft[0] else v
        self.s_out.send(np.int32(k))


class Conv2d(AbstractProcess):
    """A convolution `[out, in, ky, kx]` on maps `[C, H, W]`; sums are kept in 24 bits."""

    def __init__(self, *, weight, shape_in, shape_out, stride, padding, **kwargs):
        super().__init__(weight=weight, **kwargs)
        self.s_in = InPort(shape=shape_in)
        self.a_out = OutPort(shape=shape_out)
        self.a_buff = Var(shape=shape_out, init=0)
        self.weight = Var(shape=weight.shape, init=weight)
        self.stride = Var(shape=(1,), init=stride)
        self.padding = Var(shape=(1,), init=padding)


@implements(proc=Conv2d, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyConv2dFixed(PyLoihiProcessModel):
    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)
    a_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)
    a_buff: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=24)
    weight: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=8)
    stride: np.ndarray = LavaPyType(np.ndarray, np.int32)
    padding: np.ndarray = LavaPyType(np.ndarray, np.int32)

    def run_spk(self):
        # One step later, as lava.proc.conv.
        self.a_out.send(self.a_buff)
        stride, padding = int(self.stride[0]), int(self.padding[0])
        x = np.pad(np.int64(self.s_in.recv()), ((0, 0), (padding,) * 2, (padding,) * 2))
        _, height, width = self.a_buff.shape
        sums = np.zeros(self.a_buff.shape, dtype=np.int64)
        for ky in range(self.weight.shape[2]):
            for kx in range(self.weight.shape[3]):
                rows = slice(ky, ky + stride * (height - 1) + 1, stride)
                columns = slice(kx, kx + stride * (width - 1) + 1, stride)
                sums += np.tensordot(np.int64(self.weight[:, :, ky, kx]), x[:, rows, columns], 1)
        half = 1 << (STATE_BITS - 1)
        self.a_buff = np.int32((sums + half) % (2 * half) - half)


def load(path):
    """The layers of a file, each its header with `weight` and `bias`, and the network's header."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        config = json.loads(file.metadata()["network"])
        for layer in config["layers"]:
            layer["weight"] = file.get_tensor(f"{layer['name']}.weight").astype(np.int32)
            layer["bias"] = file.get_tensor(f"{layer['name']}.bias").astype(np.int32)
    return config["layers"], config


def neurons(layer, shape):
    """The neurons of a layer, in the shape of its sums."""
    cell, fire = layer["cell"], layer["cell"]["fire"]
    bias = layer["bias"].reshape((-1,) + (1,) * (len(shape) - 1)) * np.ones(shape, dtype=np.int32)
    same = dict(shape=shape, du=cell["du"], dv=cell["dv"])
    if fire["kind"] == "binary":
        return LIF(vth=fire["vth"], bias_mant=bias, bias_exp=cell["bias_exp"], **same)
    if fire["kind"] != "staircase":
        raise NotImplementedError(f"{layer['name']}: neurons of kind {fire['kind']}")
    return Staircase(
        shift=cell["shift"], bias=bias << cell["bias_exp"], level=fire["level"],
        levels=fire["levels"], soft=fire["soft"], **same,
    )


def run(layers, codes, record=None):
    """Payloads of the output, `[T + layers, n]`, for the codes of an input, `[T, C, H, W]`. Where
    `record` is a list, the membranes `[steps, …]` of each layer are added to it."""
    from lava.proc.monitor.process import Monitor

    late = len(layers)
    n_steps = len(codes) + late
    codes = np.concatenate([codes, np.zeros((late,) + codes.shape[1:], dtype=codes.dtype)])
    shape = codes.shape[1:]
    source = Source(data=np.moveaxis(codes, 0, -1).astype(np.int32))
    out, monitors = source.s_out, []
    for layer in layers:
        if layer["is_dense"]:
            weight = layer["weight"].reshape(len(layer["bias"]), -1)
            synapses = Dense(weights=weight, num_message_bits=16)
            shape = (weight.shape[0],)
            out.flatten().connect(synapses.s_in) if len(out.shape) > 1 else out.connect(synapses.s_in)
        else:
            synapses = Conv2d(
                weight=layer["weight"], shape_in=shape, shape_out=tuple(layer["output"]),
                stride=layer["stride"], padding=layer["padding"],
            )
            shape = tuple(layer["output"])
            out.connect(synapses.s_in)
        cells = neurons(layer, shape)
        synapses.a_out.connect(cells.a_in)
        out = cells.s_out
        if record is not None:
            monitors.append(Monitor())
            monitors[-1].probe(cells.v, n_steps)
    sink = Sink(shape=shape, buffer=n_steps)
    out.connect(sink.a_in)
    sink.run(condition=RunSteps(num_steps=n_steps), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
    payloads = np.moveaxis(sink.data.get(), -1, 0).astype(np.int64)
    for monitor in monitors:
        (values,) = monitor.get_data().values()
        record.append(np.asarray(values["v"]))
    sink.stop()
    return payloads.reshape(n_steps, -1)
