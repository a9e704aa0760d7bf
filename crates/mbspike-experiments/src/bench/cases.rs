//! The kernels and the shapes they are timed on.

use mbspike_core::activity::count;
use mbspike_core::conv::{Conv, ConvShape, ImageLayout, PackedWeights};
use mbspike_core::dense::{self, Dense};
use mbspike_core::lif::{LifForward, LifGrad, LifParams, lif_backward, lif_forward};
use mbspike_core::lif::{lif_backward_from_h, lif_forward_keep_h};
use mbspike_core::philox::{Domain, Place, Stream};
use mbspike_core::poisson::encode_steps;
use mbspike_core::pool::{Pool, PoolKind};
use mbspike_core::product::{Left, Matrix, ProductSpace, add_product};
use mbspike_core::round_to_bf16;

pub(super) type Run = Box<dyn FnMut() + Send>;

/// A kernel on a shape.
pub(super) struct Case {
    pub(super) kernel: &'static str,
    pub(super) shape: String,
    /// Operations and bytes of one runner's call.
    pub(super) flops: f64,
    pub(super) bytes: f64,
    /// Whether the kernel uses all threads itself; else each thread has a runner.
    pub(super) is_parallel: bool,
    /// Makes a runner with its own data.
    pub(super) make: Box<dyn Fn() -> Run>,
}

/// All of them.
pub(super) fn cases() -> Vec<Case> {
    let mut cases = lif_cases();
    cases.extend(conv_cases());
    cases.extend(product_cases());
    cases.extend(other_cases());
    cases
}

const F32: f64 = size_of::<f32>() as f64;

/// `n` numbers around 0 with the given share of zeros.
fn values(n: usize, nonzero_rate: f32) -> Vec<f32> {
    let mut u = vec![0.0; 2 * n];
    let place = Place { epoch: 0, sample: 0, step: 0 };
    Stream::new(7, Domain::Init, place).fill_uniform(&mut u);
    let (kept, value) = u.split_at(n);
    kept.iter().zip(value).map(|(&k, v)| if k < nonzero_rate { v - 0.5 } else { 0.0 }).collect()
}

/// The same in the layout of an image, its padding and spare channels zero.
fn image(layout: &ImageLayout, nonzero_rate: f32) -> Vec<f32> {
    let mut image = vec![0.0; layout.len()];
    let row_values = layout.width * layout.stride;
    let all = values(layout.height * row_values, nonzero_rate);
    for (y, row) in all.chunks_exact(row_values).enumerate() {
        let pixels = image[layout.row(y)].chunks_exact_mut(layout.stride);
        for (pixel, value) in pixels.zip(row.chunks_exact(layout.stride)) {
            pixel[..layout.channels].copy_from_slice(&value[..layout.channels]);
        }
    }
    image
}

/// Neurons over time, out of every cache and inside the second level.
fn lif_cases() -> Vec<Case> {
    const STEPS: usize = 10;
    let mut cases = vec![];
    for bits in [1, 2, 4, 8] {
        let n = 2 << 20;
        let shape = format!("T=10, 2097152 neurons, {bits} bits");
        let x = move || values(STEPS * n, 1.0).iter().map(|x| 2.0 * x + 0.5).collect::<Vec<_>>();
        cases.push(Case {
            kernel: "lif forward",
            shape: shape.clone(),
            flops: 0.0,
            bytes: F32 * (2 * STEPS * n + n) as f64,
            is_parallel: true,
            make: Box::new(move || {
                let (x, v, params) = (x(), vec![0.0; n], LifParams::new(bits));
                let mut s = vec![0.0; STEPS * n];
                Box::new(move || {
                    let out = LifForward { s_seq: &mut s, v_seq: None, h_seq: None };
                    lif_forward(out, &x, &v, &params).expect("lengths agree");
                })
            }),
        });
        cases.push(Case {
            kernel: "lif backward",
            shape,
            flops: 0.0,
            bytes: F32 * (3 * STEPS * n + 2 * n) as f64,
            is_parallel: true,
            make: Box::new(move || {
                let (x, v, params) = (x(), vec![0.0; n], LifParams::new(bits));
                let (g, mut gx, mut gv) = (values(STEPS * n, 1.0), x.clone(), v.clone());
                Box::new(move || {
                    let out = LifGrad { grad_x_seq: &mut gx, grad_v_init: &mut gv, grad_tau: None };
                    lif_backward(out, &x, &v, &g, None, &params).expect("lengths agree");
                })
            }),
        });
    }
    let n = 28 * 28 * 8;
    for bits in [1, 8] {
        let shape = format!("one step, {n} neurons, {bits} bits, in cache");
        cases.push(Case {
            kernel: "lif step forward",
            shape: shape.clone(),
            flops: 0.0,
            bytes: F32 * (5 * n) as f64,
            is_parallel: false,
            make: Box::new(move || {
                let params = LifParams::new(bits);
                let (x, mut s, mut v) = (values(n, 1.0), vec![0.0; n], vec![0.0; n]);
                let mut h = x.clone();
                Box::new(move || {
                    h.copy_from_slice(&x);
                    lif_forward_keep_h(&mut s, &mut h, &mut v, &params).expect("lengths agree");
                })
            }),
        });
        cases.push(Case {
            kernel: "lif step backward",
            shape,
            flops: 0.0,
            bytes: F32 * (5 * n) as f64,
            is_parallel: false,
            make: Box::new(move || {
                let params = LifParams::new(bits);
                let (h, g, mut gv) = (values(n, 1.0), values(n, 1.0), vec![0.0; n]);
                let mut gx = g.clone();
                Box::new(move || {
                    gx.copy_from_slice(&g);
                    lif_backward_from_h(&mut gx, &mut gv, &h, &params).expect("lengths agree");
                })
            }),
        });
    }
    cases
}

/// Convolutions with the spike densities that networks show.
fn conv_cases() -> Vec<Case> {
    let shapes = [
        (1, 8, 28, 5),
        (8, 16, 14, 5),
        (2, 16, 34, 3),
        (16, 32, 16, 3),
        (32, 64, 16, 3),
        (64, 128, 8, 3),
    ];
    let mut cases = vec![];
    for (ci, co, side, kernel) in shapes {
        let shape = ConvShape {
            in_channels: ci,
            out_channels: co,
            height: side,
            width: side,
            kernel,
            padding: kernel / 2,
        };
        let name = format!("{ci}→{co}, {side}×{side}, kernel {kernel}");
        let flops = 2.0 * shape.n_macs() as f64;
        let weights = F32 * shape.n_weights() as f64;
        let images = F32 * (side * side * (ci + co)) as f64;
        let with = move |rate: f32| {
            let conv = Conv::new(shape, ci).expect("a valid shape");
            let mut packed = PackedWeights::default();
            conv.pack(&mut packed, &values(shape.n_weights(), 1.0), None).expect("lengths agree");
            let (x, dy) = (image(conv.x_layout(), rate), image(conv.dy_layout(), 1.0));
            (conv, packed, x, dy)
        };
        let mut case = |kernel, shape: String, make| {
            let bytes = images + weights;
            cases.push(Case { kernel, shape, flops, bytes, is_parallel: false, make });
        };
        case(
            "conv forward, dense",
            name.clone(),
            Box::new(move || {
                let (conv, packed, x, _) = with(1.0);
                let mut y = vec![0.0; conv.y_layout().len()];
                Box::new(move || conv.forward_dense(&mut y, &x, &packed).expect("lengths agree"))
            }),
        );
        case(
            "conv forward, zeros and ones",
            format!("{name}, 30 % non-zero"),
            Box::new(move || {
                let (conv, packed, mut x, _) = with(0.3);
                for x in &mut x {
                    *x = f32::from(*x != 0.0);
                }
                let (mut y, mut space) = (vec![0.0; conv.y_layout().len()], conv.forward_space());
                Box::new(move || {
                    conv.forward(&mut y, &x, &packed, &mut space).expect("lengths agree");
                })
            }),
        );
        for percent in [15_u16, 30, 60] {
            let rate = f32::from(percent) / 100.0;
            let name = format!("{name}, {percent} % non-zero");
            case(
                "conv forward",
                name.clone(),
                Box::new(move || {
                    let (conv, packed, x, _) = with(rate);
                    let (mut y, mut space) =
                        (vec![0.0; conv.y_layout().len()], conv.forward_space());
                    Box::new(move || {
                        conv.forward(&mut y, &x, &packed, &mut space).expect("lengths agree");
                    })
                }),
            );
            case(
                "conv gradient of weights",
                name,
                Box::new(move || {
                    let (conv, _, x, dy) = with(rate);
                    let (mut dw, mut lists) = (vec![0.0; conv.n_gradient()], conv.channel_lists());
                    Box::new(move || {
                        lists.fill(&x);
                        conv.backward_weight(&mut dw, &dy, &lists).expect("lengths agree");
                    })
                }),
            );
        }
        case(
            "conv gradient of input",
            name,
            Box::new(move || {
                let (conv, packed, _, dy) = with(1.0);
                let mut dx = vec![0.0; conv.dx_layout().len()];
                Box::new(move || conv.backward_input(&mut dx, &dy, &packed).expect("lengths agree"))
            }),
        );
    }
    cases
}

/// A task's share of the products of a dense layer 700→128 on many samples: forward, where zeros of its
/// input's rows are skipped, and the gradient of its weights, where those of its columns are.
fn product_cases() -> Vec<Case> {
    let (n_in, n_out, n_samples, rows) = (700, 128, 1920, 48);
    let mut cases = vec![];
    for percent in [5_u16, 15, 30, 40, 60, 100] {
        let rate = f32::from(percent) / 100.0;
        let mut case = |kernel, k: usize, make| {
            cases.push(Case {
                kernel,
                shape: format!("{rows}×{k} by {k}×{n_out}, {percent} % non-zero"),
                flops: 2.0 * (rows * k * n_out) as f64,
                bytes: F32 * (rows * k + k * n_out + rows * n_out) as f64,
                is_parallel: false,
                make,
            });
        };
        case(
            "product by rows",
            n_in,
            Box::new(move || {
                let (x, weights) = (values(rows * n_in, rate), values(n_in * n_out, 1.0));
                let (mut y, mut space) = (vec![0.0; rows * n_out], ProductSpace::default());
                Box::new(move || {
                    let matrix = Matrix::by_rows(&x, n_in);
                    let a = Left { matrix, rows: 0..rows, k: n_in, may_be_sparse: true };
                    add_product((&mut y, n_out), a, (&weights, n_out), n_out, &mut space)
                        .expect("lengths agree");
                })
            }),
        );
        case(
            "product by columns",
            n_samples,
            Box::new(move || {
                let (x, dy) = (values(n_samples * n_in, rate), values(n_samples * n_out, 1.0));
                let (mut dw, mut space) = (vec![0.0; rows * n_out], ProductSpace::default());
                Box::new(move || {
                    let matrix = Matrix::by_rows(&x, n_in).transposed();
                    let a = Left { matrix, rows: 0..rows, k: n_samples, may_be_sparse: true };
                    add_product((&mut dw, n_out), a, (&dy, n_out), n_out, &mut space)
                        .expect("lengths agree");
                })
            }),
        );
    }
    cases
}

/// Pooling, dense layers, encoding and counting.
fn other_cases() -> Vec<Case> {
    let layout =
        |side, padding| ImageLayout { height: side, width: side, channels: 8, stride: 8, padding };
    let (x_layout, y_layout, dy_layout) = (layout(28, 0), layout(14, 2), layout(14, 0));
    let pool = Pool { kind: PoolKind::Average, size: 2 };
    let pooled = F32 * (x_layout.len() + dy_layout.len()) as f64;
    let (n_in, n_out) = (784, 512);
    let layer = Dense::new(n_in, n_out);
    let dense_case = |kernel, make| Case {
        kernel,
        shape: format!("{n_in}→{n_out}, 20 % non-zero"),
        flops: 2.0 * (n_in * n_out) as f64,
        bytes: F32 * (n_in * n_out + n_in + n_out) as f64,
        is_parallel: false,
        make,
    };
    let n = 28 * 28;
    vec![
        Case {
            kernel: "average pool forward",
            shape: "8 channels, 28×28, window 2".to_owned(),
            flops: x_layout.len() as f64,
            bytes: pooled,
            is_parallel: false,
            make: Box::new(move || {
                let (x, mut y) = (image(&x_layout, 0.3), vec![0.0; y_layout.len()]);
                Box::new(move || {
                    pool.forward(&mut y, &y_layout, &x, &x_layout).expect("layouts agree");
                })
            }),
        },
        Case {
            kernel: "average pool backward",
            shape: "8 channels, 28×28, window 2".to_owned(),
            flops: x_layout.len() as f64,
            bytes: pooled,
            is_parallel: false,
            make: Box::new(move || {
                let (dy, mut dx) = (image(&dy_layout, 1.0), vec![0.0; x_layout.len()]);
                Box::new(move || {
                    pool.backward(&mut dx, &[], &x_layout, &dy, &dy_layout).expect("layouts agree");
                })
            }),
        },
        dense_case(
            "dense forward",
            Box::new(move || {
                let (x, weights) = (values(n_in, 0.2), values(n_in * layer.out_stride(), 1.0));
                let (mut index, mut value) = (vec![0; n_in + 1], vec![0.0; n_in + 1]);
                let mut y = vec![0.0; layer.out_stride()];
                Box::new(move || {
                    let n = dense::nonzeros(&mut index, &mut value, &x);
                    let (index, value) = (&index[..n], &value[..n]);
                    layer.forward(&mut y, index, value, &weights, None).expect("lengths agree");
                })
            }),
        ),
        dense_case(
            "dense gradient of input",
            Box::new(move || {
                let (dy, weights) = (values(n_out, 1.0), values(n_in * n_out, 1.0));
                let mut dx = vec![0.0; n_in];
                Box::new(move || {
                    layer.backward_input(&mut dx, &dy, &weights).expect("lengths agree");
                })
            }),
        ),
        dense_case(
            "dense gradient of weights",
            Box::new(move || {
                let (x, dy) = (values(n_in, 0.2), values(layer.out_stride(), 1.0));
                let (mut index, mut value) = (vec![0; n_in + 1], vec![0.0; n_in + 1]);
                let mut dw = vec![0.0; n_in * layer.out_stride()];
                Box::new(move || {
                    let n = dense::nonzeros(&mut index, &mut value, &x);
                    layer
                        .backward_weight(&mut dw, &dy, &index[..n], &value[..n])
                        .expect("lengths agree");
                })
            }),
        ),
        Case {
            kernel: "poisson encoding",
            shape: "T=10, 28×28".to_owned(),
            flops: 0.0,
            bytes: F32 * (11 * n) as f64,
            is_parallel: false,
            make: Box::new(move || {
                let (x, mut out) = (values(n, 0.5), vec![0.0; 10 * n]);
                Box::new(move || {
                    encode_steps(&mut out, &x, 1, 2, 3).expect("lengths agree");
                })
            }),
        },
        Case {
            kernel: "count of non-zeros",
            shape: "8 channels, 28×28".to_owned(),
            flops: 0.0,
            bytes: F32 * x_layout.len() as f64,
            is_parallel: false,
            make: Box::new(move || {
                let x = image(&x_layout, 0.3);
                Box::new(move || {
                    std::hint::black_box(count(&x));
                })
            }),
        },
        Case {
            kernel: "rounding to bf16",
            shape: "8 channels, 28×28".to_owned(),
            flops: 0.0,
            bytes: F32 * 2.0 * x_layout.len() as f64,
            is_parallel: false,
            make: Box::new(move || {
                let mut x = image(&x_layout, 0.3);
                Box::new(move || round_to_bf16(&mut x))
            }),
        },
    ]
}
