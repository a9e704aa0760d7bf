//! No subnormal number reaches a multiply-add: small networks of every kind are trained to a plateau
//! and then long on a constant input, and neither what a step leaves behind has one, nor did any
//! instruction take one.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]

use candle_core::{DType, Device, Tensor, Var};
use mbspike_core::n_subnormal;
use mbspike_core::philox::{Domain, Place, Stream};
use mbspike_lif::optim::{Ema, Optimizer, OptimizerConfig, clip_grad_norm};
use mbspike_lif::{
    Arch, Execution, Loss, LossKind, Membranes, Network, NetworkConfig, Parameter, Precision,
    Quantization, Readout, StepKey, one_hot,
};

/// [`mbspike_core::meets_subnormals`], where the processor tells.
fn meets_subnormals(pool: &rayon::ThreadPool, work: impl FnOnce() + Send) -> bool {
    mbspike_core::meets_subnormals(pool, work).unwrap_or(false)
}

fn assert_none(what: &str, tensor: &Tensor) {
    let flat = tensor.flatten_all().unwrap();
    let n = match flat.dtype() {
        DType::F64 => n_subnormal(&flat.to_vec1::<f64>().unwrap()),
        DType::F32 => n_subnormal(&flat.to_vec1::<f32>().unwrap()),
        _ => 0,
    };
    assert_eq!(n, 0, "{what}");
}

fn n_steps_of(x_seq: &Tensor) -> usize {
    x_seq.dim(0).unwrap()
}

const N_CLASSES: usize = 4;

/// A network, what trains it, and what it is shown.
#[derive(Debug, Clone)]
struct Case {
    arch: &'static str,
    execution: Execution,
    precision: Precision,
    bits: u32,
    tau: f64,
    decay_input: bool,
    learnable_tau: bool,
    readout: Readout,
    loss: LossKind,
    optimizer: OptimizerConfig,
    quantization: Quantization,
    checkpoint_steps: Option<usize>,
}

impl Case {
    fn new(arch: &'static str, execution: Execution, precision: Precision) -> Self {
        Self {
            arch,
            execution,
            precision,
            bits: 2,
            tau: 2.0,
            decay_input: false,
            learnable_tau: false,
            readout: Readout::MeanSpike,
            loss: LossKind::CrossEntropy,
            optimizer: OptimizerConfig::adam(0.2),
            quantization: Quantization::None,
            checkpoint_steps: None,
        }
    }

    fn network(&self) -> Network {
        let mut config = NetworkConfig::new(self.arch.parse::<Arch>().unwrap(), self.bits);
        config.execution = self.execution;
        config.precision = self.precision;
        config.readout = self.readout;
        config.bias = true;
        config.neuron.tau = self.tau;
        config.neuron.decay_input = self.decay_input;
        config.neuron.learnable_tau = self.learnable_tau;
        config.quantization = self.quantization;
        config.checkpoint_steps = self.checkpoint_steps;
        Network::new(&config, 1, &Device::Cpu).unwrap()
    }

    fn dtype(&self) -> DType {
        if self.precision == Precision::F64 { DType::F64 } else { DType::F32 }
    }

    /// Trains on noise until nothing is left to learn, far beyond on a constant input, then in silence,
    /// and looks for subnormal numbers on the way.
    fn run(&self) {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let mut network = self.network();
        let mut optimizer = Optimizer::new(self.optimizer, network.parameters()).unwrap();
        let mut ema = Ema::new(0.9, network.parameters()).unwrap();
        let labels = [0_u8, 1, 2, 3];
        let targets = one_hot(&labels, N_CLASSES, self.dtype(), &Device::Cpu).unwrap();
        let loss = Loss { kind: self.loss, label_smoothing: 0.0 };
        let input = |n_steps: usize, x: &dyn Fn(f32) -> f32| {
            let mut values = vec![0.0_f32; n_steps * labels.len() * 64];
            Stream::new(3, Domain::Simulate, Place::default()).fill_uniform(&mut values);
            let values = values.into_iter().map(x).collect::<Vec<_>>();
            Tensor::from_vec(values, (n_steps, labels.len(), 1, 8, 8), &Device::Cpu).unwrap()
        };
        let noise = input(6, &|u| f32::from(u < 0.3));
        let constant = input(60, &|_| 1.0);
        let silence = input(200, &|_| 0.0);
        // Numbers that no encoder makes but a file may hold.
        let faint = input(6, &|u| u * 1e-39);
        let phases = [(&noise, 150), (&constant, 12), (&silence, 3), (&faint, 2), (&noise, 100)];
        let mut iteration = 0;
        for (x, n_iterations) in phases {
            let n_steps = n_steps_of(x);
            for _ in 0..n_iterations {
                let what = format!("{self:?}, iteration {iteration}, T = {n_steps}");
                let key = StepKey { seed: 1, iteration };
                let mut gradients = Vec::new();
                let met = meets_subnormals(&pool, || {
                    let step = network.train_step(x, &targets, loss, key).unwrap();
                    assert!(step.loss.is_finite());
                    gradients = step.gradients;
                    clip_grad_norm(&mut gradients, 1.0).unwrap();
                    optimizer.step(&gradients, self.optimizer.lr()).unwrap();
                    ema.update().unwrap();
                });
                // The input itself is looked at once, as it comes in.
                let is_faint = std::ptr::eq(x, &raw const faint);
                assert!(!met || is_faint, "the processor met subnormal numbers: {what}");
                for gradient in &gradients {
                    assert_none(&what, gradient);
                }
                iteration += 1;
            }
            let all = optimizer.state().unwrap().into_iter().chain(ema.state().unwrap());
            for (name, state) in all {
                assert_none(&name, &state);
            }
            for parameter in network.parameters().iter().chain(network.buffers()) {
                assert_none(&parameter.name, &parameter.var);
            }
            let met = meets_subnormals(&pool, || {
                let prediction = network.predict(x).unwrap();
                assert_none("logits", &prediction.logits);
            });
            assert!(!met || std::ptr::eq(x, &raw const faint), "{self:?}: in evaluation");
            let mut membranes = Membranes::default();
            for t in 0..n_steps_of(x) {
                for layer in network.trace_step(&x.get(t).unwrap(), &mut membranes).unwrap() {
                    for tensor in std::iter::once(&layer.input).chain(&layer.sent) {
                        assert_none("activations", tensor);
                    }
                }
            }
        }
    }
}

const FUSED: &str = "8x8-4c3-2a-6c3-dp0.2-10-4o";
const NORM: &str = "8x8-4c3-bn-2a-6c3-bn-10-4o";

#[test]
fn a_fused_network_meets_none() {
    for precision in [Precision::F32, Precision::Bf16] {
        for (bits, tau) in [(1, 1.25), (2, 2.0), (8, 20.0)] {
            for decay_input in [false, true] {
                let case = Case::new(FUSED, Execution::Fused, precision);
                Case { bits, tau, decay_input, ..case }.run();
            }
        }
    }
}

#[test]
fn a_layered_network_meets_none() {
    for (arch, precision) in [
        (FUSED, Precision::F32),
        (FUSED, Precision::F64),
        (NORM, Precision::F32),
        (NORM, Precision::Bf16),
        (NORM, Precision::F64),
    ] {
        for (bits, tau, decay_input) in [(1, 1.25, true), (2, 20.0, false), (8, 2.0, true)] {
            let case = Case::new(arch, Execution::Layered, precision);
            Case { bits, tau, decay_input, ..case }.run();
        }
    }
}

#[test]
fn learnable_time_constants_meet_none() {
    for arch in [FUSED, NORM] {
        let case = Case::new(arch, Execution::Layered, Precision::F32);
        Case { learnable_tau: true, optimizer: OptimizerConfig::adam(0.05), ..case }.run();
    }
}

#[test]
fn readouts_losses_and_quantized_weights_meet_none() {
    for execution in [Execution::Fused, Execution::Layered] {
        for (readout, loss) in [
            (Readout::MeanSpike, LossKind::Mse),
            (Readout::LastMembrane, LossKind::CrossEntropy),
            (Readout::MaxMembrane, LossKind::CrossEntropy),
            (Readout::LastMembrane, LossKind::Mse),
        ] {
            let case = Case::new(FUSED, execution, Precision::F32);
            Case { readout, loss, tau: 20.0, ..case }.run();
        }
        let case = Case::new(FUSED, execution, Precision::F32);
        Case { quantization: Quantization::Int8, ..case }.run();
    }
    let case = Case::new(FUSED, Execution::Fused, Precision::F32);
    Case { checkpoint_steps: Some(4), ..case }.run();
}

#[test]
fn optimizers_whose_weights_decay_to_nothing_meet_none() {
    let (lr, weight_decay) = (0.5, 1.0);
    for optimizer in [
        OptimizerConfig::AdamW { lr, betas: (0.9, 0.999), eps: 1e-8, weight_decay },
        OptimizerConfig::Adam { lr: 1e-2, betas: (0.5, 0.5), eps: 1e-8, weight_decay: 0.0 },
        OptimizerConfig::Sgd { lr, momentum: 0.0, weight_decay, nesterov: false },
        OptimizerConfig::Sgd { lr, momentum: 0.5, weight_decay, nesterov: false },
        OptimizerConfig::Sgd { lr, momentum: 0.5, weight_decay: 0.1, nesterov: true },
        OptimizerConfig::RmsProp { lr, alpha: 0.5, eps: 1e-8, weight_decay: 0.0, momentum: 0.0 },
        OptimizerConfig::RmsProp { lr, alpha: 0.5, eps: 1e-8, weight_decay, momentum: 0.5 },
    ] {
        let case = Case::new(FUSED, Execution::Fused, Precision::F32);
        Case { optimizer, ..case }.run();
    }
}

#[test]
fn moments_of_a_weight_without_gradient_end_at_zero() {
    for (config, n_iterations) in [
        (OptimizerConfig::Adam { lr: 0.1, betas: (0.5, 0.9), eps: 1e-8, weight_decay: 0.0 }, 900),
        (OptimizerConfig::Sgd { lr: 0.1, momentum: 0.9, weight_decay: 0.0, nesterov: false }, 500),
    ] {
        for dtype in [DType::F32, DType::F64] {
            // f64 has eight times as many octaves.
            let n = if dtype == DType::F64 { 9 * n_iterations } else { n_iterations };
            let var = Var::ones(3, dtype, &Device::Cpu).unwrap();
            let weight = Parameter::new("fc1.weight", var);
            let mut optimizer = Optimizer::new(config, &[weight]).unwrap();
            let ones = Tensor::ones(3, dtype, &Device::Cpu).unwrap();
            optimizer.step(std::slice::from_ref(&ones), 0.1).unwrap();
            let zeros = ones.zeros_like().unwrap();
            for _ in 0..n {
                optimizer.step(std::slice::from_ref(&zeros), 0.1).unwrap();
                for (name, state) in optimizer.state().unwrap() {
                    assert_none(&name, &state);
                }
            }
            for (name, state) in optimizer.state().unwrap().into_iter().skip(1) {
                let state = state.to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap();
                assert_eq!(state, [0.0; 3], "{name}");
            }
        }
    }
}

#[test]
fn the_processors_flags_and_the_counter_see_what_they_are_to_see() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let sum = |values: &[f32]| {
        let x = Tensor::new(values, &Device::Cpu).unwrap();
        std::hint::black_box(x.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap());
    };
    assert!(!meets_subnormals(&pool, || sum(&[1e-18, 3.0])));
    assert_eq!(n_subnormal(&[1e-39_f32, 0.0, -1e-45, 1e-37, f32::NAN]), 2);
    if cfg!(target_arch = "x86_64") {
        assert!(meets_subnormals(&pool, || sum(&[1e-39, 3.0])), "taken");
        assert!(meets_subnormals(&pool, || sum(&[1e-20, 3.0])), "made");
    }
}
