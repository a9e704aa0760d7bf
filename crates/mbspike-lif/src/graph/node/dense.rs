use super::operation::{
    NodeKind, Operation, Role, Start, Variable, no_scores, one, product, too_large,
};
use crate::Shape;
use crate::graph::extent::Extent;
use crate::graph::misfit::Misfit;

/// A dense layer, which flattens the map it reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dense {
    /// Its outputs.
    pub neurons: usize,
    /// Whether it has a bias.
    pub bias: bool,
}

impl Operation for Dense {
    fn kind(&self) -> NodeKind {
        NodeKind::Dense
    }

    fn extent(&self, inputs: &[Extent], reads: &[NodeKind]) -> Result<Extent, Misfit> {
        no_scores(reads)?;
        let input = one(inputs)?;
        let Shape { channels, height, width } = input.shape;
        if self.neurons == 0 {
            return Err(Misfit::new("", "sizes of at least 1"));
        }
        if product(&[self.neurons, channels, height, width]).is_none() {
            return Err(too_large(input));
        }
        let shape = Shape { channels: self.neurons, height: 1, width: 1 };
        Ok(Extent { shape, is_map: false })
    }

    fn variables(&self, name: &str, inputs: &[Extent]) -> Vec<Variable> {
        let fan_in = inputs[0].shape.n_elements();
        let start = Start::Uniform { fan_in };
        let weight = Variable {
            role: Role::Weight,
            name: format!("{name}.weight"),
            dims: vec![self.neurons, fan_in],
            start,
        };
        let bias = self.bias.then(|| Variable {
            role: Role::Bias,
            name: format!("{name}.bias"),
            dims: vec![self.neurons],
            start,
        });
        std::iter::once(weight).chain(bias).collect()
    }
}
