use crate::Result;
use crate::graph::Graph;
use crate::neuron::{LearnedBy, NeuronConfig};

/// Gives each node of neurons the parameters that `of` says for it.
pub(super) fn with_neurons(
    mut graph: Graph,
    of: impl Fn(&str) -> Result<NeuronConfig>,
) -> Result<Graph> {
    let names: Vec<String> = graph.neurons().map(|(id, _)| graph.node(id).name.clone()).collect();
    let n = names.len();
    graph.set_neurons(|i, neurons| {
        let config = of(&names[i])?;
        let mut params = config.params(i, n)?;
        if neurons.sends_membrane {
            params.lif.reset = mbspike_core::Reset::None {};
        }
        neurons.params = params;
        let by = |learned: bool| -> Option<LearnedBy> { learned.then_some(config.learned_by) };
        neurons.learned_tau = by(config.learnable_tau);
        neurons.learned_threshold = by(config.learnable_threshold);
        Ok(())
    })?;
    Ok(graph)
}
