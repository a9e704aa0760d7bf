//! What a network does on samples, counted: the bridge from tensors to `mbspike_energy`.

use candle_core::{DType, Tensor};
use mbspike_data::InputCode;
use mbspike_energy::{ConvolutionShape, LayerCounts, LayerKind, OperationCounts};
use mbspike_lif::graph::{Graph, NodeId, Op, Pooling, Role};
use mbspike_lif::layer::NeuronParams;
use mbspike_lif::{LayerTrace, Membranes, Network, NetworkConfig, PoolKind, Shape};

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
    /// By layer: what it receives, and what its neurons send.
    codes: Vec<[Option<Code>; 2]>,
}

/// What a number that is sent stands for.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Code {
    /// Levels of `unit` each, in so many bits.
    Levels {
        /// The value of one level.
        unit: f64,
        /// Bits that the highest takes, and one for a sign.
        bits: u32,
    },
    /// What the encoder says of the input, or analog.
    Input(InputCode),
}

impl Code {
    fn bits(self) -> u32 {
        match self {
            Self::Levels { bits, .. } => bits,
            Self::Input(code) => bits_of(code),
        }
    }

    /// The number's level or count; `None` for an analog number.
    fn number(self, value: f32) -> Option<u64> {
        match self {
            Self::Levels { unit, .. } => Some((f64::from(value).abs() / unit).round() as u64),
            Self::Input(code) => code.code_of(value),
        }
    }
}

/// Bits of a spike: of its level, and of its sign where it has one.
fn spike_bits(params: &NeuronParams) -> u32 {
    params.lif.bits() + u32::from(params.signed)
}

/// What node `id` sends: the levels of neurons, or of a sum of such of one kind; all else is analog.
fn code_of(graph: &Graph, id: NodeId, input: InputCode) -> Code {
    let node = graph.node(id);
    match &node.op {
        Op::Input(_) => Code::Input(input),
        Op::Neurons(neurons) => {
            Code::Levels { unit: neurons.params.level_output(), bits: spike_bits(&neurons.params) }
        }
        Op::Add(_) => {
            let codes: Vec<Code> =
                node.inputs.iter().map(|id| code_of(graph, *id, input)).collect();
            let Code::Levels { unit, .. } = codes[0] else {
                return Code::Input(InputCode::Analog);
            };
            let is_same = |code: &Code| matches!(code, Code::Levels { unit: u, .. } if *u == unit);
            if !codes.iter().all(is_same) {
                return Code::Input(InputCode::Analog);
            }
            // A sum of `n` such levels takes so many bits more.
            let widest = codes.iter().map(|code| code.bits()).max().unwrap_or(1);
            let more = usize::BITS - (codes.len() - 1).leading_zeros();
            Code::Levels { unit, bits: widest + more }
        }
        // They pass on what they read.
        Op::Pool(_) | Op::Flatten(_) | Op::Dropout(_) => code_of(graph, node.inputs[0], input),
        // Currents.
        Op::Conv(_) | Op::Dense(_) | Op::Norm(_) | Op::Output(_) | Op::Vote(_) => {
            Code::Input(InputCode::Analog)
        }
    }
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
        let graph = config.graph()?;
        let mut counter =
            Self { counts: OperationCounts::default(), fans: Vec::new(), codes: Vec::new() };
        for weights in graph.weights() {
            let node = graph.node(weights.node);
            let reads = graph.node(weights.input).shape();
            let output = node.shape();
            let code = code_of(&graph, weights.source, input);
            let (kind, fan_out, fan_in) = if let Op::Conv(conv) = &node.op {
                let shape = ConvolutionShape {
                    height: reads.height,
                    width: reads.width,
                    kernel: conv.kernel,
                    padding: conv.padding,
                    stride: conv.stride,
                    dilation: conv.dilation,
                    out_channels: conv.channels / conv.groups,
                };
                (LayerKind::Convolution, shape.fan_out(), conv.fan_in(reads.channels))
            } else {
                // A dense layer, or a recurrent edge.
                let fan_out = vec![output.channels as u64; reads.height * reads.width];
                (LayerKind::Dense, fan_out, reads.n_elements())
            };
            let role = if weights.is_recurrent { Role::Recurrent } else { Role::Weight };
            let variable = node.variables.iter().find(|variable| variable.role == role);
            let has_bias = weights.is_normed
                || node.variables.iter().any(|variable| variable.role == Role::Bias);
            let has_bias = has_bias && !weights.is_recurrent;
            // Neurons that several layers of weights drive count once.
            let neurons = weights.neurons.map(|neurons| graph.node(neurons));
            let bits = match neurons.map(|neurons| &neurons.op) {
                Some(Op::Neurons(neurons)) => spike_bits(&neurons.params),
                _ => 0,
            };
            let name = if weights.is_recurrent {
                format!("{}.recurrent", node.name)
            } else {
                node.name.clone()
            };
            counter.counts.layers.push(LayerCounts {
                name,
                kind,
                bits,
                input_bits: code.bits(),
                n_neurons: neurons.map_or(0, |neurons| neurons.shape().n_elements() as u64),
                n_weights: variable.map_or(0, |v| v.dims.iter().product::<usize>() as u64),
                n_biases: if has_bias { output.channels as u64 } else { 0 },
                dense_macs: (output.n_elements() * fan_in) as u64,
                n_synapses: fan_out.iter().sum::<u64>() * reads.channels as u64,
                received_spikes: 0,
                synaptic_events: 0,
                serial_events: 0,
                effective_macs: 0,
                neuron_updates: 0,
                sent_spikes: 0,
                sent_ones: 0,
            });
            let sent = graph.node(weights.source).shape();
            let of_received = folded(&fan_out, sent, &weights.pools);
            counter.fans.push(Fan { of_input: fan_out, of_received });
            let of_neurons = weights.neurons.map(|neurons| code_of(&graph, neurons, input));
            counter.codes.push([Some(code), of_neurons]);
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
        for (i, trace) in layers.iter().enumerate() {
            let LayerTrace { received, input, sent, node: _ } = trace;
            let (counts, fan) = (&mut self.counts.layers[i], &self.fans[i]);
            let [Some(code), of_neurons] = self.codes[i] else { continue };
            let of_input = Spikes::count(&values(input)?, &fan.of_input, code);
            let of_received = match &fan.of_received {
                Some(fan_out) => Spikes::count(&values(received)?, fan_out, code),
                None => of_input,
            };
            counts.input_bits = counts.input_bits.max(of_received.widest);
            counts.received_spikes += of_received.n;
            counts.synaptic_events += of_received.events;
            counts.serial_events += of_received.serial_events;
            counts.effective_macs += of_input.events;
            counts.neuron_updates += counts.n_neurons * batch_size;
            if let (Some(sent), Some(code)) = (sent, of_neurons) {
                let of_sent = Spikes::count(&values(sent)?, &[1], code);
                counts.sent_spikes += of_sent.n;
                counts.sent_ones += of_sent.serial_events;
            }
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
fn folded(fan_out: &[u64], sent: Shape, pools: &[Pooling]) -> Option<Vec<u64>> {
    if pools.iter().any(|pool| pool.kind == PoolKind::Max) {
        return None;
    }
    // Behind a dense layer that reads a row, all places of a map are one.
    if fan_out.len() == 1 {
        return Some(vec![fan_out[0]; sent.height * sent.width]);
    }
    let size: usize = pools.iter().map(|pool| pool.size).product();
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
    fn count(values: &[f32], fan_out: &[u64], code: Code) -> Self {
        let mut sum = Self::default();
        for map in values.chunks_exact(fan_out.len()) {
            for (value, fan_out) in map.iter().zip(fan_out) {
                if *value != 0.0 {
                    let ones = match code.number(*value) {
                        Some(number) => {
                            if code == Code::Input(InputCode::Counts) {
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
        let pool = |kind| Pooling { kind, size: 2 };
        let average = [pool(PoolKind::Average)];
        let expected = [1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4];
        assert_eq!(folded(&[1, 2, 3, 4], sent, &average).unwrap(), expected);
        assert_eq!(folded(&[1, 2, 3, 4], sent, &[pool(PoolKind::Max)]), None);
        let twice = [pool(PoolKind::Average), pool(PoolKind::Sum)];
        assert_eq!(folded(&[7], sent, &twice).unwrap(), [7; 16]);
    }

    #[test]
    fn levels_are_counted_by_the_ones_of_their_codes() {
        // Levels 0, 1, 2, 3 of two bits: 0, 1, 1 and 2 ones.
        let values = [0.0, 1.0 / 3.0, 2.0 / 3.0, 1.0];
        let spikes = Spikes::count(&values, &[10], Code::Levels { unit: 1.0 / 3.0, bits: 2 });
        assert_eq!((spikes.n, spikes.events, spikes.serial_events), (3, 30, 40));
    }

    #[test]
    fn a_sign_is_no_event() {
        let counts = Code::Levels { unit: 1.0, bits: 3 };
        assert_eq!(Spikes::count(&[-3.0], &[5], counts).serial_events, 10);
    }

    #[test]
    fn the_same_number_is_charged_by_what_it_is() {
        let ones =
            |code, value: f32| Spikes::count(&[value], &[1], Code::Input(code)).serial_events;
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
        let widest = |n| Spikes::count(&[n], &[1], Code::Input(InputCode::Counts)).widest;
        assert_eq!([1.0, 255.0, 256.0, 65_536.0].map(widest), [1, 8, 9, 17]);
        assert_eq!(
            Spikes::count(&[1.0], &[1], Code::Input(InputCode::levels_of_bits(3))).widest,
            0
        );
    }
}
