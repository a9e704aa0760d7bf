//! N-MNIST (Orchard, Jayawant, Cohen, Thakor 2015): MNIST digits on a screen, recorded by an ATIS
//! event camera of 34×34 pixels that moves in three saccades of about 100 ms each.
//!
//! `Train/<digit>/<number>.bin` and `Test/<digit>/<number>.bin`, [40-bit address events](crate::atis),
//! unpacked or within zip archives (`Train.zip`, `Test.zip`, or one that holds both).

use std::path::{Path, PathBuf};

use crate::catalog::DatasetName;
use crate::event_set::{EventSet, Recording};
use crate::locate::{not_found, search_folders};
use crate::simulate::is_simulated;
use crate::zip_entry::ZipEntry;
use crate::{Dataset, Error, Result, SampleSet, Split};

pub(crate) const SENSOR: [usize; 2] = [34, 34];

/// Loads N-MNIST from `path` (a folder or a zip archive) or from where it is found.
pub(crate) fn load(path: Option<&Path>) -> Result<Dataset> {
    let name = DatasetName::Nmnist;
    let searched = search_folders(name, path);
    for root in &searched {
        let mut found = Vec::new();
        if root.is_file() {
            add_archive(root, &mut found)?;
        } else {
            for split in ["Train", "Test"] {
                let archive = root.join(format!("{split}.zip"));
                if root.join(split).is_dir() {
                    add_folder(&root.join(split), split, &mut found)?;
                } else if archive.is_file() {
                    add_archive(&archive, &mut found)?;
                }
            }
        }
        if !found.is_empty() {
            return dataset(name, root, found);
        }
    }
    Err(not_found(name, searched))
}

/// A recording with what its path says of it.
struct Found {
    split: Split,
    label: u8,
    /// Name of the file without extension, by number if it is one: the order within a set.
    number: (u64, String),
    recording: Recording,
}

fn dataset(name: DatasetName, root: &Path, mut found: Vec<Found>) -> Result<Dataset> {
    found.sort_by(|a, b| (&a.number, a.label).cmp(&(&b.number, b.label)));
    let empty = |split| EventSet {
        recordings: vec![],
        labels: vec![],
        sensor: SENSOR,
        n_polarities: 2,
        split,
    };
    let (mut train, mut test) = (empty(Split::Train), empty(Split::Test));
    for found in found {
        let set = if found.split == Split::Train { &mut train } else { &mut test };
        set.recordings.push(found.recording);
        set.labels.push(found.label);
    }
    for (set, missing) in [(&train, "Train"), (&test, "Test")] {
        if set.is_empty() {
            let (dataset, folder) = (name.to_string(), root.to_owned());
            let missing = vec![format!("{missing}/<digit>/<number>.bin")];
            return Err(Error::Incomplete { dataset, folder, missing });
        }
    }
    Ok(Dataset {
        name: name.to_string(),
        train: SampleSet::Events(train.into()),
        test: SampleSet::Events(test.into()),
        class_names: name.info().class_names.iter().map(|&name| name.to_owned()).collect(),
        source: root.display().to_string(),
        simulated: is_simulated(root)?,
    })
}

fn add_folder(folder: &Path, split: &str, found: &mut Vec<Found>) -> Result<()> {
    for digit in 0..10 {
        let inner = folder.join(digit.to_string());
        if !inner.is_dir() {
            continue;
        }
        for entry in fs_err::read_dir(inner)? {
            let file = entry?.path();
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let path = format!("{split}/{digit}/{name}");
            found.extend(classify(&path, || Recording::AtisFile(file)));
        }
    }
    Ok(())
}

fn add_archive(archive: &Path, found: &mut Vec<Found>) -> Result<()> {
    for entry in ZipEntry::all_of(archive)? {
        let path = entry.name().to_owned();
        found.extend(classify(&path, || Recording::AtisZipEntry(entry)));
    }
    Ok(())
}

/// Understands `…/Train/<digit>/<number>.bin`; `None` for any other file.
fn classify(path: &str, recording: impl FnOnce() -> Recording) -> Option<Found> {
    let mut parts = path.rsplit('/');
    let file = PathBuf::from(parts.next()?);
    let label = parts.next()?.parse().ok().filter(|&label: &u8| label < 10)?;
    let split = match parts.next()? {
        "Train" => Split::Train,
        "Test" => Split::Test,
        _ => return None,
    };
    if file.extension()? != "bin" {
        return None;
    }
    let stem = file.file_stem()?.to_string_lossy().into_owned();
    let number = (stem.parse().unwrap_or(u64::MAX), stem);
    Some(Found { split, label, number, recording: recording() })
}
