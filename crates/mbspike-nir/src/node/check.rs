//! Whether the arrays of a node belong together.

use super::Kind;
use crate::{Array, Error, Result};

impl Kind {
    /// Whether the arrays have shapes that belong together.
    pub(crate) fn check(&self) -> Result<()> {
        let neuron = matches!(
            self,
            Self::If(_) | Self::Li(_) | Self::Lif(_) | Self::CubaLi(_) | Self::CubaLif(_)
        );
        if neuron {
            let arrays = self.arrays().unwrap_or_default();
            let (first_name, first) = arrays[0];
            for (name, array) in &arrays[1..] {
                if array.shape() != first.shape() {
                    return Err(Error::expected(
                        format!("the shape of `{first_name}`, {:?}", first.shape()),
                        array.describe(),
                    )
                    .in_attribute(name));
                }
            }
        }
        match self {
            Self::Linear(node) => matrix(&node.weight).map(|_| ()),
            Self::Affine(node) => {
                let outputs = matrix(&node.weight)?;
                has_shape("bias", &node.bias, &outputs)
            }
            Self::Conv1d(node) => convolution(&node.weight, &node.bias, node.groups, 3),
            Self::Conv2d(node) => convolution(&node.weight, &node.bias, node.groups, 4),
            _ => Ok(()),
        }
    }
}

/// The shape of what a matrix gives.
fn matrix(weight: &Array) -> Result<Vec<usize>> {
    match weight.shape() {
        [outer @ .., outputs, _] => Ok([outer, &[*outputs]].concat()),
        _ => Err(Error::expected("an array of at least 2 dimensions", weight.describe())
            .in_attribute("weight")),
    }
}

fn has_shape(name: &str, array: &Array, shape: &[usize]) -> Result<()> {
    if array.shape() == shape {
        return Ok(());
    }
    Err(Error::expected(format!("an array of shape {shape:?}"), array.describe())
        .in_attribute(name))
}

fn convolution(weight: &Array, bias: &Array, groups: usize, n_dimensions: usize) -> Result<()> {
    let shape = weight.shape();
    if shape.len() != n_dimensions || shape[2..].contains(&0) {
        let expected = if n_dimensions == 3 { "[C_out, C_in, K]" } else { "[C_out, C_in, kH, kW]" };
        return Err(Error::expected(format!("an array of shape {expected}"), weight.describe())
            .in_attribute("weight"));
    }
    if !shape[0].is_multiple_of(groups) {
        return Err(Error::expected(
            format!("a divisor of the {} output channels", shape[0]),
            groups.to_string(),
        )
        .in_attribute("groups"));
    }
    has_shape("bias", bias, &shape[..1])
}
