use mbspike_core::activity::{Count, Counts, Sum};

use crate::Result;

/// Activity at one measuring position.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PositionActivity {
    /// Elements seen: neurons times steps times samples.
    pub n_elements: u64,
    /// Elements that are not zero.
    pub n_nonzero: u64,
    /// Sum of the elements.
    pub sum: Sum,
}

impl PositionActivity {
    pub(crate) fn add(&mut self, n_elements: usize, (n_nonzero, sum): (u64, Sum)) {
        self.n_elements += n_elements as u64;
        self.n_nonzero += n_nonzero;
        self.sum.merge(&sum);
    }

    /// Adds what was seen elsewhere.
    pub fn merge(&mut self, other: &Self) {
        self.n_elements += other.n_elements;
        self.n_nonzero += other.n_nonzero;
        self.sum.merge(&other.sum);
    }
}

/// Activity at every measuring position, the thesis's `nnz1 … nnzK`: the input first, then after
/// each layer of neurons, the output last.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Activity {
    /// In the order of [`Network::positions`](crate::Network::positions).
    pub positions: Vec<PositionActivity>,
}

impl Activity {
    /// What was counted; waits for the device.
    ///
    /// # Errors
    /// If it cannot be copied from the device.
    pub fn read(counts: &Counts) -> Result<Self> {
        let of = |c: &Count| PositionActivity {
            n_elements: c.n_elements,
            n_nonzero: c.n_nonzero,
            sum: c.sum,
        };
        Ok(Self { positions: counts.read()?.iter().map(of).collect() })
    }

    /// Counts that say the same.
    pub(crate) fn to_counts(&self) -> Counts {
        let of = |p: &PositionActivity| Count {
            n_elements: p.n_elements,
            n_nonzero: p.n_nonzero,
            sum: p.sum,
        };
        Counts::of(self.positions.iter().map(of).collect())
    }

    /// Adds what was seen elsewhere.
    pub fn merge(&mut self, other: &Self) {
        let n_positions = self.positions.len().max(other.positions.len());
        self.positions.resize(n_positions, PositionActivity::default());
        for (sum, more) in self.positions.iter_mut().zip(&other.positions) {
            sum.merge(more);
        }
    }

    /// Share of non-zero elements at each position, in `0..=1` (the firing rate).
    pub fn nonzero_rate(&self) -> Vec<f64> {
        self.positions.iter().map(|p| p.n_nonzero as f64 / p.n_elements.max(1) as f64).collect()
    }

    /// Mean element at each position: for spikes, in `0..=1`.
    pub fn mean_value(&self) -> Vec<f64> {
        self.positions.iter().map(|p| p.sum.value() / p.n_elements.max(1) as f64).collect()
    }
}
