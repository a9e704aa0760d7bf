//! What a network does on samples, counted: the bridge from tensors to `mbspike_energy`.

use candle_core::{DType, Tensor};
use mbspike_data::InputCode;
use mbspike_energy::{ConvolutionShape, LayerCounts, LayerKind, OperationCounts};
use mbspike_lif::{Layer, LayerTrace, Membranes, Network, NetworkConfig, PoolKind, Shape};

use crate::config::Config;
use crate::error::Error;

/// Bits of a number that is not a level: a count (more where a larger one is seen), or an analog
/// number as int8 can say it.
const WORD_BITS: u32 = 8;

/// Bits that a number of an input takes.
fn bits_of(code: InputCode) -> u32 {
    match code {
        InputCode::Binary => 1,
        InputCode::Levels { levels } => u32::BITS - levels.leading_zeros(),
        InputCode::Counts | InputCode::Analog => WORD_BITS,
    }
}

/// A layer of weights with the fan-outs of what it listens to.
#[derive(Debug, Clone)]
struct Fan {
    /// Weights behind each place of a channel of the layer's input.
    of_input: Vec<u64>,
    /// Weights behind each place of a channel as it was sent, if pooling on the way folds into the
    /// weights: average pooling does, max pooling does not.
    of_received: Option<Vec<u64>>,
}

/// Counts operations batch by batch, and in a batch step by step: of all that passes through the
/// network it holds one step.
#[derive(Debug, Clone)]
pub struct Counter {
    counts: OperationCounts,
    fans: Vec<Fan>,
    /// What the numbers are that each layer receives.
    codes: Vec<InputCode>,
    /// What those are that it sends.
    sent: Vec<InputCode>,
}

impl Counter {
    /// For the network of a run.
    ///
    /// # Errors
    /// If its layers do not fit together, or own data cannot be read.
    pub fn of_run(config: &Config) -> Result<Self, Error> {
        Self::new(&config.network_config(), config.dataset.input_code(&config.encoder)?)
    }

    /// For a network whose input is of this code.
    ///
    /// # Errors
    /// If its layers do not fit together.
    pub fn new(config: &NetworkConfig, input: InputCode) -> Result<Self, Error> {
        let shapes = config.arch.shapes().map_err(mbspike_lif::Error::from)?;
        let layers = &config.arch.layers;
        let is_spiking = |layer: &Layer| {
            matches!(layer, Layer::Conv { .. } | Layer::Dense { .. } | Layer::Output { .. })
        };
        let n_spiking = layers.iter().filter(|layer| is_spiking(layer)).count();
        let counts = OperationCounts::default();
        let mut counter = Self { counts, fans: vec![], codes: vec![], sent: vec![] };
        let (mut n_convs, mut n_dense, mut code) = (0, 0, input);
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
            let params = config.neuron.params(counter.fans.len(), n_spiking)?;
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
                bits: params.bits(),
                input_bits: bits_of(code),
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
            counter.codes.push(code);
            code = InputCode::Levels { levels: params.n_levels() };
            counter.sent.push(code);
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
        let (time_steps, batch_size) = (x_seq.dim(0)?, x_seq.dim(1)?);
        self.counts.time_steps = time_steps as u64;
        self.counts.n_samples += batch_size as u64;
        let mut membranes = Membranes::default();
        for step in 0..time_steps {
            let layers = network.trace_step(&x_seq.get(step)?, &mut membranes)?;
            self.add_step(&layers, batch_size as u64)?;
        }
        Ok(())
    }

    fn add_step(&mut self, layers: &[LayerTrace], batch_size: u64) -> Result<(), Error> {
        // Spikes that one layer sends are those that the next receives: read once.
        let mut sent_before: Option<Vec<f32>> = None;
        for (i, trace) in layers.iter().enumerate() {
            let LayerTrace { received, input, sent } = trace;
            let (counts, fan, code) = (&mut self.counts.layers[i], &self.fans[i], self.codes[i]);
            let input = values(input)?;
            let sent = values(sent)?;
            let of_input = Spikes::count(&input, &fan.of_input, code);
            let of_received = match &fan.of_received {
                Some(fan_out) => {
                    let received = sent_before.take().map_or_else(|| values(received), Ok)?;
                    Spikes::count(&received, fan_out, code)
                }
                None => of_input,
            };
            counts.input_bits = counts.input_bits.max(of_received.widest);
            counts.received_spikes += of_received.n;
            counts.synaptic_events += of_received.events;
            counts.serial_events += of_received.serial_events;
            counts.effective_macs += of_input.events;
            counts.neuron_updates += counts.n_neurons * batch_size;
            let of_sent = Spikes::count(&sent, &[1], self.sent[i]);
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
    /// Of their fan-outs times the ones in their binary codes.
    serial_events: u64,
    /// Bits of the largest count.
    widest: u32,
}

impl Spikes {
    /// `values` are maps one after the other, each as large as `fan_out`.
    fn count(values: &[f32], fan_out: &[u64], code: InputCode) -> Self {
        let mut sum = Self::default();
        for map in values.chunks_exact(fan_out.len()) {
            for (value, fan_out) in map.iter().zip(fan_out) {
                if *value != 0.0 {
                    let ones = match code.code_of(*value) {
                        Some(number) => {
                            if code == InputCode::Counts {
                                sum.widest = sum.widest.max(u64::BITS - number.leading_zeros());
                            }
                            // What is less than a level, after pooling, is sent as one.
                            number.count_ones().max(1)
                        }
                        // Nothing is known of its bits: all of them are charged.
                        None => WORD_BITS,
                    };
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
        let spikes = Spikes::count(&values, &[10], InputCode::levels_of_bits(2));
        assert_eq!((spikes.n, spikes.events, spikes.serial_events), (3, 30, 40));
    }

    #[test]
    fn the_same_number_is_charged_by_what_it_is() {
        let ones = |code, value: f32| Spikes::count(&[value], &[1], code).serial_events;
        // One event is 1, not level 255 of 255: an eighth of it.
        assert_eq!(ones(InputCode::Counts, 1.0), 1);
        assert_eq!(ones(InputCode::Binary, 1.0), 1);
        assert_eq!(ones(InputCode::levels_of_bits(8), 1.0), 8);
        // Three events: 11. 255 and 256: 1111 1111 and 1 0000 0000.
        assert_eq!([3.0, 255.0, 256.0].map(|n| ones(InputCode::Counts, n)), [2, 8, 1]);
        assert_eq!(ones(InputCode::levels_of_bits(8), 128.0 / 255.0), 1);
        assert_eq!([-0.3, 1.0, 2.5].map(|x| ones(InputCode::Analog, x)), [8, 8, 8]);
    }

    #[test]
    fn a_count_beyond_a_word_widens_it() {
        let widest = |n| Spikes::count(&[n], &[1], InputCode::Counts).widest;
        assert_eq!([1.0, 255.0, 256.0, 65_536.0].map(widest), [1, 8, 9, 17]);
        assert_eq!(Spikes::count(&[1.0], &[1], InputCode::levels_of_bits(3)).widest, 0);
    }
}
