//! The numbers that the kernels compute with.

use mbspike_core::philox::{Domain, Place, Stream};
use mbspike_core::round_to_bf16;

/// An element type of the kernels; arithmetic is in f32.
pub trait Element: Copy + 'static {
    const NAME: &'static str;
    const BITS_OF_ONE: u64;
    fn of(x: f32) -> Self;
    fn get(self) -> f32;
}

impl Element for f32 {
    const NAME: &'static str = "f32";
    const BITS_OF_ONE: u64 = 24;
    fn of(x: f32) -> Self {
        x
    }
    fn get(self) -> f32 {
        self
    }
}

/// The bits of a bf16.
#[derive(Clone, Copy, PartialEq, Debug)]
#[repr(transparent)]
pub struct Bf16(pub u16);

impl Element for Bf16 {
    const NAME: &'static str = "bf16";
    const BITS_OF_ONE: u64 = 8;
    fn of(x: f32) -> Self {
        let mut rounded = [x];
        round_to_bf16(&mut rounded);
        Self((rounded[0].to_bits() >> 16) as u16)
    }
    fn get(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }
}

pub fn to<E: Element>(values: &[f32]) -> Vec<E> {
    values.iter().map(|x| E::of(*x)).collect()
}

pub fn from<E: Element>(values: &[E]) -> Vec<f32> {
    values.iter().map(|x| x.get()).collect()
}

/// `n` numbers in `low..high` that bf16 can say.
pub fn uniform(n: usize, sample: u32, low: f32, high: f32) -> Vec<f32> {
    let place = Place { sample, ..Place::default() };
    let mut values = vec![0.0; n];
    Stream::new(6, Domain::Simulate, place).fill_uniform(&mut values);
    for u in &mut values {
        *u = low + (high - low) * *u;
    }
    round_to_bf16(&mut values);
    values
}
