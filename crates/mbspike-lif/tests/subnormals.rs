//! No subnormal number reaches a multiply-add: small networks of every kind are trained to a plateau
//! and then long on a constant input, and neither what a step leaves behind has one, nor did any
//! instruction take one.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]
#![cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "reads and clears the processor's exception flags")
)]

use candle_core::{DType, Device, Tensor};
use mbspike_core::philox::{Domain, Place, Stream};
use mbspike_core::{Surrogate, n_subnormal};
use mbspike_lif::optim::{Ema, Optimizer, OptimizerConfig};
use mbspike_lif::{
    Arch, Execution, Loss, LossKind, Network, NetworkConfig, Precision, Readout, StepKey, one_hot,
};

/// The processor's own count: a flag that every instruction raises that takes a subnormal number, and
/// one that every instruction raises whose result is subnormal or lost below them. Each thread has
/// its own.
#[cfg(target_arch = "x86_64")]
mod flags {
    use std::arch::asm;

    const DENORMAL: u32 = 1 << 1;
    const UNDERFLOW: u32 = 1 << 4;

    pub fn clear() {
        let mut status = 0_u32;
        // SAFETY: stores the register to a local, clears bits of exceptions that have been, which an
        // assembly block without `preserves_flags` may, and changes nothing else of it.
        unsafe {
            asm!("stmxcsr [{}]", in(reg) &raw mut status);
            status &= !0x3F;
            asm!("ldmxcsr [{}]", in(reg) &raw const status);
        }
    }

    pub fn raised() -> (bool, bool) {
        let mut status = 0_u32;
        // SAFETY: stores the register to a local.
        unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut status) };
        (status & DENORMAL != 0, status & UNDERFLOW != 0)
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod flags {
    pub fn clear() {}
    pub fn raised() -> (bool, bool) {
        (false, false)
    }
}

/// Runs `work` on this thread and asks the processor whether a subnormal number was taken or made.
fn met_subnormals<R>(pool: &rayon::ThreadPool, work: impl FnOnce() -> R + Send) -> (R, (bool, bool))
where
    R: Send,
{
    pool.broadcast(|_| flags::clear());
    let result = pool.install(work);
    let of_threads = pool.broadcast(|_| flags::raised());
    (result, of_threads.iter().fold((false, false), |a, b| (a.0 | b.0, a.1 | b.1)))
}

fn count(tensor: &Tensor) -> usize {
    let flat = tensor.flatten_all().unwrap();
    match flat.dtype() {
        DType::F64 => n_subnormal(&flat.to_vec1::<f64>().unwrap()),
        DType::F32 => n_subnormal(&flat.to_vec1::<f32>().unwrap()),
        _ => 0,
    }
}

#[test]
fn explore() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let bits = 2;
    for arch in ["8x8-4c3-2a-6c3-10-4o", "8x8-4c3-bn-2a-10-4o"] {
        for precision in [Precision::F32, Precision::Bf16, Precision::F64] {
            for execution in [Execution::Auto, Execution::Layered] {
                let mut config = NetworkConfig::new(arch.parse::<Arch>().unwrap(), bits);
                config.execution = execution;
                config.precision = precision;
                config.neuron.surrogate = Surrogate::Sigmoid { alpha: 4.0 };
                let mut network = Network::new(&config, 1, &Device::Cpu).unwrap();
                let optimizer_config = OptimizerConfig::adam(3e-2);
                let mut optimizer = Optimizer::new(optimizer_config, network.parameters()).unwrap();
                let dtype = if precision == Precision::F64 { DType::F64 } else { DType::F32 };
                let labels = [0_u8, 1, 2, 3];
                let targets = one_hot(&labels, 4, dtype, &Device::Cpu).unwrap();
                let t = 12;
                let mut x = vec![0.0_f32; t * 4 * 64];
                Stream::new(3, Domain::Simulate, Place::default()).fill_uniform(&mut x);
                x.iter_mut().for_each(|x| *x = f32::from(*x < 0.3));
                let x = Tensor::from_vec(x, (t, 4, 1, 8, 8), &Device::Cpu).unwrap();
                let loss = Loss { kind: LossKind::CrossEntropy, label_smoothing: 0.0 };
                for iteration in 0..300 {
                    let key = StepKey { seed: 1, iteration };
                    let (step, a) = met_subnormals(&pool, || {
                        network.train_step(&x, &targets, loss, key).unwrap()
                    });
                    let (_, b) = met_subnormals(&pool, || {
                        optimizer.step(&step.gradients, 3e-2).unwrap();
                    });
                    let n: usize = step.gradients.iter().map(count).sum();
                    let m: usize = optimizer.state().unwrap().iter().map(|s| count(&s.1)).sum();
                    if iteration % 50 == 49 || (a.0 || b.0) && iteration < 3 {
                        println!("{arch} {precision:?} {execution:?} {iteration} loss {} step {a:?} opt {b:?} grads {n} state {m}", step.loss);
                    }
                }
                let _ = (Readout::MeanSpike, Ema::new(0.5, network.parameters()));
            }
        }
    }
}
