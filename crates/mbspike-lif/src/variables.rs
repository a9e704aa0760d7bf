//! The variables of a graph's nodes.

use candle_core::{DType, Device, Tensor, Var};
use mbspike_core::philox::{Domain, Place, Stream};

use crate::graph::{Graph, NodeId, Op, Role, Start, Variable};
use crate::{Parameter, Result};

/// Trainable variables and statistics, and which node each belongs to.
#[derive(Debug)]
pub(crate) struct Variables {
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) buffers: Vec<Parameter>,
    /// By node: a role, and the place among the parameters or buffers.
    places: Vec<Vec<(Role, usize)>>,
}

impl Variables {
    /// Makes them, each from its own stream of the counter-based generator. `first` is a buffer before
    /// all others.
    pub(crate) fn new(
        graph: &Graph,
        seed: u64,
        dtype: DType,
        device: &Device,
        first: Option<(&str, usize)>,
    ) -> Result<Self> {
        let empty = || Initializer { seed, dtype, device, made: vec![] };
        let (mut parameters, mut buffers) = (empty(), empty());
        if let Some((name, n)) = first {
            buffers.make(name, &[n], Start::Constant(0.0))?;
        }
        let mut places = vec![vec![]; graph.nodes().len()];
        for id in order(graph) {
            for Variable { role, name, dims, start } in &graph.node(id).variables {
                let to = if role.is_trainable() { &mut parameters } else { &mut buffers };
                let place = to.make(name, dims, *start)?;
                if *role == Role::Tau {
                    // A time constant is never less than a step.
                    to.made[place].at_least = Some(1.0);
                }
                places[id].push((*role, place));
            }
        }
        Ok(Self { parameters: parameters.made, buffers: buffers.made, places })
    }

    /// The place of a node's variable among the parameters, or buffers.
    pub(crate) fn place(&self, node: NodeId, role: Role) -> Option<usize> {
        self.places[node].iter().find(|(of, _)| *of == role).map(|(_, place)| *place)
    }

    /// A node's variable.
    pub(crate) fn get(&self, node: NodeId, role: Role) -> Option<&Parameter> {
        let of = if role.is_trainable() { &self.parameters } else { &self.buffers };
        self.place(node, role).map(|place| &of[place])
    }

    /// A node's variable as a tensor.
    pub(crate) fn tensor(&self, node: NodeId, role: Role) -> Option<&Tensor> {
        self.get(node, role).map(|parameter| parameter.var.as_tensor())
    }

    /// A variable that nodes of this kind always have.
    pub(crate) fn needed(&self, node: NodeId, role: Role) -> &Tensor {
        self.tensor(node, role).expect("a node has the variables that its kind says")
    }
}

/// The order of the variables: that of the nodes, but those of neurons before those of the batch
/// normalization that they follow, where they have been since the first version.
fn order(graph: &Graph) -> Vec<NodeId> {
    let mut order: Vec<NodeId> = (0..graph.nodes().len()).collect();
    for id in 1..order.len() {
        let (before, node) = (graph.node(id - 1), graph.node(id));
        if matches!(before.op, Op::Norm(_))
            && matches!(node.op, Op::Neurons(_))
            && node.inputs == [id - 1]
        {
            order.swap(id - 1, id);
        }
    }
    order
}

struct Initializer<'a> {
    seed: u64,
    dtype: DType,
    device: &'a Device,
    made: Vec<Parameter>,
}

impl Initializer<'_> {
    /// Returns the variable's place.
    fn make(&mut self, name: &str, dims: &[usize], start: Start) -> Result<usize> {
        let tensor = match start {
            Start::Constant(value) => Tensor::full(value, dims, &Device::Cpu)?,
            Start::Uniform { fan_in } => {
                let place = Place { sample: self.made.len() as u32, ..Place::default() };
                let bound = 1.0 / (fan_in as f64).sqrt();
                let mut values = vec![0.0_f32; dims.iter().product()];
                Stream::new(self.seed, Domain::Init, place).fill_uniform(&mut values);
                let values: Vec<f64> =
                    values.into_iter().map(|u| (2.0 * f64::from(u) - 1.0) * bound).collect();
                Tensor::from_vec(values, dims, &Device::Cpu)?
            }
        };
        let var = Var::from_tensor(&tensor.to_dtype(self.dtype)?.to_device(self.device)?)?;
        self.made.push(Parameter::new(name, var));
        Ok(self.made.len() - 1)
    }
}
