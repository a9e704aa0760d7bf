//! Steps on the CPU, over the memory of the parameter and its state.

use std::cell::RefCell;
use std::marker::PhantomData;

use candle_core::{CpuStorage, DType, InplaceOp1, InplaceOp2, Layout, Tensor, Var};
use mbspike_core::Real;
use rayon::prelude::*;

use super::update::Update;

/// Elements that a thread takes at a time; a smaller parameter stays on one thread.
const CHUNK: usize = 1 << 15;

/// One step of `param` and its `state` `[n_slots, …]`.
pub(super) fn step(
    update: &Update,
    param: &Var,
    state: &Var,
    gradient: &Tensor,
) -> candle_core::Result<()> {
    // Copies only a gradient that is not contiguous yet.
    let gradient = gradient.contiguous()?;
    match param.dtype() {
        DType::F64 => state.inplace_op2(&gradient, &OnState::<f64>::new(update, param)),
        _ => state.inplace_op2(&gradient, &OnState::<f32>::new(update, param)),
    }
}

/// candle opens one tensor at a time for writing: this operation opens the state, and in it
/// [`OnParameter`] opens the parameter.
struct OnState<'a, T> {
    update: &'a Update,
    param: &'a Var,
    element: PhantomData<T>,
}

impl<'a, T> OnState<'a, T> {
    fn new(update: &'a Update, param: &'a Var) -> Self {
        Self { update, param, element: PhantomData }
    }
}

impl<T: Element> InplaceOp2 for OnState<'_, T> {
    fn name(&self) -> &'static str {
        "optimizer-step"
    }

    fn cpu_fwd(
        &self,
        state: &mut CpuStorage,
        state_layout: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
    ) -> candle_core::Result<()> {
        let (start, end) = bounds(gradient_layout)?;
        let gradient = &gradient.as_slice::<T>()?[start..end];
        let state = RefCell::new(T::slice_mut(state, state_layout)?);
        self.param.inplace_op1(&OnParameter { update: self.update, gradient, state })
    }
}

struct OnParameter<'a, T> {
    update: &'a Update,
    gradient: &'a [T],
    state: RefCell<&'a mut [T]>,
}

impl<T: Element> InplaceOp1 for OnParameter<'_, T> {
    fn name(&self) -> &'static str {
        "optimizer-step"
    }

    fn cpu_fwd(&self, param: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        let param = T::slice_mut(param, layout)?;
        apply(self.update, param, self.gradient, &mut self.state.borrow_mut());
        Ok(())
    }
}

fn bounds(layout: &Layout) -> candle_core::Result<(usize, usize)> {
    match layout.contiguous_offsets() {
        Some(bounds) => Ok(bounds),
        None => candle_core::bail!("an in-place update was given a tensor that is not contiguous"),
    }
}

/// An element type whose candle storage can be written.
pub(super) trait Element: Real {
    /// The vector of a storage of this type.
    fn vec_mut(storage: &mut CpuStorage) -> Option<&mut Vec<Self>>;

    /// The elements of a contiguous tensor.
    fn slice_mut<'a>(
        storage: &'a mut CpuStorage,
        layout: &Layout,
    ) -> candle_core::Result<&'a mut [Self]> {
        let (start, end) = bounds(layout)?;
        match Self::vec_mut(storage) {
            Some(elements) => Ok(&mut elements[start..end]),
            None => candle_core::bail!("an in-place update of {:?} met another type", Self::DTYPE),
        }
    }
}

impl Element for f32 {
    fn vec_mut(storage: &mut CpuStorage) -> Option<&mut Vec<Self>> {
        if let CpuStorage::F32(elements) = storage { Some(elements) } else { None }
    }
}

impl Element for f64 {
    fn vec_mut(storage: &mut CpuStorage) -> Option<&mut Vec<Self>> {
        if let CpuStorage::F64(elements) = storage { Some(elements) } else { None }
    }
}

/// Applies the step to all elements; `state` holds the optimizer's slots one after the other. What is
/// kept until the next step is [carried](Real::carried), so that the moments of a weight without
/// gradient, or a weight that decays, end at 0 and not among the subnormal numbers.
fn apply<T: Real>(update: &Update, param: &mut [T], gradient: &[T], state: &mut [T]) {
    let c = T::of;
    match *update {
        Update::Adam(adam) => {
            let (keep, weight_decay, eps) = (c(adam.keep), c(adam.weight_decay), c(adam.eps));
            let (rate1, beta2, rate2) = (c(1.0 - adam.beta1), c(adam.beta2), c(1.0 - adam.beta2));
            let (step_size, correction) = (c(adam.step_size), c(adam.correction));
            with_two_slots(param, gradient, state, |p, g, m, v| {
                let g = g.carried() + weight_decay * *p;
                *m = (*m + rate1 * (g - *m)).carried();
                *v = (beta2 * *v + rate2 * (g * g).carried_square()).carried_square();
                *p = (keep * *p - step_size * (*m / (v.sqrt() / correction + eps))).carried();
            });
        }
        Update::Sgd { lr, weight_decay, momentum: 0.0, .. } => {
            let (lr, weight_decay) = (c(lr), c(weight_decay));
            without_slot(param, gradient, |p, g| {
                *p = (*p - lr * (g.carried() + weight_decay * *p)).carried();
            });
        }
        Update::Sgd { lr, weight_decay, momentum, nesterov } => {
            let (lr, weight_decay, momentum) = (c(lr), c(weight_decay), c(momentum));
            with_one_slot(param, gradient, state, |p, g, b| {
                let g = g.carried() + weight_decay * *p;
                *b = (momentum * *b + g).carried();
                let direction = if nesterov { g + momentum * *b } else { *b };
                *p = (*p - lr * direction).carried();
            });
        }
        Update::RmsProp { lr, weight_decay, alpha, eps, momentum } => {
            let (lr, weight_decay, eps) = (c(lr), c(weight_decay), c(eps));
            let (alpha, rate, momentum) = (c(alpha), c(1.0 - alpha), c(momentum));
            if momentum == T::zero() {
                with_one_slot(param, gradient, state, |p, g, v| {
                    let g = g.carried() + weight_decay * *p;
                    *v = (alpha * *v + rate * (g * g).carried_square()).carried_square();
                    *p = (*p - lr * (g / (v.sqrt() + eps))).carried();
                });
            } else {
                with_two_slots(param, gradient, state, |p, g, v, b| {
                    let g = g.carried() + weight_decay * *p;
                    *v = (alpha * *v + rate * (g * g).carried_square()).carried_square();
                    *b = (momentum * *b + g / (v.sqrt() + eps)).carried();
                    *p = (*p - lr * *b).carried();
                });
            }
        }
    }
}

/// `f(param, gradient)` on each element.
fn without_slot<T: Real>(param: &mut [T], gradient: &[T], f: impl Fn(&mut T, T) + Sync) {
    let run = |param: &mut [T], gradient: &[T]| {
        for (p, g) in param.iter_mut().zip(gradient) {
            f(p, *g);
        }
    };
    if param.len() <= CHUNK {
        return run(param, gradient);
    }
    (param.par_chunks_mut(CHUNK), gradient.par_chunks(CHUNK))
        .into_par_iter()
        .for_each(|(param, gradient)| run(param, gradient));
}

/// `f(param, gradient, slot)` on each element.
fn with_one_slot<T: Real>(
    param: &mut [T],
    gradient: &[T],
    slot: &mut [T],
    f: impl Fn(&mut T, T, &mut T) + Sync,
) {
    let run = |param: &mut [T], gradient: &[T], slot: &mut [T]| {
        for ((p, g), a) in param.iter_mut().zip(gradient).zip(slot) {
            f(p, *g, a);
        }
    };
    if param.len() <= CHUNK {
        return run(param, gradient, slot);
    }
    (param.par_chunks_mut(CHUNK), gradient.par_chunks(CHUNK), slot.par_chunks_mut(CHUNK))
        .into_par_iter()
        .for_each(|(param, gradient, slot)| run(param, gradient, slot));
}

/// `f(param, gradient, slot 0, slot 1)` on each element.
fn with_two_slots<T: Real>(
    param: &mut [T],
    gradient: &[T],
    slots: &mut [T],
    f: impl Fn(&mut T, T, &mut T, &mut T) + Sync,
) {
    let (first, second) = slots.split_at_mut(param.len());
    let run = |param: &mut [T], gradient: &[T], first: &mut [T], second: &mut [T]| {
        for (((p, g), a), b) in param.iter_mut().zip(gradient).zip(first).zip(second) {
            f(p, *g, a, b);
        }
    };
    if param.len() <= CHUNK {
        return run(param, gradient, first, second);
    }
    (
        param.par_chunks_mut(CHUNK),
        gradient.par_chunks(CHUNK),
        first.par_chunks_mut(CHUNK),
        second.par_chunks_mut(CHUNK),
    )
        .into_par_iter()
        .for_each(|(param, gradient, first, second)| run(param, gradient, first, second));
}
