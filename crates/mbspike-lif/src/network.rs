use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device, Tensor};

use crate::batch::{self, Batch};
use crate::check;
use crate::fused::{self, Fused};
use crate::graph::{Graph, Op, Role};
use crate::layered::Layered;
use crate::quantization;
use crate::variables::Variables;
use crate::{
    Activity, DeferredPrediction, DeferredStep, Error, Execution, InputRange, LayerTrace, Loss,
    Membranes, NetworkConfig, Parameter, Precision, Prediction, Quantization, Result, StepKey,
    StepOutput,
};

/// What a network is computed by, with its working memory.
#[derive(Debug)]
enum Engine {
    Fused(Box<Mutex<Fused>>),
    Batch(Box<Mutex<Batch>>),
    Layered,
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
/// let network = Network::new(&config, 2025, &Device::Cpu)?;
/// let x_seq = Tensor::ones((10, 3, 1, 28, 28), candle_core::DType::F32, &Device::Cpu)?;
/// let prediction = network.predict(&x_seq)?;
/// assert_eq!(prediction.logits.dims(), [3, 10]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Network {
    config: NetworkConfig,
    graph: Graph,
    device: Device,
    variables: Variables,
    positions: Vec<String>,
    /// The observed [`InputRange`] among the buffers, where inputs are quantized.
    input_range: Option<usize>,
    engine: Engine,
}

impl Network {
    /// Builds a network; its weights are PyTorch's defaults (uniform in `±1/√fan_in`), drawn from
    /// `seed`.
    ///
    /// # Errors
    /// As [`check`](crate::check()), which asks the same without building anything.
    pub fn new(config: &NetworkConfig, seed: u64, device: &Device) -> Result<Self> {
        let graph = config.graph()?;
        let execution = check::execution_of(&graph, config, device.into())?;
        let dtype = if config.precision == Precision::F64 { DType::F64 } else { DType::F32 };
        let (first, input_range) = match config.quantization {
            Quantization::None => (None, None),
            Quantization::Int8 => (Some(("input.range", 2)), Some(0)),
        };
        let variables = Variables::new(&graph, seed, dtype, device, first)?;
        let engine = match execution {
            Execution::Fused => {
                let plan = fused::Plan::new(config, &graph, &variables)?;
                Engine::Fused(Box::new(Mutex::new(Fused::new(plan))))
            }
            Execution::Batch => {
                let plan = batch::Plan::new(config, &graph, &variables)?;
                Engine::Batch(Box::new(Mutex::new(Batch::new(plan))))
            }
            Execution::Auto | Execution::Layered => Engine::Layered,
        };
        let neurons = graph.neurons().map(|(id, _)| graph.node(id).name.clone());
        let positions = std::iter::once("input".to_owned()).chain(neurons).collect();
        let (config, device) = (config.clone(), device.clone());
        Ok(Self { config, graph, device, variables, positions, input_range, engine })
    }

    /// What it was built from.
    pub fn config(&self) -> &NetworkConfig {
        &self.config
    }

    /// Its graph.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// What it computes on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Trainable variables, numbered from the input: `conv1.weight` `[out, in, ky, kx]`,
    /// `fc1.weight` `[out, in]`, `bn1.weight`, `lif1.tau`, …
    pub fn parameters(&self) -> &[Parameter] {
        &self.variables.parameters
    }

    /// Running statistics of batch normalization, and the observed range of inputs that are
    /// quantized: saved with the weights, not trained.
    pub fn buffers(&self) -> &[Parameter] {
        &self.variables.buffers
    }

    /// The first learnable time constant that is not a finite number any more, with its value.
    ///
    /// # Errors
    /// If it cannot be copied from the device.
    pub fn lost_tau(&self) -> Result<Option<(&str, f64)>> {
        for Parameter { name, var, at_least } in &self.variables.parameters {
            if at_least.is_some() {
                for value in var.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()? {
                    if !value.is_finite() {
                        return Ok(Some((name, value)));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Names of the measuring positions: `input` and the nodes of neurons, `lif1`, …, the output's last.
    pub fn positions(&self) -> &[String] {
        &self.positions
    }

    /// Which code computes it; never [`Execution::Auto`].
    pub fn execution(&self) -> Execution {
        match self.engine {
            Engine::Fused(_) => Execution::Fused,
            Engine::Batch(_) => Execution::Batch,
            Engine::Layered => Execution::Layered,
        }
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
        let (n_steps, batch_size) = self.check_input(x_seq)?;
        if !matches!(self.engine, Engine::Fused(_)) {
            check::check_batch(&self.config.arch, n_steps, batch_size)?;
        }
        let expected = [batch_size, self.graph.n_classes()];
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
        let variables = &self.variables;
        let step = match &self.engine {
            Engine::Fused(fused) => {
                let mut fused = fused.lock().unwrap_or_else(PoisonError::into_inner);
                fused.train_step(&variables.parameters, x_seq, targets, loss, key)?
            }
            Engine::Batch(batch) => {
                let mut batch = batch.lock().unwrap_or_else(PoisonError::into_inner);
                batch.train_step(variables, x_seq, targets, loss, key)?
            }
            Engine::Layered => return self.layered().train_step(x_seq, targets, loss, key),
        };
        Ok(DeferredStep {
            loss: Tensor::new(step.loss, &Device::Cpu)?,
            logits: step.logits,
            gradients: step.gradients,
            activity: step.activity.to_counts(),
        })
    }

    /// Class scores of a batch in evaluation mode: without dropout, with the running statistics of
    /// batch normalization.
    ///
    /// # Errors
    /// If the shape of `x_seq` `[T, B, C, H, W]` does not fit the network.
    pub fn predict(&self, x_seq: &Tensor) -> Result<Prediction> {
        let prediction = self.predict_deferred(x_seq)?;
        let activity = Activity::read(&prediction.activity)?;
        Ok(Prediction { logits: prediction.logits, activity })
    }

    /// [`Network::predict`] that does not wait for the device.
    ///
    /// # Errors
    /// As [`Network::predict`].
    pub fn predict_deferred(&self, x_seq: &Tensor) -> Result<DeferredPrediction> {
        self.check_input(x_seq)?;
        let x_seq = &self.quantized_input(x_seq)?;
        let Prediction { logits, activity } = match &self.engine {
            Engine::Fused(fused) => {
                let mut fused = fused.lock().unwrap_or_else(PoisonError::into_inner);
                fused.predict(&self.variables.parameters, x_seq)?
            }
            Engine::Batch(batch) => {
                let mut batch = batch.lock().unwrap_or_else(PoisonError::into_inner);
                batch.predict(&self.variables, x_seq)?
            }
            Engine::Layered => return self.layered().predict(x_seq),
        };
        Ok(DeferredPrediction { logits, activity: activity.to_counts() })
    }

    /// What was seen of the input in training, where it is quantized.
    pub fn input_range(&self) -> Result<Option<InputRange>> {
        let Some(buffer) = self.input_range else { return Ok(None) };
        let values = self.variables.buffers[buffer].var.to_vec1::<f32>()?;
        Ok(Some(InputRange { largest: values[0], ..InputRange::of(self.config.input) }))
    }

    /// Rounds the weights of convolutions and dense layers, in place, to what int8 can say.
    ///
    /// # Errors
    /// If the weights are not f32 on the CPU.
    pub fn quantize_weights(&self) -> Result<()> {
        for (id, node) in self.graph.nodes().iter().enumerate() {
            let roles: &[Role] = match &node.op {
                Op::Conv(_) | Op::Dense(_) => &[Role::Weight],
                Op::Neurons(_) => &[Role::Recurrent],
                Op::Input(_)
                | Op::Norm(_)
                | Op::Pool(_)
                | Op::Flatten(_)
                | Op::Dropout(_)
                | Op::Add(_)
                | Op::Output(_)
                | Op::Vote(_) => &[],
            };
            for parameter in roles.iter().filter_map(|role| self.variables.get(id, *role)) {
                let var = &parameter.var;
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
            self.variables.buffers[buffer].var.set(&values)?;
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
        self.layered().trace_step(&self.quantized_input(&x_seq)?, membranes)
    }

    /// Class scores `[B, n_classes]` that can be differentiated, computed layer by layer: in training
    /// mode where a key is given.
    ///
    /// # Errors
    /// If the shape of `x_seq` `[T, B, C, H, W]` does not fit the network.
    pub fn forward(&self, x_seq: &Tensor, training: Option<StepKey>) -> Result<Tensor> {
        self.check_input(x_seq)?;
        Ok(self.layered().forward(&self.quantized_input(x_seq)?, training)?.0)
    }

    fn layered(&self) -> Layered<'_> {
        let Self { graph, variables, config, device, .. } = self;
        Layered { graph, variables, config, device }
    }

    pub(crate) fn variables(&self) -> &Variables {
        &self.variables
    }

    /// Steps and batch size.
    fn check_input(&self, x_seq: &Tensor) -> Result<(usize, usize)> {
        let input = self.graph.input_shape();
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
