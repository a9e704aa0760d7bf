use crate::surrogate::staircase_reach;
use crate::{LifParams, Reset, Surrogate};

/// Threads of a block of every kernel.
pub const BLOCK: u32 = 128;
/// Steps whose membranes the backward pass of LIF neurons keeps in shared memory.
pub const SEGMENT: usize = 64;
/// Numbers that a kernel counts: non-zeros, the sum in units of its own, and elements left out of the
/// sum because they are not finite.
pub const N_COUNTS: usize = 3;
/// Window sizes that there is a kernel of LIF neurons and average pooling for.
pub const FUSED_POOL_SIZES: std::ops::RangeInclusive<usize> = 2..=4;

/// Shared memory in bytes of a block of `lif_bwd`.
pub fn lif_bwd_shared_bytes(n_steps: usize) -> u32 {
    (n_steps.min(SEGMENT) * BLOCK as usize * size_of::<f32>()) as u32
}

/// Segments of `lif_bwd` whose first membranes are checkpointed: all but the first.
pub fn lif_bwd_checkpoints(n_steps: usize) -> usize {
    n_steps.div_ceil(SEGMENT).saturating_sub(1)
}

/// Images of `height × width` elements and windows of `size × size`; size 1 pools nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Window {
    /// Rows of an image.
    pub height: u32,
    /// Columns of an image.
    pub width: u32,
    /// Side of a window.
    pub size: u32,
}

impl Window {
    /// No pooling, whatever the shape.
    pub const NONE: Self = Self { height: 1, width: 1, size: 1 };

    /// Pooled elements of an image.
    pub fn n_pooled(&self) -> usize {
        (self.height / self.size * (self.width / self.size)) as usize
    }

    /// Windows of an image, also the ones that are not whole.
    pub fn n_windows(&self) -> usize {
        (self.height.div_ceil(self.size) * self.width.div_ceil(self.size)) as usize
    }
}

/// [`Surrogate`] as the kernels take it; which constant means what depends on the kind.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C)]
pub struct SurrogateParams {
    kind: u32,
    reach: i32,
    height: f32,
    slope: f32,
    offset: f32,
    centre: f32,
    spacing: f32,
    inv_spacing: f32,
}

/// [`LifParams`] as the kernels take them, by value.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C)]
pub struct LifKernelParams {
    /// Not rounded: the leak towards it is computed in f64.
    v_reset_exact: f64,
    beta: f32,
    gain: f32,
    leak: f32,
    levels: f32,
    inv_levels: f32,
    scale: f32,
    theta: f32,
    v_reset: f32,
    reset: u32,
    detach_reset: u32,
    decay_input: u32,
    power_of_two: u32,
    surrogate: SurrogateParams,
}

impl LifKernelParams {
    /// The constants of valid parameters.
    pub fn new(params: &LifParams) -> Self {
        let c = params.constants::<f32>();
        Self {
            v_reset_exact: if let Reset::Hard { v_reset } = params.reset { v_reset } else { 0.0 },
            beta: c.beta,
            gain: c.gain,
            leak: c.leak,
            levels: c.levels,
            inv_levels: c.inv_levels,
            scale: c.scale,
            theta: c.theta,
            v_reset: c.v_reset,
            reset: match params.reset {
                Reset::Soft {} => 0,
                Reset::Hard { .. } => 1,
                Reset::None {} => 2,
            },
            detach_reset: params.detach_reset.into(),
            decay_input: params.decay_input.into(),
            power_of_two: params.threshold_is_power_of_two().into(),
            surrogate: SurrogateParams::new(params),
        }
    }
}

impl SurrogateParams {
    fn new(params: &LifParams) -> Self {
        use std::f64::consts::{FRAC_PI_2, LOG2_E};
        let (levels, theta) = (f64::from(params.n_levels()), params.v_threshold);
        let centre = match params.surrogate {
            Surrogate::Rectangle {} => theta / 2.0,
            _ => theta - params.shift_value(),
        };
        let (kind, height, slope) = match params.surrogate {
            Surrogate::Sigmoid { alpha } => (0, alpha, alpha * LOG2_E),
            Surrogate::Atan { alpha } => (1, alpha / 2.0, FRAC_PI_2 * alpha),
            Surrogate::FastSigmoid { alpha } => (2, alpha / 2.0, alpha),
            Surrogate::Triangle { alpha } => (3, alpha, alpha),
            // The slope is half of the width here.
            Surrogate::StraightThrough {} | Surrogate::Rectangle {} => {
                (4, 1.0 / theta, theta / 2.0)
            }
            Surrogate::Staircase { alpha } => (5, alpha * levels, alpha * levels * LOG2_E),
        };
        let reach =
            params.surrogate.alpha().map_or(0, |alpha| staircase_reach(alpha, levels, theta));
        Self {
            kind,
            reach,
            height: height as f32,
            slope: slope as f32,
            offset: (-centre * slope) as f32,
            centre: centre as f32,
            spacing: (theta / levels) as f32,
            inv_spacing: (levels / theta) as f32,
        }
    }
}
