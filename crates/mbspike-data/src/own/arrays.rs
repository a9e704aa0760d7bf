//! Arrays of samples with labels beside them, from `.npy`, `.npz` and `.safetensors` files.
//!
//! Numbers of one byte without a sign are images of 0 to 255, `[N, C, H, W]` or `[N, H, W]`; others are
//! taken as they are. Three axes of them are sequences, `[N, T, C]`; four are images, `[N, C, H, W]`; five
//! sequences of images, `[N, T, C, H, W]`.

use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};

use super::labelled::{Labelled, Samples};
use super::split::Parts;
use crate::npy::{Array, Kind, Npz, read_npy};
use crate::{DatasetConfig, Error, Result};

/// Names of arrays, where none is told: for the training set, for the test set.
const SAMPLES: [&[&str]; 2] = [&["x_train", "x", "images", "data", "samples"], &["x_test"]];
const LABELS: [&[&str]; 2] = [&["y_train", "y", "labels", "targets"], &["y_test"]];

/// The numbers of an array.
enum Numbers {
    Bytes(Vec<u8>),
    Floats(Vec<f32>),
}

struct Loaded {
    shape: Vec<usize>,
    numbers: Numbers,
}

pub(super) fn load(path: &Path, config: &DatasetConfig) -> Result<Parts> {
    let source = Source::open(path)?;
    let [samples, labels] = [&config.samples, &config.labels].map(Option::as_deref);
    let train = read(&source, samples, labels, 0, config)?
        .ok_or_else(|| source.missing("samples", SAMPLES[0]))?;
    if config.is_divided() {
        return Ok(Parts { train, test: None });
    }
    let [test_samples, test_labels] =
        [&config.test_samples, &config.test_labels].map(Option::as_deref);
    let test = if let Some(file) = &config.test_path {
        let source = Source::open(file)?;
        let read =
            |place| read(&source, test_samples.or(samples), test_labels.or(labels), place, config);
        let test = match read(1)? {
            Some(test) => test,
            None => read(0)?.ok_or_else(|| source.missing("test_samples", SAMPLES[0]))?,
        };
        Some((test, file.clone()))
    } else {
        let test = read(&source, test_samples, test_labels, 1, config)?;
        test.map(|test| (test, path.to_owned()))
    };
    Ok(Parts { train, test })
}

/// A file of arrays.
enum Source {
    Npz(PathBuf, Npz),
    Npy(PathBuf),
    Safetensors(PathBuf, Vec<u8>),
}

impl Source {
    fn open(path: &Path) -> Result<Self> {
        let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        match ending.as_str() {
            "npz" => Ok(Self::Npz(path.to_owned(), Npz::open(path)?)),
            "npy" => Ok(Self::Npy(path.to_owned())),
            "safetensors" => Ok(Self::Safetensors(path.to_owned(), fs_err::read(path)?)),
            _ => {
                let message =
                    format!("{}: expected a name in .npy, .npz or .safetensors", path.display());
                Err(Error::config("dataset.path", message))
            }
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Npz(path, _) | Self::Npy(path) | Self::Safetensors(path, _) => path,
        }
    }

    fn names(&self) -> Result<Vec<String>> {
        Ok(match self {
            Self::Npz(_, npz) => npz.names().map(str::to_owned).collect(),
            Self::Npy(_) => Vec::new(),
            Self::Safetensors(path, bytes) => {
                tensors(path, bytes)?.names().into_iter().map(ToString::to_string).collect()
            }
        })
    }

    fn missing(&self, key: &str, known: &[&str]) -> Error {
        let names = self.names().unwrap_or_default();
        let message = format!(
            "names no array of {}: it has {}; without the key there would have to be one of {}",
            self.path().display(),
            names.join(", "),
            known.join(", ")
        );
        Error::config(&format!("dataset.{key}"), message)
    }

    fn load(&self, name: &str) -> Result<Loaded> {
        match self {
            Self::Npz(_, npz) => from_array(&npz.read(name, u64::MAX)?),
            // Of a plain file the array is the file, or another beside it.
            Self::Npy(path) if name.is_empty() => from_array(&read_npy(path)?),
            Self::Npy(path) => from_array(&read_npy(&path.with_file_name(name))?),
            Self::Safetensors(path, bytes) => from_safetensors(path, bytes, name),
        }
    }

    /// The name that is told, or the first known one that is there.
    fn choose(&self, told: Option<&str>, known: &[&str]) -> Result<Option<String>> {
        let names = self.names()?;
        if let Some(told) = told {
            return match self {
                Self::Npy(_) => Ok(Some(told.to_owned())),
                _ if names.iter().any(|name| name == told) => Ok(Some(told.to_owned())),
                _ => {
                    let message = format!("is not there; the file has {}", names.join(", "));
                    Err(Error::Array {
                        file: self.path().to_owned(),
                        array: told.to_owned(),
                        message,
                    })
                }
            };
        }
        let known = known.iter().find(|known| names.iter().any(|name| name == **known));
        Ok(known.map(|&name| name.to_owned()))
    }
}

fn read(
    source: &Source,
    samples: Option<&str>,
    labels: Option<&str>,
    set: usize,
    config: &DatasetConfig,
) -> Result<Option<Labelled>> {
    let name = match source {
        Source::Npy(_) if set == 0 => Some(samples.unwrap_or("").to_owned()),
        _ => source.choose(samples, SAMPLES[set])?,
    };
    let Some(name) = name else { return Ok(None) };
    let label_name = source.choose(labels, LABELS[set])?;
    let key = ["labels", "test_labels"][set];
    let label_name = label_name.ok_or_else(|| source.missing(key, LABELS[set]))?;
    let refuse = |array: &str, message: String| Error::Array {
        file: source.path().to_owned(),
        array: array.to_owned(),
        message,
    };
    let loaded = source.load(&name)?;
    let names = labels_of(&source.load(&label_name)?, config.first_label.unwrap_or(0))
        .map_err(|message| refuse(&label_name, message))?;
    let n = loaded.shape.first().copied().unwrap_or(0);
    if n != names.len() {
        let message = format!("has {} labels, but \"{name}\" has {n} samples", names.len());
        return Err(refuse(&label_name, message));
    }
    let samples = samples_of(loaded).map_err(|message| refuse(&name, message))?;
    let places =
        (0..n).map(|i| format!("{i} of \"{name}\" in {}", source.path().display())).collect();
    Ok(Some(Labelled { samples, labels: names, places }))
}

/// Numbers of classes; the first is called 0.
fn labels_of(loaded: &Loaded, first: i64) -> std::result::Result<Vec<String>, String> {
    let is_column = matches!(loaded.shape.as_slice(), [_] | [_, 1]);
    if !is_column {
        return Err(format!(
            "expected one label for each sample, found the shape {:?}",
            loaded.shape
        ));
    }
    let label = |value: f64| {
        let class = value - first as f64;
        if value.fract() != 0.0 || !(0.0..1e15).contains(&class) {
            return Err(format!(
                "expected whole numbers from first_label = {first} on, found {value}"
            ));
        }
        Ok((class as i64).to_string())
    };
    match &loaded.numbers {
        Numbers::Bytes(bytes) => bytes.iter().map(|&byte| label(byte.into())).collect(),
        Numbers::Floats(values) => values.iter().map(|&value| label(value.into())).collect(),
    }
}

fn samples_of(loaded: Loaded) -> std::result::Result<Samples, String> {
    let Loaded { shape, numbers } = loaded;
    if shape.contains(&0) {
        return Err(format!("has no numbers: its shape is {shape:?}"));
    }
    match numbers {
        Numbers::Bytes(pixels) => {
            let shape = match *shape.as_slice() {
                [_, height, width] => [1, height, width],
                [_, channels, height, width] => [channels, height, width],
                _ => {
                    return Err(format!(
                        "expected images [N, H, W] or [N, C, H, W], found {shape:?}"
                    ));
                }
            };
            Ok(Samples::Images { shape, pixels })
        }
        Numbers::Floats(values) => {
            if let Some(at) = values.iter().position(|value| !value.is_finite()) {
                return Err(format!("expected finite numbers, found {} at {at}", values[at]));
            }
            let (n, n_steps, shape) = match *shape.as_slice() {
                [n, n_steps, channels] => (n, n_steps, [channels, 1, 1]),
                [n, channels, height, width] => (n, 1, [channels, height, width]),
                [n, n_steps, channels, height, width] => (n, n_steps, [channels, height, width]),
                _ => {
                    return Err(format!(
                        "expected [N, T, C], [N, C, H, W] or [N, T, C, H, W], found {shape:?}"
                    ));
                }
            };
            Ok(Samples::Arrays { shape, n_steps, values, lengths: vec![n_steps; n] })
        }
    }
}

fn from_array(array: &Array) -> Result<Loaded> {
    let numbers = if array.kind() == Some(Kind::Uint) && array.is_bytes() {
        Numbers::Bytes(array.to_i64()?.into_iter().map(|value| value as u8).collect())
    } else {
        Numbers::Floats(array.to_f32()?)
    };
    Ok(Loaded { shape: array.shape().to_vec(), numbers })
}

fn tensors<'a>(path: &Path, bytes: &'a [u8]) -> Result<SafeTensors<'a>> {
    SafeTensors::deserialize(bytes).map_err(|error| Error::Format {
        file: path.to_owned(),
        offset: 0,
        expected: "a safetensors file".to_owned(),
        found: error.to_string(),
    })
}

fn from_safetensors(path: &Path, bytes: &[u8], name: &str) -> Result<Loaded> {
    let refuse =
        |message: String| Error::Array { file: path.to_owned(), array: name.to_owned(), message };
    let tensors = tensors(path, bytes)?;
    let tensor = tensors.tensor(name).map_err(|error| refuse(error.to_string()))?;
    let data = tensor.data();
    let (twos, _) = data.as_chunks::<2>();
    let (fours, _) = data.as_chunks::<4>();
    let (eights, _) = data.as_chunks::<8>();
    let numbers = match tensor.dtype() {
        Dtype::U8 => Numbers::Bytes(data.to_vec()),
        Dtype::BOOL => Numbers::Floats(data.iter().map(|&v| f32::from(v)).collect()),
        Dtype::I8 => Numbers::Floats(data.iter().map(|&v| f32::from(v as i8)).collect()),
        Dtype::I16 => Numbers::Floats(twos.iter().map(|&v| i16::from_le_bytes(v).into()).collect()),
        Dtype::U16 => Numbers::Floats(twos.iter().map(|&v| u16::from_le_bytes(v).into()).collect()),
        Dtype::F16 => {
            Numbers::Floats(twos.iter().map(|&v| half::f16::from_le_bytes(v).to_f32()).collect())
        }
        Dtype::BF16 => {
            Numbers::Floats(twos.iter().map(|&v| half::bf16::from_le_bytes(v).to_f32()).collect())
        }
        Dtype::I32 => {
            Numbers::Floats(fours.iter().map(|&v| i32::from_le_bytes(v) as f32).collect())
        }
        Dtype::U32 => {
            Numbers::Floats(fours.iter().map(|&v| u32::from_le_bytes(v) as f32).collect())
        }
        Dtype::F32 => Numbers::Floats(fours.iter().map(|&v| f32::from_le_bytes(v)).collect()),
        Dtype::I64 => {
            Numbers::Floats(eights.iter().map(|&v| i64::from_le_bytes(v) as f32).collect())
        }
        Dtype::U64 => {
            Numbers::Floats(eights.iter().map(|&v| u64::from_le_bytes(v) as f32).collect())
        }
        Dtype::F64 => {
            Numbers::Floats(eights.iter().map(|&v| f64::from_le_bytes(v) as f32).collect())
        }
        other => return Err(refuse(format!("numbers of the type {other:?} are not read"))),
    };
    Ok(Loaded { shape: tensor.shape().to_vec(), numbers })
}
