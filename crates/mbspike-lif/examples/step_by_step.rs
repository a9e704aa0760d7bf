//! A recurrent network fed step by step, as a sensor would, with the bits of the whole sequence.
//!
//! `cargo run --release -p mbspike-lif --example step_by_step`
#![expect(clippy::print_stdout, reason = "an example shows its result")]

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{Linear, Module, VarBuilder, VarMap, linear_no_bias};
use mbspike_core::Decay;
use mbspike_core::philox::{Domain, Place, Stream};
use mbspike_lif::layer::{EachStep, Li, NeuronParams, Recurrent, State, Stateful, recurrent};

struct Net {
    fc: EachStep<Linear>,
    hidden: Recurrent,
    out: EachStep<Linear>,
    readout: Li,
}

impl Net {
    fn new(vb: VarBuilder<'_>) -> Result<Self> {
        Ok(Self {
            fc: EachStep(linear_no_bias(40, 32, vb.pp("fc"))?),
            hidden: recurrent(32, NeuronParams::new(2), vb.pp("hidden"))?,
            out: EachStep(linear_no_bias(32, 5, vb.pp("out"))?),
            readout: Li::new(Decay::Tau(8.0), false)?,
        })
    }

    /// Membranes `[T, B, 5]` of `x_seq` `[T, B, 40]`, and the states of both layers of neurons.
    fn forward(&self, x_seq: &Tensor, [hidden, out]: &[State; 2]) -> Result<(Tensor, [State; 2])> {
        let (s_seq, hidden) = self.hidden.forward_state(&self.fc.forward(x_seq)?, hidden)?;
        let (y_seq, out) = self.readout.forward_state(&self.out.forward(&s_seq)?, out)?;
        Ok((y_seq, [hidden, out]))
    }
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let (n_steps, batch_size) = (20, 3);
    let mut x_seq = vec![0.0; n_steps * batch_size * 40];
    Stream::new(7, Domain::Encode, Place::default()).fill_uniform(&mut x_seq);
    let x_seq = Tensor::from_vec(x_seq, (n_steps, batch_size, 40), &Device::Cpu)?;

    let vars = VarMap::new();
    let net = Net::new(VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu))?;
    let (whole, _) = net.forward(&x_seq, &Default::default())?;
    let mut states = Default::default();
    for t in 0..n_steps {
        let y;
        (y, states) = net.forward(&x_seq.narrow(0, t, 1)?, &states)?;
        let (now, then) = (y.squeeze(0)?.to_vec2::<f32>()?, whole.get(t)?.to_vec2::<f32>()?);
        assert_eq!(now, then, "step {t}");
        if t % 5 == 4 {
            println!("step {:2}: membranes of the first sample {:.3?}", t + 1, now[0]);
        }
    }
    Ok(())
}
