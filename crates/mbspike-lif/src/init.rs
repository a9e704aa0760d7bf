use candle_core::{DType, Device, Tensor, Var};
use mbspike_core::philox::{Domain, Place, Stream};

use crate::{Parameter, Result};

/// Makes a network's variables, each from its own stream of the counter-based generator.
pub(crate) struct Initializer<'a> {
    pub(crate) seed: u64,
    pub(crate) dtype: DType,
    pub(crate) device: &'a Device,
    pub(crate) parameters: Vec<Parameter>,
}

impl Initializer<'_> {
    /// A weight or bias with PyTorch's default: uniform in `±1/√fan_in`
    /// (`kaiming_uniform_(a=√5)`). Returns its place among the parameters.
    pub(crate) fn uniform(&mut self, name: String, dims: &[usize], fan_in: usize) -> Result<usize> {
        let place = Place { sample: self.parameters.len() as u32, ..Place::default() };
        let bound = 1.0 / (fan_in as f64).sqrt();
        let mut values = vec![0.0_f32; dims.iter().product()];
        Stream::new(self.seed, Domain::Init, place).fill_uniform(&mut values);
        let values: Vec<f64> =
            values.into_iter().map(|u| (2.0 * f64::from(u) - 1.0) * bound).collect();
        let tensor = Tensor::from_vec(values, dims, &Device::Cpu)?;
        self.add(name, &tensor, None)
    }

    /// A time constant that starts at `tau` steps, and is never less than 1.
    pub(crate) fn tau(&mut self, name: String, tau: f64) -> Result<usize> {
        self.add(name, &Tensor::full(tau, 1, &Device::Cpu)?, Some(1.0))
    }

    /// A variable that starts at `value` everywhere.
    pub(crate) fn constant(&mut self, name: String, n: usize, value: f64) -> Result<usize> {
        self.add(name, &Tensor::full(value, n, &Device::Cpu)?, None)
    }

    fn add(&mut self, name: String, tensor: &Tensor, at_least: Option<f64>) -> Result<usize> {
        let var = Var::from_tensor(&tensor.to_dtype(self.dtype)?.to_device(self.device)?)?;
        self.parameters.push(Parameter { name, var, at_least });
        Ok(self.parameters.len() - 1)
    }
}
