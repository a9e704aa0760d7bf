//! One sample at a time: payloads that are not zero are added, times their weights, to the sums they
//! have a part in. Maps are channels last.

use super::cell::{Overflows, signed_24};
use super::network::{LoihiLayer, LoihiNetwork, LoihiTrace};
use crate::integer::codes::{load, see};
use crate::{PositionActivity, Readout};

/// Working memory of one thread.
pub(super) struct Workspace {
    input: Vec<i32>,
    layers: Vec<Space>,
    outputs: Vec<i64>,
    seen: Seen,
}

/// What was seen since it was last taken.
pub(super) struct Seen {
    pub(super) positions: Vec<PositionActivity>,
    pub(super) overflows: Vec<Overflows>,
    pub(super) largest: Vec<i64>,
}

struct Space {
    sums: Vec<i64>,
    u: Vec<i32>,
    v: Vec<i32>,
    spikes: Vec<i32>,
    /// What the layer reads in a step: with delays, what was sent the step before.
    reads: Vec<i32>,
}

impl Seen {
    fn new(network: &LoihiNetwork) -> Self {
        let n = network.config.layers.len();
        Self {
            positions: network.nothing_seen(),
            overflows: vec![Overflows::default(); n],
            largest: vec![0; n],
        }
    }
}

impl Workspace {
    pub(super) fn new(network: &LoihiNetwork) -> Self {
        let space = |layer: &LoihiLayer| {
            let n = layer.n_neurons();
            Space {
                sums: vec![0; n],
                u: vec![0; n],
                v: vec![0; n],
                spikes: vec![0; n],
                reads: vec![0; layer.input.iter().product()],
            }
        };
        let layers = &network.config.layers;
        Self {
            input: vec![0; network.input_shape().n_elements()],
            layers: layers.iter().map(space).collect(),
            outputs: vec![0; layers.last().map_or(0, LoihiLayer::n_neurons)],
            seen: Seen::new(network),
        }
    }

    pub(super) fn take_seen(&mut self) -> Seen {
        let n = self.layers.len();
        let empty = Seen {
            positions: vec![PositionActivity::default(); n + 1],
            overflows: vec![Overflows::default(); n],
            largest: vec![0; n],
        };
        std::mem::replace(&mut self.seen, empty)
    }

    /// A sample's outputs before voting, from its steps, codes `[C, H, W]` each.
    pub(super) fn run<'a>(
        &mut self,
        network: &LoihiNetwork,
        steps: impl Iterator<Item = &'a [i32]>,
    ) -> &[i64] {
        self.run_with(network, steps, |_| {})
    }

    /// [`run`](Self::run) that calls `after` with each step's states.
    pub(super) fn run_with<'a>(
        &mut self,
        network: &LoihiNetwork,
        steps: impl Iterator<Item = &'a [i32]>,
        mut after: impl FnMut(&Self),
    ) -> &[i64] {
        let config = &network.config;
        for space in &mut self.layers {
            for state in [&mut space.u, &mut space.v, &mut space.spikes, &mut space.reads] {
                state.fill(0);
            }
        }
        self.outputs.fill(if config.readout == Readout::MaxMembrane { i64::MIN } else { 0 });
        let n_late = if config.synaptic_delay { config.layers.len() } else { 0 };
        let late = (0..n_late).map(|_| None);
        for (t, codes) in steps.map(Some).chain(late).enumerate() {
            match codes {
                Some(codes) => load(&mut self.input, codes, config.layers[0].input),
                None => self.input.fill(0),
            }
            see(&mut self.seen.positions[0], &self.input, f64::from(config.input_step));
            self.step(network);
            after(self);
            // What the last layer has after as many steps is about the first input.
            if t < n_late {
                continue;
            }
            let Some(last) = self.layers.last() else { continue };
            for ((out, k), v) in self.outputs.iter_mut().zip(&last.spikes).zip(&last.v) {
                match config.readout {
                    Readout::MeanSpike => *out += i64::from(*k),
                    Readout::LastMembrane => *out = i64::from(*v),
                    Readout::MaxMembrane => *out = (*out).max(i64::from(*v)),
                }
            }
        }
        &self.outputs
    }

    fn step(&mut self, network: &LoihiNetwork) {
        let layers = &network.config.layers;
        let delays = network.config.synaptic_delay;
        // What is sent in this step, or was in the one before.
        let mut sent: Vec<i32> = if delays { vec![] } else { self.input.clone() };
        for (i, layer) in layers.iter().enumerate() {
            let space = &mut self.layers[i];
            if !delays {
                std::mem::swap(&mut space.reads, &mut sent);
            }
            space.step(layer, &network.by_input[i], &network.weights[i].bias, |over, largest| {
                self.seen.overflows[i].merge(&over);
                self.seen.largest[i] = self.seen.largest[i].max(largest);
            });
            let unit = 1.0 / f64::from(layer.cell.levels().max(1));
            see(&mut self.seen.positions[i + 1], &space.spikes, unit);
            sent.clear();
            sent.extend_from_slice(&space.spikes);
        }
        if delays {
            let Self { input, layers, .. } = self;
            for i in (1..layers.len()).rev() {
                let (before, after) = layers.split_at_mut(i);
                after[0].reads.copy_from_slice(&before[i - 1].spikes);
            }
            layers[0].reads.copy_from_slice(input);
        }
    }

    pub(super) fn trace(&self, network: &LoihiNetwork) -> Vec<LoihiTrace> {
        let of = |(layer, space): (&LoihiLayer, &Space)| LoihiTrace {
            spikes: channels_first(&space.spikes, layer.output),
            membranes: channels_first(&space.v, layer.output),
        };
        network.config.layers.iter().zip(&self.layers).map(of).collect()
    }
}

impl Space {
    fn step(
        &mut self,
        layer: &LoihiLayer,
        by_input: &[i16],
        bias: &[i32],
        mut report: impl FnMut(Overflows, i64),
    ) {
        self.sums.fill(0);
        add_products(&mut self.sums, layer, by_input, &self.reads);
        let cell = &layer.cell;
        let mut over = Overflows::default();
        let mut largest = 0_i64;
        let n_out = layer.output[0];
        for (i, sum) in self.sums.iter().enumerate() {
            let mut a = *sum;
            if !layer.is_dense {
                a = signed_24(a);
                over.sums += u64::from(a != *sum);
            }
            let bias = bias[i % n_out] << cell.bias_exp;
            let (u, v) = (&mut self.u[i], &mut self.v[i]);
            let (spike, reached) = cell.step(a, bias, u, v, &mut over);
            self.spikes[i] = spike;
            largest = largest.max(reached);
        }
        report(over, largest);
    }
}

fn channels_first(map: &[i32], [channels, height, width]: [usize; 3]) -> Vec<i32> {
    let n_pixels = height * width;
    (0..channels).flat_map(|c| (0..n_pixels).map(move |p| map[p * channels + c])).collect()
}

fn add_products(sums: &mut [i64], layer: &LoihiLayer, by_input: &[i16], x: &[i32]) {
    let [in_channels, _, in_width] = layer.input;
    let [n_out, out_height, out_width] = layer.output;
    let [kernel_height, kernel_width] = layer.kernel;
    for (pixel, codes) in x.chunks_exact(in_channels).enumerate() {
        if codes.iter().all(|code| *code == 0) {
            continue;
        }
        let (y, x) = (pixel / in_width, pixel % in_width);
        // Taps that bring this row or column to one of the output, with that one.
        let places = |at: usize, kernel: usize, n: usize| {
            (0..kernel).filter_map(move |tap| {
                let from = (at + layer.padding).checked_sub(tap)?;
                let out = from / layer.stride;
                (from % layer.stride == 0 && out < n).then_some((tap, out))
            })
        };
        for (ky, row) in places(y, kernel_height, out_height) {
            for (kx, column) in places(x, kernel_width, out_width) {
                let sums = &mut sums[(row * out_width + column) * n_out..][..n_out];
                for (channel, code) in codes.iter().enumerate().filter(|(_, code)| **code != 0) {
                    let tap = (channel * kernel_height + ky) * kernel_width + kx;
                    let weights = &by_input[tap * n_out..][..n_out];
                    for (sum, w) in sums.iter_mut().zip(weights) {
                        *sum += i64::from(*w) * i64::from(*code);
                    }
                }
            }
        }
    }
}
