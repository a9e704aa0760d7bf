//! Times each CUDA kernel on the Fashion-MNIST network's first layer (batch 128, T = 10) and prints
//! the bytes it must move in a second beside those of a copy on the same card:
//! `cargo run --release -p mbspike-core --features cuda --example cuda_bandwidth`; with `-- --json` a line
//! of JSON each.
#![expect(clippy::print_stdout, reason = "an example prints")]

use std::time::Instant;

use candle_core::{DType, Device, Tensor, Var};
use mbspike_core::activity::Counts;
use mbspike_core::cuda::FUSED_POOL_SIZES;
use mbspike_core::lif::{LifOptions, lif_multi_step_with};
use mbspike_core::poisson::encode_batch;
use mbspike_core::pool::{PoolKind, pool2d};
use mbspike_core::{DeviceName, LifParams, Result};

const DIMS: [usize; 5] = [10, 128, 8, 28, 28];
const N_CALLS: usize = 50;

/// Median time in seconds of a call, from eleven rounds of [`N_CALLS`].
fn time(device: &Device, mut call: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut rounds = Vec::new();
    for _ in 0..12 {
        device.synchronize()?;
        let started = Instant::now();
        for _ in 0..N_CALLS {
            call()?;
        }
        device.synchronize()?;
        rounds.push(started.elapsed().as_secs_f64() / N_CALLS as f64);
    }
    rounds.remove(0);
    rounds.sort_by(f64::total_cmp);
    Ok(rounds[rounds.len() / 2])
}

/// One measurement as a line: bytes that must move, and time in seconds; `copy` is the rate in bytes a
/// second of a copy.
fn print(kernel: &str, dtype: DType, bytes: f64, seconds: f64, copy: f64) {
    let (us, rate) = (1e6 * seconds, bytes / seconds);
    let (gb_per_s, share) = (rate / 1e9, 100.0 * rate / copy);
    let dtype = dtype.as_str();
    if std::env::args().any(|argument| argument == "--json") {
        println!(
            r#"{{"kernel": "{kernel}", "type": "{dtype}", "us": {us:.2}, "gb_per_s": {gb_per_s:.1}, "percent_of_copy": {share:.1}}}"#
        );
    } else {
        println!("{kernel} {dtype}: {us:.1} us, {gb_per_s:.0} GB/s, {share:.0} % of copy");
    }
}

fn main() -> Result<()> {
    let device = DeviceName::Cuda(0).open()?;
    let big = Tensor::zeros(1 << 28, DType::F32, &device)?;
    let big_bytes = 8.0 * f64::from(1 << 28);
    let seconds = time(&device, || Ok(big.copy().map(|_| ())?))?;
    let copy = big_bytes / seconds;
    print("copy", DType::F32, big_bytes, seconds, copy);
    drop(big);

    let params = LifParams::new(2);
    let counts = Counts::new(1, &device)?;
    for dtype in [DType::F32, DType::BF16] {
        let x = Tensor::rand(-0.5_f32, 1.5, &DIMS, &device)?.to_dtype(dtype)?;
        let v = Tensor::zeros(&DIMS[1..], dtype, &device)?;
        let n_bytes = (x.elem_count() * dtype.size_in_bytes()) as f64;
        let report = |kernel: &str, arrays: f64, seconds: f64| {
            print(kernel, dtype, arrays * n_bytes, seconds, copy);
        };
        let forward = |average_pool| {
            let options =
                LifOptions { average_pool, counts: Some((&counts, 0)), ..LifOptions::default() };
            time(&device, || lif_multi_step_with(&x, &v, &params, options).map(|_| ()))
        };
        report("lif_fwd", 2.1, forward(None)?);
        for size in FUSED_POOL_SIZES {
            let pooled = (DIMS[3] / size * (DIMS[4] / size)) as f64 / (DIMS[3] * DIMS[4]) as f64;
            report(&format!("lif_pool{size}_fwd"), 1.1 + pooled, forward(Some(size))?);
        }
        let var = Var::from_tensor(&x)?;
        let s_seq = lif_multi_step_with(&var, &v, &params, LifOptions::default())?;
        // With the sum's backward pass, which fills one array.
        report("lif_bwd", 4.2, time(&device, || Ok(s_seq.backward().map(|_| ())?))?);
        let images = x.flatten(0, 1)?;
        let var = Var::from_tensor(&images)?;
        for (name, kind) in [("average", PoolKind::Average), ("max", PoolKind::Max)] {
            let forward = time(&device, || pool2d(&images, kind, 2).map(|_| ()))?;
            report(&format!("pool_fwd {name}"), 1.25, forward);
            let pooled = pool2d(&var, kind, 2)?;
            // As above, of a quarter; a maximum is looked for in the input again.
            let arrays = if kind == PoolKind::Max { 2.5 } else { 1.5 };
            let backward = time(&device, || Ok(pooled.backward().map(|_| ())?))?;
            report(&format!("pool_bwd {name}"), arrays, backward);
        }
        report("count", 1.0, time(&device, || counts.add(0, &x))?);
    }
    let p = Tensor::rand(0.0_f32, 1.0, &[128, 784], &device)?;
    let samples: Vec<u32> = (0..128).collect();
    let seconds = time(&device, || encode_batch(&p, 10, 1, 0, &samples).map(|_| ()))?;
    print("poisson", DType::F32, 4.0 * (11 * p.elem_count()) as f64, seconds, copy);
    Ok(())
}
