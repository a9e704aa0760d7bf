//! One sample at a time, skipping zeros: each code that is not zero is added, times its weights, to
//! the sums it has a part in. Maps are channels last, so that the innermost loop runs over output
//! channels.

use super::codes::{load, see};
use super::network::{IntegerNetwork, Spiking, Stage};
use crate::{PoolKind, PositionActivity, Readout, Shape};

/// Level codes `[H, W, C]`.
pub(super) type Map = Vec<i32>;

/// Working memory of one thread.
pub(super) struct Workspace {
    input: Map,
    stages: Vec<Space>,
    outputs: Vec<i64>,
    /// What was seen of the input's codes and of each layer's, since the workspace was made.
    pub(super) seen: Vec<PositionActivity>,
}

#[derive(Default)]
struct Space {
    output: Map,
    /// Sums, then currents, then membranes after charge.
    h: Vec<i32>,
    v: Vec<i32>,
}

impl Workspace {
    pub(super) fn new(network: &IntegerNetwork) -> Self {
        let stages = network.stages.iter().map(|stage| match stage {
            Stage::Spiking(layer) => {
                let n = layer.output.n_elements();
                Space { output: vec![0; n], h: vec![0; n], v: vec![0; n] }
            }
            Stage::Pool { output, .. } => {
                Space { output: vec![0; output.n_elements()], ..Space::default() }
            }
        });
        Self {
            input: vec![0; network.config.arch.input.n_elements()],
            stages: stages.collect(),
            outputs: vec![0; network.n_outputs],
            seen: network.nothing_seen(),
        }
    }

    /// A sample's outputs before voting, from its steps, codes `[C, H, W]` each.
    pub(super) fn run<'a>(
        &mut self,
        network: &IntegerNetwork,
        steps: impl Iterator<Item = &'a [i32]>,
    ) -> &[i64] {
        for space in &mut self.stages {
            space.v.fill(0);
        }
        let readout = network.config.readout;
        self.outputs.fill(if readout == Readout::MaxMembrane { i64::MIN } else { 0 });
        for step in steps {
            let Shape { channels, height, width } = network.config.arch.input;
            load(&mut self.input, step, [channels, height, width]);
            let mut x = &self.input;
            let mut seen = self.seen.iter_mut();
            if let Some(seen) = seen.next() {
                see(seen, x, f64::from(network.config.input_step));
            }
            for (space, stage) in self.stages.iter_mut().zip(&network.stages) {
                match stage {
                    Stage::Spiking(layer) => {
                        space.step(layer, x);
                        let of_level = 1.0 / f64::from(layer.lif.n_levels());
                        if let Some(seen) = seen.next() {
                            see(seen, &space.output, of_level);
                        }
                    }
                    Stage::Pool { kind, size, input, output } => {
                        pool(&mut space.output, x, *kind, *size, *input, *output);
                    }
                }
                x = &space.output;
            }
            let last = self.stages.last().expect("a network has an output layer");
            for ((out, k), h) in self.outputs.iter_mut().zip(&last.output).zip(&last.h) {
                match readout {
                    Readout::MeanSpike => *out += i64::from(*k),
                    Readout::LastMembrane => *out = i64::from(*h),
                    Readout::MaxMembrane => *out = (*out).max(i64::from(*h)),
                }
            }
        }
        &self.outputs
    }
}

impl Space {
    fn step(&mut self, layer: &Spiking, x: &[i32]) {
        self.h.fill(0);
        add_products(&mut self.h, layer, x);
        let (lif, w) = (layer.lif, &layer.weights);
        let n_out = layer.output.channels;
        let neurons = self.h.chunks_exact_mut(n_out).zip(self.v.chunks_exact_mut(n_out));
        for ((h, v), out) in neurons.zip(self.output.chunks_exact_mut(n_out)) {
            for channel in 0..n_out {
                let x =
                    scaled(h[channel], w.multiplier[channel], w.shift[channel]) + w.bias[channel];
                h[channel] = lif.charge(x, v[channel]);
                out[channel] = lif.fire(h[channel]);
                v[channel] = lif.reset(h[channel], out[channel]);
            }
        }
    }
}

/// `⌊(sum M + 2^(S−1)) / 2^S⌋`.
#[inline]
fn scaled(sum: i32, multiplier: i32, shift: u8) -> i32 {
    let half = (1_i64 << shift) >> 1;
    ((i64::from(sum) * i64::from(multiplier) + half) >> shift) as i32
}

fn add_products(sums: &mut [i32], layer: &Spiking, x: &[i32]) {
    let (input, output) = (layer.input, layer.output);
    let ([kernel_height, kernel_width], padding) = (layer.kernel, layer.padding);
    let n_out = output.channels;
    // The taps of a kernel that bring the input's row or column `at` to a place of the output.
    let taps = |at: usize, kernel: usize, n: usize| {
        (at + padding + 1).saturating_sub(n)..kernel.min(at + padding + 1)
    };
    for (pixel, codes) in x.chunks_exact(input.channels).enumerate() {
        let (y, x) = (pixel / input.width, pixel % input.width);
        for (channel, code) in codes.iter().enumerate().filter(|(_, code)| **code != 0) {
            for ky in taps(y, kernel_height, output.height) {
                let row = (y + padding - ky) * output.width;
                for kx in taps(x, kernel_width, output.width) {
                    let sums = &mut sums[(row + x + padding - kx) * n_out..][..n_out];
                    let tap = (channel * kernel_height + ky) * kernel_width + kx;
                    let weights = &layer.by_input[tap * n_out..][..n_out];
                    for (sum, q) in sums.iter_mut().zip(weights) {
                        *sum += i32::from(*q) * code;
                    }
                }
            }
        }
    }
}

fn pool(to: &mut [i32], from: &[i32], kind: PoolKind, size: usize, input: Shape, output: Shape) {
    let n = input.channels;
    for (pixel, out) in to.chunks_exact_mut(n).enumerate() {
        let (y, x) = (pixel / output.width * size, pixel % output.width * size);
        for (channel, out) in out.iter_mut().enumerate() {
            let window = (0..size * size)
                .map(|i| from[((y + i / size) * input.width + x + i % size) * n + channel]);
            *out = match kind {
                PoolKind::Average | PoolKind::Sum => window.sum(),
                PoolKind::Max => window.max().unwrap_or(0),
            };
        }
    }
}
