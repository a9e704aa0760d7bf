//! The neurons behind every layer: one place where a step is put together. What the fused kernel
//! computes goes there whole; the rest step by step, as tensor operations.

use candle_core::{Result, Tensor};
use mbspike_core::Reset;
use mbspike_core::carried;
use mbspike_core::lif::{
    LifOptions, lif_multi_step_learnable_tau_with_v, lif_multi_step_with, lif_multi_step_with_v,
};
use mbspike_core::spike::SpikeOutput;

use super::{NeuronParams, State};
use crate::Error;

/// A learned threshold below this counts as this: a threshold is above 0.
const MIN_THRESHOLD: f64 = 1e-3;

/// Neurons with what they learn.
#[derive(Debug, Clone)]
pub(crate) struct Cells {
    params: NeuronParams,
    /// `[1]` or `[C]`, in steps; below 1 counts as 1.
    tau: Option<Tensor>,
    /// `[1]` or `[C]`.
    v_threshold: Option<Tensor>,
    /// `[N, N]`, from what was sent last to the current.
    recurrent: Option<Tensor>,
}

/// What is wanted besides the spikes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wanted<'a> {
    /// The membranes after reset at every step.
    pub(crate) v_seq: bool,
    /// The state after the last step.
    pub(crate) state: bool,
    /// Average pooling of the spikes and counts of them, in the same pass.
    pub(crate) options: LifOptions<'a>,
}

/// What a layer of neurons came to.
#[derive(Debug)]
pub(crate) struct Sent {
    /// Spikes `[T, B, …]`, pooled where that was wanted.
    pub(crate) s_seq: Tensor,
    /// Membranes after reset, where wanted.
    pub(crate) v_seq: Option<Tensor>,
    /// State after the last step, where wanted.
    pub(crate) state: State,
}

impl Cells {
    pub(crate) fn new(params: NeuronParams) -> crate::Result<Self> {
        params.validate()?;
        Ok(Self { params, tau: None, v_threshold: None, recurrent: None })
    }

    pub(crate) fn with_tau(self, tau: Tensor) -> Self {
        Self { tau: Some(tau), ..self }
    }

    pub(crate) fn with_v_threshold(self, v_threshold: Tensor) -> Self {
        Self { v_threshold: Some(v_threshold), ..self }
    }

    pub(crate) fn with_recurrent(self, weight: Tensor) -> Self {
        Self { recurrent: Some(weight), ..self }
    }

    pub(crate) fn params(&self) -> &NeuronParams {
        &self.params
    }

    /// Spikes from zero state.
    pub(crate) fn spikes(&self, x_seq: &Tensor) -> Result<Tensor> {
        Ok(self.run(x_seq, &State::default(), Wanted::default())?.s_seq)
    }

    pub(crate) fn spikes_and_state(
        &self,
        x_seq: &Tensor,
        state: &State,
    ) -> Result<(Tensor, State)> {
        let sent = self.run(x_seq, state, Wanted { state: true, ..Wanted::default() })?;
        Ok((sent.s_seq, sent.state))
    }

    /// Membranes after reset, and the state.
    pub(crate) fn membranes(&self, x_seq: &Tensor, state: &State) -> Result<(Tensor, State)> {
        let wanted = Wanted { v_seq: true, state: true, ..Wanted::default() };
        let sent = self.run(x_seq, state, wanted)?;
        Ok((sent.v_seq.expect("membranes were wanted"), sent.state))
    }

    /// Whether a step is the fused kernel's.
    fn step_is_fused(&self) -> bool {
        let one_tau = self.tau.as_ref().is_none_or(|tau| tau.elem_count() == 1);
        self.params.is_plain() && one_tau && self.v_threshold.is_none()
    }

    pub(crate) fn run(&self, x_seq: &Tensor, state: &State, wanted: Wanted<'_>) -> Result<Sent> {
        self.check(x_seq, state)?;
        if self.step_is_fused() && self.recurrent.is_none() {
            return Ok(self.run_fused(x_seq, state, wanted)?);
        }
        let mut state = state.clone();
        let (mut s_seq, mut v_seq) = (vec![], vec![]);
        for t in 0..x_seq.dim(0)? {
            let mut x = x_seq.get(t)?;
            if let (Some(weight), Some(s)) = (&self.recurrent, &state.s) {
                x = (x + s.matmul(&weight.t()?)?)?;
            }
            let s = if self.step_is_fused() {
                let wanted = Wanted { state: true, ..Wanted::default() };
                let sent = self.run_fused(&x.unsqueeze(0)?, &state, wanted)?;
                state.v = sent.state.v;
                sent.s_seq.squeeze(0)?
            } else {
                self.step(&x, &mut state)?
            };
            if self.recurrent.is_some() {
                state.s = Some(s.clone());
            }
            s_seq.push(s);
            v_seq.extend(state.v.clone().filter(|_| wanted.v_seq));
        }
        let mut s_seq = Tensor::stack(&s_seq, 0)?;
        if let Some((counts, position)) = wanted.options.counts {
            counts.add(position, &s_seq)?;
        }
        if let Some(size) = wanted.options.average_pool {
            s_seq = super::Pool { kind: crate::PoolKind::Average, size }.pooled(&s_seq)?;
        }
        let v_seq = if wanted.v_seq { Some(Tensor::stack(&v_seq, 0)?) } else { None };
        Ok(Sent { s_seq, v_seq, state })
    }

    fn run_fused(
        &self,
        x_seq: &Tensor,
        state: &State,
        wanted: Wanted<'_>,
    ) -> mbspike_core::Result<Sent> {
        let zeros = || Tensor::zeros(&x_seq.dims()[1..], x_seq.dtype(), x_seq.device());
        let v_init = state.v.clone().map_or_else(zeros, Ok)?;
        let lif = &self.params.lif;
        if !wanted.v_seq && !wanted.state {
            let options = LifOptions { tau: self.tau.as_ref(), ..wanted.options };
            let s_seq = lif_multi_step_with(x_seq, &v_init, lif, options)?;
            return Ok(Sent { s_seq, v_seq: None, state: State::default() });
        }
        let (mut s_seq, v_seq) = match &self.tau {
            None => lif_multi_step_with_v(x_seq, &v_init, lif)?,
            Some(tau) => lif_multi_step_learnable_tau_with_v(x_seq, &v_init, tau, lif)?,
        };
        if let Some((counts, position)) = wanted.options.counts {
            counts.add(position, &s_seq)?;
        }
        if let Some(size) = wanted.options.average_pool {
            s_seq = super::Pool { kind: crate::PoolKind::Average, size }.pooled(&s_seq)?;
        }
        let state = State { v: Some(v_seq.get(x_seq.dim(0)? - 1)?), ..State::default() };
        Ok(Sent { s_seq, v_seq: Some(v_seq), state })
    }

    /// One step `[B, …]` of what the fused kernel does not compute.
    fn step(&self, x: &Tensor, state: &mut State) -> Result<Tensor> {
        let NeuronParams { lif, signed, tau_syn, adaptation, .. } = self.params;
        let drive = match tau_syn {
            None => x.clone(),
            Some(tau) => {
                let i_syn = match &state.i_syn {
                    Some(i_syn) => carried(&(i_syn.affine(1.0 - 1.0 / tau, 0.0)? + x)?)?,
                    None => x.clone(),
                };
                state.i_syn = Some(i_syn.clone());
                i_syn
            }
        };
        let h = self.charge(&drive, state.v.as_ref())?;

        let function = self.params.spike_function();
        let theta = self.threshold(&h, state.adaptation.as_ref())?;
        let fire = |h: &Tensor| match &theta {
            None => function.apply(h, lif.v_threshold),
            Some(theta) => function.apply_with(h, theta),
        };
        let up = fire(&h)?;
        // What is sent, and its absolute value, which pulls a membrane back.
        let (s, size) = if signed {
            let down = fire(&h.neg()?)?;
            ((&up - &down)?, (&up + &down)?)
        } else {
            (up.clone(), up)
        };
        let unit = match function.output {
            SpikeOutput::Unit => 1.0,
            SpikeOutput::Count => 1.0 / f64::from(lif.levels),
        };
        let in_reset = |s: &Tensor| if lif.detach_reset { s.detach() } else { s.clone() };
        let v = match lif.reset {
            Reset::Soft {} => {
                let s = in_reset(&s);
                match &theta {
                    None => (&h - s.affine(lif.v_threshold * unit, 0.0)?)?,
                    Some(theta) => (&h - (s * theta)?.affine(unit, 0.0)?)?,
                }
            }
            Reset::Hard { v_reset } => {
                let distance = h.affine(1.0, -v_reset)?;
                (&h - (in_reset(&size).affine(unit, 0.0)? * distance)?)?
            }
            Reset::None {} => h,
        };
        state.v = Some(carried(&v)?);
        if let Some(adaptation) = adaptation {
            let rho = 1.0 - 1.0 / adaptation.tau;
            let raise = size.affine((1.0 - rho) * unit, 0.0)?;
            state.adaptation = Some(match &state.adaptation {
                Some(a) => carried(&(a.affine(rho, 0.0)? + raise)?)?,
                None => raise,
            });
        }
        Ok(s)
    }

    /// `h = β v + g x`, plus `(1 − β) v_reset` with a hard reset.
    fn charge(&self, x: &Tensor, v: Option<&Tensor>) -> Result<Tensor> {
        let lif = &self.params.lif;
        let pull = if let Reset::Hard { v_reset } = lif.reset { v_reset } else { 0.0 };
        let Some(tau) = &self.tau else {
            let (beta, gain) = (lif.beta(), lif.gain());
            let x = if lif.decay_input { x.affine(gain, 0.0)? } else { x.clone() };
            let h = match v {
                Some(v) => (v.affine(beta, 0.0)? + x)?,
                None => x,
            };
            let leak = (1.0 - beta) * pull;
            return if leak == 0.0 { Ok(h) } else { h.affine(1.0, leak) };
        };
        // 1/τ of each channel, in the shape of a step.
        let leak = per_channel(&at_least(tau, 1.0)?.recip()?, x)?;
        let x = if lif.decay_input { x.broadcast_mul(&leak)? } else { x.clone() };
        let h = match v {
            Some(v) => (v.broadcast_mul(&leak.affine(-1.0, 1.0)?)? + x)?,
            None => x,
        };
        if pull == 0.0 { Ok(h) } else { h.broadcast_add(&leak.affine(pull, 0.0)?) }
    }

    /// The threshold of each neuron, where it is not one number.
    fn threshold(&self, h: &Tensor, adaptation: Option<&Tensor>) -> Result<Option<Tensor>> {
        let learned = match &self.v_threshold {
            Some(theta) => {
                let theta = per_channel(&at_least(theta, MIN_THRESHOLD)?, h)?;
                Some(theta.broadcast_as(h.shape())?)
            }
            None => None,
        };
        let risen = match (self.params.adaptation, adaptation) {
            (Some(of), Some(a)) => Some(a.affine(of.strength, 0.0)?),
            _ => None,
        };
        Ok(match (learned, risen) {
            (None, None) => None,
            (Some(theta), None) => Some(theta),
            (None, Some(risen)) => Some(risen.affine(1.0, self.params.lif.v_threshold)?),
            (Some(theta), Some(risen)) => Some((theta + risen)?),
        })
    }

    fn check(&self, x_seq: &Tensor, state: &State) -> crate::Result<()> {
        let fail = |what: &str, got: &[usize], expected: String| {
            let got = format!("{got:?}");
            Err(Error::Mismatch { op: "neurons", what: what.into(), got, expected })
        };
        let dims = x_seq.dims();
        if dims.len() < 2 || dims[0] == 0 {
            return fail("x_seq", dims, "[T, B, …] with T > 0".into());
        }
        let of_step = &dims[1..];
        let State { v, i_syn, adaptation, s } = state;
        for (what, tensor) in [
            ("the state's v", v),
            ("the state's i_syn", i_syn),
            ("the state's adaptation", adaptation),
            ("the state's s", s),
        ] {
            match tensor {
                Some(tensor) if tensor.dims() != of_step => {
                    return fail(what, tensor.dims(), format!("{of_step:?}, a step of x_seq"));
                }
                _ => {}
            }
        }
        for (what, learned) in [("tau", &self.tau), ("v_threshold", &self.v_threshold)] {
            match learned {
                Some(of) if of.elem_count() != 1 && dims.get(2) != Some(&of.elem_count()) => {
                    let expected = format!("[T, B, {}, …]: {what} is by channel", of.elem_count());
                    return fail("x_seq", dims, expected);
                }
                _ => {}
            }
        }
        match &self.recurrent {
            Some(weight) if dims.len() != 3 || dims[2] != weight.dims()[0] => {
                fail("x_seq", dims, format!("[T, B, {}] of a recurrent layer", weight.dims()[0]))
            }
            _ => Ok(()),
        }
    }
}

/// `[1]` or `[C]` in a shape that broadcasts to a step `[B, C, …]`.
fn per_channel(of: &Tensor, step: &Tensor) -> Result<Tensor> {
    let mut dims = vec![1; step.rank()];
    if of.elem_count() > 1 {
        dims[1] = of.elem_count();
    }
    of.reshape(dims)
}

/// The value, at least `low`, with the gradient of the value: what is learned below comes back.
fn at_least(learned: &Tensor, low: f64) -> Result<Tensor> {
    let raised = (learned.maximum(low)? - learned)?.detach();
    learned + raised
}
