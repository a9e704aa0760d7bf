//! The formulas of `in_place` as tensor operations, for devices other than the CPU.

use candle_core::{Tensor, Var};
use mbspike_core::{carried, carried_square};

use super::update::Update;
use crate::Result;

/// One step of `param` and its `state` `[n_slots, …]`.
pub(super) fn step(update: &Update, param: &Var, state: &Var, gradient: &Tensor) -> Result<()> {
    let p = param.as_detached_tensor();
    let gradient = carried(gradient)?;
    let decayed = |weight_decay: f64| &gradient + (&p * weight_decay)?;
    let slot = |i: usize| state.as_detached_tensor().get(i);
    let squared = |v: Tensor, kept: f64, g: &Tensor| -> Result<Tensor> {
        let square = carried_square(&g.sqr()?)?;
        Ok(carried_square(&((v * kept)? + (square * (1.0 - kept))?)?)?)
    };
    let (p, slots) = match *update {
        Update::Adam(adam) => {
            let g = decayed(adam.weight_decay)?;
            let (m, v) = (slot(0)?, slot(1)?);
            let m = carried(&(&m + ((&g - &m)? * (1.0 - adam.beta1))?)?)?;
            let v = squared(v, adam.beta2, &g)?;
            let denominator = ((v.sqrt()? / adam.correction)? + adam.eps)?;
            let p = ((p * adam.keep)? - ((&m / denominator)? * adam.step_size)?)?;
            (p, vec![m, v])
        }
        Update::Sgd { lr, weight_decay, momentum: 0.0, .. } => {
            ((&p - (decayed(weight_decay)? * lr)?)?, vec![])
        }
        Update::Sgd { lr, weight_decay, momentum, nesterov } => {
            let g = decayed(weight_decay)?;
            let b = carried(&((slot(0)? * momentum)? + &g)?)?;
            let direction = if nesterov { (g + (&b * momentum)?)? } else { b.clone() };
            ((&p - (direction * lr)?)?, vec![b])
        }
        Update::RmsProp { lr, weight_decay, alpha, eps, momentum } => {
            let g = decayed(weight_decay)?;
            let v = squared(slot(0)?, alpha, &g)?;
            let scaled = (g / (v.sqrt()? + eps)?)?;
            if momentum == 0.0 {
                ((&p - (scaled * lr)?)?, vec![v])
            } else {
                let b = carried(&((slot(1)? * momentum)? + scaled)?)?;
                ((&p - (&b * lr)?)?, vec![v, b])
            }
        }
    };
    if !slots.is_empty() {
        state.set(&Tensor::stack(&slots, 0)?)?;
    }
    Ok(param.set(&carried(&p)?)?)
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::optim::{OptimizerConfig, in_place};

    #[test]
    fn tensor_operations_and_in_place_steps_agree() {
        let configs = [
            OptimizerConfig::adam(1e-2),
            OptimizerConfig::AdamW { lr: 1e-2, betas: (0.8, 0.9), eps: 1e-6, weight_decay: 0.1 },
            OptimizerConfig::sgd(1e-2),
            OptimizerConfig::Sgd { lr: 1e-2, momentum: 0.9, weight_decay: 0.1, nesterov: false },
            OptimizerConfig::Sgd { lr: 1e-2, momentum: 0.9, weight_decay: 0.0, nesterov: true },
            OptimizerConfig::RmsProp {
                lr: 1e-2,
                alpha: 0.9,
                eps: 1e-8,
                weight_decay: 0.1,
                momentum: 0.0,
            },
            OptimizerConfig::RmsProp {
                lr: 1e-2,
                alpha: 0.9,
                eps: 1e-8,
                weight_decay: 0.1,
                momentum: 0.5,
            },
        ];
        for config in configs {
            let n_slots = config.slots().len();
            let zeros = || Var::zeros((n_slots, 3), DType::F64, &Device::Cpu).unwrap();
            let start = || Var::new(&[1.0_f64, -2.0, 0.0], &Device::Cpu).unwrap();
            let (state_a, state_b, a, b) = (zeros(), zeros(), start(), start());
            for t in 1..=5 {
                let gradient = [0.3, -1.0, 1e-3 * t as f64];
                let gradient = Tensor::new(&gradient, &Device::Cpu).unwrap();
                let update = Update::new(&config, 1e-2, t);
                step(&update, &a, &state_a, &gradient).unwrap();
                in_place::step(&update, &b, &state_b, &gradient).unwrap();
            }
            for (a, b) in [(a, b), (state_a, state_b)] {
                let values = |var: &Var| var.flatten_all().unwrap().to_vec1::<f64>().unwrap();
                for (a, b) in values(&a).into_iter().zip(values(&b)) {
                    assert!((a - b).abs() <= 1e-14, "{config:?}: {a} is not {b}");
                }
            }
        }
    }
}
