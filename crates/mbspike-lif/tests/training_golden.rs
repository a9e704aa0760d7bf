//! Optimizers, schedules, losses, clipping and averaging against numbers from `PyTorch`, written by
//! `scripts/golden/training.py`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]
use std::collections::HashMap;

use candle_core::{D, DType, Device, Tensor, Var};
use mbspike_lif::optim::{Ema, Optimizer, OptimizerConfig, clip_grad_norm};
use mbspike_lif::schedule::Schedule;
use mbspike_lif::{Loss, LossKind, Parameter};
use safetensors::SafeTensors;

const BYTES: &[u8] = include_bytes!("golden/training.safetensors");
const PARAMETERS: [&str; 2] = ["a", "b"];
const PRECISIONS: [(DType, &str, f64); 2] = [(DType::F32, "f32", 2e-6), (DType::F64, "f64", 1e-13)];

struct Golden {
    tensors: HashMap<String, Tensor>,
    metadata: HashMap<String, String>,
}

impl Golden {
    fn read() -> Self {
        let tensors = candle_core::safetensors::load_buffer(BYTES, &Device::Cpu).unwrap();
        let (_, header) = SafeTensors::read_metadata(BYTES).unwrap();
        Self { tensors, metadata: header.metadata().clone().unwrap() }
    }

    fn tensor(&self, name: &str) -> &Tensor {
        self.tensors.get(name).unwrap_or_else(|| panic!("no {name} in the golden file"))
    }

    /// The settings of all entries whose names start with `prefix`.
    fn settings<T: serde::de::DeserializeOwned>(&self, prefix: &str) -> Vec<(String, T)> {
        let names = self.metadata.iter().filter_map(|(name, json)| {
            Some((name.strip_prefix(prefix)?.to_owned(), serde_json::from_str(json).unwrap()))
        });
        names.collect()
    }

    fn parameters(&self, dtype: DType) -> Vec<Parameter> {
        let parameter = |name: &str| {
            let value = self.tensor(&format!("input.{name}")).to_dtype(dtype).unwrap();
            Parameter::new(name, Var::from_tensor(&value.copy().unwrap()).unwrap())
        };
        PARAMETERS.into_iter().map(parameter).collect()
    }

    fn gradients(&self, step: usize, dtype: DType) -> Vec<Tensor> {
        let gradient = |name: &str| {
            self.tensor(&format!("input.grad.{name}")).get(step).unwrap().to_dtype(dtype).unwrap()
        };
        PARAMETERS.into_iter().map(gradient).collect()
    }

    fn learning_rates(&self) -> Vec<f64> {
        self.tensor("lr").to_vec1().unwrap()
    }
}

fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Fails unless each element is within `tolerance`, relative to the expected one but at least to 1.
fn assert_close(what: &str, got: &Tensor, expected: &Tensor, tolerance: f64) {
    assert_eq!(got.dims(), expected.dims(), "{what}");
    for (i, (got, expected)) in values(got).into_iter().zip(values(expected)).enumerate() {
        let within = (got - expected).abs() <= tolerance * expected.abs().max(1.0);
        assert!(within, "{what}[{i}] is {got}, not {expected}");
    }
}

fn bits(tensor: &Tensor) -> Vec<u64> {
    values(tensor).into_iter().map(f64::to_bits).collect()
}

#[test]
fn optimizers_take_the_steps_of_pytorch() {
    let golden = Golden::read();
    let optimizers = golden.settings::<OptimizerConfig>("optimizer.");
    assert_eq!(optimizers.len(), 10);
    for (name, config) in optimizers {
        for (dtype, suffix, tolerance) in PRECISIONS {
            let parameters = golden.parameters(dtype);
            let mut optimizer = Optimizer::new(config, &parameters).unwrap();
            for (i, lr) in golden.learning_rates().into_iter().enumerate() {
                optimizer.step(&golden.gradients(i, dtype), lr).unwrap();
                for Parameter { name: parameter, var, .. } in &parameters {
                    let entry = format!("optimizer.{name}.{suffix}.{parameter}");
                    let expected = golden.tensor(&entry).get(i).unwrap();
                    assert_close(&format!("{entry} step {i}"), var, &expected, tolerance);
                }
            }
            assert_eq!(optimizer.n_steps(), golden.learning_rates().len() as u64);
        }
    }
}

#[test]
fn a_restored_optimizer_goes_on_with_the_same_bits() {
    let golden = Golden::read();
    for (name, config) in golden.settings::<OptimizerConfig>("optimizer.") {
        for (dtype, ..) in PRECISIONS {
            let step = |optimizer: &mut Optimizer, steps: std::ops::Range<usize>| {
                for i in steps {
                    optimizer
                        .step(&golden.gradients(i, dtype), golden.learning_rates()[i])
                        .unwrap();
                }
            };
            let unbroken = golden.parameters(dtype);
            let mut optimizer = Optimizer::new(config, &unbroken).unwrap();
            step(&mut optimizer, 0..5);
            let state: HashMap<String, Tensor> = optimizer.state().unwrap().into_iter().collect();
            let resumed: Vec<Parameter> = unbroken
                .iter()
                .map(|Parameter { name, var, .. }| {
                    let copy = var.as_detached_tensor().copy().unwrap();
                    Parameter::new(name, Var::from_tensor(&copy).unwrap())
                })
                .collect();
            step(&mut optimizer, 5..12);
            let mut other = Optimizer::new(config, &resumed).unwrap();
            other.load_state(&state).unwrap();
            step(&mut other, 5..12);
            for (a, b) in unbroken.iter().zip(&resumed) {
                assert_eq!(bits(&a.var), bits(&b.var), "{name} {}", a.name);
            }
            for ((name, a), (_, b)) in
                optimizer.state().unwrap().iter().zip(&other.state().unwrap())
            {
                assert_eq!(bits(a), bits(b), "{name}");
            }
        }
    }
}

#[test]
fn a_state_that_does_not_fit_is_refused_and_changes_nothing() {
    let golden = Golden::read();
    let parameters = golden.parameters(DType::F32);
    let mut adam = Optimizer::new(OptimizerConfig::adam(1e-3), &parameters).unwrap();
    adam.step(&golden.gradients(0, DType::F32), 1e-3).unwrap();
    let state: HashMap<String, Tensor> = adam.state().unwrap().into_iter().collect();

    let mut sgd = Optimizer::new(OptimizerConfig::sgd(1e-3), &parameters).unwrap();
    let error = sgd.load_state(&state).unwrap_err().to_string();
    assert!(error.contains("`optimizer.a.exp_avg`"), "{error}");
    assert_eq!(sgd.n_steps(), 0);

    let mut incomplete = state.clone();
    incomplete.remove("optimizer.b.exp_avg_sq").unwrap();
    let error = adam.load_state(&incomplete).unwrap_err().to_string();
    assert!(error.contains("`optimizer.b.exp_avg_sq`"), "{error}");

    let mut transposed = state.clone();
    transposed.insert("optimizer.a.exp_avg".into(), state["optimizer.a.exp_avg"].t().unwrap());
    let error = adam.load_state(&transposed).unwrap_err().to_string();
    assert!(error.contains("[5, 7]") && error.contains("[7, 5]"), "{error}");
    assert_eq!(bits(&adam.state().unwrap()[1].1), bits(&state["optimizer.a.exp_avg"]));
}

#[test]
fn gradients_that_do_not_fit_are_refused_and_change_nothing() {
    let golden = Golden::read();
    let parameters = golden.parameters(DType::F32);
    let before = bits(&parameters[0].var);
    let mut optimizer = Optimizer::new(OptimizerConfig::adam(1e-3), &parameters).unwrap();
    let mut gradients = golden.gradients(0, DType::F32);
    gradients[1] = gradients[1].to_dtype(DType::F64).unwrap();
    let error = optimizer.step(&gradients, 1e-3).unwrap_err().to_string();
    assert!(error.contains("gradient of b") && error.contains("F64"), "{error}");
    assert!(optimizer.step(&gradients[..1], 1e-3).is_err());
    assert_eq!(bits(&parameters[0].var), before);
    assert_eq!(optimizer.n_steps(), 0);
}

#[test]
fn a_transposed_gradient_moves_the_right_elements() {
    let var = Var::new(&[[0.0_f32; 3]; 2], &Device::Cpu).unwrap();
    let parameter = Parameter::new("fc1.weight", var.clone());
    let mut optimizer = Optimizer::new(OptimizerConfig::sgd(1.0), &[parameter]).unwrap();
    let gradient = Tensor::new(&[[1.0_f32, 2.0], [3.0, 4.0], [5.0, 6.0]], &Device::Cpu).unwrap();
    optimizer.step(&[gradient.t().unwrap()], 1.0).unwrap();
    assert_eq!(var.to_vec2::<f32>().unwrap(), [[-1.0, -3.0, -5.0], [-2.0, -4.0, -6.0]]);
}

#[test]
fn a_parameter_that_leaves_its_range_stops_at_its_end() {
    for (name, config) in Golden::read().settings::<OptimizerConfig>("optimizer.") {
        let var = Var::new(&[2.0_f32, 2.0, f32::NAN], &Device::Cpu).unwrap();
        let tau = Parameter { at_least: Some(1.0), ..Parameter::new("lif1.tau", var.clone()) };
        let mut optimizer = Optimizer::new(config, &[tau]).unwrap();
        let gradient = Tensor::new(&[1e3_f32, -1e3, 1.0], &Device::Cpu).unwrap();
        optimizer.step(&[gradient.clone()], 10.0).unwrap();
        let [below, above, nan] = var.to_vec1::<f32>().unwrap()[..] else { panic!("{name}") };
        assert!(below == 1.0 && above > 2.0 && nan.is_nan(), "{name}: {below} {above} {nan}");
        // And it comes back.
        for _ in 0..40 {
            optimizer.step(&[(&gradient * -1e3).unwrap()], 1e-2).unwrap();
        }
        assert!(var.to_vec1::<f32>().unwrap()[0] > 1.0, "{name}");
    }
}

#[test]
fn a_parameter_split_between_threads_moves_like_a_small_one() {
    let n = 100_003;
    let gradient: Vec<f32> = (0..n).map(|i| (i % 17) as f32 - 8.0).collect();
    let take_steps = |gradient: &[f32], config| {
        let device = &Device::Cpu;
        let var = Var::zeros(gradient.len(), DType::F32, device).unwrap();
        let parameter = Parameter::new("fc1.weight", var.clone());
        let mut optimizer = Optimizer::new(config, &[parameter]).unwrap();
        for _ in 0..3 {
            let gradient = Tensor::new(gradient, device).unwrap();
            optimizer.step(&[gradient], 1e-2).unwrap();
        }
        var.to_vec1::<f32>().unwrap()
    };
    for (_, config) in Golden::read().settings::<OptimizerConfig>("optimizer.") {
        let large = take_steps(&gradient, config);
        let small = take_steps(&gradient[..17], config);
        for (i, value) in large.iter().enumerate() {
            assert_eq!(value.to_bits(), small[i % 17].to_bits(), "{config:?} element {i}");
        }
    }
}

#[test]
fn gradients_are_clipped_as_by_pytorch() {
    let golden = Golden::read();
    for (dtype, suffix, tolerance) in PRECISIONS {
        for (max_norm, name) in [(1.0, "1"), (1e4, "10000")] {
            let entry = format!("clip.{name}.{suffix}");
            let mut gradients = golden.gradients(0, dtype);
            let norm = clip_grad_norm(&mut gradients, max_norm).unwrap();
            let expected = values(golden.tensor(&format!("{entry}.norm")))[0];
            assert!((norm - expected).abs() <= tolerance * expected, "{norm} is not {expected}");
            for (name, gradient) in PARAMETERS.iter().zip(&gradients) {
                let expected = golden.tensor(&format!("{entry}.{name}"));
                assert_close(&format!("{entry}.{name}"), gradient, expected, tolerance);
            }
        }
    }
}

#[test]
fn clipping_reports_a_norm_that_is_not_finite() {
    for bad in [f32::NAN, f32::INFINITY] {
        let mut gradients = [Tensor::new(&[1.0, bad], &Device::Cpu).unwrap()];
        assert!(!clip_grad_norm(&mut gradients, 1.0).unwrap().is_finite());
    }
}

#[test]
fn averages_follow_those_of_pytorch_and_swap_back() {
    let golden = Golden::read();
    for (dtype, suffix, tolerance) in PRECISIONS {
        let parameters = &golden.parameters(dtype)[..1];
        let mut ema = Ema::new(0.9, parameters).unwrap();
        for i in 0..12 {
            let step = (golden.gradients(i, dtype)[0].clone() * 0.01).unwrap();
            let var = &parameters[0].var;
            var.set(&(var.as_detached_tensor() - step).unwrap()).unwrap();
            ema.update().unwrap();
            let weights = bits(var);
            ema.swap().unwrap();
            let expected = golden.tensor(&format!("average.{suffix}.a")).get(i).unwrap();
            assert_close(&format!("average.{suffix}.a step {i}"), var, &expected, tolerance);
            assert!(ema.update().is_err(), "updated while swapped");
            ema.swap().unwrap();
            assert_eq!(bits(var), weights);
        }
        let state: HashMap<String, Tensor> = ema.state().unwrap().into_iter().collect();
        let mut restored = Ema::new(0.9, parameters).unwrap();
        restored.load_state(&state).unwrap();
        for ((name, a), (_, b)) in ema.state().unwrap().iter().zip(&restored.state().unwrap()) {
            assert_eq!(bits(a), bits(b), "{name}");
        }
    }
}

#[test]
fn schedules_are_those_of_pytorch() {
    let golden = Golden::read();
    let schedules = golden.settings::<Schedule>("schedule.");
    assert_eq!(schedules.len(), 5);
    for (name, schedule) in schedules {
        schedule.validate().unwrap();
        let expected = values(golden.tensor(&format!("schedule.{name}")));
        for (i, expected) in expected.iter().enumerate() {
            let lr = schedule.lr(0.1, i, expected_length(&golden, &name));
            assert!((lr - expected).abs() <= 1e-14, "{name}[{i}] is {lr}, not {expected}");
        }
    }
}

fn expected_length(golden: &Golden, schedule: &str) -> usize {
    golden.tensor(&format!("schedule.{schedule}")).dim(0).unwrap()
}

#[test]
fn losses_and_their_gradients_are_those_of_pytorch() {
    let golden = Golden::read();
    let losses = [
        ("cross-entropy", Loss { kind: LossKind::CrossEntropy, label_smoothing: 0.0 }),
        ("cross-entropy-smoothed", Loss { kind: LossKind::CrossEntropy, label_smoothing: 0.1 }),
        ("mse", Loss { kind: LossKind::Mse, label_smoothing: 0.0 }),
    ];
    for (name, loss) in losses {
        let expected = values(golden.tensor(&format!("loss.{name}.value")))[0];
        let expected_grad = golden.tensor(&format!("loss.{name}.grad"));
        for (dtype, _, tolerance) in PRECISIONS {
            let logits = golden.tensor("loss.logits").to_dtype(dtype).unwrap();
            let logits = Var::from_tensor(&logits.copy().unwrap()).unwrap();
            let targets = golden.tensor("loss.targets").to_dtype(dtype).unwrap();
            let value = loss.forward_tensor(&logits, &targets).unwrap();
            assert_close(name, &value, &Tensor::new(expected, &Device::Cpu).unwrap(), tolerance);
            let gradients = value.backward().unwrap();
            assert_close(name, gradients.get(&logits).unwrap(), expected_grad, tolerance);
        }
        let logits = values(golden.tensor("loss.logits"));
        let targets = values(golden.tensor("loss.targets"));
        let n_classes = golden.tensor("loss.logits").dim(D::Minus1).unwrap();
        let mut grad = vec![0.0; logits.len()];
        let mut total = 0.0;
        for ((grad, logits), target) in grad
            .chunks_exact_mut(n_classes)
            .zip(logits.chunks_exact(n_classes))
            .zip(targets.chunks_exact(n_classes))
        {
            total += loss.forward(grad, logits, target);
        }
        let batch_size = (logits.len() / n_classes) as f64;
        assert!((total / batch_size - expected).abs() <= 1e-13 * expected, "{name} {total}");
        let grad = Tensor::from_vec(grad, expected_grad.dims(), &Device::Cpu).unwrap();
        assert_close(name, &(grad / batch_size).unwrap(), expected_grad, 1e-13);
    }
}
