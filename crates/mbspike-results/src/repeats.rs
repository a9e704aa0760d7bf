//! A quantity over repeated runs, and the only statistics there are: means, their intervals, ratios and
//! differences.
//!
//! Everywhere "±" is half the width of the 95 % confidence interval by Student's t distribution. A run
//! that was stopped before it reached a target is censored: its value is a lower bound, and so is a mean
//! with it.

use std::fmt::Write as _;

use serde::Serialize;
use statrs::distribution::{ContinuousCDF, StudentsT};
use statrs::statistics::{Data, OrderStatistics, Statistics};

/// Mean and spread of independent values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// Number of values.
    pub n: usize,
    /// Their mean.
    pub mean: f64,
    /// Sample standard deviation (divisor n − 1); `None` for a single value.
    pub sd: Option<f64>,
}

impl Estimate {
    /// Mean and sample standard deviation; `None` without values.
    pub fn of(values: &[f64]) -> Option<Self> {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let sd = (values.len() > 1).then(|| values.std_dev());
        (!values.is_empty()).then_some(Self { n: values.len(), mean, sd })
    }

    /// Half the width of the 95 % confidence interval of the mean, `t · sd / √n` with the quantile
    /// of Student's t for n − 1 degrees of freedom; `None` for a single value.
    pub fn half_width(&self) -> Option<f64> {
        self.sd.map(|sd| t_quantile(self.n as f64 - 1.0) * sd / (self.n as f64).sqrt())
    }

    /// The 95 % confidence interval of the mean; `None` for a single value.
    pub fn interval(&self) -> Option<(f64, f64)> {
        self.half_width().map(|w| (self.mean - w, self.mean + w))
    }

    /// The squared standard error of the mean.
    fn variance_of_mean(&self) -> Option<f64> {
        self.sd.map(|sd| sd * sd / self.n as f64)
    }
}

/// The 97.5 % quantile of Student's t distribution, for two-sided 95 % intervals.
fn t_quantile(degrees_of_freedom: f64) -> f64 {
    StudentsT::new(0.0, 1.0, degrees_of_freedom).map_or(f64::NAN, |t| t.inverse_cdf(0.975))
}

/// The middle value, or the mean of the two in the middle.
pub fn median(values: Vec<f64>) -> Option<f64> {
    (!values.is_empty()).then(|| Data::new(values).median())
}

/// What is known of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    /// It is measured.
    Exact,
    /// It is at least this much.
    AtLeast,
    /// It is at most this much.
    AtMost,
}

/// What is said of a quantity over repeats.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Measure {
    /// The mean, ratio of means or difference of means.
    pub value: f64,
    /// Half the width of its 95 % interval; `None` where it is not known: of a single repeat, or of a
    /// bound.
    pub half_width: Option<f64>,
    /// Whether the value is a bound.
    pub bound: Bound,
    /// Repeats that it is of.
    pub n: usize,
    /// Repeats among them that never reached what is counted.
    pub n_censored: usize,
}

impl Measure {
    /// The 95 % interval, where it is known.
    pub fn interval(&self) -> Option<(f64, f64)> {
        self.half_width.map(|width| (self.value - width, self.value + width))
    }

    /// The same in other units.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        let half_width = self.half_width.map(|width| width * factor.abs());
        Self { value: self.value * factor, half_width, ..self }
    }

    /// As text: `81.00 ± 1.27`, `≥ 300`, `0.50`.
    pub fn text(&self, digits: usize) -> String {
        let sign = match self.bound {
            Bound::Exact => "",
            Bound::AtLeast => "≥ ",
            Bound::AtMost => "≤ ",
        };
        let mut text = format!("{sign}{:.digits$}", self.value);
        if let Some(half_width) = self.half_width {
            // Writing to a string cannot fail.
            let _ = write!(text, " ± {half_width:.digits$}");
        }
        text
    }

    /// [`text`](Self::text), and how many repeats reached what is counted, unless all did.
    pub fn text_of_reached(&self, digits: usize) -> String {
        match self.n_censored {
            0 => self.text(digits),
            n => format!("{} ({} of {})", self.text(digits), self.n - n, self.n),
        }
    }
}

impl From<Estimate> for Measure {
    fn from(estimate: Estimate) -> Self {
        let (value, half_width) = (estimate.mean, estimate.half_width());
        Self { value, half_width, bound: Bound::Exact, n: estimate.n, n_censored: 0 }
    }
}

/// A quantity of one run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Repeat {
    /// The run's seed, by which it is paired with a run of another group.
    pub seed: u64,
    /// The quantity.
    pub value: f64,
    /// Whether the run ended before it reached what is counted, so that the value is a lower bound.
    pub is_censored: bool,
}

/// A quantity over the repeats of a group.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Repeats(pub Vec<Repeat>);

impl Repeats {
    /// The numbers alone.
    pub fn values(&self) -> Vec<f64> {
        self.0.iter().map(|repeat| repeat.value).collect()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Repeats that never reached what is counted.
    pub fn n_censored(&self) -> usize {
        self.0.iter().filter(|repeat| repeat.is_censored).count()
    }

    /// The same in other units.
    #[must_use]
    pub fn scaled(&self, factor: f64) -> Self {
        let scale = |repeat: &Repeat| Repeat { value: repeat.value * factor, ..*repeat };
        Self(self.0.iter().map(scale).collect())
    }

    /// The mean with its interval, or a lower bound if a repeat is censored; `None` without repeats.
    pub fn measure(&self) -> Option<Measure> {
        let estimate = Estimate::of(&self.values())?;
        let bound = if self.n_censored() > 0 { Bound::AtLeast } else { Bound::Exact };
        Some(self.measured(estimate.mean, estimate.half_width(), bound))
    }

    fn measured(&self, value: f64, half_width: Option<f64>, bound: Bound) -> Measure {
        let half_width = half_width.filter(|_| bound == Bound::Exact);
        Measure { value, half_width, bound, n: self.0.len(), n_censored: self.n_censored() }
    }

    /// The ratio of the means, with an interval that has the spread of both in it; `None` without repeats,
    /// for a mean of zero below, or where both are bounds, whose ratio says nothing.
    ///
    /// With repeats of the same seeds on both sides, those are compared pair by pair: with `R = x̄ / ȳ` and
    /// `d = x − R·y`, the half width is `t(n − 1) · sd(d) / (√n · |ȳ|)`. Otherwise the variances of both
    /// means are taken into account to first order, with Welch's degrees of freedom.
    pub fn ratio_to(&self, reference: &Self) -> Option<Measure> {
        let bound = self.bound_over(reference)?;
        if self == reference {
            let is_measured = self.measure()?.value != 0.0;
            return is_measured.then(|| self.measured(1.0, None, Bound::Exact));
        }
        let (own, other) = (Estimate::of(&self.values())?, Estimate::of(&reference.values())?);
        if other.mean == 0.0 {
            return None;
        }
        let ratio = own.mean / other.mean;
        if let Some(pairs) = self.pairs(reference) {
            let (x, y) = (mean(pairs.iter().map(|(x, _)| *x)), mean(pairs.iter().map(|(_, y)| *y)));
            let ratio = x / y;
            let residuals: Vec<f64> = pairs.iter().map(|(x, y)| x - ratio * y).collect();
            let half_width = Estimate::of(&residuals)?.half_width().map(|width| width / y.abs());
            return (y != 0.0)
                .then(|| Measure { n: pairs.len(), ..self.measured(ratio, half_width, bound) });
        }
        let relative = |variance: Option<f64>, factor: f64| Some(variance? * factor * factor);
        let half_width = welch(
            (relative(own.variance_of_mean(), 1.0 / other.mean), own.n),
            (relative(other.variance_of_mean(), ratio / other.mean), other.n),
        );
        Some(self.measured(ratio, half_width, bound))
    }

    /// The difference of the means, paired by seed where seeds are shared, else by Welch's interval;
    /// `None` without repeats or if one of them is censored.
    pub fn difference_to(&self, reference: &Self) -> Option<Measure> {
        if self.n_censored() + reference.n_censored() > 0 {
            return None;
        }
        if let Some(pairs) = self.pairs(reference) {
            let differences: Vec<f64> = pairs.iter().map(|(x, y)| x - y).collect();
            let estimate = Estimate::of(&differences)?;
            let measure = self.measured(estimate.mean, estimate.half_width(), Bound::Exact);
            return Some(Measure { n: pairs.len(), ..measure });
        }
        let (own, other) = (Estimate::of(&self.values())?, Estimate::of(&reference.values())?);
        let half_width =
            welch((own.variance_of_mean(), own.n), (other.variance_of_mean(), other.n));
        Some(self.measured(own.mean - other.mean, half_width, Bound::Exact))
    }

    /// Each repeat over the mean of the reference, for drawing.
    pub fn relative_values(&self, reference: &Self) -> Vec<f64> {
        let mean = mean(reference.values().into_iter());
        self.values().into_iter().map(|value| value / mean).collect()
    }

    /// What a ratio is if censored means are lower bounds; `None` if it is nothing.
    fn bound_over(&self, reference: &Self) -> Option<Bound> {
        match (self.n_censored() > 0, reference.n_censored() > 0) {
            (false, false) => Some(Bound::Exact),
            (true, false) => Some(Bound::AtLeast),
            (false, true) => Some(Bound::AtMost),
            (true, true) => (self == reference).then_some(Bound::Exact),
        }
    }

    /// Values of the same seed here and there, if there are at least two of them and no seed is there
    /// twice.
    fn pairs(&self, reference: &Self) -> Option<Vec<(f64, f64)>> {
        let is_single = |repeats: &Self| {
            let mut seeds: Vec<u64> = repeats.0.iter().map(|repeat| repeat.seed).collect();
            seeds.sort_unstable();
            seeds.windows(2).all(|pair| pair[0] != pair[1])
        };
        let partner = |own: &Repeat| {
            let other = reference.0.iter().find(|other| other.seed == own.seed)?;
            Some((own.value, other.value))
        };
        let pairs: Vec<_> = self.0.iter().filter_map(partner).collect();
        (pairs.len() > 1 && is_single(self) && is_single(reference)).then_some(pairs)
    }
}

impl FromIterator<Repeat> for Repeats {
    fn from_iter<I: IntoIterator<Item = Repeat>>(repeats: I) -> Self {
        Self(repeats.into_iter().collect())
    }
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = values.len() as f64;
    values.sum::<f64>() / n
}

/// Half the width of the 95 % interval of a sum of two independent means, from the variance of each and
/// the number of its values, with the degrees of freedom of Welch and Satterthwaite.
fn welch((a, n_a): (Option<f64>, usize), (b, n_b): (Option<f64>, usize)) -> Option<f64> {
    let (a, b) = (a?, b?);
    if a + b == 0.0 {
        return Some(0.0);
    }
    let degrees = (a + b).powi(2) / (a * a / (n_a as f64 - 1.0) + b * b / (n_b as f64 - 1.0));
    Some(t_quantile(degrees) * (a + b).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repeats(values: &[f64], first_seed: u64) -> Repeats {
        let repeat =
            |(value, seed): (&f64, u64)| Repeat { seed, value: *value, is_censored: false };
        values.iter().zip(first_seed..).map(repeat).collect()
    }

    fn censored(values: &[(f64, bool)]) -> Repeats {
        let repeat = |(&(value, is_censored), seed)| Repeat { seed, value, is_censored };
        values.iter().zip(1..).map(repeat).collect()
    }

    fn near(got: f64, expected: f64) -> bool {
        (got - expected).abs() < 1e-5
    }

    #[test]
    fn estimates_agree_with_a_hand_calculation() {
        // 1, 2, 3, 4: mean 2.5, sd √(5/3), t(3) = 3.18245, half-width 3.18245 · 1.29099 / 2.
        let e = Estimate::of(&[1.0, 2.0, 3.0, 4.0]).unwrap();
        assert_eq!((e.n, e.mean), (4, 2.5));
        assert!((e.sd.unwrap() - 1.290_994_449).abs() < 1e-9);
        assert!(near(e.half_width().unwrap(), 2.054_260), "{:?}", e.half_width());
        let (low, high) = e.interval().unwrap();
        assert!(near(low, 0.445_740) && near(high, 4.554_260));
    }

    #[test]
    fn t_quantiles_agree_with_the_published_table() {
        for (df, expected) in
            [(1.0, 12.706_205), (2.0, 4.302_653), (9.0, 2.262_157), (30.0, 2.042_272)]
        {
            assert!(near(t_quantile(df), expected), "df {df}: {}", t_quantile(df));
        }
    }

    #[test]
    fn a_single_value_has_no_interval_and_none_has_no_estimate() {
        let e = Estimate::of(&[0.8]).unwrap();
        assert_eq!((e.sd, e.half_width(), e.interval()), (None, None, None));
        assert_eq!(Estimate::of(&[]), None);
        assert_eq!(Repeats::default().measure(), None);
    }

    #[test]
    fn a_median_is_the_middle_value() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(vec![]), None);
    }

    #[test]
    fn a_run_that_never_reached_the_target_makes_the_mean_a_lower_bound() {
        let times = censored(&[(100.0, false), (500.0, true), (300.0, false)]).measure().unwrap();
        assert_eq!((times.value, times.bound, times.half_width), (300.0, Bound::AtLeast, None));
        assert_eq!(times.text_of_reached(0), "≥ 300 (2 of 3)");
    }

    #[test]
    fn the_interval_of_a_ratio_has_the_spread_of_the_reference_in_it() {
        // Unpaired: x̄ = 2 ± 0, ȳ = 4 with sd √2 of two: var = 2/2 = 1, R = 0.5,
        // var(R) = 1 · (0.5/4)² with one degree of freedom: 12.706 · 0.125.
        let ratio = repeats(&[2.0, 2.0], 1).ratio_to(&repeats(&[3.0, 5.0], 10)).unwrap();
        assert!(near(ratio.value, 0.5) && near(ratio.half_width.unwrap(), 1.588_276), "{ratio:?}");
        // Paired: residuals x − y/2 are 0.5 and −0.5: sd √½, t(1) = 12.706, over √2 · 4.
        let paired = repeats(&[2.0, 2.0], 1).ratio_to(&repeats(&[3.0, 5.0], 1)).unwrap();
        assert!(near(paired.half_width.unwrap(), 1.588_276), "{paired:?}");
        // Runs that rise and fall together have a ratio that does not.
        let together = repeats(&[1.5, 2.5], 1).ratio_to(&repeats(&[3.0, 5.0], 1)).unwrap();
        assert!(near(together.value, 0.5) && near(together.half_width.unwrap(), 0.0));
        let apart = repeats(&[1.5, 2.5], 1).ratio_to(&repeats(&[3.0, 5.0], 9)).unwrap();
        assert!(apart.half_width.unwrap() > ratio.half_width.unwrap());
    }

    #[test]
    fn a_ratio_of_bounds_is_a_bound_or_nothing() {
        let (whole, part) =
            (censored(&[(2.0, false), (4.0, false)]), censored(&[(5.0, true), (5.0, false)]));
        assert_eq!(part.ratio_to(&whole).unwrap().text(2), "≥ 1.67");
        assert_eq!(whole.ratio_to(&part).unwrap().text(2), "≤ 0.60");
        assert_eq!(censored(&[(6.0, true), (5.0, false)]).ratio_to(&part), None);
        assert_eq!(part.ratio_to(&part).unwrap().text(2), "1.00");
        assert_eq!(whole.ratio_to(&repeats(&[0.0], 1)), None);
    }

    #[test]
    fn differences_are_paired_by_seed_where_seeds_are_shared() {
        let (a, b) = (repeats(&[2.0, 5.0, 9.0], 1), repeats(&[1.0, 4.0, 8.0], 1));
        let paired = a.difference_to(&b).unwrap();
        assert_eq!((paired.value, paired.half_width, paired.n), (1.0, Some(0.0), 3));
        let apart = a.difference_to(&repeats(&[1.0, 4.0, 8.0], 7)).unwrap();
        // Welch: variances of the means 37/9 each, 4 degrees of freedom, t = 2.776445.
        assert!(
            near(apart.half_width.unwrap(), 2.776_445 * (2.0_f64 * 37.0 / 9.0).sqrt()),
            "{apart:?}"
        );
        // Only the shared seeds count: 2 and 3.
        let some = a.difference_to(&repeats(&[4.0, 8.0], 2)).unwrap();
        assert_eq!((some.value, some.n), (1.0, 2));
    }
}
