//! Dense layers and pooling against their plain forms.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]

use candle_core::{Device, Tensor, Var};
use mbspike_core::conv::ImageLayout;
use mbspike_core::dense::reference::{dense_backward_reference, dense_reference};
use mbspike_core::dense::{Dense, nonzeros};
use mbspike_core::pool::{Pool, PoolKind, pool2d};
use proptest::prelude::*;

fn assert_close(what: &str, got: &[f32], want: &[f64]) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        let difference = (f64::from(*g) - w).abs();
        assert!(difference <= 1e-5 * (1.0 + w.abs()), "{what}[{i}] = {g}, not {w}");
    }
}

fn doubles(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

/// Values in -1..1, a third of them zero.
fn values(n: usize) -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec(prop_oneof![1 => Just(0.0_f32), 2 => -1.0..1.0_f32], n)
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(60))]

    #[test]
    fn dense_layer_agrees_with_the_reference(
        (n_in, n_out, x, weight, dy, bias) in (1_usize..80, 1_usize..90).prop_flat_map(|(i, o)| {
            (Just(i), Just(o), values(i), values(i * o), values(o), values(o))
        }),
    ) {
        let dense = Dense::new(n_in, n_out);
        let stride = dense.out_stride();
        let mut by_input = vec![0.0; n_in * stride];
        for (o, row) in weight.chunks_exact(n_in).enumerate() {
            for (i, w) in row.iter().enumerate() {
                by_input[i * stride + o] = *w;
            }
        }
        let (mut index, mut value) = (vec![0; n_in + 1], vec![0.0; n_in + 1]);
        let n = nonzeros(&mut index, &mut value, &x);
        prop_assert_eq!(n, x.iter().filter(|v| **v != 0.0).count());
        let (index, value) = (&index[..n], &value[..n]);
        let (x, weight) = (doubles(&x), doubles(&weight));

        let mut y = vec![f32::NAN; stride];
        dense.forward(&mut y, index, value, &by_input, None).unwrap();
        let want = dense_reference(&x, &weight);
        assert_close("y", &y[..n_out], &want);
        let mut padded_bias = bias.clone();
        padded_bias.resize(stride, 0.0);
        dense.forward(&mut y, index, value, &by_input, Some(&padded_bias)).unwrap();
        let with_bias: Vec<f64> = want.iter().zip(&bias).map(|(y, b)| y + f64::from(*b)).collect();
        assert_close("y with bias", &y[..n_out], &with_bias);

        let (want_x, want_w) = dense_backward_reference(&x, &weight, &doubles(&dy));
        let mut dx = vec![f32::NAN; n_in];
        let by_output: Vec<f32> = weight.iter().map(|w| *w as f32).collect();
        dense.backward_input(&mut dx, &dy, &by_output).unwrap();
        assert_close("dx", &dx, &want_x);
        let mut padded_dy = dy.clone();
        padded_dy.resize(stride, 0.0);
        let mut dw = vec![0.0; n_in * stride];
        dense.backward_weight(&mut dw, &padded_dy, index, value).unwrap();
        for o in 0..n_out {
            let column: Vec<f32> = (0..n_in).map(|i| dw[i * stride + o]).collect();
            assert_close("dw", &column, &want_w[o * n_in..][..n_in]);
        }
    }

    #[test]
    fn channels_last_pooling_agrees_with_the_batched_operation(
        (layout, size, planes) in (1_usize..9, 1_usize..9, 1_usize..20, 0_usize..3, 1_usize..4)
            .prop_flat_map(|(height, width, channels, padding, size)| {
                let layout = ImageLayout {
                    height: height.max(size), width: width.max(size), channels,
                    stride: channels.next_multiple_of(8), padding,
                };
                (Just(layout), Just(size), values(channels * layout.height * layout.width))
            }),
    ) {
        for kind in [PoolKind::Average, PoolKind::Max, PoolKind::Sum] {
            let dims = (1, layout.channels, layout.height, layout.width);
            let x_var = Var::from_vec(planes.clone(), dims, &Device::Cpu).unwrap();
            let y = pool2d(&x_var, kind, size).unwrap();
            let (_, _, out_h, out_w) = y.dims4().unwrap();
            let n_y = layout.channels * out_h * out_w;
            let dy: Vec<f32> = (0..n_y).map(|i| (i as f32).sin()).collect();
            let dy_tensor = Tensor::from_vec(dy.clone(), y.shape(), &Device::Cpu).unwrap();
            let grads = (&y * dy_tensor).unwrap().sum_all().unwrap().backward().unwrap();
            let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();

            let y_layout = ImageLayout { height: out_h, width: out_w, ..layout };
            let x = channels_last(&planes, &layout);
            let mut got = vec![0.0; y_layout.len()];
            let pool = Pool { kind, size };
            pool.forward(&mut got, &y_layout, &x, &layout).unwrap();
            assert_close("y", &got, &doubles(&channels_last(&flat(&y), &y_layout)));
            let mut dx = vec![0.0; layout.len()];
            let dy = channels_last(&dy, &y_layout);
            pool.backward(&mut dx, &x, &layout, &dy, &y_layout).unwrap();
            let want = channels_last(&flat(grads.get(&x_var).unwrap()), &layout);
            assert_close("dx", &dx, &doubles(&want));
        }
    }
}

fn channels_last(planes: &[f32], layout: &ImageLayout) -> Vec<f32> {
    let mut image = vec![0.0; layout.len()];
    for (c, plane) in planes.chunks_exact(layout.height * layout.width).enumerate() {
        for (y, row) in plane.chunks_exact(layout.width).enumerate() {
            for (x, v) in row.iter().enumerate() {
                image[layout.row(y).start + x * layout.stride + c] = *v;
            }
        }
    }
    image
}

#[test]
fn gradient_of_a_maximum_goes_to_the_first_of_equals() {
    let x = Var::new(&[[[[1.0_f32, 1.0], [1.0, 0.0]]]], &Device::Cpu).unwrap();
    let y = pool2d(&x, PoolKind::Max, 2).unwrap();
    let grads = y.sum_all().unwrap().backward().unwrap();
    let grad = grads.get(&x).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(grad, [1.0, 0.0, 0.0, 0.0]);
}
