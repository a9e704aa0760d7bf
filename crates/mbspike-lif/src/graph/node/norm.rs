use super::operation::{NodeKind, Operation, Role, Start, Variable, one};
use crate::graph::extent::Extent;
use crate::graph::misfit::Misfit;

/// Batch normalization of a convolution or dense layer, over steps and samples, before its neurons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Norm {}

impl Operation for Norm {
    fn kind(&self) -> NodeKind {
        NodeKind::Norm
    }

    fn extent(&self, inputs: &[Extent], reads: &[NodeKind]) -> Result<Extent, Misfit> {
        if !matches!(reads, [NodeKind::Conv | NodeKind::Dense]) {
            let expected = "batch normalization right after a convolution or dense layer";
            return Err(Misfit::new(" after something else", expected));
        }
        one(inputs)
    }

    fn variables(&self, name: &str, inputs: &[Extent]) -> Vec<Variable> {
        let variable = |role, of: &str, value| Variable {
            role,
            name: format!("{name}.{of}"),
            dims: vec![inputs[0].shape.channels],
            start: Start::Constant(value),
        };
        vec![
            variable(Role::Weight, "weight", 1.0),
            variable(Role::Bias, "bias", 0.0),
            variable(Role::RunningMean, "running_mean", 0.0),
            variable(Role::RunningVariance, "running_var", 1.0),
        ]
    }
}
