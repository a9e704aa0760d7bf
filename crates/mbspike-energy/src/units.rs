use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Mul};

use serde::{Deserialize, Serialize};

/// An energy, in 10⁻¹² joules.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Picojoules(pub f64);

impl Add for Picojoules {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl AddAssign for Picojoules {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl Mul<f64> for Picojoules {
    type Output = Self;
    fn mul(self, factor: f64) -> Self {
        Self(self.0 * factor)
    }
}

impl Sum for Picojoules {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::default(), Add::add)
    }
}

/// With a unit that keeps the number between 1 and 1000, three digits: `4.60 pJ`, `1.23 µJ`.
impl fmt::Display for Picojoules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1e12, "J"), (1e9, "mJ"), (1e6, "µJ"), (1e3, "nJ")];
        let (scale, unit) =
            units.into_iter().find(|(scale, _)| self.0.abs() >= *scale).unwrap_or((1.0, "pJ"));
        let value = self.0 / scale;
        let decimals = match value.abs() {
            v if v >= 99.95 => 0,
            v if v >= 9.995 => 1,
            _ => 2,
        };
        f.pad(&format!("{value:.decimals$} {unit}"))
    }
}

#[cfg(test)]
mod tests {
    use super::Picojoules;

    #[test]
    fn energies_have_a_fitting_unit() {
        let shown = |pj: f64| Picojoules(pj).to_string();
        assert_eq!(shown(0.0), "0.00 pJ");
        assert_eq!(shown(4.6), "4.60 pJ");
        assert_eq!(shown(23_600.0), "23.6 nJ");
        assert_eq!(shown(7.5e8), "750 µJ");
        assert_eq!(shown(2.5e12), "2.50 J");
    }
}
