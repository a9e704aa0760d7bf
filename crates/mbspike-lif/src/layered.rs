//! The network one layer at a time, as tensor operations under candle's autograd: the definition,
//! and the path of everything that is not fused.

use candle_core::{DType, Tensor};
use candle_nn::{BatchNorm, ModuleT};
use mbspike_core::activity::Counts;
use mbspike_core::conv::{MAX_KERNEL, conv2d};
use mbspike_core::lif::{LifOptions, lif_multi_step_with, lif_multi_step_with_v};
use mbspike_core::pool::{PoolKind, pool2d};
use mbspike_core::{bf16_gradient, bf16_operand, carried, carried_gradient};

use crate::dropout;
use crate::network::{Built, BuiltLif, Norm};
use crate::quantization::fake_quantized;
use crate::trace::{LayerTrace, Membranes};
use crate::{
    DeferredPrediction, DeferredStep, Error, Loss, Network, Precision, Quantization, Result,
    StepKey,
};

/// PyTorch's defaults of batch normalization.
pub(crate) const NORM_EPSILON: f64 = 1e-5;
const NORM_MOMENTUM: f64 = 0.1;

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

/// One step, `x_seq` `[1, B, C, H, W]`.
pub(crate) fn trace_step(
    network: &Network,
    x_seq: &Tensor,
    membranes: &mut Membranes,
) -> Result<Vec<LayerTrace>> {
    let mut traced = Traced { layers: vec![], membranes };
    forward(network, x_seq, None, Some(&mut traced))?;
    Ok(traced.layers)
}

/// What is kept of a step that is traced.
struct Traced<'a> {
    layers: Vec<LayerTrace>,
    membranes: &'a mut Membranes,
}

/// Class scores `[B, n_classes]` and activity; in training mode where a key is given. `traced`
/// hears what passed through each layer of weights and carries the membranes; without it they start
/// at zero, and average pooling is one operation with the neurons before it.
fn forward(
    network: &Network,
    x_seq: &Tensor,
    training: Option<StepKey>,
    mut traced: Option<&mut Traced<'_>>,
) -> Result<(Tensor, Counts)> {
    let config = &network.config;
    let dtype = if config.precision == Precision::F64 { DType::F64 } else { DType::F32 };
    let mut seq = carried(&x_seq.to_dtype(dtype)?.to_device(&network.device)?)?;
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
                    x = normalize(network, *norm, &carried_gradient(&x)?, training.is_some())?;
                }
                let mut dims = vec![n_steps, batch_size];
                dims.extend_from_slice(&x.dims()[1..]);
                let average_pool = match layers.peek() {
                    Some(Built::Pool { kind: PoolKind::Average, size }) if traced.is_none() => {
                        layers.next();
                        Some(*size)
                    }
                    _ => None,
                };
                position += 1;
                let counts = Some((&activity, position));
                let options = LifOptions { average_pool, counts, ..LifOptions::default() };
                let x = x.reshape(dims)?;
                seq = neurons(network, lif, &x, options, membrane(&mut traced, position))?.0;
                if let Some(traced) = &mut traced {
                    traced.layers.push(LayerTrace::new(&received, &before, &seq)?);
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
                let (s_seq, v_seq) =
                    neurons(network, lif, &x, options, membrane(&mut traced, position))?;
                logits = Some(config.readout.forward_tensor(v_seq.as_ref().unwrap_or(&s_seq))?);
                seq = s_seq;
                if let Some(traced) = &mut traced {
                    traced.layers.push(LayerTrace::new(&received, &before, &seq)?);
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

/// Where the membranes of the neurons at `position` are kept, and whether they are there already.
type Kept<'a> = (&'a mut Vec<Tensor>, usize);

fn membrane<'a>(traced: &'a mut Option<&mut Traced<'_>>, position: usize) -> Option<Kept<'a>> {
    traced.as_mut().map(|traced| (&mut traced.membranes.layers, position - 1))
}

/// Spikes, and membranes where the readout takes them. From `kept` the membranes of the step before
/// are taken, and those of the last step put there.
fn neurons(
    network: &Network,
    lif: &BuiltLif,
    x_seq: &Tensor,
    options: LifOptions<'_>,
    kept: Option<Kept<'_>>,
) -> Result<(Tensor, Option<Tensor>)> {
    let at_rest = || Tensor::zeros(&x_seq.dims()[1..], x_seq.dtype(), x_seq.device());
    if kept.is_none() && !lif.reads_membrane {
        let tau = lif.tau.map(|tau| network.parameters[tau].var.as_tensor());
        let options = LifOptions { tau, ..options };
        return Ok((lif_multi_step_with(x_seq, &at_rest()?, &lif.params, options)?, None));
    }
    let v_init = match &kept {
        Some((membranes, index)) if *index < membranes.len() => membranes[*index].clone(),
        _ => at_rest()?,
    };
    let (s_seq, v_seq) = lif_multi_step_with_v(x_seq, &v_init, &lif.params_now(network)?)?;
    if let Some((counts, position)) = options.counts {
        counts.add(position, &s_seq)?;
    }
    if let Some((membranes, index)) = kept {
        let last = v_seq.get(v_seq.dim(0)? - 1)?.detach();
        if index < membranes.len() {
            membranes[index] = last;
        } else {
            membranes.push(last);
        }
    }
    Ok((s_seq, lif.reads_membrane.then_some(v_seq)))
}

/// Batch normalization over steps and samples, `[T·B, C, H, W]`.
fn normalize(network: &Network, norm: Norm, x: &Tensor, training: bool) -> Result<Tensor> {
    let parameter = |i: usize| network.parameters[i].var.as_tensor().clone();
    let buffer = |i: usize| network.buffers[i].var.as_tensor().clone();
    let mean = buffer(norm.mean);
    let layer = BatchNorm::new_with_momentum(
        mean.elem_count(),
        mean,
        buffer(norm.variance),
        parameter(norm.weight),
        parameter(norm.bias),
        NORM_EPSILON,
        NORM_MOMENTUM,
    )?;
    let y = layer.forward_t(x, training)?;
    if training {
        // The statistics of a channel that nothing reaches any more decay to 0.
        for buffer in [norm.mean, norm.variance].map(|i| &network.buffers[i].var) {
            buffer.set(&carried(&buffer.as_detached_tensor())?)?;
        }
    }
    Ok(y)
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

/// A weight as an operand: quantized where the network is, and without subnormal numbers, which a
/// file of weights may have.
fn weight_operand(network: &Network, weight: usize) -> Result<Tensor> {
    let weight = carried(network.parameters[weight].var.as_tensor())?;
    match network.config.quantization {
        Quantization::None => operand(network.config.precision, &weight),
        Quantization::Int8 => operand(network.config.precision, &fake_quantized(&weight)?),
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
