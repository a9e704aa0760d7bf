//! Networks of Loihi 2's numbers as files: lava-dl's `.net`, and tensors with a Lava process model.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use hdf5_pure::{FileBuilder, GroupBuilder};
use mbspike_lif::Readout;
use mbspike_lif::integer::loihi::{
    DECAY_UNITY, LoihiFire, LoihiLayer, LoihiNetwork, LoihiWeights, STATE_SHIFT,
};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::Error;

/// The process model beside the tensors of a network with graded spikes.
pub const MODEL_FILE: &str = "lava_network.py";

/// What it is.
const MODEL: &str = include_str!("lava_network.py");

/// What `.net` files take for the exponent of biases.
const NET_BIAS_EXP: u32 = 6;

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LavaFile {
    /// lava-dl's `.net`, which `lava.lib.dl.netx` reads.
    Net,
    /// Tensors, and the process model in [`MODEL_FILE`] beside them.
    Model(PathBuf),
}

/// Writes a network to `file`: as `.net` where its name ends so and that format can hold it, else as
/// safetensors with the process model that runs it.
///
/// # Errors
/// If the name's end is neither, `.net` cannot hold a layer (graded spikes, soft resets, membranes that
/// are read), or a file cannot be written.
pub fn write_lava(file: &Path, network: &LoihiNetwork) -> Result<LavaFile, Error> {
    let fail = |message: String| Err(Error::File { path: file.to_owned(), message });
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("net") => {
            if let Some(reason) = why_not_net(network) {
                return fail(format!("{reason}; write tensors and a process model (.safetensors)"));
            }
            let bytes = net_bytes(network).map_err(|error| Error::File {
                path: file.to_owned(),
                message: error.to_string(),
            })?;
            mbspike_files::write(file, |out| out.write_all(&bytes))?;
            Ok(LavaFile::Net)
        }
        Some("safetensors") => {
            let bytes = tensor_bytes(network)
                .map_err(|error| Error::File { path: file.to_owned(), message: error })?;
            mbspike_files::write(file, |out| out.write_all(&bytes))?;
            let model = file.with_file_name(MODEL_FILE);
            mbspike_files::write(&model, |out| out.write_all(MODEL.as_bytes()))?;
            Ok(LavaFile::Model(model))
        }
        _ => fail("the format is told by the file's name: .net or .safetensors".into()),
    }
}

/// Why a network is none that `.net` can hold; `None` if it is.
pub fn why_not_net(network: &LoihiNetwork) -> Option<String> {
    let config = network.config();
    if config.readout != Readout::MeanSpike {
        return Some("`.net` files say nothing of membranes that are read".into());
    }
    config.layers.iter().find_map(|layer| {
        let name = &layer.name;
        match layer.cell.fire {
            LoihiFire::Binary { .. } if layer.cell.bias_exp == NET_BIAS_EXP => None,
            LoihiFire::Binary { .. } => Some(format!("the biases of `{name}` are too large")),
            _ => Some(format!(
                "`{name}` has graded spikes or a soft reset, which `.net` files do not have (1 bit and a \
                 hard reset to 0 they do)"
            )),
        }
    })
}

/// As lava-dl's `export_hdf5` writes, for what its `netx` reads.
fn net_bytes(network: &LoihiNetwork) -> Result<Vec<u8>, hdf5_pure::Error> {
    let mut file = FileBuilder::new();
    let mut layers = file.create_group("layer");
    let config = network.config();
    let mut index = 0;
    let mut add = |layers: &mut GroupBuilder,
                   write: &dyn Fn(&mut GroupBuilder) -> Result<(), hdf5_pure::Error>|
     -> Result<(), hdf5_pure::Error> {
        let mut group = layers.create_group(&index.to_string());
        write(&mut group)?;
        layers.add_group(group.finish());
        index += 1;
        Ok(())
    };
    let input = config.layers[0].input;
    add(&mut layers, &|group| {
        kind(group, "input")?;
        integers(group, "shape", &input.map(|n| n as i64), &[3]);
        Ok(())
    })?;
    let mut map = input;
    for (layer, numbers) in config.layers.iter().zip(network.weights()) {
        if layer.is_dense && (map[1], map[2]) != (1, 1) {
            add(&mut layers, &|group| {
                kind(group, "flatten")?;
                let n: usize = map.iter().product();
                integers(group, "shape", &[n as i64], &[1]);
                Ok(())
            })?;
        }
        add(&mut layers, &|group| weight_layer(group, layer, numbers))?;
        map = layer.output;
    }
    file.add_group(layers.finish());
    file.finish()
}

/// A name, one of ten bytes in an array of one.
fn kind(group: &mut GroupBuilder, name: &str) -> Result<(), hdf5_pure::Error> {
    group.create_dataset("type").with_ascii_strings_sized(&[name], 10)?.with_shape(&[1]);
    Ok(())
}

fn integers(group: &mut GroupBuilder, name: &str, values: &[i64], shape: &[u64]) {
    group.create_dataset(name).with_i64_data(values).with_shape(shape);
}

fn weight_layer(
    group: &mut GroupBuilder,
    layer: &LoihiLayer,
    numbers: &LoihiWeights,
) -> Result<(), hdf5_pure::Error> {
    let whole = |n: usize| n as i64;
    let pair = |n: usize| [n as i64; 2];
    let weight: Vec<i64> = numbers.weight.iter().map(|w| i64::from(*w)).collect();
    let [n_out, n_in] = [layer.output[0], layer.input[0]];
    let [height, width] = layer.kernel;
    if layer.is_dense {
        kind(group, "dense")?;
        integers(group, "shape", &[whole(n_out)], &[1]);
        integers(group, "inFeatures", &[whole(layer.fan_in())], &[1]);
        integers(group, "outFeatures", &[whole(n_out)], &[1]);
        integers(group, "weight", &weight, &[n_out as u64, layer.fan_in() as u64]);
    } else {
        kind(group, "conv")?;
        integers(group, "shape", &layer.output.map(whole), &[3]);
        integers(group, "inChannels", &[whole(n_in)], &[1]);
        integers(group, "outChannels", &[whole(n_out)], &[1]);
        integers(group, "kernelSize", &[whole(height), whole(width)], &[2]);
        integers(group, "stride", &pair(layer.stride), &[2]);
        integers(group, "padding", &pair(layer.padding), &[2]);
        integers(group, "dilation", &pair(1), &[2]);
        integers(group, "groups", &[1], &[]);
        let shape = [n_out, n_in, height, width].map(|n| n as u64);
        integers(group, "weight", &weight, &shape);
    }
    if numbers.bias.iter().any(|bias| *bias != 0) {
        let bias: Vec<i64> = numbers.bias.iter().map(|bias| i64::from(*bias)).collect();
        // One a neuron of a dense layer; `netx` gives a convolution's to its maps.
        integers(group, "bias", &bias, &[n_out as u64]);
    }
    let mut neuron = group.create_group("neuron");
    kind(&mut neuron, "CUBA")?;
    let vth = match layer.cell.fire {
        LoihiFire::Binary { vth } => vth,
        LoihiFire::Staircase { .. } | LoihiFire::Membrane {} => 0,
    };
    for (name, value) in [
        // `netx` takes one off: 4096 leaves nothing of the current.
        ("iDecay", i64::from((layer.cell.du + 1).min(DECAY_UNITY))),
        ("vDecay", layer.cell.dv.into()),
        ("vThMant", vth.into()),
        ("refDelay", 1),
        ("gradedSpike", 0),
    ] {
        integers(&mut neuron, name, &[value], &[]);
    }
    group.add_group(neuron.finish());
    Ok(())
}

/// `conv1.weight` (I16), `conv1.bias` (I32), …, and the config as JSON in the metadata.
fn tensor_bytes(network: &LoihiNetwork) -> Result<Vec<u8>, String> {
    let mut entries: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = vec![];
    for (layer, numbers) in network.config().layers.iter().zip(network.weights()) {
        let [height, width] = layer.kernel;
        let shape = vec![layer.output[0], layer.input[0], height, width];
        let weight = numbers.weight.iter().flat_map(|w| w.to_le_bytes()).collect();
        let bias = numbers.bias.iter().flat_map(|b| b.to_le_bytes()).collect();
        let n_out = vec![layer.output[0]];
        entries.push((format!("{}.weight", layer.name), Dtype::I16, shape, weight));
        entries.push((format!("{}.bias", layer.name), Dtype::I32, n_out, bias));
    }
    let views = entries
        .iter()
        .map(|(name, dtype, shape, bytes)| {
            Ok((name, TensorView::new(*dtype, shape.clone(), bytes)?))
        })
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
        .map_err(|error| error.to_string())?;
    let config = serde_json::to_string(network.config()).map_err(|error| error.to_string())?;
    let metadata = HashMap::from([
        ("format".to_owned(), "mbspike-loihi2".to_owned()),
        ("network".to_owned(), config),
        ("state_shift".to_owned(), STATE_SHIFT.to_string()),
    ]);
    safetensors::serialize(views, Some(metadata)).map_err(|error| error.to_string())
}
