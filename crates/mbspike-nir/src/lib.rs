#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod array;
mod error;
pub mod exact;
mod graph;
#[cfg(feature = "network")]
pub mod network;
mod node;
mod read;
mod shapes;
pub mod simulate;
mod value;
mod write;

pub use array::{Array, Data};
pub use error::{Error, Problem, Result};
pub use node::{
    Affine, Conv1d, Conv2d, CubaLi, CubaLif, Delay, Flatten, Graph, I, If, Kind, Li, Lif, Linear,
    Node, Padding, Pool2d, Scale, Threshold,
};
pub use read::{Limits, Options, Unknown, from_bytes, read, read_with};
pub use shapes::Shapes;
pub use value::{Metadata, Value};
pub use write::{NIR_VERSION, to_bytes, write};
