//! A residual spiking network by hand, of candle's layers and neurons of this crate, trained with
//! candle's own `AdamW` on the embedded images, saved and loaded.
//!
//! `cargo run --release -p mbspike-lif --example own_network`
#![expect(clippy::print_stdout, reason = "an example shows its result")]

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{
    AdamW, BatchNorm, Conv2d, Conv2dConfig, Linear, Module, ModuleT, Optimizer, VarBuilder, VarMap,
    batch_norm, conv2d_no_bias, linear_no_bias,
};
use mbspike_data::catalog::DatasetName;
use mbspike_data::{AugmentConfig, Batch, DatasetConfig, EncoderConfig, Loader, LoaderConfig};
use mbspike_lif::PoolKind;
use mbspike_lif::layer::{Lif, NeuronParams, OverTime, OverTimeT, Pool, objective, readout};

/// A convolution, batch normalization over steps and samples, 2-bit neurons.
struct Block(OverTime<Conv2d>, OverTimeT<BatchNorm>, Lif);

impl Block {
    fn new(from: usize, to: usize, vb: VarBuilder<'_>) -> Result<Self> {
        let config = Conv2dConfig { padding: 1, ..Conv2dConfig::default() };
        let conv = conv2d_no_bias(from, to, 3, config, vb.pp("conv"))?;
        let norm = batch_norm(to, 1e-5, vb.pp("bn"))?;
        Ok(Self(OverTime(conv), OverTimeT(norm), Lif::new(NeuronParams::new(2))?))
    }
}

impl ModuleT for Block {
    fn forward_t(&self, x_seq: &Tensor, train: bool) -> Result<Tensor> {
        self.2.forward(&self.1.forward_t(&self.0.forward(x_seq)?, train)?)
    }
}

struct Net {
    stem: Block,
    residual: Block,
    pool: Pool,
    fc: OverTime<Linear>,
    output: Lif,
}

impl Net {
    fn new(vb: VarBuilder<'_>) -> Result<Self> {
        Ok(Self {
            stem: Block::new(1, 8, vb.pp("stem"))?,
            residual: Block::new(8, 8, vb.pp("residual"))?,
            pool: Pool { kind: PoolKind::Average, size: 4 },
            fc: OverTime(linear_no_bias(8 * 7 * 7, 10, vb.pp("fc"))?),
            output: Lif::new(NeuronParams::new(2))?,
        })
    }
}

impl ModuleT for Net {
    /// Scores `[B, 10]` of images over time `[T, B, 1, 28, 28]`.
    fn forward_t(&self, x_seq: &Tensor, train: bool) -> Result<Tensor> {
        let x = self.stem.forward_t(x_seq, train)?;
        let x = (self.residual.forward_t(&x, train)? + x)?; // spikes add, as in SEW-ResNet
        let x = self.pool.forward(&x)?.flatten_from(2)?;
        readout::mean_over_time(&self.output.forward(&self.fc.forward(&x)?)?)
    }
}

fn tensors(batch: Batch) -> Result<(Tensor, Tensor)> {
    let targets = Tensor::from_vec(batch.targets, (batch.dims[1], 10), &Device::Cpu)?;
    Ok((Tensor::from_vec(batch.x_seq, &batch.dims[..], &Device::Cpu)?, targets))
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let data = mbspike_data::load(&DatasetConfig::new(DatasetName::FashionMnistSubset))?;
    let config = LoaderConfig {
        encoder: EncoderConfig::poisson(4),
        augment: AugmentConfig::default(),
        batch_size: 64,
        n_classes: 10,
        seed: 1,
        shuffle: true,
    };
    let vars = VarMap::new();
    let net = Net::new(VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu))?;
    let mut optimizer = AdamW::new_lr(vars.all_vars(), 2e-3)?;
    for (step, batch) in Loader::new(data.train, config.clone())?.epoch(0, 0).take(40).enumerate() {
        let (x_seq, targets) = tensors(batch?)?;
        let loss = objective::cross_entropy(&net.forward_t(&x_seq, true)?, &targets)?;
        optimizer.backward_step(&loss)?;
        if step % 10 == 9 {
            println!("step {:2}: loss {:.3}", step + 1, loss.to_scalar::<f32>()?);
        }
    }

    let path = std::env::temp_dir().join("mbspike-own-network.safetensors");
    vars.save(&path)?;
    let mut loaded = VarMap::new();
    let again = Net::new(VarBuilder::from_varmap(&loaded, DType::F32, &Device::Cpu))?;
    loaded.load(&path)?;
    std::fs::remove_file(&path)?;
    let mut batches = Loader::new(data.test, config)?.epoch(0, 0);
    let batch = batches.next().ok_or("there are no test images")??;
    let labels: Vec<u32> = batch.labels.iter().map(|l| u32::from(*l)).collect();
    let (x_seq, _) = tensors(batch)?;
    let scores = again.forward_t(&x_seq, false)?;
    let saved = net.forward_t(&x_seq, false)?;
    assert_eq!(scores.to_vec2::<f32>()?, saved.to_vec2::<f32>()?);
    let n_right =
        scores.argmax(1)?.to_vec1::<u32>()?.into_iter().zip(&labels).filter(|(a, l)| a == *l);
    println!("loaded: {} of {} test images right", n_right.count(), labels.len());
    Ok(())
}
