//! Nodes with geometry: convolutions, pooling, flattening.

use crate::value::{Attributes, size_list};
use crate::{Array, Error, Result, Value};

/// The padding of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding<const N: usize> {
    /// As many zeros as keep the size.
    Same,
    /// None.
    Valid,
    /// So many zeros at each end of each dimension.
    Zeros([usize; N]),
}

/// A convolution over one dimension.
#[derive(Debug, Clone, PartialEq)]
pub struct Conv1d {
    /// Length of the input, where it is fixed.
    pub input_shape: Option<usize>,
    /// `[C_out, C_in / groups, K]`.
    pub weight: Array,
    /// Steps between outputs.
    pub stride: usize,
    /// Zeros around the input.
    pub padding: Padding<1>,
    /// Steps between weights.
    pub dilation: usize,
    /// Groups of channels that do not see each other.
    pub groups: usize,
    /// `[C_out]`.
    pub bias: Array,
}

/// A convolution over height and width.
#[derive(Debug, Clone, PartialEq)]
pub struct Conv2d {
    /// Height and width of the input, where they are fixed.
    pub input_shape: Option<[usize; 2]>,
    /// `[C_out, C_in / groups, kH, kW]`.
    pub weight: Array,
    /// Steps between outputs.
    pub stride: [usize; 2],
    /// Zeros around the input.
    pub padding: Padding<2>,
    /// Steps between weights.
    pub dilation: [usize; 2],
    /// Groups of channels that do not see each other.
    pub groups: usize,
    /// `[C_out]`.
    pub bias: Array,
}

/// The window of a pooling node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool2d {
    /// Its height and width.
    pub kernel_size: [usize; 2],
    /// Steps between windows.
    pub stride: [usize; 2],
    /// Zeros around the input.
    pub padding: [usize; 2],
}

/// Joins dimensions `start_dim ..= end_dim`; there is no batch dimension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flatten {
    /// Shape of the input, where it is fixed.
    pub input_type: Option<Vec<usize>>,
    /// The first dimension joined; counted from the end where negative.
    pub start_dim: i64,
    /// The last one.
    pub end_dim: i64,
}

impl<const N: usize> Padding<N> {
    pub(super) fn take(attributes: &mut Attributes) -> Result<Self> {
        if let Some(Value::Text(_)) = attributes.map.get("padding") {
            return match attributes.text("padding")?.as_str() {
                "same" => Ok(Self::Same),
                "valid" => Ok(Self::Valid),
                other => Err(Error::expected("`same`, `valid` or sizes", format!("`{other}`"))
                    .in_attribute("padding")),
            };
        }
        Ok(Self::Zeros(attributes.sizes_of("padding", 0)?))
    }

    fn value(self) -> Value {
        match self {
            Self::Same => "same".into(),
            Self::Valid => "valid".into(),
            Self::Zeros(zeros) => size_list(&zeros),
        }
    }
}

impl Conv1d {
    pub(super) fn entries(&self) -> Vec<(&'static str, Value)> {
        let mut entries = vec![
            ("weight", self.weight.clone().into()),
            ("stride", Value::integer(self.stride as i64)),
            (
                "padding",
                match self.padding {
                    Padding::Zeros([zeros]) => Value::integer(zeros as i64),
                    padding => padding.value(),
                },
            ),
            ("dilation", Value::integer(self.dilation as i64)),
            ("groups", Value::integer(self.groups as i64)),
            ("bias", self.bias.clone().into()),
        ];
        if let Some(length) = self.input_shape {
            entries.push(("input_shape", Value::integer(length as i64)));
        }
        entries
    }

    pub(super) fn take(attributes: &mut Attributes) -> Result<Self> {
        let one = |attributes: &mut Attributes, name| {
            attributes.sizes_of::<1>(name, 1).map(|[size]| size)
        };
        Ok(Self {
            input_shape: if attributes.map.contains_key("input_shape") {
                Some(one(attributes, "input_shape")?)
            } else {
                None
            },
            weight: attributes.array("weight")?,
            stride: one(attributes, "stride")?,
            padding: Padding::take(attributes)?,
            dilation: one(attributes, "dilation")?,
            groups: one(attributes, "groups")?,
            bias: attributes.array("bias")?,
        })
    }
}

impl Conv2d {
    pub(super) fn entries(&self) -> Vec<(&'static str, Value)> {
        let mut entries = vec![
            ("weight", self.weight.clone().into()),
            ("stride", size_list(&self.stride)),
            ("padding", self.padding.value()),
            ("dilation", size_list(&self.dilation)),
            ("groups", Value::integer(self.groups as i64)),
            ("bias", self.bias.clone().into()),
        ];
        if let Some(shape) = self.input_shape {
            entries.push(("input_shape", size_list(&shape)));
        }
        entries
    }

    pub(super) fn take(attributes: &mut Attributes) -> Result<Self> {
        Ok(Self {
            input_shape: if attributes.map.contains_key("input_shape") {
                Some(attributes.sizes_of("input_shape", 1)?)
            } else {
                None
            },
            weight: attributes.array("weight")?,
            stride: attributes.sizes_of("stride", 1)?,
            padding: Padding::take(attributes)?,
            dilation: attributes.sizes_of("dilation", 1)?,
            groups: attributes.sizes_of::<1>("groups", 1)?[0],
            bias: attributes.array("bias")?,
        })
    }
}

impl Pool2d {
    pub(super) fn entries(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("kernel_size", size_list(&self.kernel_size)),
            ("stride", size_list(&self.stride)),
            ("padding", size_list(&self.padding)),
        ]
    }

    pub(super) fn take(attributes: &mut Attributes) -> Result<Self> {
        Ok(Self {
            kernel_size: attributes.sizes_of("kernel_size", 1)?,
            stride: attributes.sizes_of("stride", 1)?,
            padding: attributes.sizes_of("padding", 0)?,
        })
    }
}

impl Flatten {
    pub(super) fn entries(&self) -> Vec<(&'static str, Value)> {
        let mut entries = vec![
            ("start_dim", Value::integer(self.start_dim)),
            ("end_dim", Value::integer(self.end_dim)),
        ];
        if let Some(shape) = &self.input_type {
            entries.push(("input_type", size_list(shape)));
        }
        entries
    }

    pub(super) fn take(attributes: &mut Attributes) -> Result<Self> {
        Ok(Self {
            input_type: if attributes.map.contains_key("input_type") {
                Some(attributes.sizes("input_type", 0)?)
            } else {
                None
            },
            start_dim: attributes.integer("start_dim")?,
            end_dim: attributes.integer("end_dim")?,
        })
    }
}
