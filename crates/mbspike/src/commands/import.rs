use std::process::ExitCode;

use anyhow::Context;
use mbspike_core::DeviceName;
use mbspike_experiments::config::Config;
use mbspike_experiments::exchange::{
    Placed, Placement, new_network, parse_config, place, read_config, read_tensors, write_run,
};
use mbspike_experiments::run::evaluate_run;
use mbspike_lif::{NeuronConfig, Precision, Quantization};
use mbspike_nir::Value;
use mbspike_nir::network::{Import, ImportOptions, Note, import as from_graph};
use serde::Serialize;

use super::{print_json, print_table, text_of};
use crate::cli::{ImportArgs, MapBy};
use crate::progress::Progress;
use crate::stop;

/// What `import --json` prints.
#[derive(Serialize)]
struct Report<'a> {
    run: String,
    arch: String,
    placed: &'a [Placed],
    converted: Vec<String>,
    test_accuracy: Option<f64>,
    n_samples: Option<usize>,
}

pub fn import(args: &ImportArgs, quiet: bool) -> anyhow::Result<ExitCode> {
    let stop = stop::on_signal()?;
    let is_graph = args.file.extension().is_some_and(|extension| extension == "nir");
    let (config, placed, notes) = if is_graph { graph(args)? } else { weights(args)? };
    let evaluation = if args.no_eval {
        None
    } else {
        let progress = Progress::new(quiet);
        let Some(report) = evaluate_run(&args.out, &[], DeviceName::Cpu, &progress, &stop)
            .with_context(|| {
                let out = args.out.display();
                format!("the run is in {out}, but cannot be evaluated (--no-eval leaves that out)")
            })?
        else {
            return Ok(ExitCode::FAILURE);
        };
        Some(report)
    };
    if args.json {
        print_json(&Report {
            run: text_of(&args.out),
            arch: config.network.arch.to_string(),
            placed: &placed,
            converted: notes.iter().map(Note::to_string).collect(),
            test_accuracy: evaluation.as_ref().map(|report| report.test_accuracy),
            n_samples: evaluation.as_ref().map(|report| report.n_samples),
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = vec![["parameter", "from", "shape", ""].map(str::to_owned).to_vec()];
    rows.extend(placed.iter().map(|placed| {
        let parameter = placed.parameter.clone().unwrap_or_else(|| "–".to_owned());
        let shape = format!("{:?}", placed.shape);
        vec![parameter, placed.tensor.clone(), shape, placed.note.clone()]
    }));
    print_table(&rows)?;
    print_table(&[vec![]])?;
    let mut rows = vec![vec!["run".to_owned(), args.out.display().to_string()]];
    rows.extend(notes.iter().map(|note| vec!["converted".to_owned(), note.to_string()]));
    if let Some(report) = evaluation {
        rows.push(vec!["test accuracy".to_owned(), format!("{:.4}", report.test_accuracy)]);
        rows.push(vec!["samples".to_owned(), report.n_samples.to_string()]);
    }
    print_table(&rows)?;
    Ok(ExitCode::SUCCESS)
}

type Imported = (Config, Vec<Placed>, Vec<Note>);

/// A run from a graph; the config gives all that the graph does not say.
fn graph(args: &ImportArgs) -> anyhow::Result<Imported> {
    let graph = mbspike_nir::read(&args.file)?;
    let options = ImportOptions { dt: args.dt, threshold_fires: args.threshold_fires };
    let imported = from_graph(&graph, &options).with_context(|| args.file.display().to_string())?;
    let config = match (&args.config, imported.metadata.get("config").and_then(Value::as_text)) {
        (Some(path), _) => read_config(path, &args.settings)?,
        (None, Some(text)) => parse_config(&args.file, text, &args.settings)?,
        (None, None) => anyhow::bail!(
            "{}: it does not say on what data to run the network; give a config with `--config`",
            args.file.display()
        ),
    };
    let config = with_network(config, &imported);
    let network = new_network(&config)?;
    let mut placed = place(&imported.tensors, &network, Placement::Name)?;
    for placed in &mut placed {
        let origin = imported.origins.iter().find(|(name, _)| *name == placed.tensor);
        if let Some((_, node)) = origin {
            placed.tensor.clone_from(node);
        }
    }
    write_run(&args.out, &config, &network)?;
    Ok((config, placed, imported.notes))
}

/// `config` with the network of a graph in place of its own.
fn with_network(mut config: Config, imported: &Import) -> Config {
    let mut arch = imported.arch.clone();
    let of_data = config.network.arch.input;
    // A graph may take a map as a row of numbers.
    if imported.takes_rows() && of_data.n_elements() == arch.input.n_elements() {
        arch.input = of_data;
    }
    config.network.arch = arch;
    config.network.readout = imported.readout;
    config.network.bias = imported.bias;
    // What decides gradients only is not in a graph.
    let NeuronConfig { surrogate, shift, detach_reset, .. } = config.neuron;
    config.neuron = NeuronConfig { surrogate, shift, detach_reset, ..imported.neuron.clone() };
    config.train.precision = Precision::F32;
    config.train.quantization = Quantization::None;
    config
}

/// A run from weights; the config gives the network, too.
fn weights(args: &ImportArgs) -> anyhow::Result<Imported> {
    let Some(path) = &args.config else {
        anyhow::bail!(
            "{}: weights do not say which network they are of; give its config with `--config`",
            args.file.display()
        );
    };
    if args.dt.is_some() || args.threshold_fires {
        anyhow::bail!("--dt and --threshold-fires are for NIR files");
    }
    let config = read_config(path, &args.settings)?;
    let tensors = read_tensors(&args.file)?;
    let network = new_network(&config)?;
    let placement = match args.map {
        MapBy::Auto => Placement::Auto,
        MapBy::Name => Placement::Name,
        MapBy::Order => Placement::Order,
    };
    let placed =
        place(&tensors, &network, placement).with_context(|| args.file.display().to_string())?;
    write_run(&args.out, &config, &network)?;
    Ok((config, placed, vec![]))
}
