//! What a graph computes, step by step: the plain definition to compare others with, in double
//! precision and without any regard for speed.
//!
//! NIR's equations are in continuous time; here they advance by forward Euler, as the frameworks
//! that read NIR do: `τ dv/dt = v_leak − v + r x` is `v += dt/τ (v_leak − v + r x)`. A node sees
//! its sources' values of the same step, but along the edge that closes a cycle, which is followed
//! last from the inputs on, the value of the step before.

use std::collections::{BTreeMap, VecDeque};

use crate::{Array, Conv2d, Error, Graph, Kind, Padding, Pool2d, Problem, Result, Shapes};

/// A graph with the state of its nodes.
#[derive(Debug)]
pub struct Simulation<'a> {
    dt: f64,
    nodes: Vec<Running<'a>>,
    /// Nodes in the order in which they are computed.
    order: Vec<usize>,
    input: usize,
    output: usize,
}

#[derive(Debug)]
struct Running<'a> {
    kind: &'a Kind,
    shapes: Shapes,
    /// Sources of this step.
    sources: Vec<usize>,
    /// Sources of the step before.
    delayed: Vec<usize>,
    value: Vec<f64>,
    state: State<'a>,
}

#[derive(Debug)]
enum State<'a> {
    None,
    Membrane { v: Vec<f64>, i: Vec<f64> },
    History(VecDeque<Vec<f64>>),
    Graph(Box<Simulation<'a>>),
}

impl<'a> Simulation<'a> {
    /// A graph at rest, to be advanced in steps of `dt` seconds.
    ///
    /// # Errors
    /// If the graph fails [`Graph::shapes`], does not have one input and one output, or has a node
    /// that is not simulated: [`Kind::Conv1d`], [`Kind::Unknown`].
    pub fn new(graph: &'a Graph, dt: f64) -> Result<Self> {
        let mut shapes = graph.shapes()?;
        let names: Vec<&str> = graph.nodes.keys().map(String::as_str).collect();
        let index: BTreeMap<&str, usize> =
            names.iter().enumerate().map(|(index, name)| (*name, index)).collect();
        let one = |mut found: Box<dyn Iterator<Item = &str> + '_>, what: &str| match (
            found.next(),
            found.next(),
        ) {
            (Some(name), None) => Ok(index[name]),
            _ => Err(Error::expected(format!("one {what}"), "none or several")),
        };
        let input = one(Box::new(graph.inputs()), "input")?;
        let output = one(Box::new(graph.outputs()), "output")?;
        let mut nodes = vec![];
        for (name, node) in &graph.nodes {
            let shapes = shapes.remove(name).unwrap_or(Shapes { input: vec![], output: vec![] });
            let n = shapes.output.iter().product();
            let state = State::new(&node.kind, n, dt).map_err(|error| error.in_node(name))?;
            let (sources, delayed) = (vec![], vec![]);
            let value = vec![0.0; n];
            nodes.push(Running { kind: &node.kind, shapes, sources, delayed, value, state });
        }
        let targets: Vec<Vec<usize>> = names
            .iter()
            .map(|name| graph.targets(name).map(|target| index[target]).collect())
            .collect();
        let (order, closing) = order(&targets, input);
        for (from, targets) in targets.iter().enumerate() {
            for &to in targets {
                let closes = closing.contains(&(from, to));
                let node = &mut nodes[to];
                if closes { &mut node.delayed } else { &mut node.sources }.push(from);
            }
        }
        Ok(Self { dt, nodes, order, input, output })
    }

    /// Advances by one step: the value of the output for a value of the input, both row-major.
    ///
    /// # Panics
    /// If `x` has another length than the input's shape has places.
    pub fn step(&mut self, x: &[f64]) -> Vec<f64> {
        assert_eq!(x.len(), self.nodes[self.input].value.len(), "length of the input");
        let before: Vec<Vec<f64>> = self
            .nodes
            .iter()
            .map(|node| {
                let mut sum = vec![0.0; node.shapes.input.iter().product()];
                node.delayed.iter().for_each(|&source| add(&mut sum, &self.nodes[source].value));
                sum
            })
            .collect();
        for &at in &self.order {
            let mut sum = before[at].clone();
            for &source in &self.nodes[at].sources {
                add(&mut sum, &self.nodes[source].value);
            }
            if at == self.input {
                sum = x.to_vec();
            }
            let node = &mut self.nodes[at];
            node.value = node.state.advance(node.kind, &node.shapes, sum, self.dt);
        }
        self.nodes[self.output].value.clone()
    }
}

fn add(sum: &mut [f64], value: &[f64]) {
    sum.iter_mut().zip(value).for_each(|(sum, value)| *sum += value);
}

/// Nodes so that each comes after its sources, and the edges for which that cannot be: those that
/// lead back to a node from which they were reached.
fn order(targets: &[Vec<usize>], input: usize) -> (Vec<usize>, Vec<(usize, usize)>) {
    #[derive(Clone, Copy, PartialEq)]
    enum Seen {
        No,
        Open,
        Closed,
    }
    let mut seen = vec![Seen::No; targets.len()];
    let (mut order, mut closing) = (vec![], vec![]);
    for start in std::iter::once(input).chain(0..targets.len()) {
        if seen[start] != Seen::No {
            continue;
        }
        seen[start] = Seen::Open;
        let mut path = vec![(start, 0)];
        while let Some((node, next)) = path.last_mut() {
            let Some(&target) = targets[*node].get(*next) else {
                seen[*node] = Seen::Closed;
                order.push(*node);
                path.pop();
                continue;
            };
            *next += 1;
            match seen[target] {
                Seen::No => {
                    seen[target] = Seen::Open;
                    path.push((target, 0));
                }
                Seen::Open => closing.push((*node, target)),
                Seen::Closed => {}
            }
        }
    }
    order.reverse();
    (order, closing)
}

impl<'a> State<'a> {
    fn new(kind: &'a Kind, n: usize, dt: f64) -> Result<Self> {
        let membrane = |v: Vec<f64>| State::Membrane { v, i: vec![0.0; n] };
        Ok(match kind {
            Kind::Li(node) => membrane(node.v_leak.to_f64()),
            Kind::Lif(node) => membrane(node.v_leak.to_f64()),
            Kind::CubaLi(node) => membrane(node.v_leak.to_f64()),
            Kind::CubaLif(node) => membrane(node.v_leak.to_f64()),
            Kind::I(_) | Kind::If(_) => membrane(vec![0.0; n]),
            Kind::Delay(node) => {
                let most = node.delay.to_f64().into_iter().fold(0.0, f64::max) / dt;
                if !(0.0..1e6).contains(&most) {
                    return Err(Error::expected("delays of up to 10⁶ steps", most.to_string())
                        .in_attribute("delay"));
                }
                State::History(vec![vec![0.0; n]; most.round() as usize].into())
            }
            Kind::Graph(graph) => State::Graph(Box::new(Simulation::new(graph, dt)?)),
            Kind::Conv1d(_) | Kind::Unknown { .. } => {
                return Err(Error::new(Problem::Inexpressible(format!(
                    "a {} node in a simulation",
                    kind.tag()
                ))));
            }
            _ => State::None,
        })
    }

    fn advance(&mut self, kind: &Kind, shapes: &Shapes, x: Vec<f64>, dt: f64) -> Vec<f64> {
        match (kind, self) {
            (Kind::Affine(node), _) => matrix(&node.weight, Some(&node.bias), &x),
            (Kind::Linear(node), _) => matrix(&node.weight, None, &x),
            (Kind::Scale(node), _) => zip(&node.scale, x, |s, x| s * x),
            (Kind::Threshold(node), _) => zip(&node.threshold, x, |t, x| fires(x, t)),
            (Kind::Conv2d(node), _) => conv2d(node, &x, shapes),
            (Kind::AvgPool2d(pool), _) => {
                let n = (pool.kernel_size[0] * pool.kernel_size[1]) as f64;
                sum_pool(pool, &x, shapes).into_iter().map(|sum| sum / n).collect()
            }
            (Kind::SumPool2d(pool), _) => sum_pool(pool, &x, shapes),
            (Kind::Graph(_), State::Graph(inner)) => inner.step(&x),
            (Kind::Delay(node), State::History(history)) => {
                let delays = node.delay.to_f64();
                history.push_front(x);
                let value = delays.iter().enumerate().map(|(n, delay)| {
                    history[((delay / dt).round() as usize).min(history.len() - 1)][n]
                });
                let value = value.collect();
                history.pop_back();
                value
            }
            (Kind::I(node), State::Membrane { v, .. }) => {
                v.iter_mut().zip(zip(&node.r, x, |r, x| dt * r * x)).for_each(|(v, dv)| *v += dv);
                v.clone()
            }
            (Kind::If(node), State::Membrane { v, .. }) => {
                v.iter_mut().zip(zip(&node.r, x, |r, x| dt * r * x)).for_each(|(v, dv)| *v += dv);
                fire(v, &node.v_threshold, &node.v_reset)
            }
            (Kind::Li(node), State::Membrane { v, .. }) => {
                leak(v, [&node.tau, &node.v_leak, &node.r], &x, dt);
                v.clone()
            }
            (Kind::Lif(node), State::Membrane { v, .. }) => {
                leak(v, [&node.tau, &node.v_leak, &node.r], &x, dt);
                fire(v, &node.v_threshold, &node.v_reset)
            }
            (Kind::CubaLi(node), State::Membrane { v, i }) => {
                leak(i, [&node.tau_syn, &node.tau_syn.zeros_like(), &node.w_in], &x, dt);
                leak(v, [&node.tau_mem, &node.v_leak, &node.r], i, dt);
                v.clone()
            }
            (Kind::CubaLif(node), State::Membrane { v, i }) => {
                leak(i, [&node.tau_syn, &node.tau_syn.zeros_like(), &node.w_in], &x, dt);
                leak(v, [&node.tau_mem, &node.v_leak, &node.r], i, dt);
                fire(v, &node.v_threshold, &node.v_reset)
            }
            // Inputs, outputs and flattening pass their values on.
            _ => x,
        }
    }
}

fn zip(parameter: &Array, x: Vec<f64>, f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    parameter.to_f64().into_iter().zip(x).map(|(p, x)| f(p, x)).collect()
}

fn fires(v: f64, threshold: f64) -> f64 {
    f64::from(u8::from(v > threshold))
}

/// `v += dt/τ (v_leak − v + r x)`.
fn leak(v: &mut [f64], [tau, v_leak, r]: [&Array; 3], x: &[f64], dt: f64) {
    let (tau, v_leak, r) = (tau.to_f64(), v_leak.to_f64(), r.to_f64());
    for n in 0..v.len() {
        v[n] += dt / tau[n] * (v_leak[n] - v[n] + r[n] * x[n]);
    }
}

fn fire(v: &mut [f64], threshold: &Array, v_reset: &Array) -> Vec<f64> {
    let spikes = zip(threshold, v.to_vec(), |threshold, v| fires(v, threshold));
    for ((v, spike), v_reset) in v.iter_mut().zip(&spikes).zip(v_reset.to_f64()) {
        if *spike == 1.0 {
            *v = v_reset;
        }
    }
    spikes
}

/// `W x + b` for each matrix of a stack.
fn matrix(weight: &Array, bias: Option<&Array>, x: &[f64]) -> Vec<f64> {
    let [.., outputs, inputs] = *weight.shape() else { return vec![] };
    let rows = weight.to_f64();
    let bias = bias.map(Array::to_f64);
    rows.chunks(inputs.max(1))
        .enumerate()
        .map(|(row, weights)| {
            let x = &x[row / outputs * inputs..][..inputs];
            let sum: f64 = weights.iter().zip(x).map(|(w, x)| w * x).sum();
            sum + bias.as_ref().map_or(0.0, |bias| bias[row])
        })
        .collect()
}

fn conv2d(node: &Conv2d, x: &[f64], shapes: &Shapes) -> Vec<f64> {
    let (&[_, in_height, in_width], &[channels, height, width]) =
        (shapes.input.as_slice(), shapes.output.as_slice())
    else {
        return vec![];
    };
    let &[_, group_in, kernel_height, kernel_width] = node.weight.shape() else { return vec![] };
    let zeros = match node.padding {
        Padding::Zeros(zeros) => zeros,
        Padding::Valid => [0, 0],
        // PyTorch puts the odd zero at the end.
        Padding::Same => {
            [node.dilation[0] * (kernel_height - 1) / 2, node.dilation[1] * (kernel_width - 1) / 2]
        }
    };
    let (weight, bias) = (node.weight.to_f64(), node.bias.to_f64());
    let group_out = channels / node.groups;
    let mut y = vec![0.0; channels * height * width];
    for (at, y) in y.iter_mut().enumerate() {
        let (channel, row, column) = (at / (height * width), at / width % height, at % width);
        *y = bias[channel];
        for c in 0..group_in {
            let plane = channel / group_out * group_in + c;
            for i in 0..kernel_height {
                for j in 0..kernel_width {
                    let row = (row * node.stride[0] + i * node.dilation[0]).wrapping_sub(zeros[0]);
                    let column =
                        (column * node.stride[1] + j * node.dilation[1]).wrapping_sub(zeros[1]);
                    if row < in_height && column < in_width {
                        let w = weight
                            [((channel * group_in + c) * kernel_height + i) * kernel_width + j];
                        *y += w * x[(plane * in_height + row) * in_width + column];
                    }
                }
            }
        }
    }
    y
}

fn sum_pool(pool: &Pool2d, x: &[f64], shapes: &Shapes) -> Vec<f64> {
    let (&[_, in_height, in_width], &[channels, height, width]) =
        (shapes.input.as_slice(), shapes.output.as_slice())
    else {
        return vec![];
    };
    let mut y = vec![0.0; channels * height * width];
    for (at, y) in y.iter_mut().enumerate() {
        let (channel, row, column) = (at / (height * width), at / width % height, at % width);
        for i in 0..pool.kernel_size[0] {
            for j in 0..pool.kernel_size[1] {
                let row = (row * pool.stride[0] + i).wrapping_sub(pool.padding[0]);
                let column = (column * pool.stride[1] + j).wrapping_sub(pool.padding[1]);
                if row < in_height && column < in_width {
                    *y += x[(channel * in_height + row) * in_width + column];
                }
            }
        }
    }
    y
}
