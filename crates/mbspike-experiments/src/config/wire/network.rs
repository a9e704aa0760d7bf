use mbspike_lif::{Arch, ArchError, Execution, LayerTable, Readout, Shape};
use serde::Deserialize;

use crate::config::de::nearest;
use crate::config::document::Node;
use crate::config::origin::{ConfigError, Origin, Source};
use crate::config::settings::NetworkSettings;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Network {
    arch: Option<String>,
    preset: Option<String>,
    input: Option<String>,
    layer: Option<Vec<LayerTable>>,
    #[serde(default)]
    readout: Readout,
    #[serde(default)]
    bias: bool,
    #[serde(default)]
    execution: Execution,
    checkpoint_steps: Option<usize>,
}

impl Network {
    pub(super) fn resolve(self, root: &Node) -> Result<NetworkSettings, ConfigError> {
        let fail = |key: &str, message: String| {
            Err(ConfigError::new(root.origin_of(key).clone(), message))
        };
        let arch: Arch = match (self.arch, self.preset) {
            (Some(text), None) => text.parse().map_err(|error| arch_error(root, &error))?,
            (None, Some(name)) => {
                let Some(arch) = Arch::preset(&name) else {
                    let names = || Arch::PRESETS.iter().map(|(name, _)| *name);
                    let hint = match nearest(&name, names()) {
                        Some(name) => format!("did you mean \"{name}\"?"),
                        None => format!("there are {}", names().collect::<Vec<_>>().join(", ")),
                    };
                    let message = format!("network.preset: no preset is called \"{name}\"; {hint}");
                    return fail("network.preset", message);
                };
                arch
            }
            (Some(_), Some(_)) => {
                let message = "network: `arch` and `preset` exclude each other".to_owned();
                return fail("network.preset", message);
            }
            (None, None) => match (self.input, self.layer) {
                (Some(input), Some(layers)) => {
                    let input = input.parse().map_err(|error: ArchError| {
                        let message = format!("network.input: {error}");
                        ConfigError::new(root.origin_of("network.input").clone(), message)
                    })?;
                    return self_tables(root, input, layers).map(|arch| NetworkSettings {
                        arch,
                        readout: self.readout,
                        bias: self.bias,
                        execution: self.execution,
                        checkpoint_steps: self.checkpoint_steps,
                    });
                }
                (Some(_), None) => {
                    let message = "network: `input` goes with `[[network.layer]]`".to_owned();
                    return fail("network.input", message);
                }
                (None, Some(_)) => {
                    let message = "network: `[[network.layer]]` needs the key `input`, as \
                                   \"32x32x3\""
                        .to_owned();
                    return fail("network.layer", message);
                }
                (None, None) => {
                    let message = "network: the key `arch` (or `preset`) is missing".to_owned();
                    return fail("network", message);
                }
            },
        };
        for (key, given) in [("input", self.input.is_some()), ("layer", self.layer.is_some())] {
            if given {
                let message =
                    format!("network: `{key}` and `arch` (or `preset`) exclude each other");
                return fail(&format!("network.{key}"), message);
            }
        }
        Ok(NetworkSettings {
            arch,
            readout: self.readout,
            bias: self.bias,
            execution: self.execution,
            checkpoint_steps: self.checkpoint_steps,
        })
    }
}

/// An architecture of tables.
fn self_tables(root: &Node, input: Shape, layers: Vec<LayerTable>) -> Result<Arch, ConfigError> {
    Arch::of_tables(input, layers).map_err(|error| {
        let origin = root.origin_of("network.layer").clone();
        ConfigError::new(origin, format!("network.layer: {error}"))
    })
}

/// The place of an error inside an architecture: the very characters, where the text stands in the
/// file as it is.
fn arch_error(root: &Node, error: &ArchError) -> ConfigError {
    let origin = root.origin_of("network.arch");
    if let Source::File { text, .. } = &*origin.source
        && let Some(literal) = text.get(origin.span.clone())
        && literal.len() == error.text.len() + 2
        && literal.get(1..literal.len() - 1) == Some(error.text.as_str())
    {
        let start = origin.span.start + 1 + error.position;
        let span = start..start + error.length;
        let message = format!("network.arch: found {}, expected {}", error.found, error.expected);
        return ConfigError::new(Origin { source: origin.source.clone(), span }, message);
    }
    ConfigError::new(origin.clone(), format!("network.arch: {error}"))
}
