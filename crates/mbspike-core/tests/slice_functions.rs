//! Every function on slices that reads or writes raw memory, on small and odd sizes: what Miri runs
//! (`scripts/check-undefined-behaviour.sh`), and quick enough for every run of the tests.

use mbspike_core::activity::{count, n_nonzero};
use mbspike_core::conv::reference::{conv2d_backward_reference, conv2d_reference};
use mbspike_core::conv::{Conv, ConvShape, ImageLayout, PackedWeights, padded_channels};
use mbspike_core::dense::reference::{dense_backward_reference, dense_reference};
use mbspike_core::dense::{Dense, nonzeros};
use mbspike_core::lif::reference::{lif_multi_step_backward_reference, lif_multi_step_reference};
use mbspike_core::lif::{
    LifForward, LifGrad, fire, lif_backward, lif_backward_from_h, lif_forward, lif_forward_keep_h,
};
use mbspike_core::norm::{NormGradient, add_moments, mean_and_variance, norm_backward};
use mbspike_core::philox::Place;
use mbspike_core::poisson::{encode_step, encode_step_reference, encode_steps};
use mbspike_core::pool::{Pool, PoolKind};
use mbspike_core::product::reference::product_reference;
use mbspike_core::product::{Left, Matrix, ProductSpace, add_product};
use mbspike_core::{LifParams, Reset, carry, round_to_bf16};

/// `n` numbers in `-1..1`, a third of them 0.
fn numbers(n: usize, salt: usize) -> Vec<f32> {
    (0..n)
        .map(|i| {
            let k = (i + 31 * salt).wrapping_mul(2_654_435_761) >> 7 & 0xFF;
            // Off the edges of levels, where f32 and f64 may fire differently.
            if k.is_multiple_of(3) { 0.0 } else { k as f32 * 0.007_313 - 0.931_7 }
        })
        .collect()
}

fn assert_close(what: &str, got: &[f32], want: &[f64]) {
    assert_eq!(got.len(), want.len(), "{what}");
    let largest = want.iter().fold(1.0_f64, |m, w| m.max(w.abs()));
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((f64::from(*g) - w).abs() <= 1e-5 * largest, "{what}[{i}] = {g}, not {w}");
    }
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|x| f64::from(*x)).collect()
}

#[test]
fn neurons_in_blocks_on_several_threads() {
    // More than one block, and enough elements that threads share them.
    for (n_steps, n) in [(1, 1), (3, 17), (4, 1025), (15, 1100)] {
        for reset in [Reset::Soft {}, Reset::Hard { v_reset: 0.25 }, Reset::None {}] {
            let params = LifParams { reset, ..LifParams::new(2) };
            let (x, v_init, grad_s) =
                (numbers(n_steps * n, 1), numbers(n, 2), numbers(n_steps * n, 3));
            let zeros = || vec![0.0_f32; n_steps * n];
            let (mut s, mut v, mut h) = (zeros(), zeros(), zeros());
            let outputs = LifForward { s_seq: &mut s, v_seq: Some(&mut v), h_seq: Some(&mut h) };
            lif_forward(outputs, &x, &v_init, &params).unwrap();
            let trace = lif_multi_step_reference(&wide(&x), &wide(&v_init), &params, None);
            assert_close("h", &h, &trace.h_seq);
            assert_close("v", &v, &trace.v_seq);

            let (mut grad_x, mut grad_v, mut grad_tau) = (zeros(), vec![0.0; n], 0.0);
            let outputs = LifGrad {
                grad_x_seq: &mut grad_x,
                grad_v_init: &mut grad_v,
                grad_tau: Some(&mut grad_tau),
            };
            lif_backward(outputs, &x, &v_init, &grad_s, Some(&grad_s), &params).unwrap();
            let want = lif_multi_step_backward_reference(
                &wide(&x),
                &wide(&v_init),
                &trace,
                &wide(&grad_s),
                Some(&wide(&grad_s)),
                &params,
            );
            assert_close("grad_x", &grad_x, &want.grad_x_seq);
            assert_close("grad_v", &grad_v, &want.grad_v_init);

            // The same in place.
            let (mut x_to_h, mut kept_s, mut kept_v) = (x.clone(), zeros(), v_init.clone());
            lif_forward_keep_h(&mut kept_s, &mut x_to_h, &mut kept_v, &params).unwrap();
            assert_eq!((&kept_s, &x_to_h, &kept_v[..]), (&s, &h, &v[(n_steps - 1) * n..]));
            let mut again = zeros();
            fire(&mut again, &x_to_h, &params).unwrap();
            assert_eq!(again, s);
            let (mut grad, mut grad_v) = (grad_s.clone(), vec![0.0; n]);
            lif_backward_from_h(&mut grad, &mut grad_v, &h, &params).unwrap();
            let want = lif_multi_step_backward_reference(
                &wide(&x),
                &wide(&v_init),
                &trace,
                &wide(&grad_s),
                None,
                &params,
            );
            assert_close("grad in place", &grad, &want.grad_x_seq);
        }
    }
}

/// Writes `[C, H, W]` into an image of this layout.
fn channels_last(planes: &[f32], layout: &ImageLayout) -> Vec<f32> {
    let mut image = vec![0.0; layout.len()];
    for (c, plane) in planes.chunks_exact(layout.height * layout.width).enumerate() {
        for (y, row) in plane.chunks_exact(layout.width).enumerate() {
            let pixels = &mut image[layout.row(y)];
            for (pixel, v) in pixels.chunks_exact_mut(layout.stride).zip(row) {
                pixel[c] = *v;
            }
        }
    }
    image
}

fn channels_first(image: &[f32], layout: &ImageLayout) -> Vec<f32> {
    let n_pixels = layout.height * layout.width;
    let mut planes = vec![0.0; layout.channels * n_pixels];
    for y in 0..layout.height {
        for (x, pixel) in image[layout.row(y)].chunks_exact(layout.stride).enumerate() {
            for c in 0..layout.channels {
                planes[c * n_pixels + y * layout.width + x] = pixel[c];
            }
        }
    }
    planes
}

#[test]
fn convolutions_by_every_pass() {
    let cases = [
        (1, 3, 5, 7, 3, 1),
        (2, 8, 4, 4, 3, 1),
        (3, 1, 3, 3, 1, 0),
        (5, 17, 4, 9, 3, 0),
        (4, 33, 6, 5, 5, 2),
    ];
    // As many kinds of tiles, in fewer operations: Miri takes a thousand times as long.
    let small = [(1, 3, 3, 5, 3, 1), (3, 1, 3, 3, 1, 0), (1, 17, 3, 4, 3, 0), (1, 33, 3, 3, 3, 1)];
    let cases = if cfg!(miri) { &small[..] } else { &cases };
    for &(in_channels, out_channels, height, width, kernel, padding) in cases {
        let shape = ConvShape { in_channels, out_channels, height, width, kernel, padding };
        let conv = Conv::new(shape, in_channels).unwrap();
        let x = numbers(in_channels * height * width, 4);
        let binary: Vec<f32> = x.iter().map(|x| f32::from(*x > 0.0)).collect();
        let weight = numbers(shape.n_weights(), 5);
        let mut packed = PackedWeights::default();
        conv.pack(&mut packed, &weight, None).unwrap();
        let (mut space, mut y) = (conv.forward_space(), vec![0.0; conv.y_layout().len()]);
        for x in [&x, &binary] {
            let image = channels_last(x, conv.x_layout());
            let want = conv2d_reference(&wide(x), &wide(&weight), &shape);
            conv.forward(&mut y, &image, &packed, &mut space).unwrap();
            assert_close("forward", &channels_first(&y, conv.y_layout()), &want);
            conv.forward_dense(&mut y, &image, &packed).unwrap();
            assert_close("dense", &channels_first(&y, conv.y_layout()), &want);
            let mut list = conv.nonzeros();
            list.fill(&image);
            conv.forward_sparse(&mut y, &list, &packed).unwrap();
            assert_close("sparse", &channels_first(&y, conv.y_layout()), &want);
        }
        let grad_y = numbers(out_channels * shape.out_height() * shape.out_width(), 6);
        let dy = channels_last(&grad_y, conv.dy_layout());
        let image = channels_last(&x, conv.x_layout());
        let (want_x, want_weight) =
            conv2d_backward_reference(&wide(&x), &wide(&weight), &wide(&grad_y), &shape);
        let mut dx = vec![0.0; conv.dx_layout().len()];
        conv.backward_input(&mut dx, &dy, &packed).unwrap();
        assert_close("dx", &channels_first(&dx, conv.dx_layout()), &want_x);
        let mut list = conv.dy_nonzeros();
        list.fill(&dy);
        let mut sparse = vec![f32::NAN; dx.len()];
        conv.backward_input_sparse(&mut sparse, &list, &packed).unwrap();
        assert_eq!(sparse, dx, "the same bits");
        let mut lists = conv.channel_lists();
        lists.fill(&image);
        let mut dw = vec![0.0; conv.n_gradient()];
        conv.backward_weight(&mut dw, &dy, &lists).unwrap();
        let mut grad = vec![0.0; weight.len()];
        conv.unpack_gradient(&mut grad, &dw).unwrap();
        assert_close("dw", &grad, &want_weight);
    }
}

#[test]
fn dense_layers_of_every_width() {
    // Runs of 1, 2, 4 and 8 vectors of outputs, and what is left over.
    for (n_in, n_out) in [(1, 1), (7, 9), (13, 33), (10, 100), (5, 260)] {
        let dense = Dense::new(n_in, n_out);
        let stride = padded_channels(n_out);
        let (x, weight, grad_y) = (numbers(n_in, 7), numbers(n_in * n_out, 8), numbers(n_out, 9));
        let mut by_input = vec![0.0; n_in * stride];
        for (o, row) in weight.chunks_exact(n_in).enumerate() {
            for (i, w) in row.iter().enumerate() {
                by_input[i * stride + o] = *w;
            }
        }
        let (mut index, mut value) = (vec![0; n_in + 1], vec![0.0; n_in + 1]);
        let n = nonzeros(&mut index, &mut value, &x);
        let mut y = vec![0.0; stride];
        dense.forward(&mut y, &index[..n], &value[..n], &by_input, None).unwrap();
        assert_close("y", &y[..n_out], &dense_reference(&wide(&x), &wide(&weight)));
        let (want_x, want_weight) =
            dense_backward_reference(&wide(&x), &wide(&weight), &wide(&grad_y));
        let mut dx = vec![0.0; n_in];
        dense.backward_input(&mut dx, &grad_y, &weight).unwrap();
        assert_close("dx", &dx, &want_x);
        let (mut dy, mut dw) = (grad_y.clone(), vec![0.0; n_in * stride]);
        dy.resize(stride, 0.0);
        dense.backward_weight(&mut dw, &dy, &index[..n], &value[..n]).unwrap();
        let dw: Vec<f32> = (0..n_out)
            .flat_map(|o| (0..n_in).map(move |i| (i, o)))
            .map(|(i, o)| dw[i * stride + o])
            .collect();
        assert_close("dw", &dw, &want_weight);
    }
}

#[test]
fn pooling_counting_and_rounding() {
    for (kind, size) in [(PoolKind::Average, 2), (PoolKind::Max, 2), (PoolKind::Average, 3)] {
        for stride in [1, 8] {
            let layout = |height, width, padding| ImageLayout {
                height,
                width,
                channels: 1,
                stride,
                padding,
            };
            let (x_layout, y_layout) = (layout(7, 6, 0), layout(7 / size, 6 / size, 1));
            let x = numbers(x_layout.len(), 10);
            let mut y = vec![0.0; y_layout.len()];
            let pool = Pool { kind, size };
            pool.forward(&mut y, &y_layout, &x, &x_layout).unwrap();
            let dy = numbers(y_layout.len(), 11);
            let mut dx = vec![0.0; x.len()];
            pool.backward(&mut dx, &x, &x_layout, &dy, &y_layout).unwrap();
            assert!(y.iter().chain(&dx).any(|v| *v != 0.0));
        }
    }
    // What bf16 can say.
    let mut values: Vec<f32> =
        numbers(1_030, 12).into_iter().map(|x| (x * 64.0).round() / 64.0).collect();
    let (n, sum) = count(&values);
    assert_eq!(n as usize, n_nonzero(&values));
    assert_eq!(sum.value(), wide(&values).iter().sum::<f64>());
    let before = values.clone();
    carry(&mut values);
    round_to_bf16(&mut values);
    assert_eq!(values, before);
}

#[test]
fn products_of_rows_columns_and_zeros() {
    // Odd rows, one and several vectors of columns, more than a block of the left factor's columns.
    // With few zeros and with many: in tiles, and gathered.
    let shapes = [(1, 1, 8), (7, 5, 16), (13, 100, 24), (3, 300, 40)];
    for ((m, k, n), many_zeros) in shapes.into_iter().flat_map(|s| [(s, false), (s, true)]) {
        let (mut a, b) = (numbers(m * k, 13), numbers(k * n, 14));
        if many_zeros {
            a.iter_mut().enumerate().for_each(|(i, a)| *a *= f32::from(i % 4 == 0));
        }
        let transposed: Vec<f32> = (0..k * m).map(|i| a[i % m * k + i / m]).collect();
        let want = product_reference(&wide(&a), &wide(&b), k, n);
        let mut space = ProductSpace::default();
        for matrix in [Matrix::by_rows(&a, k), Matrix::by_rows(&transposed, m).transposed()] {
            for may_be_sparse in [false, true] {
                // Rows of the product lie in wider ones.
                let mut c = vec![0.0; m * (n + 3)];
                let left = Left { matrix, rows: 0..m, k, may_be_sparse };
                add_product((&mut c, n + 3), left, (&b, n), n, &mut space).unwrap();
                let got: Vec<f32> =
                    c.chunks_exact(n + 3).flat_map(|row| &row[..n]).copied().collect();
                assert_close("product", &got, &want);
                assert!(c.chunks_exact(n + 3).all(|row| row[n..] == [0.0; 3]));
            }
        }
    }
}

#[test]
fn spikes_moments_and_normalized_gradients() {
    for n in [1, 63, 64, 65, 130] {
        let intensities: Vec<f32> = (0..n).map(|i| i as f32 / n as f32).collect();
        let mut steps = vec![f32::NAN; 2 * n];
        encode_steps(&mut steps, &intensities, 9, 1, 2).unwrap();
        for (step, spikes) in steps.chunks_exact(n).enumerate() {
            let place = Place { epoch: 1, sample: 2, step: step as u32 };
            assert_eq!(spikes, encode_step_reference(&intensities, 9, place));
            let mut again = vec![f32::NAN; n];
            encode_step(&mut again, &intensities, 9, place).unwrap();
            assert_eq!(again, spikes);
        }
    }
    let (channels, rows) = (11, 5);
    let y = numbers(channels * rows, 15);
    let (mut sum, mut square) = (vec![0.0; channels], vec![0.0; channels]);
    add_moments(&mut sum, &mut square, &y).unwrap();
    let (mut mean, mut variance) = (vec![0.0; channels], vec![0.0; channels]);
    mean_and_variance(&mut mean, &mut variance, &sum, &square, rows as f64).unwrap();
    for c in 0..channels {
        let of_channel: Vec<f64> = (0..rows).map(|r| f64::from(y[r * channels + c])).collect();
        let want = of_channel.iter().sum::<f64>() / rows as f64;
        let spread = of_channel.iter().map(|v| (v - want).powi(2)).sum::<f64>() / rows as f64;
        assert!((mean[c] - want).abs() <= 1e-6 && (variance[c] - spread).abs() <= 1e-6);
    }
    let dz = numbers(channels * rows, 16);
    let part = |salt| numbers(channels, salt);
    let (scale, slope, constant, mean) = (part(17), part(18), part(19), part(20));
    let of = NormGradient { scale: &scale, slope: &slope, constant: &constant, mean: &mean };
    let mut dy = dz.clone();
    norm_backward(&mut dy, &y, of).unwrap();
    let want: Vec<f64> = (0..dz.len())
        .map(|i| {
            let c = i % channels;
            let [dz, y] = [dz[i], y[i]].map(f64::from);
            let [scale, slope, constant, mean] =
                [scale[c], slope[c], constant[c], mean[c]].map(f64::from);
            scale * dz + slope * (y - mean) + constant
        })
        .collect();
    assert_close("dy", &dy, &want);
}
