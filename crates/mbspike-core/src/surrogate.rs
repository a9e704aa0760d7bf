use serde::{Deserialize, Serialize};

use crate::{Error, Real, Result};

/// The function whose derivative stands for the derivative of the spike function in the backward
/// pass (surrogate gradient, Neftci et al. 2019).
///
/// `x = h - θ + shift` is the membrane after charge relative to the (shifted) threshold. Every
/// variant has a [primitive](Self::primitive) that rises from 0 to 1 and a
/// [derivative](Self::derivative). Names alone are unsafe between frameworks, so the formulas are
/// written out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Surrogate {
    /// `σ(αx)`, derivative `α σ(αx) (1 − σ(αx))`: the surrogate of the thesis (its eq. 3.2) and of
    /// SpikingJelly's `surrogate.Sigmoid`.
    Sigmoid {
        /// Slope α; 4 in the thesis.
        #[serde(default = "default_alpha")]
        alpha: f64,
    },
    /// `1/2 + atan(π α x / 2)/π`, derivative `(α/2) / (1 + (π α x / 2)²)` (Fang et al. 2021).
    Atan {
        /// Slope α; 2 in the paper.
        #[serde(default = "default_atan_alpha")]
        alpha: f64,
    },
    /// `1/2 (1 + αx / (1 + α|x|))`, derivative `(α/2) / (1 + α|x|)²` (Zenke & Ganguli 2018, scaled
    /// to rise from 0 to 1).
    FastSigmoid {
        /// Slope α.
        #[serde(default = "default_fast_sigmoid_alpha")]
        alpha: f64,
    },
    /// Piecewise linear derivative `α max(0, 1 − α|x|)` (Esser et al. 2016, Bellec et al. 2018).
    Triangle {
        /// Slope α: the derivative is non-zero where `|x| < 1/α`.
        #[serde(default = "default_triangle_alpha")]
        alpha: f64,
    },
    /// Straight through: derivative `1/(2w)` where `|x| <= w`, else 0 (Bengio et al. 2013, Hubara
    /// et al. 2016); `w` is half of the threshold, so that the ramp spans the levels when the
    /// surrogate is centred.
    StraightThrough {},
    /// A rectangular window over the staircase: derivative `1/θ` where `0 <= h <= θ`, else 0, which
    /// is 1 for a count of levels whose threshold is 1 (Luo et al. 2024, `SpikeYOLO`). It ignores the
    /// shift.
    Rectangle {},
    /// The mean of one narrow sigmoid at the edge `(i/L) θ` of each level `i` in `1..=L`:
    /// derivative `(1/L) Σ αL σ(z_i)(1 − σ(z_i))`, `z_i = αL (h − iθ/L)`, with `L = 2^bits − 1`.
    /// It follows the staircase instead of its envelope and ignores the shift. Only the edges near
    /// `h` are summed, those whose sigmoid is not below `1e-9` of its peak, so that the cost does
    /// not grow with the number of levels.
    Staircase {
        /// Slope α of the staircase as a whole; each edge's sigmoid is L times as steep.
        #[serde(default = "default_alpha")]
        alpha: f64,
    },
}

fn default_alpha() -> f64 {
    4.0
}
fn default_atan_alpha() -> f64 {
    2.0
}
fn default_fast_sigmoid_alpha() -> f64 {
    4.0
}
fn default_triangle_alpha() -> f64 {
    1.0
}

impl Default for Surrogate {
    /// The thesis's sigmoid with α = 4.
    fn default() -> Self {
        Self::Sigmoid { alpha: default_alpha() }
    }
}

impl Surrogate {
    /// Its slope α, where it has one.
    pub fn alpha(&self) -> Option<f64> {
        match *self {
            Self::Sigmoid { alpha }
            | Self::Atan { alpha }
            | Self::FastSigmoid { alpha }
            | Self::Triangle { alpha }
            | Self::Staircase { alpha } => Some(alpha),
            Self::StraightThrough {} | Self::Rectangle {} => None,
        }
    }

    pub(crate) fn validate(&self) -> Result<()> {
        match self.alpha() {
            Some(alpha) if !(alpha > 0.0 && alpha.is_finite()) => Err(Error::InvalidParameter {
                name: "surrogate.alpha",
                expected: "a positive number",
                got: alpha.to_string(),
            }),
            _ => Ok(()),
        }
    }

    /// `∂s/∂h` that the backward pass uses, at membrane `h` after charge, for a neuron with
    /// `levels` levels, threshold `v_threshold` and the given shift. The plain definition, in
    /// double precision; the kernels' fast form is compared with it.
    pub fn derivative(&self, h: f64, levels: u32, v_threshold: f64, shift: f64) -> f64 {
        let x = h - v_threshold + shift;
        match *self {
            Self::Sigmoid { alpha } => sigmoid_derivative(x, alpha),
            Self::Atan { alpha } => {
                let y = std::f64::consts::FRAC_PI_2 * alpha * x;
                alpha / 2.0 / (1.0 + y * y)
            }
            Self::FastSigmoid { alpha } => alpha / 2.0 / (1.0 + alpha * x.abs()).powi(2),
            Self::Triangle { alpha } => alpha * (1.0 - alpha * x.abs()).max(0.0),
            Self::StraightThrough {} => {
                let w = v_threshold / 2.0;
                if x.abs() <= w { 1.0 / (2.0 * w) } else { 0.0 }
            }
            Self::Rectangle {} => {
                if (0.0..=v_threshold).contains(&h) {
                    1.0 / v_threshold
                } else {
                    0.0
                }
            }
            Self::Staircase { alpha } => {
                let n = f64::from(levels);
                (1..=levels)
                    .map(|i| sigmoid_derivative(h - f64::from(i) * v_threshold / n, alpha * n) / n)
                    .sum()
            }
        }
    }

    /// The smooth function whose derivative [`derivative`](Self::derivative) is: it rises from 0
    /// to 1 and stands for the spike function when gradients are checked by finite differences.
    pub fn primitive(&self, h: f64, levels: u32, v_threshold: f64, shift: f64) -> f64 {
        let x = h - v_threshold + shift;
        match *self {
            Self::Sigmoid { alpha } => sigmoid(alpha * x),
            Self::Atan { alpha } => {
                0.5 + (std::f64::consts::FRAC_PI_2 * alpha * x).atan() / std::f64::consts::PI
            }
            Self::FastSigmoid { alpha } => 0.5 * (1.0 + alpha * x / (1.0 + alpha * x.abs())),
            Self::Triangle { alpha } => {
                let y = (alpha * x).clamp(-1.0, 1.0);
                0.5 + y - 0.5 * y * y.abs()
            }
            Self::StraightThrough {} => (0.5 + x / v_threshold).clamp(0.0, 1.0),
            Self::Rectangle {} => (h / v_threshold).clamp(0.0, 1.0),
            Self::Staircase { alpha } => {
                let n = f64::from(levels);
                (1..=levels)
                    .map(|i| sigmoid(alpha * n * (h - f64::from(i) * v_threshold / n)) / n)
                    .sum()
            }
        }
    }
}

impl Surrogate {
    /// `∂s/∂θ` of the [primitive](Self::primitive), where the threshold is learned or adapts;
    /// `shift` grows with the threshold as [`Shift::per_threshold`](crate::Shift) says.
    pub fn threshold_derivative(
        &self,
        h: f64,
        levels: u32,
        v_threshold: f64,
        shift: crate::Shift,
    ) -> f64 {
        let grows = shift.per_threshold(levels);
        let shift = match shift {
            crate::Shift::Centred => grows * v_threshold,
            crate::Shift::Unshifted => 0.0,
            crate::Shift::By(shift) => shift,
        };
        let slope = self.derivative(h, levels, v_threshold, shift);
        match *self {
            Self::Sigmoid { .. }
            | Self::Atan { .. }
            | Self::FastSigmoid { .. }
            | Self::Triangle { .. } => slope * (grows - 1.0),
            Self::StraightThrough {} => {
                // s = 1/2 + (h − θ + shift)/θ, and 1/θ is the slope.
                slope * (grows - 1.0 - (h - v_threshold + shift) / v_threshold)
            }
            Self::Rectangle {} => -slope * h / v_threshold,
            Self::Staircase { alpha } => {
                let n = f64::from(levels);
                (1..=levels)
                    .map(|i| {
                        let share = f64::from(i) / n;
                        -share * sigmoid_derivative(h - share * v_threshold, alpha * n) / n
                    })
                    .sum()
            }
        }
    }
}

fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

fn sigmoid_derivative(x: f64, alpha: f64) -> f64 {
    let s = sigmoid(alpha * x);
    alpha * s * (1.0 - s)
}

/// A surrogate with its constants rounded to the kernel's type, one struct a variant, so that the
/// loops are compiled for each and stay branch-free.
pub(crate) trait Derivative<T: Real>: Copy + Send + Sync {
    /// `∂s/∂h` at membrane `h`.
    fn at<const FMA: bool>(self, h: T) -> T;
}

/// The sigmoid's derivative `α σ(z)(1 − σ(z))` with `z = α (h − centre)`, written with one
/// exponential of a negative number, `e = e^{−|z|} = 2^{−|z| log2 e}`, as `α e / (1 + e)²`: no
/// overflow on either side.
#[derive(Clone, Copy)]
pub(crate) struct SigmoidAt<T> {
    alpha: T,
    /// `α log2 e`.
    alpha_log2: T,
    /// `−centre · α log2 e`.
    offset: T,
}

impl<T: Real> SigmoidAt<T> {
    /// At `y = z log2 e`.
    #[inline(always)]
    fn at_log2<const FMA: bool>(self, y: T) -> T {
        let e = T::exp2_of_negative::<FMA>(-y.abs());
        let one_plus_e = T::one() + e;
        self.alpha * e / (one_plus_e * one_plus_e)
    }
}

impl<T: Real> Derivative<T> for SigmoidAt<T> {
    #[inline(always)]
    fn at<const FMA: bool>(self, h: T) -> T {
        self.at_log2::<FMA>(h.fused::<FMA>(self.alpha_log2, self.offset))
    }
}

#[derive(Clone, Copy)]
pub(crate) struct AtanAt<T> {
    half_alpha: T,
    half_pi_alpha: T,
    centre: T,
}

impl<T: Real> Derivative<T> for AtanAt<T> {
    #[inline(always)]
    fn at<const FMA: bool>(self, h: T) -> T {
        let y = self.half_pi_alpha * (h - self.centre);
        self.half_alpha / y.fused::<FMA>(y, T::one())
    }
}

#[derive(Clone, Copy)]
pub(crate) struct FastSigmoidAt<T> {
    alpha: T,
    half_alpha: T,
    centre: T,
}

impl<T: Real> Derivative<T> for FastSigmoidAt<T> {
    #[inline(always)]
    fn at<const FMA: bool>(self, h: T) -> T {
        let y = (h - self.centre).abs().fused::<FMA>(self.alpha, T::one());
        self.half_alpha / (y * y)
    }
}

#[derive(Clone, Copy)]
pub(crate) struct TriangleAt<T> {
    alpha: T,
    centre: T,
}

impl<T: Real> Derivative<T> for TriangleAt<T> {
    #[inline(always)]
    fn at<const FMA: bool>(self, h: T) -> T {
        let y = T::one() - (h - self.centre).abs() * self.alpha;
        self.alpha * if y < T::zero() { T::zero() } else { y }
    }
}

/// 0, or NaN for NaN.
#[inline(always)]
fn zero_or_nan<T: Real>(x: T) -> T {
    if x.is_nan() { x } else { T::zero() }
}

#[derive(Clone, Copy)]
pub(crate) struct StraightThroughAt<T> {
    half_width: T,
    height: T,
    centre: T,
}

impl<T: Real> Derivative<T> for StraightThroughAt<T> {
    #[inline(always)]
    fn at<const FMA: bool>(self, h: T) -> T {
        let x = (h - self.centre).abs();
        // 0, or NaN where the membrane is: NaN must not pass as a zero gradient.
        if x <= self.half_width { self.height } else { zero_or_nan(x) }
    }
}

#[derive(Clone, Copy)]
pub(crate) struct StaircaseAt<T> {
    /// The sigmoid of one edge, of slope α L, at the origin.
    edge: SigmoidAt<T>,
    inv_levels: T,
    levels: T,
    /// θ / L, the distance between edges.
    spacing: T,
    inv_spacing: T,
    /// Edges summed on each side of the nearest one.
    reach: i32,
}

impl<T: Real> Derivative<T> for StaircaseAt<T> {
    #[inline(always)]
    fn at<const FMA: bool>(self, h: T) -> T {
        let nearest = (h * self.inv_spacing).round();
        // The edge nearest to a membrane outside the staircase is the first or the last.
        let nearest = if nearest > self.levels { self.levels } else { nearest };
        let nearest = if nearest < T::one() { T::one() } else { nearest };
        let mut sum = zero_or_nan(h);
        for offset in -self.reach..=self.reach {
            let edge = nearest + T::of(f64::from(offset));
            let d = self.edge.at_log2::<FMA>((h - edge * self.spacing) * self.edge.alpha_log2);
            let exists = edge >= T::one() && edge <= self.levels;
            sum += if exists { d } else { T::zero() };
        }
        sum * self.inv_levels
    }
}

/// Calls `$body` with `$derivative` bound to the struct that `$surrogate` resolves to.
macro_rules! with_derivative {
    ($surrogate:expr, $levels:expr, $v_threshold:expr, $shift:expr, $t:ty, $derivative:ident => $body:expr) => {{
        use $crate::surrogate as sg;
        let (levels, v_threshold): (f64, f64) = (f64::from($levels), $v_threshold);
        let centre = <$t as $crate::Real>::of(v_threshold - $shift);
        let of = <$t as $crate::Real>::of;
        match $surrogate {
            $crate::Surrogate::Sigmoid { alpha } => {
                let $derivative = sg::SigmoidAt::new(alpha, v_threshold - $shift);
                $body
            }
            $crate::Surrogate::Atan { alpha } => {
                let $derivative = sg::AtanAt::new(alpha, centre);
                $body
            }
            $crate::Surrogate::FastSigmoid { alpha } => {
                let $derivative = sg::FastSigmoidAt::new(alpha, centre);
                $body
            }
            $crate::Surrogate::Triangle { alpha } => {
                let $derivative = sg::TriangleAt::new(of(alpha), centre);
                $body
            }
            $crate::Surrogate::StraightThrough {} => {
                let $derivative = sg::StraightThroughAt::new(v_threshold, centre);
                $body
            }
            $crate::Surrogate::Rectangle {} => {
                // The straight-through window, centred between 0 and θ.
                let centre = <$t as $crate::Real>::of(v_threshold / 2.0);
                let $derivative = sg::StraightThroughAt::new(v_threshold, centre);
                $body
            }
            $crate::Surrogate::Staircase { alpha } => {
                let $derivative = sg::StaircaseAt::new(alpha, levels, v_threshold);
                $body
            }
        }
    }};
}
pub(crate) use with_derivative;

impl<T: Real> SigmoidAt<T> {
    pub(crate) fn new(alpha: f64, centre: f64) -> Self {
        let alpha_log2 = alpha * std::f64::consts::LOG2_E;
        Self {
            alpha: T::of(alpha),
            alpha_log2: T::of(alpha_log2),
            offset: T::of(-centre * alpha_log2),
        }
    }
}

impl<T: Real> AtanAt<T> {
    pub(crate) fn new(alpha: f64, centre: T) -> Self {
        let half_pi_alpha = T::of(std::f64::consts::FRAC_PI_2 * alpha);
        Self { half_alpha: T::of(alpha / 2.0), half_pi_alpha, centre }
    }
}

impl<T: Real> FastSigmoidAt<T> {
    pub(crate) fn new(alpha: f64, centre: T) -> Self {
        Self { alpha: T::of(alpha), half_alpha: T::of(alpha / 2.0), centre }
    }
}

impl<T: Real> TriangleAt<T> {
    pub(crate) fn new(alpha: T, centre: T) -> Self {
        Self { alpha, centre }
    }
}

impl<T: Real> StraightThroughAt<T> {
    pub(crate) fn new(v_threshold: f64, centre: T) -> Self {
        Self { half_width: T::of(v_threshold / 2.0), height: T::of(1.0 / v_threshold), centre }
    }
}

/// Edges of the staircase summed on each side of the nearest one.
pub(crate) fn staircase_reach(alpha: f64, levels: f64, v_threshold: f64) -> i32 {
    // e^-z falls below 1e-9 at z = 20.8; edges are α θ apart in z.
    (20.8 / (alpha * v_threshold)).ceil().min(levels) as i32
}

impl<T: Real> StaircaseAt<T> {
    pub(crate) fn new(alpha: f64, levels: f64, v_threshold: f64) -> Self {
        Self {
            edge: SigmoidAt::new(alpha * levels, 0.0),
            inv_levels: T::of(1.0 / levels),
            levels: T::of(levels),
            spacing: T::of(v_threshold / levels),
            inv_spacing: T::of(levels / v_threshold),
            reach: staircase_reach(alpha, levels, v_threshold),
        }
    }
}
