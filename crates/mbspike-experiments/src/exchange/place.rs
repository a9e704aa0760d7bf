//! Which tensor of a file is which parameter of a network.

use std::collections::HashMap;

use candle_core::{D, DType, Tensor};
use mbspike_lif::{Network, Parameter};
use serde::Serialize;

use super::error::Error;
use super::tensors::NamedTensor;

/// How tensors are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Placement {
    /// By name where all names are there, else by order.
    #[default]
    Auto,
    /// By the names that checkpoints use: `conv1.weight`, …, `fc1.bias`, `bn1.running_mean`.
    Name,
    /// Layer by layer from the input on.
    Order,
}

/// Where a parameter's values came from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Placed {
    /// The network's parameter; `None` for a tensor of the file that is not used.
    pub parameter: Option<String>,
    /// The tensor in the file.
    pub tensor: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// What was done to it, or why it is not used.
    pub note: String,
}

/// Sets the parameters and statistics of `network` from the tensors of a file, and says which went
/// where.
///
/// Learnable time constants may come as the `w` of a parametric LIF (τ = 1/σ(w)); the constants
/// that snnTorch keeps beside its weights (`beta`, `threshold`) must be those of the config.
///
/// # Errors
/// If a parameter finds no tensor, shapes differ, a tensor with weights is left over, a number is
/// not finite, or a constant differs from the config's. The network is not changed then.
pub fn place(
    tensors: &[NamedTensor],
    network: &Network,
    placement: Placement,
) -> Result<Vec<Placed>, Error> {
    let targets = targets(network);
    let by_name: HashMap<&str, &Tensor> =
        tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    let missing = targets.iter().find(|target| !by_name.contains_key(target.name.as_str()));
    let by_name = match (placement, missing) {
        (Placement::Order, _) | (Placement::Auto, Some(_)) => None,
        (Placement::Name, Some(target)) => {
            return Err(Error::Place(format!(
                "there is no `{}` among {}; place them by order instead (`--map order`)",
                target.name,
                names(tensors)
            )));
        }
        (Placement::Name | Placement::Auto, None) => Some(by_name),
    };
    let weights: Vec<&NamedTensor> =
        tensors.iter().filter(|(name, _)| role(name) == Role::Weight).collect();
    let pairs: Vec<(&Parameter, &str, &Tensor)> = if let Some(by_name) = &by_name {
        let named = |target: &&'_ Parameter| by_name[target.name.as_str()];
        targets.iter().map(|target| (*target, target.name.as_str(), named(target))).collect()
    } else {
        if weights.len() != targets.len() {
            let targets: Vec<&str> = targets.iter().map(|target| target.name.as_str()).collect();
            let weights: Vec<&str> = weights.iter().map(|(name, _)| name.as_str()).collect();
            return Err(Error::Place(format!(
                "it has {} parameters ({}), the file {} ({})",
                targets.len(),
                targets.join(", "),
                weights.len(),
                weights.join(", ")
            )));
        }
        let zip = targets.iter().zip(&weights);
        zip.map(|(target, (name, tensor))| (*target, name.as_str(), tensor)).collect()
    };
    let mut placed = vec![];
    let mut values = vec![];
    for (target, name, tensor) in &pairs {
        let (value, note) = convert(target, name, tensor)?;
        values.push((target.var.clone(), value));
        placed.push(Placed {
            parameter: Some(target.name.clone()),
            tensor: (*name).to_owned(),
            shape: tensor.dims().to_vec(),
            note,
        });
    }
    for (name, tensor) in tensors {
        if pairs.iter().any(|(_, used, _)| used == name) {
            continue;
        }
        let note = match role(name) {
            Role::Weight => {
                return Err(Error::Place(format!(
                    "`{name}` {:?} has no place in the network",
                    tensor.dims()
                )));
            }
            Role::Constant(constant) => check_constant(constant, name, tensor, network)?,
            Role::Other => "not used".to_owned(),
        };
        let (tensor, shape) = (name.clone(), tensor.dims().to_vec());
        placed.push(Placed { parameter: None, tensor, shape, note });
    }
    for (var, value) in values {
        var.set(&value.to_device(var.device())?)?;
    }
    Ok(placed)
}

fn names(tensors: &[NamedTensor]) -> String {
    let names: Vec<String> = tensors.iter().map(|(name, _)| format!("`{name}`")).collect();
    names.join(", ")
}

/// Parameters and statistics layer by layer, as PyTorch lists those of a sequence.
fn targets(network: &Network) -> Vec<&Parameter> {
    let prefix = |parameter: &Parameter| {
        parameter.name.rsplit_once('.').map_or(String::new(), |(prefix, _)| prefix.to_owned())
    };
    let mut prefixes: Vec<String> = vec![];
    for parameter in network.parameters().iter().chain(network.buffers()) {
        if !prefixes.contains(&prefix(parameter)) {
            prefixes.push(prefix(parameter));
        }
    }
    let mut targets: Vec<&Parameter> =
        network.parameters().iter().chain(network.buffers()).collect();
    targets.sort_by_key(|target| prefixes.iter().position(|known| *known == prefix(target)));
    targets
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Weight,
    /// A constant of neurons that a config has, too.
    Constant(Constant),
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Constant {
    Beta,
    Threshold,
}

fn role(name: &str) -> Role {
    match name.rsplit('.').next().unwrap_or(name) {
        "weight" | "bias" | "running_mean" | "running_var" | "w" | "tau" => Role::Weight,
        "beta" => Role::Constant(Constant::Beta),
        "threshold" => Role::Constant(Constant::Threshold),
        _ => Role::Other,
    }
}

/// The values for a parameter, and what was done to them.
/// What a tensor's name ends in, after its last dot.
fn last_part(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

fn convert(target: &Parameter, name: &str, tensor: &Tensor) -> Result<(Tensor, String), Error> {
    let mut notes = vec![];
    let dtype = target.var.dtype();
    if !matches!(tensor.dtype(), DType::F32) && tensor.dtype() != dtype {
        notes.push(format!("rounded from {:?}", tensor.dtype()));
    }
    let mut value = tensor.to_dtype(dtype)?;
    if last_part(name) == "w" && last_part(&target.name) == "tau" && value.elem_count() == 1 {
        // τ = 1/σ(w) = 1 + exp(−w).
        value = (value.neg()?.exp()? + 1.0)?.reshape(target.var.dims())?;
        notes.push("τ = 1/σ(w)".to_owned());
    }
    if value.dims() != target.var.dims() {
        return Err(Error::Place(format!(
            "`{name}` is {:?}, but `{}` is {:?}",
            tensor.dims(),
            target.name,
            target.var.dims()
        )));
    }
    let sum = value.to_dtype(DType::F64)?.abs()?.sum_all()?.to_scalar::<f64>()?;
    if !sum.is_finite() {
        return Err(Error::Place(format!("`{name}` has numbers that are not finite")));
    }
    Ok((value, notes.join(", ")))
}

/// Compares a constant of the file with the config's.
fn check_constant(
    constant: Constant,
    name: &str,
    tensor: &Tensor,
    network: &Network,
) -> Result<String, Error> {
    let neuron = &network.config().neuron;
    let (expected, hint) = match constant {
        Constant::Beta => {
            (neuron.beta.unwrap_or(1.0 - 1.0 / neuron.tau), "β = 1 − 1/τ; set neuron.tau")
        }
        Constant::Threshold => (neuron.v_threshold, "set neuron.v_threshold"),
    };
    let flat = tensor.to_dtype(DType::F64)?.flatten_all()?;
    if flat.elem_count() > 0 {
        let (least, most) = (flat.min(D::Minus1)?.to_scalar()?, flat.max(D::Minus1)?.to_scalar()?);
        let differs = |value: f64| (value - expected).abs() > 1e-6 * expected.abs().max(1.0);
        if differs(least) || differs(most) {
            let value = if differs(least) { least } else { most };
            return Err(Error::Place(format!(
                "`{name}` is {value} in the file, but {expected} in the config ({hint})"
            )));
        }
    }
    Ok("as in the config".to_owned())
}
