//! Experiments on multi-bit spiking networks: from a config to runs and their records.
#![warn(missing_docs)]

pub mod bench;
pub mod checkpoint;
pub mod config;
pub mod energy;
mod error;
pub mod evaluate;
pub mod exchange;
mod folder;
pub mod loihi;
pub mod machine;
pub mod memory;
pub mod migrate;
pub mod neuron;
pub mod observer;
mod pool;
pub mod quantize;
pub mod run;
mod summary;
pub mod sweep;
pub mod train;

pub use error::Error;
pub use summary::environment;
