//! Experiments on multi-bit spiking networks: from a config to runs, results and figures.
#![warn(missing_docs)]

pub mod curves;
pub mod figure;
pub mod results;
