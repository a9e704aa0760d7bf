//! Readouts and losses on slices and tensors, and targets.

use candle_core::{DType, Device, Tensor, Var};
use mbspike_lif::loss::{cross_entropy, smooth_targets};
use mbspike_lif::{Loss, LossKind, Readout, one_hot};
use proptest::prelude::*;

/// Two steps `[T, n]` of three outputs; the first and the last peak at step 1, the second in both.
const SEQ: [f64; 6] = [0.0, 1.0, -2.0, 0.5, 1.0, -1.0];

#[test]
fn readouts_are_the_mean_the_last_and_the_largest() {
    let cases = [
        (Readout::MeanSpike, [0.25, 1.0, -1.5], [0.5, 1.0, 1.5, 0.5, 1.0, 1.5]),
        (Readout::LastMembrane, [0.5, 1.0, -1.0], [0.0, 0.0, 0.0, 1.0, 2.0, 3.0]),
        (Readout::MaxMembrane, [0.5, 1.0, -1.0], [0.0, 2.0, 0.0, 1.0, 0.0, 3.0]),
    ];
    for (readout, expected, expected_grad) in cases {
        let mut logits = [f64::NAN; 3];
        readout.forward(&mut logits, &SEQ);
        assert_eq!(logits, expected, "{readout:?}");
        let mut grad_seq = [f64::NAN; 6];
        readout.backward(&mut grad_seq, &[1.0, 2.0, 3.0], &SEQ);
        assert_eq!(grad_seq, expected_grad, "{readout:?}");

        let seq = Var::from_slice(&SEQ, (2, 1, 3), &Device::Cpu).unwrap();
        let logits = readout.forward_tensor(&seq).unwrap();
        assert_eq!(logits.to_vec2::<f64>().unwrap(), [expected.to_vec()], "{readout:?}");
        let weights = Tensor::new(&[[1.0, 2.0, 3.0]], &Device::Cpu).unwrap();
        let gradients = (logits * weights).unwrap().sum_all().unwrap().backward().unwrap();
        let grad = gradients.get(&seq).unwrap().flatten_all().unwrap();
        assert_eq!(grad.to_vec1::<f64>().unwrap(), expected_grad, "{readout:?}");
    }
}

#[test]
fn a_membrane_that_is_not_a_number_is_not_lost_in_the_largest() {
    let mut logits = [0.0_f32];
    Readout::MaxMembrane.forward(&mut logits, &[1.0, f32::NAN, 2.0]);
    assert!(logits[0].is_nan());
}

#[test]
fn cross_entropy_of_equal_logits_is_the_logarithm_of_the_number_of_classes() {
    let mut grad = [0.0_f64; 4];
    let loss = cross_entropy(&mut grad, &[7.0; 4], &[0.0, 1.0, 0.0, 0.0]);
    assert!((loss - 4.0_f64.ln()).abs() < 1e-15);
    assert_eq!(grad, [0.25, -0.75, 0.25, 0.25]);
}

#[test]
fn cross_entropy_of_huge_logits_is_finite() {
    let mut grad = [0.0_f32; 2];
    assert_eq!(cross_entropy(&mut grad, &[1e30, -1e30], &[1.0, 0.0]), 0.0);
    assert_eq!(cross_entropy(&mut grad, &[1e30, -1e30], &[0.0, 1.0]), 2e30);
    assert_eq!(grad, [1.0, -1.0]);
}

#[test]
fn a_logit_that_is_not_a_number_makes_the_loss_not_a_number() {
    for kind in [LossKind::CrossEntropy, LossKind::Mse] {
        let loss = Loss { kind, label_smoothing: 0.0 };
        let mut grad = [0.0_f32; 2];
        assert!(loss.forward(&mut grad, &[f32::NAN, 0.0], &[0.0, 1.0]).is_nan(), "{kind:?}");
    }
}

#[test]
fn one_hot_marks_the_label_and_refuses_one_that_is_no_class() {
    let targets = one_hot(&[2, 0], 3, DType::F64, &Device::Cpu).unwrap();
    let targets = targets.to_vec2::<f64>().unwrap();
    assert_eq!(targets, [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]);
    let error = one_hot(&[1, 3], 3, DType::F32, &Device::Cpu).unwrap_err().to_string();
    assert!(error.contains("label 1 is 3, expected below 3"), "{error}");
}

#[test]
fn smoothing_spreads_its_share_over_all_classes() {
    let targets = Tensor::new(&[[0.0, 1.0, 0.0, 0.0]], &Device::Cpu).unwrap();
    let smooth = smooth_targets(&targets, 0.2).unwrap().to_vec2::<f64>().unwrap();
    for (got, expected) in smooth[0].iter().zip([0.05, 0.85, 0.05, 0.05]) {
        assert!((got - expected).abs() < 1e-15, "{smooth:?}");
    }
}

#[test]
fn targets_of_another_shape_are_refused() {
    let logits = Tensor::zeros((2, 3), DType::F32, &Device::Cpu).unwrap();
    let targets = Tensor::zeros((3, 2), DType::F32, &Device::Cpu).unwrap();
    let error = Loss::default().forward_tensor(&logits, &targets).unwrap_err().to_string();
    assert!(error.contains("[3, 2]") && error.contains("[2, 3]"), "{error}");
}

#[test]
fn label_smoothing_outside_its_range_is_refused() {
    for label_smoothing in [-0.1, 1.1, f64::NAN] {
        assert!(Loss { kind: LossKind::Mse, label_smoothing }.validate().is_err());
    }
    assert!(Loss { kind: LossKind::Mse, label_smoothing: 1.0 }.validate().is_ok());
}

proptest! {
    #[test]
    fn gradients_are_the_slopes_of_the_losses(
        logits in prop::collection::vec(-5.0..5.0_f64, 5),
        target in prop::collection::vec(0.0..1.0_f64, 5),
        label_smoothing in 0.0..1.0_f64,
    ) {
        for kind in [LossKind::CrossEntropy, LossKind::Mse] {
            let loss = Loss { kind, label_smoothing };
            let mut grad = [0.0; 5];
            loss.forward(&mut grad, &logits, &target);
            for (i, grad) in grad.into_iter().enumerate() {
                let at = |step: f64| {
                    let mut moved = logits.clone();
                    moved[i] += step;
                    loss.forward(&mut [0.0; 5], &moved, &target)
                };
                let slope = (at(1e-5) - at(-1e-5)) / 2e-5;
                prop_assert!((grad - slope).abs() < 1e-8, "{:?}: {} is not {}", kind, grad, slope);
            }
        }
    }
}
