use candle_core::{DType, Device, Tensor};
use mbspike_core::activity::Counts;
use mbspike_core::{Decay, LifParams};
use serde::{Deserialize, Serialize};

use crate::check;
use crate::fused::{Fused, Plan};
use crate::init::Initializer;
use crate::layered;
use crate::quantization;
use crate::{
    Activity, Arch, Error, InputRange, Layer, LayerTrace, Loss, Membranes, NeuronConfig, Parameter,
    PoolKind, Quantization, Readout, Result,
};

/// Which code computes the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Execution {
    /// Fused where it applies, else layered.
    #[default]
    Auto,
    /// One sample at a time through all layers and steps, in the cache: f32 or bf16 on the CPU,
    /// without batch normalization and learnable time constants.
    Fused,
    /// One layer at a time over the whole batch, as tensor operations.
    Layered,
}

/// Element types of the computation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Single precision throughout.
    #[default]
    F32,
    /// Operands of convolutions and dense layers rounded to bf16, sums and weights in f32.
    Bf16,
    /// Double precision throughout, to check results with.
    F64,
}

/// What a network is built from.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkConfig {
    /// Its layers.
    pub arch: Arch,
    /// Its neurons.
    pub neuron: NeuronConfig,
    /// How the output layer's activity becomes class scores. A readout of membranes makes the
    /// output neurons integrate without reset.
    pub readout: Readout,
    /// Whether convolutions and dense layers have a bias.
    pub bias: bool,
    /// Which code computes it.
    pub execution: Execution,
    /// Element types.
    pub precision: Precision,
    /// Time steps whose activity is kept for the backward pass at once; longer sequences are
    /// recomputed in segments of this length (gradient checkpointing over time, fused execution
    /// only). `None` keeps all.
    pub checkpoint_steps: Option<usize>,
    /// What weights and inputs are rounded to in the forward pass.
    pub quantization: Quantization,
}

impl NetworkConfig {
    /// The thesis's settings for an architecture and a bit width.
    pub fn new(arch: Arch, bits: u32) -> Self {
        Self {
            arch,
            neuron: NeuronConfig::new(bits),
            readout: Readout::default(),
            bias: false,
            execution: Execution::default(),
            precision: Precision::default(),
            checkpoint_steps: None,
            quantization: Quantization::default(),
        }
    }
}

/// What dropout masks of a training step depend on, besides the sample's place in the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepKey {
    /// The run's seed.
    pub seed: u64,
    /// Training steps before this one.
    pub iteration: u64,
}

/// What a training step gives.
#[derive(Debug)]
pub struct StepOutput {
    /// Mean loss of the batch.
    pub loss: f64,
    /// Class scores `[B, n_classes]`.
    pub logits: Tensor,
    /// A gradient for each of [`Network::parameters`].
    pub gradients: Vec<Tensor>,
    /// Activity of the batch.
    pub activity: Activity,
}

/// What a training step gives, with all numbers on the network's device: nothing has waited for it.
#[derive(Debug)]
pub struct DeferredStep {
    /// Mean loss of the batch, a scalar.
    pub loss: Tensor,
    /// Class scores `[B, n_classes]`.
    pub logits: Tensor,
    /// A gradient for each of [`Network::parameters`].
    pub gradients: Vec<Tensor>,
    /// Activity of the batch, for [`Activity::read`].
    pub activity: Counts,
}

/// What a network answers in evaluation mode, with all numbers on its device.
#[derive(Debug)]
pub struct DeferredPrediction {
    /// Class scores `[B, n_classes]`.
    pub logits: Tensor,
    /// Activity of the batch, for [`Activity::read`].
    pub activity: Counts,
}

/// What a network answers in evaluation mode.
#[derive(Debug)]
pub struct Prediction {
    /// Class scores `[B, n_classes]`.
    pub logits: Tensor,
    /// Activity of the batch.
    pub activity: Activity,
}

/// One layer with the places of its variables in [`Network::parameters`] (`bn_stats` in
/// [`Network::buffers`]).
#[derive(Debug, Clone)]
pub(crate) enum Built {
    Conv { weight: usize, bias: Option<usize>, padding: usize, norm: Option<Norm>, lif: BuiltLif },
    Pool { kind: PoolKind, size: usize },
    Dense { weight: usize, bias: Option<usize>, lif: BuiltLif },
    Dropout { p: f64, index: usize },
    Vote { group: usize },
}

/// Batch normalization: scale and shift among the parameters, running mean and variance among the
/// buffers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Norm {
    pub(crate) weight: usize,
    pub(crate) bias: usize,
    pub(crate) mean: usize,
    pub(crate) variance: usize,
}

#[derive(Debug, Clone)]
pub(crate) struct BuiltLif {
    pub(crate) params: LifParams,
    /// The learnable time constant among the parameters.
    pub(crate) tau: Option<usize>,
    /// Whether the readout takes this layer's membranes instead of its spikes.
    pub(crate) reads_membrane: bool,
}

impl BuiltLif {
    /// The neurons' parameters with the time constant that was learned, as the kernels read it: one
    /// below 1 counts as 1.
    pub(crate) fn params_now(&self, network: &Network) -> Result<LifParams> {
        let Some(tau) = self.tau else { return Ok(self.params) };
        let tau = network.parameters[tau].var.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?;
        let tau: f64 = tau.first().copied().unwrap_or(f64::NAN);
        let decay = Decay::Tau(if tau < 1.0 { 1.0 } else { tau });
        let params = LifParams { decay, ..self.params };
        params.validate()?;
        Ok(params)
    }
}

/// A spiking network with its variables.
///
/// Sequences are `[T, B, C, H, W]`. Membranes start at zero with every call: no state is kept
/// between batches.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use mbspike_lif::{Network, NetworkConfig};
///
/// let config = NetworkConfig::new("28x28-8c5-2a-16c5-2a-10o".parse()?, 2);
/// let mut network = Network::new(&config, 2025, &Device::Cpu)?;
/// let x_seq = Tensor::ones((10, 3, 1, 28, 28), candle_core::DType::F32, &Device::Cpu)?;
/// let prediction = network.predict(&x_seq)?;
/// assert_eq!(prediction.logits.dims(), [3, 10]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Network {
    pub(crate) config: NetworkConfig,
    pub(crate) device: Device,
    pub(crate) layers: Vec<Built>,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) buffers: Vec<Parameter>,
    positions: Vec<String>,
    /// The observed [`InputRange`] among the buffers, where inputs are quantized.
    input_range: Option<usize>,
    fused: Option<Fused>,
}

impl Network {
    /// Builds a network; its weights are PyTorch's defaults (uniform in `±1/√fan_in`), drawn from
    /// `seed`.
    ///
    /// # Errors
    /// As [`check`](crate::check()), which asks the same without building anything.
    pub fn new(config: &NetworkConfig, seed: u64, device: &Device) -> Result<Self> {
        let execution = check::execution(config, device.into())?;
        let shapes = config.arch.shapes()?;
        let dtype = if config.precision == Precision::F64 { DType::F64 } else { DType::F32 };
        let empty = || Initializer { seed, dtype, device, parameters: vec![] };
        let (mut init, mut buffers) = (empty(), empty());
        let input_range = match config.quantization {
            Quantization::None => None,
            Quantization::Int8 => Some(buffers.constant("input.range".into(), 2, 0.0)?),
        };
        let mut layers: Vec<Built> = vec![];
        let mut positions = vec!["input".to_owned()];
        let (mut n_conv, mut n_dense, mut n_norm, mut n_dropout) = (0, 0, 0, 0);
        let n_spiking = config.arch.n_spiking();
        let inputs = std::iter::once(&config.arch.input).chain(&shapes);
        for (layer, input) in config.arch.layers.iter().zip(inputs) {
            let lif = if layer.is_spiking() {
                let index = positions.len();
                positions.push(format!("lif{index}"));
                let reads_membrane =
                    matches!(layer, Layer::Output { .. }) && config.readout.reads_membrane();
                let mut params = config.neuron.params(index - 1, n_spiking)?;
                if reads_membrane {
                    params.reset = mbspike_core::Reset::None {};
                }
                let tau = if config.neuron.learnable_tau { Some(index) } else { None };
                Some((params, tau, reads_membrane))
            } else {
                None
            };
            let finish_lif = |init: &mut Initializer<'_>| -> Result<BuiltLif> {
                let Some((params, tau, reads_membrane)) = lif else {
                    unreachable!("only layers that spike have neurons")
                };
                let tau = match tau {
                    Some(i) => Some(init.constant(format!("lif{i}.tau"), 1, config.neuron.tau)?),
                    None => None,
                };
                Ok(BuiltLif { params, tau, reads_membrane })
            };
            layers.push(match *layer {
                Layer::Conv { channels, kernel, valid } => {
                    n_conv += 1;
                    let fan_in = input.channels * kernel * kernel;
                    let dims = [channels, input.channels, kernel, kernel];
                    let weight = init.uniform(format!("conv{n_conv}.weight"), &dims, fan_in)?;
                    let bias = if config.bias {
                        Some(init.uniform(format!("conv{n_conv}.bias"), &[channels], fan_in)?)
                    } else {
                        None
                    };
                    let padding = if valid { 0 } else { kernel / 2 };
                    Built::Conv { weight, bias, padding, norm: None, lif: finish_lif(&mut init)? }
                }
                Layer::BatchNorm => {
                    n_norm += 1;
                    let n = input.channels;
                    let norm_of_layer = Norm {
                        weight: init.constant(format!("bn{n_norm}.weight"), n, 1.0)?,
                        bias: init.constant(format!("bn{n_norm}.bias"), n, 0.0)?,
                        mean: buffers.constant(format!("bn{n_norm}.running_mean"), n, 0.0)?,
                        variance: buffers.constant(format!("bn{n_norm}.running_var"), n, 1.0)?,
                    };
                    let Some(Built::Conv { norm, .. }) = layers.last_mut() else {
                        unreachable!("the notation has bn after a convolution only")
                    };
                    *norm = Some(norm_of_layer);
                    continue;
                }
                Layer::Pool { kind, size } => Built::Pool { kind, size },
                Layer::Dense { neurons } | Layer::Output { neurons } => {
                    n_dense += 1;
                    let fan_in = input.n_elements();
                    let weight =
                        init.uniform(format!("fc{n_dense}.weight"), &[neurons, fan_in], fan_in)?;
                    let bias = if config.bias {
                        Some(init.uniform(format!("fc{n_dense}.bias"), &[neurons], fan_in)?)
                    } else {
                        None
                    };
                    Built::Dense { weight, bias, lif: finish_lif(&mut init)? }
                }
                Layer::Dropout { p } => {
                    n_dropout += 1;
                    Built::Dropout { p, index: n_dropout - 1 }
                }
                Layer::Vote { group } => Built::Vote { group },
            });
        }
        let parameters = init.parameters;
        let fused = match execution {
            Execution::Fused => Some(Fused::new(Plan::new(config, &layers)?)),
            Execution::Auto | Execution::Layered => None,
        };
        let config = config.clone();
        let buffers = buffers.parameters;
        let device = device.clone();
        Ok(Self { config, device, layers, parameters, buffers, positions, input_range, fused })
    }

    /// What it was built from.
    pub fn config(&self) -> &NetworkConfig {
        &self.config
    }

    /// What it computes on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Trainable variables, numbered from the input: `conv1.weight` `[out, in, ky, kx]`,
    /// `fc1.weight` `[out, in]`, `bn1.weight`, `lif1.tau`, …
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// Running statistics of batch normalization, and the observed range of inputs that are
    /// quantized: saved with the weights, not trained.
    pub fn buffers(&self) -> &[Parameter] {
        &self.buffers
    }

    /// Names of the measuring positions: `input`, `lif1`, …, the output's last.
    pub fn positions(&self) -> &[String] {
        &self.positions
    }

    /// Whether it is computed one sample at a time through all layers.
    pub fn is_fused(&self) -> bool {
        self.fused.is_some()
    }

    /// Forward pass, loss and backward pass of a batch: `x_seq` `[T, B, C, H, W]`, `targets`
    /// `[B, n_classes]` class probabilities.
    ///
    /// # Errors
    /// If the shapes do not fit the network.
    pub fn train_step(
        &mut self,
        x_seq: &Tensor,
        targets: &Tensor,
        loss: Loss,
        key: StepKey,
    ) -> Result<StepOutput> {
        let step = self.train_step_deferred(x_seq, targets, loss, key)?;
        Ok(StepOutput {
            loss: step.loss.to_dtype(DType::F64)?.to_scalar()?,
            logits: step.logits,
            gradients: step.gradients,
            activity: Activity::read(&step.activity)?,
        })
    }

    /// [`Network::train_step`] that does not wait for the device.
    ///
    /// # Errors
    /// As [`Network::train_step`].
    pub fn train_step_deferred(
        &mut self,
        x_seq: &Tensor,
        targets: &Tensor,
        loss: Loss,
        key: StepKey,
    ) -> Result<DeferredStep> {
        let (_, batch_size) = self.check_input(x_seq)?;
        let expected = [batch_size, self.config.arch.n_classes()];
        if targets.dims() != expected {
            return Err(Error::Mismatch {
                op: "train_step",
                what: "targets".into(),
                got: format!("{:?}", targets.dims()),
                expected: format!("[B, n_classes] = {expected:?}"),
            });
        }
        loss.validate()?;
        self.observe_input(x_seq)?;
        let x_seq = &self.quantized_input(x_seq)?;
        match &mut self.fused {
            Some(fused) => {
                let step = fused.train_step(&self.parameters, x_seq, targets, loss, key)?;
                Ok(DeferredStep {
                    loss: Tensor::new(step.loss, &Device::Cpu)?,
                    logits: step.logits,
                    gradients: step.gradients,
                    activity: step.activity.to_counts(),
                })
            }
            None => layered::train_step(self, x_seq, targets, loss, key),
        }
    }

    /// Class scores of a batch in evaluation mode: without dropout, with the running statistics of
    /// batch normalization.
    ///
    /// # Errors
    /// If the shape of `x_seq` `[T, B, C, H, W]` does not fit the network.
    pub fn predict(&mut self, x_seq: &Tensor) -> Result<Prediction> {
        let prediction = self.predict_deferred(x_seq)?;
        let activity = Activity::read(&prediction.activity)?;
        Ok(Prediction { logits: prediction.logits, activity })
    }

    /// [`Network::predict`] that does not wait for the device.
    ///
    /// # Errors
    /// As [`Network::predict`].
    pub fn predict_deferred(&mut self, x_seq: &Tensor) -> Result<DeferredPrediction> {
        self.check_input(x_seq)?;
        let x_seq = &self.quantized_input(x_seq)?;
        match &mut self.fused {
            Some(fused) => {
                let Prediction { logits, activity } = fused.predict(&self.parameters, x_seq)?;
                Ok(DeferredPrediction { logits, activity: activity.to_counts() })
            }
            None => layered::predict(self, x_seq),
        }
    }

    /// What was seen of the input in training, where it is quantized.
    pub fn input_range(&self) -> Result<Option<InputRange>> {
        let Some(buffer) = self.input_range else { return Ok(None) };
        let values = self.buffers[buffer].var.to_vec1::<f32>()?;
        Ok(Some(InputRange { largest: values[0], is_whole: values[1] == 0.0 }))
    }

    /// Rounds the weights of convolutions and dense layers, in place, to what int8 can say.
    ///
    /// # Errors
    /// If the weights are not f32 on the CPU.
    pub fn quantize_weights(&self) -> Result<()> {
        for layer in &self.layers {
            if let Built::Conv { weight, .. } | Built::Dense { weight, .. } = layer {
                let var = &self.parameters[*weight].var;
                var.set(&quantization::fake_quantized(&var.as_detached_tensor())?)?;
            }
        }
        Ok(())
    }

    /// Widens the range of quantized inputs to that of a training batch.
    fn observe_input(&self, x_seq: &Tensor) -> Result<()> {
        let (Some(buffer), Some(mut range)) = (self.input_range, self.input_range()?) else {
            return Ok(());
        };
        let before = range;
        let x_seq = x_seq.to_dtype(DType::F32)?.to_device(&Device::Cpu)?.contiguous()?;
        mbspike_core::read::<f32, _>(&x_seq, |values| {
            range.observe(values);
            Ok(())
        })?;
        if range != before {
            let has_fractions = if range.is_whole { 0.0 } else { 1.0 };
            let values = Tensor::new(&[range.largest, has_fractions], &self.device)?;
            self.buffers[buffer].var.set(&values)?;
        }
        Ok(())
    }

    /// The input as its codes say it. Before anything was observed it is left as it is.
    fn quantized_input(&self, x_seq: &Tensor) -> Result<Tensor> {
        let Some(step) = self.input_range()?.and_then(|range| range.step()) else {
            return Ok(x_seq.clone());
        };
        let cpu = x_seq.to_dtype(DType::F32)?.to_device(&Device::Cpu)?.contiguous()?;
        let values = mbspike_core::read::<f32, _>(&cpu, |values| {
            Ok(values.iter().map(|x| quantization::code_of(*x, step) * step).collect::<Vec<_>>())
        })?;
        Ok(Tensor::from_vec(values, x_seq.dims(), &Device::Cpu)?.to_device(x_seq.device())?)
    }

    /// What passes through each layer of weights in one time step, in evaluation mode: `x` is
    /// `[B, C, H, W]`, and `membranes` are those after the step before, and then after this one.
    /// Computed layer by layer; takes the memory of one step.
    ///
    /// # Errors
    /// If the shape of `x` does not fit the network, or the membranes are of another batch.
    pub fn trace_step(&self, x: &Tensor, membranes: &mut Membranes) -> Result<Vec<LayerTrace>> {
        let x_seq = x.unsqueeze(0)?;
        self.check_input(&x_seq)?;
        layered::trace_step(self, &self.quantized_input(&x_seq)?, membranes)
    }

    /// Steps and batch size.
    fn check_input(&self, x_seq: &Tensor) -> Result<(usize, usize)> {
        let input = self.config.arch.input;
        match *x_seq.dims() {
            [t, b, c, h, w]
                if t > 0 && b > 0 && (c, h, w) == (input.channels, input.height, input.width) =>
            {
                Ok((t, b))
            }
            ref dims => Err(Error::Mismatch {
                op: "network",
                what: "the input".into(),
                got: format!("{dims:?}"),
                expected: format!(
                    "[T, B, C, H, W] with T, B > 0 and C, H, W = {}, {}, {}",
                    input.channels, input.height, input.width
                ),
            }),
        }
    }
}
