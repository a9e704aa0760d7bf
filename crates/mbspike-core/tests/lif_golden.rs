//! Reference vectors written by SpikingJelly 2.0's `LIFNode` under PyTorch autograd.
//!
//! Runs every `.safetensors` file of kind `lif` in the folder named by `MBSPIKE_GOLDEN_DIR`
//! (default: this crate's own copies), so that anyone can add files.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]

use std::path::{Path, PathBuf};

use mbspike_core::lif::reference::{lif_multi_step_backward_reference, lif_multi_step_reference};
use mbspike_core::lif::{LifForward, LifGrad, lif_backward, lif_forward};
use mbspike_core::{Decay, LifParams, Reset, Shift, Surrogate};
use safetensors::SafeTensors;

fn golden_files() -> Vec<PathBuf> {
    let folder = std::env::var_os("MBSPIKE_GOLDEN_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden"), PathBuf::from);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "safetensors"))
        .collect();
    files.sort();
    files
}

struct Golden {
    name: String,
    params: LifParams,
    bytes: Vec<u8>,
}

impl Golden {
    /// `None` if the file is of another kind.
    fn read(path: &Path) -> Option<Self> {
        let name = path.display().to_string();
        let bytes = std::fs::read(path).unwrap();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let metadata = header.metadata().clone().unwrap();
        if metadata["kind"] != "lif" {
            return None;
        }
        let number = |key: &str| metadata[key].parse::<f64>().unwrap();
        let reset = match metadata["reset"].as_str() {
            "soft" => Reset::Soft {},
            "hard" => Reset::Hard { v_reset: number("v_reset") },
            "none" => Reset::None {},
            other => panic!("{name}: reset {other}"),
        };
        let alpha = metadata.get("alpha").map_or(4.0, |a| a.parse().unwrap());
        let surrogate = match metadata.get("surrogate").map_or("sigmoid", String::as_str) {
            "sigmoid" => Surrogate::Sigmoid { alpha },
            "atan" => Surrogate::Atan { alpha },
            other => panic!("{name}: surrogate {other}"),
        };
        let params = LifParams {
            bits: metadata["bits"].parse().unwrap(),
            decay: Decay::Tau(number("tau")),
            decay_input: metadata["decay_input"] == "true",
            v_threshold: number("v_threshold"),
            reset,
            detach_reset: metadata["detach_reset"] == "true",
            surrogate,
            shift: Shift::By(number("shift")),
        };
        Some(Self { name, params, bytes })
    }

    fn tensor(&self, name: &str) -> Vec<f32> {
        let tensors = SafeTensors::deserialize(&self.bytes).unwrap();
        let view = tensors.tensor(name).unwrap_or_else(|e| panic!("{}: {name}: {e}", self.name));
        view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
    }
}

/// Absolute tolerance; NaN fails.
fn assert_close(what: &str, got: &[f32], want: &[f32], tolerance: f32) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= tolerance, "{what}[{i}] = {g}, not {w}");
    }
}

/// Tolerance relative to the largest element of `want`.
fn assert_close_to_largest(what: &str, got: &[f32], want: &[f32], relative: f32) {
    let largest = want.iter().fold(0.0_f32, |m, w| m.max(w.abs()));
    assert_close(what, got, want, relative * largest);
}

#[test]
fn fused_kernel_agrees_with_every_golden_file() {
    let mut n_files = 0;
    for golden in golden_files().iter().filter_map(|path| Golden::read(path)) {
        n_files += 1;
        let name = &golden.name;
        let (x_seq, v_init) = (golden.tensor("x_seq"), golden.tensor("v_init"));
        let mut s_seq = vec![f32::NAN; x_seq.len()];
        let mut v_seq = s_seq.clone();
        let mut h_seq = s_seq.clone();
        let outputs =
            LifForward { s_seq: &mut s_seq, v_seq: Some(&mut v_seq), h_seq: Some(&mut h_seq) };
        lif_forward(outputs, &x_seq, &v_init, &golden.params).unwrap();
        assert_eq!(s_seq, golden.tensor("s_seq"), "{name}: s_seq");
        assert_close(&format!("{name}: v_seq"), &v_seq, &golden.tensor("v_seq"), 1e-5);
        assert_close(&format!("{name}: h_seq"), &h_seq, &golden.tensor("h_seq"), 1e-5);

        let mut grad_x_seq = vec![f32::NAN; x_seq.len()];
        let mut grad_v_init = vec![f32::NAN; v_init.len()];
        let outputs =
            LifGrad { grad_x_seq: &mut grad_x_seq, grad_v_init: &mut grad_v_init, grad_tau: None };
        let grad_s_seq = golden.tensor("grad_s_seq");
        lif_backward(outputs, &x_seq, &v_init, &grad_s_seq, None, &golden.params).unwrap();
        let want = golden.tensor("grad_x_seq");
        assert_close_to_largest(&format!("{name}: grad_x_seq"), &grad_x_seq, &want, 1e-4);
        let want = golden.tensor("grad_v_init");
        assert_close_to_largest(&format!("{name}: grad_v_init"), &grad_v_init, &want, 1e-4);
    }
    assert!(n_files > 0, "no golden file of kind lif");
}

#[test]
fn reference_agrees_with_every_golden_file() {
    let double = |values: Vec<f32>| values.into_iter().map(f64::from).collect::<Vec<_>>();
    let single = |values: &[f64]| values.iter().map(|v| *v as f32).collect::<Vec<_>>();
    for golden in golden_files().iter().filter_map(|path| Golden::read(path)) {
        let name = &golden.name;
        let (x_seq, v_init) = (double(golden.tensor("x_seq")), double(golden.tensor("v_init")));
        let trace = lif_multi_step_reference(&x_seq, &v_init, &golden.params, None);
        assert_eq!(single(&trace.s_seq), golden.tensor("s_seq"), "{name}: s_seq");
        let grads = lif_multi_step_backward_reference(
            &x_seq,
            &v_init,
            &trace,
            &double(golden.tensor("grad_s_seq")),
            None,
            &golden.params,
        );
        let want = golden.tensor("grad_x_seq");
        let got = single(&grads.grad_x_seq);
        assert_close_to_largest(&format!("{name}: grad_x_seq"), &got, &want, 1e-4);
        let got = single(&grads.grad_v_init);
        let want = golden.tensor("grad_v_init");
        assert_close_to_largest(&format!("{name}: grad_v_init"), &got, &want, 1e-4);
    }
}
