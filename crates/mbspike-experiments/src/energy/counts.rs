//! What a network does on samples, counted: the bridge from tensors to `mbspike_energy`.

use candle_core::{DType, Tensor};
use mbspike_data::EncoderKind;
use mbspike_energy::{ConvolutionShape, LayerCounts, LayerKind, OperationCounts};
use mbspike_lif::{Layer, LayerTrace, Network, NetworkConfig, PoolKind, Shape, Trace};

use super::Error;
use crate::config::Config;

/// Bits of an input that is not binary: images of 256 levels, counts of events below 256.
const INPUT_BITS: u32 = 8;

/// A layer of weights with the fan-outs of what it listens to.
#[derive(Debug, Clone)]
struct Fan {
    /// Weights behind each place of a channel of the layer's input.
    of_input: Vec<u64>,
    /// Weights behind each place of a channel as it was sent, if pooling on the way folds into the
    /// weights: average pooling does, max pooling does not.
    of_received: Option<Vec<u64>>,
}

/// Counts operations batch by batch.
#[derive(Debug, Clone)]
pub struct Counter {
    counts: OperationCounts,
    fans: Vec<Fan>,
}

impl Counter {
    /// For the network of a run.
    ///
    /// # Errors
    /// If its layers do not fit together.
    pub fn of_run(config: &Config) -> Result<Self, Error> {
        let input_bits = match config.encoder.kind {
            EncoderKind::Poisson => 1,
            EncoderKind::Direct | EncoderKind::EventFrame => INPUT_BITS,
        };
        Self::new(&config.network_config(), input_bits)
    }

    /// For a network whose input has so many bits: 1 for zeros and ones.
    ///
    /// # Errors
    /// If its layers do not fit together.
    pub fn new(config: &NetworkConfig, input_bits: u32) -> Result<Self, Error> {
        let shapes = config.arch.shapes().map_err(mbspike_lif::Error::from)?;
        let layers = &config.arch.layers;
        let is_spiking = |layer: &Layer| {
            matches!(layer, Layer::Conv { .. } | Layer::Dense { .. } | Layer::Output { .. })
        };
        let n_spiking = layers.iter().filter(|layer| is_spiking(layer)).count();
        let mut counter = Self { counts: OperationCounts::default(), fans: Vec::new() };
        let (mut n_convs, mut n_dense, mut bits_before) = (0, 0, input_bits);
        // The map as it was sent, and the pooling since.
        let (mut sent, mut pools) = (config.arch.input, Vec::new());
        for (i, layer) in layers.iter().enumerate() {
            let input = if i == 0 { config.arch.input } else { shapes[i - 1] };
            let output = shapes[i];
            let (kind, fan_out, fan_in) = match *layer {
                Layer::Pool { kind, size } => {
                    pools.push((kind, size));
                    continue;
                }
                Layer::Conv { channels, kernel, valid } => {
                    n_convs += 1;
                    let shape = ConvolutionShape {
                        height: input.height,
                        width: input.width,
                        kernel,
                        padding: if valid { 0 } else { kernel / 2 },
                        out_channels: channels,
                    };
                    let fan_in = input.channels * kernel * kernel;
                    (LayerKind::Convolution, shape.fan_out(), fan_in)
                }
                Layer::Dense { neurons } | Layer::Output { neurons } => {
                    n_dense += 1;
                    let fan_out = vec![neurons as u64; input.height * input.width];
                    (LayerKind::Dense, fan_out, input.n_elements())
                }
                Layer::BatchNorm | Layer::Dropout { .. } | Layer::Vote { .. } => continue,
            };
            let bits = config.neuron.params(counter.fans.len(), n_spiking)?.bits();
            // Batch normalization becomes part of the weights, and leaves a bias.
            let has_bias = config.bias || layers.get(i + 1) == Some(&Layer::BatchNorm);
            let name = match kind {
                LayerKind::Convolution => format!("conv{n_convs}"),
                LayerKind::Dense => format!("fc{n_dense}"),
            };
            let n_weights = match kind {
                LayerKind::Convolution => output.channels * fan_in,
                LayerKind::Dense => output.n_elements() * fan_in,
            };
            counter.counts.layers.push(LayerCounts {
                name,
                kind,
                bits,
                input_bits: bits_before,
                n_neurons: output.n_elements() as u64,
                n_weights: n_weights as u64,
                n_biases: if has_bias { output.channels as u64 } else { 0 },
                dense_macs: (output.n_elements() * fan_in) as u64,
                n_synapses: fan_out.iter().sum::<u64>() * input.channels as u64,
                received_spikes: 0,
                synaptic_events: 0,
                serial_events: 0,
                effective_macs: 0,
                neuron_updates: 0,
                sent_spikes: 0,
                sent_ones: 0,
            });
            let of_received = folded(&fan_out, sent, &pools);
            counter.fans.push(Fan { of_input: fan_out, of_received });
            bits_before = bits;
            sent = output;
            pools.clear();
        }
        Ok(counter)
    }

    /// Adds a batch: `x_seq` `[T, B, C, H, W]` goes through the network.
    ///
    /// # Errors
    /// If `x_seq` does not fit the network.
    pub fn add(&mut self, network: &Network, x_seq: &Tensor) -> Result<(), Error> {
        let Trace { layers, .. } = network.trace(x_seq)?;
        let (time_steps, batch_size) = (x_seq.dim(0)? as u64, x_seq.dim(1)? as u64);
        self.counts.time_steps = time_steps;
        self.counts.n_samples += batch_size;
        // Spikes that one layer sends are those that the next receives: read once.
        let mut sent_before: Option<Vec<f32>> = None;
        for (i, trace) in layers.iter().enumerate() {
            let LayerTrace { received, input, sent } = trace;
            let (counts, fan) = (&mut self.counts.layers[i], &self.fans[i]);
            let input = values(input)?;
            let sent = values(sent)?;
            let of_input = Spikes::count(&input, &fan.of_input, counts.input_bits);
            let of_received = match &fan.of_received {
                Some(fan_out) => {
                    let received = sent_before.take().map_or_else(|| values(received), Ok)?;
                    Spikes::count(&received, fan_out, counts.input_bits)
                }
                None => of_input,
            };
            counts.received_spikes += of_received.n;
            counts.synaptic_events += of_received.events;
            counts.serial_events += of_received.serial_events;
            counts.effective_macs += of_input.events;
            counts.neuron_updates += counts.n_neurons * time_steps * batch_size;
            let of_sent = Spikes::count(&sent, &[1], counts.bits);
            counts.sent_spikes += of_sent.n;
            counts.sent_ones += of_sent.serial_events;
            sent_before = Some(sent);
        }
        Ok(())
    }

    /// What was counted.
    pub fn counts(&self) -> &OperationCounts {
        &self.counts
    }
}

/// The fan-outs of the places of a map `sent` that is pooled to the places of `fan_out`: each place
/// has that of the place it is pooled into. `None` if some pooling takes the maximum.
fn folded(fan_out: &[u64], sent: Shape, pools: &[(PoolKind, usize)]) -> Option<Vec<u64>> {
    if pools.iter().any(|(kind, _)| *kind == PoolKind::Max) {
        return None;
    }
    let size: usize = pools.iter().map(|(_, size)| size).product();
    let width = sent.width / size;
    let place = |i: usize| (i / sent.width / size) * width + i % sent.width / size;
    Some((0..sent.height * sent.width).map(|i| fan_out[place(i)]).collect())
}

fn values(tensor: &Tensor) -> Result<Vec<f32>, Error> {
    Ok(tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
}

/// Sums over non-zero values.
#[derive(Debug, Clone, Copy, Default)]
struct Spikes {
    n: u64,
    /// Of their fan-outs.
    events: u64,
    /// Of their fan-outs times the ones in the codes of their levels.
    serial_events: u64,
}

impl Spikes {
    /// `values` are maps one after the other, each as large as `fan_out`; levels are `value · (2^bits
    /// − 1)`.
    fn count(values: &[f32], fan_out: &[u64], bits: u32) -> Self {
        let n_levels = ((1_u64 << bits) - 1) as f32;
        let mut sum = Self::default();
        for map in values.chunks_exact(fan_out.len()) {
            for (value, fan_out) in map.iter().zip(fan_out) {
                if *value != 0.0 {
                    // Counts of events are whole numbers already; what is less than a level is one.
                    let level = if *value > 1.0 { *value } else { value * n_levels };
                    let ones = (level.round() as u64).count_ones().max(1);
                    sum.n += 1;
                    sum.events += fan_out;
                    sum.serial_events += fan_out * u64::from(ones);
                }
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn average_pooling_folds_into_the_fan_out_and_max_pooling_does_not() {
        let sent = Shape { channels: 1, height: 4, width: 4 };
        let average = [(PoolKind::Average, 2)];
        let expected = [1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4];
        assert_eq!(folded(&[1, 2, 3, 4], sent, &average).unwrap(), expected);
        assert_eq!(folded(&[1, 2, 3, 4], sent, &[(PoolKind::Max, 2)]), None);
        let twice = [(PoolKind::Average, 2), (PoolKind::Average, 2)];
        assert_eq!(folded(&[7], sent, &twice).unwrap(), [7; 16]);
    }

    #[test]
    fn levels_are_counted_by_the_ones_of_their_codes() {
        // Levels 0, 1, 2, 3 of two bits: 0, 1, 1 and 2 ones.
        let values = [0.0, 1.0 / 3.0, 2.0 / 3.0, 1.0];
        let spikes = Spikes::count(&values, &[10], 2);
        assert_eq!((spikes.n, spikes.events, spikes.serial_events), (3, 30, 40));
        // Counts of three events: 11.
        assert_eq!(Spikes::count(&[3.0], &[1], 8).serial_events, 2);
    }
}
