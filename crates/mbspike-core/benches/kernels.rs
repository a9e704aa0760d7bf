//! Kernels on the shapes of the Fashion-MNIST network, for work on the kernels themselves:
//! `cargo bench -p mbspike-core`. What they are worth against the machine's bounds is shown by
//! `mbspike bench kernel`.
#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]

use divan::Bencher;
use divan::counter::ItemsCount;
use mbspike_core::conv::{Conv, ConvShape, ImageLayout, PackedWeights};
use mbspike_core::lif::{LifForward, LifGrad, LifParams, lif_backward, lif_forward};
use mbspike_core::philox::{Domain, Place, Stream};
use mbspike_core::pool::{Pool, PoolKind};
use mbspike_core::{Surrogate, poisson};

fn main() {
    divan::main();
}

const STEPS: usize = 10;
const NEURONS: usize = 1 << 18;

/// `n` numbers around 0, of which a share is not zero.
fn values(n: usize, nonzero_rate: f32) -> Vec<f32> {
    let mut u = vec![0.0; n];
    let place = Place { epoch: 0, sample: 0, step: 0 };
    Stream::new(7, Domain::Init, place).fill_uniform(&mut u);
    u.iter().map(|u| if *u < nonzero_rate { u - nonzero_rate / 2.0 } else { 0.0 }).collect()
}

fn surrogates() -> Vec<Surrogate> {
    vec![
        Surrogate::Sigmoid { alpha: 4.0 },
        Surrogate::Atan { alpha: 2.0 },
        Surrogate::FastSigmoid { alpha: 4.0 },
        Surrogate::Triangle { alpha: 1.0 },
        Surrogate::StraightThrough {},
        Surrogate::Staircase { alpha: 4.0 },
    ]
}

#[divan::bench(args = [1, 2, 4, 8, 16])]
fn lif_forward_by_bits(bencher: Bencher<'_, '_>, bits: u32) {
    let (x, v, params) = (values(STEPS * NEURONS, 1.0), vec![0.0; NEURONS], LifParams::new(bits));
    let mut s = vec![0.0; STEPS * NEURONS];
    bencher.counter(ItemsCount::new(STEPS * NEURONS)).bench_local(|| {
        let outputs = LifForward { s_seq: &mut s, v_seq: None, h_seq: None };
        lif_forward(outputs, &x, &v, &params).unwrap();
    });
}

#[divan::bench(args = surrogates())]
fn lif_backward_by_surrogate(bencher: Bencher<'_, '_>, surrogate: &Surrogate) {
    let params = LifParams { surrogate: *surrogate, ..LifParams::new(4) };
    let (x, v) = (values(STEPS * NEURONS, 1.0), vec![0.0; NEURONS]);
    let (g, mut grad_x, mut grad_v) = (x.clone(), x.clone(), v.clone());
    bencher.counter(ItemsCount::new(STEPS * NEURONS)).bench_local(|| {
        let grads = LifGrad { grad_x_seq: &mut grad_x, grad_v_init: &mut grad_v, grad_tau: None };
        lif_backward(grads, &x, &v, &g, None, &params).unwrap();
    });
}

/// The second convolution of the network, and one input in its layout.
fn convolution(nonzero_rate: f32) -> (Conv, PackedWeights, Vec<f32>) {
    let shape = ConvShape {
        in_channels: 8,
        out_channels: 16,
        height: 14,
        width: 14,
        kernel: 5,
        padding: 2,
    };
    let conv = Conv::new(shape, 8).unwrap();
    let mut packed = PackedWeights::default();
    conv.pack(&mut packed, &values(shape.n_weights(), 1.0), None).unwrap();
    let layout = conv.x_layout();
    let mut x = vec![0.0; layout.len()];
    for y in 0..layout.height {
        let row = layout.row(y);
        let n = row.len();
        x[row].copy_from_slice(&values(n, nonzero_rate));
    }
    (conv, packed, x)
}

#[divan::bench(args = [0.1, 0.3, 0.6, 1.0])]
fn conv_forward_by_density(bencher: Bencher<'_, '_>, density: f32) {
    let (conv, packed, x) = convolution(density);
    let (mut y, mut space) = (vec![0.0; conv.y_layout().len()], conv.forward_space());
    bencher.bench_local(|| conv.forward(&mut y, &x, &packed, &mut space).unwrap());
}

#[divan::bench(args = [0.1, 0.3, 0.6, 1.0])]
fn conv_gradient_of_weights_by_density(bencher: Bencher<'_, '_>, density: f32) {
    let (conv, _, x) = convolution(density);
    let dy = values(conv.dy_layout().len(), 1.0);
    let (mut dw, mut lists) = (vec![0.0; conv.n_gradient()], conv.channel_lists());
    bencher.bench_local(|| {
        lists.fill(&x);
        conv.backward_weight(&mut dw, &dy, &lists).unwrap();
    });
}

#[divan::bench]
fn conv_gradient_of_input(bencher: Bencher<'_, '_>) {
    let (conv, packed, _) = convolution(1.0);
    let dy = values(conv.dy_layout().len(), 1.0);
    let mut dx = vec![0.0; conv.dx_layout().len()];
    bencher.bench_local(|| conv.backward_input(&mut dx, &dy, &packed).unwrap());
}

#[divan::bench(args = [PoolKind::Average, PoolKind::Max])]
fn pool_forward(bencher: Bencher<'_, '_>, kind: PoolKind) {
    let pool = Pool { kind, size: 2 };
    let layout =
        |side| ImageLayout { height: side, width: side, channels: 8, stride: 8, padding: 0 };
    let (x_layout, y_layout) = (layout(28), layout(14));
    let (x, mut y) = (values(x_layout.len(), 0.3), vec![0.0; y_layout.len()]);
    bencher.bench_local(|| pool.forward(&mut y, &y_layout, &x, &x_layout).unwrap());
}

#[divan::bench]
fn poisson_encoding(bencher: Bencher<'_, '_>) {
    let (x, mut out) = (values(784, 1.0), vec![0.0; STEPS * 784]);
    bencher
        .counter(ItemsCount::new(STEPS * 784))
        .bench_local(|| poisson::encode_steps(&mut out, &x, 1, 2, 3).unwrap());
}
