mod check;
mod spatial;

use std::collections::BTreeMap;

use crate::value::{Attributes, size_list};
use crate::{Array, Error, Metadata, Problem, Result, Value};

pub use spatial::{Conv1d, Conv2d, Flatten, Padding, Pool2d};

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
            Self::Conv1d(node) => named(node.entries()),
            Self::Conv2d(node) => named(node.entries()),
            Self::AvgPool2d(pool) | Self::SumPool2d(pool) => named(pool.entries()),
            Self::Flatten(node) => named(node.entries()),
            Self::Unknown { attributes, .. } => attributes.clone(),
            _ => Metadata::new(),
        }
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

/// Named nodes and the edges between them. What several edges bring to a node is added.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Graph {
    /// The nodes by name.
    pub nodes: BTreeMap<String, Node>,
    /// Edges `(from, to)`. A cycle is a recurrent connection: around it a signal takes one step.
    pub edges: Vec<(String, String)>,
    /// Anything else; NIR gives it no meaning.
    pub metadata: Metadata,
}
