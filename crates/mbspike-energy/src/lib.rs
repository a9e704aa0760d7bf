//! Energy and time of multi-bit spiking networks: numbers in, joules out.
//!
//! What a network does in one inference is counted elsewhere and given here as [`OperationCounts`];
//! what an operation costs stands in a [`HardwareTable`], each number with its source. The models are
//! functions of the two:
//!
//! | model | function | counts |
//! |---|---|---|
//! | the thesis's training energy, eq. 5.1 | [`thesis::training`] | time steps, iterations |
//! | the thesis's inference energy, eqs. 5.2 and 5.3 | [`thesis::inference`] | dense operations, firing rates |
//! | arithmetic of the events that happen | [`arithmetic`] | synaptic events |
//! | arithmetic, addressing and memory (Lemaire et al. 2022) | [`memory_aware`] | events, neurons, spikes, sizes |
//! | a neuromorphic chip, energy and time | [`chip`] | events, neurons, spikes, hops, barriers |
//!
//! [`sensitivity`] says how much of a result hangs on each number that is known as a range.
//!
//! ```
//! use mbspike_energy::{Hardware, arithmetic, OperationCounts, Precision};
//!
//! let hardware = Hardware::builtin("cmos-45nm")?;
//! let counts = OperationCounts::default();
//! assert_eq!(arithmetic(&counts, &hardware, Precision::Fp32)?.total.0, 0.0);
//! # Ok::<(), mbspike_energy::Error>(())
//! ```
#![warn(missing_docs)]

mod chip;
mod counts;
mod error;
mod estimate;
mod hardware;
mod lemaire;
mod sensitivity;
pub mod thesis;
mod units;
mod used;

pub use chip::chip;
pub use counts::{ConvolutionShape, LayerCounts, LayerKind, OperationCounts};
pub use error::{Error, Result};
pub use estimate::{Breakdown, Estimate, Precision, Time, arithmetic};
pub use hardware::{Hardware, HardwareTable, Number, Origin};
pub use lemaire::memory_aware;
pub use sensitivity::{Swing, sensitivity};
pub use units::Picojoules;
