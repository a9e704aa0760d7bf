//! The kinds of nodes, one a file.

mod add;
mod conv;
mod dense;
mod dropout;
mod flatten;
mod input;
mod neurons;
mod norm;
mod operation;
mod output;
mod pool;
mod vote;

pub use add::Add;
pub use conv::Conv;
pub use dense::Dense;
pub use dropout::Dropout;
pub use flatten::Flatten;
pub use input::Input;
pub use neurons::Neurons;
pub use norm::Norm;
pub(crate) use operation::{NodeKind, Operation};
pub use operation::{Role, Start, Variable};
pub use output::Output;
pub use pool::Pooling;
pub use vote::Vote;
