//! A sweep without the command line: 1-bit against 2-bit spikes on a part of the embedded subset of
//! Fashion-MNIST, in about a minute.
//!
//! ```text
//! cargo run --release -p mbspike-experiments --example compare_bits
//! ```
#![expect(clippy::print_stdout, reason = "an example prints")]

use std::path::Path;
use std::sync::atomic::AtomicBool;

use mbspike_experiments::observer::Observer;
use mbspike_experiments::run::{Options, run_sweep};
use mbspike_experiments::sweep::{Point, Sweep};
use mbspike_results::EpochRecord;

const CONFIG: &str = r#"
name = "compare-bits"
seed = 2025
[dataset]
name = "fashion-mnist-subset"
train_size = 2000
[encoder]
kind = "poisson"
time_steps = 5
[network]
arch = "28x28-8c5-2a-16c5-2a-10o"
[neuron]
bits = 1
[train]
epochs = 3
batch_size = 32
optimizer = { kind = "adam", lr = 2e-3 }
[sweep]
"neuron.bits" = [1, 2]
"#;

/// Prints a line after each epoch.
struct Printer;

impl Observer for Printer {
    fn on_epoch_end(&self, point: &Point, record: &EpochRecord) {
        println!("{} epoch {}: test accuracy {:.3}", point.id, record.epoch, record.test_accuracy);
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sweep = Sweep::parse(Path::new("compare_bits.toml"), CONFIG, &[])?;
    let options = Options { out: "runs".into(), resume: true, ..Options::default() };
    let report = run_sweep(&sweep, &options, &Printer, &AtomicBool::new(false))?;
    for summary in &report.summaries {
        println!("{} bits: {:?}", summary.bits, summary.final_test_accuracy);
    }
    println!("everything else is in {}", report.folder.display());
    Ok(())
}
