use super::{Extent, MAX_ELEMENTS, Misfit, Op, Operation, product};
use crate::Shape;

/// What the network is fed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Input {
    /// Its size.
    pub shape: Shape,
}

impl Operation for Input {
    fn prefix(&self) -> &'static str {
        "input"
    }

    fn extent(&self, inputs: &[Extent], _: &[&Op]) -> Result<Extent, Misfit> {
        let Shape { channels, height, width } = self.shape;
        if !inputs.is_empty() {
            return Err(Misfit::new(" reads a node", "an input that reads nothing"));
        }
        if product(&[channels, height, width]).is_none_or(|n| n == 0) {
            return Err(Misfit::new("", format!("an input of 1 to {MAX_ELEMENTS} elements")));
        }
        Ok(Extent { shape: self.shape, is_map: true })
    }
}
