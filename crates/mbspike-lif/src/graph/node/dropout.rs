use super::{Extent, Misfit, Op, Operation, no_scores, one};

/// Dropout in training, with one mask over time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    /// The probability, in `0..1`, that an element is dropped.
    pub p: f64,
    /// Tells the masks of a network apart; set by the builder.
    pub index: usize,
}

impl Operation for Dropout {
    fn prefix(&self) -> &'static str {
        "dropout"
    }

    fn extent(&self, inputs: &[Extent], reads: &[&Op]) -> Result<Extent, Misfit> {
        no_scores(reads)?;
        if !(0.0..1.0).contains(&self.p) {
            return Err(Misfit::new("", "the probability of dropout in 0..1"));
        }
        one(inputs)
    }
}
