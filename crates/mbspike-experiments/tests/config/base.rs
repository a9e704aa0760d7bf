//! The config that the tests change.

use std::path::Path;

use mbspike_experiments::config::Config;
use mbspike_experiments::sweep::Sweep;

pub const BASE: &str = r#"name = "base"
seed = 7

[dataset]
name = "fashion-mnist-subset"

[encoder]
kind = "poisson"
time_steps = 4

[network]
arch = "28x28-4c5-2a-10o"

[neuron]
bits = 2

[train]
epochs = 1
batch_size = 32
optimizer = { kind = "adam", lr = 1e-3 }
"#;

/// The base config on recordings of events.
pub const EVENTS: [&str; 4] = [
    "dataset.name=nmnist",
    "encoder.kind=event-frame",
    "encoder.split=number",
    "network.arch=34x34x2-4c5-2a-10o",
];

pub fn parse(text: &str) -> Result<Sweep, mbspike_experiments::sweep::Error> {
    Sweep::parse(Path::new("base.toml"), text, &[])
}

pub fn config(text: &str) -> Config {
    parse(text).unwrap().points.remove(0).config
}

pub fn with(settings: &[&str]) -> Result<Sweep, mbspike_experiments::sweep::Error> {
    let settings: Vec<String> = settings.iter().map(|&setting| setting.to_owned()).collect();
    Sweep::parse(Path::new("base.toml"), BASE, &settings)
}

/// The error for the base config with one text in place of another.
pub fn error_of(this: &str, by: &str) -> String {
    assert!(BASE.contains(this), "{this:?} is not in the base config");
    match parse(&BASE.replacen(this, by, 1)) {
        Ok(sweep) => format!("no error: {:?}", sweep.points[0].config),
        Err(error) => error.to_string(),
    }
}

pub fn identity(config: &Config) -> mbspike_results::Identity {
    mbspike_results::Identity::of(&config.to_table().unwrap(), 1, "cpu")
}

/// The error for the base config with these settings: its key, its message and, at most, one line.
pub fn refused(settings: &[&str]) -> String {
    match with(settings) {
        Ok(_) => panic!("{settings:?} are taken"),
        Err(error) => error.to_string(),
    }
}
