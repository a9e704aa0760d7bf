//! One neuron under a constant current, at 1, 2 and 4 bits a spike: prints the spike and the
//! membrane of each step.
//!
//! `cargo run -p mbspike-core --example one_neuron`
#![expect(clippy::print_stdout, reason = "an example shows its result")]

use mbspike_core::LifParams;
use mbspike_core::lif::{LifForward, lif_forward};

fn main() -> mbspike_core::Result<()> {
    let x_seq = [0.4_f32; 8]; // [T, N] with one neuron
    for bits in [1, 2, 4] {
        let (mut s_seq, mut v_seq) = ([0.0; 8], [0.0; 8]);
        let outputs = LifForward { s_seq: &mut s_seq, v_seq: Some(&mut v_seq), h_seq: None };
        lif_forward(outputs, &x_seq, &[0.0], &LifParams::new(bits))?;
        println!("{bits} bits: spikes {s_seq:.3?}");
        println!("        membrane {v_seq:.3?}");
    }
    Ok(())
}
