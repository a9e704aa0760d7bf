//! The convolution written plainly, `[channel, y, x]`, in double precision: the oracle.

use super::ConvShape;

/// `y[co][y][x] = Σ w[co][ci][ky][kx] x[ci][y + ky − p][x + kx − p]`.
pub fn conv2d_reference(x: &[f64], weight: &[f64], shape: &ConvShape) -> Vec<f64> {
    let mut y = vec![0.0; shape.out_channels * shape.out_height() * shape.out_width()];
    for_each_tap(shape, |yi, wi, xi| y[yi] += weight[wi] * x[xi]);
    y
}

/// Gradients of the input and of the weights from that of the output.
pub fn conv2d_backward_reference(
    x: &[f64],
    weight: &[f64],
    grad_y: &[f64],
    shape: &ConvShape,
) -> (Vec<f64>, Vec<f64>) {
    let (mut grad_x, mut grad_weight) = (vec![0.0; x.len()], vec![0.0; weight.len()]);
    for_each_tap(shape, |yi, wi, xi| {
        grad_x[xi] += weight[wi] * grad_y[yi];
        grad_weight[wi] += x[xi] * grad_y[yi];
    });
    (grad_x, grad_weight)
}

/// Calls `f` with the indices of output, weight and input of every multiplication.
fn for_each_tap(s: &ConvShape, mut f: impl FnMut(usize, usize, usize)) {
    let (out_h, out_w, k, p) = (s.out_height(), s.out_width(), s.kernel, s.padding);
    for co in 0..s.out_channels {
        for y in 0..out_h {
            for x in 0..out_w {
                for ci in 0..s.in_channels {
                    for (ky, kx) in (0..k).flat_map(|ky| (0..k).map(move |kx| (ky, kx))) {
                        let inside = (p..p + s.height).contains(&(y + ky))
                            && (p..p + s.width).contains(&(x + kx));
                        if inside {
                            f(
                                (co * out_h + y) * out_w + x,
                                ((co * s.in_channels + ci) * k + ky) * k + kx,
                                (ci * s.height + y + ky - p) * s.width + x + kx - p,
                            );
                        }
                    }
                }
            }
        }
    }
}
