use std::collections::HashMap;

use candle_core::{Tensor, Var};

use super::{counter, entry, read_counter};
use crate::{Error, Parameter, Result};

const COUNT: &str = "ema.count";

/// An exponential moving average of the weights: `w̄ ← d w̄ + (1 − d) w`, starting from the weights
/// at the first update, as `PyTorch`'s `AveragedModel` and torchvision's training script do.
///
/// To evaluate with the averages, [`Ema::swap`] them in and, after that, out again.
#[derive(Debug)]
pub struct Ema {
    decay: f64,
    parameters: Vec<Parameter>,
    averages: Vec<Var>,
    n_updates: u64,
    swapped: bool,
}

impl Ema {
    /// Averages of `parameters` with `decay` `d` in `0..=1`.
    pub fn new(decay: f64, parameters: &[Parameter]) -> Result<Self> {
        if !(0.0..=1.0).contains(&decay) {
            return Err(Error::InvalidParameter {
                name: "ema",
                expected: "in 0..=1",
                got: decay.to_string(),
            });
        }
        let averages = parameters
            .iter()
            .map(|parameter| Var::from_tensor(&parameter.var.as_detached_tensor().copy()?))
            .collect::<candle_core::Result<_>>()?;
        Ok(Self { decay, parameters: parameters.to_vec(), averages, n_updates: 0, swapped: false })
    }

    /// Takes the current weights into the averages.
    ///
    /// # Errors
    /// If the averages are swapped in.
    pub fn update(&mut self) -> Result<()> {
        if self.swapped {
            return Err(Error::Swapped);
        }
        for (average, parameter) in self.averages.iter().zip(&self.parameters) {
            let weights = parameter.var.as_detached_tensor();
            if self.n_updates == 0 {
                average.set(&weights)?;
            } else {
                let kept = (average.as_detached_tensor() * self.decay)?;
                let sum = (kept + (weights * (1.0 - self.decay))?)?;
                average.set(&mbspike_core::carried(&sum)?)?;
            }
        }
        self.n_updates += 1;
        Ok(())
    }

    /// Exchanges the weights and their averages.
    pub fn swap(&mut self) -> Result<()> {
        for (average, parameter) in self.averages.iter().zip(&self.parameters) {
            let weights = parameter.var.as_detached_tensor().copy()?;
            parameter.var.set(&average.as_detached_tensor())?;
            average.set(&weights)?;
        }
        self.swapped = !self.swapped;
        Ok(())
    }

    /// A copy of the averages for a checkpoint: `ema.count` and `ema.<parameter>`.
    ///
    /// # Errors
    /// If the averages are swapped in.
    pub fn state(&self) -> Result<Vec<(String, Tensor)>> {
        if self.swapped {
            return Err(Error::Swapped);
        }
        let mut entries = vec![(COUNT.to_owned(), counter(self.n_updates)?)];
        for (average, parameter) in self.averages.iter().zip(&self.parameters) {
            let name = format!("ema.{}", parameter.name);
            entries.push((name, average.as_detached_tensor().copy()?));
        }
        Ok(entries)
    }

    /// Restores what [`Ema::state`] gave, bit for bit.
    ///
    /// # Errors
    /// If an entry is missing or has another shape or type, or the averages are swapped in. Nothing
    /// has changed then.
    pub fn load_state(&mut self, state: &HashMap<String, Tensor>) -> Result<()> {
        if self.swapped {
            return Err(Error::Swapped);
        }
        let n_updates = read_counter("weight averages", state, COUNT)?;
        let mut saved = Vec::with_capacity(self.averages.len());
        for (average, parameter) in self.averages.iter().zip(&self.parameters) {
            let name = format!("ema.{}", parameter.name);
            saved.push(entry("weight averages", state, &name, average)?);
        }
        for (average, saved) in self.averages.iter().zip(saved) {
            average.set(&saved.to_device(average.device())?)?;
        }
        self.n_updates = n_updates;
        Ok(())
    }
}
