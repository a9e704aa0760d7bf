use crate::value::{Attributes, size_list};
use crate::{Array, Error, Graph, Metadata, Problem, Result, Value};

/// A node of a graph: what it computes, and whatever else its author noted about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What it computes.
    pub kind: Kind,
    /// Anything else; NIR gives it no meaning.
    pub metadata: Metadata,
}

impl From<Kind> for Node {
    fn from(kind: Kind) -> Self {
        Self { kind, metadata: Metadata::new() }
    }
}

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

/// Defines a node type whose attributes are all arrays: a struct, how it is taken from a file's
/// attributes and given back, and its place in [`Kind`].
macro_rules! array_nodes {
    ($(
        $(#[$doc:meta])*
        $name:ident ($tag:literal) {
            $($(#[$field_doc:meta])* $field:ident $(= zeros_like $like:ident)?,)*
        }
    )*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq)]
            pub struct $name {
                $($(#[$field_doc])* pub $field: Array,)*
            }

            impl $name {
                /// The attributes with their names.
                pub fn arrays(&self) -> Vec<(&'static str, &Array)> {
                    vec![$((stringify!($field), &self.$field),)*]
                }

                fn take(attributes: &mut Attributes) -> Result<Self> {
                    $(let $field = array_nodes!(@take attributes $field $($like)?);)*
                    Ok(Self { $($field,)* })
                }
            }

            impl From<$name> for Kind {
                fn from(node: $name) -> Self {
                    Self::$name(node)
                }
            }
        )*

        impl Kind {
            /// The attributes of a node type that has only arrays.
            pub fn arrays(&self) -> Option<Vec<(&'static str, &Array)>> {
                match self {
                    $(Self::$name(node) => Some(node.arrays()),)*
                    _ => None,
                }
            }

            fn array_tag(&self) -> Option<&'static str> {
                match self {
                    $(Self::$name(_) => Some($tag),)*
                    _ => None,
                }
            }

            fn take_arrays(kind: &str, attributes: &mut Attributes) -> Result<Option<Self>> {
                Ok(Some(match kind {
                    $($tag => Self::$name($name::take(attributes)?),)*
                    _ => return Ok(None),
                }))
            }
        }
    };
    (@take $attributes:ident $field:ident) => { $attributes.array(stringify!($field))? };
    (@take $attributes:ident $field:ident $like:ident) => {
        $attributes.array_or(stringify!($field), || $like.zeros_like())?
    };
}

array_nodes! {
    /// `y = W x + b`.
    Affine("Affine") {
        /// `W` `[…, out, in]`.
        weight,
        /// `b` `[…, out]`.
        bias,
    }
    /// `y = W x`.
    Linear("Linear") {
        /// `W` `[…, out, in]`.
        weight,
    }
    /// `y = s ⊙ x`.
    Scale("Scale") {
        /// `s`, of the signal's shape.
        scale,
    }
    /// `y(t) = x(t − d)`.
    Delay("Delay") {
        /// `d` in seconds, of the signal's shape.
        delay,
    }
    /// `y = 1 where x > θ, else 0`.
    Threshold("Threshold") {
        /// `θ`, of the signal's shape.
        threshold,
    }
    /// The integrator `dv/dt = r x`; `y = v`.
    I("I") {
        /// `r`, of the signal's shape.
        r,
    }
    /// The integrate-and-fire neuron `dv/dt = r x`, which spikes where `v > v_threshold` and then
    /// goes to `v_reset`.
    If("IF") {
        /// Resistance, of the signal's shape, as all of these.
        r,
        /// Threshold.
        v_threshold,
        /// Potential after a spike; zeros in files that have none.
        v_reset = zeros_like v_threshold,
    }
    /// The leaky integrator `τ dv/dt = v_leak − v + r x`; `y = v`.
    Li("LI") {
        /// Time constant in seconds, of the signal's shape, as all of these.
        tau,
        /// Resistance.
        r,
        /// Potential that the membrane leaks to.
        v_leak,
    }
    /// The leaky integrate-and-fire neuron `τ dv/dt = v_leak − v + r x`, which spikes where
    /// `v > v_threshold` and then goes to `v_reset`.
    Lif("LIF") {
        /// Time constant in seconds, of the signal's shape, as all of these.
        tau,
        /// Resistance.
        r,
        /// Potential that the membrane leaks to.
        v_leak,
        /// Threshold.
        v_threshold,
        /// Potential after a spike; zeros in files that have none.
        v_reset = zeros_like v_threshold,
    }
    /// A leaky integrator behind a current that decays: `τ_syn di/dt = −i + w_in x`,
    /// `τ_mem dv/dt = v_leak − v + r i`; `y = v`.
    CubaLi("CubaLI") {
        /// Time constant of the current in seconds, of the signal's shape, as all of these.
        tau_syn,
        /// Time constant of the membrane in seconds.
        tau_mem,
        /// Resistance.
        r,
        /// Potential that the membrane leaks to.
        v_leak,
        /// Weight of the input.
        w_in,
    }
    /// A leaky integrate-and-fire neuron behind a current that decays: `τ_syn di/dt = −i + w_in x`,
    /// `τ_mem dv/dt = v_leak − v + r i`, spikes and reset as of [`Lif`].
    CubaLif("CubaLIF") {
        /// Time constant of the current in seconds, of the signal's shape, as all of these.
        tau_syn,
        /// Time constant of the membrane in seconds.
        tau_mem,
        /// Resistance.
        r,
        /// Potential that the membrane leaks to.
        v_leak,
        /// Threshold.
        v_threshold,
        /// Potential after a spike; zeros in files that have none.
        v_reset = zeros_like v_threshold,
        /// Weight of the input.
        w_in,
    }
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

/// The node types of NIR 1.0.8; each variant's documentation is that of its type.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each variant wraps the type that documents it")]
pub enum Kind {
    /// Where signals come in.
    Input {
        /// Their shape.
        shape: Vec<usize>,
    },
    /// Where signals go out.
    Output {
        /// Their shape.
        shape: Vec<usize>,
    },
    Affine(Affine),
    Linear(Linear),
    Scale(Scale),
    Conv1d(Conv1d),
    Conv2d(Conv2d),
    /// The mean over a window.
    AvgPool2d(Pool2d),
    /// The sum over a window.
    SumPool2d(Pool2d),
    Flatten(Flatten),
    Delay(Delay),
    Threshold(Threshold),
    I(I),
    If(If),
    Li(Li),
    Lif(Lif),
    CubaLi(CubaLi),
    CubaLif(CubaLif),
    /// A graph inside the graph.
    Graph(Graph),
    /// A node of a type that this crate does not know, kept as it was.
    Unknown {
        /// The type.
        tag: String,
        /// Everything else.
        attributes: Metadata,
    },
}

impl Kind {
    /// The type's name in files.
    pub fn tag(&self) -> &str {
        match self {
            Self::Input { .. } => "Input",
            Self::Output { .. } => "Output",
            Self::Conv1d(_) => "Conv1d",
            Self::Conv2d(_) => "Conv2d",
            Self::AvgPool2d(_) => "AvgPool2d",
            Self::SumPool2d(_) => "SumPool2d",
            Self::Flatten(_) => "Flatten",
            Self::Graph(_) => "NIRGraph",
            Self::Unknown { tag, .. } => tag,
            other => other.array_tag().unwrap_or_default(),
        }
    }

    /// Whether it has a state that lasts from one step to the next.
    pub fn is_stateful(&self) -> bool {
        matches!(
            self,
            Self::Delay(_)
                | Self::I(_)
                | Self::If(_)
                | Self::Li(_)
                | Self::Lif(_)
                | Self::CubaLi(_)
                | Self::CubaLif(_)
        )
    }

    pub(crate) fn take(tag: &str, attributes: &mut Attributes) -> Result<Option<Self>> {
        if let Some(kind) = Self::take_arrays(tag, attributes)? {
            return Ok(Some(kind));
        }
        Ok(Some(match tag {
            "Input" => Self::Input { shape: attributes.sizes("shape", 0)? },
            "Output" => Self::Output { shape: attributes.sizes("shape", 0)? },
            "Conv1d" => Self::Conv1d(Conv1d::take(attributes)?),
            "Conv2d" => Self::Conv2d(Conv2d::take(attributes)?),
            "AvgPool2d" => Self::AvgPool2d(Pool2d::take(attributes)?),
            "SumPool2d" => Self::SumPool2d(Pool2d::take(attributes)?),
            "Flatten" => Self::Flatten(Flatten::take(attributes)?),
            _ => return Ok(None),
        }))
    }

    /// The attributes as they are stored, without the type and without those of nested nodes.
    pub(crate) fn attributes(&self) -> Metadata {
        if let Some(arrays) = self.arrays() {
            return arrays
                .into_iter()
                .map(|(name, array)| (name.to_owned(), array.clone().into()))
                .collect();
        }
        let named = |entries: Vec<(&str, Value)>| {
            entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
        };
        match self {
            Self::Input { shape } | Self::Output { shape } => {
                named(vec![("shape", size_list(shape))])
            }
            Self::Conv1d(node) => {
                let mut entries = vec![
                    ("weight", node.weight.clone().into()),
                    ("stride", Value::integer(node.stride as i64)),
                    (
                        "padding",
                        match node.padding {
                            Padding::Zeros([zeros]) => Value::integer(zeros as i64),
                            padding => padding.value(),
                        },
                    ),
                    ("dilation", Value::integer(node.dilation as i64)),
                    ("groups", Value::integer(node.groups as i64)),
                    ("bias", node.bias.clone().into()),
                ];
                if let Some(length) = node.input_shape {
                    entries.push(("input_shape", Value::integer(length as i64)));
                }
                named(entries)
            }
            Self::Conv2d(node) => {
                let mut entries = vec![
                    ("weight", node.weight.clone().into()),
                    ("stride", size_list(&node.stride)),
                    ("padding", node.padding.value()),
                    ("dilation", size_list(&node.dilation)),
                    ("groups", Value::integer(node.groups as i64)),
                    ("bias", node.bias.clone().into()),
                ];
                if let Some(shape) = node.input_shape {
                    entries.push(("input_shape", size_list(&shape)));
                }
                named(entries)
            }
            Self::AvgPool2d(pool) | Self::SumPool2d(pool) => named(vec![
                ("kernel_size", size_list(&pool.kernel_size)),
                ("stride", size_list(&pool.stride)),
                ("padding", size_list(&pool.padding)),
            ]),
            Self::Flatten(node) => {
                let mut entries = vec![
                    ("start_dim", Value::integer(node.start_dim)),
                    ("end_dim", Value::integer(node.end_dim)),
                ];
                if let Some(shape) = &node.input_type {
                    entries.push(("input_type", size_list(shape)));
                }
                named(entries)
            }
            Self::Unknown { attributes, .. } => attributes.clone(),
            _ => Metadata::new(),
        }
    }

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

impl<const N: usize> Padding<N> {
    fn take(attributes: &mut Attributes) -> Result<Self> {
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
    fn take(attributes: &mut Attributes) -> Result<Self> {
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
    fn take(attributes: &mut Attributes) -> Result<Self> {
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
    fn take(attributes: &mut Attributes) -> Result<Self> {
        Ok(Self {
            kernel_size: attributes.sizes_of("kernel_size", 1)?,
            stride: attributes.sizes_of("stride", 1)?,
            padding: attributes.sizes_of("padding", 0)?,
        })
    }
}

impl Flatten {
    fn take(attributes: &mut Attributes) -> Result<Self> {
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

/// What a node of this type has besides `type` and `metadata`.
pub(crate) fn known_attributes(kind: &Kind) -> String {
    let mut names: Vec<String> = kind.attributes().into_keys().collect();
    for optional in ["input_shape", "input_type"] {
        let has = match kind {
            Kind::Conv1d(_) | Kind::Conv2d(_) => optional == "input_shape",
            Kind::Flatten(_) => optional == "input_type",
            _ => false,
        };
        if has && !names.iter().any(|name| name == optional) {
            names.push(optional.to_owned());
        }
    }
    names.push("metadata".into());
    names.sort();
    names.join(", ")
}

/// Refuses attributes that are left over.
pub(crate) fn refuse_rest(kind: &Kind, rest: &Attributes) -> Result<()> {
    match rest.map.keys().next() {
        None => Ok(()),
        Some(name) => Err(Error::new(Problem::UnknownAttribute {
            kind: kind.tag().to_owned(),
            known: known_attributes(kind),
        })
        .in_attribute(name)),
    }
}
