//! The worked example of `docs/lif.md`, number by number.

use candle_core::{Device, Tensor, Var};
use mbspike_core::LifParams;
use mbspike_core::lif::lif_multi_step_with_v;

/// Half a unit of the last digit that the table prints.
const TOLERANCE: f64 = 0.5e-4;

const X: [f64; 4] = [0.5, 0.5, 1.5, 0.0];
const S: [f64; 4] = [0.3333, 0.3333, 1.0, 0.0];
const V: [f64; 4] = [0.1667, 0.25, 0.625, 0.3125];
const GRAD_X: [f64; 4] = [0.9472, 0.9778, 0.3710, 0.6284];
const GRAD_V_INIT: f64 = 0.4736;

fn assert_close(what: &str, got: &[f64], expected: &[f64]) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (t, (got, expected)) in got.iter().zip(expected).enumerate() {
        assert!((got - expected).abs() <= TOLERANCE, "{what}[{}] is {got}, not {expected}", t + 1);
    }
}

#[test]
fn the_worked_example_of_the_documentation_holds() -> mbspike_core::Result<()> {
    let x_seq = Var::from_slice(&X, (4, 1), &Device::Cpu)?;
    let v_init = Var::from_slice(&[0.0], 1, &Device::Cpu)?;
    let (s_seq, v_seq) = lif_multi_step_with_v(&x_seq, &v_init, &LifParams::new(2))?;
    let values = |tensor: &Tensor| tensor.flatten_all()?.to_vec1::<f64>();
    assert_close("s", &values(&s_seq)?, &S);
    assert_close("v", &values(&v_seq)?, &V);

    let gradients = s_seq.sum_all()?.backward()?;
    let grad_x = gradients.get(&x_seq).expect("x has a gradient");
    let grad_v_init = gradients.get(&v_init).expect("v_init has a gradient");
    assert_close("grad x", &values(grad_x)?, &GRAD_X);
    assert_close("grad v_init", &values(grad_v_init)?, &[GRAD_V_INIT]);
    Ok(())
}
