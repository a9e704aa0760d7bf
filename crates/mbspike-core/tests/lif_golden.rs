//! Reference vectors written by SpikingJelly 2.0's `LIFNode` under PyTorch autograd.
//!
//! Runs every `.safetensors` file of kind `lif` in the folder named by `MBSPIKE_GOLDEN_DIR`
//! (default: this crate's own copies), so that anyone can add files.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]

mod golden_files;

use golden_files::{Golden, assert_close, assert_close_to_largest};
use mbspike_core::lif::reference::{lif_multi_step_backward_reference, lif_multi_step_reference};
use mbspike_core::lif::{LifForward, LifGrad, lif_backward, lif_forward};

#[test]
fn fused_kernel_agrees_with_every_golden_file() {
    for golden in Golden::all() {
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
}

#[test]
fn reference_agrees_with_every_golden_file() {
    let double = |values: Vec<f32>| values.into_iter().map(f64::from).collect::<Vec<_>>();
    let single = |values: &[f64]| values.iter().map(|v| *v as f32).collect::<Vec<_>>();
    for golden in Golden::all() {
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
