//! Experiments on multi-bit spiking networks: from a config to runs, results and figures.
#![warn(missing_docs)]

pub mod bench;
pub mod checkpoint;
pub mod config;
pub mod curves;
pub mod energy;
pub mod evaluate;
pub mod figure;
mod folder;
pub mod machine;
pub mod memory;
pub mod observer;
pub mod quantize;
pub mod report;
pub mod results;
pub mod run;
mod summary;
pub mod sweep;
pub mod table;
pub mod tensorboard;
pub mod train;

pub use summary::environment;
