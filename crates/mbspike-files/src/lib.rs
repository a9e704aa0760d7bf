#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod atomic;
mod checksum;
pub mod seal;

pub use atomic::{is_partial, remove_partial, write};
pub use checksum::{Checksum, RunningChecksum};
