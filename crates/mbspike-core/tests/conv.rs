//! The convolution kernels against the plain reference.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]

use candle_core::{Device, Tensor, Var};
use mbspike_core::conv::reference::{conv2d_backward_reference, conv2d_reference};
use mbspike_core::conv::{Conv, ConvShape, PackedWeights, conv2d};
use proptest::prelude::*;

/// Reproducible values in -1..1; a share of them zero.
fn values(n: usize, seed: u64, zeros: f64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f64 / (1_u64 << 24) as f64
    };
    (0..n).map(|_| if next() < zeros { 0.0 } else { (2.0 * next() - 1.0) as f32 }).collect()
}

fn doubles(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

fn assert_close(what: &str, got: &[f32], want: &[f64]) {
    assert_eq!(got.len(), want.len(), "{what}");
    let largest = want.iter().fold(1e-3_f64, |m, w| m.max(w.abs()));
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        let difference = (f64::from(*g) - w).abs();
        assert!(difference <= 2e-5 * largest, "{what}[{i}] = {g}, not {w}");
    }
}

fn shapes() -> impl Strategy<Value = ConvShape> {
    (1_usize..=7, 1_usize..=19, 1_usize..=35, 1_usize..=17, 1_usize..=31).prop_flat_map(
        |(kernel, in_channels, out_channels, height, width)| {
            (0..kernel).prop_map(move |padding| ConvShape {
                in_channels,
                out_channels,
                height: height.max(kernel),
                width: width.max(kernel),
                kernel,
                padding,
            })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn batched_operation_agrees_with_the_reference(
        shape in shapes(), zeros in 0.0..1.0_f64, seed in 1_u64..1000, n_images in 1_usize..4,
    ) {
        let x_len = shape.in_channels * shape.height * shape.width;
        let y_len = shape.out_channels * shape.out_height() * shape.out_width();
        let x = values(n_images * x_len, seed, zeros);
        let weight = values(shape.n_weights(), seed + 1, 0.0);
        let grad_y = values(n_images * y_len, seed + 2, 0.0);

        let x_dims = (n_images, shape.in_channels, shape.height, shape.width);
        let x_var = Var::from_vec(x.clone(), x_dims, &Device::Cpu).unwrap();
        let w_dims = (shape.out_channels, shape.in_channels, shape.kernel, shape.kernel);
        let w_var = Var::from_vec(weight.clone(), w_dims, &Device::Cpu).unwrap();
        let y = conv2d(&x_var, &w_var, shape.padding).unwrap();
        let grad = Tensor::from_vec(grad_y.clone(), y.shape(), &Device::Cpu).unwrap();
        let grads = (&y * &grad).unwrap().sum_all().unwrap().backward().unwrap();
        let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let (y, grad_x) = (flat(&y), flat(grads.get(&x_var).unwrap()));

        let weight = doubles(&weight);
        let mut grad_weight = vec![0.0; weight.len()];
        for i in 0..n_images {
            let x = doubles(&x[i * x_len..][..x_len]);
            let dy = doubles(&grad_y[i * y_len..][..y_len]);
            assert_close("y", &y[i * y_len..][..y_len], &conv2d_reference(&x, &weight, &shape));
            let (want_x, want_w) = conv2d_backward_reference(&x, &weight, &dy, &shape);
            assert_close("grad_x", &grad_x[i * x_len..][..x_len], &want_x);
            grad_weight.iter_mut().zip(want_w).for_each(|(sum, g)| *sum += g);
        }
        assert_close("grad_weight", &flat(grads.get(&w_var).unwrap()), &grad_weight);
    }

    #[test]
    fn dense_and_sparse_passes_agree(
        shape in shapes(), zeros in 0.0..1.0_f64, seed in 1_u64..1000, with_bias: bool,
    ) {
        let conv = Conv::new(shape, shape.in_channels).unwrap();
        let mut packed = PackedWeights::default();
        let bias = values(shape.out_channels, seed + 3, 0.0);
        let weight = values(shape.n_weights(), seed, 0.0);
        conv.pack(&mut packed, &weight, with_bias.then_some(&bias[..])).unwrap();
        let layout = conv.x_layout();
        let mut x = vec![0.0; layout.len()];
        for y in 0..layout.height {
            let row = layout.row(y);
            x[row.clone()].copy_from_slice(&values(row.len(), seed + y as u64, zeros));
        }
        let mut nonzeros = conv.nonzeros();
        nonzeros.fill(&x);
        let mut dense = vec![f32::NAN; conv.y_layout().len()];
        let mut sparse = dense.clone();
        conv.forward_dense(&mut dense, &x, &packed).unwrap();
        conv.forward_sparse(&mut sparse, &nonzeros, &packed).unwrap();
        assert_close("sparse", &sparse, &doubles(&dense));
    }

    #[test]
    fn binary_images_give_the_same_by_look_up(
        (channels, kernel) in prop::sample::select(
            vec![(1, 1), (1, 2), (1, 3), (1, 5), (1, 7), (2, 3), (2, 4), (4, 2), (8, 1), (2, 5)]
        ),
        (out_channels, height, width) in (1_usize..=40, 1_usize..=17, 1_usize..=31),
        padding in 0_usize..7, zeros in 0.0..1.0_f64, seed in 1_u64..1000, with_bias: bool,
    ) {
        let shape = ConvShape {
            in_channels: channels,
            out_channels,
            height: height.max(kernel),
            width: width.max(kernel),
            kernel,
            padding: padding % kernel,
        };
        let conv = Conv::new(shape, channels).unwrap();
        let mut packed = PackedWeights::default();
        let bias = values(out_channels, seed + 3, 0.0);
        let weight = values(shape.n_weights(), seed, 0.0);
        conv.pack(&mut packed, &weight, with_bias.then_some(&bias[..])).unwrap();
        let layout = conv.x_layout();
        let mut x = vec![0.0; layout.len()];
        for y in 0..layout.height {
            let row = layout.row(y);
            let ones = values(row.len(), seed + y as u64, zeros);
            x[row].iter_mut().zip(ones).for_each(|(x, one)| *x = f32::from(one != 0.0));
        }
        let mut dense = vec![f32::NAN; conv.y_layout().len()];
        let mut chosen = dense.clone();
        conv.forward_dense(&mut dense, &x, &packed).unwrap();
        let mut space = conv.forward_space();
        // Once with other values in the space, which must leave nothing behind.
        conv.forward(&mut chosen, &vec![1.0; layout.len()], &packed, &mut space).unwrap();
        conv.forward(&mut chosen, &x, &packed, &mut space).unwrap();
        assert_close("by look-up", &chosen, &doubles(&dense));
    }
}

#[test]
fn nan_inputs_are_not_skipped_as_zeros() {
    let shape =
        ConvShape { in_channels: 4, out_channels: 3, height: 5, width: 5, kernel: 3, padding: 1 };
    let conv = Conv::new(shape, 4).unwrap();
    let mut packed = PackedWeights::default();
    conv.pack(&mut packed, &vec![1.0; shape.n_weights()], None).unwrap();
    let mut x = vec![0.0; conv.x_layout().len()];
    x[conv.x_layout().row(2).start] = f32::NAN;
    let mut y = vec![0.0; conv.y_layout().len()];
    conv.forward(&mut y, &x, &packed, &mut conv.forward_space()).unwrap();
    assert!(y.iter().any(|v| v.is_nan()));
}

#[test]
#[should_panic(expected = "lists of another convolution")]
fn lists_of_another_layout_are_refused() {
    let shape =
        ConvShape { in_channels: 4, out_channels: 8, height: 9, width: 9, kernel: 3, padding: 1 };
    let conv = Conv::new(shape, 4).unwrap();
    let other = Conv::new(ConvShape { height: 30, width: 30, ..shape }, 4).unwrap();
    let mut dw = vec![0.0; conv.n_gradient()];
    let dy = vec![0.0; conv.dy_layout().len()];
    conv.backward_weight(&mut dw, &dy, &other.channel_lists()).unwrap();
}

#[test]
fn a_weight_for_other_channels_or_of_another_shape_is_refused() {
    let zeros =
        |dims: &[usize]| Tensor::zeros(dims, candle_core::DType::F32, &Device::Cpu).unwrap();
    let x = zeros(&[1, 4, 5, 5]);
    for weight in [&[8, 2, 2, 4][..], &[8, 2, 3, 3], &[8, 4, 3, 2], &[8, 4, 3], &[8, 4, 3, 3, 1]] {
        for dtype in [candle_core::DType::F32, candle_core::DType::F64] {
            let (x, w) = (x.to_dtype(dtype).unwrap(), zeros(weight).to_dtype(dtype).unwrap());
            let error = conv2d(&x, &w, 1).unwrap_err().to_string();
            assert!(error.contains("[out, 4, k, k]"), "{weight:?}: {error}");
        }
    }
    let error = conv2d(&zeros(&[4, 5, 5]), &zeros(&[8, 4, 3, 3]), 1).unwrap_err().to_string();
    assert!(error.contains("x is [4, 5, 5], expected [N, C, H, W]"), "{error}");
}
