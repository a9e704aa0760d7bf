use super::{Extent, Misfit, Op, Operation, one};
use crate::Readout;

/// From the output layer's neurons to scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Output {
    /// How a sequence becomes scores. Neurons whose membranes are read send those and are not reset.
    pub readout: Readout,
}

impl Operation for Output {
    fn prefix(&self) -> &'static str {
        "output"
    }

    fn extent(&self, inputs: &[Extent], reads: &[&Op]) -> Result<Extent, Misfit> {
        let input = one(inputs)?;
        if input.is_map {
            let expected = "a row of scores: a dense layer, or `flatten` before it";
            return Err(Misfit::new(format!(" on a map of {}", input.shape), expected));
        }
        match reads {
            [Op::Neurons(_)] => Ok(input),
            _ => Err(Misfit::new("", "neurons before it")),
        }
    }
}
