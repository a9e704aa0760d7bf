//! The nodes of a graph in an order in which they can be computed.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{Error, METADATA, exact, unsupported};
use crate::{Graph, Kind, Value};

/// A graph without nested ones, its recurrent edges apart.
pub(super) struct Ordered {
    pub(super) graph: Graph,
    /// Names, each after those that it reads.
    pub(super) order: Vec<String>,
    /// The weights through which neurons hear themselves a step later, by the neurons' name.
    pub(super) recurrent: BTreeMap<String, (String, Kind)>,
}

/// Takes a graph apart.
///
/// # Errors
/// If it does not have one input and one output with all other nodes between, or a cycle that is not
/// neurons and weights.
pub(super) fn ordered(graph: &Graph, dt: f64) -> Result<Ordered, Error> {
    let mut graph = graph.clone();
    inline(&mut graph, dt)?;
    for (names, what) in [
        (graph.inputs().collect::<Vec<_>>(), "Input"),
        (graph.outputs().collect::<Vec<_>>(), "Output"),
    ] {
        if names.len() != 1 {
            let n = names.len();
            return unsupported(
                "graph",
                format!("it has {n} nodes of type {what}, and networks have one"),
            );
        }
    }
    let recurrent = take_recurrent(&mut graph);
    let order = order(&graph)?;
    Ok(Ordered { graph, order, recurrent })
}

/// Puts the nodes of nested graphs, but for those that are one neuron, among the others.
fn inline(graph: &mut Graph, dt: f64) -> Result<(), Error> {
    loop {
        let nested = graph.nodes.iter().find_map(|(name, node)| match &node.kind {
            Kind::Graph(inner) if exact::Neuron::of_graph(inner, dt).is_none() => {
                Some((name.clone(), inner.clone()))
            }
            _ => None,
        });
        let Some((outer, inner)) = nested else { return Ok(()) };
        let marked = inner.metadata.get(METADATA).and_then(Value::as_map);
        if marked.and_then(exact::Neuron::of_metadata).is_some() {
            return unsupported(
                &outer,
                "a nested graph whose metadata say that it is a graded neuron, and whose nodes, with \
                 this time step, are not; another `--dt` may be right",
            );
        }
        let ports = [inner.inputs().collect::<Vec<_>>(), inner.outputs().collect::<Vec<_>>()];
        let [[input], [output]] = [ports[0].as_slice(), ports[1].as_slice()] else {
            return unsupported(&outer, "a nested graph without one input and one output");
        };
        let of = |name: &str| format!("{outer}.{name}");
        let (input, output) = (of(input), of(output));
        graph.nodes.remove(&outer);
        for (name, node) in &inner.nodes {
            let name = of(name);
            if name != input
                && name != output
                && graph.nodes.insert(name.clone(), node.clone()).is_some()
            {
                return unsupported(
                    &name,
                    "another node has its name where nested graphs are dissolved",
                );
            }
        }
        let mut edges: Vec<(String, String)> = graph
            .edges
            .iter()
            .map(|(from, to)| {
                let from = if *from == outer { &output } else { from };
                let to = if *to == outer { &input } else { to };
                (from.clone(), to.clone())
            })
            .collect();
        edges.extend(inner.edges.iter().map(|(from, to)| (of(from), of(to))));
        for port in [&input, &output] {
            edges = bypass(&edges, port);
        }
        graph.edges = edges;
    }
}

/// The edges without a node that passes on what it reads.
fn bypass(edges: &[(String, String)], node: &str) -> Vec<(String, String)> {
    let sources: Vec<&String> =
        edges.iter().filter(|(_, to)| to == node).map(|(from, _)| from).collect();
    let targets: Vec<&String> =
        edges.iter().filter(|(from, _)| from == node).map(|(_, to)| to).collect();
    let rest = edges.iter().filter(|(from, to)| from != node && to != node).cloned();
    let around = sources
        .iter()
        .flat_map(|from| targets.iter().map(move |to| ((*from).clone(), (*to).clone())));
    rest.chain(around).collect()
}

/// Takes out weights that read neurons and nothing else reads but those neurons.
fn take_recurrent(graph: &mut Graph) -> BTreeMap<String, (String, Kind)> {
    let mut found = BTreeMap::new();
    for (name, node) in &graph.nodes {
        if !matches!(node.kind, Kind::Linear(_) | Kind::Affine(_)) {
            continue;
        }
        let sources: Vec<&str> = graph.sources(name).collect();
        let targets: Vec<&str> = graph.targets(name).collect();
        if let ([source], [target]) = (sources.as_slice(), targets.as_slice())
            && source == target
            && is_spiking(&graph.nodes[*source].kind)
            && !found.contains_key(*source)
        {
            found.insert((*source).to_owned(), (name.clone(), node.kind.clone()));
        }
    }
    for (name, _) in found.values() {
        graph.nodes.remove(name);
        graph.edges.retain(|(from, to)| from != name && to != name);
    }
    found
}

fn is_spiking(kind: &Kind) -> bool {
    matches!(kind, Kind::Lif(_) | Kind::If(_) | Kind::CubaLif(_) | Kind::Graph(_))
}

fn order(graph: &Graph) -> Result<Vec<String>, Error> {
    let mut n_missing: BTreeMap<&str, usize> =
        graph.nodes.keys().map(|name| (name.as_str(), graph.sources(name).count())).collect();
    for (name, node) in &graph.nodes {
        let (is_input, is_output) =
            (matches!(node.kind, Kind::Input { .. }), matches!(node.kind, Kind::Output { .. }));
        let reads = n_missing[name.as_str()] > 0;
        let is_read = graph.targets(name).next().is_some();
        if reads == is_input || is_read == is_output {
            return unsupported(name, "it does not lie between the input and the output");
        }
    }
    let mut ready: BTreeSet<&str> =
        n_missing.iter().filter(|(_, n)| **n == 0).map(|(name, _)| *name).collect();
    let mut order = vec![];
    while let Some(name) = ready.pop_first() {
        order.push(name.to_owned());
        for target in graph.targets(name) {
            if let Some(n) = n_missing.get_mut(target) {
                *n -= 1;
                if *n == 0 {
                    ready.insert(target);
                }
            }
        }
    }
    if let Some((name, _)) = n_missing.iter().find(|(_, n)| **n > 0) {
        return unsupported(
            name,
            "it is part of a cycle or behind one; the cycles of networks are neurons and a linear node \
             from them back to themselves, and nothing else",
        );
    }
    Ok(order)
}
