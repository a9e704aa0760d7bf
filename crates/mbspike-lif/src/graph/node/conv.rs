use super::operation::{
    NodeKind, Operation, Role, Start, Variable, no_scores, one_map, product, too_large,
};
use crate::Shape;
use crate::graph::extent::Extent;
use crate::graph::misfit::Misfit;

/// A convolution with a square kernel, as PyTorch's `Conv2d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv {
    /// Channels out.
    pub channels: usize,
    /// Side of the kernel.
    pub kernel: usize,
    /// Steps between outputs.
    pub stride: usize,
    /// Zeros around the input on each side.
    pub padding: usize,
    /// Steps between the taps of the kernel.
    pub dilation: usize,
    /// Groups of channels that see only each other; as many as channels in is a depthwise convolution.
    pub groups: usize,
    /// Whether it has a bias.
    pub bias: bool,
}

impl Conv {
    /// Stride 1, padding that keeps the size of an odd kernel's input, no bias.
    pub fn same(channels: usize, kernel: usize) -> Self {
        let padding = kernel / 2;
        Self { channels, kernel, stride: 1, padding, dilation: 1, groups: 1, bias: false }
    }

    /// Whether it is one that the kernels of [`mbspike_core::conv`] compute.
    pub fn is_plain(&self) -> bool {
        self.stride == 1 && self.dilation == 1 && self.groups == 1 && self.padding < self.kernel
    }

    /// Inputs that each output sums over, for an input of so many channels.
    pub fn fan_in(&self, in_channels: usize) -> usize {
        in_channels / self.groups * self.kernel * self.kernel
    }

    /// Outputs along an axis of `size` inputs; `None` where the kernel is larger.
    pub fn n_out(&self, size: usize) -> Option<usize> {
        let reach = self.dilation.checked_mul(self.kernel.checked_sub(1)?)?;
        let padded = self.padding.checked_mul(2)?.checked_add(size)?;
        Some(padded.checked_sub(reach)?.checked_sub(1)? / self.stride + 1)
    }
}

impl Operation for Conv {
    fn kind(&self) -> NodeKind {
        NodeKind::Conv
    }

    fn extent(&self, inputs: &[Extent], reads: &[NodeKind]) -> Result<Extent, Misfit> {
        no_scores(reads)?;
        let input = one_map(inputs)?;
        let Self { channels, kernel, stride, dilation, groups, .. } = *self;
        let Shape { channels: in_channels, height, width } = input.shape;
        let on_map = || format!(" on a map of {}", input.shape);
        if [channels, kernel, stride, dilation, groups].contains(&0) {
            return Err(Misfit::new("", "sizes of at least 1"));
        }
        if !in_channels.is_multiple_of(groups) || !channels.is_multiple_of(groups) {
            let expected =
                format!("groups that divide {in_channels} channels in and {channels} out");
            return Err(Misfit::new(on_map(), expected));
        }
        let (Some(height), Some(width)) = (self.n_out(height), self.n_out(width)) else {
            let expected = "a kernel that is not larger than the map, or padding (no `v`)";
            return Err(Misfit::new(on_map(), expected));
        };
        let weights = product(&[channels, in_channels / groups, kernel, kernel]);
        if weights.is_none() || product(&[channels, height, width]).is_none() {
            return Err(too_large(input));
        }
        Ok(Extent { shape: Shape { channels, height, width }, is_map: true })
    }

    fn variables(&self, name: &str, inputs: &[Extent]) -> Vec<Variable> {
        let in_channels = inputs[0].shape.channels;
        let start = Start::Uniform { fan_in: self.fan_in(in_channels) };
        let weight = Variable {
            role: Role::Weight,
            name: format!("{name}.weight"),
            dims: vec![self.channels, in_channels / self.groups, self.kernel, self.kernel],
            start,
        };
        let bias = self.bias.then(|| Variable {
            role: Role::Bias,
            name: format!("{name}.bias"),
            dims: vec![self.channels],
            start,
        });
        std::iter::once(weight).chain(bias).collect()
    }
}
