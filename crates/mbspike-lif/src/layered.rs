//! The network one layer at a time, as tensor operations under candle's autograd: the definition,
//! and the path of everything that is not fused.

use candle_core::{DType, Tensor};
use candle_nn::{BatchNorm, ModuleT};
use mbspike_core::activity::Counts;
use mbspike_core::conv::{MAX_KERNEL, conv2d};
use mbspike_core::lif::{LifOptions, lif_multi_step_with, lif_multi_step_with_v};
use mbspike_core::pool::{PoolKind, pool2d};
use mbspike_core::{bf16_gradient, bf16_operand};

use crate::dropout;
use crate::network::{Built, BuiltLif, Norm};
use crate::quantization::fake_quantized;
use crate::trace::{LayerTrace, Trace};
use crate::{
    DeferredPrediction, DeferredStep, Error, Loss, Network, Precision, Quantization, Result,
    StepKey,
};

/// PyTorch's defaults of batch normalization.
pub(crate) const NORM_EPSILON: f64 = 1e-5;
pub(crate) const NORM_MOMENTUM: f64 = 0.1;

pub(crate) fn train_step(
    network: &Network,
    x_seq: &Tensor,
    targets: &Tensor,
    loss: Loss,
    key: StepKey,
) -> Result<DeferredStep> {
    let (logits, activity) = forward(network, x_seq, Some(key), None)?;
    let targets = targets.to_device(&network.device)?.to_dtype(logits.dtype())?;
    let loss = loss.forward_tensor(&logits, &targets)?;
    let mut gradients = loss.backward()?;
    let gradients = network
        .parameters
        .iter()
        .map(|p| gradients.remove(&p.var).ok_or_else(|| Error::NoGradient { name: p.name.clone() }))
        .collect::<Result<_>>()?;
    Ok(DeferredStep { loss: loss.detach(), logits: logits.detach(), gradients, activity })
}

pub(crate) fn predict(network: &Network, x_seq: &Tensor) -> Result<DeferredPrediction> {
    let (logits, activity) = forward(network, x_seq, None, None)?;
    Ok(DeferredPrediction { logits: logits.detach(), activity })
}

pub(crate) fn trace(network: &Network, x_seq: &Tensor) -> Result<Trace> {
    let mut layers = Vec::new();
    let (logits, _) = forward(network, x_seq, None, Some(&mut |layer| layers.push(layer)))?;
    Ok(Trace { logits: logits.detach(), layers })
}

/// Class scores `[B, n_classes]` and activity; in training mode where a key is given. `on_layer`
/// hears what passed through each layer of weights; without it, average pooling is one operation
/// with the neurons before it.
fn forward(
    network: &Network,
    x_seq: &Tensor,
    training: Option<StepKey>,
    mut on_layer: Option<&mut dyn FnMut(LayerTrace)>,
) -> Result<(Tensor, Counts)> {
    let config = &network.config;
    let dtype = if config.precision == Precision::F64 { DType::F64 } else { DType::F32 };
    let mut seq = x_seq.to_dtype(dtype)?.to_device(&network.device)?;
    let activity = Counts::new(network.positions().len(), &network.device)?;
    activity.add(0, &seq)?;
    let mut position = 0;
    let mut logits = None;
    // The spikes that the next layer of weights receives, as they were sent.
    let mut received = seq.clone();
    let mut layers = network.layers.iter().peekable();
    while let Some(layer) = layers.next() {
        let before = seq.clone();
        match layer {
            Built::Conv { weight, bias, padding, norm, lif } => {
                let (n_steps, batch_size) = (seq.dim(0)?, seq.dim(1)?);
                let x = operand(config.precision, &seq.flatten(0, 1)?)?;
                let weight = weight_operand(network, *weight)?;
                let x = if weight.dim(2)? <= MAX_KERNEL {
                    conv2d(&x, &weight, *padding)?
                } else {
                    x.conv2d(&weight, *padding, 1, 1, 1)?
                };
                let mut x = rounded_gradient(config.precision, &x)?;
                if let Some(bias) = bias {
                    let bias = &network.parameters[*bias].var;
                    x = x.broadcast_add(&bias.reshape((1, bias.elem_count(), 1, 1))?)?;
                }
                if let Some(norm) = norm {
                    x = normalize(network, *norm, &x, training.is_some())?;
                }
                let mut dims = vec![n_steps, batch_size];
                dims.extend_from_slice(&x.dims()[1..]);
                let average_pool = match layers.peek() {
                    Some(Built::Pool { kind: PoolKind::Average, size }) if on_layer.is_none() => {
                        layers.next();
                        Some(*size)
                    }
                    _ => None,
                };
                position += 1;
                let counts = Some((&activity, position));
                let options = LifOptions { average_pool, counts, ..LifOptions::default() };
                seq = neurons(network, lif, &x.reshape(dims)?, options)?.0;
                if let Some(on_layer) = &mut on_layer {
                    on_layer(LayerTrace::new(&received, &before, &seq));
                }
                received = seq.clone();
            }
            Built::Dense { weight, bias, lif } => {
                let (n_steps, batch_size) = (seq.dim(0)?, seq.dim(1)?);
                let x = operand(config.precision, &seq.flatten(0, 1)?.flatten_from(1)?)?;
                let weight = weight_operand(network, *weight)?;
                let mut x = rounded_gradient(config.precision, &x.matmul(&weight.t()?)?)?;
                if let Some(bias) = bias {
                    x = x.broadcast_add(&network.parameters[*bias].var)?;
                }
                let x = x.reshape((n_steps, batch_size, ()))?;
                position += 1;
                let options =
                    LifOptions { counts: Some((&activity, position)), ..LifOptions::default() };
                let (s_seq, v_seq) = neurons(network, lif, &x, options)?;
                logits = Some(config.readout.forward_tensor(v_seq.as_ref().unwrap_or(&s_seq))?);
                seq = s_seq;
                if let Some(on_layer) = &mut on_layer {
                    on_layer(LayerTrace::new(&received, &before, &seq));
                }
                received = seq.clone();
            }
            Built::Pool { kind, size } => {
                let (n_steps, batch_size) = (seq.dim(0)?, seq.dim(1)?);
                let x = pool2d(&seq.flatten(0, 1)?, *kind, *size)?;
                let (_, c, h, w) = x.dims4()?;
                seq = x.reshape((n_steps, batch_size, c, h, w))?;
            }
            Built::Dropout { p, index } => {
                if let Some(key) = training {
                    seq = drop(&seq, *p, *index, key)?;
                }
            }
            Built::Vote { group } => {
                let scores = logits.take().expect("the notation has vote after the output only");
                let n_classes = scores.dim(1)? / group;
                logits = Some(scores.reshape((scores.dim(0)?, n_classes, *group))?.mean(2)?);
            }
        }
    }
    Ok((logits.expect("the notation has an output layer"), activity))
}

/// Spikes, and membranes where the readout takes them.
fn neurons(
    network: &Network,
    lif: &BuiltLif,
    x_seq: &Tensor,
    options: LifOptions<'_>,
) -> Result<(Tensor, Option<Tensor>)> {
    let v_init = Tensor::zeros(&x_seq.dims()[1..], x_seq.dtype(), x_seq.device())?;
    if lif.reads_membrane {
        let (s_seq, v_seq) = lif_multi_step_with_v(x_seq, &v_init, &lif.params)?;
        if let Some((counts, position)) = options.counts {
            counts.add(position, &s_seq)?;
        }
        return Ok((s_seq, Some(v_seq)));
    }
    let tau = lif.tau.map(|tau| network.parameters[tau].var.as_tensor());
    Ok((lif_multi_step_with(x_seq, &v_init, &lif.params, LifOptions { tau, ..options })?, None))
}

/// Batch normalization over steps and samples, `[T·B, C, H, W]`.
fn normalize(network: &Network, norm: Norm, x: &Tensor, training: bool) -> Result<Tensor> {
    let parameter = |i: usize| network.parameters[i].var.as_tensor().clone();
    let buffer = |i: usize| network.buffers[i].var.as_tensor().clone();
    let mean = buffer(norm.mean);
    let norm = BatchNorm::new_with_momentum(
        mean.elem_count(),
        mean,
        buffer(norm.variance),
        parameter(norm.weight),
        parameter(norm.bias),
        NORM_EPSILON,
        NORM_MOMENTUM,
    )?;
    Ok(norm.forward_t(x, training)?)
}

/// Multiplies by a mask that is the same at all steps.
fn drop(seq: &Tensor, p: f64, index: usize, key: StepKey) -> Result<Tensor> {
    let batch_size = seq.dim(1)?;
    let n: usize = seq.dims()[2..].iter().product();
    let mut mask = vec![0.0_f32; batch_size * n];
    for (sample, mask) in mask.chunks_exact_mut(n).enumerate() {
        dropout::fill_mask(mask, p, index, sample, key);
    }
    let mut dims = seq.dims().to_vec();
    dims[0] = 1;
    let mask = Tensor::from_vec(mask, dims, seq.device())?.to_dtype(seq.dtype())?;
    Ok(seq.broadcast_mul(&mask)?)
}

/// A weight as an operand: quantized where the network is.
fn weight_operand(network: &Network, weight: usize) -> Result<Tensor> {
    let weight = network.parameters[weight].var.as_tensor();
    match network.config.quantization {
        Quantization::None => operand(network.config.precision, weight),
        Quantization::Int8 => operand(network.config.precision, &fake_quantized(weight)?),
    }
}

/// An operand of a product: rounded to bf16 in that precision, with the gradient passing
/// unchanged.
fn operand(precision: Precision, x: &Tensor) -> Result<Tensor> {
    Ok(match precision {
        Precision::Bf16 => bf16_operand(x)?,
        Precision::F32 | Precision::F64 => x.clone(),
    })
}

/// The result of a product, whose gradient is an operand of the backward products.
fn rounded_gradient(precision: Precision, y: &Tensor) -> Result<Tensor> {
    Ok(match precision {
        Precision::Bf16 => bf16_gradient(y)?,
        Precision::F32 | Precision::F64 => y.clone(),
    })
}
