use std::collections::{BTreeMap, BTreeSet};

use crate::{Array, Conv2d, Error, Flatten, Graph, Kind, Padding, Pool2d, Result};

/// The shapes of a node's input and output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shapes {
    /// What each edge into it must bring.
    pub input: Vec<usize>,
    /// What each edge from it brings.
    pub output: Vec<usize>,
}

impl Graph {
    /// The shapes of all nodes of this graph (not those within nested graphs): what nodes say
    /// themselves, and for the rest what their sources give.
    ///
    /// # Errors
    /// If [`Graph::check`] finds something, two ends of an edge differ, a shape cannot be found out,
    /// or a nested graph does not have one input and one output.
    pub fn shapes(&self) -> Result<BTreeMap<String, Shapes>> {
        self.check()?;
        let mut found = BTreeMap::new();
        let mut ready = vec![];
        let mut inner_outputs = BTreeMap::new();
        for (name, node) in &self.nodes {
            let own = match &node.kind {
                Kind::Graph(graph) => ports(graph).map(|[input, output]| {
                    inner_outputs.insert(name.as_str(), output);
                    Some(input)
                }),
                kind => Ok(own_input(kind)),
            };
            if let Some(input) = own.map_err(|error| error.in_node(name))? {
                ready.push((name.as_str(), input));
            }
        }
        let mut known: BTreeSet<&str> = ready.iter().map(|(name, _)| *name).collect();
        let mut targets: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (from, to) in &self.edges {
            targets.entry(from).or_default().push(to);
        }
        while let Some((name, input)) = ready.pop() {
            let output = match inner_outputs.remove(name) {
                Some(output) => output,
                None => {
                    output(&self.nodes[name].kind, &input).map_err(|error| error.in_node(name))?
                }
            };
            for &target in targets.get(name).into_iter().flatten() {
                if known.insert(target) {
                    ready.push((target, output.clone()));
                }
            }
            found.insert(name.to_owned(), Shapes { input, output });
        }
        if let Some(name) = self.nodes.keys().find(|name| !found.contains_key(*name)) {
            return Err(Error::expected(
                "a shape of its own, or edges to it from a node with one",
                "neither",
            )
            .in_node(name));
        }
        for (from, to) in &self.edges {
            let (source, target) = (&found[from].output, &found[to].input);
            if source != target {
                let reason = format!("it brings {source:?}, and `{to}` takes {target:?}");
                return Err(Error::edge(from, to, reason));
            }
        }
        Ok(found)
    }
}

/// The input's shape where the node itself says it.
fn own_input(kind: &Kind) -> Option<Vec<usize>> {
    match kind {
        Kind::Input { shape } | Kind::Output { shape } => Some(shape.clone()),
        Kind::Affine(node) => Some(matrix_input(&node.weight)),
        Kind::Linear(node) => Some(matrix_input(&node.weight)),
        Kind::Conv1d(node) => node
            .input_shape
            .map(|length| vec![node.weight.shape()[1].saturating_mul(node.groups), length]),
        Kind::Conv2d(node) => node.input_shape.map(|[height, width]| {
            vec![node.weight.shape()[1].saturating_mul(node.groups), height, width]
        }),
        Kind::Flatten(node) => node.input_type.clone(),
        Kind::AvgPool2d(_) | Kind::SumPool2d(_) | Kind::Graph(_) | Kind::Unknown { .. } => None,
        other => other.arrays()?.first().map(|(_, array)| array.shape().to_vec()),
    }
}

fn matrix_input(weight: &Array) -> Vec<usize> {
    match weight.shape() {
        [outer @ .., _, inputs] => [outer, &[*inputs]].concat(),
        shape => shape.to_vec(),
    }
}

fn matrix_output(weight: &Array) -> Vec<usize> {
    match weight.shape() {
        [outer @ .., outputs, _] => [outer, &[*outputs]].concat(),
        shape => shape.to_vec(),
    }
}

/// The shapes of a nested graph's one input and one output.
fn ports(graph: &Graph) -> Result<[Vec<usize>; 2]> {
    let shapes = graph.shapes()?;
    let one = |names: Vec<&str>, what: &str| match names.as_slice() {
        [name] => Ok(shapes[*name].input.clone()),
        names => {
            Err(Error::expected(format!("a nested graph with one {what}"), names.len().to_string()))
        }
    };
    Ok([one(graph.inputs().collect(), "input")?, one(graph.outputs().collect(), "output")?])
}

fn output(kind: &Kind, input: &[usize]) -> Result<Vec<usize>> {
    match kind {
        Kind::Affine(node) => Ok(matrix_output(&node.weight)),
        Kind::Linear(node) => Ok(matrix_output(&node.weight)),
        Kind::Conv1d(node) => {
            let shape = node.weight.shape();
            let &[channels, length] = input else {
                return Err(Error::expected("an input [C, L]", format!("{input:?}")));
            };
            channels_fit(channels, shape[1], node.groups)?;
            let [length] =
                windows([length], [shape[2]], [node.stride], node.padding, [node.dilation])?;
            Ok(vec![shape[0], length])
        }
        Kind::Conv2d(node) => conv2d(node, input),
        Kind::AvgPool2d(pool) | Kind::SumPool2d(pool) => pool2d(pool, input),
        Kind::Flatten(node) => flatten(node, input),
        Kind::Unknown { tag, .. } => {
            Err(Error::expected("a node type with known shapes", format!("`{tag}`")))
        }
        _ => Ok(input.to_vec()),
    }
}

fn channels_fit(channels: usize, group_channels: usize, groups: usize) -> Result<()> {
    if group_channels.checked_mul(groups) == Some(channels) {
        return Ok(());
    }
    Err(Error::expected(
        format!("an input of {group_channels} channels in each of {groups} groups"),
        format!("{channels} channels"),
    ))
}

fn conv2d(node: &Conv2d, input: &[usize]) -> Result<Vec<usize>> {
    let &[channels, height, width] = input else {
        return Err(Error::expected("an input [C, H, W]", format!("{input:?}")));
    };
    let shape = node.weight.shape();
    channels_fit(channels, shape[1], node.groups)?;
    let kernel = [shape[2], shape[3]];
    let [height, width] =
        windows([height, width], kernel, node.stride, node.padding, node.dilation)?;
    Ok(vec![shape[0], height, width])
}

fn pool2d(pool: &Pool2d, input: &[usize]) -> Result<Vec<usize>> {
    let &[channels, height, width] = input else {
        return Err(Error::expected("an input [C, H, W]", format!("{input:?}")));
    };
    let padding = Padding::Zeros(pool.padding);
    let [height, width] = windows([height, width], pool.kernel_size, pool.stride, padding, [1; 2])?;
    Ok(vec![channels, height, width])
}

/// How many windows fit in each dimension.
fn windows<const N: usize>(
    input: [usize; N],
    kernel: [usize; N],
    stride: [usize; N],
    padding: Padding<N>,
    dilation: [usize; N],
) -> Result<[usize; N]> {
    let mut sizes = [0; N];
    for i in 0..N {
        let zeros = match padding {
            Padding::Same if stride[i] == 1 => {
                sizes[i] = input[i];
                continue;
            }
            Padding::Same => {
                return Err(Error::expected(
                    "a stride of 1 with padding `same`",
                    stride[i].to_string(),
                )
                .in_attribute("stride"));
            }
            Padding::Valid => 0,
            Padding::Zeros(zeros) => zeros[i],
        };
        let padded = zeros.checked_mul(2).and_then(|zeros| zeros.checked_add(input[i]));
        let reach = (kernel[i] - 1).checked_mul(dilation[i]).and_then(|reach| reach.checked_add(1));
        sizes[i] = match (padded, reach) {
            (Some(padded), Some(reach)) if reach <= padded => (padded - reach) / stride[i] + 1,
            _ => {
                return Err(Error::expected(
                    format!("a map that a window of {kernel:?} (dilation {dilation:?}) fits into"),
                    format!("{input:?} with padding {padding:?}"),
                ));
            }
        };
    }
    Ok(sizes)
}

fn flatten(node: &Flatten, input: &[usize]) -> Result<Vec<usize>> {
    let n = input.len() as i64;
    let index = |name: &str, dim: i64| {
        let index = if dim < 0 { n.checked_add(dim).unwrap_or(-1) } else { dim };
        if (0..n).contains(&index) {
            return Ok(index as usize);
        }
        Err(Error::expected(format!("a dimension of {input:?}"), dim.to_string())
            .in_attribute(name))
    };
    let (start, end) = (index("start_dim", node.start_dim)?, index("end_dim", node.end_dim)?);
    if start > end {
        return Err(Error::expected(
            "an end that is not before the start",
            format!("{end} < {start}"),
        )
        .in_attribute("end_dim"));
    }
    let joined = input[start..=end]
        .iter()
        .try_fold(1_usize, |n, &size| n.checked_mul(size))
        .ok_or_else(|| Error::expected("a map that memory can hold", format!("{input:?}")))?;
    Ok([&input[..start], &[joined], &input[end + 1..]].concat())
}
