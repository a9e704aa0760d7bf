//! Training steps on a GPU against the same steps on the CPU, layer by layer.
//!
//! Only with the feature `cuda`. Where there is no GPU the test says so and passes, unless
//! `MBSPIKE_REQUIRE_GPU` is set, as `scripts/check-gpu.sh` does.
#![cfg(feature = "cuda")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]
#![expect(clippy::print_stderr, reason = "a test that does nothing says so")]

use candle_core::{DType, Device, Tensor};
use mbspike_core::DeviceName;
use mbspike_lif::{
    Execution, Loss, Network, NetworkConfig, Precision, StepKey, StepOutput, one_hot,
};

fn step(config: &NetworkConfig, device: &Device) -> StepOutput {
    let input = config.arch.input;
    let dims = (6, 5, input.channels, input.height, input.width);
    let n: usize = 6 * 5 * input.channels * input.height * input.width;
    let x: Vec<f32> = (0..n).map(|i| ((i * 7919) % 13 / 9) as f32).collect();
    let x = Tensor::from_vec(x, dims, device).unwrap();
    let targets = one_hot(&[0, 1, 2, 3, 4], config.arch.n_classes(), DType::F32, device).unwrap();
    let mut network = Network::new(config, 7, device).unwrap();
    let key = StepKey { seed: 7, iteration: 0 };
    network.train_step(&x, &targets, Loss::default(), key).unwrap()
}

#[test]
fn training_steps_are_the_cpus_on_a_gpu() {
    let gpu = match DeviceName::Cuda(0).open() {
        Ok(gpu) => gpu,
        Err(error) if std::env::var_os("MBSPIKE_REQUIRE_GPU").is_none() => {
            eprintln!("NOT RUN on a GPU: training steps: {error}");
            return;
        }
        Err(error) => panic!("MBSPIKE_REQUIRE_GPU is set, but {error}"),
    };
    for (arch, learnable_tau) in [
        ("28x28-8c5-2a-16c5-2a-10o", false),
        ("16x16x2-8c3-bn-2m-dp0.5-32-20o-vote2", true),
        ("20x20-4c3-5a-10o", false),
    ] {
        for precision in [Precision::F32, Precision::Bf16] {
            let mut config = NetworkConfig::new(arch.parse().unwrap(), 2);
            config.neuron.learnable_tau = learnable_tau;
            config.precision = precision;
            config.execution = Execution::Layered;
            let (got, want) = (step(&config, &gpu), step(&config, &Device::Cpu));
            // A rounding may flip single spikes.
            assert!((got.loss - want.loss).abs() <= 1e-2 * want.loss, "{arch} {precision:?}");
            for (got, want) in got.activity.positions.iter().zip(&want.activity.positions) {
                assert_eq!(got.n_elements, want.n_elements);
                let difference = got.n_nonzero.abs_diff(want.n_nonzero) as f64;
                assert!(difference <= 2e-3 * want.n_elements as f64, "{arch}: {difference}");
            }
            for (got, want) in got.gradients.iter().zip(&want.gradients) {
                let norm =
                    |t: Tensor| t.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
                let got = got.to_device(&Device::Cpu).unwrap();
                let difference = norm((&got - want).unwrap()).sqrt();
                let largest = norm(want.clone()).sqrt();
                assert!(difference <= 0.05 * largest, "{arch}: {difference} of {largest}");
            }
        }
    }
}
