//! Files of named tensors: safetensors, and PyTorch's `.pth`.

use std::collections::HashMap;
use std::path::Path;

use candle_core::pickle::{PthTensors, TensorInfo, read_pth_tensor_info};
use candle_core::{DType, Device, Tensor};
use mbspike_lif::Network;

use super::error::Error;
use crate::config::Config;

/// A tensor and its name in a file.
pub type NamedTensor = (String, Tensor);

/// Keys under which training scripts save a `state_dict` beside other things: SpikingJelly's
/// `train_classify` (`model`), snnTorch's and PyTorch's examples.
const STATE_DICT_KEYS: [&str; 6] =
    ["model", "state_dict", "model_state_dict", "net", "network", "model_state"];

/// The tensors of a `.safetensors`, `.pth` or `.pt` file, in the order of layers: as they lie in a
/// `.pth` file, by name with numbers as numbers in a safetensors file, which has no order.
///
/// # Errors
/// If the file cannot be read or has no tensors.
pub fn read_tensors(path: &Path) -> Result<Vec<NamedTensor>, Error> {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or("");
    let tensors = match extension.to_ascii_lowercase().as_str() {
        "safetensors" => read_safetensors(path)?,
        "pth" | "pt" | "bin" => read_pth(path)?,
        _ => {
            return Err(fail(
                path,
                "the format is told by the file's name: .safetensors, .pth or .pt for weights, \
                 .nir for a graph",
            ));
        }
    };
    if tensors.is_empty() {
        let keys = STATE_DICT_KEYS.join("`, `");
        return Err(fail(
            path,
            format!(
                "no tensors in it; save a `state_dict`, by itself or under one of the keys `{keys}`"
            ),
        ));
    }
    Ok(tensors)
}

fn fail(path: &Path, message: impl Into<String>) -> Error {
    Error::File { path: path.to_owned(), message: message.into() }
}

fn read_safetensors(path: &Path) -> Result<Vec<NamedTensor>, Error> {
    let bytes = fs_err::read(path)?;
    let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu)
        .map_err(|error| fail(path, format!("not a whole safetensors file: {error}")))?;
    let mut tensors: Vec<NamedTensor> = tensors.into_iter().collect();
    tensors.sort_by_key(|(name, _)| natural(name));
    Ok(tensors)
}

/// A name as parts to sort by: numbers as numbers, and a layer's weight before its bias.
fn natural(name: &str) -> Vec<(u8, u64, String)> {
    let mut parts = vec![];
    let (stem, last) = name.rsplit_once('.').unwrap_or(("", name));
    let mut rest = stem;
    while let Some(first) = rest.chars().next() {
        let is_digit = first.is_ascii_digit();
        let end = rest.find(|c: char| c.is_ascii_digit() != is_digit).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        parts.push(match part.parse() {
            Ok(number) => (0, number, String::new()),
            Err(_) => (1, 0, part.to_owned()),
        });
        rest = after;
    }
    let rank = ["weight", "bias", "running_mean", "running_var"].iter().position(|n| *n == last);
    parts.push((0, rank.map_or(9, |rank| rank as u64), last.to_owned()));
    parts
}

fn read_pth(path: &Path) -> Result<Vec<NamedTensor>, Error> {
    let n_bytes = fs_err::metadata(path)?.len();
    let damaged = |error: candle_core::Error| {
        fail(
            path,
            format!(
                "not a file of `torch.save` that can be read ({error}); one with code or objects \
                 in it cannot, save its `state_dict()`"
            ),
        )
    };
    let keys = std::iter::once(None).chain(STATE_DICT_KEYS.iter().copied().map(Some));
    for key in keys {
        let mut infos = match read_pth_tensor_info(path, false, key) {
            Ok(infos) => infos,
            // The file has no such key.
            Err(_) if key.is_some() => continue,
            Err(error) => return Err(damaged(error)),
        };
        if infos.is_empty() {
            continue;
        }
        infos.sort_by_key(saved_at);
        let file = PthTensors::new(path, key).map_err(damaged)?;
        let mut tensors = vec![];
        for TensorInfo { name, dtype, layout, .. } in infos {
            let size = layout
                .dims()
                .iter()
                .try_fold(dtype.size_in_bytes() as u64, |n, &dim| n.checked_mul(dim as u64));
            // What torch saves is not compressed.
            if size.is_none_or(|size| size > n_bytes) {
                return Err(fail(
                    path,
                    format!("`{name}` is said to be {:?}, more than the file holds", layout.dims()),
                ));
            }
            if let Some(tensor) = file.get(&name).map_err(damaged)? {
                tensors.push((name, tensor));
            }
        }
        return Ok(tensors);
    }
    Ok(vec![])
}

/// When torch met a tensor: it numbers storages, `archive/data/0`, as it comes to them. The reader of
/// pickles gives the entries of a dictionary in another order.
fn saved_at(info: &TensorInfo) -> (u64, usize) {
    let number = info.path.rsplit('/').next().and_then(|number| number.parse().ok());
    (number.unwrap_or(u64::MAX), info.layout.start_offset())
}

/// Writes the weights of a network as a safetensors file, named as in a checkpoint, with the
/// `[network]` and `[neuron]` parts of its config as text in the metadata.
///
/// # Errors
/// If the file cannot be written.
pub fn write_tensors(path: &Path, config: &Config, network: &Network) -> Result<(), Error> {
    let all = network.parameters().iter().chain(network.buffers());
    let tensors: Vec<NamedTensor> = all
        .map(|parameter| (parameter.name.clone(), parameter.var.as_detached_tensor()))
        .map(|(name, tensor)| Ok((name, tensor.to_dtype(dtype(&tensor))?)))
        .collect::<Result<_, Error>>()?;
    let mut text = String::new();
    let table: toml::Table = config.to_toml()?.parse().unwrap_or_default();
    for part in ["network", "neuron"] {
        if let Some(value) = table.get(part) {
            let part: toml::Table = [(part.to_owned(), value.clone())].into_iter().collect();
            text += &toml::to_string(&part)?;
        }
    }
    let metadata =
        HashMap::from([("format".to_owned(), "pt".to_owned()), ("config".to_owned(), text)]);
    let bytes = safetensors::serialize(tensors, Some(metadata))
        .map_err(|error| fail(path, error.to_string()))?;
    mbspike_files::write(path, |file| file.write_all(&bytes))?;
    Ok(())
}

fn dtype(tensor: &Tensor) -> DType {
    if tensor.dtype() == DType::F64 { DType::F64 } else { DType::F32 }
}

#[cfg(test)]
mod tests {
    use super::natural;

    #[test]
    fn names_are_in_the_order_of_layers() {
        let mut names =
            ["10.weight", "2.bias", "2.weight", "fc1.weight", "conv1.weight", "2.running_var"];
        names.sort_by_key(|name| natural(name));
        let expected =
            ["2.weight", "2.bias", "2.running_var", "10.weight", "conv1.weight", "fc1.weight"];
        assert_eq!(names, expected);
    }
}
