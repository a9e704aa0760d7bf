//! Encodes one batch of Fashion-MNIST as Poisson spike trains and says how fast and how active.
//!
//! `cargo run --release -p mbspike-data --example encode_fashion_mnist`

use std::time::Instant;

use mbspike_data::catalog::DatasetName;
use mbspike_data::{AugmentConfig, DatasetConfig, EncoderConfig, Loader, LoaderConfig};

#[expect(clippy::print_stdout, reason = "an example's output")]
fn main() -> mbspike_data::Result<()> {
    let dataset = mbspike_data::load(&DatasetConfig::new(DatasetName::FashionMnistSubset))?;
    let n_classes = dataset.n_classes();
    let loader = Loader::new(
        dataset.train,
        LoaderConfig {
            encoder: EncoderConfig::poisson(10),
            augment: AugmentConfig::default(),
            batch_size: 128,
            n_classes,
            seed: 2025,
            shuffle: true,
        },
    )?;

    let start = Instant::now();
    let (mut n_batches, mut n_values, mut n_spikes) = (0, 0, 0);
    let mut batches = loader.epoch(0, 0);
    while let Some(batch) = batches.next() {
        let batch = batch?;
        n_batches += 1;
        n_values += batch.x_seq.len();
        n_spikes += batch.x_seq.iter().filter(|&&s| s > 0.0).count();
        if batch.index == 0 {
            println!("x_seq [T, B, C, H, W] = {:?}", batch.dims);
        }
        batches.recycle(batch);
    }
    let per_batch = start.elapsed() / n_batches;
    println!("{n_batches} batches, {per_batch:?} each");
    println!("{:.1} % of the inputs are spikes", 100.0 * n_spikes as f64 / n_values as f64);
    Ok(())
}
