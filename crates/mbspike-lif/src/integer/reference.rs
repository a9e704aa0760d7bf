//! The integer network written plainly, channels first, every product, wide integers: the oracle.

use candle_core::{Device, Tensor};

use super::{BETA_BITS, IntegerLif, IntegerNetwork, IntegerReset, Spiking, Stage};
use crate::{PoolKind, Readout, Result, Shape};

/// As [`IntegerNetwork::predict`].
pub fn predict(network: &IntegerNetwork, x_seq: &Tensor) -> Result<Tensor> {
    let (codes, [n_steps, batch_size]) = network.codes(x_seq)?;
    let n = network.config.arch.input.n_elements();
    let mut scores = vec![];
    for sample in 0..batch_size {
        let mut outputs = vec![0_i128; network.n_outputs];
        let mut membranes: Vec<Vec<i128>> = vec![vec![]; network.stages.len()];
        for t in 0..n_steps {
            let step = &codes[(t * batch_size + sample) * n..][..n];
            let mut map: Vec<i128> = step.iter().map(|code| i128::from(*code)).collect();
            let mut charged = vec![];
            for (stage, v) in network.stages.iter().zip(&mut membranes) {
                match stage {
                    Stage::Spiking(layer) => {
                        v.resize(layer.output.n_elements(), 0);
                        (map, charged) = spiking(layer, &map, v);
                    }
                    Stage::Pool { kind, size, input, output } => {
                        map = pool(&map, *kind, *size, *input, *output);
                    }
                }
            }
            for (i, out) in outputs.iter_mut().enumerate() {
                *out = match network.config.readout {
                    Readout::MeanSpike => *out + map[i],
                    Readout::MaxMembrane if t > 0 => charged[i].max(*out),
                    Readout::LastMembrane | Readout::MaxMembrane => charged[i],
                };
            }
        }
        scores.extend(outputs.chunks(network.group).map(|group| group.iter().sum::<i128>() as i64));
    }
    let n_classes = network.n_outputs / network.group;
    Ok(Tensor::from_vec(scores, (batch_size, n_classes), &Device::Cpu)?)
}

/// `⌊a / b + 1/2⌋`.
fn rounded_quotient(a: i128, b: i128) -> i128 {
    (2 * a + b).div_euclid(2 * b)
}

/// Level codes and charged membranes of one step.
fn spiking(layer: &Spiking, x: &[i128], v: &mut [i128]) -> (Vec<i128>, Vec<i128>) {
    let (input, output, w) = (layer.input, layer.output, &layer.weights);
    let [kernel_height, kernel_width] = layer.kernel;
    let (mut codes, mut charged) = (vec![], vec![]);
    for channel in 0..output.channels {
        for (row, column) in places(output) {
            let mut sum = 0;
            for c in 0..input.channels {
                for (ky, kx) in
                    (0..kernel_height).flat_map(|y| (0..kernel_width).map(move |x| (y, x)))
                {
                    let y = (row + ky).checked_sub(layer.padding).filter(|y| *y < input.height);
                    let x_of =
                        (column + kx).checked_sub(layer.padding).filter(|x| *x < input.width);
                    let (Some(y), Some(x_of)) = (y, x_of) else { continue };
                    let tap =
                        ((channel * input.channels + c) * kernel_height + ky) * kernel_width + kx;
                    let place = (c * input.height + y) * input.width + x_of;
                    sum += i128::from(w.weight[tap]) * x[place];
                }
            }
            let factor = i128::from(w.multiplier[channel]);
            let current =
                rounded_quotient(sum * factor, 1 << w.shift[channel]) + i128::from(w.bias[channel]);
            let v = &mut v[codes.len()];
            let h = rounded_quotient(*v * i128::from(layer.lif.beta), 1 << BETA_BITS)
                + current
                + i128::from(layer.lif.leak);
            let k = level(&layer.lif, h);
            *v = match layer.lif.reset {
                IntegerReset::Soft {} => h - k * (1 << layer.lif.fraction_bits),
                IntegerReset::Hard { v_reset } => {
                    let distance = h - i128::from(v_reset);
                    h - rounded_quotient(k * distance, layer.lif.n_levels().into())
                }
                IntegerReset::None {} => h,
            };
            codes.push(k);
            charged.push(h);
        }
    }
    (codes, charged)
}

/// The number of levels at or below a membrane, one after the other.
fn level(lif: &IntegerLif, h: i128) -> i128 {
    let level = 1_i128 << lif.fraction_bits;
    (1..=i128::from(lif.n_levels())).take_while(|j| h >= j * level).count() as i128
}

fn pool(x: &[i128], kind: PoolKind, size: usize, input: Shape, output: Shape) -> Vec<i128> {
    let mut pooled = vec![];
    for c in 0..output.channels {
        for (row, column) in places(output) {
            let window: Vec<i128> = (0..size)
                .flat_map(|dy| (0..size).map(move |dx| (row * size + dy, column * size + dx)))
                .map(|(y, x_of)| x[(c * input.height + y) * input.width + x_of])
                .collect();
            pooled.push(match kind {
                PoolKind::Average | PoolKind::Sum => window.iter().sum(),
                PoolKind::Max => window.iter().copied().max().unwrap_or(0),
            });
        }
    }
    pooled
}

fn places(shape: Shape) -> impl Iterator<Item = (usize, usize)> {
    (0..shape.height).flat_map(move |y| (0..shape.width).map(move |x| (y, x)))
}
