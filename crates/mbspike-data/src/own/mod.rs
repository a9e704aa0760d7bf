//! A user's own data: folders of images or recordings, arrays, idx files, tables of signals.
//!
//! A reader gives labelled samples; here they become a training and a test set: of files given for
//! each, of a share chosen by a seed, or of one fold of several. No sample is in both, by its content.

mod arrays;
mod events_folder;
mod folders;
mod idx;
mod image_folder;
mod keys;
mod kind;
mod labelled;
mod series;
mod spikes;
mod split;

use crate::{Dataset, DatasetConfig, Result};

pub use kind::OwnKind;
pub use series::{Series, parse_arff, parse_ts};

/// Loads own data of `kind` from where `config` says.
pub(crate) fn load(kind: OwnKind, config: &DatasetConfig) -> Result<Dataset> {
    let mut config = config.clone();
    let path = &config.path.clone().unwrap_or_else(|| ".".into());
    let parts = match kind {
        OwnKind::ImageFolder => image_folder::load(path, &config)?,
        OwnKind::Arrays => arrays::load(path, &config)?,
        OwnKind::Idx => idx::load(path, &config)?,
        OwnKind::EventsFolder => events_folder::load(path, &config)?,
        OwnKind::SpikesHdf5 => {
            let (parts, class_names) = spikes::load(path, &config)?;
            config.class_names = class_names;
            parts
        }
        OwnKind::Csv | OwnKind::Ts | OwnKind::Arff => series::load(kind, path, &config)?,
    };
    let (train, test, class_names) = parts.divide(&config, path)?;
    let simulated = crate::simulate::is_simulated(path)?;
    Ok(Dataset {
        name: kind.as_str().to_owned(),
        train,
        test,
        class_names,
        source: path.display().to_string(),
        simulated,
    })
}
