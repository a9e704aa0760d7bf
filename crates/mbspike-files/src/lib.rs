#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod atomic;
mod checksum;
mod path;
pub mod seal;
mod text;

pub use atomic::{is_partial, remove_partial, write};
pub use checksum::{Checksum, RunningChecksum};
pub use path::{serialize_optional_path, serialize_path, serialize_paths};
pub use text::read_text;
