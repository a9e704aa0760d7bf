use serde::{Deserialize, Serialize};

/// How the neurons of a layer are connected to what they listen to.
#[derive(Default, Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LayerKind {
    /// A convolution: weights are shared between places.
    Convolution,
    /// Every neuron listens to every input.
    #[default]
    Dense,
}

/// A layer of weights and its neurons, with what happened in it.
///
/// The first group of fields describes the layer; `dense_macs` and `n_synapses` are those of one
/// sample and one time step. The second group sums over all samples and time steps of
/// [`OperationCounts`].
#[derive(Default, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerCounts {
    /// `conv1`, `fc1`, …
    pub name: String,
    /// How it is connected.
    pub kind: LayerKind,
    /// Bits of the spikes its neurons send.
    pub bits: u32,
    /// Bits of the spikes that arrive.
    pub input_bits: u32,
    /// Neurons.
    pub n_neurons: u64,
    /// Weights in memory, biases left out.
    pub n_weights: u64,
    /// Biases in memory.
    pub n_biases: u64,
    /// Multiply-adds of the dense layer, as usually counted: outputs times fan-in, zeros of the
    /// padding included. The F of eqs. 5.2 and 5.3.
    pub dense_macs: u64,
    /// Connections between an input and a neuron: as `dense_macs` without the padding.
    pub n_synapses: u64,

    /// Spikes that arrive, counted where they are sent: before an average pooling on the way.
    pub received_spikes: u64,
    /// Weights that these spikes are added through: the sum of their fan-outs. Average pooling on
    /// the way is part of the weights. At more than one bit an event is a multiply-add.
    pub synaptic_events: u64,
    /// Synaptic events if spikes were sent bit by bit: each fan-out times the ones in the binary
    /// code of the spike's level.
    pub serial_events: u64,
    /// Multiply-adds whose input is not zero, if pooling is computed on the way: sums over non-zero
    /// inputs of the layer itself.
    pub effective_macs: u64,
    /// Updates of a membrane: neurons times time steps times samples.
    pub neuron_updates: u64,
    /// Spikes that its neurons send.
    pub sent_spikes: u64,
    /// Ones in the binary codes of these spikes' levels.
    pub sent_ones: u64,
}

impl LayerCounts {
    /// Bits of payload sent: each spike carries its level.
    pub fn sent_payload_bits(&self) -> u64 {
        self.sent_spikes * u64::from(self.bits)
    }

    /// Reads of a weight: one an event.
    pub fn weight_reads(&self) -> u64 {
        self.synaptic_events
    }

    /// Reads of a membrane, as many as writes: one an event and one an update.
    pub fn membrane_accesses(&self) -> u64 {
        self.synaptic_events + self.neuron_updates
    }

    /// Whether an event multiplies: its spike has more than two levels.
    pub fn multiplies(&self) -> bool {
        self.input_bits > 1
    }
}

/// What a network did on some samples.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OperationCounts {
    /// Time steps of a sample.
    pub time_steps: u64,
    /// Samples counted.
    pub n_samples: u64,
    /// The layers, from the input on.
    pub layers: Vec<LayerCounts>,
}

impl OperationCounts {
    /// A sum over the layers as a mean over the samples: a number of one inference.
    pub fn per_sample(&self, of_layer: impl Fn(&LayerCounts) -> u64) -> f64 {
        let sum: u64 = self.layers.iter().map(of_layer).sum();
        sum as f64 / self.n_samples.max(1) as f64
    }
}

/// The sizes that the fan-out of a convolution depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvolutionShape {
    /// Rows of the input.
    pub height: usize,
    /// Columns of the input.
    pub width: usize,
    /// Height and width of the kernel.
    pub kernel: usize,
    /// Zeros added on each side.
    pub padding: usize,
    /// Steps between outputs.
    pub stride: usize,
    /// Steps between the kernel's taps.
    pub dilation: usize,
    /// Channels of the output that see a channel of the input: all, or those of its group.
    pub out_channels: usize,
}

impl ConvolutionShape {
    /// For each pixel of the input, row by row, the weights that a spike there goes through:
    /// `out_channels · kernel²` in the middle, fewer at borders.
    pub fn fan_out(&self) -> Vec<u64> {
        let reach = self.dilation * (self.kernel - 1) + 1;
        let places = |at: usize, size: usize| {
            let n_outputs = match (size + 2 * self.padding).checked_sub(reach) {
                Some(room) => room / self.stride + 1,
                None => 0,
            };
            // Tap k of output o is at input o · stride − padding + k · dilation.
            let output = |k: usize| {
                let from = (at + self.padding).checked_sub(k * self.dilation)?;
                from.is_multiple_of(self.stride).then_some(from / self.stride)
            };
            (0..self.kernel).filter(|k| output(*k).is_some_and(|o| o < n_outputs)).count()
        };
        let columns: Vec<usize> = (0..self.width).map(|x| places(x, self.width)).collect();
        let rows = (0..self.height).map(|y| places(y, self.height));
        rows.flat_map(|row| columns.iter().map(move |column| row * column))
            .map(|n| (n * self.out_channels) as u64)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::ConvolutionShape;

    #[test]
    fn fan_outs_agree_with_a_count_by_hand() {
        // 1×4 pixels, kernel 3, padding 1: outputs at 0..4 cover −1..2, 0..3, 1..4, 2..5.
        let shape = |height, width, kernel, padding| ConvolutionShape {
            height,
            width,
            kernel,
            padding,
            stride: 1,
            dilation: 1,
            out_channels: 1,
        };
        // Rows: a single row is seen by the kernel's middle row only.
        assert_eq!(shape(1, 4, 3, 1).fan_out(), [2, 3, 3, 2]);
        assert_eq!(shape(2, 2, 3, 1).fan_out(), [4, 4, 4, 4]);
        // Without padding the corners are seen once and the middle three times.
        assert_eq!(shape(5, 5, 3, 0).fan_out()[..5], [1, 2, 3, 2, 1]);
        assert_eq!(shape(5, 5, 3, 0).fan_out()[12], 9);
        assert_eq!(shape(3, 3, 3, 0).fan_out(), [1; 9]);
    }

    #[test]
    fn fan_outs_agree_with_plain_loops() {
        for (height, width, kernel, padding, stride, dilation) in [
            (6, 5, 5, 2, 1, 1),
            (4, 7, 3, 0, 1, 1),
            (5, 5, 1, 0, 1, 1),
            (6, 7, 3, 1, 2, 1),
            (9, 8, 5, 2, 3, 1),
            (5, 5, 1, 0, 2, 1),
            (7, 9, 3, 2, 1, 2),
            (9, 9, 3, 1, 2, 2),
        ] {
            let out_channels = 3;
            let shape =
                ConvolutionShape { height, width, kernel, padding, stride, dilation, out_channels };
            let mut expected = vec![0; height * width];
            let reach = dilation * (kernel - 1);
            for y in (0..height + 2 * padding - reach).step_by(stride) {
                for x in (0..width + 2 * padding - reach).step_by(stride) {
                    for (ky, kx) in (0..kernel * kernel).map(|k| (k / kernel, k % kernel)) {
                        let (iy, ix) = (y + ky * dilation, x + kx * dilation);
                        let inside = (padding..height + padding).contains(&iy)
                            && (padding..width + padding).contains(&ix);
                        if inside {
                            expected[(iy - padding) * width + ix - padding] += 3;
                        }
                    }
                }
            }
            assert_eq!(shape.fan_out(), expected);
        }
    }
}
