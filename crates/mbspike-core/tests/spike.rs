//! The spike function alone: the kernel's levels, rounding, and gradients against differences of the
//! surrogate's primitive.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]

use candle_core::{DType, Device, Tensor, Var};
use mbspike_core::lif::lif_multi_step;
use mbspike_core::spike::{Rounding, SpikeFunction, SpikeOutput};
use mbspike_core::{Decay, LifParams, Shift, Surrogate};

const SURROGATES: [Surrogate; 7] = [
    Surrogate::Sigmoid { alpha: 4.0 },
    Surrogate::Atan { alpha: 2.0 },
    Surrogate::FastSigmoid { alpha: 4.0 },
    Surrogate::Triangle { alpha: 1.0 },
    Surrogate::StraightThrough {},
    Surrogate::Rectangle {},
    Surrogate::Staircase { alpha: 3.0 },
];

fn function(levels: u32, surrogate: Surrogate) -> SpikeFunction {
    SpikeFunction {
        levels,
        rounding: Rounding::Floor,
        output: SpikeOutput::Unit,
        surrogate,
        shift: Shift::Centred,
        smooth: false,
    }
}

fn membranes(n: usize) -> Vec<f64> {
    (0..n).map(|i| i as f64 * 3.1 / n as f64 - 0.8).collect()
}

fn flat(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn levels_are_those_of_the_fused_neuron() {
    for dtype in [DType::F32, DType::F64] {
        for (levels, theta) in [(1, 1.0), (3, 0.7), (4, 1.0), (10, 2.0)] {
            let h = Tensor::new(membranes(997), &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
            let params = LifParams {
                levels,
                v_threshold: theta,
                decay: Decay::Beta(0.0),
                ..LifParams::new(1)
            };
            let v = h.zeros_like().unwrap();
            let want = lif_multi_step(&h.unsqueeze(0).unwrap(), &v, &params).unwrap();
            let spikes = function(levels, Surrogate::default());
            assert_eq!(flat(&spikes.apply(&h, theta).unwrap()), flat(&want), "{levels} {theta}");
            let thetas = Tensor::full(theta, 997, &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
            assert_eq!(flat(&spikes.apply_with(&h, &thetas).unwrap()), flat(&want));
        }
    }
}

#[test]
fn counts_and_nearest_even_are_what_they_say() {
    let h = Tensor::new(&[-3.0, 0.5, 1.5, 2.5, 3.49, 3.5, 9.0], &Device::Cpu).unwrap();
    let counts = SpikeFunction {
        output: SpikeOutput::Count,
        rounding: Rounding::NearestEven,
        ..function(4, Surrogate::Rectangle {})
    };
    assert_eq!(flat(&counts.apply(&h, 4.0).unwrap()), [0.0, 0.0, 2.0, 2.0, 3.0, 4.0, 4.0]);
    let floor = SpikeFunction { rounding: Rounding::Floor, ..counts };
    assert_eq!(flat(&floor.apply(&h, 4.0).unwrap()), [0.0, 0.0, 1.0, 2.0, 3.0, 3.0, 4.0]);
    // The window's slope is 1 for a count, at both ends too.
    let h = Var::new(&[-0.1, 0.0, 2.2, 4.0, 4.1], &Device::Cpu).unwrap();
    let sum = counts.apply(&h, 4.0).unwrap().sum_all().unwrap();
    assert_eq!(flat(sum.backward().unwrap().get(&h).unwrap()), [0.0, 1.0, 1.0, 1.0, 0.0]);
}

#[test]
fn gradients_of_membranes_and_thresholds_are_those_of_the_primitive() {
    const EPS: f64 = 1e-6;
    for shift in [Shift::Centred, Shift::Unshifted, Shift::By(0.2)] {
        for surrogate in SURROGATES {
            for levels in [1, 4, 7] {
                let smooth = SpikeFunction { smooth: true, shift, ..function(levels, surrogate) };
                let h = membranes(41);
                let theta: Vec<f64> = (0..41).map(|i| 0.6 + f64::from(i % 5) * 0.31).collect();
                let value = |h: &[f64], theta: &[f64]| {
                    let h = Tensor::new(h, &Device::Cpu).unwrap();
                    let theta = Tensor::new(theta, &Device::Cpu).unwrap();
                    flat(&smooth.apply_with(&h, &theta).unwrap())
                };
                let (h_var, theta_var) = (
                    Var::new(&h[..], &Device::Cpu).unwrap(),
                    Var::new(&theta[..], &Device::Cpu).unwrap(),
                );
                let rough = SpikeFunction { smooth: false, ..smooth };
                let sum = rough.apply_with(&h_var, &theta_var).unwrap().sum_all().unwrap();
                let grads = sum.backward().unwrap();
                let moved =
                    |values: &[f64], by: f64| values.iter().map(|v| v + by).collect::<Vec<_>>();
                for (what, var, up, down) in [
                    ("h", &h_var, value(&moved(&h, EPS), &theta), value(&moved(&h, -EPS), &theta)),
                    (
                        "θ",
                        &theta_var,
                        value(&h, &moved(&theta, EPS)),
                        value(&h, &moved(&theta, -EPS)),
                    ),
                ] {
                    let got = flat(grads.get(var).unwrap());
                    for i in 0..h.len() {
                        let want = (up[i] - down[i]) / (2.0 * EPS);
                        let off = (got[i] - want).abs();
                        assert!(
                            off <= 1e-5,
                            "{surrogate:?} {levels} {what}[{i}]: {} {want}",
                            got[i]
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn what_is_not_a_number_stays_so_and_wrong_shapes_are_refused() {
    let spikes = function(3, Surrogate::default());
    let h = Tensor::new(&[f32::NAN, 1.0], &Device::Cpu).unwrap();
    let s = spikes.apply(&h, 1.0).unwrap().to_vec1::<f32>().unwrap();
    assert!(s[0].is_nan() && s[1] == 1.0);
    let theta = Tensor::new(&[1.0_f32], &Device::Cpu).unwrap();
    let error = spikes.apply_with(&h, &theta).unwrap_err().to_string();
    assert!(error.contains("v_threshold is [1], expected that of h, [2]"), "{error}");
    assert!(spikes.apply(&h, 0.0).is_err());
    assert!(SpikeFunction { levels: 0, ..spikes }.apply(&h, 1.0).is_err());
}
