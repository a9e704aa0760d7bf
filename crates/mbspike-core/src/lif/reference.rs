//! The neuron written down once more, plainly, from the equations: the oracle of the kernels.

use super::{LifParams, Reset};
use crate::Real;

/// Everything that [`lif_multi_step_reference`] computes, time-major `[T, N]`.
#[derive(Debug, Clone, PartialEq)]
pub struct LifTrace {
    /// Membrane after charge.
    pub h_seq: Vec<f64>,
    /// Spikes, in `0..=1`.
    pub s_seq: Vec<f64>,
    /// Membrane after reset.
    pub v_seq: Vec<f64>,
}

/// Gradients that [`lif_multi_step_backward_reference`] computes.
#[derive(Debug, Clone, PartialEq)]
pub struct LifGradients {
    /// With respect to the input, `[T, N]`.
    pub grad_x_seq: Vec<f64>,
    /// With respect to the initial membrane, `[N]`.
    pub grad_v_init: Vec<f64>,
    /// With respect to the time constant τ, summed over steps and neurons.
    pub grad_tau: f64,
}

/// The level code `k = clamp(floor(h L/θ), 0, L)`, by counting the level edges at or below `h` as
/// the thesis's listing does.
fn level(h: f64, params: &LifParams) -> f64 {
    let levels = params.n_levels();
    (1..=levels).filter(|&i| h * f64::from(levels) / params.v_threshold >= f64::from(i)).count()
        as f64
}

/// Forward pass, one neuron and one step at a time, in double precision; `x_seq` is `[T, N]`,
/// `v_init` `[N]`. `spike` maps a membrane to a spike: [`None`] is the staircase, and a smooth
/// function is put there to check gradients by finite differences.
pub fn lif_multi_step_reference(
    x_seq: &[f64],
    v_init: &[f64],
    params: &LifParams,
    spike: Option<&dyn Fn(f64) -> f64>,
) -> LifTrace {
    let n = v_init.len();
    let (beta, gain) = (params.beta(), params.gain());
    let mut trace = LifTrace { h_seq: vec![], s_seq: vec![], v_seq: vec![] };
    let mut v = v_init.to_vec();
    for x_row in x_seq.chunks_exact(n) {
        for (v, x) in v.iter_mut().zip(x_row) {
            let mut h = beta * *v + gain * x;
            if let Reset::Hard { v_reset } = params.reset {
                h += (1.0 - beta) * v_reset;
            }
            let s = match spike {
                Some(smooth) => smooth(h),
                None if h.is_nan() => f64::NAN,
                None => level(h, params) / f64::from(params.n_levels()),
            };
            let v_after = match params.reset {
                Reset::Soft {} => h - params.v_threshold * s,
                Reset::Hard { v_reset } => h - s * (h - v_reset),
                Reset::None {} => h,
            };
            *v = v_after.carried();
            trace.h_seq.push(h);
            trace.s_seq.push(s);
            trace.v_seq.push(*v);
        }
    }
    trace
}

/// Backward pass through time along a `trace`, in double precision; gradients of the spikes and of
/// the membranes after reset come in as `[T, N]`.
pub fn lif_multi_step_backward_reference(
    x_seq: &[f64],
    v_init: &[f64],
    trace: &LifTrace,
    grad_s_seq: &[f64],
    grad_v_seq: Option<&[f64]>,
    params: &LifParams,
) -> LifGradients {
    let n = v_init.len();
    let (beta, gain) = (params.beta(), params.gain());
    let (levels, theta, shift) = (params.n_levels(), params.v_threshold, params.shift_value());
    let mut grad_x_seq = vec![0.0; x_seq.len()];
    let mut grad_v = vec![0.0; n];
    let mut grad_beta = 0.0;
    let mut grad_gain = 0.0;
    for row in (0..x_seq.len() / n.max(1)).rev() {
        for i in 0..n {
            let at = row * n + i;
            let (h, s) = (trace.h_seq[at], trace.s_seq[at]);
            let gv = grad_v[i] + grad_v_seq.map_or(0.0, |g| g[at].carried());
            let ds = params.surrogate.derivative(h, levels, theta, shift).carried();
            let through_reset = if params.detach_reset { 0.0 } else { ds };
            let dv = match params.reset {
                Reset::Soft {} => 1.0 - theta * through_reset,
                Reset::Hard { v_reset } => 1.0 - s - (h - v_reset) * through_reset,
                Reset::None {} => 1.0,
            };
            let grad_h = (grad_s_seq[at].carried() * ds + gv * dv).carried();
            let v_before = if row == 0 { v_init[i] } else { trace.v_seq[at - n] };
            let pull = if let Reset::Hard { v_reset } = params.reset { v_reset } else { 0.0 };
            grad_beta += grad_h * (v_before - pull);
            grad_gain += grad_h * x_seq[at];
            grad_x_seq[at] = gain * grad_h;
            grad_v[i] = beta * grad_h;
        }
    }
    // β = 1 − 1/τ and, where the input decays, g = 1/τ: dβ/dτ = 1/τ² = −dg/dτ.
    let per_tau = (1.0 - beta) * (1.0 - beta);
    let decayed = if params.decay_input { grad_gain } else { 0.0 };
    LifGradients { grad_x_seq, grad_v_init: grad_v, grad_tau: per_tau * (grad_beta - decayed) }
}
