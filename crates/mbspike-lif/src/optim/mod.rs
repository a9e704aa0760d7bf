//! Optimizers with the update formulas and defaults of `PyTorch`, gradient clipping and averaged
//! weights.
//!
//! On the CPU a step runs in place over each parameter and its state, without allocating; on other
//! devices the same formulas run as tensor operations. The learning rate is given at each step, so
//! that schedules stay outside.

mod clip;
mod config;
mod ema;
mod in_place;
mod tensor_ops;
mod update;

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor, Var};

pub use clip::clip_grad_norm;
pub use config::OptimizerConfig;
pub use ema::Ema;

use crate::{Error, Parameter, Result};
use update::Update;

const STEP: &str = "optimizer.step";

/// An optimizer and its state for a list of parameters.
///
/// ```
/// use candle_core::{Device, Tensor, Var};
/// use mbspike_lif::Parameter;
/// use mbspike_lif::optim::{Optimizer, OptimizerConfig};
///
/// let var = Var::new(&[1.0_f64, -2.0], &Device::Cpu)?;
/// let weight = Parameter::new("fc1.weight", var.clone());
/// let mut optimizer = Optimizer::new(OptimizerConfig::sgd(0.1), &[weight])?;
/// optimizer.step(&[Tensor::new(&[10.0_f64, 0.0], &Device::Cpu)?], 0.1)?;
/// assert_eq!(var.to_vec1::<f64>()?, [0.0, -2.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Optimizer {
    config: OptimizerConfig,
    parameters: Vec<Parameter>,
    /// For each parameter `[n_slots, …]`: the moments that [`OptimizerConfig::slots`] names.
    states: Vec<Var>,
    n_steps: u64,
}

impl Optimizer {
    /// An optimizer before its first step.
    ///
    /// # Errors
    /// If a setting is out of range, or a parameter is not a contiguous `f32` or `f64`.
    pub fn new(config: OptimizerConfig, parameters: &[Parameter]) -> Result<Self> {
        config.validate()?;
        let n_slots = config.slots().len();
        let mut states = Vec::with_capacity(parameters.len());
        for Parameter { name, var, .. } in parameters {
            if !matches!(var.dtype(), DType::F32 | DType::F64) || !var.is_contiguous() {
                return Err(Error::Mismatch {
                    op: "optimizer",
                    what: name.clone(),
                    got: format!("{:?} {:?}", var.dtype(), var.layout()),
                    expected: "contiguous, of type F32 or F64".into(),
                });
            }
            let mut dims = vec![n_slots];
            dims.extend(var.dims());
            states.push(Var::zeros(dims, var.dtype(), var.device())?);
        }
        Ok(Self { config, parameters: parameters.to_vec(), states, n_steps: 0 })
    }

    /// The settings.
    pub fn config(&self) -> &OptimizerConfig {
        &self.config
    }

    /// Steps taken.
    pub fn n_steps(&self) -> u64 {
        self.n_steps
    }

    /// Moves each parameter by its gradient, in the order given to [`Optimizer::new`], with the
    /// learning rate `lr`; one that leaves its range stops at its end.
    ///
    /// # Errors
    /// If the gradients do not have the parameters' number, shapes and types. Nothing has changed
    /// then.
    pub fn step(&mut self, gradients: &[Tensor], lr: f64) -> Result<()> {
        self.check_gradients(gradients)?;
        let update = Update::new(&self.config, lr, self.n_steps + 1);
        for ((parameter, state), gradient) in
            self.parameters.iter().zip(&self.states).zip(gradients)
        {
            if matches!(parameter.var.device(), Device::Cpu) {
                in_place::step(&update, &parameter.var, state, gradient)?;
            } else {
                tensor_ops::step(&update, &parameter.var, state, gradient)?;
            }
            if let Some(least) = parameter.at_least {
                let var = &parameter.var;
                // A NaN stays one.
                let is_below = var.as_detached_tensor().lt(least)?;
                let within = is_below.where_cond(&(var.zeros_like()? + least)?, var)?;
                var.set(&within.detach())?;
            }
        }
        self.n_steps += 1;
        Ok(())
    }

    fn check_gradients(&self, gradients: &[Tensor]) -> Result<()> {
        let mismatch = |what: &str, got: String, expected: String| {
            Err(Error::Mismatch { op: "optimizer step", what: what.into(), got, expected })
        };
        if gradients.len() != self.parameters.len() {
            let (got, expected) = (gradients.len(), self.parameters.len());
            return mismatch("number of gradients", got.to_string(), expected.to_string());
        }
        for (Parameter { name, var, .. }, gradient) in self.parameters.iter().zip(gradients) {
            if gradient.dims() != var.dims() || gradient.dtype() != var.dtype() {
                return mismatch(
                    &format!("gradient of {name}"),
                    format!("{:?} {:?}", gradient.dtype(), gradient.dims()),
                    format!("{:?} {:?}", var.dtype(), var.dims()),
                );
            }
        }
        Ok(())
    }

    /// A copy of the state for a checkpoint: `optimizer.step`, and `optimizer.<parameter>.<slot>`
    /// under the names of `PyTorch`'s state (`exp_avg`, `exp_avg_sq`, `momentum_buffer`,
    /// `square_avg`).
    pub fn state(&self) -> Result<Vec<(String, Tensor)>> {
        let mut entries = vec![(STEP.to_owned(), counter(self.n_steps)?)];
        for (name, _, slot) in self.slots()? {
            entries.push((name, slot.copy()?));
        }
        Ok(entries)
    }

    /// Restores what [`Optimizer::state`] gave, bit for bit. Entries that do not start with
    /// `optimizer.` are passed over.
    ///
    /// # Errors
    /// If an entry is missing, has another shape or type, or belongs to another kind of optimizer.
    /// Nothing has changed then.
    pub fn load_state(&mut self, state: &HashMap<String, Tensor>) -> Result<()> {
        let n_steps = read_counter("optimizer", state, STEP)?;
        let slots = self.slots()?;
        let mut saved = Vec::with_capacity(slots.len());
        for (name, _, slot) in &slots {
            saved.push(entry("optimizer", state, name, slot)?);
        }
        let known = |name: &str| name == STEP || slots.iter().any(|(slot, ..)| slot == name);
        let mut unused: Vec<&String> =
            state.keys().filter(|name| name.starts_with("optimizer.") && !known(name)).collect();
        unused.sort_unstable();
        if let Some(name) = unused.first() {
            return Err(Error::UnusedState { of: "optimizer", name: (*name).clone() });
        }
        let n_slots = self.config.slots().len();
        if n_slots > 0 {
            for (state, saved) in self.states.iter().zip(saved.chunks_exact(n_slots)) {
                let saved = saved.iter().map(|slot| slot.to_device(state.device()));
                state.set(&Tensor::stack(&saved.collect::<candle_core::Result<Vec<_>>>()?, 0)?)?;
            }
        }
        self.n_steps = n_steps;
        Ok(())
    }

    /// Name, parameter and value of each slot.
    fn slots(&self) -> Result<Vec<(String, &Parameter, Tensor)>> {
        let mut slots = Vec::new();
        for (parameter, state) in self.parameters.iter().zip(&self.states) {
            for (i, slot) in self.config.slots().iter().enumerate() {
                let name = format!("optimizer.{}.{slot}", parameter.name);
                slots.push((name, parameter, state.as_detached_tensor().get(i)?));
            }
        }
        Ok(slots)
    }
}

/// A count as a tensor, for checkpoints.
fn counter(n: u64) -> Result<Tensor> {
    let n = i64::try_from(n).map_err(|_| Error::InvalidParameter {
        name: "step",
        expected: "below 2^63",
        got: n.to_string(),
    })?;
    Ok(Tensor::new(n, &Device::Cpu)?)
}

fn read_counter(of: &'static str, state: &HashMap<String, Tensor>, name: &str) -> Result<u64> {
    let saved = entry(of, state, name, &counter(0)?)?.to_scalar::<i64>()?;
    u64::try_from(saved).map_err(|_| Error::Mismatch {
        op: "load_state",
        what: name.to_owned(),
        got: saved.to_string(),
        expected: "not negative".into(),
    })
}

/// The saved entry `name`, checked to have the type and shape of `like`.
fn entry<'a>(
    of: &'static str,
    state: &'a HashMap<String, Tensor>,
    name: &str,
    like: &Tensor,
) -> Result<&'a Tensor> {
    let Some(saved) = state.get(name) else {
        return Err(Error::MissingState { of, name: name.to_owned() });
    };
    if saved.dtype() != like.dtype() || saved.dims() != like.dims() {
        return Err(Error::Mismatch {
            op: "load_state",
            what: name.to_owned(),
            got: format!("{:?} {:?}", saved.dtype(), saved.dims()),
            expected: format!("{:?} {:?}", like.dtype(), like.dims()),
        });
    }
    Ok(saved)
}
